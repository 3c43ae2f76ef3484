"""Every rule by which theory and measurement are judged; pure functions of numbers.

**Transition times** (``overlay``): for each event the median over seeds of ``T_measured / T_predicted − 1`` has an
exact 95 % interval (``compare.statistics``), and

    agree          both intervals (alignment, recovery) lie inside ± tolerance
    disagree       one of them lies wholly outside
    inconclusive   otherwise, or when no 95 % interval exists

Where gradient noise matters and the law of SGD at the run's step size holds (``compare.calibration``), the question is
instead whether the times are distributed as that law says: the mean PIT against ½ and the share inside the 5–95 % band
against 0.9, each with a 95 % interval over seeds and ± tolerance around what is expected, judged by the same rule.
Runs that diverged have no times; more of them than ``RATE_DOUBT`` times the expected rate explains, with probability
below ``EXCESS``, are a disagreement by themselves; leap, which does not see what they come from, is not believed
where one is expected with probability above ``RISK``.

**Claims** (``check``): measured x̂ with standard error e over S independent seeds, predicted x, allowance b for what
theory at finite size may be off the formula:

    refuted        |x̂ − x| > b + t e,                      t = Student's quantile of S − 1 at ALARM, two-sided
    inconclusive   finds = |x̂ − x| + b + (t + u) e > detects,    u = Student's quantile of S − 1 at POWER
                   (or nothing could be measured)
    upheld         otherwise

For normal rows a claim within its allowance, |E x̂ − x| ≤ b, is refuted with probability ALARM at most.
An error of |E x̂ − x| + b + (t + u) e in the formula, of either sign, is found with probability POWER at least:
the first term is what finite size takes away from an error of its own sign.  ``finds`` puts the measured
|x̂ − x| for it, so a formula off by more, one way or the other, is refuted by the very measurement that
upholds this one.  Bootstrapped fits are normal rows only about, and far out in the tail no one can check that:
there the allowance is the protection.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import binom
from scipy.stats import t as student

from ..problem.divergence import RISK
from .statistics import MedianEstimate, SeedMean
from .texts import estimate_text

ALARM = 1e-8  # false alarms of one claim; a suite of a hundred stays below 1e-6
POWER = 0.99
EXCESS = 0.01  # probability of so many divergences, below which they are too many
RATE_DOUBT = 2.0  # what the rate of divergence is known to (``problem.divergence``)
FEWEST = 6  # seeds; fewer give no 95 % interval of a median
AGREEMENT = ("agree", "disagree", "inconclusive")
JUDGEMENT = ("upheld", "refuted", "inconclusive")


def agreement(errors: Mapping[str, MedianEstimate], tolerance: float) -> tuple[str, str]:
    """One of ``AGREEMENT`` and the reason, from the median relative error of each event."""
    if not all(estimate.count for estimate in errors.values()):
        return "inconclusive", "no transition is predicted within the simulated flow time; simulate more samples"
    medians = ", ".join(f"{event} {estimate_text(estimate)}" for event, estimate in errors.items())
    text = f"median relative error against the flow: {medians}; tolerance ±{tolerance:g}"
    if not all(estimate.certified for estimate in errors.values()):
        count = min(estimate.count for estimate in errors.values())
        return "inconclusive", f"{text}; {count} seeds give no 95 % interval, {FEWEST} do"
    return _by_intervals([estimate.interval for estimate in errors.values()], tolerance), text


def _by_intervals(intervals: Iterable[tuple[float, float]], tolerance: float) -> str:
    """The rule for intervals of what should be 0."""
    ends = list(intervals)
    if any(high < -tolerance or low > tolerance for low, high in ends):
        return "disagree"
    inside = all(-tolerance <= low and high <= tolerance for low, high in ends)
    return "agree" if inside else "inconclusive"


def calibration_verdict(
    pit: Mapping[str, SeedMean],
    coverage: Mapping[str, SeedMean],
    seeds: int,
    tolerance: float,
    *,
    diverged: int,
    expected_diverged: float,
    blind: bool = False,
    idle: Sequence[str] = (),
) -> tuple[str, str]:
    """One of ``AGREEMENT`` and the reason, from the mean PIT and the coverage of each event.

    ``seeds`` runs in all, ``diverged`` of them without times where each had the probability ``expected_diverged``.
    ``blind``: the sampler does not see the rare samples that runs diverge by, so that beyond ``RISK`` its runs are of
    no SGD that could have been.  ``idle``: events that too few runs and draws of the law come to; what lies beyond the
    end is spread evenly, so that of them nothing is tested.
    """
    text = "; ".join(
        f"{event} mean PIT {pit[event].mean:.3f}, inside the 5–95 % band {coverage[event].mean:.3f}" for event in pit
    )
    text = f"times against the law of SGD at this step size: {text}; tolerance ±{tolerance:g}"
    bound = -math.expm1(RATE_DOUBT * math.log1p(-min(expected_diverged, 1 - 1e-12)))
    if diverged and binom.sf(diverged - 1, seeds, bound) < EXCESS:
        return "disagree", f"{text}; {diverged} of {seeds} runs diverged, each with probability {expected_diverged:.2g}"
    if idle:
        return "inconclusive", (
            f"{text}; neither runs nor law come often enough to {' or '.join(idle)} within the simulated flow time; "
            "simulate more samples"
        )
    if blind and expected_diverged > RISK:
        return "inconclusive", (
            f"{text}; direct SGD would have diverged with probability {expected_diverged:.2g}, which leap cannot see"
        )
    if seeds - diverged < FEWEST:
        return "inconclusive", f"{text}; {seeds - diverged} seeds say little, {FEWEST} do"
    off = [(one.interval[0] - x, one.interval[1] - x) for one, x in calibration_targets(pit, coverage)]
    return _by_intervals(off, tolerance), text


def calibration_targets(pit: Mapping[str, SeedMean], coverage: Mapping[str, SeedMean]) -> list[tuple[SeedMean, float]]:
    """What the law of SGD is judged by, each with what it should be."""
    expected = ((pit, 0.5), (coverage, 0.9))
    return [(one, x) for table, x in expected for one in table.values()]


@dataclass(frozen=True)
class Judgement:
    """``verdict`` is one of ``JUDGEMENT``, ``interval`` the 95 % one, ``finds`` the smallest error that is found."""

    verdict: str
    reason: str
    interval: tuple[float, float]
    finds: float


def judgement(
    predicted: float, measured: float, error: float, seeds: int, *, allowance: float, detects: float, doubt: str = ""
) -> Judgement:
    """Judge a measured number; ``doubt``, where there is one, says why it is no measurement."""
    quantile = float(student.isf(ALARM / 2, seeds - 1))
    half = float(student.ppf(0.975, seeds - 1)) * error
    off = abs(measured - predicted)
    finds = off + allowance + (quantile + float(student.ppf(POWER, seeds - 1))) * error
    if doubt or not math.isfinite(measured + error):
        verdict, reason = "inconclusive", doubt or "nothing could be measured"
    elif off > allowance + quantile * error:
        verdict, reason = "refuted", f"off by {off:.3f} ± {half:.2g}"
    elif finds > detects:
        verdict, reason = "inconclusive", f"off by {off:.3f} and cannot surely find an error of {detects:g}"
    else:
        verdict, reason = "upheld", f"off by {off:.3f}"
    return Judgement(verdict, reason, (measured - half, measured + half), finds)
