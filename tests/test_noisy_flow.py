"""Moments of gradient noise over all students, and the flow that they drive."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from emergence.problem import Activation, Problem, Teacher
from emergence.simulate import Reduced, sgd
from emergence.theory import flow
from emergence.theory.gradient_covariance import gradient_covariance
from emergence.theory.gradient_noise import ceiling, jitter_share
from emergence.theory.noisy_flow import NoisyFlow

POLYNOMIALS = [("h4", 2, 2, 3), ("0.8*h4 + 0.6*h6", 1, 2, 3), ("h2 + h3", 1, 3, 4)]
COSINE = Activation("cos(2*x)").high_pass(4)


def setting(name: str | Activation, P: int, m: int, d: int) -> tuple[Problem, np.ndarray, np.ndarray]:
    activation = Activation(name) if isinstance(name, str) else name
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((m, d))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return Problem(activation, Teacher.power_law(P, 1.0), d=d, m=m), rows, rng.uniform(0.1, 1.0, m)


def samples(d: int, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of all d dimensions and their weights: a product Gauss–Hermite rule."""
    z, w = np.polynomial.hermite_e.hermegauss(nodes)
    w = w / np.sqrt(2 * np.pi)
    return np.array(list(itertools.product(z, repeat=d))), np.prod(list(itertools.product(w, repeat=d)), axis=1)


def by_quadrature(problem: Problem, rows: np.ndarray, n: np.ndarray, noise: float, nodes: int) -> list[np.ndarray]:
    """N, S and T of the definition, over whole samples."""
    x, weights = samples(problem.d, nodes)
    axes = np.vstack([np.eye(problem.P, problem.d), rows])
    z = x @ axes.T
    value, slope = problem.activation(z), problem.activation.derivative(z)[:, problem.P :]
    squared = ((value @ np.concatenate([-problem.a, n])) ** 2 + noise**2) * weights
    own = value[:, problem.P :]
    apart = x[:, None, :] - z[:, problem.P :, None] * rows
    S = np.einsum("s,sk,sl,skd,sld->kl", squared, slope, slope, apart, apart)
    T = np.einsum("s,sk,skd,id->ki", squared, own * slope, apart, axes)
    return [4 * squared @ own**2 + np.diag(S), S, T]


def by_theory(problem: Problem, rows: np.ndarray, n: np.ndarray, noise: float) -> tuple[list[np.ndarray], float]:
    axes = np.vstack([np.eye(problem.P, problem.d), rows])
    fields = axes @ axes.T
    found, students = gradient_covariance(problem, n, fields, noise), fields[problem.P :]
    T = 2 * (found.V @ fields - np.sum(found.V * students, axis=1)[:, None] * students)
    return [found.N, found.S, T], found.error


@pytest.mark.parametrize(("name", "P", "m", "d"), POLYNOMIALS)
def test_moments_are_exact_for_polynomials(name: str, P: int, m: int, d: int) -> None:
    problem, rows, n = setting(name, P, m, d)
    found, error = by_theory(problem, rows, n, 0.5)
    # 16 nodes are exact to degree 31, more than δ² σ'² |x|² has; the rest is rounding
    for one, other in zip(found, by_quadrature(problem, rows, n, 0.5, 16), strict=True):
        assert np.abs(one - other).max() < 1e-12 * np.abs(other).max()
    assert error == 0.0


def test_moments_of_other_activations_are_within_their_error() -> None:
    problem, rows, n = setting(COSINE, 1, 2, 3)
    found, error = by_theory(problem, rows, n, 0.5)
    truth = by_quadrature(problem, rows, n, 0.5, 44)  # 40 nodes agree to 1e-6
    assert 0 < error < 0.03
    # fixed points, so no false alarms: N with its own error, the others with that of the largest moments
    assert np.abs(found[0] / truth[0] - 1).max() < 4 * error
    for one, other in zip(found[1:], truth[1:], strict=True):
        assert np.abs(one - other).max() < 4 * error * np.abs(truth[1]).max()


@pytest.mark.parametrize("name", ["h4", "h2 + h3"])
def test_the_flow_is_the_mean_of_one_step_to_second_order(name: str) -> None:
    """Every sample of a product rule makes its step of ±η; what is even in η is the noise, what is odd the gradient."""
    problem, rows, n = setting(name, 1, 2, 3)
    x, weights = samples(3, 20)
    students = np.sqrt(n)[:, None] * rows

    def moved(eta: float) -> np.ndarray:
        z, y = x @ rows.T, x[:, :1]
        error = problem.activation(z) @ n - problem.activation(y) @ problem.a
        pull = 2 * problem.activation(z)[..., None] * rows
        pull = pull + problem.activation.derivative(z)[..., None] * (x[:, None] - z[..., None] * rows)
        after = students - eta * error[:, None, None] * np.sqrt(n)[:, None] * pull
        length = np.linalg.norm(after, axis=2)
        unit = after / length[..., None]
        parts = [length**2 / n, unit[..., 0], np.sum(unit[:, 0] * unit[:, 1], axis=1)[:, None]]
        return weights @ np.hstack(parts)

    system = NoisyFlow(problem, rows, 1.0, 0.0)
    state = system.start.copy()
    state[:2] = np.log(n)
    clean = NoisyFlow(problem, rows, 0.0, 0.0).velocity(state)
    eta = 1e-6  # the next even order was 2e-3 at 1e-5 and falls as its square; rounding leaves 1e-16/η² = 1e-4
    up, down, here = moved(eta), moved(-eta), moved(0.0)
    noise = system.velocity(state) - clean
    np.testing.assert_allclose((up + down - 2 * here) / (2 * eta**2), noise, atol=1e-4 * np.abs(noise).max())
    np.testing.assert_allclose((up - down) / (2 * eta), clean, atol=1e-5 * np.abs(clean).max())


def test_without_noise_it_is_the_gradient_flow() -> None:
    problem = Problem(Activation("h4"), Teacher.power_law(2, 1.0), d=64, m=4)
    start = problem.initial_coordinates(3)
    one = flow(problem, start, t_max=40.0)
    two = flow(problem, start, t_max=40.0, step_size=1e-12)
    np.testing.assert_allclose(two.alignment, one.alignment, rtol=1e-5)  # both to 1e-7 a step
    np.testing.assert_allclose(two.recovery, one.recovery, rtol=1e-5)
    rows = two.directions
    np.testing.assert_allclose(rows @ rows.T, one.directions @ one.directions.T, atol=1e-5)
    assert "mean noise of step size 1e-12" in str(two) and "noise" not in str(one)


def test_it_ends_on_the_plateau_of_its_step_size() -> None:
    """A learned student's jitter, from the linearised dynamics (``theory.gradient_noise``)."""
    problem = Problem(Activation("h4"), Teacher([1.0]), d=400, m=1, init_scale=0.3)
    eta, noise = 0.1 * ceiling(problem), 0.5
    start = np.array([[0.5, np.sqrt(0.75)]])
    plateau = flow(problem, start, t_max=12.0, step_size=eta, label_noise=noise).loss[-1]
    share = float(jitter_share(problem, problem.a, problem.a, eta).sum())
    expected = 0.5 * noise**2 * share / (1 - share)
    assert plateau == pytest.approx(expected, rel=0.02)  # 1/d and θ² are left out there
    larger = flow(problem, start, t_max=12.0, step_size=4 * eta, batch=4, label_noise=noise).loss[-1]
    assert larger == pytest.approx(plateau, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"step_size": -1e-6}, "step_size"),
        ({"step_size": 1e-6, "batch": 0}, "batch"),
        ({"step_size": 1e-6, "label_noise": -1.0}, "label_noise"),
        ({"label_noise": 0.5}, "`label_noise` acts through a `step_size`"),
    ],
)
def test_bad_noise_is_refused(settings: dict[str, float], words: str) -> None:
    problem = Problem(Activation("h4"), Teacher([1.0]), d=16, m=2)
    with pytest.raises(ValueError, match=words):
        flow(problem, problem.initial_coordinates(0), t_max=1.0, **settings)  # type: ignore[arg-type]


@pytest.mark.slow
def test_runs_follow_it_and_not_the_gradient_flow() -> None:
    """Half the ceiling, d = 1000: shrinkage delays, and the loss ends on its plateau; means of 40 runs."""
    problem = Problem(Activation("h4"), Teacher([1.0]), d=1000, m=2, init_scale=0.1)
    start = np.array([[0.25, np.sqrt(1 - 0.25**2), 0.0], [0.15, 0.1, np.sqrt(1 - 0.15**2 - 0.1**2)]])
    eta, noise = 0.5 * ceiling(problem), 0.5
    runs = sgd(
        problem, eta, int(8.0 / eta), seeds=40, sampler=Reduced(), directions=start, seed=1, label_noise=noise,
        records=8, spacing="linear",
    )  # fmt: skip
    times = runs.times[1:-1]
    noisy = flow(problem, start, t_max=9.0, times=times, step_size=eta, label_noise=noise).loss_at(times)
    clean = flow(problem, start, t_max=9.0, times=times).loss_at(times)
    mean = runs.loss[:, 1:-1].mean(axis=0)
    error = runs.loss[:, 1:-1].std(axis=0, ddof=1) / np.sqrt(40)
    late = times > 5.5
    assert (np.abs(noisy - mean)[late] < 4 * error[late] + 0.03 * mean[late]).all()
    # on the way the runs are spread by diffusion: 0.44 ± 0.01 at t = 3 where the flow of the means has 0.435
    assert (np.abs(np.log(noisy / mean)) < 0.5 * np.abs(np.log(clean / mean)))[times > 2.5].all()
