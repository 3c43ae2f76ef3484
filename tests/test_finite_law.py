"""The finite law: greedy chain against full matrices, times against the exact level, loss against the flow."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Callable
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from conftest import NUMBA
from scipy.interpolate import PPoly
from scipy.special import expit, roots_jacobi
from scipy.stats import beta as beta_law
from scipy.stats import ks_1samp, ks_2samp

from emergence.problem import Activation, Problem, Teacher
from emergence.theory import decoupled, greedy_kernel, open_selection
from emergence.theory import greedy_chain as greedy
from emergence.theory import resource_curves as curves
from emergence.theory.critical_step_size import drift_dominated_step_sizes
from emergence.theory.finite_size_law import FiniteLaw, finite_law, law_of_starts
from emergence.theory.gradient_flow import flow
from emergence.theory.gradient_noise import ceiling
from emergence.theory.greedy_chain import greedy_overlaps
from emergence.theory.greedy_selection import assign
from emergence.theory.open_selection import among_open, pulls
from emergence.theory.random_init import best_overlap, draw_overlaps, init_quantiles
from emergence.theory.transition_times import transition_times

H4 = Activation("h4")
SIGMAS = {name: Activation(name) for name in ("h3", "h4", "h6", "h4 + h6/2")} | {"abs(x)": Activation("abs(x)", cut=3)}


@pytest.fixture(scope="module")
def law() -> FiniteLaw:
    """P = 40 directions, more students than directions."""
    return finite_law(Problem(H4, Teacher.power_law(40, beta=0.8), d=256, m=48), draws=12)


def law_at(problem: Problem, overlaps: np.ndarray) -> FiniteLaw:
    """The law of given initial overlaps (draws, P) of the learning students."""
    times = transition_times(problem.activation, problem.a, overlaps, problem.init_scale**2)
    return FiniteLaw(problem, overlaps[:, None], (0.5,), overlaps, *times)


# Greedy selection


def candidates(problem: Problem, overlaps: np.ndarray) -> tuple[np.ndarray, ...]:
    """Student and direction of every candidate (m P,), and its times alone (…, m P), of overlaps (…, m, P)."""
    k, p = np.divmod(np.arange(problem.m * problem.P), problem.P)
    r = np.abs(overlaps) if problem.activation.parity == "even" else overlaps
    alone = transition_times(problem.activation, problem.a, r, problem.init_scale**2)
    return k, p, *(times.reshape(*overlaps.shape[:-2], -1) for times in alone)


@pytest.mark.parametrize("d", [2, 64, 20_000])
def test_table_of_quantiles_inverts_the_beta_law(d: int) -> None:
    table = PPoly(
        greedy._table(d).T[::-1], np.linspace(greedy_kernel.LOWEST, greedy_kernel.HIGHEST, greedy_kernel.KNOTS)
    )
    for s in (1e-20 / d, 1e-6 / d, 0.3 / d, 1.8 / d, min(20 / d, 0.99), min(40 / d, 0.999)):
        with mpmath.workdps(40):
            half = mpmath.mpf(d - 1) / 2
            above = mpmath.betainc(0.5, half, s, 1, regularized=True)
            y = float(-mpmath.log(1 - above))
        # cubic spline on panels of 0.018 in ln y, curvature below 120: 4e-7
        assert float(table(math.log(y))) == pytest.approx(math.log(s), abs=1e-6)


@pytest.mark.parametrize("m", [1, 7, 10**6])
def test_one_direction_gets_the_best_of_all_students(m: int) -> None:
    s = greedy_overlaps(H4, np.ones(1), d=50, m=m, n0=1e-6, draws=2000)[:, 0] ** 2
    law = beta_law(0.5, 24.5)
    # F^m exactly, n = 2000, false alarm 1e-9
    assert ks_1samp(s, lambda x: np.exp(m * np.log1p(-law.sf(x)))).pvalue > 1e-9


CASES = [
    ("h4", 16, 16, 64, 1.0, False),
    ("h4", 8, 64, 64, 0.8, False),
    ("h4", 16, 6, 64, 0.5, False),
    ("h6", 8, 8, 16, 0.8, False),
    ("h3", 8, 8, 32, 0.8, False),
    ("h3", 8, 3, 32, 0.3, False),
    ("h4", 12, 12, 4096, 0.8, True),  # true directions: the neglected correlation is 1/4096
]


@pytest.mark.parametrize(("name", "P", "m", "d", "beta", "sphere"), CASES)
def test_chain_has_the_law_of_selection_from_the_full_matrix(
    name: str, P: int, m: int, d: int, beta: float, sphere: bool
) -> None:
    sigma, draws, rng = SIGMAS[name], 2000, np.random.default_rng(7)
    problem = Problem(sigma, Teacher.power_law(P, beta), d=d, m=m)
    if sphere:
        overlaps = np.array([draw_overlaps(problem, rng) for _ in range(draws)])
    else:
        overlaps = np.sqrt(rng.beta(0.5, 0.5 * (d - 1), (draws, m, P))) * rng.choice([-1, 1], (draws, m, P))
    k, p, alignment, recovery = candidates(problem, overlaps)
    full = np.zeros((draws, P))
    for row, r, *alone in zip(full, overlaps.reshape(draws, -1), alignment, recovery, strict=True):
        index = among_open(problem, k, p, *alone)[0]
        row[:] = np.where(index >= 0, np.abs(r[index]), 0.0)
    chain = greedy_overlaps(sigma, problem.a, d=d, m=m, n0=problem.init_scale**2, draws=draws, seed=5)
    for p in range(P):  # unmatched directions are the atom at 0, with which the test is conservative
        assert ks_2samp(full[:, p], chain[:, p]).pvalue > 1e-9 / P  # n = 2000 each, false alarm 1e-9 in all


def test_dead_directions_get_no_student_and_no_student_serves_two() -> None:
    matched = greedy_overlaps(H4, np.array([1.0, 0.0, 0.5, 0.2, 0.1]), d=64, m=3, n0=1e-6, draws=50) > 0
    assert not matched[:, 1].any()
    assert matched.sum(axis=1).max() == 3


# Open directions and drag


def random_case(seed: int, P: int = 6, m: int = 7, d: int = 20) -> tuple[Problem, np.ndarray]:
    problem = Problem(H4, Teacher.power_law(P, 0.8), d=d, m=m)
    return problem, draw_overlaps(problem, np.random.default_rng(seed))


def test_without_wait_and_drag_it_is_greedy_maximum_selection() -> None:
    """d = 10⁹ with given overlaps has no drag; recovered as soon as aligned is closed as soon as aligned."""
    for seed in range(20):
        problem, overlaps = random_case(seed)
        k, p, alignment, _ = candidates(problem, overlaps)
        index, found, _ = among_open(replace(problem, d=10**9), k, p, alignment, alignment)
        # the order of exact times, of which assign's a r² is the leading order
        sigma = by_times(alignment.reshape(7, 6))
        np.testing.assert_array_equal(np.where(index >= 0, k[index], -1), sigma)
        np.testing.assert_allclose(found[index >= 0], alignment[index[index >= 0]], rtol=1e-9)  # κ is 1e-17


def by_times(times: np.ndarray) -> np.ndarray:
    """Greedy selection by the earliest time: student of each direction, −1 for none."""
    times, student = times.copy(), np.full(times.shape[1], -1)
    while np.isfinite(times).any():
        k, p = np.unravel_index(np.argmin(times), times.shape)
        student[p] = k
        times[k], times[:, p] = np.inf, np.inf
    return student


@pytest.mark.parametrize(("second", "learner"), [(0.299, -1), (0.1, 1)])
def test_a_student_that_aligns_before_recovery_is_used_up(second: float, learner: int) -> None:
    problem = Problem(H4, Teacher([1.0, 0.5]), d=10**9, m=2)  # no drag
    overlaps = np.array([[0.3, 0.0], [second, 0.05]])
    index, _, _ = among_open(problem, *candidates(problem, overlaps))
    assert index.tolist() == [0, 3 if learner == 1 else -1]


def test_pull_at_the_start_is_the_mean_of_r_phi_slope() -> None:
    for sigma in (SIGMAS["h3"], SIGMAS["h4 + h6/2"], Activation("h3/4 + h4")):
        for d in (3, 40):
            s, weight = roots_jacobi(60, 0.5 * (d - 3), -0.5)  # Beta(½, (d − 1)/2) of s = (1 + x)/2
            r = np.sqrt(0.5 * (1 + s))
            mean = np.sum(weight * 0.5 * (r * sigma.phi_slope(r) - r * sigma.phi_slope(-r))) / weight.sum()
            alone = pulls(sigma, np.array([2.0]), d, 1)[0] / open_selection._grown(sigma.information_exponent, d, 1)
            assert alone == pytest.approx(2 * mean, rel=1e-9, abs=1e-12)  # polynomials


@pytest.mark.parametrize(("exponent", "d", "m"), [(4, 40, 12), (6, 24, 30)])
def test_pull_until_alignment_is_that_of_students_that_are_still_free(exponent: int, d: int, m: int) -> None:
    """Stepped through time: overlaps of students along p (the median best of m) and along q, dr/dt = r^{k*−1}."""
    law, power = beta_law(0.5, 0.5 * (d - 1)), exponent - 2
    best = float(law.isf(-np.expm1(-np.log(2) / m)))
    r = np.append(np.sqrt(law.ppf((np.arange(4000) + 0.5) / 4000)), math.sqrt(best))
    end = (best ** (-power / 2) - 2 ** (power / 2)) / power
    felt, shift, steps = np.zeros(4000), np.zeros(4000), 2000
    dt = end / steps
    for _ in range(steps):
        middle = r + 0.5 * dt * r ** (exponent - 1)
        felt += dt * middle[:-1] ** exponent * (1 - middle[-1] ** 2) ** (exponent / 2)
        shift += dt * felt
        r = np.where(r**2 < 0.5, r + dt * middle ** (exponent - 1), r)
    free = r[:-1] ** 2 < 0.5
    at_start = float(law.expect(lambda s: s ** (exponent / 2))) * end**2 / 2
    assert open_selection._grown(exponent, d, m) == pytest.approx(shift[free].mean() / at_start, rel=0.01)  # bins in s


@pytest.mark.parametrize("seed", range(3))
def test_clock_is_the_integral_of_its_definition(seed: int) -> None:
    """The same selection stepped through time, d = 20 so that drag delays by tens of per cent."""
    problem, overlaps = random_case(seed, m=14)
    k, p, alignment, recovery = candidates(problem, overlaps)
    index, aligned, _ = among_open(problem, k, p, alignment, recovery)
    kappa = pulls(H4, np.ones(1), 20, 14)[0]
    order = np.argsort(alignment)
    todo, free, closing = list(order), set(range(14)), {}
    S, theta, t, dt = 0.0, 0.0, 0.0, 0.01
    stepped = np.full(6, np.inf)
    while t < 200:
        rho = problem.a * [closing.get(q, np.inf) > t for q in range(6)]
        D = kappa * (rho.sum() - (rho**2).sum() / rho.sum()) if rho.sum() > 0 else 0.0
        theta += dt / math.sqrt(1 + 4 * (S + 0.5 * D * dt))
        S, t = S + D * dt, t + dt
        while todo and alignment[todo[0]] <= theta:
            i = todo.pop(0)
            if k[i] in free and closing.get(p[i], np.inf) > t:
                free.discard(k[i])
                if p[i] not in closing:
                    stepped[p[i]], closing[p[i]] = t, t + recovery[i] - alignment[i]
    early = stepped < 200
    assert early.sum() >= 4
    assert np.max(stepped[early] / alignment[index[early]]) > 1.05
    np.testing.assert_allclose(aligned[early], stepped[early], atol=0.05)  # steps of 0.01 and closings between them


def test_law_of_starts_is_what_gradient_flow_learns() -> None:
    """P = m = 128, d = 256: greedy selection would have all 128 learned, and times 5 to 7 % early in the median."""
    problem = Problem(H4, Teacher.power_law(128, 0.8), d=256, m=128)
    for seed in range(2):
        rows = problem.initial_directions(seed)
        own = law_of_starts(problem, rows[None]).recovery[0]
        exact = flow(problem, rows, t_max=1600.0).recovery
        learned, stated = np.isfinite(exact), np.isfinite(own)
        assert 0.8 * learned.sum() < stated.sum() <= learned.sum()  # measured 0.84 and 0.85 (78 and 69 learned)
        both = learned & stated
        assert both.sum() >= 50
        assert abs(np.median(np.log(exact[both] / own[both]))) < 0.015  # measured −0.002, −0.005; 0.05 without drag


def test_draws_do_not_depend_on_how_many_there_are() -> None:
    a = Teacher.power_law(5, 1.0).a
    many = greedy_overlaps(H4, a, d=64, m=4, n0=1e-6, draws=6, seed=2)
    assert (greedy_overlaps(H4, a, d=64, m=4, n0=1e-6, draws=3, seed=2) == many[:3]).all()


@pytest.mark.skipif(not NUMBA, reason="no numba")
@pytest.mark.parametrize("name", ["h4", "h3"])
def test_numbers_are_the_same_without_numba(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"d": 100, "m": 150, "n0": 1e-6, "draws": 2}
    a = Teacher.power_law(200, 0.8).a
    compiled = greedy_overlaps(SIGMAS[name], a, **settings)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    place = importlib.util.spec_from_file_location("emergence.theory.plain_kernel", greedy_kernel.__file__)
    plain = importlib.util.module_from_spec(place)
    place.loader.exec_module(plain)
    monkeypatch.setattr(greedy, "kernel", lambda: plain)
    np.testing.assert_allclose(greedy_overlaps(SIGMAS[name], a, **settings), compiled, rtol=1e-13)  # logs may round


# Times


@pytest.mark.parametrize("name", [*SIGMAS, "h2"])
@pytest.mark.parametrize("n0", [1e-30, 1e-6, 1e-2])
def test_times_are_those_of_the_exact_level(name: str, n0: float) -> None:
    sigma, rng = SIGMAS.get(name, Activation("h2")), np.random.default_rng(3)
    r, a = np.sqrt(expit(rng.uniform(-25, 1, 200))), np.exp(rng.uniform(-6, 2, 200))
    align, recover = transition_times(sigma, a, r, n0)
    # Hermite panels of 1/64 in y: (degree/64)^4/384 ≤ 6e-8 by degree 6, measured 6e-8
    np.testing.assert_allclose(align, decoupled.alignment_time(sigma, a, r), rtol=2e-7)
    np.testing.assert_allclose(recover, decoupled.recovery_time(sigma, a, r, n0), rtol=2e-7)


def test_nothing_is_learned_without_strength_or_student() -> None:
    times = transition_times(H4, np.array([0.0, 1.0, 1.0]), np.array([[0.2, 0.0, 0.2]]), 1e-6)
    assert [np.isinf(t).tolist() for t in times] == [[[True, True, False]]] * 2


def test_times_scale_with_strength_and_with_the_activation() -> None:
    r, a = np.array([[0.03, 0.1, 0.4]]), np.array([0.9, 0.3, 0.1])
    align, recover = transition_times(H4, a, r, 1e-6)
    for other, sigma, scale in ((3 * a, H4, 3.0), (a, Activation("2*h4"), 4.0)):
        faster = transition_times(sigma, other, r, 1e-6 * other[0] / a[0])
        np.testing.assert_allclose(faster[0] * scale, align, rtol=1e-12)  # rounding of the table
        np.testing.assert_allclose(faster[1] * scale, recover, rtol=1e-12)


# Loss


def test_loss_is_the_sum_over_directions(law: FiniteLaw) -> None:
    a, times = law.problem.a, np.array([0.0, 3.0, 20.0, 90.0, 91.0, 400.0, 1e5])
    x = 4 * a * (times[:, None, None] - law.recovery)
    plain = 0.5 * np.sum(a**2 * expit(-x) ** 2, axis=-1).T
    np.testing.assert_allclose(law.loss_at(times), plain, atol=2.1e-9)  # dropped tails: 2 e^{−20} of ½ Σ a²


def test_loss_falls_from_the_whole_to_the_floor(law: FiniteLaw) -> None:
    curve = curves.flow_time(law, np.concatenate([[0.0], np.geomspace(1, 1e7, 60)]))
    assert curve.value[0] == pytest.approx(0.5, abs=1e-4)  # the logistic's start, 2 n_0/a of a direction's share
    assert (np.diff(curve.value) <= 1e-12).all()  # sums of at most 40 shares, rounding
    assert curve.value[-1] == pytest.approx(law.floor().mean(), abs=1e-12)
    assert 0 < curve.value[-1] < 0.02
    assert (np.diff(curve.bands, axis=0) >= 0).all()


def test_width_leaves_the_share_of_unmatched_directions() -> None:
    problem = Problem(SIGMAS["h4 + h6/2"], Teacher.power_law(12, beta=0.7), d=128, m=5)
    law = finite_law(problem, draws=30)
    share = 0.5 * problem.activation.second_moment * np.where(law.overlaps > 0, 0.0, problem.a**2).sum(axis=1)
    np.testing.assert_allclose(law.floor(), share, rtol=1e-14)  # rounding
    np.testing.assert_allclose(law.loss_at([1e12])[:, 0], share, rtol=1e-12)  # rounding
    curve = curves.width(law, [1, 5, 12])
    assert curve.value[1] == pytest.approx(share.mean(), rel=1e-12)  # rounding
    assert curve.value[0] > curve.value[1] > curve.value[2] > 0  # some of 12 students are used up


def test_one_direction_follows_the_exact_flow() -> None:
    problem = Problem(H4, Teacher([1.0]), d=16, m=1)
    rows = np.zeros((1, 16))
    rows[0, :2] = 0.3, math.sqrt(1 - 0.09)
    alone = law_at(problem, rows[:, :1])
    times = np.linspace(0, 2 * alone.recovery[0, 0], 40)
    exact = flow(problem, rows, t_max=times[-1], times=times).loss_at(times)
    np.testing.assert_allclose(alone.loss_at(times)[0], exact, atol=2e-6)  # n_0/a = 1e-6 before, measured 3e-7


@pytest.mark.slow
def test_loss_follows_the_flow_of_several_directions() -> None:
    problem = Problem(H4, Teacher.power_law(8, beta=0.8), d=512, m=32)
    times, flows, overlaps, reached = np.geomspace(8, 100, 12), [], [], []
    for seed in range(20):
        rows = problem.initial_coordinates(seed)
        solution = flow(problem, rows, t_max=100.0, times=times, rtol=1e-5)
        flows.append(solution.loss_at(times))
        reached.append(solution.recovery)
        student = assign(H4, problem.a, rows[:, :8])
        overlaps.append(np.abs(rows[student, np.arange(8)]))
    own = law_at(problem, np.array(overlaps))
    # competition between directions and students delays: measured +0.3 % in the mean loss by t = 50, +4 % by 80
    np.testing.assert_allclose(np.mean(flows, axis=0), own.loss_at(times).mean(axis=0), rtol=0.08)
    learned = np.isfinite(reached)
    assert 1.0 <= np.median(np.array(reached)[learned] / own.recovery[learned]) < 1.01  # measured 1.002


# Resources


def test_default_axes_reach_from_before_the_first_to_after_the_last_transition(law: FiniteLaw) -> None:
    curve, T = curves.flow_time(law), law.recovery
    last = np.where(np.isfinite(T), T, 0.0).max(axis=1)
    assert curve.x[0] <= 0.5 * np.median(T.min(axis=1)) < 2 * np.median(last) <= curve.x[-1]
    samples = curves.dimension_samples(law, [law.problem.d], direction=3).rows[:, 0]
    np.testing.assert_allclose(samples * curves._thresholds(law)[:, 3], T[:, 3], rtol=1e-14)  # n = T/η; rounding


def test_small_fixed_steps_are_the_flow_and_large_ones_learn_nothing(law: FiniteLaw) -> None:
    times = np.array([10.0, 50.0, 300.0])
    small = curves.samples_sufficient_step(law, 1e-20, times / 1e-20)
    np.testing.assert_allclose(small.value, curves.flow_time(law, times).value, rtol=1e-9)  # x·η rounds
    assert curves.samples_sufficient_step(law, 1.0, [1e6]).value[0] == pytest.approx(0.5, rel=1e-14)  # rounding


def test_norms_that_start_above_the_strengths_make_no_noise() -> None:
    """Outside the regime, and yet no warning (which would reach stderr) and no NaN."""
    law = finite_law(Problem(H4, Teacher.power_law(40, 6.0), d=1000, m=80), draws=3)
    assert not np.isnan(law.alignment).any() and not np.isnan(law.loss_at(np.array([1.0, 1e30]))).any()


def test_curves_by_the_rule_say_where_it_asks_for_more_than_the_ceiling(law: FiniteLaw) -> None:
    top = ceiling(law.problem)
    assert curves.samples_sufficient_step(law, 0.99 * top, [1.0]).note == ""
    assert "up to 1.01 of the ceiling (at 7)" in curves.samples_sufficient_step(law, 1.01 * top, [7.0]).note
    small = finite_law(Problem(law.problem.activation, Teacher([0.8, 0.6]), d=64, m=8), draws=20)
    horizon = curves.samples_horizon_step(small)
    largest = horizon.choice["step_size"].max() / ceiling(small.problem)
    assert largest > 5 and f"up to {largest:.3g} of the ceiling" in horizon.note and horizon.note in str(horizon)
    assert curves.compute_width_samples(small).as_dict()["note"]
    # the rule's η falls as d^{1−k*}, the ceiling as 1/d
    by_d = curves.dimension_samples(small, [64, 200_000])
    assert "(at 64)" in by_d.note and curves.dimension_samples(small, [200_000]).note == ""


def test_a_batch_allows_steps_larger_by_itself(law: FiniteLaw) -> None:
    eta, x = float(np.median(curves._thresholds(law))), np.geomspace(1e6, 1e11, 9)
    one, many = curves.samples_sufficient_step(law, eta, x), curves.samples_sufficient_step(law, 8 * eta, x, batch=8)
    assert (one.value == many.value).all()
    unlearned = np.where(curves._thresholds(law) < eta, law.problem.a**2, 0.0).sum(axis=1)
    last = curves.samples_sufficient_step(law, eta, [1e20])
    assert last.value[0] == pytest.approx(0.5 * unlearned.mean(), rel=1e-12)  # rounding


def test_horizon_steps_are_the_envelope_of_fixed_steps(law: FiniteLaw) -> None:
    best = curves.samples_horizon_step(law)
    for i in range(0, best.x.size, 12):
        chosen = curves.samples_sufficient_step(law, best.choice["step_size"][i] * (1 - 1e-8), [best.x[i]])
        # the same sum in another order; flow times differ by 1e-8, widths of transitions are 1/20 of a time
        assert chosen.value[0] == pytest.approx(best.value[i], rel=1e-5, abs=1e-9)
    for eta in np.unique(best.choice["step_size"])[::10]:
        other = curves.samples_sufficient_step(law, eta * (1 - 1e-8), best.x)
        assert (best.value <= other.value * (1 + 1e-5) + 1e-9).all()  # as above


@pytest.mark.parametrize("frontier", [curves.compute_width_time, curves.compute_width_samples])
def test_compute_frontier_is_the_best_width(law: FiniteLaw, frontier: Callable[..., curves.Curve]) -> None:
    widths = [1, 4, 16, 48]
    best = frontier(law, widths)
    for m in widths:
        narrow = finite_law(replace(law.problem, m=m), draws=law.draws, seed=0)
        if frontier is curves.compute_width_time:
            value = curves.flow_time(narrow, best.x / m).value
        else:
            value = curves._best_step(narrow, best.x / m)[0].mean(axis=0)
        assert (best.value <= value * (1 + 1e-8)).all()  # ties within 1e-9 go to the narrower
        mine = best.choice["width"] == m
        assert mine.any()
        np.testing.assert_allclose(best.value[mine], value[mine], rtol=1e-12)  # the same numbers


@pytest.mark.parametrize(("name", "power"), [("h3", 0.5), ("h4", 1.0), ("h6", 2.0)])
def test_dimension_laws(name: str, power: float) -> None:
    law = finite_law(Problem(SIGMAS[name], Teacher.power_law(3, beta=1.0), d=64, m=8), draws=9)
    dimensions = [2**20, 2**24]
    time = curves.dimension_time(law, dimensions, event="alignment").value
    samples = curves.dimension_samples(law, dimensions).value
    # common draws: s_0 scales as 1/d but for O(1/d); the next order of T is √s_0 or s_0 ln s_0, 3e-3 for h3
    assert math.log(time[1] / time[0]) / math.log(16) == pytest.approx(power, abs=5e-3)
    # recovery adds ln(a/n_0)/4a + … to a T that is 2e3 for h3 and larger for the others: 5e-3
    assert math.log(samples[1] / samples[0]) / math.log(16) == pytest.approx(2 * power + 1, abs=1e-2)


def test_local_slopes_are_steep_at_finite_size_and_reach_the_exponent() -> None:
    """(1 − 2β)/β = −0.75 at β = 0.8: far off at P = 1024, where Σ_{p > q} p^{−2β} ends."""

    def slope(P: int, d: int, draws: int) -> float:
        curve = curves.flow_time(finite_law(Problem(H4, Teacher.power_law(P, 0.8), d=d, m=P), draws=draws))
        window = (curve.value < 0.1) & (curve.value > 0.01)
        return float(np.polyfit(np.log(curve.x[window]), np.log(curve.value[window]), 1)[0])

    assert slope(1024, 2048, 16) == pytest.approx(-0.87, abs=0.02)  # −0.871 ± 0.004 over 8 seeds
    assert slope(100_000, 100_000, 2) == pytest.approx(-0.755, abs=0.04)  # −0.757 ± 0.007 over 8 seeds


# Given starts


def given_starts(sigma: Activation, d: int = 64) -> tuple[Problem, np.ndarray]:
    problem = Problem(sigma, Teacher.power_law(6, beta=0.8), d=d, m=9)
    return problem, np.stack([problem.initial_coordinates(seed) for seed in range(4)])


@pytest.mark.parametrize("name", ["h3", "h4", "abs(x)"])
def test_law_of_given_starts_is_the_exact_level_of_each_students_overlap(name: str) -> None:
    """At d = 10⁹ there is no drag: the times are those of each direction with its student alone."""
    problem, rows = given_starts(SIGMAS[name])
    own = law_of_starts(replace(problem, d=10**9), rows)
    n0, learned = problem.init_scale**2, np.isfinite(own.alignment)
    for r0, alignment, recovery, has in zip(own.overlaps, own.alignment, own.recovery, learned, strict=True):
        assert (has == (r0 != 0)).all()
        exact = decoupled.alignment_time(problem.activation, problem.a, r0)
        np.testing.assert_allclose(alignment, exact, rtol=2e-7)  # panels of the table, as above
        exact = decoupled.recovery_time(problem.activation, problem.a, r0, n0)
        np.testing.assert_allclose(recovery, exact, rtol=2e-7)
    assert learned.sum() > 16


def test_law_of_given_starts_on_the_far_side_of_a_rest_point() -> None:
    """h3/4 + h4 moves outward on both sides of 0 ≥ r ≥ −3/64, and not at the same speed."""
    problem = Problem(Activation("h3/4 + h4"), Teacher([1.0]), d=3, m=1)
    r0 = np.array([-0.3, 0.3, -0.9])
    own = law_of_starts(problem, np.stack([r0, 0 * r0, np.sqrt(1 - r0**2)], axis=1)[:, None])
    exact = decoupled.recovery_time(problem.activation, 1.0, r0, problem.init_scale**2)
    np.testing.assert_allclose(own.recovery[:, 0], exact, rtol=2e-7)  # panels of the table, as above
    assert own.alignment[0, 0] > 1.2 * own.alignment[1, 0]
    assert own.alignment[2, 0] == 0.0


def test_an_even_activation_does_not_see_the_sign_of_a_student() -> None:
    problem, rows = given_starts(H4)
    turned = rows * np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0, 1.0, -1.0, 1.0])[:, None]
    own, other = law_of_starts(problem, rows), law_of_starts(problem, turned)
    np.testing.assert_array_equal(own.recovery, other.recovery)
    np.testing.assert_array_equal(own.overlaps, other.overlaps)


def test_the_step_size_of_the_median_overlap_is_the_median_over_starts() -> None:
    """The threshold rises with the overlap, so that medians go over into medians."""
    one = Problem(H4, Teacher([1.0]), d=64, m=5)
    above = np.sum(curves._thresholds(finite_law(one, draws=4000))[:, 0] > drift_dominated_step_sizes(one)[0])
    assert abs(above - 2000) < 6 * math.sqrt(1000)  # n = 4000, p = ½: false alarm 2e-9


def test_curves_of_given_starts_use_these_starts() -> None:
    problem, rows = given_starts(H4)
    own = law_of_starts(problem, rows)
    widths = [2, 5, 9]
    floors = [law_of_starts(replace(problem, m=m), rows[:, :m]).floor() for m in widths]
    np.testing.assert_array_equal(curves.width(own, widths).rows, np.transpose(floors))
    assert curves.width(own).x.tolist() == [1, 2, 4, 8, 9]
    frontier = curves.compute_width_time(own, widths)
    for m in widths:
        mine = frontier.choice["width"] == m
        narrow = law_of_starts(replace(problem, m=m), rows[:, :m])
        np.testing.assert_array_equal(frontier.rows[:, mine], narrow.loss_at(frontier.x / m)[:, mine])
    # all of the students again: the same law
    np.testing.assert_array_equal(curves.dimension_time(own, [64]).rows[:, 0], own.recovery[:, 0])


def test_curves_of_given_starts_have_no_others() -> None:
    own = law_of_starts(*given_starts(H4))
    with pytest.raises(ValueError, match="the given starts have 9 students, so there are none for width 10"):
        curves.compute_width_samples(own, [4, 10])
    with pytest.raises(ValueError, match="directions in dimension 64, there are none in 128"):
        curves.dimension_samples(own, [64, 128])
    with pytest.raises(ValueError, match="students stay mixtures"):
        law_of_starts(*given_starts(Activation("h2")))


def test_random_starts_at_information_exponent_two() -> None:
    """One direction, logistic: T = ln((1 − s_0)/s_0)/4, s_0 the best of m, its median known exactly."""
    problem = Problem(Activation("h2"), Teacher([1.0]), d=50, m=4)
    result = init_quantiles(problem, [0.5], draws=4000, seed=2)
    low, high = result.alignment_interval["decoupled"][0, :, 0]
    s0 = float(best_overlap(problem, 0.5))
    middle = math.log((1 - s0) / s0) / 4
    # the 95 % interval of 4000 draws stretched threefold, 5.9 standard errors: false alarm 4e-9
    assert abs(middle - 0.5 * (low + high)) < 1.5 * (high - low)


# Bad input


def test_bad_input_is_refused() -> None:
    problem = Problem(H4, Teacher.power_law(3, beta=1.0), d=16, m=2)
    law = finite_law(problem, draws=2)
    for call, message in (
        (lambda: finite_law(problem, draws=0), "`draws` must be a positive integer, but is 0"),
        (lambda: finite_law(problem, seed=-1), "`seed` must be a non-negative integer, but is -1"),
        (lambda: finite_law(problem, quantiles=(0.5, 1.0)), "`quantiles` must lie strictly between 0 and 1"),
        (lambda: finite_law(replace(problem, activation=Activation("h2"))), "information exponent ≥ 3, but it is 2"),
        (lambda: finite_law(replace(problem, activation=Activation("h4 + h5"))), "needs an even activation"),
        (
            lambda: greedy_overlaps(H4, problem.a, d=16, m=-3, n0=1e-6, draws=1),
            "`m` must be a positive integer, but is -3",
        ),
        (lambda: curves.flow_time(law, [1.0, 1.0]), "`times` must be ascending"),
        (lambda: curves.samples_sufficient_step(law, 0.0), "`step_size` must be a positive number"),
        (lambda: curves.width(law, [4, 2]), "`widths` must be ascending"),
        (lambda: curves.width(law, [0]), "`widths` must be a positive integer, but is 0"),
        (lambda: curves.dimension_time(law, [2]), "`d` must be at least P = 3, but is 2"),
        (lambda: curves.dimension_time(law, [16], direction=3), "`direction` must be below P = 3, but is 3"),
        (lambda: curves.dimension_time(law, [16], event="birth"), "`event` must be"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            call()
