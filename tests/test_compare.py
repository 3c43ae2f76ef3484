"""The comparison: exact intervals, the verdict on results made by hand, and one real pair.

Made-by-hand results are a real simulation and real predictions (a tiny problem) with their
transition times replaced, so that every verdict is reached through ``compare.comparison``.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from conftest import HORIZON, Make
from hypothesis import given
from hypothesis import strategies as st

from emergence.compare import Comparison, MedianEstimate, check_step, comparison_rows, median_estimate, overlay
from emergence.compare.comparison import TABLE, _noise_note
from emergence.compare.loss_distance import loss_distance, shift_distance
from emergence.compare.noise_scale import noise_scale
from emergence.problem import Piecewise, Problem
from emergence.problem.events import EVENTS
from emergence.simulate import Direct, Simulation, sgd
from emergence.theory import LEVELS, Prediction, predict
from emergence.theory.critical_step_size import drift_dominated_step_size
from emergence.theory.gradient_noise import ceiling

INF = math.inf

# --- medians and their intervals ------------------------------------------------------------------


def exact_coverage(n: int, rank: int) -> Fraction:
    """1 − 2 P(Bin(n, ½) < rank) in whole numbers."""
    return 1 - Fraction(2 * sum(math.comb(n, j) for j in range(rank)), 2**n)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 8, 9, 12, 25, 40, 100, 301])
def test_interval_is_the_narrowest_that_covers(n: int) -> None:
    values = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))  # the i-th smallest is i
    estimate = median_estimate(values)
    rank = int(estimate.interval[0])
    assert estimate.interval == (rank, n + 1 - rank)
    assert estimate.median == (n + 1) / 2 and estimate.count == n
    if n == 1:
        assert (rank, estimate.coverage, estimate.certified) == (1, 0.0, False)
        return
    # 1e-12: binomial probabilities in floating point
    assert estimate.coverage == pytest.approx(float(exact_coverage(n, rank)), abs=1e-12)
    if n < 6:
        assert rank == 1 and not estimate.certified, "no interval of fewer than six reaches 95 %: the full range"
    else:
        assert exact_coverage(n, rank) >= Fraction(95, 100) > exact_coverage(n, rank + 1)
        assert estimate.certified


@pytest.mark.parametrize("n", [2, 5, 6, 9, 10])
def test_coverage_by_counting_every_case(n: int) -> None:
    """Each value is below the population median with probability ½: all 2^n patterns, counted."""
    estimate = median_estimate(np.arange(1.0, n + 1))
    rank = int(estimate.interval[0])
    covered = sum(rank <= sum(below) <= n - rank for below in product((0, 1), repeat=n))
    assert estimate.coverage == pytest.approx(covered / 2**n, abs=1e-12)  # rounding of the binomial


@given(st.lists(st.floats(0, 10) | st.just(INF), min_size=6, max_size=60))
def test_infinite_values_take_their_place_in_the_order(values: list[float]) -> None:
    """Putting a finite number above all others in place of inf changes no rank."""
    estimate = median_estimate(values)
    finite = median_estimate([1e6 if value == INF else value for value in values])
    low, high = (INF if end == 1e6 else end for end in finite.interval)
    assert estimate.interval == (low, high) and estimate.coverage == finite.coverage
    assert estimate.median == (INF if finite.median > 10 else finite.median)


def test_median_examples() -> None:
    assert median_estimate([1, INF]).median == INF, "halfway to never is never"
    assert median_estimate([3, 1, 2]).median == 2
    assert median_estimate([[4.0, 1.0], [2.0, 3.0]]).median == 2.5
    assert median_estimate([INF] * 7).interval == (INF, INF)
    assert median_estimate([-INF, 0, INF]).median == 0
    nothing = median_estimate([])
    assert nothing.count == 0 and not nothing.certified and math.isnan(nothing.median)
    with pytest.raises(ValueError, match="median of NaN has no meaning"):
        median_estimate([1.0, math.nan])
    assert json.loads(json.dumps(median_estimate([1.0, 2.0]).as_dict())) == {
        "median": 1.5, "interval": [1.0, 2.0], "coverage": 0.5, "count": 2,
    }  # fmt: skip


# --- verdicts on results made by hand -------------------------------------------------------------


def errors_of(comparison: Comparison, event: str = "alignment") -> MedianEstimate:
    return comparison.agreement.errors["flow"][event]


ONE = np.ones((9, 2))
SPREAD = np.linspace(-0.04, 0.04, 9)[:, None] * np.ones(2)  # errors of nine seeds: interval of ranks 2 and 8


def test_agree_when_the_whole_interval_is_inside(make: Make) -> None:
    comparison = make(2 * (1.02 + SPREAD), 2 * ONE)
    agreement = comparison.agreement
    assert agreement.verdict == "agree"
    for event in ("alignment", "recovery"):
        estimate = errors_of(comparison, event)
        assert estimate.median == pytest.approx(0.02, abs=1e-12)  # rounding
        assert estimate.interval == pytest.approx((-0.01, 0.05), abs=1e-12)
        assert agreement.pairs[event] == 18 and agreement.unreached[event] == 0
    assert "tolerance ±0.1" in agreement.reason and "+0.020 [-0.010, +0.050]" in agreement.reason
    assert "verdict: agree" in str(comparison)


def test_inconclusive_when_the_interval_straddles_the_tolerance(make: Make) -> None:
    assert make(1.08 + SPREAD, ONE).agreement.verdict == "inconclusive"
    assert make(0.92 + SPREAD, ONE).agreement.verdict == "inconclusive"
    assert make(1 + 10 * SPREAD, ONE).agreement.verdict == "inconclusive"  # wider than the tolerance on both sides


def test_disagree_when_the_interval_is_outside(make: Make) -> None:
    assert make(1.2 + SPREAD, ONE).agreement.verdict == "disagree"
    assert make(0.8 + SPREAD, ONE).agreement.verdict == "disagree"
    one_event = make({"alignment": 1 + SPREAD, "recovery": 1.2 + SPREAD}, ONE)
    assert one_event.agreement.verdict == "disagree", "one event outside is enough"
    unsure = make({"alignment": 1 + SPREAD, "recovery": 1.08 + SPREAD}, ONE)
    assert unsure.agreement.verdict == "inconclusive", "both events must be inside"


def test_the_tolerance_is_the_callers(make: Make) -> None:
    measured = 1.02 + SPREAD  # interval −0.01 … 0.05
    assert make(measured, ONE, tolerance=0.06).agreement.verdict == "agree"
    assert make(measured, ONE, tolerance=0.04).agreement.verdict == "inconclusive"
    assert make(1.2 + SPREAD, ONE, tolerance=0.3).agreement.verdict == "agree"


def test_unreached_seeds_count_as_later_than_every_time(make: Make) -> None:
    measured = 1 + SPREAD
    for lost, verdict in ((1, "agree"), (2, "inconclusive"), (8, "disagree")):
        table = measured.copy()
        table[:lost] = INF
        comparison = make(table, ONE)
        assert comparison.agreement.verdict == verdict, lost  # ranks 2 and 8 of nine bound the interval
        assert comparison.agreement.unreached["alignment"] == 2 * lost
        assert comparison.agreement.pairs["alignment"] == 18, "never dropped"
    assert errors_of(comparison).interval == (INF, INF)
    assert "inf" in comparison.agreement.reason


def test_a_diverged_seed_counts_as_unreached_whatever_it_measured(make: Make) -> None:
    one = make(1 + SPREAD, ONE, diverged=(4,))
    assert one.agreement.verdict == "agree"
    assert one.agreement.unreached == {"alignment": 2, "recovery": 2}
    eight = make(1 + SPREAD, ONE, diverged=tuple(range(8)))
    assert eight.agreement.verdict == "disagree"
    assert eight.agreement.loss_distance.median == INF


def test_the_card_has_the_medians_of_the_verdict(make: Make) -> None:
    """Half of eight runs are later than every time, and so is the median of all, wherever it stands."""
    measured = (1 + SPREAD[:8]) * [1.0, 1.5]
    half = make(measured, ONE[:8], diverged=(0, 1, 2, 3))
    card = str(half.simulation)
    assert [line.split()[2:] for line in card.splitlines() if line.endswith("4/8")] == 2 * [["—", "—", "4/8"]]
    assert "4 of 8 diverged (later than every time); median final loss of the 4 others " in card
    for event in ("alignment", "recovery"):
        assert errors_of(half, event).median == half.agreement.quartiles[event][1] == INF
    three = make(measured, ONE[:8], diverged=(0, 1, 2))
    expected = [f"{0.5 * (column[6] + column[7]):.4g}" for column in measured.T]  # the fourth and fifth of eight
    found = [line.split()[2:] for line in str(three.simulation).splitlines() if line.endswith("5/8")]
    assert found == [[text, text, "5/8"] for text in expected]
    assert "8 of 8 diverged (later than every time); median final loss —" in str(
        make(measured, ONE[:8], diverged=tuple(range(8))).simulation
    )


def test_seeds_are_the_units_and_directions_are_pooled_by_their_median(make: Make) -> None:
    measured = ONE * [1.0, 1.08] + SPREAD  # per seed the median error is the mean of two
    assert errors_of(make(measured, ONE)).median == pytest.approx(0.04, abs=1e-12)
    assert errors_of(make(measured, ONE)).count == 9


def test_pairs_beyond_the_horizon_are_not_tested(make: Make) -> None:
    predicted = ONE * [1.0, 1.01 * HORIZON]
    comparison = make((1 + SPREAD) * [1.0, INF], predicted)
    assert comparison.agreement.verdict == "agree"
    assert comparison.agreement.pairs == {"alignment": 9, "recovery": 9}
    at_the_horizon = make((1 + SPREAD) * [1.0, INF], ONE * [1.0, HORIZON])
    assert at_the_horizon.agreement.pairs["alignment"] == 18, "predicted at T = H counts"
    assert at_the_horizon.agreement.unreached["alignment"] == 9
    nowhere = make(np.full((9, 2), INF), np.full((9, 2), INF))
    assert nowhere.agreement.verdict == "inconclusive"
    assert "no transition is predicted within the simulated flow time" in nowhere.agreement.reason
    assert all(math.isnan(value) for value in nowhere.agreement.quartiles["alignment"])


def test_what_is_predicted_at_time_zero_is_not_tested(make: Make) -> None:
    comparison = make((1 + SPREAD) * [1.0, 0.0], ONE * [1.0, 0.0])
    assert comparison.agreement.pairs["alignment"] == 9
    assert comparison.agreement.verdict == "agree"


def test_a_measured_zero_of_a_predicted_time_is_an_error_of_minus_one(make: Make) -> None:
    comparison = make(0 * ONE, ONE)
    assert errors_of(comparison).median == -1
    assert comparison.agreement.verdict == "disagree"


@pytest.mark.parametrize("seeds", [1, 5])
def test_too_few_seeds_are_inconclusive(make: Make, seeds: int) -> None:
    comparison = make(ONE[:seeds], ONE[:seeds])
    assert comparison.agreement.verdict == "inconclusive"
    assert f"{seeds} seeds give no 95 % interval" in comparison.agreement.reason
    wrong = make(9 * ONE[:seeds], ONE[:seeds])
    assert wrong.agreement.verdict == "inconclusive", "nor do they convict"
    assert make(ONE[:6], ONE[:6]).agreement.verdict == "agree"


def test_quartiles_are_of_all_pairs(make: Make) -> None:
    measured = 1 + np.arange(18).reshape(9, 2) / 100
    low, mid, high = make(measured, ONE).agreement.quartiles["alignment"]
    assert (low, mid, high) == pytest.approx(
        (0.04, 0.085, 0.13), abs=1e-12
    )  # the 5th, between 9th and 10th, 14th of 18


def test_rows_are_those_of_the_verdict(make: Make) -> None:
    """What a diverged run measured before it blew up is nowhere: its transitions are later than every time."""
    comparison = make(1 + SPREAD, ONE * [1.0, 2 * HORIZON], diverged=(4,))
    rows = [dict(zip(TABLE, row, strict=True)) for row in comparison_rows(comparison)]
    assert [(row["event"], row["seed"], row["p"]) for row in rows] == [*product(EVENTS, range(9), range(2))]
    for row in rows:
        seed, p = row["seed"], row["p"]
        assert row["measured"] == (INF if seed == 4 else (1 + SPREAD)[seed, p])
        assert row["a_p"] == comparison.problem.a[p]
        assert [row[level] for level in LEVELS] == [[1.0, 2 * HORIZON][p]] * 3
        assert math.isnan(row["relative_error"]) if p else row["relative_error"] == row["measured"] - 1
    for event in EVENTS:
        of = [[row["relative_error"] for row in rows if (row["event"], row["p"]) == (event, 0)]]
        assert median_estimate(of).interval == errors_of(comparison, event).interval


def test_agreement_document(make: Make) -> None:
    document = make(1 + SPREAD, ONE).agreement.as_dict()
    assert {"alignment_relative_error", "recovery_relative_error", "verdict", "reason", "tolerance"} <= set(document)
    assert {"median", "interval", "pairs", "unreached"} <= set(document["alignment_relative_error"])
    assert set(document["levels"]) == set(LEVELS)
    json.dumps(document)


def test_noise_is_named_when_it_may_be_the_reason(tiny: tuple[Problem, Simulation], make: Make) -> None:
    """η = 0.4 is far above 4 I c² a s_0 B/(d φ(1) φ'(1)) < 1: said, but only where there is no agreement."""
    assert "gradient noise matters here" in make(1.5 + SPREAD, ONE).agreement.reason
    assert "gradient noise" not in make(1 + SPREAD, ONE).agreement.reason


def test_a_step_size_above_the_ceiling_is_named(make: Make) -> None:
    """0.4 at d < 100, where the ceiling of h4 is about 1/(186 d a); below it only that noise matters."""
    comparison = make(1.5 + SPREAD, ONE)
    assert f"above the ceiling {comparison.noise_scale.ceiling:.2g}, beyond" in comparison.agreement.reason
    below = dataclasses.replace(comparison.noise_scale, step_size=0.9 * comparison.noise_scale.ceiling)
    assert "matters" in _noise_note(below) and "ceiling" not in _noise_note(below)


@pytest.mark.parametrize("tolerance", [0, -0.1, math.nan, INF, "0.1", None])
def test_bad_tolerance_is_refused(tiny: tuple[Problem, Simulation], tolerance: Any) -> None:
    problem, simulation = tiny
    with pytest.raises(ValueError, match="`tolerance` must be a positive number"):
        overlay(problem, simulation, tolerance=tolerance)


def test_a_simulation_of_another_problem_is_refused(tiny: tuple[Problem, Simulation]) -> None:
    problem, simulation = tiny
    with pytest.raises(ValueError, match="the simulation is of another problem"):
        overlay(dataclasses.replace(problem, init_scale=2e-3), simulation)


# --- loss curves ----------------------------------------------------------------------------------


def test_loss_distance_is_the_largest_gap_in_log10(small_problem: Problem, small_simulation: Simulation) -> None:
    """SGD that follows the flow but for a factor in one record, and below the floor of 1e-3 of the start."""
    one = dataclasses.replace(
        small_simulation,
        **{
            name: getattr(small_simulation, name)[:1]
            for name in ("directions", "loss", "overlaps", "norms", "alignment", "recovery", "divergence")
        },
    )
    predicted = predict(small_problem, one.directions[0], t_min=one.t_end, t_max=one.t_end, times=one.times).flow
    curve = predicted.loss_at(one.times)
    assert curve[-1] < 0.5 * curve[0], "premise: the flow learns something"

    def distance(loss: np.ndarray) -> float:
        return overlay(small_problem, dataclasses.replace(one, loss=loss[None])).agreement.loss_distance.median

    assert distance(curve) == pytest.approx(0, abs=1e-6)  # two horizons, one solver at rtol 1e-7
    factor = np.ones(len(curve))
    factor[10] = 10**-0.3
    assert distance(curve * factor) == pytest.approx(0.3, abs=1e-6)
    factor[20] = 10**0.7
    assert distance(curve * factor) == pytest.approx(0.7, abs=1e-6)
    zero = np.where(np.arange(len(curve)) < 30, curve, 0.0)
    floored = np.log10(np.maximum(curve[30:], 1e-3 * curve[0]) / (1e-3 * curve[0])).max()
    assert distance(zero) == pytest.approx(floored, abs=1e-6)


@pytest.mark.parametrize("tolerance", [0.1, 1.5])
def test_a_shift_in_time_by_the_tolerance_takes_the_loss_as_far_as_said(
    small_comparison: Comparison, tolerance: float
) -> None:
    """SGD that is the flow, late or early by the tolerance: the larger distance; less of a shift is less."""
    flow, run = small_comparison.predictions[0].flow, small_comparison.simulation
    changed = dataclasses.replace(small_comparison.agreement, tolerance=tolerance)
    said = dataclasses.replace(small_comparison, predictions=small_comparison.predictions[:1], agreement=changed)

    def distance(share: float) -> float:
        with np.errstate(divide="ignore", invalid="ignore"):
            times = run.times / max(1 + share, 0)
        shifted = flow.loss_at(np.minimum(np.nan_to_num(times), flow.t_end))
        return loss_distance(flow, dataclasses.replace(run, loss=np.tile(shifted, (9, 1))), 0)

    assert said.shift_distance == pytest.approx(max(distance(tolerance), distance(-tolerance)), rel=1e-12)
    assert distance(0.0) == pytest.approx(0, abs=1e-12) and 0.05 < distance(tolerance / 2) < said.shift_distance
    stopped = dataclasses.replace(flow, times=flow.times * 1e-3)
    assert math.isnan(shift_distance(stopped, run.times, tolerance)) and loss_distance(stopped, run, 0) == INF


def test_the_step_size_beside_those_that_say_whether_noise_matters(small_comparison: Comparison) -> None:
    """Two directions of nine seeds; no student for one of them, and one at overlap 0, are no number and ∞."""
    run, problem, scale = small_comparison.simulation, small_comparison.problem, small_comparison.noise_scale
    starts = zip(run.directions, small_comparison.predictions, strict=True)
    overlaps = np.array([np.abs(rows[item.student, [0, 1]]) for rows, item in starts])
    table = drift_dominated_step_size(problem, problem.a, overlaps, 1)
    np.testing.assert_allclose(scale.critical, np.median(table, axis=0), rtol=1e-12)
    np.testing.assert_allclose(scale.over_critical, 5e-6 / np.median(table, axis=0), rtol=1e-12)
    assert scale.over_typical == pytest.approx(5e-6 / np.median(table), rel=1e-12)
    assert scale.over_ceiling == pytest.approx(5e-6 / ceiling(problem), rel=1e-12) and not scale.noisy
    batched = dataclasses.replace(
        run, run=dataclasses.replace(run.run, batch=10, step_size=1e-2, sampler=Direct("numpy"))
    )
    one = dataclasses.replace(small_comparison.predictions[0], student=np.array([-1, 0]))
    there = dataclasses.replace(batched, directions=np.zeros((1, 6, 24)))
    lost = noise_scale([one], there)
    assert lost.ceiling == pytest.approx(10 * ceiling(problem)) and lost.over_ceiling > 0.03 and lost.noisy
    assert math.isnan(lost.over_critical[0]) and lost.over_critical[1] == lost.over_typical == INF
    json.dumps(lost.as_dict())


def test_label_noise_and_the_largest_step_size_count_as_noise(small_comparison: Comparison) -> None:
    """Noise of variance 8 on the labels is nine times that of the teacher; a warm-up says nothing of the rest."""
    run, problem = small_comparison.simulation, small_comparison.problem
    plain = small_comparison.noise_scale
    loud = dataclasses.replace(run, run=dataclasses.replace(run.run, label_noise=math.sqrt(8)))
    found = noise_scale(small_comparison.predictions, loud)
    np.testing.assert_allclose(found.critical, plain.critical / 9, rtol=1e-12)
    assert found.quiet == pytest.approx(plain.quiet / 9, rel=1e-12) and found.ceiling == plain.ceiling
    schedule = Piecewise([(0, 1e-9), (10, 3e-6), (200, 2e-6)])
    warmed = noise_scale(
        small_comparison.predictions, dataclasses.replace(run, run=dataclasses.replace(run.run, step_size=schedule))
    )
    assert warmed.step_size == 2e-6, "of the recorded steps"
    assert warmed.over_ceiling == pytest.approx(2e-6 / ceiling(problem), rel=1e-12)


def test_a_run_far_longer_than_the_transitions(small_problem: Problem) -> None:
    """Twice the largest decoupled recovery time is the flow's own horizon; the runs outlast it."""
    run = sgd(small_problem, 1e-3, 60_000, batch=20, seeds=2, records=20, sampler=Direct("numpy"))
    rows = np.eye(24)[:6] * 0.9 + np.eye(24)[6:12] * math.sqrt(0.19)  # already aligned
    run = dataclasses.replace(run, directions=np.stack([rows, rows]))
    longer = dataclasses.replace(run, times=run.times * 20)  # flow time 60
    for simulation in (run, longer):
        comparison = overlay(small_problem, simulation)
        assert np.isfinite(comparison.agreement.loss_distance.median)
        assert all(item.flow.t_end >= simulation.t_end for item in comparison.predictions)


# --- a real pair ----------------------------------------------------------------------------------


def test_theory_and_sgd_agree_where_noise_is_small(small_comparison: Comparison) -> None:
    """n = 9 fixed seeds; the 96 % intervals lie within ±0.08, the tolerance is 0.1."""
    agreement = small_comparison.agreement
    assert agreement.verdict == "agree", agreement.reason
    assert agreement.pairs["alignment"] == 18
    assert not small_comparison.simulation.diverged.any()
    assert agreement.loss_distance.median < 0.3  # a loss that falls by 10 in 1.2 units of flow time, 5 % late
    assert len(small_comparison.predictions) == 9
    for prediction, rows in zip(small_comparison.predictions, small_comparison.simulation.directions, strict=True):
        again = predict(small_comparison.problem, rows)
        # 1e-6: same start, another horizon for the solver (rtol 1e-7)
        np.testing.assert_allclose(prediction.flow.alignment, again.flow.alignment, rtol=1e-6)
        np.testing.assert_array_equal(prediction.student, again.student)


@pytest.mark.parametrize("factor", [1.3, 0.75])
def test_a_wrong_theory_is_caught(small_comparison: Comparison, monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    honest = iter(small_comparison.predictions)

    def wrong(*_: Any, **__: Any) -> Prediction:
        prediction = next(honest)
        return dataclasses.replace(
            prediction,
            alignment={level: factor * times for level, times in prediction.alignment.items()},
            recovery={level: factor * times for level, times in prediction.recovery.items()},
        )

    monkeypatch.setattr(importlib.import_module("emergence.compare.comparison"), "predict", wrong)
    comparison = overlay(small_comparison.problem, small_comparison.simulation)
    assert comparison.agreement.verdict == "disagree"
    assert errors_of(comparison).median * (1 - factor) > 0, "late predictions are missed early"
    assert "gradient noise" not in comparison.agreement.reason, "the step size is far below where noise rules"


def test_comparison_document(small_comparison: Comparison) -> None:
    document = small_comparison.as_dict()
    assert set(document) == {"predict", "simulate", "agreement"}
    assert len(document["predict"]) == len(document["simulate"]["alignment"]) == 9
    text = str(small_comparison)
    assert "online SGD" in text and "flow" in text and "closed form" in text and "verdict: agree" in text


# --- step check -----------------------------------------------------------------------------------


def repeated(simulation: Simulation, factors: np.ndarray) -> Simulation:
    """The run with alignment and recovery times of every seed and direction multiplied by factors (S, 2, P)."""
    times = simulation.alignment * factors[:, 0], simulation.recovery * factors[:, 1]
    return dataclasses.replace(simulation, alignment=times[0], recovery=times[1])


def test_the_step_check_fails_for_a_bias_and_seldom_without(small_simulation: Simulation) -> None:
    """300 runs of nine seeds with 10 % scatter: more than 33 failures at rate 0.05 have probability below 1e-4."""
    rng = np.random.default_rng(0)
    scatter = [np.exp(0.1 * rng.standard_normal((9, 2, 2))) for _ in range(300)]
    failed = [check_step(repeated(small_simulation, each), small_simulation).stands is False for each in scatter]
    assert sum(failed) <= 33
    # an interval of nine is their range: it reaches 0.02 with probability 9 Φ(−3.2) < 0.01, all four with 1e-8
    late = [check_step(repeated(small_simulation, 1.4 * each), small_simulation).stands for each in scatter[:20]]
    assert late == [False] * 20
    systematic = check_step(repeated(small_simulation, np.full((9, 2, 2), 1.001)), small_simulation)
    assert systematic.stands and "stands" in str(systematic), "a bias of no concern, however surely seen"
    few = repeated(small_simulation, np.ones((9, 2, 2)))
    five = {name: getattr(few, name)[:5] for name in ("alignment", "recovery", "directions")}
    assert check_step(*(dataclasses.replace(few, **five),) * 2).stands is None
    assert "8 are enough" in str(check_step(*(dataclasses.replace(few, **five),) * 2))  # 2·2⁻⁸ < 0.05/4 < 2·2⁻⁷
    with pytest.raises(ValueError, match="same directions"):
        check_step(small_simulation, dataclasses.replace(small_simulation, directions=-small_simulation.directions))
