"""Transition times over a random initialisation, without any simulation.

Directions uniform on the sphere give r_kp² ~ Beta(½, (d − 1)/2), so the best of m free students
has distribution function F^m.  Later directions choose among the students left over, so their
law is not F^m: greedy selection is applied to drawn overlaps instead, and the time of each
direction follows from the overlap of its student, as for any given start (``theory.finite_size_law``).
The overlaps are drawn with their correlations, for information exponents from 2 on; ``finite_law``
leaves the correlations out and reaches sizes that this does not.  Times of unlearned directions are inf;
only quantiles are given, because E[T_p] is infinite for m ≤ 2(I − 1).  Derived here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import ArrayLike
from scipy.special import betainccinv

from .._types import Array
from ..problem.cards import Card
from ..problem.checks import positive_integer
from ..problem.problem import Problem
from ..problem.seeds import generator
from .closed_form import closed_form_alignment, closed_form_recovery, closed_form_refusal
from .decoupled import decoupled_refusal
from .greedy_selection import selected_overlaps
from .transition_times import transition_times

MAX_TABLE = 10**8  # numbers of a table over draws: 0.8 GB
POINTS = 1000  # of a curve, about as many as there are


@dataclass(frozen=True, repr=False)
class InitQuantiles(Card):
    """Quantiles of the predicted flow times over random initial directions.

    ``alignment`` and ``recovery`` map level (``closed_form``, ``decoupled``) to arrays (Q, P);
    ``alignment_interval`` to arrays (Q, 2, P): distribution-free 95 % bounds for the finite
    number of draws.  A level that does not apply is absent, with its reason in ``notes``.
    """

    problem: Problem
    quantiles: Array
    draws: int
    alignment: dict[str, Array]
    alignment_interval: dict[str, Array]
    recovery: dict[str, Array]
    notes: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf stays inf for the caller to write as null."""
        return {
            "quantiles": self.quantiles.tolist(),
            "draws": self.draws,
            "alignment": {k: v.tolist() for k, v in self.alignment.items()},
            "alignment_interval": {k: v.tolist() for k, v in self.alignment_interval.items()},
            "recovery": {k: v.tolist() for k, v in self.recovery.items()},
            "notes": dict(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"alignment times over random initial directions ({self.draws} draws, 95 % intervals)"]
        for level, table in self.alignment.items():
            lines.append(f"  {level.replace('_', ' ')}")
            for p in range(self.problem.P):
                cells = []
                for i, q in enumerate(self.quantiles):
                    low, high = self.alignment_interval[level][i, :, p]
                    cells.append(f"q{q:g}: {table[i, p]:.4g} [{low:.4g}, {high:.4g}]")
                lines.append(f"    p = {p + 1}:  " + "   ".join(cells))
        return "\n".join([*lines, *(f"  note: {reason}" for reason in self.notes.values())])


def table_refusal(draws: int, P: int) -> str | None:
    """Why times of P directions, or curves, over so many draws or records cannot be held; None where they can."""
    if draws * max(P, POINTS) <= MAX_TABLE:
        return None
    return f"the times and curves of {draws} draws or records of P = {P} directions do not fit in memory"


def best_overlap(problem: Problem, quantile: ArrayLike) -> Array:
    """Quantile of max_k r_kp(0)² over m free students: the root of F^m = q, exactly."""
    q = np.asarray(quantile, dtype=float)
    if problem.d == 1:
        return np.ones_like(q)
    # r² is Beta(½, (d − 1)/2); the complement keeps its digits when q^(1/m) is within 1e-16 of 1
    return betainccinv(0.5, 0.5 * (problem.d - 1), -np.expm1(np.log(q) / problem.m))


def draw_overlaps(problem: Problem, stream: np.random.Generator) -> Array:
    """Initial overlaps r_kp (m, P) of uniform directions in R^d, at a cost free of d."""
    normals = stream.standard_normal((problem.m, problem.P))
    rest = problem.d - problem.P
    square = np.sum(normals**2, axis=1) + (stream.chisquare(rest, problem.m) if rest else 0.0)
    return normals / np.sqrt(square)[:, None]


def init_quantiles(
    problem: Problem,
    quantiles: ArrayLike = (0.1, 0.25, 0.5, 0.75, 0.9),
    *,
    draws: int = 1000,
    seed: int | SeedSequence = 0,
) -> InitQuantiles:
    """Quantiles of alignment and recovery times over random initial directions.

    Raises
    ------
    ValueError
        Quantiles outside (0, 1), fewer than 20 draws, or more overlaps and times than fit in memory.
    """
    q = np.atleast_1d(np.asarray(quantiles, dtype=float))
    if q.ndim != 1 or not ((q > 0) & (q < 1)).all():
        raise ValueError(f"`quantiles` must lie strictly between 0 and 1, but are {q.tolist()}")
    if positive_integer("draws", draws) < 20:
        raise ValueError(f"`draws` must be at least 20, but is {draws}")
    refusal = table_refusal(draws, problem.P) or problem.room_refusal()
    if refusal is not None:
        raise ValueError(refusal)
    stream = generator(seed)
    starts = (draw_overlaps(problem, stream) for _ in range(draws))
    chosen = selected_overlaps(problem.activation, problem.a, starts)
    a, n0 = problem.a, problem.init_scale**2
    levels: dict[str, tuple[Array, Array]] = {}
    notes: dict[str, str] = {}
    refusal = closed_form_refusal(problem.activation)
    if refusal is None:
        levels["closed_form"] = (
            closed_form_alignment(problem.activation, a, chosen),
            closed_form_recovery(problem.activation, a, chosen, n0),
        )
    else:
        notes["closed_form"] = refusal
    refusal = decoupled_refusal(problem)
    if refusal is None:
        levels["decoupled"] = transition_times(problem.activation, a, chosen, n0)
    else:
        notes["decoupled"] = refusal
    return InitQuantiles(
        problem=problem,
        quantiles=q,
        draws=draws,
        alignment={k: _quantile(v[0], q) for k, v in levels.items()},
        alignment_interval={k: _interval(v[0], q) for k, v in levels.items()},
        recovery={k: _quantile(v[1], q) for k, v in levels.items()},
        notes=notes,
    )


def _quantile(times: Array, q: Array) -> Array:
    return np.quantile(times, q, axis=0, method="inverted_cdf")


def _interval(times: Array, q: Array) -> Array:
    """Order statistics that bracket each quantile with probability at least 0.95."""
    from scipy.stats import binom  # a third of a second, and few need it

    n = len(times)
    ordered = np.vstack([np.zeros(times.shape[1]), np.sort(times, axis=0), np.full(times.shape[1], np.inf)])
    low = binom.ppf(0.025, n, q).astype(int)
    high = binom.ppf(0.975, n, q).astype(int) + 1
    return np.stack([ordered[low], ordered[high]], axis=1)
