"""Late directions: students among all directions that are open, and the width that a demand takes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from conftest import NUMBA
from scipy.optimize import brentq
from scipy.stats import beta as beta_law
from scipy.stats import binom

from emergence.problem import Activation, Problem, Teacher
from emergence.problem.seeds import DIRECTIONS, seed_stream
from emergence.simulate import Leap, Reduced, sgd
from emergence.theory import RequiredWidth, flow, predict, required_width, width_advice
from emergence.theory.decoupled import alignment_time, recovery_time
from emergence.theory.gradient_noise import ceiling
from emergence.theory.greedy_selection import assign, student_overlaps
from emergence.theory.late_directions import LATE, MISSED, competing_times, late_probability, probability_of

H3, H4, H6 = (Activation(text) for text in ("h3", "h4", "h6"))
FALSE_ALARM = 1e-9  # of each statistical test below
STARTS = 100  # at which an advised width is tried
COMPILED = pytest.mark.skipif(not NUMBA, reason="an hour without numba")
TORN = [[0.60, 0.05], [0.40, 0.36], [0.02, 0.15]]  # student 2 suits both directions


def rows_of(overlaps: list[list[float]], d: int) -> np.ndarray:
    """Unit rows with these overlaps, the rest of each along an axis of its own."""
    r = np.array(overlaps)
    rows = np.zeros((len(r), d))
    rows[:, : r.shape[1]] = r
    for k in range(len(r)):
        rows[k, r.shape[1] + k] = math.sqrt(1 - np.sum(r[k] ** 2))
    return rows


# Times among competing directions


@pytest.mark.parametrize("sigma", [H3, H4, H6], ids=lambda s: s.name)
def test_one_student_and_one_direction_is_the_decoupled_time(sigma: Activation) -> None:
    r = np.array([0.05, 0.2, 0.6])
    problem = Problem(sigma, Teacher([1.0]), 30, 1)
    alignment, recovery = competing_times(problem, r[:, None, None], 1e9)
    # the passage is interpolated in the last of steps of 0.3 over the rate: up to 1 % of a time of few such steps
    np.testing.assert_allclose(alignment[:, 0], alignment_time(sigma, 1.0, r), rtol=0.01)
    np.testing.assert_allclose(alignment[0], alignment_time(sigma, 1.0, r[:1]), rtol=1e-3)
    np.testing.assert_allclose(recovery[:, 0], recovery_time(sigma, 1.0, r, 1e-6), rtol=1e-3)


def test_a_student_that_suits_two_directions_is_lost_to_the_stronger_one() -> None:
    """Greedy selection keeps student 2 for direction 2; it reaches direction 1 before that is recovered."""
    problem = Problem(H4, Teacher([0.8, 0.6]), 16, 3)
    rows = rows_of(TORN, 16)
    prediction = predict(problem, rows, t_max=60.0)
    assert prediction.student.tolist() == [0, 1]
    assert prediction.late[0] < 0.01 and prediction.late[1] > 0.98
    alignment, recovery = competing_times(problem, rows[None, :, :2], 100.0)
    # large overlaps, where what the model leaves out is up to 1 %: two students together recover direction 1 earlier
    np.testing.assert_allclose(alignment[0], prediction.flow.alignment, rtol=0.02)
    np.testing.assert_allclose(recovery[0], prediction.flow.recovery, rtol=0.02)
    assert alignment[0, 1] > 3 * prediction.alignment["decoupled"][1]
    document = prediction.as_dict()
    assert document["late"] == prediction.late.tolist()
    assert "later than the decoupled time by a quarter, with probability: p = 2 (1.00)\n" in str(prediction)


def test_what_is_recovered_early_enough_leaves_the_other_student_alone() -> None:
    """The same start, but a norm that needs no time to grow: direction 1 closes before student 2 is there."""
    slow, quick = (
        competing_times(Problem(H4, Teacher([0.8, 0.6]), 16, 3, scale), rows_of(TORN, 16)[None, :, :2], 100.0)[0][0]
        for scale in (1e-3, 0.5)
    )
    assert slow[0] == quick[0] and slow[1] > 4 * quick[1]


def test_labels_draws_and_directions_of_no_strength_do_not_matter() -> None:
    problem = Problem(H4, Teacher.power_law(4, 0.5), 64, 9)
    starts = np.array([problem.initial_directions(seed)[:, :4] for seed in range(5)])
    alignment, recovery = competing_times(problem, starts, 400.0)
    for i in range(5):  # side by side is one by one
        one = competing_times(problem, starts[i : i + 1], 400.0)
        np.testing.assert_allclose(one[0][0], alignment[i], rtol=1e-12)
        np.testing.assert_allclose(one[1][0], recovery[i], rtol=1e-12)
    rng = np.random.default_rng(1)
    students, order = rng.permutation(9), rng.permutation(4)
    teacher = Teacher(problem.a[order])
    moved = competing_times(replace(problem, teacher=teacher), starts[:, students][:, :, order], 400.0)
    np.testing.assert_allclose(moved[0], alignment[:, order], rtol=1e-9)  # sums in another order
    padded = Problem(H4, Teacher([*problem.a, 0.0]), 64, 9)
    zero = competing_times(padded, np.dstack([starts, np.full((5, 9), 0.3)]), 400.0)
    np.testing.assert_allclose(zero[0][:, :4], alignment, rtol=1e-9)
    assert np.isinf(zero[0][:, 4]).all() and np.isinf(zero[1][:, 4]).all()
    short = competing_times(problem, starts, 30.0)
    assert np.array_equal(short[0], np.where(alignment <= 30.0, alignment, np.inf))


@pytest.mark.parametrize(("sigma", "d", "starts"), [(H4, 48, 20), pytest.param(H6, 24, 30, marks=pytest.mark.slow)])
def test_random_starts_against_the_flow(sigma: Activation, d: int, starts: int) -> None:
    problem = Problem(sigma, Teacher.power_law(3, 0.3), d, 6)
    errors, late, said = [], [], []
    for i in range(starts):
        rows = problem.initial_coordinates(seed_stream(1, i, DIRECTIONS))
        overlaps = rows[:, :3]
        alone = alignment_time(sigma, problem.a, student_overlaps(assign(sigma, problem.a, overlaps), overlaps))
        solution = flow(problem, rows, t_max=1.5 * alone.max(), until=np.full(3, True), rtol=1e-5)
        model = competing_times(problem, overlaps[None], 1.5 * alone.max())[0][0]
        both = np.isfinite(model) & np.isfinite(solution.alignment)
        errors += np.abs(np.log(model[both] / solution.alignment[both])).tolist()
        late += (solution.alignment > (1 + LATE) * alone).tolist()
        said += (late_probability(problem, overlaps, alone) > 0.5).tolist()
    assert np.median(errors) < 5e-4  # step size of the model; the benchmark finds 5e-5
    assert any(late) and late == said  # one wrong in a thousand is what the benchmark finds


# Probability


def test_probability_rises_from_false_alarms_to_what_is_not_missed() -> None:
    x = np.array([-5.0, math.log1p(LATE), math.inf])
    p = probability_of(x)
    assert p[0] < 0.01 and p[2] == pytest.approx(1 - MISSED)
    assert p[0] < p[1] < p[2] and p[1] == pytest.approx(0.5, abs=0.01)  # both kinds of error are below a hundredth


def test_where_no_time_is_predicted_nothing_is_said() -> None:
    problem = Problem(H4, Teacher([0.8, 0.6]), 16, 1)
    prediction = predict(problem, rows_of([[0.4, 0.1]], 16))
    assert np.isnan(prediction.late[1]) and prediction.late[0] < 0.01
    assert prediction.as_dict()["late"][1] is None and "later than" not in str(prediction)
    assert np.isnan(late_probability(problem, np.zeros((1, 2)), np.full(2, np.inf))).all()
    there = rows_of([[0.9, 0.1]], 16)[:, :2]  # aligned at the start
    assert late_probability(problem, there, np.array([0.0, np.inf]))[0] < 0.01
    mixed = Problem(Activation("h2"), Teacher([0.8, 0.6]), 16, 3)
    assert np.isnan(predict(mixed, mixed.initial_directions(0), t_max=1.0).late).all()


# Required width


def one_direction(d: int, t: float, scale: float = 1e-2) -> tuple[Problem, float]:
    """h4 and P = 1, and the probability that one student is not in time: F(s*), T(s*) = t."""
    problem = Problem(H4, Teacher([1.0]), d, 1, init_scale=scale)
    late = brentq(lambda s: float(recovery_time(H4, 1.0, math.sqrt(s), scale**2)) - t, 1e-6, 1 - 1e-6)
    return problem, float(beta_law(0.5, 0.5 * (d - 1)).cdf(late))


@pytest.mark.parametrize("step_size", [None, 1e-9])
def test_one_direction_takes_the_exact_width(step_size: float | None) -> None:
    problem, out = one_direction(40, 5.0)
    n = 400
    found = required_width(problem, None, 5.0, probability=0.8, step_size=step_size, draws=n)
    low, high = binom.ppf([FALSE_ALARM, 1 - FALSE_ALARM], n, 0.8) / n  # n = 400, two-sided
    exact = math.log(0.2) / math.log(out)
    # the share crosses 0.8 where the true probability is no farther from it than n draws allow
    assert math.log(1 - low) / math.log(out) <= found.m + 1e-9 and found.m - 1 <= math.log(1 - high) / math.log(out)
    assert found.reached >= 0.8 > found.below
    assert found.problem.m == found.m and found.valid and found.draws == n
    assert found.error(0.8) == pytest.approx(math.sqrt(0.16 / n), rel=0.01)  # half a hit in 400
    assert 0.5 * exact < found.m < 2 * exact


def test_more_time_fewer_directions_and_less_certainty_take_fewer_students() -> None:
    problem = Problem(H4, Teacher.power_law(2, 0.5), 24, 1, init_scale=0.1)

    def width(learn: int, t: float, probability: float) -> int:
        return required_width(problem, learn, t, probability=probability, draws=40).m or 10**6

    base = width(1, 6.0, 0.8)
    assert width(1, 12.0, 0.8) < base < width(1, 6.0, 0.95)
    assert base < width(2, 6.0, 0.8)


def test_starts_are_nested_and_random_draws_do_not_depend_on_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(H4, Teacher.power_law(2, 0.5), 32, 1, init_scale=0.1)
    shares = {m: width_advice._shares_of_flow(problem, np.arange(2), 9.0, 40, 3)(m) for m in (2, 5, 8, 12, 70)}
    assert list(shares.values()) == sorted(shares.values()) and len(set(shares.values())) > 3
    share = width_advice._shares_of_flow(problem, np.arange(2), 9.0, 40, 3)  # draws that are settled are not run again
    assert {m: share(m) for m in (5, 8, 2, 70, 12)} == shares
    monkeypatch.setattr(width_advice, "AT_ONCE", 100)  # a few draws at a time
    assert width_advice._shares_of_flow(problem, np.arange(2), 9.0, 40, 3)(12) == shares[12]


def test_a_demand_that_no_width_satisfies_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(H4, Teacher.power_law(2, 1.0), 64, 7)
    slow = required_width(problem, 2, 1.0)
    assert slow.m is None and slow.draws == 0 and "takes 7.273" in slow.reason  # ln(a_2/n_0)/(4 a_2)
    assert "no width is enough for the 2 strongest of 2 directions by t = 1" in str(slow)
    assert slow.as_dict()["m"] is None
    monkeypatch.setattr(width_advice, "LARGEST", 8)
    few = required_width(problem, 2, 9.0, draws=20)
    assert few.m is None and few.problem.m == 8 and few.reached < 0.9 and "widths up to 8 were tried" in few.reason
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learn": 3}, "`learn` must be at most the 2 directions"),
        ({"t_max": 0.0}, "`t_max` must be a positive number"),
        ({"probability": 1.0}, "`probability` must lie strictly between 0 and 1, but is 1"),
        ({"step_size": -1.0}, "`step_size` must be a positive number"),
        ({"batch": 0}, "`batch` must be a positive integer"),
        ({"label_noise": -1.0}, "`label_noise` must be a non-negative number"),
        ({"draws": 0}, "`draws` must be a positive integer"),
        ({"seed": -1}, "`seed` must be a non-negative integer"),
    ],
)
def test_bad_demands_are_refused(change: dict[str, float], message: str) -> None:
    problem = Problem(H4, Teacher([0.8, 0.6]), 16, 3)
    with pytest.raises(ValueError, match=message):
        required_width(problem, **{"learn": 1, "t_max": 5.0, **change})


def test_problems_that_the_law_does_not_know_are_refused() -> None:
    for text, eta, message in (("h2", None, "information exponent 2"), ("h3", 1e-6, "even activation")):
        with pytest.raises(ValueError, match=message):
            required_width(Problem(Activation(text), Teacher([0.8, 0.6]), 16, 3), 1, 5.0, step_size=eta)


def test_a_step_size_beyond_the_ceiling_is_not_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(width_advice, "LARGEST", 1)
    found = required_width(Problem(H4, Teacher([1.0]), 16, 3, init_scale=0.1), 1, 5.0, step_size=0.1, draws=10)
    assert isinstance(found, RequiredWidth) and not found.valid and "not valid: the step size is" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "learn", "t"),
    [
        (Problem(H4, Teacher.power_law(4, 1.0), 64, 1), 2, 20.0),
        (Problem(H4, Teacher.power_law(6, 0.8), 256, 1), 4, 110.0),
        (Problem(H6, Teacher.power_law(3, 0.5), 32, 1), 3, 60.0),
    ],
    ids=["h4 d64", "h4 d256", "h6 d32"],
)
def test_the_advised_width_is_what_the_flow_needs(problem: Problem, learn: int, t: float) -> None:
    """Starts of their own: 0.9 at the advised m within what 100 flows and 400 draws allow, and far less at half."""
    found = required_width(problem, learn, t)
    assert found.m is not None
    hits = {}
    for m in (found.m, found.m // 2):
        wide, until = replace(problem, m=m), np.arange(problem.P) < learn
        hits[m] = 0
        for i in range(STARTS):
            rows = wide.initial_coordinates(seed_stream(77, i, DIRECTIONS))
            solution = flow(wide, rows, t_max=t, until=until, rtol=1e-5)
            hits[m] += bool(np.isfinite(solution.recovery[:learn]).all())
    assert_advice_holds(found, hits)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "learn", "t", "share", "sampler"),
    [
        pytest.param(Problem(H4, Teacher.power_law(4, 1.0), 64, 1), 2, 20.0, 0.3, Reduced(), marks=COMPILED),
        (Problem(H4, Teacher.power_law(6, 0.8), 256, 1), 4, 110.0, 0.3, Leap()),
    ],
    ids=["d64", "d256"],
)
def test_the_advised_width_is_what_sgd_needs(
    problem: Problem, learn: int, t: float, share: float, sampler: Reduced | Leap
) -> None:
    """The same at a finite step size, a share of the ceiling."""
    eta = share * ceiling(problem)
    found = required_width(problem, learn, t, step_size=eta)
    assert found.m is not None and found.valid
    hits = {}
    for m in (found.m, found.m // 2):
        run = sgd(replace(problem, m=m), eta, int(np.ceil(t / eta)), seeds=STARTS, seed=77, sampler=sampler, records=2)
        hits[m] = int((run.recovery[:, :learn] <= t).all(axis=1).sum())
    assert_advice_holds(found, hits)


def assert_advice_holds(found: RequiredWidth, hits: dict[int, int]) -> None:
    print(f"m = {found.m}: {hits}, stated {found.reached}")
    assert found.m is not None
    # 0.9 is known to ± 6 × 0.015 by the draws, and n = 100 runs: two-sided 1e-9
    low, high = binom.ppf(FALSE_ALARM, STARTS, 0.9 - 0.09), binom.ppf(1 - FALSE_ALARM, STARTS, min(0.9 + 0.09, 1))
    assert low <= hits[found.m] <= high
    assert hits[found.m // 2] < hits[found.m] - 10
