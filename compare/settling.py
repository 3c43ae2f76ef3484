"""What would settle an inconclusive verdict: more seeds, a longer run, or a sampler that sees what this one cannot.

*More seeds.*  The rule of ``compare.verdicts`` is applied to n seeds that fall as those at hand.  Of the seed medians
of one event let shares b lie below −tolerance and a above +tolerance, and let the interval of n be bounded by the
r-th smallest and the r-th largest (``compare.statistics``).  It lies inside where at most r − 1 are below and at most
r − 1 above, and outside where at most r − 1 are not above (or not below):

    P(not inside) ≤ P(Bin(n, b) ≥ r) + P(Bin(n, a) ≥ r),      P(outside) = P(Bin(n, 1 − a) < r) + P(Bin(n, 1 − b) < r).

A mean with the t-interval m ± t s/√n, as the law of SGD is judged by, is normal about m with standard deviation s/√n.
Agreement asks of every interval to be inside, disagreement of one to be outside, so that

    P(a verdict) ≥ max(0, 1 − Σ P(not inside)) + max P(outside),

and the first n of a grid of round numbers at which that is ``CHANCE`` is what it takes.  Shares, means and scatter are
those at hand; fewer seeds than give an interval do not tell them.

*A longer run.*  Only transitions that the flow predicts within the run are tested.  Where too few seeds have one, the
run has to last until the flow predicts one in each seed, and (1 + tolerance) times that, so that one which is late by
the tolerance is reached too.

Numbers of seeds are to be fixed before anything is run: intervals of runs that go on until there is a verdict are not
95 % intervals.  Derived here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom, norm
from scipy.stats import t as student

from .._types import Array
from ..problem.divergence import RISK
from ..problem.events import EVENTS
from ..problem.schedule import Custom, Schedule
from ..simulate import Leap, Simulation
from ..simulate.run import MAX_SAMPLES
from ..theory.prediction import Prediction
from .calibration import Calibration, idle_events, law_of_runs
from .statistics import interval_rank
from .verdicts import FEWEST, calibration_targets

CHANCE = 0.9  # of a verdict
MOST = 10_000  # seeds
_GRID = sorted({int(float(f"{x:.2g}")) for x in np.geomspace(FEWEST, MOST, 150)})


@dataclass(frozen=True)
class Settling:
    """What it takes, as far as the runs at hand tell.

    Attributes
    ----------
    seeds
        How many seeds; None where their number is not what is missing, or no number up to ``MOST`` would do.
    flow_time, samples
        How long a run has to be, in flow time and in samples a seed; None where it is long enough, ``samples`` also
        where the step sizes never add up to it or are a Python function.
    text
        The same in words.
    """

    seeds: int | None
    flow_time: float | None
    samples: int | None
    text: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {"seeds": self.seeds, "flow_time": self.flow_time, "samples": self.samples, "text": self.text}


def settling_by_flow(
    medians: dict[str, Array], predictions: Sequence[Prediction], tolerance: float, simulation: Simulation
) -> Settling:
    """Of an inconclusive verdict about the flow.

    ``medians`` are each seed's median relative errors (S,) of an event, NaN where nothing of it was tested.
    """
    if 2 * simulation.diverged.sum() >= simulation.seeds:
        return Settling(None, None, None, "a smaller step size, at which fewer than half of the runs diverge")
    count = min(int((~np.isnan(values)).sum()) for values in medians.values())
    if count < min(FEWEST, simulation.seeds):
        return _longer(predictions, tolerance, simulation)
    if count < FEWEST:
        return _too_few(FEWEST, simulation.seeds)
    tests = [_order_statistics(values[~np.isnan(values)], tolerance, simulation.seeds) for values in medians.values()]
    needed = _first_enough(tests, simulation.seeds)
    return _more_seeds(needed, simulation.seeds, "a median")


def settling_by_law(calibration: Calibration, tolerance: float, simulation: Simulation) -> Settling:
    """Of an inconclusive verdict about the law of SGD."""
    if idle_events(calibration, simulation):
        return _until_the_law_sees(simulation)
    if isinstance(simulation.run.sampler, Leap) and calibration.expected_diverged > RISK:
        until = float(np.interp(RISK, 1 - calibration.law.survival, calibration.law.times))
        return Settling(None, None, None, (
            "runs of a sampler that sees rare samples, direct or reduced, or leap at a smaller step size; "
            f"up to flow time {until:.3g} the law expects divergence with probability {RISK} at most"
        ))  # fmt: skip
    kept = int((~simulation.diverged).sum())
    if kept < FEWEST:
        return _too_few(math.ceil(FEWEST * simulation.seeds / kept), simulation.seeds)
    tests = [
        _mean(one.mean - target, _deviation(one.interval, kept), tolerance, kept, simulation.seeds)
        for one, target in calibration_targets(calibration.pit, calibration.coverage)
    ]
    return _more_seeds(_first_enough(tests, simulation.seeds), simulation.seeds, "a mean")


# For n seeds: at most how probable it is that the interval is not inside, and how probable that it is outside.
_Test = Callable[[int], tuple[float, float]]


def _order_statistics(values: Array, tolerance: float, seeds: int) -> _Test:
    """Of the seed medians of one event; of ``seeds`` runs some may have none."""
    below, above = float(np.mean(values < -tolerance)), float(np.mean(values > tolerance))

    def test(n: int) -> tuple[float, float]:
        count = n * values.size // seeds
        if count < FEWEST:
            return 1.0, 0.0
        r = interval_rank(count)
        missed = binom.sf(r - 1, count, below) + binom.sf(r - 1, count, above)
        return float(missed), float(binom.cdf(r - 1, count, 1 - above) + binom.cdf(r - 1, count, 1 - below))

    return test


def _mean(off: float, deviation: float, tolerance: float, kept: int, seeds: int) -> _Test:
    """Of a mean that is ``off`` what it should be; ``kept`` of ``seeds`` runs did not diverge."""

    def test(n: int) -> tuple[float, float]:
        count = n * kept // seeds
        if count < FEWEST:
            return 1.0, 0.0
        if not deviation:
            return float(abs(off) > tolerance), float(abs(off) > tolerance)
        error, t = deviation / math.sqrt(count), float(student.ppf(0.975, count - 1))
        ends = np.array([tolerance - off, tolerance + off]) / error
        return float(norm.sf(ends - t).sum()), float(norm.sf(ends + t).sum())

    return test


def _deviation(interval: tuple[float, float], seeds: int) -> float:
    """Standard deviation over seeds, from the t-interval of their mean."""
    half = (interval[1] - interval[0]) / 2
    return half * math.sqrt(seeds) / float(student.ppf(0.975, seeds - 1))


def _first_enough(tests: Sequence[_Test], seeds: int) -> int | None:
    """The least number of seeds of the grid, more than ``seeds``, that probably brings a verdict."""
    for n in (n for n in _GRID if n > seeds):
        missed, outside = zip(*(test(n) for test in tests), strict=True)
        if max(0.0, 1 - sum(missed)) + max(outside) >= CHANCE:
            return n
    return None


def _more_seeds(needed: int | None, seeds: int, what: str) -> Settling:
    if needed is None:
        return Settling(None, None, None, (
            f"no number of seeds up to {MOST}, if they fall as these do: {what} lies too near the edge of the tolerance"
        ))  # fmt: skip
    return Settling(needed, None, None, (
        f"about {needed} seeds instead of {seeds}: if they fall as these do, the verdict is then conclusive with "
        f"probability {CHANCE}"
    ))  # fmt: skip


def _too_few(needed: int, seeds: int) -> Settling:
    return Settling(needed, None, None, (
        f"at least {needed} seeds instead of {seeds}, since {FEWEST} give a 95 % interval; so few do not tell how many "
        "more it takes"
    ))  # fmt: skip


def _longer(predictions: Sequence[Prediction], tolerance: float, simulation: Simulation) -> Settling:
    """Where too few seeds have a transition that the flow predicts within the run."""
    seeds, ends = simulation.seeds, []
    for event in EVENTS:
        times = np.array([getattr(prediction, event)["flow"] for prediction in predictions])
        first = np.min(np.where(times > 0, times, np.inf), axis=1)
        known = first[np.isfinite(first)]
        if not known.size:
            until = min(prediction.flow.t_end for prediction in predictions)
            return Settling(None, None, None, (
                f"other starts or another problem: up to flow time {until:.4g} the flow predicts no {event} from these "
                "initial directions"
            ))  # fmt: skip
        if known.size < FEWEST:
            seeds = max(seeds, math.ceil(FEWEST * simulation.seeds / known.size))
        ends.append(float(known.max()))
    end = (1 + tolerance) * max(ends)
    if end <= simulation.t_end:
        return Settling(seeds, None, None, (
            f"at least {seeds} seeds instead of {simulation.seeds}: in too few of these the flow predicts an alignment "
            "and a recovery"
        ))  # fmt: skip
    more = seeds if seeds > simulation.seeds else None
    return _runs_to(
        end, simulation, more, "the flow predicts an alignment and a recovery in every seed that comes to one"
    )


def _until_the_law_sees(simulation: Simulation) -> Settling:
    """Where neither runs nor law come often enough to an event of any direction."""
    law = law_of_runs(simulation, None)
    ends = [float(law.quantiles(event, [0.5])[0].min()) for event in EVENTS]
    if not np.isfinite(ends).all():
        return Settling(None, None, None, (
            f"another step size or another problem: up to flow time {law.t_max:.4g} the law of SGD expects no "
            "alignment and recovery with probability ½"
        ))  # fmt: skip
    return _runs_to(
        max(ends), simulation, None, "the law of SGD expects an alignment and a recovery with probability ½"
    )


def _runs_to(end: float, simulation: Simulation, seeds: int | None, why: str) -> Settling:
    """Longer runs; ``seeds`` where it takes more of them, too."""
    samples = _samples_to(end, simulation.run.step_size, simulation.run.batch)
    if isinstance(simulation.run.step_size, Custom):
        amount = ""
    elif samples is None:
        amount = ", by another schedule, since these step sizes never add up to it,"
    else:
        amount = f" ({samples:.3g} samples a seed)"
    more = f", and at least {seeds} seeds instead of {simulation.seeds}" if seeds else ""
    return Settling(seeds, end, samples, (
        f"runs to flow time {end:.4g} at least{amount} instead of {simulation.t_end:.4g}{more}: by then {why}"
    ))  # fmt: skip


def _samples_to(end: float, schedule: Schedule, batch: int) -> int | None:
    """The fewest samples after which the step sizes add up to a flow time."""
    low, high = 0, MAX_SAMPLES // batch
    if isinstance(schedule, Custom) or schedule.flow_time(np.array([high]))[0] < end:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if schedule.flow_time(np.array([middle]))[0] < end else (low, middle)
    return high * batch
