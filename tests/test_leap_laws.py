"""Laws that a macro-step of leap keeps exactly, however long it is, and the variates that samplers make by hand."""

from __future__ import annotations

import math
import time
from itertools import combinations, count

import numpy as np
import pytest
from conftest import NUMBA
from numpy.random import SeedSequence
from scipy.integrate import solve_ivp
from scipy.stats import chi, kstest, norm

from emergence.problem import Activation, Problem, Teacher
from emergence.problem.population_loss import velocity
from emergence.simulate import Leap, Reduced, Run, sgd
from emergence.simulate.drive import drive
from emergence.simulate.samplers import leap as leap_module
from emergence.simulate.samplers.leap import LeapRun, _drifted, _reached
from emergence.simulate.samplers.reduced import ReducedRun
from emergence.theory import flow

ALARM = 1e-9  # false-alarm rate of every statistical assertion below
Z = float(norm.isf(ALARM / 2))
H4 = Activation("h4")


def started(
    problem: Problem, start: np.ndarray, control: Leap, *, eta: float = 1e-9, label_noise: float = 0.0
) -> LeapRun:
    run = Run(problem, eta, 10**15, label_noise=label_noise, records=1, sampler=control)
    return LeapRun(run, start, SeedSequence(6), control)


# --- the drift ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [0.3, 1.0, 3.0])
def test_a_learned_norm_relaxes_as_the_linear_problem_does(reach: float) -> None:
    """n = a (1 + ε) on the teacher's direction: ε(Δt) = ε e^{−4 φ(1) a Δt}, exactly but for O(ε)."""
    problem, epsilon = Problem(H4, Teacher([1.0]), d=40, m=1), 1e-6
    leap = started(problem, np.array([[math.sqrt(1 + epsilon), 0.0]]), Leap())
    moved = _drifted(problem, leap._here(), reach / 4)
    # 1e-4: ε² over ε is 1e-6, and 1 + ε is held to 1e-16/ε = 1e-10
    assert (np.sum(moved**2) - 1) / epsilon == pytest.approx(math.exp(-reach), rel=1e-4)


@pytest.mark.parametrize("reach", [0.3, 1.0, 3.0])
def test_a_learned_direction_turns_as_the_linear_problem_does(reach: float) -> None:
    """At a small angle θ to the teacher's direction: θ(Δt) = θ e^{−a φ'(1) Δt}, exactly but for O(θ²)."""
    problem, theta = Problem(H4, Teacher([1.0]), d=40, m=1), 1e-4
    leap = started(problem, np.array([[math.cos(theta), math.sin(theta)]]), Leap())
    moved = _drifted(problem, leap._here(), reach / 4)
    assert moved[0, 1] / moved[0, 0] / theta == pytest.approx(math.exp(-reach), rel=1e-4)  # θ² = 1e-8 and ε of n


def test_the_drift_is_of_second_order() -> None:
    """Several students on the way: against a tight integration, halving the step quarters the error and more."""
    problem = Problem(Activation("h4 + h6/2"), Teacher.power_law(2, 1.0), d=40, m=3, init_scale=0.5)
    rows = problem.initial_coordinates(3)
    rows[:, :2] += 0.6 * np.eye(3, 2)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    start = 0.5 * rows
    leap = started(problem, start, Leap())

    def right(_: float, y: np.ndarray) -> np.ndarray:
        W = y.reshape(start.shape)
        n = np.sum(W**2, axis=1)
        unit = W / np.sqrt(n)[:, None]
        F, tangent = velocity(problem, n, unit)
        return (np.sqrt(n)[:, None] * (2 * F[:, None] * unit + tangent)).ravel()

    errors = []
    for dt in (0.04, 0.02, 0.01):
        exact = solve_ivp(right, (0, dt), start.ravel(), rtol=1e-11, atol=1e-13).y[:, -1].reshape(start.shape)
        errors.append(np.abs(_drifted(problem, leap._here(), dt) - exact).max())
    # one step is wrong by O(Δt³): ratios near 8; first order would show 4
    assert errors[0] / errors[1] > 6 and errors[1] / errors[2] > 6
    assert errors[0] > 1e-8, "there is something to see"


@pytest.mark.parametrize(
    ("activation", "d", "horizon"), [pytest.param("h4", 128, 60.0, marks=pytest.mark.slow), ("h6", 48, 200.0)]
)
def test_a_transition_is_no_later_at_a_higher_information_exponent(activation: str, d: int, horizon: float) -> None:
    """Next to no noise, beside the exact flow from the same starts: 0.5 % late in the median for h4, 0.9 % for h6.

    h6 was 3.8 % late when its overlaps were allowed to grow by as much in a macro-step as those of h4.
    """
    problem, eta = Problem(Activation(activation), Teacher.power_law(2, 0.8), d=d, m=8), 1e-10
    late = []
    for seed in range(8):
        rows = problem.initial_directions(seed)
        exact = flow(problem, rows, t_max=horizon, method="exact").alignment
        ours = sgd(problem, eta, int(horizon / eta), sampler=Leap(), records=2, directions=rows, workers=1).alignment[0]
        both = np.isfinite(exact) & np.isfinite(ours)
        late += (ours[both] / exact[both] - 1).tolist()
    assert len(late) >= 12
    assert 0 < np.median(late) < 0.015


def test_what_students_that_count_for_little_do_to_others_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to no noise, the same stream: recovery times against those with the full drift.

    Four students a direction at d = 64: the largest difference is 1.6e-3; at d = 512 it is 1.4e-3.
    """
    problem, eta = Problem(H4, Teacher.power_law(8, 0.8), d=64, m=32), 5e-8
    settings = {"seeds": 4, "sampler": Leap(), "records": 10, "workers": 1}
    full = sgd(problem, eta, int(60 / eta), **settings).recovery
    monkeypatch.setattr(leap_module, "LARGE", 0)
    ours = sgd(problem, eta, int(60 / eta), **settings).recovery
    learned = np.isfinite(full)
    assert learned.sum() > 24 and (np.isfinite(ours) == learned).all()
    assert 0 < np.abs(ours[learned] / full[learned] - 1).max() < 5e-3


def test_the_loss_goes_on_falling_once_all_is_learned() -> None:
    """Without label noise nothing holds it: those that lead make up for what the others explain, however little."""
    problem, eta = Problem(H4, Teacher.power_law(2, 0.8), d=64, m=16), 1e-5
    run = sgd(problem, eta, int(60 / eta), seeds=8, sampler=Leap(), records=30, workers=1)
    assert np.isfinite(run.recovery).all()
    assert (run.loss[:, -1] < 1e-6 * run.loss[:, 0]).all() and np.median(run.loss[:, -1] / run.loss[:, 0]) < 1e-8


def test_a_drift_in_single_precision_moves_no_transition(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many students as that takes are too many for a test: here a few, next to no noise, the same stream."""
    problem, eta = Problem(H4, Teacher.power_law(8, 0.8), d=64, m=32), 5e-8
    settings = {"seeds": 2, "sampler": Leap(), "records": 10, "workers": 1}
    double = sgd(problem, eta, int(60 / eta), **settings).recovery

    def narrow(problem: Problem, n: np.ndarray, unit: np.ndarray, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return velocity(problem, n, unit.astype(np.float32), sources)

    monkeypatch.setattr(leap_module, "velocity", narrow)
    single = sgd(problem, eta, int(60 / eta), **settings).recovery
    learned = np.isfinite(double)
    assert learned.sum() > 12 and (np.isfinite(single) == learned).all()
    assert 0 < np.abs(single[learned] / double[learned] - 1).max() < 1e-5  # measured 3e-7


def test_a_student_counts_for_what_it_explains(monkeypatch: pytest.MonkeyPatch) -> None:
    """h4: n r⁴/a of the direction where that is largest, not its norm."""
    monkeypatch.setattr(leap_module, "LARGE", 0)
    problem = Problem(H4, Teacher([0.8, 0.6]), d=200, m=3)
    rows = np.array([[1.0, 0.0], [0.4, 0.1], [0.2, 0.5]])
    rows = np.hstack([rows, np.diag(np.sqrt(1 - np.sum(rows**2, axis=1)))])
    n = np.array([0.4, 0.1, 0.5])  # n r⁴/a: 0.5, 0.0032, 0.052
    assert started(problem, np.sqrt(n)[:, None] * rows, Leap())._here().sources.tolist() == [0, 2]


def test_many_that_count_for_little_together_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty students that explain 0.4 % of one direction each: 8 % together, so all of them pull."""
    monkeypatch.setattr(leap_module, "LARGE", 0)
    problem = Problem(H4, Teacher([0.8, 0.6]), d=200, m=20)
    rows = np.zeros((20, 22))
    rows[:, 0] = 0.4
    rows[:, 2:] = math.sqrt(1 - 0.16) * np.eye(20)
    few = Problem(H4, problem.teacher, d=200, m=2)
    alone = started(few, math.sqrt(0.125) * rows[:2, :4], Leap())._here()
    together = started(problem, math.sqrt(0.125) * rows, Leap())._here()
    assert alone.sources.size == 0
    assert together.sources.size == 20


def test_a_norm_may_grow_while_it_explains_little() -> None:
    """ln n moves by ln(1 + α/w), w of the student itself, of its company, or of its own pull over the teacher's."""
    problem = Problem(H4, Teacher([0.8, 0.6]), d=200, m=5)
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.1, 0.0]])
    rows = np.hstack([rows, np.diag(np.sqrt(1 - np.sum(rows**2, axis=1)))])
    n = np.array([0.24, 0.03, 0.03, 1e-9, 1e-4])
    here = started(problem, np.sqrt(n)[:, None] * rows, Leap())._here()
    company = (0.03 + 0.03 + 1e-9) / 0.6
    w = np.array([0.24 / 0.8, company, company, company, 1e-4 / (0.8 * 0.1**4)])
    assert here.room == pytest.approx(np.clip(np.log(1 + 0.1 / w) / 0.1, 1.0, 10.0), rel=1e-12)


def test_who_is_pulled_away_from_a_leader_is_not_held() -> None:
    """A student without a norm, partly at a learned direction, goes where another pulls it: as the exact equation says,
    and as if the leader were not there at all."""
    problem, dt = Problem(H4, Teacher([1.0, 0.1]), d=200, m=2), 1.0
    rows = np.array([[1.0, 0.0, 0.0, 0.0], [0.75, 0.3, 0.0, math.sqrt(1 - 0.75**2 - 0.3**2)]])
    leap = started(problem, np.sqrt([1.0, 1e-6])[:, None] * rows, Leap())
    moved = _drifted(problem, leap._here(), dt)[1]
    right = moved[:3] / np.linalg.norm(moved)

    def alone(_: float, v: np.ndarray) -> np.ndarray:
        pull = 0.4 * v[1] ** 3 * np.array([0.0, 1.0, 0.0, 0.0])
        return pull - (pull @ v) * v

    exact = solve_ivp(alone, (0, dt), rows[1], rtol=1e-10, atol=1e-12).y[:3, -1]
    assert np.abs(right - exact).max() < 0.1 * np.abs(exact - rows[1, :3]).max()  # second order in one step


def test_the_jitter_of_a_leader_carries_no_one_away() -> None:
    """A student without a norm at a learned direction whose leader is off by θ = 0.01: the same force turns both, at 4θ
    and relaxing at 4, so that it is turned by as much as the leader is on its way back."""
    problem, theta = Problem(H4, Teacher([1.0, 1e-3]), d=100, m=2), 0.01
    rows = np.array([[math.sqrt(1 - theta**2), 0.0, theta, 0.0], [1.0, 0.0, 0.0, 0.0]])
    leap = started(problem, np.sqrt([1.0, 1e-6])[:, None] * rows, Leap())
    for dt in (0.1, 1.0, 10.0):
        moved = _drifted(problem, leap._here(), dt)
        turned = moved[:, 2] / np.linalg.norm(moved, axis=1)
        # θ² Δt: what the tilt does to the leader's norm
        assert turned[0] == pytest.approx(theta * math.exp(-4 * dt), rel=0.01, abs=1e-2 * theta)
        assert turned[1] == pytest.approx(theta * (math.exp(-4 * dt) - 1), rel=0.01)


@pytest.mark.parametrize("dt", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("m", [2, 16])
def test_those_that_share_a_direction_relax_together(m: int, dt: float) -> None:
    """An equal part each, all off by θ: the sum relaxes at a φ'(1) = 4, m times what each would alone."""
    problem, theta = Problem(H4, Teacher([1.0]), d=40, m=m), 0.01
    row = np.array([math.cos(theta), math.sin(theta)] + (m - 1) * [0.0])
    moved = _drifted(problem, started(problem, np.tile(row, (m, 1)) / math.sqrt(m), Leap())._here(), dt)
    # a thousandth of θ: of order θ²
    np.testing.assert_allclose(moved[:, 1] / moved[:, 0], theta * math.exp(-4 * dt), atol=1e-3 * theta)


@pytest.mark.parametrize("m", [2, 16])
@pytest.mark.parametrize("reach", [4.0, 20.0])
def test_noise_of_those_that_share_a_direction_relaxes_together(reach: float, m: int) -> None:
    """An equal part each, under label noise: θ² of their sum is (d − 1) η τ²/2, as of a single student."""
    d, eta, tau = 60, 1e-6, 1.0
    problem = Problem(H4, Teacher([1.0]), d=d, m=m)
    control = Leap(virtual=16, macro_samples=int(reach / 4 / eta))
    rows = np.zeros((m, 1 + m))
    rows[:, 0] = m**-0.5
    leap = started(problem, rows, control, eta=eta, label_noise=tau)
    blocks, steps = 40, 10
    for _ in range(5):
        leap.advance(10**15)
    found = np.zeros(blocks)
    for block in range(blocks):
        for _ in range(steps):
            leap.advance(10**15)
            W = leap.students()[0]
            n = np.sum(W**2, axis=1)
            mean = (W * np.sqrt(n)[:, None]).sum(axis=0)  # Σ n_k v̄_k
            found[block] += (np.sum(mean**2) / mean[0] ** 2 - 1) / steps
    error = found.std(ddof=1) / math.sqrt(blocks)
    expected = (d - 1) * eta * tau**2 / 2
    assert error < 0.08 * expected
    assert abs(found.mean() - expected) < Z * error


@pytest.mark.parametrize("macro", [pytest.param(25, marks=pytest.mark.slow), 3, 1])
def test_who_is_held_by_a_leader_diffuses_as_far_as_it_is_not_there(macro: int) -> None:
    """A student without a norm at overlap 0.8 with a learned direction, under label noise for t = 3 (λt = 12).

    The reduced sampler, 300 runs: standard deviation 0.0041 ± 0.0002; when all noise of such a student relaxed with the
    leader it was 0.0028 in three macro-steps and 0.0017 in one.
    """
    problem, eta = Problem(H4, Teacher([1.0]), d=64, m=2), 2.5e-5
    steps = int(3 / eta)
    control = Leap(virtual=16, macro_samples=steps // macro)
    rows = np.array([[1.0, 0.0, 0.0], [0.8, 0.0, 0.6]])
    found = []
    for seed in range(300 if macro > 3 else 600):
        run = Run(problem, eta, 10**12, label_noise=0.5, records=1, sampler=control)
        leap = LeapRun(run, np.array([1.0, 1e-3])[:, None] * rows, SeedSequence([seed, macro]), control)
        for _ in range(macro):
            assert leap.advance(steps // macro) == steps // macro
        student = leap.students()[0, 1]
        found.append(student[0] / np.linalg.norm(student))
    # standard errors are 4 % and less; one macro-step is 10 % too wide
    assert np.std(found, ddof=1) == pytest.approx(0.0043, rel=0.2)


def test_the_jitter_of_what_is_aligned_does_not_rule_a_macro_step() -> None:
    """A learned student turns back from an overlap of 0.05 at λ = φ'(1) = 4, by 0.1 of 1/√d = 0.1 in 0.056; the turn
    itself is less than 0.1, and what is free has hundreds of units of time."""
    problem, eta = Problem(H4, Teacher([1.0, 1e-3]), d=100, m=2), 1e-9
    rows = np.array([[math.sqrt(1 - 0.05**2), 0.05, 0.0, 0.0], [0.0, 0.2, math.sqrt(1 - 0.2**2), 0.0]])
    leap = started(problem, np.sqrt(problem.a * [1.0, 0.01])[:, None] * rows, Leap(), eta=eta)
    leap._turn = 1e-6  # a noise that sets no bound
    speed = 1e-3 * 4 * 0.2**3 * (1 - 0.2**2)  # of the free one's overlap, 0.2; a per cent is what the learned one does
    assert leap._proposed(leap._here()) * eta == pytest.approx(0.1 * 0.2 / speed, rel=0.02)


def test_what_relaxes_bounds_a_macro_step_by_the_distance_that_is_left() -> None:
    """v (1 − e^{−Λt})/Λ = x: solved, and infinite once v/Λ ≤ x."""
    speed, rate = np.array([2.0, 2.0, 2.0, 0.0]), np.array([0.0, 10.0, 21.0, 0.0])
    times = _reached(0.1, speed, rate)
    assert times[0] == pytest.approx(0.05, rel=1e-12)  # rounding
    assert 2 * (1 - math.exp(-10 * times[1])) / 10 == pytest.approx(0.1, rel=1e-9)  # rounding, e^{-z} near ½
    assert np.isinf(times[2]) and times[3] > 1e200


def test_a_student_without_a_norm_does_not_count_as_settled() -> None:
    """Beside a learned one on the same direction nothing holds it: noise bounds the step, α² = turn η Δt."""
    problem, eta = Problem(H4, Teacher([1.0]), d=60, m=2), 1e-6
    unit = np.array([[1.0, 0.0, 0.0], [math.sqrt(1 - 1e-6), 1e-3, 0.0]])
    leap = started(problem, np.sqrt([[1.0], [1e-8]]) * unit, Leap(), eta=eta)
    leap._turn = 100.0
    here = leap._here()
    assert here.rates[1, 1] == pytest.approx(4.0, rel=1e-5)  # φ'(1) r⁴, as of a student that holds its direction
    # Λ Δt = 4e-8 · 100: the plain ratio to that
    assert leap._proposed(here) * eta == pytest.approx(0.1**2 / (100.0 * eta), rel=1e-4)


# --- the noise ------------------------------------------------------------------------------------


@pytest.mark.parametrize("reach", [pytest.param(0.5, marks=pytest.mark.slow), 4.0])
def test_the_jitter_of_what_is_learned_does_not_depend_on_the_macro_step(reach: float) -> None:
    """A learned student, a = 1, under label noise τ: stationary θ² = (d − 1) η τ²/2 and Var ln n = 2 η τ².

    Per step a direction turns by η ξ σ'(u) in each of d − 1 dimensions and relaxes at λ = φ'(1): in each its mean
    square is η τ² φ'(1)/(2λ).  ln n moves by 4 η ξ σ(u) and relaxes at Λ = 4 φ(1): 16 η τ² φ(1)/(2Λ).
    Blocks of macro-steps are the independent units, 60 of them; a factor g(z)/g(2z) is 1.76 at λΔt = 2.
    """
    d, eta, tau = 60, 1e-6, 1.0
    problem = Problem(H4, Teacher([1.0]), d=d, m=1)
    control = Leap(virtual=16, macro_samples=int(reach / 4 / eta))  # λ = Λ = 4
    leap = started(problem, np.array([[1.0, 0.0]]), control, eta=eta, label_noise=tau)
    steps, blocks = 20 if reach > 1 else 60, 60
    turns, sizes = np.zeros(blocks), np.zeros(blocks)
    for _ in range(3 * steps):
        leap.advance(10**15)
    for block in range(blocks):
        for _ in range(steps):
            leap.advance(10**15)
            W = leap.students()[0, 0]
            turns[block] += (W[1] / W[0]) ** 2 / steps
            sizes[block] += np.log(np.sum(W**2)) ** 2 / steps
    for found, expected in ((turns, (d - 1) * eta * tau**2 / 2), (sizes, 2 * eta * tau**2)):
        error = found.std(ddof=1) / math.sqrt(blocks)
        assert error < 0.06 * expected, "sharp enough for the factors that matter"
        assert abs(found.mean() - expected) < Z * error + 0.02 * expected  # 2 %: terms of order θ² and ητ²


@pytest.mark.parametrize("virtual", [*(pytest.param(B, marks=pytest.mark.slow) for B in (1, 2, 5)), 3])
def test_weights_of_virtual_samples_restore_the_law_of_the_data(virtual: int) -> None:
    """E w = 1, E w x_1² = 1, E w x_1⁴ = 3 over 10,000 draws, for odd and even numbers of virtual samples."""
    problem = Problem(H4, Teacher.power_law(2, 1.0), d=40, m=2)
    leap = started(problem, problem.initial_coordinates(1), Leap(virtual=virtual))
    here, draws = leap._here(), 10_000
    found = np.empty((draws, 3))
    for i in range(draws):
        drawn = leap._draw(here.unit, 1)
        weight = drawn.signs**2 * virtual / 1e-9**2  # signs² = w η²/(b B)
        found[i] = [np.mean(weight * drawn.X[:, 0] ** k) for k in (0, 2, 4)]
    error = found.std(axis=0, ddof=1) / math.sqrt(draws)
    assert (error < [0.03, 0.07, 0.35]).all()
    # B = 1 is all tilted, and its weights have no bound: the tails of the third are the heaviest
    assert (np.abs(found.mean(axis=0) - [1, 1, 3]) < Z * error).all()


@pytest.mark.parametrize("beside", [0, 2, 9])
def test_remainders_of_virtual_samples_have_a_wishart_gram_matrix(beside: int) -> None:
    """D = ``beside`` dimensions outside the basis, B = 5 samples, n = 5000 draws.

    For independent normals g_i in R^D: E |g_i|² = E (g_i·g_j)² = E (g_i·g_j)(g_j·g_k)(g_k·g_i) = D,
    E |g_i|⁴ = D (D + 2).
    """
    problem = Problem(H4, Teacher.power_law(2, 1.0), d=4 + beside, m=2)
    leap = started(problem, problem.initial_coordinates(1), Leap(virtual=5))
    here, draws = leap._here(), 5_000
    found = []
    for _ in range(draws):
        rest = leap._draw(here.unit, 1).X[:, 4:]
        gram = rest @ rest.T
        own, pairs = np.diag(gram), gram[np.triu_indices(5, 1)]
        triples = [gram[i, j] * gram[j, k] * gram[k, i] for i, j, k in combinations(range(5), 3)]
        found.append(np.concatenate([own, own**2, pairs**2, triples]))
    moments, expected = np.array(found), np.repeat([beside, beside * (beside + 2), beside, beside], [5, 5, 10, 10])
    error = moments.std(axis=0, ddof=1) / math.sqrt(draws)
    # heavy tails: the sample's own spread makes the bar; at D = 0 nothing varies and all is zero
    assert (np.abs(moments.mean(axis=0) - expected) <= Z * error).all()
    assert (Z * error[:5] <= 0.5).all(), "sharp enough to see a dimension"


# --- looking --------------------------------------------------------------------------------------


class Straight:
    """A coarse sampler of one student whose squared overlap grows by the same amount every step."""

    coarse = True

    def __init__(self, slope: float, stride: int) -> None:
        self.slope, self.stride, self.at = slope, stride, 0

    def advance(self, steps: int) -> int:
        count = min(steps, self.stride)
        self.at += count
        return count

    def students(self) -> np.ndarray:
        s = self.slope * self.at
        return np.array([[[math.sqrt(s), math.sqrt(1 - s)]]])

    def keep(self, alive: np.ndarray) -> None: ...

    def snapshot(self) -> dict[str, np.ndarray]:
        return {}

    def restore(self, saved: dict[str, np.ndarray]) -> None: ...


@pytest.mark.parametrize("stride", [1, 7, 60])
def test_a_straight_passage_is_found_where_it_is(stride: int) -> None:
    """s = 0.01 · step passes ½ at step 50 and n s passes a/2 there too: whatever the length of the steps."""
    problem = Problem(H4, Teacher([1.0]), d=10, m=1, init_scale=1.0)
    run = Run(problem, 0.1, 90, records=1, sampler=Leap())
    measured, _ = drive(
        run, Straight(0.01, stride), 1, checkpoint=None, progress=lambda _: None, stopping=lambda: False
    )
    assert measured.alignment[0, 0] == pytest.approx(5.0, rel=1e-12)  # rounding
    assert measured.recovery[0, 0] == pytest.approx(5.0, rel=1e-12)


def test_a_path_does_not_depend_on_how_fast_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Macro-steps that seem to take an hour each are as long as others, up to every one of many records."""
    problem = Problem(H4, Teacher.power_law(2, 1.0), d=64, m=4)
    settings = {"sampler": Leap(), "records": 14, "workers": 1}
    quick = sgd(problem, 1e-6, 10**7, **settings)
    clock = count(step=3600.0)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    slow = sgd(problem, 1e-6, 10**7, **settings)
    np.testing.assert_array_equal(slow.overlaps, quick.overlaps)


# --- variates made by hand ------------------------------------------------------------------------


@pytest.mark.skipif(not NUMBA, reason="no numba")
@pytest.mark.parametrize("batch", [1, 4])
def test_remainders_of_the_reduced_sampler_are_chi(batch: int) -> None:
    """The i-th buffered column is χ with d − P − m − i degrees of freedom: Kolmogorov–Smirnov on 3000 of them."""
    problem = Problem(H4, Teacher.power_law(2, 1.0), d=40, m=3)
    run = Run(problem, 1e-12, 10**9 * batch, batch=batch, records=1, sampler=Reduced())
    stack = ReducedRun(run, 1e-3 * problem.initial_coordinates(0), SeedSequence(8))
    rows, width = stack._noise.size, stack._W.shape[1]
    uniform = []
    while len(uniform) < 3000:
        stack.advance(stack._steps)
        X = stack._drawn[: rows * width].reshape(rows, width)
        column = 5 + np.arange(rows)
        uniform += chi(40 - column).cdf(X[np.arange(rows), column]).tolist()
        assert not np.triu(X[:, 5:], 1).any(), "nothing lies beyond a sample's own column"
    assert kstest(uniform, "uniform").pvalue > ALARM
