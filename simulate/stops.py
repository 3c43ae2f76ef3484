"""When a run is looked at: first-passage checks and records, in steps.

Transitions are checked at least every 0.2 % of the elapsed time (every step up to step 1000),
so a measured first-passage time is late by at most 0.2 % whatever the record grid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHECK_FRACTION = 0.002
SPACINGS = ("log", "linear")

Steps = NDArray[np.int64]


def check_steps(steps: int) -> Steps:
    """Ascending steps 1 … ``steps`` with gaps of at most 0.2 % of the step reached."""
    every = np.arange(1, min(steps, 1000) + 1)
    if steps <= 1000:
        return every
    checks = [1000]
    while checks[-1] < steps:
        checks.append(min(steps, checks[-1] + int(CHECK_FRACTION * checks[-1])))
    return np.concatenate([every, checks[1:]]).astype(np.int64)


def record_steps(steps: int, records: int, spacing: str) -> Steps:
    """Step 0 and about ``records`` later ones up to ``steps``, ascending without repetition; every step if so many."""
    if spacing not in SPACINGS:
        raise ValueError(f"`spacing` must be one of {', '.join(SPACINGS)}, but is {spacing!r}")
    if records >= steps:
        return np.arange(steps + 1, dtype=np.int64)
    grid = np.geomspace(1, steps, records) if spacing == "log" else np.linspace(steps / records, steps, records)
    return np.unique(np.concatenate([[0], np.maximum(1, np.round(grid)), [steps]])).astype(np.int64)
