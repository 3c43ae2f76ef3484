"""What would settle an inconclusive verdict: doing it settles it, and less would not.

Verdicts are reached on results made by hand (``make``), and on seeds drawn again from those at hand.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from conftest import Make

from emergence.compare import Comparison, median_estimate
from emergence.compare.settling import CHANCE, MOST, settling_by_flow
from emergence.compare.statistics import interval_rank
from emergence.compare.verdicts import FEWEST, agreement
from emergence.problem import Piecewise, PowerDecay
from emergence.problem.events import EVENTS

ONE = np.ones((12, 2))
INF = math.inf
SCATTER = np.array([-0.16, -0.09, -0.05, -0.02, 0.01, 0.03, 0.05, 0.07, 0.08, 0.12, 0.15, 0.3])  # median 0.04


@pytest.fixture(autouse=True)
def _no_law(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every verdict here is about the flow; the law of SGD would take most of the time."""
    monkeypatch.setattr("emergence.compare.comparison.calibrate", lambda _: None)
    monkeypatch.setattr("emergence.compare.comparison.calibration_refusal", lambda _: "it was not asked for")


def seeds_of(comparison: Comparison) -> int:
    assert comparison.agreement.verdict == "inconclusive" and comparison.settled_by is not None
    assert comparison.settled_by.seeds is not None and comparison.settled_by.flow_time is None
    return comparison.settled_by.seeds


def chance(errors: dict[str, np.ndarray], n: int, draws: int = 300) -> float:
    """How often n seeds drawn from those at hand bring a verdict."""
    rng = np.random.default_rng(n)
    counted = 0
    for _ in range(draws):
        chosen = rng.integers(len(ONE), size=n)
        found = {event: median_estimate(values[chosen][~np.isnan(values[chosen])]) for event, values in errors.items()}
        counted += agreement(found, 0.1)[0] != "inconclusive"
    return counted / draws


def test_the_fewest_seeds_of_an_interval() -> None:
    assert interval_rank(FEWEST) == 1 and interval_rank(FEWEST - 1) == 0
    assert median_estimate(np.zeros(FEWEST)).certified and not median_estimate(np.zeros(FEWEST - 1)).certified


@pytest.mark.parametrize("shift", [0.0, 0.125])
def test_as_many_seeds_bring_a_verdict_and_fewer_do_not(make: Make, shift: float) -> None:
    """Agreement, and disagreement about a median of 0.165.  Standard error of a share of 300 draws: 0.017.

    Alignment alone is in doubt; two tails are added up where one suffices, so the chance is met to a few per cent.
    """
    errors = {"alignment": SCATTER + shift, "recovery": 0 * SCATTER}
    measured = {event: 1 + values[:, None] * np.ones(2) for event, values in errors.items()}
    comparison = make(measured, ONE)
    n = seeds_of(comparison)
    assert 12 < n < 1000 and f"about {n} seeds instead of 12" in comparison.settled_by.text  # type: ignore[union-attr]
    assert chance(errors, n) >= CHANCE - 0.05
    assert chance(errors, round(0.7 * n)) < CHANCE
    again = {event: np.resize(table, (n, 2)) for event, table in measured.items()}  # the same seeds, n of them in turn
    done = make(again, np.ones((n, 2)))
    assert done.agreement.verdict == ("disagree" if shift else "agree") and done.settled_by is None


def test_both_events_are_to_be_settled(make: Make) -> None:
    one = seeds_of(make({"alignment": 1 + SCATTER[:, None] * np.ones(2), "recovery": ONE}, ONE))
    both = seeds_of(make(1 + SCATTER[:, None] * np.ones(2), ONE))
    assert both > one


def test_seeds_without_a_transition_take_more_runs(make: Make) -> None:
    """The flow predicts nothing for a third of the seeds, which then say nothing."""
    measured, predicted = 1 + SCATTER[:, None] * np.ones(2), np.ones((18, 2))
    predicted[12:] = INF
    some = make(np.resize(measured, (18, 2)), predicted)
    # 0.15: the grid has steps of up to 10 %, and ranks are whole numbers
    assert seeds_of(some) / seeds_of(make(measured, ONE)) == pytest.approx(1.5, rel=0.15)


def test_too_few_seeds_tell_only_the_least(make: Make) -> None:
    for count in (1, 5):
        comparison = make(ONE[:count], ONE[:count])
        assert seeds_of(comparison) == FEWEST
        assert f"at least 6 seeds instead of {count}" in str(comparison)
    assert make(ONE[:FEWEST], ONE[:FEWEST]).agreement.verdict == "agree"


def test_no_number_of_seeds_where_the_median_lies_on_the_edge(make: Make) -> None:
    errors = np.where(np.arange(12) % 2, 0.09, 0.11)
    found = make(1 + errors[:, None] * np.ones(2), ONE).settled_by
    assert found is not None and found.seeds is None and str(MOST) in found.text


def test_a_run_as_long_as_said_has_a_verdict(make: Make) -> None:
    """Alignment is predicted within the runs, recovery at 4.6 to 5.0 of 4; the steps are 0.4."""
    late = np.linspace(4.6, 5.0, 12)[:, None] * np.ones(2)
    predicted: dict[str, Any] = {"alignment": ONE, "recovery": late}
    short = make({"alignment": ONE, "recovery": np.full((12, 2), INF)}, predicted)
    found = short.settled_by
    assert found is not None and found.seeds is None
    assert found.flow_time == pytest.approx(5.5) and found.samples == 14  # 5.5/0.4 = 13.75
    assert "runs to flow time 5.5 at least (14 samples a seed) instead of 4" in found.text
    slow = 1.09 * late
    done = make({"alignment": ONE, "recovery": slow}, predicted, horizon=found.flow_time)
    assert slow.max() < found.flow_time and done.agreement.verdict == "agree", "late by less than the tolerance"
    half = make({"alignment": ONE, "recovery": np.where(slow < 4.7, slow, INF)}, predicted, horizon=4.7)
    assert half.agreement.verdict == "inconclusive"


def test_samples_of_schedules(make: Make) -> None:
    comparison = make(np.full((12, 2), INF), 5 * ONE)

    def settled(schedule: Any, batch: int) -> Any:
        simulation = comparison.simulation
        run = object.__new__(type(simulation.run))
        for name, value in (vars(simulation.run) | {"step_size": schedule, "batch": batch}).items():
            object.__setattr__(run, name, value)
        nothing = dict.fromkeys(EVENTS, np.full(12, np.nan))
        return settling_by_flow(nothing, comparison.predictions, 0.1, dataclasses.replace(simulation, run=run))

    schedule = Piecewise([(0, 0.4), (5, 0.1)])  # 2 by step 5, then 35 steps to 5.5
    found = settled(schedule, 3)
    steps = found.samples // 3
    times = schedule.flow_time(np.array([steps - 1, steps]))
    assert found.samples % 3 == 0 and times[0] < found.flow_time <= times[1]
    ending = settled(PowerDecay(0.4, 5, 2.0), 1)  # adds up to 2.2
    assert ending.samples is None and "by another schedule" in ending.text
    anything = settled(dataclasses.replace(comparison.simulation.run, step_size=lambda s: 0.4 + 0 * s).step_size, 1)
    assert anything.samples is None and anything.flow_time == 5.5 and "schedule" not in anything.text


def test_where_longer_runs_are_no_help(make: Make) -> None:
    """The flow predicts transitions of three seeds alone, or of none."""
    predicted = np.where(np.arange(12)[:, None] < 3, ONE, INF)
    found = make(ONE, predicted).settled_by
    assert found is not None and (found.seeds, found.flow_time) == (24, None)  # 3 of 12 are 6 of 24
    never = make(ONE, INF * ONE).settled_by
    assert never is not None and never.seeds is never.flow_time is never.samples is None
    assert "the flow predicts no alignment" in never.text
    both = make(ONE, 5 * predicted).settled_by
    assert both is not None and (both.seeds, both.flow_time) == (24, pytest.approx(5.5))


def test_runs_of_which_half_diverged_need_a_smaller_step_size(make: Make) -> None:
    """Their medians are infinite, and more of them would not change that."""
    nine = np.vstack([ONE, ONE])[:9]
    assert "fewer than half of the runs diverge" in make(nine[:8], nine[:8], diverged=(0, 2, 4, 5)).settled_by.text
    assert "half" not in make(nine[:8], nine[:8], diverged=(0, 2, 4)).settled_by.text


def test_runs_that_all_diverged_need_a_smaller_step_size(make: Make) -> None:
    found = make(ONE[:4], ONE[:4], diverged=(0, 1, 2, 3)).settled_by
    assert found is not None and found.seeds is None and "a smaller step size" in found.text


def test_a_verdict_needs_nothing(make: Make) -> None:
    comparison = make(ONE, ONE)
    assert comparison.settled_by is None and "settle" not in str(comparison)
    document = comparison.as_dict()["agreement"]
    assert document["settled_by"] is None
    assert document["tested"] == {"closed_form": False, "decoupled": False, "flow": True, "sgd": False, "loss": False}
    unsure = make(ONE[:2], ONE[:2]).as_dict()["agreement"]["settled_by"]
    assert unsure["seeds"] == FEWEST and unsure["samples"] is None and unsure["text"]
