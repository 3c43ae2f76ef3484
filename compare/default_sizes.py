"""Sizes that measure a quantity by a method in reasonable time, where an experiment does not say its own.

P, d and seeds; students, widths and the smaller sizes in units of P, so that they follow a P that is given; and
what a claim may then ask: ``allowance`` for what theory at that size is off an asymptotic formula, the error of a
formula that it ``detects``, and whether the finite law's own shift at that size is taken out (``finite_size``).
Chosen so that the derived exponents and closed-form constants are upheld, and refuted when off by ``detects`` and
a little more.  Durations: ``compare.claim``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

DIMENSIONS = (256, 1024, 4096, 16384)  # a factor of 64 in the time of k* = 4


@dataclass(frozen=True)
class Sizes:
    """Defaults of one quantity by one method; ``students`` and ``widths`` in units of P, the rest as in ``Claim``."""

    P: int = 1
    d: int = 4096
    students: float = 4.0
    seeds: int = 48
    widths: tuple[float, ...] = ()
    dimensions: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    step_size: float = 0.05
    step_sizes: tuple[float, ...] = ()
    allowance: float = 0.02
    detects: float = 0.1
    finite_size: bool = False


def _shares(low: float, high: float, count: int) -> tuple[float, ...]:
    return tuple(np.geomspace(low, high, count).tolist())


# No dynamics, so P is large enough for the asymptote
_LAW = Sizes(P=4000, d=1_000_000, seeds=64)
_WIDTH_LAW = replace(_LAW, P=20_000, students=1, widths=_shares(1 / 16, 1 / 2, 8), seeds=24, allowance=0.04)
_ENVELOPE_LAW = replace(
    _LAW, P=10_000, widths=_shares(1e-3, 4, 25), sizes=(1000, 30_000), seeds=100, allowance=0.03, detects=0.2
)
_DIMENSION_LAW = Sizes(students=8, dimensions=(1024, 4096, 16384, 65536), seeds=200)
# Simulated at small P, and compared with the finite law there
_RUNS = Sizes(P=32, seeds=48, allowance=0.03, detects=0.2, finite_size=True)
_FLOWS = replace(_RUNS, P=12, d=1024, seeds=24)
_ENVELOPE = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4)
# From far below the ceiling of the step size to where runs of that length survive
_SWEPT = replace(_RUNS, P=16, d=1024, seeds=32, step_sizes=_shares(0.08, 0.64, 7), detects=0.45)
_NOISE_LAW = replace(_LAW, allowance=0.1, detects=0.25)
# One direction
_ONE = Sizes(students=8, seeds=12)
_ONE_REDUCED = Sizes(students=16, d=64, step_size=0.005, seeds=48, allowance=0.05, detects=0.4)
_ONE_LEAP = Sizes(students=16, d=16384, step_size=1e-6, seeds=24, allowance=0.03, detects=0.095)

DEFAULTS: dict[tuple[str, str], Sizes] = {
    ("flow_time", "finite_law"): _LAW,
    ("flow_time", "flow"): _FLOWS,
    ("flow_time", "leap"): _RUNS,
    ("samples_fixed_step", "leap"): replace(_RUNS, step_size=0.002, seeds=64),
    ("samples_horizon_step", "finite_law"): _LAW,
    ("samples_best_step", "leap"): _SWEPT,
    ("samples_best_step", "reduced"): replace(
        _SWEPT, P=8, d=64, step_sizes=_shares(0.16, 0.64, 3), seeds=24, allowance=0.1, detects=2.0
    ),
    ("samples_best_step", "sgd_law"): _NOISE_LAW,
    ("width", "finite_law"): _WIDTH_LAW,
    ("width", "flow"): replace(_FLOWS, P=32, students=1, widths=_shares(1 / 16, 1 / 2, 8), seeds=96),
    ("width", "leap"): replace(_RUNS, students=1, widths=_shares(1 / 16, 1 / 2, 8), seeds=96),
    ("compute_width_time", "finite_law"): _ENVELOPE_LAW,
    ("compute_width_time", "flow"): replace(_FLOWS, widths=_ENVELOPE, allowance=0.05),
    ("compute_width_time", "leap"): replace(_RUNS, widths=_ENVELOPE, allowance=0.05),
    ("dimension_time", "finite_law"): _DIMENSION_LAW,
    ("dimension_time", "flow"): replace(_ONE, dimensions=DIMENSIONS),
    ("dimension_time", "leap"): replace(_ONE, dimensions=DIMENSIONS, seeds=24),
    ("dimension_samples", "sgd_law"): replace(
        _DIMENSION_LAW, dimensions=tuple(2**i for i in (20, 22, 24, 26)), step_sizes=_shares(1e-4, 0.3, 16),
        allowance=0.15, detects=0.5,
    ),
    ("dimension_samples", "leap"): replace(
        _ONE, dimensions=(512, 2048, 8192), step_sizes=_shares(0.02, 0.64, 6), seeds=48, finite_size=True,
        allowance=0.1, detects=0.7,
    ),
    ("dimension_samples", "reduced"): replace(
        _ONE, dimensions=(48, 64, 96), step_sizes=_shares(0.16, 0.64, 3), seeds=48, finite_size=True,
        allowance=0.1, detects=2.0,
    ),
    ("alignment", "flow"): replace(_ONE, d=16384, seeds=24, allowance=0.03, detects=0.095),
    ("alignment", "reduced"): _ONE_REDUCED,
    ("alignment", "leap"): _ONE_LEAP,
    ("recovery_delay", "flow"): _ONE,
    ("recovery_delay", "reduced"): _ONE_REDUCED,
    ("recovery_delay", "leap"): _ONE_LEAP,
}  # fmt: skip


def methods(quantity: str) -> list[str]:
    """How a quantity is measured, the default first; empty where it is none."""
    return [method for name, method in DEFAULTS if name == quantity]
