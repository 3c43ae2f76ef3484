"""Numbers as a reader sees them: what was not measured is a dash, never ``nan``."""

from __future__ import annotations

import math

from .statistics import MedianEstimate

NOTHING = "—"


def number_text(value: float, spec: str) -> str:
    """The number in a format such as ``"+.3f"``."""
    return NOTHING if math.isnan(value) else format(value, spec)


def interval_text(interval: tuple[float, float], spec: str) -> str:
    """``[-0.003, +0.020]``."""
    low, high = interval
    return NOTHING if math.isnan(low) or math.isnan(high) else f"[{low:{spec}}, {high:{spec}}]"


def estimate_text(estimate: MedianEstimate) -> str:
    """``+0.012 [-0.003, +0.020]``."""
    if not estimate.count:
        return NOTHING
    return f"{number_text(estimate.median, '+.3f')} {interval_text(estimate.interval, '+.3f')}"
