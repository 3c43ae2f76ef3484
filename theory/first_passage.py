"""First passage of one overlap through r² = ½ under gradient noise: a Fokker–Planck equation, stepped in time.

The overlap of one student with one direction has drift b(r) and diffusion D(r) (``theory.gradient_noise``; what pulls
elsewhere is a drag on r in b), so the density of |r| over the students that have not aligned yet obeys

    ∂_t f = −∂_r(b f) + ½ ∂_r²(D f),     0 < r < 1/√2,

reflected at 0 (σ is even) and leaving at 1/√2 by the drift alone: there the drift rules.  The rate at which it
leaves, over what is left, is the hazard of the direction for every free student.

Space: finite volumes, uniform in ξ with r √d = sinh ξ, central differences, so that a smooth density keeps its shape
where there is no noise.  Time: TR-BDF2 (second order, L-stable), with E2 frozen over a step.  All columns (students)
of one strength share a matrix, and all strengths are one block tridiagonal system.  Derived here; flow time.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dgttrf, dgttrs
from scipy.special import betainc, betaincc

from .._types import Array
from ..problem.events import ALIGNED
from ..problem.problem import Problem
from .gradient_noise import overlap_noise

CELLS = 400
_HALF = 1 - np.sqrt(0.5)  # share of a step in each implicit solve of TR-BDF2
_OUTER = 1 / (2 * _HALF * (2 - 2 * _HALF))
_NARROWEST = 2.0  # cells: standard deviation of a density that starts at a point
_GONE = 1e-100  # share left in one step that counts as none


def beyond_alignment(d: int) -> float:
    """Probability that a random direction is aligned with a given one; just below 1 where there is but one."""
    return float(betaincc(0.5, 0.5 * (d - 1), ALIGNED)) if d > 1 else 1 - np.finfo(float).eps


class FirstPassage:
    """Densities of |r| for strengths a (A,) and K columns each, and the hazards of their passage.

    Parameters
    ----------
    a
        Strengths (A,).
    starts
        Overlaps (A, K) where the columns start; None: one column, uniform directions.
    label_noise
        Standard deviation of noise on the labels.

    Attributes
    ----------
    beyond
        Probability that a random direction starts aligned, 0 for given starts; the densities are of the others.
    """

    def __init__(
        self, problem: Problem, a: Array, label_noise: float, starts: Array | None = None, cells: int | None = None
    ) -> None:
        cells = cells or (CELLS if starts is None else 2 * CELLS)
        top = np.arcsinh(np.sqrt(ALIGNED * problem.d))
        edges_at, centres_at = np.linspace(0, top, cells + 1), (np.arange(cells) + 0.5) * top / cells
        self._edges, centres = (np.sinh(xi) / np.sqrt(problem.d) for xi in (edges_at, centres_at))
        self._width, self._gap = np.diff(self._edges), np.diff(centres)
        self._share = (centres[1:] - self._edges[1:-1]) / self._gap  # of the left cell in the value at an edge
        self._a = a
        self._at_edges = overlap_noise(problem, a[:, None], self._edges[None, 1:], label_noise)
        self._at_centres = overlap_noise(problem, a[:, None], centres[None, :], label_noise)
        self.beyond = 0.0
        if starts is None:
            if problem.d > 1:  # r² is Beta(½, (d − 1)/2)
                mass = np.diff(betainc(0.5, 0.5 * (problem.d - 1), self._edges**2))
            else:
                mass = np.eye(cells)[-1]
            self.beyond = beyond_alignment(problem.d)
            columns = np.broadcast_to(mass[None, :, None], (a.size, cells, 1))
        else:
            at = np.arcsinh(np.abs(starts) * np.sqrt(problem.d))[:, None, :]
            spread = _NARROWEST * top / cells
            columns = np.exp(-0.5 * ((centres_at[None, :, None] - at) / spread) ** 2)
            columns = columns + np.exp(-0.5 * ((centres_at[None, :, None] + at) / spread) ** 2)
        self._mass = np.array(columns.reshape(a.size * cells, -1), order="F")
        self._passed = np.full((a.size, self._mass.shape[1]), False) if starts is None else starts**2 >= ALIGNED
        self._normalise()

    def _normalise(self) -> Array:
        """Make every density one of what is left, and return how much that was; what is all gone stays gone."""
        blocks = self._mass.T.reshape(self._mass.shape[1], self._a.size, -1)  # a view: columns are contiguous
        total = blocks.sum(axis=2).T
        self._passed |= total < _GONE
        blocks /= np.where(self._passed, 1.0, total).T[:, :, None]
        return total

    def step(self, dt: float, scale: float, error: Array, drag: Array) -> Array:
        """−ln of the share that stays, (A, K), after ``dt``.

        ``scale`` is η/B, ``error`` (A,) is E2, ``drag`` (A,) the rate at which all others shrink the overlap.
        """
        noise, centres, error = self._at_edges, self._at_centres, error[:, None]
        drift = noise.pull + scale * (noise.rate[0] + error * noise.rate[1])  # (A, cells) at right edges
        drift = drift - drag[:, None] * self._edges[None, 1:]
        spread = 0.5 * scale * (centres.spread[0] + error * centres.spread[1])  # D/2 at centres
        # flux through the edge right of cell i: left[i] ρ_i − right[i] ρ_{i+1}, with ρ = mass/width
        left = drift[:, :-1] * self._share + spread[:, :-1] / self._gap
        right = -drift[:, :-1] * (1 - self._share) + spread[:, 1:] / self._gap
        A, cells = drift.shape
        diagonal, lower, upper = (np.zeros((A, cells)) for _ in range(3))
        diagonal[:, :-1] -= left
        diagonal[:, 1:] -= right
        diagonal[:, -1] -= np.maximum(drift[:, -1], 0.0)
        lower[:, :-1], upper[:, :-1] = left, right
        # in masses: column i is divided by the width of cell i
        diagonal, lower = (diagonal / self._width).ravel(), (lower / self._width).ravel()[:-1]
        upper[:, :-1] /= self._width[1:]
        upper = upper.ravel()[:-1]
        part = _HALF * dt
        factors = dgttrf(-part * lower, 1 - part * diagonal, -part * upper)[:-1]
        before = self._mass
        moved = before + part * (diagonal[:, None] * before)
        moved[1:] += part * lower[:, None] * before[:-1]
        moved[:-1] += part * upper[:, None] * before[1:]
        middle = dgttrs(*factors, moved)[0]
        self._mass = dgttrs(*factors, _OUTER * middle - (_OUTER - 1) * before)[0]
        total = self._normalise()
        return np.where(self._passed, np.inf, -np.log(np.clip(total, _GONE, 1.0)))
