"""A solution of the gradient flow, whichever integrator made it.  Unit: flow time t = η · steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from .._types import Array
from ..problem.problem import Problem
from ..problem.tables import Columns, Tabulated, checked_kind, numbered

DOUBTFUL = 5e-3  # relative bound of an alignment time from which a direction is flagged


@dataclass(frozen=True, repr=False)
class Flow(Tabulated):
    """A solution of the gradient flow.

    Attributes
    ----------
    times
        Flow times of the record, shape (T,): solver steps and requested times, ascending.
    loss, strengths, alignments
        Population loss (T,), ``Σ_k n_k r_kp²`` (T, P), ``max_k r_kp²`` (T, P).
    alignment, recovery
        First-passage flow times, shape (P,); inf where not reached by ``t_end``.
    n, directions
        Final squared norms (m,) and unit rows (m, min(d, P + m)), first P columns overlaps; with noise the rows
        have all P + m coordinates, the last m by their inner products alone.
    status
        ``"recovered"`` (all that were asked for), ``"horizon"``, or what stopped the solver.
    method, reason
        ``"exact"`` (``theory.exact_flow``) or ``"diagonal"`` (``theory.diagonal_flow``), and why.
    bound
        Relative error bound of each alignment time, shape (P,); NaN where there is none.
    step_size, batch, label_noise
        Of gradient noise; without any, ``step_size`` is 0.
    noise_error
        Largest relative standard error of the moments of that noise; 0 where they are exact (polynomial σ).
    """

    problem: Problem
    times: Array
    loss: Array
    strengths: Array
    alignments: Array
    alignment: Array
    recovery: Array
    n: Array
    directions: Array
    status: str
    method: str
    reason: str
    bound: Array
    rtol: float
    evaluations: int
    wall_time: float
    step_size: float = 0.0
    batch: int = 1
    label_noise: float = 0.0
    noise_error: float = 0.0

    @property
    def t_end(self) -> float:
        """Flow time at which the integration ended."""
        return float(self.times[-1])

    @property
    def doubtful(self) -> Array:
        """Directions (indices) whose alignment time may be wrong by more than ``DOUBTFUL``."""
        return np.nonzero(self.bound > DOUBTFUL)[0]

    def columns(self, kind: str) -> Columns:
        """``"times"``: a row for each direction; ``"curves"``: one for each record."""
        if checked_kind(kind, "times", "curves") == "times":
            events = {"alignment": self.alignment, "recovery": self.recovery, "bound": self.bound}
            return {"p": np.arange(self.problem.P), "a_p": self.problem.a, **events}
        return {"time": self.times, "loss": self.loss, **numbered("strength", self.strengths)}

    def loss_at(self, times: ArrayLike) -> Array:
        """Loss at flow times in [0, t_end] by monotone interpolation of ln L; NaN outside."""
        floor = np.maximum(self.loss, 1e-300)
        return np.exp(PchipInterpolator(self.times, np.log(floor), extrapolate=False)(np.asarray(times, dtype=float)))

    def strengths_at(self, times: ArrayLike) -> Array:
        """Strengths at flow times in [0, t_end], shape (len(times), P); NaN outside."""
        return PchipInterpolator(self.times, self.strengths, extrapolate=False)(np.asarray(times, dtype=float))

    def __str__(self) -> str:
        reached = int(np.isfinite(self.recovery).sum())
        known = self.bound[np.isfinite(self.bound)]
        accuracy = f"alignment times within {100 * known.max():.2g} %" if known.size else "no alignment"
        if self.doubtful.size:
            named = ", ".join(str(p + 1) for p in self.doubtful[:5]) + (", …" if self.doubtful.size > 5 else "")
            accuracy += f"; above {100 * DOUBTFUL:g} %: {self.doubtful.size} directions ({named})"
        noise = ""
        if self.step_size:
            noise = f" with the mean noise of step size {self.step_size:g}, batch {self.batch}"
            noise += f", label noise {self.label_noise:g} (moments to {self.noise_error:.1g})"
        return (
            f"gradient flow{noise} to t = {self.t_end:.6g} ({self.status})\n"
            f"  recovered {reached} of {self.problem.P} directions, final loss {self.loss[-1]:.6g}\n"
            f"  {self.evaluations} right-hand sides at rtol = {self.rtol:g}, {self.wall_time:.2f} s\n"
            f"  {self.method} method ({self.reason}); {accuracy}"
        )
