"""Measuring what a claim speaks of: curves of a quantity against a resource, or transition times, one row a seed.

    flow_time               loss against flow time
    samples_fixed_step      loss against samples at one step size (leap: with the noise of that step size)
    samples_horizon_step    loss against samples, the step size chosen for each number of samples: by the law the
                            best of a lattice; for SGD in proportion to the drift-dominated one of the direction
                            that is due by the end of the run
    width                   loss after a long time against m + ½ (the sum over unlearned p starts at m + ½)
    compute_width_time      loss against students × flow time, the width the best of the given ones
    dimension_time          flow time to alignment of the last direction against d
    dimension_samples       samples to alignment against d, at a step size in proportion to the drift-dominated one
    alignment               flow time to alignment of every direction that has a student
    recovery_delay          flow time from alignment to recovery of the same

Methods: ``finite_law`` (greedy selection and exact single-direction times, no dynamics), ``flow`` (gradient
flow of the population loss), ``leap`` and ``reduced`` (SGD).  Leap of a quantity without a step size runs at
1e-4 of the drift-dominated one: gradient flow, for the price of large steps.  Every simulated curve comes with
the finite law's curve from the same start, and with many of the law, as control variates of
``compare.exponent_fit``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .._types import Array
from ..problem.problem import Problem
from ..problem.seeds import DIRECTIONS, seed_stream
from ..simulate import Leap, Reduced, Simulation, sgd
from ..theory import FiniteLaw, finite_law, flow, resource_curves
from ..theory.critical_step_size import drift_dominated_step_sizes, median_thresholds
from ..theory.finite_size_law import law_of_starts
from .claim import Claim

QUIET = 1e-4  # step size over the drift-dominated one at which leap is gradient flow
WITH_NOISE = Leap()
WITHOUT_NOISE = Leap(virtual=2, accuracy=0.2)  # times within 3 %, their median within 0.5 %
RECORDS = 200
LAW_NUMBERS = 4_000_000  # of the control variate: draws × directions
POINTS = 80  # of a curve
HORIZONS = 12  # runs of different lengths; whole directions, so fewer where P is small


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
    tail, centre, window
        How ``fit_exponent`` is to read them; a window of (0, inf) is left to its rules.
    """

    x: Array
    rows: Array
    same: Array
    many: Array
    tail: str
    centre: str
    window: tuple[float, float]


def measure(claim: Claim, seed: int) -> Measured:
    """Run the experiment of a claim, at its own P whatever its ``sizes``.

    Raises
    ------
    ValueError
        A run that cannot be measured: it diverged, or a direction was not learned in time.
    """
    return _EXPERIMENTS[claim.quantity](claim, seed)


def _measured(
    x: Array, rows: Array, same: Array | None, many: Array | None, *, tail: str = "finite",
    centre: str = "mean", window: tuple[float, float] = (0.0, np.inf),
) -> Measured:  # fmt: skip
    nothing = np.zeros((0, len(x)))
    return Measured(x, rows, nothing if same is None else same, nothing if many is None else many, tail, centre, window)


def random_starts(problem: Problem, seeds: int, seed: int) -> Array:
    """The initial coordinates that ``simulate.execution`` draws for its runs, shape (S, m, P + m)."""
    return np.stack([problem.initial_coordinates(seed_stream(seed, i, DIRECTIONS)) for i in range(seeds)])


def quiet_step_size(problem: Problem) -> float:
    """A step size at which noise plays no part for any direction."""
    return QUIET * _weakest(problem)


def _weakest(problem: Problem) -> float:
    return float(drift_dominated_step_sizes(problem).min())


def _law(claim: Claim, problem: Problem, seed: int) -> FiniteLaw:
    """The law that claims of the method ``finite_law`` are about."""
    return finite_law(problem, draws=claim.seeds, seed=seed, quantiles=(0.5,))


def _many(problem: Problem, seed: int) -> FiniteLaw:
    """The law from many starts, of another stream than any run."""
    draws = int(np.clip(LAW_NUMBERS // problem.P, 50, 10_000))
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


def _sgd(
    claim: Claim, problem: Problem, eta: float, horizon: float, seed: int, records: int = RECORDS,
    control: Leap = WITH_NOISE,
) -> Simulation:  # fmt: skip
    """Runs to flow time ``horizon``."""
    sampler = control if claim.method == "leap" else Reduced()
    run = sgd(
        problem, eta, int(np.ceil(horizon / eta)), seeds=claim.seeds, seed=seed, sampler=sampler, records=records,
        spacing="linear",
    )  # fmt: skip
    return whole(run)


def whole(run: Simulation) -> Simulation:
    """The runs, none of which diverged.

    Raises
    ------
    ValueError
        One did: it has no place in a mean.
    """
    if run.diverged.any():
        raise ValueError(f"a run at step size {run.step_size:.3g} diverged; lower it")
    return run


def _trajectories(claim: Claim, problem: Problem, horizon: float, seed: int) -> tuple[Array, Array, FiniteLaw]:
    """Times (T,), losses (S, T) without noise, and the law of the same starts."""
    if claim.method == "flow":
        times, starts = np.linspace(0, horizon, RECORDS), random_starts(problem, claim.seeds, seed)
        flows = [flow(problem, rows, t_max=horizon, times=times, rtol=1e-5) for rows in starts]
        losses = np.stack([solution.loss_at(times) for solution in flows])
        return times, losses, law_of_starts(problem, starts)
    run = _sgd(claim, problem, quiet_step_size(problem), horizon, seed, control=WITHOUT_NOISE)
    return run.times, run.loss, law_of_starts(problem, run.directions)


def _thinned(times: Array, low: float) -> Array:
    """Indices of about POINTS times from ``low`` on, evenly spaced in their logarithm."""
    first = int(np.searchsorted(times, low))
    wanted = np.geomspace(times[first], times[-1], POINTS)
    return np.unique(np.clip(np.searchsorted(times, wanted), first, len(times) - 1))


def _flow_time(claim: Claim, seed: int) -> Measured:
    problem = claim.problem
    if claim.method == "finite_law":
        law = _law(claim, problem, seed)
        x = np.geomspace(*_span(law), 2 * POINTS)
        return _measured(x, law.loss_at(x), None, None)
    many = _many(problem, seed)
    low, high = _span(many)
    times, losses, law = _trajectories(claim, problem, high, seed)
    kept = _thinned(times, low)
    x = times[kept]
    return _measured(x, losses[:, kept], law.loss_at(x), many.loss_at(x), window=_middle(low, high))


def _samples_fixed_step(claim: Claim, seed: int) -> Measured:
    problem, many = claim.problem, _many(claim.problem, seed)
    low, high = _span(many)
    run = _sgd(claim, problem, claim.noise * _weakest(problem), high, seed)
    law = law_of_starts(problem, run.directions)
    kept = _thinned(run.times, low)
    t, (start, end) = run.times[kept], _middle(low, high)
    return _measured(
        t / run.step_size, run.loss[:, kept], law.loss_at(t), many.loss_at(t),
        window=(start / run.step_size, end / run.step_size),
    )  # fmt: skip


def _samples_horizon_step(claim: Claim, seed: int) -> Measured:
    problem = claim.problem
    if claim.method == "finite_law":
        curve = resource_curves.samples_horizon_step(_law(claim, problem, seed))
        return _measured(curve.x, curve.rows, None, None)
    many = _many(problem, seed)
    thresholds, due = median_thresholds(many), np.median(many.recovery, axis=0)
    own = law_of_starts(problem, random_starts(problem, claim.seeds, seed))
    x, rows, same, law_rows = [], [], [], []
    for q in np.unique(np.round(np.geomspace(2, 0.6 * problem.P, HORIZONS)).astype(int)) - 1:
        eta = claim.noise * float(thresholds[q])
        run = _sgd(claim, problem, eta, 1.2 * float(due[q]), seed, records=1)
        x.append(run.run.samples)
        rows.append(run.loss[:, -1])
        same.append(own.loss_at(run.times[-1:])[:, 0])
        law_rows.append(many.loss_at(run.times[-1:])[:, 0])
    span = float(x[0]), float(x[-1])
    return _measured(np.array(x), np.stack(rows, axis=1), _table(same), _table(law_rows), window=span)


def _width(claim: Claim, seed: int) -> Measured:
    """The window stops at m = P/2: at m = P every direction has its student, however late."""
    rows, same, many = [], [], []
    for m in claim.widths:
        problem = replace(claim.problem, m=m)
        if claim.method == "finite_law":
            rows.append(_law(claim, problem, seed).floor())
            continue
        law = _many(problem, seed)
        horizon = _span(law)[1]
        _, losses, own = _trajectories(claim, problem, horizon, seed)
        rows.append(losses[:, -1])
        same.append(own.loss_at([horizon])[:, 0])
        many.append(law.loss_at([horizon])[:, 0])
    x = np.array(claim.widths) + 0.5
    window = (x[0], 0.5 * claim.P + 0.5)
    return _measured(x, np.stack(rows, axis=1), _table(same), _table(many), window=window)


def _table(columns: list[Array]) -> Array | None:
    return np.stack(columns, axis=1) if columns else None


def _compute_width_time(claim: Claim, seed: int) -> Measured:
    """Lower envelope over the widths of the mean loss; each of the three tables has its own."""
    problems = [replace(claim.problem, m=m) for m in claim.widths]
    if claim.method == "finite_law":
        laws = [_law(claim, problem, seed) for problem in problems]
    else:
        laws = [_many(problem, seed) for problem in problems]
    spans = [_span(law) for law in laws]
    low = min(m * first for m, (first, _) in zip(claim.widths, spans, strict=True))
    x = np.geomspace(low, claim.widths[-1] * spans[-1][1], 2 * POINTS)
    if claim.method == "finite_law":
        return _measured(x, _envelope(x, claim.widths, [law.loss_at for law in laws]), None, None)
    found: list[Callable[[Array], Array]] = []
    same: list[Callable[[Array], Array]] = []
    for problem, (_, last) in zip(problems, spans, strict=True):
        times, losses, law = _trajectories(claim, problem, last, seed)
        found.append(partial(_interpolated, times=times, losses=losses))
        same.append(law.loss_at)
    many: list[Callable[[Array], Array]] = [law.loss_at for law in laws]
    return _measured(x, *(_envelope(x, claim.widths, part) for part in (found, same, many)))


def _interpolated(t: Array, *, times: Array, losses: Array) -> Array:
    return np.stack([np.interp(t, times, row) for row in losses])


def _envelope(x: Array, widths: tuple[int, ...], losses: list[Callable[[Array], Array]]) -> Array:
    rows = np.stack([loss(x / m) for m, loss in zip(widths, losses, strict=True)])  # (W, S, T)
    best = np.argmin(rows.mean(axis=1), axis=0)
    return rows[best, :, np.arange(len(x))].T


def _dimension_time(claim: Claim, seed: int) -> Measured:
    return _against_dimension(claim, seed, [(replace(claim.problem, d=d), 1.0) for d in claim.dimensions])


def _dimension_samples(claim: Claim, seed: int) -> Measured:
    problems = [replace(claim.problem, d=d) for d in claim.dimensions]
    return _against_dimension(claim, seed, [(problem, claim.noise * _weakest(problem)) for problem in problems])


def _against_dimension(claim: Claim, seed: int, units: list[tuple[Problem, float]]) -> Measured:
    """Alignment of the last direction over a unit of flow time, which is the step size where samples are counted."""
    rows, same, many = [], [], []
    for problem, unit in units:
        if claim.method == "finite_law":
            rows.append(_law(claim, problem, seed).alignment[:, -1] / unit)
            continue
        eta = unit if claim.quantity == "dimension_samples" else quiet_step_size(problem)
        found, own = _transitions(claim, problem, eta, seed)
        rows.append(found[0][:, -1] / unit)
        same.append(own.alignment[:, -1] / unit)
        many.append(_many(problem, seed).alignment[:, -1] / unit)
    x, table = np.array(claim.dimensions, dtype=float), np.stack(rows, axis=1)
    late = np.isinf(np.median(table, axis=0))
    if late.any():
        raise ValueError(f"half of the runs at d = {x[late][0]:g} did not learn the last direction in time")
    return _measured(x, table, _table(same), _table(many), tail="none", centre="median")


def _transitions(claim: Claim, problem: Problem, eta: float, seed: int) -> tuple[tuple[Array, Array], FiniteLaw]:
    """First passages of alignment and recovery (S, P), and the law of the same starts.

    The flow stops by itself.  SGD lasts 2.5 times as long as the law says that the slowest start needs, or for
    a median over seeds the middle one.
    """
    starts = random_starts(problem, claim.seeds, seed)
    law = law_of_starts(problem, starts)
    needed = np.where(np.isfinite(law.recovery), law.recovery, 0.0).max(axis=1)
    late = claim.method == "flow" or claim.kind == "constant"
    horizon = 2.5 * float(needed.max() if late else np.median(needed))
    if claim.method == "flow":
        every = np.full(problem.P, True)
        solutions = [flow(problem, rows, t_max=horizon, until=every, rtol=1e-5) for rows in starts]
        return (np.stack([s.alignment for s in solutions]), np.stack([s.recovery for s in solutions])), law
    run = _sgd(claim, problem, eta, horizon, seed, records=2)
    return (run.alignment, run.recovery), law


def _constant(claim: Claim, seed: int) -> Measured:
    problem = claim.problem
    (alignment, recovery), own = _transitions(claim, problem, claim.noise * _weakest(problem), seed)
    with np.errstate(invalid="ignore"):  # never − never
        times = alignment if claim.quantity == "alignment" else recovery - alignment
    wanted = own.overlaps > 0
    late = np.argwhere(wanted & ~np.isfinite(times))
    if late.size:
        raise ValueError(f"run {late[0][0]} did not learn direction {late[0][1]} in the time that the law gives it")
    return _measured(problem.a, np.where(wanted, times, np.inf), own.overlaps**2, None)


_EXPERIMENTS: dict[str, Callable[[Claim, int], Measured]] = {
    "flow_time": _flow_time,
    "samples_fixed_step": _samples_fixed_step,
    "samples_horizon_step": _samples_horizon_step,
    "width": _width,
    "compute_width_time": _compute_width_time,
    "dimension_time": _dimension_time,
    "dimension_samples": _dimension_samples,
    "alignment": _constant,
    "recovery_delay": _constant,
}
