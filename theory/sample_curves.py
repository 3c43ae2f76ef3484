"""The expected loss of SGD against samples, at one step size and at the best (``theory.finite_step_law``).

    samples_fixed_step                 x = samples, steps × B, at one step size or schedule
    samples_best_step                  x = samples, the constant step size the best for each x
    compute_width_samples_best_step    x = m n, the best width and step size for each x

Here gradient noise is that of the moment and what it does to every direction is followed; the rule of
``theory.resource_curves`` holds it at its initial level instead, which is sufficient below the ceiling of the step
size and far from necessary.  "Best" minimises the expected loss of at most x samples over step sizes on a lattice up
to ``VALID`` of the ceiling or to where runs of that length diverge (``problem.divergence``); the loss is flat there,
so that a coarse lattice serves.  Units: samples; compute counts students × samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array
from ..problem.checks import nonnegative_number, positive_integer
from ..problem.divergence import RISK
from ..problem.problem import Problem
from ..problem.schedule import StepSize, as_schedule
from .critical_step_size import drift_dominated_step_size
from .finite_step_law import ENDLESS, VALID, SgdLaw, sgd_law
from .gradient_noise import ceiling
from .random_init import best_overlap
from .resource_curves import Curve, axis, lattice, width_list

RATIO = 1.5  # of neighbouring step sizes near the ceiling; further down, where the best is flatter, 2
QUANTILES = (0.1, 0.5, 0.9)


def samples_fixed_step(
    problem: Problem, step_size: StepSize, samples: ArrayLike | None = None, *, batch: int = 1,
    label_noise: float = 0.0, quantiles: Sequence[float] = QUANTILES, seed: int = 0,
) -> Curve:  # fmt: skip
    """Loss against samples (steps × batch) over random starts; default from before the first to after the last.

    ``step_size`` is η or a schedule (``problem.schedule``).
    """
    schedule, size = as_schedule(step_size), positive_integer("batch", batch)
    x = None if samples is None else axis("samples", samples)
    horizon = None if x is None else float(schedule.sums(np.array([int(min(np.ceil(x[-1] / size), ENDLESS))]), 1)[0])
    law = sgd_law(problem, schedule, batch=size, label_noise=label_noise, t_max=horizon, seed=seed)
    if x is None:
        first = np.where(np.isfinite(law.recovery), law.recovery, np.inf).min(axis=1)
        start = np.interp(min(float(np.median(first)), law.t_max), law.times, law.samples)
        x = lattice(0.5 * float(start), float(law.samples[-1]))
        x = x[x <= law.samples[-1]]
    mean, rows = _read(law, x)
    return _curve("samples_fixed_step", x, mean, rows, quantiles, {})


def samples_best_step(
    problem: Problem, samples: ArrayLike | None = None, *, step_sizes: ArrayLike | None = None, batch: int = 1,
    label_noise: float = 0.0, quantiles: Sequence[float] = QUANTILES, seed: int = 0,
) -> Curve:  # fmt: skip
    """Loss against samples, for each the step size of least expected loss.

    Parameters
    ----------
    step_sizes
        The step sizes to choose from; default a lattice from the least that is of use to the largest that holds.
    """
    laws = _laws(problem, step_sizes, batch, label_noise, seed)
    x = _span(laws) if samples is None else axis("samples", samples)
    mean, rows, choice = best_of(laws, x)
    return _curve("samples_best_step", x, mean, rows, quantiles, choice)


def compute_width_samples_best_step(
    problem: Problem, widths: Iterable[int] | None = None, *, batch: int = 1, label_noise: float = 0.0,
    quantiles: Sequence[float] = QUANTILES, seed: int = 0,
) -> Curve:  # fmt: skip
    """Loss against width × samples, for each the width and the step size of least expected loss."""
    x: Array | None = None
    for m in width_list(problem.m, widths)[::-1]:  # the widest first: it sets the span
        narrow = replace(problem, m=m)
        laws = _laws(narrow, None, batch, label_noise, seed)
        if x is None:
            x = _span(laws)
            x = lattice(x[0], m * x[-1])
            best = np.full(x.size, np.inf)
            rows, choice = np.zeros((1, x.size)), {"width": np.zeros(x.size), "step_size": np.zeros(x.size)}
        mean, found, chosen = best_of(laws, x / m)
        better = mean <= (1 + 1e-9) * best  # the narrowest of equals
        draws = max(len(rows), len(found))
        rows = np.resize(rows, (draws, x.size))
        rows[:, better] = np.resize(found, (draws, x.size))[:, better]
        best = np.where(better, mean, best)
        choice["width"][better] = m
        choice["step_size"][better] = chosen["step_size"][better]
    assert x is not None
    return _curve("compute_width_samples_best_step", x, best, rows, quantiles, choice)


def step_size_lattice(problem: Problem, batch: int = 1, label_noise: float = 0.0) -> Array:
    """Step sizes from the least that is of use to ``VALID`` of the ceiling.

    The least is half the drift-dominated one of the weakest direction at the noise that is left when all stronger
    ones are learned, or a tenth of the largest; a batch B allows B times larger ones while a step stays small.
    """
    sigma, a = problem.activation, problem.a[problem.a > 0]
    top = VALID * ceiling(problem)
    overlap = np.sqrt(best_overlap(problem, 0.5))
    quiet = drift_dominated_step_size(problem, a, overlap, 1)  # at noise E2 = φ(1)
    order = np.sort(a)
    left = sigma.second_moment * np.interp(a, order, np.cumsum(order**2))
    low = float(np.min(0.5 * quiet * sigma.second_moment / (left + label_noise**2)))
    near = RATIO ** -np.arange(4.0)
    count = int(np.ceil(np.log2(near[-1] * top / min(low, 0.1 * top))))
    shares = np.concatenate([near, near[-1] * 2.0 ** -np.arange(1.0, count + 1)])
    limit = 0.2 / (a.max() * sigma.slope_second_moment)
    return np.unique(np.minimum(batch * top * shares, limit))


def _laws(problem: Problem, step_sizes: ArrayLike | None, batch: int, label_noise: float, seed: int) -> list[SgdLaw]:
    batch, tau = positive_integer("batch", batch), nonnegative_number("label_noise", label_noise)
    steps = step_size_lattice(problem, batch, tau) if step_sizes is None else axis("step_sizes", step_sizes)
    return [sgd_law(problem, float(eta), batch=batch, label_noise=tau, seed=seed) for eta in steps]


def _span(laws: list[SgdLaw]) -> Array:
    """From half the first recovery at any of the step sizes to the end of the law at the smallest."""
    first, last = [], []
    for law in laws:
        times = np.where(np.isfinite(law.recovery), law.recovery, law.t_max).min(axis=1)
        first.append(float(np.interp(np.median(times), law.times, law.samples)))
        last.append(float(law.samples[-1]))
    return lattice(0.5 * min(first), 0.5 * max(last))


def _read(law: SgdLaw, x: Array) -> tuple[Array, Array]:
    """Mean loss and that of each draw at x samples; past the end of the law its last value."""
    t = law.flow_time_of(x)
    return law.loss_at(t), np.stack([np.interp(t, law.times, row) for row in law.rows])


def lost(law: SgdLaw, x: Array) -> Array:
    """Does direct SGD diverge within x samples with a probability above ``RISK``?  Boolean (X,)."""
    return 1 - law.survival_at(law.flow_time_of(x)) > RISK


def least_so_far(values: Array) -> Array:
    """For every index the last one up to it where ``values`` (X,) are least: a run may end before x."""
    return np.maximum.accumulate(np.where(values <= np.minimum.accumulate(values), np.arange(values.size), 0))


def best_of(laws: Sequence[SgdLaw], x: Array) -> tuple[Array, Array, dict[str, Array]]:
    """Mean (X,) and rows (D, X) of the loss at x samples, and ``step_size`` (X,), for laws of ascending step sizes."""
    read = [_read(law, x) for law in laws]
    means = np.stack([mean for mean, _ in read])
    for i, law in enumerate(laws[1:], 1):  # a run that long must survive
        means[i, lost(law, x)] = np.inf
    best = np.argmin(means, axis=0)
    least = np.min(means, axis=0)
    at = least_so_far(least)
    rows = np.stack([read[best[j]][1][:, j] for j in at], axis=1)
    return least[at], rows, {"step_size": np.array([laws[best[j]].step_size for j in at])}


def _curve(
    name: str, x: Array, mean: Array, rows: Array, quantiles: Sequence[float], choice: dict[str, Array]
) -> Curve:
    levels = tuple(float(q) for q in quantiles)
    bands = np.stack([np.quantile(rows, q, axis=0, method="inverted_cdf") for q in levels])
    return Curve(name, x, rows, mean, levels, bands, choice)
