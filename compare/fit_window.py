"""Which part of a curve an exponent is fitted to, and how much that choice matters.

The window, unless given, looks at no exponent.  It starts at 3 times the x where the loss has
fallen by 10 % (the first steps are over) and ends at x_end/2 (the scatter of the last T_p rounds the
corner at x_end); a fitted x_end shrinks it until that holds.  ``tail="none"`` uses every point.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from .truncated_law import fit_law

START_DROP, START_FACTOR, END_FRACTION = 0.1, 3.0, 0.5
TRIM = 0.1  # of the window's log range: how far its ends move in to measure the sensitivity


def used_points(x: Array, middle: Array, tail: str, end: float | None, window: tuple[float, float] | None) -> Array:
    """Which points are used, (T,) of bool, by the rules of the file's docstring."""
    used = np.isfinite(middle)
    if window is not None:
        return used & (x >= window[0]) & (x <= window[1])
    if tail == "none":
        return used
    fallen = middle < (1 - START_DROP) * middle[0]
    if not fallen.any():
        return np.zeros_like(used)
    used &= x >= START_FACTOR * x[np.argmax(fallen)]
    if end is not None:
        return used & (x <= END_FRACTION * end)
    used &= np.cumsum(middle[::-1] > 0)[::-1] > 0  # past the last step there is no law
    while used.sum() > 3:
        limit = END_FRACTION * fit_law(x[used], middle[None, used], tail, None).end[0]
        if x[used][-1] <= limit:
            break
        used &= x <= limit
    return used


def sensitivity(x: Array, middle: Array, tail: str, end: float | None, gamma: float) -> float:
    """Largest shift of the exponent when the start, the end, or both move in by ``TRIM`` of the log range."""
    trim = (x[-1] / x[0]) ** TRIM
    after, before = x >= x[0] * trim, x <= x[-1] / trim
    inner = [used for used in (after, before, after & before) if used.sum() >= 3]
    shifts = [abs(float(fit_law(x[used], middle[None, used], tail, end, gamma).gamma[0]) - gamma) for used in inner]
    return max(shifts, default=np.inf)
