"""The step size of a run beside the two that say what part gradient noise plays in it.

    critical    η_c of a direction, below which the drift of the student expected to learn it beats the noise of the
                start (``theory.critical_step_size``); one a seed and direction
    ceiling     the largest η at which the mean square error stays finite once all is learned
                (``theory.gradient_noise``)

Noise plays little part where η ≤ min(median η_c/10, ceiling/30 · φ(1)/(φ(1) + τ²)), with label noise τ: rules of thumb,
by which a comparison chooses what it is about.  Under a schedule η is the largest of the recorded steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._types import Array
from ..simulate import Simulation
from ..theory.critical_step_size import drift_dominated_step_size
from ..theory.gradient_noise import ceiling
from ..theory.prediction import Prediction


@dataclass(frozen=True)
class NoiseScale:
    """A step size, and those that it is to be seen beside.

    Attributes
    ----------
    step_size
        The largest η.
    critical
        Critical step size of each direction, the median over seeds (P,); NaN where no student is expected to learn it.
    typical
        Median over seeds and directions; NaN where nothing is expected to be learned.
    ceiling
        That of the step size, all learned.
    own
        Share φ(1)/(φ(1) + τ²) of the teacher in the noise of the start; the rest is that of the labels.
    """

    step_size: float
    critical: Array
    typical: float
    ceiling: float
    own: float

    @property
    def over_critical(self) -> Array:
        """η/η_c of each direction, (P,); inf where a student starts at overlap 0, NaN where there is none."""
        with np.errstate(divide="ignore"):
            return self.step_size / self.critical

    @property
    def over_typical(self) -> float:
        """η over the median critical step size; inf where that is 0."""
        return self.step_size / self.typical if self.typical else np.inf

    @property
    def over_ceiling(self) -> float:
        """η over the ceiling."""
        return self.step_size / self.ceiling

    @property
    def quiet(self) -> float:
        """Step size up to which noise plays little part; NaN where nothing is expected to be learned."""
        return min(self.typical / 10, self.own * self.ceiling / 30)

    @property
    def noisy(self) -> bool:
        """Does gradient noise, which the flow leaves out, matter at this step size?"""
        return bool(np.isfinite(self.quiet)) and self.step_size > self.quiet

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf and NaN are left for the caller to write as null."""
        return {
            "step_size": self.step_size,
            "critical": self.critical.tolist(),
            "over_critical": self.over_critical.tolist(),
            "over_typical": self.over_typical,
            "ceiling": self.ceiling,
            "over_ceiling": self.over_ceiling,
            "quiet": self.quiet,
        }


def noise_scale(predictions: Sequence[Prediction], simulation: Simulation) -> NoiseScale:
    """The step size of runs, one prediction each."""
    problem, run = simulation.problem, simulation.run
    table = np.full((len(predictions), problem.P), np.nan)
    for row, prediction, directions in zip(table, predictions, simulation.directions, strict=True):
        taken = prediction.student >= 0
        r0 = np.abs(directions[prediction.student[taken], np.nonzero(taken)[0]])
        row[taken] = drift_dominated_step_size(problem, problem.a[taken], r0, run.batch, run.label_noise)
    known = [column[~np.isnan(column)] for column in (*table.T, table.ravel())]
    *critical, typical = (float(np.median(column)) if column.size else np.nan for column in known)
    largest = float(run.step_size.rate(np.array(run.recorded()[:-1])).max())
    one = problem.activation.second_moment
    own = one / (one + run.label_noise**2)
    return NoiseScale(largest, np.array(critical), typical, run.batch * ceiling(problem), own)
