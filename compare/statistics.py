"""Medians over independent seeds with exact, distribution-free intervals.

For n independent values the probability that the population median lies between the i-th
smallest and the i-th largest is ``1 − 2 P(Bin(n, ½) < i)``, whatever the law; infinite values
(never reached) take their place in the order like any other.  No interval of n < 6 values
reaches 95 %; then the full range is given with the coverage it really has.

Source: Hahn & Meeker, *Statistical Intervals*, §5.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom
from scipy.stats import t as student

from .._types import Array
from ..problem.events import middle

CONFIDENCE = 0.95


@dataclass(frozen=True)
class MedianEstimate:
    """A median over ``count`` independent values, its interval and the interval's coverage."""

    median: float
    interval: tuple[float, float]
    coverage: float
    count: int

    @property
    def certified(self) -> bool:
        """Does the interval reach 95 % coverage?"""
        return self.coverage >= CONFIDENCE

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf stays inf for the caller to write as null."""
        return {
            "median": self.median,
            "interval": list(self.interval),
            "coverage": self.coverage,
            "count": self.count,
        }


def median_estimate(values: ArrayLike, confidence: float = CONFIDENCE) -> MedianEstimate:
    """Median and exact interval of independent values, inf allowed, NaN not.

    Raises
    ------
    ValueError
        NaN among the values.
    """
    ordered = np.sort(np.asarray(values, dtype=float).ravel())
    n = ordered.size
    if np.isnan(ordered).any():
        raise ValueError("a median of NaN has no meaning; mark values never reached by inf")
    if n == 0:
        return MedianEstimate(np.nan, (np.nan, np.nan), 0.0, 0)
    rank = interval_rank(n, confidence) or 1
    reached = float(_coverage(rank, n)) if n > 1 else 0.0
    return MedianEstimate(middle(ordered), (float(ordered[rank - 1]), float(ordered[n - rank])), reached, n)


def interval_rank(n: int, confidence: float = CONFIDENCE) -> int:
    """The rank, from either end, of the values that bound the interval of n; 0 where none reaches ``confidence``."""
    ranks = np.arange(1, n // 2 + 1)
    return int(np.sum(_coverage(ranks, n) >= confidence))


def _coverage(ranks: Any, n: int) -> Any:
    """Probability that the median lies between the values of a rank from either end; it falls with the rank."""
    return 1 - 2 * binom.cdf(ranks - 1, n, 0.5)


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds with its 95 % interval."""

    mean: float
    interval: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"mean": self.mean, "interval": list(self.interval)}


def seed_mean(values: Array) -> SeedMean:
    """Mean and t-interval of independent values."""
    error = float(values.std(ddof=1) / np.sqrt(values.size))
    half = float(student.ppf(0.975, values.size - 1)) * error
    mean = float(values.mean())
    return SeedMean(mean, (mean - half, mean + half))
