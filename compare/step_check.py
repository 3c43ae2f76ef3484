"""Did the leap sampler take small enough steps?

The same seeds run again with half the macro-step and twice the virtual batch.  Initial directions
are shared and the noise is independent, so for every direction the paired relative differences
of the transition times are independent over seeds; their median has an exact interval
(``compare.statistics``).  The check passes when no interval excludes 0; the largest half-width
says how small a bias it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from compare.statistics import MedianEstimate, median_estimate
from simulate.result import Simulation


@dataclass(frozen=True)
class StepCheck:
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
            return "step check: too few seeds for a 95 % interval; 6 are enough"
        word = "stands" if self.stands else "FAILS: take a smaller --accuracy and a larger --virtual"
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
    if coarse.problem != fine.problem or not np.array_equal(coarse.directions, fine.directions):
        raise ValueError("a step check compares two runs from the same directions")
    estimates = {}
    for event in ("alignment", "recovery"):
        a, b = getattr(coarse, event), getattr(fine, event)
        both = np.isfinite(a) & np.isfinite(b) & (b > 0)
        # reached in one run only: an infinite difference of that sign; in neither: no difference
        gap = np.where(np.isfinite(a), -np.inf, np.inf)
        gap = np.where(both, a / np.where(both, b, 1.0) - 1, gap)
        gap = np.where(~np.isfinite(a) & ~np.isfinite(b) | (a == b), 0.0, gap)
        estimates[event] = tuple(median_estimate(gap[:, p]) for p in range(coarse.problem.P))
    every = [*estimates["alignment"], *estimates["recovery"]]
    stands = None if not every[0].certified else all(e.interval[0] <= 0 <= e.interval[1] for e in every)
    widths = [(e.interval[1] - e.interval[0]) / 2 for e in every]
    return StepCheck(estimates["alignment"], estimates["recovery"], stands, float(max(widths)))
