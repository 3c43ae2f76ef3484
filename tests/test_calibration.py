"""Calibration against the law of SGD: uniform where times are drawn from it, and not where they are not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2

from emergence.compare import overlay
from emergence.compare.calibration import Calibration, calibrate, idle_events
from emergence.compare.settling import CHANCE, Settling, settling_by_law
from emergence.compare.statistics import SeedMean, seed_mean
from emergence.compare.verdicts import calibration_verdict
from emergence.problem import Activation, PowerDecay, Problem, Teacher
from emergence.simulate import Direct, Divergence, Leap, Simulation, sgd
from emergence.theory.finite_step_law import sgd_law
from emergence.theory.gradient_noise import ceiling

PROBLEM = Problem(Activation("h4"), Teacher.power_law(3, 0.8), d=256, m=12)
ETA = 0.3 * ceiling(PROBLEM)
NONE_LOST: dict[str, Any] = {"diverged": 0, "expected_diverged": 0.0}
T_MAX = 60.0  # some of the last direction's transitions are later


@cache
def short(seeds: int) -> Simulation:
    return sgd(PROBLEM, ETA, 10, seeds=seeds, sampler=Leap(), records=1)


def drawn(seeds: int, stretch: float = 1.0, end: float = T_MAX) -> Simulation:
    """A simulation whose times are drawn from the law, stretched; everything else of a short run."""
    law = sgd_law(PROBLEM, ETA, t_max=end, draws=seeds, seed=11)
    run = short(seeds)
    times = {name: stretch * getattr(law, name) for name in ("alignment", "recovery")}
    times = {name: np.where(value <= end, value, np.inf) for name, value in times.items()}
    return replace(run, run=replace(run.run, samples=int(end / ETA)), times=np.array([0.0, end]), **times)


def found_of(simulation: Simulation) -> Calibration:
    found = calibrate(simulation)
    assert found is not None
    return found


@cache
def calibrated(seeds: int, stretch: float = 1.0, end: float = T_MAX) -> Calibration:
    return found_of(drawn(seeds, stretch, end))


def test_times_from_the_law_are_uniform() -> None:
    found = calibrated(400)
    assert found.law.valid
    for event in ("alignment", "recovery"):
        low, high = found.pit[event].interval
        assert low - 0.01 <= 0.5 <= high + 0.01 and found.coverage[event].mean == pytest.approx(0.9, abs=0.03)
        counts = found.histogram[event]
        assert counts.sum() == pytest.approx(1200)
        # directions of a seed share a race, so the sum is not quite χ² with 9 degrees of freedom
        assert np.sum((counts - 120) ** 2) / 120 < chi2(9).isf(1e-4)
    verdict, reason = calibration_verdict(found.pit, found.coverage, 400, 0.1, **NONE_LOST)
    assert verdict == "agree" and "mean PIT" in reason


@pytest.mark.parametrize("stretch", [0.6, 1.6])
def test_times_that_are_off_are_found(stretch: float) -> None:
    found = calibrated(200, stretch)
    assert calibration_verdict(found.pit, found.coverage, 200, 0.1, **NONE_LOST)[0] == "disagree"
    assert (found.pit["alignment"].mean > 0.5) == (stretch > 1)


@pytest.mark.parametrize("end", [18.0, 30.0])
def test_runs_that_end_early_are_judged_by_what_they_come_to(end: float) -> None:
    """What is later than the end is spread as the law says: it may neither count as inside nor dilute what is off."""
    found = calibrated(400, 1.0, end)
    assert not idle_events(found, drawn(400, 1.0, end))
    for event in ("alignment", "recovery"):
        # three standard errors of 400 seeds of one direction; 0.95 and more where what is later counts as inside
        assert found.coverage[event].mean == pytest.approx(0.9, abs=0.045)
        assert found.pit[event].mean == pytest.approx(0.5, abs=0.045)
    late = calibrated(400, 1.6, end)
    assert calibration_verdict(late.pit, late.coverage, 400, 0.05, **NONE_LOST)[0] == "disagree"


def test_directions_that_hardly_any_run_comes_to_are_not_looked_at() -> None:
    early = drawn(100, 1.6, 8.0)  # the strongest is aligned in 5 %, and by the law in a third
    found = found_of(early)
    assert idle_events(found, early) == ["alignment", "recovery"]
    verdict, reason = calibration_verdict(
        found.pit, found.coverage, 100, 0.1, idle=idle_events(found, early), **NONE_LOST
    )
    assert verdict == "inconclusive" and "simulate more samples" in reason
    until = settling_by_law(found, 0.1, early)
    assert until.flow_time is not None and until.flow_time > 8 and until.samples is not None
    enough = drawn(100, 1.0, 1.1 * until.flow_time)
    assert idle_events(found_of(enough), enough) == []


def test_more_label_noise_than_the_law_takes_is_no_law() -> None:
    run = sgd(PROBLEM, 1e-16, 100, seeds=2, sampler=Direct("numpy"), label_noise=2e6)
    assert calibrate(run) is None and "at most 1e+06" in overlaid(run).agreement.law_absent


def test_few_seeds_are_inconclusive() -> None:
    found = calibrated(5)
    assert calibration_verdict(found.pit, found.coverage, 5, 0.1, **NONE_LOST)[0] == "inconclusive"


@pytest.mark.parametrize(
    ("diverged", "expected", "verdict"),
    [(0, 0.5, "agree"), (1, 0.0, "disagree"), (12, 0.1, "agree"), (30, 0.1, "disagree"), (30, 0.2, "agree"),
     (96, 0.99, "inconclusive"), (100, 1.0, "inconclusive")],
)  # fmt: skip
def test_more_divergences_than_the_law_expects_are_a_disagreement(diverged: int, expected: float, verdict: str) -> None:
    """Of 100 runs; the rate is known to a factor of two: of 30 or more P = 0.005 at 1 − 0.9², 0.9 at 1 − 0.8²."""
    found = calibrated(400)
    lost = {"diverged": diverged, "expected_diverged": expected}
    judged, reason = calibration_verdict(found.pit, found.coverage, 100, 0.1, **lost)
    assert judged == verdict and ("runs diverged" in reason) == (verdict == "disagree")


def test_runs_that_direct_sgd_would_not_have_survived_prove_nothing() -> None:
    found = calibrated(400)
    for expected, verdict in ((0.09, "agree"), (0.11, "inconclusive")):
        judged, reason = calibration_verdict(
            found.pit, found.coverage, 400, 0.1, diverged=0, expected_diverged=expected, blind=True
        )
        assert judged == verdict and ("cannot see" in reason) == (expected > 0.1)


def test_where_there_is_no_law() -> None:
    odd = Problem(Activation("h3"), Teacher([1.0]), d=32, m=2)
    assert calibrate(sgd(odd, 1e-4, 100, seeds=3, sampler=Direct("numpy"))) is None
    assert calibrate(sgd(PROBLEM, 1e-6, 100, seeds=1, sampler=Direct("numpy"))) is None


def test_a_run_with_a_schedule_has_its_law() -> None:
    schedule = PowerDecay(1e-5, 100, 1.0)
    found = calibrate(sgd(PROBLEM, schedule, 100, seeds=3, sampler=Direct("numpy")))
    assert found is not None and found.law.schedule == schedule
    assert found.law.samples[-1] == pytest.approx(100, rel=0.01)


def overlaid(simulation: Simulation) -> Any:
    return overlay(PROBLEM, simulation)


def test_the_verdict_is_about_the_law_where_noise_matters_and_about_the_flow_where_it_does_not() -> None:
    noisy = overlaid(drawn(12))
    assert "against the law of SGD" in noisy.agreement.reason
    quiet = overlaid(sgd(PROBLEM, 1e-4 * ETA, 10**6, seeds=6, sampler=Leap(), records=1))
    assert "against the law of SGD" not in quiet.agreement.reason
    assert (noisy.agreement.against, quiet.agreement.against) == ("sgd", "flow") and quiet.law is None
    assert noisy.law is noisy.calibration.law and not noisy.agreement.law_absent
    assert "little part" in quiet.agreement.law_absent and noisy.as_dict()["agreement"]["against"] == "sgd"
    document = noisy.as_dict()["agreement"]["sgd"]
    assert set(document["pit"]) == {"alignment", "recovery"} and document["law"]["valid"] is True


def test_no_verdict_by_a_law_that_does_not_hold() -> None:
    large = replace(PROBLEM, init_scale=0.3)
    comparison = overlay(large, sgd(large, ETA, 10, seeds=3, sampler=Leap(), records=1))
    assert comparison.law is None and "not small beside the strengths" in comparison.agreement.law_absent


def settled(pit: SeedMean, runs: int, diverged: int = 0, **changes: Any) -> Settling:
    """What settles a verdict that hangs on the PIT of alignment; all else is as expected."""
    right = SeedMean(0.5, (0.5, 0.5))
    found = replace(
        calibrated(400), pit={"alignment": pit, "recovery": right},
        coverage={event: SeedMean(0.9, (0.9, 0.9)) for event in ("alignment", "recovery")}, **changes,
    )  # fmt: skip
    base = short(runs)
    lost = tuple(Divergence(3, 1e4) if i < diverged else None for i in range(runs))
    reached = np.ones((runs, PROBLEM.P))
    return settling_by_law(found, 0.1, replace(base, alignment=reached, recovery=reached, divergence=lost))


@pytest.mark.parametrize("off", [0.06, -0.17])
def test_as_many_seeds_settle_it_and_fewer_do_not(off: float) -> None:
    """Means of normal seeds with the mean and deviation of the twelve at hand; standard error of a share: 0.007."""
    twelve = np.array([1.0, -1.0] * 6) * 0.15 + 0.5 + off
    n = settled(seed_mean(twelve), 12).seeds
    assert n is not None and 12 < n < 200
    rng, right = np.random.default_rng(0), SeedMean(0.5, (0.5, 0.5))

    def chance(seeds: int) -> float:
        rows = rng.normal(twelve.mean(), twelve.std(ddof=1), (2000, seeds))
        pits = [{"alignment": seed_mean(row), "recovery": right} for row in rows]
        whole = {event: SeedMean(0.9, (0.9, 0.9)) for event in ("alignment", "recovery")}
        verdicts = [calibration_verdict(pit, whole, seeds, 0.1, **NONE_LOST)[0] for pit in pits]
        assert {"agree", "disagree"} - set(verdicts) == {"disagree" if abs(off) < 0.1 else "agree"}
        return float(np.mean([verdict != "inconclusive" for verdict in verdicts]))

    assert chance(n) >= CHANCE - 0.03 and chance(round(0.75 * n)) < CHANCE


def test_what_diverged_takes_more_runs_and_what_leap_cannot_see_another_sampler() -> None:
    wide = SeedMean(0.56, (0.4, 0.72))
    assert settled(wide, 12, diverged=8).seeds == 18  # four of twelve are six of eighteen
    plain, lossy = settled(wide, 12).seeds, settled(wide, 24, diverged=12).seeds
    assert plain is not None and lossy is not None and lossy == pytest.approx(2 * plain, rel=0.1)  # steps of the grid
    law = calibrated(400).law
    blind = settled(wide, 12, expected_diverged=0.5, law=replace(law, survival=1 - law.times / law.t_max / 2))
    assert blind.seeds is None and "direct or reduced" in blind.text
    assert f"up to flow time {0.2 * T_MAX:.3g} the law expects" in blind.text  # half of 0.2 is RISK


def test_what_neither_runs_nor_law_come_to_is_not_agreed_on() -> None:
    """A run that ends before anything can happen: all that is beyond its end is spread evenly, as it should be."""
    early = short(2)
    comparison = overlaid(early)
    assert comparison.agreement.verdict == "inconclusive" and comparison.agreement.against == "sgd"
    assert "neither runs nor law come often enough to alignment or recovery" in comparison.agreement.reason
    assert comparison.settled_by.flow_time > 10 and comparison.settled_by.samples > 1e6
    one = np.full((2, PROBLEM.P), np.inf)
    one[1, 0] = early.t_end
    assert idle_events(comparison.calibration, replace(early, alignment=one)) == ["recovery"]
    expected = calibrated(400)  # of which many transitions are to be expected, so that none is a finding
    nothing = {name: np.full((2, PROBLEM.P), np.inf) for name in ("alignment", "recovery")}
    assert idle_events(expected, replace(early, **nothing)) == []


@pytest.mark.slow
def test_direct_runs_are_calibrated() -> None:
    problem = Problem(Activation("h4"), Teacher.power_law(3, 1.0), d=64, m=8)
    eta = 0.3 * ceiling(problem)
    comparison = overlay(problem, sgd(problem, eta, int(50 / eta), seeds=60, sampler=Direct(), records=2))
    assert comparison.agreement.verdict == "agree"
