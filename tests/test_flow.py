"""Gradient flow: against the table, against integration in other coordinates, and the laws it must obey."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import cache

import mpmath
import numpy as np
import pytest
from scipy.integrate import DOP853
from transition_cases import CASES, EXACT, NAMES, PHI, TAGS, Case, packed_flow

from emergence.problem import Activation, Problem, Teacher
from emergence.problem.population_loss import loss
from emergence.theory import Flow, exact_flow, flow

BY_NAME = dict(zip(NAMES, CASES, strict=True))
EACH = pytest.mark.parametrize("case", CASES, ids=NAMES)
ALL_LEARNED = [c for c in CASES if np.isfinite(c.recovery).all()]


def solve(case: Case, **options: object) -> Flow:
    return flow(case.problem, case.directions, **{"t_max": case.t_max, **options})


@cache
def solved(name: str) -> Flow:
    """The row's problem to its horizon with the default tolerance, once for all tests."""
    return solve(BY_NAME[name])


# The table itself


def test_rows_of_the_table_are_named_tagged_and_complete() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {tag for case in CASES for tag in case.tags} == set(TAGS)
    for case in CASES:
        assert len(case.alignment) == len(case.recovery) == len(case.strengths) == case.problem.P
        for times in (case.alignment, case.recovery):
            assert all(0 <= t < case.t_max or math.isinf(t) for t in times)
        assert ("one direction" in case.tags) == (case.problem.P == 1)
        assert ("zero strength" in case.tags) == (0 in case.strengths)
        assert ("no complement" in case.tags) == (case.d <= case.problem.P + case.m and case.d < 6)
        assert ("start aligned" in case.tags) == (0.0 in case.alignment)


@pytest.mark.parametrize("sigma", PHI)
def test_the_tables_phi_is_that_of_the_activation(sigma: str) -> None:
    phi, slope = PHI[sigma]
    activation = Activation(sigma, 3 if sigma == "abs(x)" else 0)
    s = np.linspace(-0.9, 0.9, 41)
    # coefficients by quadrature are good to 1e-13; terms beyond degree 512 count 0.9^512 = 4e-24
    np.testing.assert_allclose(activation.phi(s), phi(s), atol=1e-12, rtol=0)
    np.testing.assert_allclose(activation.phi_slope(s), slope(s), atol=1e-11, rtol=0)


@EACH
def test_table_by_lsoda_in_packed_coordinates(case: Case) -> None:
    alignment, recovery, _ = packed_flow(case, "LSODA", 1e-9)
    # LSODA at rtol 1e-9 takes some 1e3 steps; its errors grow with T/s_0 towards the blow-up: measured ≤ 2e-7
    np.testing.assert_allclose(alignment, case.alignment, rtol=1e-6)
    np.testing.assert_allclose(recovery, case.recovery, rtol=1e-6)


@pytest.mark.parametrize("case", [c for c in CASES if c.source == EXACT], ids=lambda c: c.name)
def test_table_of_one_direction_alone_by_mpmath(case: Case) -> None:
    """With y = logit r², dτ = dy/(2k s^{k/2−1}), and 1/n obeys a linear equation whose factor is (1 − s)^{2/k}.

    m identical students are one student with squared norm m σ_0².
    """
    k = int(case.sigma[1:])
    with mpmath.workdps(20):
        s0 = mpmath.mpf(float(case.directions[0, 0])) ** 2
        y0, n0 = mpmath.log(s0 / (1 - s0)), case.m * mpmath.mpf(case.init_scale) ** 2

        def s(y: mpmath.mpf) -> mpmath.mpf:
            return 1 / (1 + mpmath.exp(-y))

        def rate(y: mpmath.mpf) -> mpmath.mpf:
            return s(y) ** (1 - mpmath.mpf(k) / 2) / (2 * k)

        def factor(y: mpmath.mpf) -> mpmath.mpf:
            return ((1 - s0) * (1 + mpmath.exp(y))) ** (mpmath.mpf(2) / k)

        def integral(f: Callable[[mpmath.mpf], mpmath.mpf], y: mpmath.mpf) -> mpmath.mpf:
            return mpmath.quad(f, [y0, *(c for c in range(0, 60, 6) if y0 < c < y), y])

        def lacking(y: mpmath.mpf) -> mpmath.mpf:
            inverse = (1 / n0 + 4 * integral(lambda u: factor(u) * rate(u), y)) / factor(y)
            return s(y) / inverse - mpmath.mpf(1) / 2

        alignment = integral(rate, mpmath.mpf(0))
        recovery = integral(rate, mpmath.findroot(lacking, (5, 60), solver="anderson", tol=1e-24, maxsteps=40))
    assert float(alignment) == pytest.approx(case.alignment[0], rel=2e-10)  # the table keeps ten digits
    assert float(recovery) == pytest.approx(case.recovery[0], rel=2e-10)  # likewise


# Times


@EACH
def test_times_of_the_table(case: Case) -> None:
    result = solved(case.name)
    # rtol 1e-7 a step gives ≤ 2e-6 after a blow-up (measured); for |x| the cut of φ at degree 512 adds 4e-6
    np.testing.assert_allclose(result.alignment, case.alignment, rtol=2e-5)
    np.testing.assert_allclose(result.recovery, case.recovery, rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if "series" not in c.tags], ids=lambda c: c.name)
def test_a_tighter_tolerance_comes_closer_to_the_table(case: Case) -> None:
    result = solve(case, rtol=1e-10)
    # a thousandth of the default's error, and the table's ten digits
    np.testing.assert_allclose(result.alignment, case.alignment, rtol=1e-8)
    np.testing.assert_allclose(result.recovery, case.recovery, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("case", [c for c in CASES if "series" in c.tags], ids=lambda c: c.name)
def test_two_tolerances_agree_for_a_series(case: Case) -> None:
    coarse, fine = solved(case.name), solve(case, rtol=1e-9)
    # as for the table, less the cut of φ, which both share
    np.testing.assert_allclose(coarse.alignment, fine.alignment, rtol=1e-5)
    np.testing.assert_allclose(coarse.recovery, fine.recovery, rtol=1e-5)


@EACH
def test_transitions_are_first_passages_of_the_recorded_curves(case: Case) -> None:
    result = solved(case.name)
    a = case.a
    for p in range(case.problem.P):
        for first, curve, level in (
            (result.alignment[p], result.alignments[:, p], 0.5),
            (result.recovery[p], result.strengths[:, p], a[p] / 2),
        ):
            if a[p] == 0:
                assert math.isinf(first)
                continue
            assert (curve[result.times < first] < level).all()
            if np.isfinite(first):  # the first record at or past the passage has passed; no plateau on the level here
                after = curve[result.times >= first]
                assert after[0] >= level - 1e-9  # bisection to 1e-12 of t times a slope below 1e3/t


def test_passages_seen_by_the_record_and_by_the_interpolant_coincide() -> None:
    case = BY_NAME["h4 power law"]
    found = solved(case.name)
    exactly = solve(case, times=[*found.alignment, *found.recovery])
    for p in range(3):
        i, j = np.searchsorted(exactly.times, [found.alignment[p], found.recovery[p]])
        # the record at the passage itself: bisection to 1e-12 of t times a slope of order 10/t
        assert exactly.alignments[i, p] == pytest.approx(0.5, abs=1e-10)
        assert exactly.strengths[j, p] == pytest.approx(case.a[p] / 2, abs=1e-10)


def test_a_passage_inside_one_step_is_not_missed() -> None:
    """Above the level only for 3.4 < t < 3.9, within the step 3 … 4; a second curve passes at 3.1 and stays."""
    first = np.full((1, 3), np.inf)
    exact_flow._find_passages(
        lambda y: y[None],
        lambda t: np.array([0.0625 - (t - 3.65) ** 2, t - 3.1, t - 3.2]),
        3.0, 4.0, first, np.array([True, True, False]),
    )  # fmt: skip
    assert first[0, :2] == pytest.approx([3.4, 3.1], rel=1e-11)  # bisection to 1e-12
    assert math.isinf(first[0, 2])


def test_a_passage_counts_even_if_the_student_turns_back() -> None:
    problem = Problem(Activation("h3"), Teacher([1.0]), d=3, m=1)
    result = flow(problem, [[-0.9, 0.3, 0.1]], t_max=100.0)
    assert result.alignment[0] == 0.0
    assert result.alignments[-1, 0] < 0.01  # ṙ = 3r²: r = −1/(3t) = −0.003
    assert math.isinf(result.recovery[0])


def test_a_student_that_starts_on_its_direction_is_aligned_at_once() -> None:
    problem = Problem(Activation("h4"), Teacher([1.0]), d=1, m=1)
    result = flow(problem, [[-1.0]], t_max=10.0)
    assert result.alignment[0] == 0.0
    # ν logistic with rate 4: ln((1 − n_0)/n_0)/4 with n_0 = 1e-6; rtol 1e-7 a step
    assert result.recovery[0] == pytest.approx(math.log(1e6 - 1) / 4, rel=1e-6)


def test_students_that_start_recovered_leave_a_usable_record() -> None:
    problem = Problem(Activation("h4"), Teacher([1.0]), d=1, m=1, init_scale=1.0)
    result = flow(problem, [[1.0]], t_max=10.0, until=[True])
    assert (result.alignment[0], result.recovery[0], result.status) == (0.0, 0.0, "recovered")
    assert result.t_end > 0
    assert result.loss_at([0.0, 0.5 * result.t_end]).max() < 1e-15  # cancels to rounding


# Laws


@EACH
def test_start_is_the_given_start(case: Case) -> None:
    result = solve(case, t_max=1e-3)
    n, overlaps = np.full(case.m, case.init_scale**2), case.directions[:, : case.problem.P]
    assert result.times[0] == 0
    assert result.loss[0] == pytest.approx(  # the same sums; the Gram matrix in another basis, 1e-16 n² each
        loss(case.problem, n, overlaps, case.directions @ case.directions.T), rel=1e-13
    )
    np.testing.assert_allclose(result.strengths[0], n @ overlaps**2, rtol=1e-13)  # likewise
    np.testing.assert_allclose(result.alignments[0], np.max(overlaps**2, axis=0), rtol=1e-13)  # likewise


@EACH
def test_loss_never_rises(case: Case) -> None:
    result = solved(case.name)
    # a step may be wrong by rtol = 1e-7 of the state, which near the minimum is 1e-14 of loss
    assert (np.diff(result.loss) <= 1e-7 * result.loss[:-1] + 1e-13).all()


@pytest.mark.parametrize("case", ALL_LEARNED, ids=lambda c: c.name)
def test_late_students_are_the_teacher(case: Case) -> None:
    result = solved(case.name)
    # what is left decays like e^{−8 a_p t}, or as 1/t while students of no use (tag-free rows) go back to n = 0
    assert result.loss[-1] < 1e-5 * result.loss[0]
    if "k* = 1" not in case.tags:  # a linear f* is known from Σ n_k r_kp alone
        np.testing.assert_allclose(result.strengths[-1], case.a, atol=5e-3)  # √1e-5 and a little


@EACH
def test_restart_from_a_state_in_other_coordinates(case: Case) -> None:
    """0 → T equals 0 → s → T: the second part by LSODA in packed coordinates."""
    s = 0.3 * min(max(case.alignment[0], 0.1), case.t_max)
    first = solve(case, t_max=s, rtol=1e-9)
    v = np.sqrt(first.n)[:, None] * first.directions
    alignment, recovery, _ = packed_flow(case, "LSODA", 1e-9, v, case.t_max - s)
    for later, whole in ((alignment, case.alignment), (recovery, case.recovery)):
        expected = np.where(np.array(whole) <= s, 0.0, np.array(whole) - s)
        # LSODA at rtol 1e-9, as for the table; the part for |x| before s knows φ to 1e-5 near r = 1 only
        np.testing.assert_allclose(later, expected, rtol=2e-6 if "series" not in case.tags else 1e-5, atol=1e-9)


def test_restart_of_a_single_student_by_flow_itself() -> None:
    case = BY_NAME["single h4"]
    first = solve(case, t_max=1.3, rtol=1e-9)
    problem = dataclasses.replace(case.problem, d=2, init_scale=math.sqrt(first.n[0]))
    second = flow(problem, first.directions, t_max=case.t_max, rtol=1e-9)
    assert 1.3 + second.alignment[0] == pytest.approx(case.alignment[0], rel=1e-7)  # rtol 1e-9 with its growth
    assert 1.3 + second.recovery[0] == pytest.approx(case.recovery[0], rel=1e-7)  # likewise


@pytest.mark.parametrize("name", ["h4 power law", "h3", "plateau", "two mixtures"])
def test_labels_of_students_and_directions_do_not_matter(name: str) -> None:
    case = BY_NAME[name]
    students, order = np.arange(case.m)[::-1], np.roll(np.arange(case.problem.P), 1)
    axes = np.concatenate([order, np.arange(case.problem.P, case.d)])
    problem = dataclasses.replace(case.problem, teacher=Teacher(case.a[order]))
    result = flow(problem, case.directions[students][:, axes], t_max=case.t_max, rtol=1e-9)
    # QR turns the frame, so the steps differ: the table's accuracy at rtol 1e-9
    np.testing.assert_allclose(result.alignment, np.array(case.alignment)[order], rtol=1e-7)
    np.testing.assert_allclose(result.recovery, np.array(case.recovery)[order], rtol=1e-7)


@pytest.mark.parametrize("name", ["h4 power law", "h4 + h6/2", "narrow"])
def test_the_frame_outside_the_teacher_does_not_matter(name: str) -> None:
    case, P = BY_NAME[name], BY_NAME[name].problem.P
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((case.d + 30 - P, case.d + 30 - P)))[0]
    wide = np.hstack([case.directions, np.zeros((case.m, 30))])
    wide[:, P:] = wide[:, P:] @ turn
    problem = dataclasses.replace(case.problem, d=case.d + 30)
    expected, fine = solve(case, rtol=1e-9), {"t_max": case.t_max, "rtol": 1e-9}
    for directions in (wide, problem.coordinates(wide)):
        result = flow(problem, directions, **fine)
        # another basis makes other steps: rtol 1e-9 with its growth, as measured against the table
        np.testing.assert_allclose(result.alignment, expected.alignment, rtol=1e-7)
        np.testing.assert_allclose(result.recovery, expected.recovery, rtol=1e-7)


def test_signs_of_students_do_not_matter_for_an_even_activation() -> None:
    case = BY_NAME["h4 + h6/2"]
    signs = np.array([1, -1, -1, 1])[:, None]
    expected, result = solved(case.name), flow(case.problem, signs * case.directions, t_max=case.t_max)
    np.testing.assert_allclose(result.alignment, expected.alignment, rtol=1e-9)  # rounding, as for labels
    np.testing.assert_allclose(result.recovery, expected.recovery, rtol=1e-9)  # likewise


def test_twice_the_activation_takes_a_quarter_of_the_time() -> None:
    case = BY_NAME["h4 + h6/2"]
    expected, problem = solved(case.name), dataclasses.replace(case.problem, activation=Activation("2*h4 + h6"))
    result = flow(problem, case.directions, t_max=case.t_max / 4)
    # the solver guesses its first step from t_max: other steps, the default's accuracy
    np.testing.assert_allclose(4 * result.alignment, expected.alignment, rtol=1e-5)
    np.testing.assert_allclose(4 * result.recovery, expected.recovery, rtol=1e-5)


def test_length_of_given_rows_does_not_matter() -> None:
    case = BY_NAME["h4 + h6/2"]
    scaled = case.directions * np.array([1.0, 3.0, 1e-5, 1e8])[:, None]
    # normalising again changes the last bit
    np.testing.assert_allclose(flow(case.problem, scaled, t_max=40.0).recovery, solved(case.name).recovery, rtol=1e-9)


def test_a_direction_of_strength_zero_changes_nothing_and_is_never_learned() -> None:
    case = BY_NAME["zero strength"]
    without = dataclasses.replace(case.problem, teacher=Teacher([1.0, 0.5]))
    axes = np.array([0, 2, 1, *range(3, case.d)])
    result, expected = solved(case.name), flow(without, case.directions[:, axes], t_max=60.0, rtol=1e-9)
    assert math.isinf(result.alignment[1])
    assert math.isinf(result.recovery[1])
    # the default's accuracy, as for the table
    np.testing.assert_allclose(result.alignment[[0, 2]], expected.alignment, rtol=1e-5)
    np.testing.assert_allclose(result.recovery[[0, 2]], expected.recovery, rtol=1e-5)


# What is asked for


def test_without_until_the_flow_runs_to_its_horizon() -> None:
    case = BY_NAME["h4 + h6/2"]
    for until in (None, [False, False]):
        result = solve(case, until=until)
        assert (result.status, result.t_end) == ("horizon", case.t_max)
        assert np.isfinite(result.recovery).all()


def test_until_stops_at_the_first_step_after_what_was_asked() -> None:
    case = BY_NAME["h4 + h6/2"]
    first, both = solve(case, until=[True, False]), solve(case, until=np.array([True, True]))
    assert (first.status, both.status) == ("recovered", "recovered")
    assert math.isinf(first.recovery[1])
    assert first.times[-2] < first.recovery[0] <= first.t_end < both.times[-1] < case.t_max
    assert both.times[-2] < both.recovery[1] <= both.t_end


def test_t_min_holds_the_flow_until_then() -> None:
    case = BY_NAME["h4 + h6/2"]
    result = solve(case, until=[True, True], t_min=11.0)
    assert result.status == "recovered"
    assert result.times[-2] < 11.0 <= result.t_end
    assert solve(case, until=[True, True], t_min=1e9).status == "horizon"


def test_a_horizon_before_the_passage_leaves_it_open() -> None:
    case = BY_NAME["h4 + h6/2"]
    result = solve(case, t_max=1.0, until=[True, True])
    assert (result.status, result.t_end) == ("horizon", 1.0)
    assert np.isfinite(result.alignment).tolist() == [True, False]
    assert np.isinf(result.recovery).all()


def test_requested_times_are_in_the_record() -> None:
    case = BY_NAME["h4 + h6/2"]
    times = np.array([7.7, 0.0, 1e-3, 2.5, 2.5, 40.0, 41.0, -1.0])
    result, plain = solve(case, times=times), solved(case.name)
    assert (np.diff(result.times) > 0).all()
    assert set(result.times) == set(plain.times) | {1e-3, 2.5, 7.7}
    assert result.loss.shape == result.times.shape
    assert result.strengths.shape == result.alignments.shape == (*result.times.shape, 2)
    np.testing.assert_array_equal(result.recovery, plain.recovery)


@pytest.mark.parametrize("name", ["h4 power law", "single h8", "plateau"])
def test_curves_between_records(name: str) -> None:
    case = BY_NAME[name]
    times = np.linspace(0, case.t_max, 60)
    plain, exact = solved(case.name), solve(case, times=times)
    at = np.searchsorted(exact.times, times)
    # cubic interpolation between solver steps, which are a fair part of each transition: a few per cent of L(0)
    np.testing.assert_allclose(plain.loss_at(times), exact.loss[at], atol=0.03 * exact.loss[0])
    np.testing.assert_allclose(plain.strengths_at(times), exact.strengths[at], atol=0.03)  # likewise
    np.testing.assert_allclose(exact.loss_at(times), np.maximum(exact.loss[at], 1e-300), rtol=1e-9)  # at nodes


def test_curves_outside_the_record_are_nan() -> None:
    case = BY_NAME["single h4"]
    result = solved(case.name)
    assert np.isnan(result.loss_at([-0.1, 10.1])).all()
    assert np.isnan(result.strengths_at([-0.1, 10.1])).all()
    assert result.strengths_at([1.0, 2.0, 3.0]).shape == (3, 1)


# When things go wrong


def test_too_many_steps_are_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_flow, "MAX_STEPS", 5)
    result = solve(BY_NAME["single h4"])
    assert "5 steps taken; lower t_max" in result.status
    assert result.status.startswith(f"solver stopped at t = {result.t_end:.6g}")
    assert len(result.times) == 6


def test_a_failing_solver_is_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(DOP853):
        def step(self) -> str | None:
            if self.t > 1:
                self.status = "failed"
                return "no step is small enough"
            return super().step()

    monkeypatch.setattr(exact_flow, "DOP853", Failing)
    result = solve(BY_NAME["single h4"])
    assert result.status == f"solver stopped at t = {result.t_end:.6g}: no step is small enough"
    assert math.isinf(result.alignment[0])
    assert result.t_end == result.times[-1] > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t_max": 0.0}, "`t_max` must be a positive number, but is 0.0"),
        ({"t_max": math.inf}, "`t_max` must be a positive number, but is inf"),
        ({"t_max": "10"}, "`t_max` must be a positive number, but is '10'"),
        ({"rtol": -1e-7}, "`rtol` must be a positive number, but is -1e-07"),
        ({"until": [True]}, "`until` must have shape (P,) = (2,), but has (1,)"),
        ({"until": True}, "`until` must have shape (P,) = (2,), but has ()"),
        ({"directions": np.ones((3, 8))}, "`directions` must have shape (m, d) = (4, 8), but has (3, 8)"),
        ({"directions": np.full((4, 8), np.nan)}, "`directions` must be finite"),
        ({"directions": np.zeros((4, 8))}, "row 0 of `directions` is zero"),
        ({"directions": "rows"}, "`directions` must be an array of numbers"),
    ],
)
def test_bad_input_raises_before_any_work(
    options: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_flow, "DOP853", None)
    case = BY_NAME["h4 + h6/2"]
    with pytest.raises(ValueError) as error:
        flow(case.problem, options.pop("directions", case.directions), **{"t_max": 40.0, **options})
    assert message in str(error.value)


def test_a_flow_prints_as_a_card() -> None:
    result = solve(BY_NAME["narrow"])
    lines = str(result).splitlines()
    assert lines[0] == "gradient flow to t = 60 (horizon)"
    assert "recovered 1 of 3 directions" in lines[1]
    assert f"{result.evaluations} right-hand sides at rtol = 1e-07" in lines[2]
