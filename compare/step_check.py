"""Did the leap sampler take small enough steps?

The same initial directions run again with half the macro-step, twice the virtual batch and noise of its
own, so for every direction the paired relative differences of the transition times are independent over
seeds; their median has an exact interval (``compare.statistics``).  The check fails when one of the 2 P
intervals lies beyond ± ``TOLERANCE`` altogether: with coverage 1 − 0.05/(2 P) each, a median within it fails
with probability 0.05 at most.  The largest half-width says how small a bias would have been seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..problem.cards import Card
from ..simulate.result import Simulation
from .statistics import CONFIDENCE, MedianEstimate, median_estimate

TOLERANCE = 0.02  # bias of a median transition time that is of no concern


@dataclass(frozen=True)
class StepCheck(Card):
    """Median paired difference ``T / T_finer − 1`` per direction, alignment and recovery.

    ``stands`` is True, False, or None when there are too few seeds to tell.
    """

    alignment: tuple[MedianEstimate, ...]
    recovery: tuple[MedianEstimate, ...]
    stands: bool | None
    resolution: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf and NaN are left for the caller to write as null."""
        return {
            "alignment": [item.as_dict() for item in self.alignment],
            "recovery": [item.as_dict() for item in self.recovery],
            "stands": self.stands,
            "resolution": self.resolution,
        }

    def __str__(self) -> str:
        if self.stands is None:
            P = len(self.alignment)
            enough = int(np.ceil(1 - np.log2((1 - CONFIDENCE) / (2 * P))))
            return f"step check: too few seeds for intervals of {P} directions; {enough} are enough"
        word = "stands" if self.stands else "FAILS: lower `accuracy` and raise `virtual`"
        return (
            f"step check against half the step and twice the virtual batch: {word} (intervals ± {self.resolution:.2g})"
        )


def check_step(coarse: Simulation, fine: Simulation) -> StepCheck:
    """Compare two runs of the same seeds.

    Raises
    ------
    ValueError
        Runs of different problems, seeds or directions.
    """
    alike = coarse.directions.shape == fine.directions.shape and np.allclose(coarse.directions, fine.directions)
    if coarse.problem != fine.problem or not alike:
        raise ValueError("a step check compares two runs from the same directions")
    estimates, confidence = {}, 1 - (1 - CONFIDENCE) / (2 * coarse.problem.P)
    for event in ("alignment", "recovery"):
        a, b = getattr(coarse, event), getattr(fine, event)
        both = np.isfinite(a) & np.isfinite(b) & (b > 0)
        # reached in one run only: an infinite difference of that sign; in neither: no difference
        gap = np.where(np.isfinite(a), -np.inf, np.inf)
        gap = np.where(both, a / np.where(both, b, 1.0) - 1, gap)
        gap = np.where(~np.isfinite(a) & ~np.isfinite(b) | (a == b), 0.0, gap)
        estimates[event] = tuple(median_estimate(gap[:, p], confidence) for p in range(coarse.problem.P))
    every = [*estimates["alignment"], *estimates["recovery"]]
    near = [e.interval[0] <= TOLERANCE and e.interval[1] >= -TOLERANCE for e in every]
    stands = all(near) if every[0].coverage >= confidence else None
    widths = [(e.interval[1] - e.interval[0]) / 2 if np.isfinite(e.interval).all() else np.inf for e in every]
    return StepCheck(estimates["alignment"], estimates["recovery"], stands, float(max(widths)))
