"""Measuring an experiment: curves of a quantity against a resource, or transition times, one row a seed.

Quantities and methods: ``compare.experiment``.  Leap of a quantity without a step size runs quietly, as gradient flow
(``compare.runs``).  Every simulated curve comes with the finite law's curve from the same start, and with many of
the law, as control variates of ``compare.exponent_fit``; at the best step size with the mean by the law of SGD.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .._types import Array
from ..problem.problem import Problem
from ..simulate import sgd
from ..theory import FiniteLaw, finite_law, resource_curves, sample_curves, sgd_law
from ..theory.finite_size_law import law_of_starts
from .experiment import SETTLED, Experiment
from .runs import (
    SAMPLERS,
    first_passages,
    lower_envelope,
    noiseless_losses,
    quiet_step_size,
    sgd_to,
    undiverged,
    weakest_step_size,
)  # fmt: skip
from .step_sweep import cross_validated, learned, resampled, step_sizes_of, sweep

LAW_NUMBERS = 4_000_000  # of the control variate: draws × directions
LAW_DRAWS = 10_000  # at most
POINTS = 80  # of a curve
LENGTH = 4.0  # of runs at several step sizes, in flows to the last recovery at the largest


@dataclass(frozen=True)
class Measured:
    """What an experiment gives.

    Attributes
    ----------
    x, rows
        Resource (T,) and the quantity, one row a seed, (S, T).  Of a constant the P strengths and flow times.
    same, many
        The finite law from the same starts (S, T) and from many (D, T); empty where there is no control.
        Of a constant ``same`` is the squared initial overlap of each direction's student, 0 where it has none.
    resampled
        Centres (B, T) of resamples of the seeds where the rows are at step sizes that the seeds choose; else empty.
    tail, centre, window
        How ``fit_exponent`` is to read them; a window of (0, inf) is left to its rules.
    """

    x: Array
    rows: Array
    same: Array
    many: Array
    resampled: Array
    tail: str
    centre: str
    window: tuple[float, float]


def measure(experiment: Experiment, seed: int) -> Measured:
    """Run the experiment, at its own P whatever its ``sizes``.

    Raises
    ------
    ValueError
        A run that cannot be measured: it diverged, or a direction was not learned in time.
    """
    return _EXPERIMENTS[experiment.quantity](experiment, seed)


def _measured(
    x: Array, rows: Array, same: Array | None, many: Array | None, *, resampled: Array | None = None,
    tail: str = "finite", centre: str = "mean", window: tuple[float, float] = (0.0, np.inf),
) -> Measured:  # fmt: skip
    own, law, again = (np.zeros((0, len(x))) if part is None else part for part in (same, many, resampled))
    return Measured(x, rows, own, law, again, tail, centre, window)


def _law(experiment: Experiment, problem: Problem, seed: int) -> FiniteLaw:
    """The law that is itself measured by the method ``finite_law``."""
    return finite_law(problem, draws=experiment.seeds, seed=seed, quantiles=(0.5,))


def _many(problem: Problem, seed: int) -> FiniteLaw:
    """The law from many starts, of another stream than any run."""
    draws = int(np.clip(LAW_NUMBERS // problem.P, 50, LAW_DRAWS))
    return finite_law(problem, draws=draws, seed=seed + 1_000_003, quantiles=(0.5,))


def _span(law: FiniteLaw) -> tuple[float, float]:
    """Half the first and three halves of the last median recovery time."""
    learned = np.isfinite(law.recovery)
    times = np.where(learned, law.recovery, np.nan)[learned.any(axis=1)]
    return 0.5 * float(np.nanmedian(np.nanmin(times, axis=1))), 1.5 * float(np.nanmedian(np.nanmax(times, axis=1)))


def _middle(low: float, high: float) -> tuple[float, float]:
    """The window of simulated curves of a span: past the first fifth, in the logarithm, between the first and the
    last median recovery times, to half the last.

    Wider than the rules of ``fit_exponent``, which are for curves without a control variate; the first few
    directions make most of the scatter that the control leaves.
    """
    first, last = 2 * low, high / 1.5
    return first * (last / first) ** 0.2, 0.5 * last


def _noiseless(experiment: Experiment, problem: Problem, horizon: float, seed: int) -> tuple[Array, Array, FiniteLaw]:
    return noiseless_losses(problem, horizon, method=experiment.method, seeds=experiment.seeds, seed=seed)


def _thinned(times: Array, low: float) -> Array:
    """Indices of about POINTS times from ``low`` on, evenly spaced in their logarithm."""
    first = int(np.searchsorted(times, low))
    wanted = np.geomspace(times[first], times[-1], POINTS)
    return np.unique(np.clip(np.searchsorted(times, wanted), first, len(times) - 1))


def _flow_time(experiment: Experiment, seed: int) -> Measured:
    problem = experiment.problem
    if experiment.method == "finite_law":
        law = _law(experiment, problem, seed)
        x = np.geomspace(*_span(law), 2 * POINTS)
        return _measured(x, law.loss_at(x), None, None)
    many = _many(problem, seed)
    low, high = _span(many)
    times, losses, law = _noiseless(experiment, problem, high, seed)
    kept = _thinned(times, low)
    x = times[kept]
    return _measured(x, losses[:, kept], law.loss_at(x), many.loss_at(x), window=_middle(low, high))


def _samples_fixed_step(experiment: Experiment, seed: int) -> Measured:
    problem, many = experiment.problem, _many(experiment.problem, seed)
    low, high = _span(many)
    eta, sampler = experiment.noise * weakest_step_size(problem), SAMPLERS[experiment.method]
    run = undiverged(sgd_to(problem, eta, high, sampler=sampler, seeds=experiment.seeds, seed=seed))
    law = law_of_starts(problem, run.directions)
    kept = _thinned(run.times, low)
    t, (start, end) = run.times[kept], _middle(low, high)
    return _measured(
        t / run.step_size, run.loss[:, kept], law.loss_at(t), many.loss_at(t),
        window=(start / run.step_size, end / run.step_size),
    )  # fmt: skip


def _samples_horizon_step(experiment: Experiment, seed: int) -> Measured:
    curve = resource_curves.samples_horizon_step(_law(experiment, experiment.problem, seed))
    return _measured(curve.x, curve.rows, None, None)


def _samples_best_step(experiment: Experiment, seed: int) -> Measured:
    """Runs at every step size, each of as many samples as LENGTH flows to the last recovery take at the largest.

    The window is where the mean loss says that between one and half of the directions are learned; for the
    asymptote of the law it is ``SETTLED``.
    """
    problem, size = experiment.problem, experiment.batch
    steps = step_sizes_of(experiment, problem)
    if experiment.method == "sgd_law":
        curve = sample_curves.samples_best_step(
            problem, step_sizes=steps if steps.size else None, batch=size, label_noise=experiment.label_noise, seed=seed
        )
        return _measured(curve.x, curve.rows, None, None, window=learned(problem, curve.x, curve.value, *SETTLED))
    found = sweep(experiment, LENGTH * size * _span(_many(problem, seed))[1] / steps[-1], seed)
    rows, expected = found.best(), found.expected()[0]
    window = learned(problem, found.x, rows.mean(axis=0), 1, problem.P // 2)
    return _measured(
        found.x, rows, None, expected[None], resampled=found.resampled(seed), tail="none", window=window
    )  # fmt: skip


def _width(experiment: Experiment, seed: int) -> Measured:
    """The window stops at m = P/2: at m = P every direction has its student, however late."""
    rows, same, many = [], [], []
    for m in experiment.widths:
        problem = replace(experiment.problem, m=m)
        if experiment.method == "finite_law":
            rows.append(_law(experiment, problem, seed).floor())
            continue
        law = _many(problem, seed)
        horizon = _span(law)[1]
        _, losses, own = _noiseless(experiment, problem, horizon, seed)
        rows.append(losses[:, -1])
        same.append(own.loss_at([horizon])[:, 0])
        many.append(law.loss_at([horizon])[:, 0])
    x = np.array(experiment.widths) + 0.5
    window = (x[0], 0.5 * experiment.P + 0.5)
    return _measured(x, np.stack(rows, axis=1), _table(same), _table(many), window=window)


def _table(columns: list[Array]) -> Array | None:
    return np.stack(columns, axis=1) if columns else None


def _compute_width_time(experiment: Experiment, seed: int) -> Measured:
    """Lower envelope over the widths of the mean loss; each of the three tables has its own."""
    problems = [replace(experiment.problem, m=m) for m in experiment.widths]
    if experiment.method == "finite_law":
        laws = [_law(experiment, problem, seed) for problem in problems]
    else:
        laws = [_many(problem, seed) for problem in problems]
    spans = [_span(law) for law in laws]
    low = min(m * first for m, (first, _) in zip(experiment.widths, spans, strict=True))
    x = np.geomspace(low, experiment.widths[-1] * spans[-1][1], 2 * POINTS)
    if experiment.method == "finite_law":
        return _measured(x, _envelope(x, experiment.widths, [law.loss_at for law in laws]), None, None)
    found: list[Callable[[Array], Array]] = []
    same: list[Callable[[Array], Array]] = []
    for problem, (_, last) in zip(problems, spans, strict=True):
        times, losses, law = _noiseless(experiment, problem, last, seed)
        found.append(partial(_interpolated, times=times, losses=losses))
        same.append(law.loss_at)
    many: list[Callable[[Array], Array]] = [law.loss_at for law in laws]
    return _measured(x, *(_envelope(x, experiment.widths, part) for part in (found, same, many)))


def _interpolated(t: Array, *, times: Array, losses: Array) -> Array:
    return np.stack([np.interp(t, times, row) for row in losses])


def _envelope(x: Array, widths: tuple[int, ...], losses: list[Callable[[Array], Array]]) -> Array:
    return lower_envelope(np.stack([loss(x / m) for m, loss in zip(widths, losses, strict=True)]))[0]


def _dimension_time(experiment: Experiment, seed: int) -> Measured:
    """Alignment of the last direction; a run that does not learn it is later than all."""
    rows, same, many = [], [], []
    for d in experiment.dimensions:
        problem = replace(experiment.problem, d=d)
        if experiment.method == "finite_law":
            rows.append(_law(experiment, problem, seed).alignment[:, -1])
            continue
        found, own = first_passages(
            problem, quiet_step_size(problem), method=experiment.method, seeds=experiment.seeds, seed=seed, every=False
        )
        rows.append(found["alignment"][:, -1])
        same.append(own.alignment[:, -1])
        many.append(_many(problem, seed).alignment[:, -1])
    return _against_dimension(experiment, rows, _table(same), _table(many))


def _dimension_samples(experiment: Experiment, seed: int) -> Measured:
    """Samples to alignment of the last direction at the best step size."""
    tables, laws = [], []
    for d in experiment.dimensions:
        problem = replace(experiment.problem, d=d)
        steps = step_sizes_of(experiment, problem)
        law = np.stack([sgd_law(problem, eta, seed=seed).alignment[:, -1] / eta for eta in steps])
        best = int(np.argmin(np.median(law, axis=1)))
        laws.append(law[best])
        if experiment.method != "sgd_law":
            tables.append(_samples_needed(experiment, problem, steps, seed))
    if experiment.method == "sgd_law":
        return _against_dimension(experiment, [law[: experiment.seeds] for law in laws], None, None)
    rows = [cross_validated(table, "median")[:, 0] for table in tables]
    again = np.hstack([resampled(table, "median", seed) for table in tables])
    return _against_dimension(experiment, rows, None, _table(laws), again)


def _samples_needed(experiment: Experiment, problem: Problem, steps: Array, seed: int) -> Array:
    """Samples of SGD to alignment of the last direction (E, S, 1), for every step size, from the largest on.

    Runs last LENGTH times as long as the flow needs, and no longer than twice the least median found so far.
    """
    flow_time, least, found = LENGTH * _span(_many(problem, seed))[1], np.inf, []
    for eta in steps[::-1]:
        run = sgd(
            problem, eta, int(np.ceil(min(flow_time / eta, 2 * least))), seeds=experiment.seeds, seed=seed,
            sampler=SAMPLERS[experiment.method], records=2,
        )  # fmt: skip
        found.append(run.first_passages("alignment")[:, -1] / eta)
        least = min(least, float(np.median(found[-1])))
    return np.stack(found)[:, :, None]


def _against_dimension(
    experiment: Experiment, rows: list[Array], same: Array | None, many: Array | None, again: Array | None = None
) -> Measured:
    x, table = np.array(experiment.dimensions, dtype=float), np.stack(rows, axis=1)
    late = np.isinf(np.median(table, axis=0))
    if late.any():
        raise ValueError(f"half of the runs at d = {x[late][0]:g} did not learn the last direction in time")
    return _measured(x, table, same, many, resampled=again, tail="none", centre="median")


def _constant(experiment: Experiment, seed: int) -> Measured:
    problem, method = experiment.problem, experiment.method
    eta = experiment.noise * weakest_step_size(problem)
    found, own = first_passages(problem, eta, method=method, seeds=experiment.seeds, seed=seed, every=True)
    with np.errstate(invalid="ignore"):  # never − never
        delay = found["recovery"] - found["alignment"]
    times = found["alignment"] if experiment.quantity == "alignment" else delay
    wanted = own.overlaps > 0
    late = np.argwhere(wanted & ~np.isfinite(times))
    if late.size:
        raise ValueError(
            f"run {late[0][0]} did not learn direction {late[0][1]} in the time that the law gives it, or diverged"
        )
    return _measured(problem.a, np.where(wanted, times, np.inf), own.overlaps**2, None)


_EXPERIMENTS: dict[str, Callable[[Experiment, int], Measured]] = {
    "flow_time": _flow_time,
    "samples_fixed_step": _samples_fixed_step,
    "samples_best_step": _samples_best_step,
    "samples_horizon_step": _samples_horizon_step,
    "width": _width,
    "compute_width_time": _compute_width_time,
    "dimension_time": _dimension_time,
    "dimension_samples": _dimension_samples,
    "alignment": _constant,
    "recovery_delay": _constant,
}
