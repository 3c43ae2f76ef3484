"""Population loss and velocity: finite differences in all d·m parameters, direct quadrature of E(f − f*)², laws."""

from __future__ import annotations

import numpy as np
import pytest

from emergence.problem import Activation, Problem, Teacher
from emergence.problem.population_loss import loss, velocity

SIGMAS = {
    "h2": Activation("h2"),
    "h3": Activation("h3"),
    "h4": Activation("h4"),
    "h4 + h6/2": Activation("h4 + h6/2"),
    "h3 - h4/2 + h7": Activation("h3 - h4/2 + h7"),
    "sin(2x)": Activation("sin(2*x)"),
    "relu, centred": Activation("relu(x)", cut=1),
    "abs, high-passed": Activation("abs(x)", cut=3),
}
ALL = pytest.mark.parametrize("sigma", SIGMAS.values(), ids=SIGMAS.keys())


def make(sigma: Activation, P: int = 3, d: int = 7, m: int = 4) -> Problem:
    return Problem(sigma, Teacher.power_law(P, beta=0.7), d, m)


def state(problem: Problem, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Squared norms (m,) between 0.1 and 1, random unit rows (m, d)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(0.1, 1.0, problem.m), problem.initial_directions(rng)


def loss_of(problem: Problem, n: np.ndarray, rows: np.ndarray) -> float:
    return loss(problem, n, rows[:, : problem.P], rows @ rows.T)


def loss_of_parameters(problem: Problem, v: np.ndarray) -> float:
    n = np.sum(v**2, axis=1)
    return loss_of(problem, n, v / np.sqrt(n)[:, None])


def spread(problem: Problem) -> float:
    """E f*² = φ(1) Σ a², the natural unit of the loss."""
    return problem.activation.second_moment


@ALL
def test_velocity_is_minus_the_gradient_in_every_parameter(sigma: Activation) -> None:
    problem = make(sigma)
    n, rows = state(problem, seed=1)
    v = np.sqrt(n)[:, None] * rows
    F, tangent = velocity(problem, n, rows)
    stated = np.sqrt(n)[:, None] * (2 * F[:, None] * rows + tangent)
    measured, h = np.zeros_like(v), 1e-3
    for index in np.ndindex(*v.shape):
        shift = np.zeros_like(v)
        shift[index] = h
        near, far = (
            loss_of_parameters(problem, v + j * shift) - loss_of_parameters(problem, v - j * shift) for j in (1, 2)
        )
        measured[index] = -(8 * near - far) / (12 * h)
    # five-point rule: h⁴/30 times a fifth derivative of at most 1e5 φ(1) (degree 7, n ≤ 1), and 1e-16/h of rounding
    np.testing.assert_allclose(stated, measured, atol=3e-9 * spread(problem), rtol=0)


@ALL
def test_loss_falls_along_the_velocity_at_the_rate_of_the_squared_gradient(sigma: Activation) -> None:
    problem = make(sigma)
    n, rows = state(problem, seed=2)
    F, tangent = velocity(problem, n, rows)

    def ahead(t: float) -> float:
        moved = rows + t * tangent
        return loss_of(problem, n * np.exp(4 * F * t), moved / np.linalg.norm(moved, axis=1, keepdims=True))

    h = 1e-4
    rate = (8 * (ahead(h) - ahead(-h)) - (ahead(2 * h) - ahead(-2 * h))) / (12 * h)
    # five-point rule: h⁴ = 1e-16 times the fifth derivative, 1e-16/h = 1e-12 of rounding
    assert rate == pytest.approx(-np.sum(n * (4 * F**2 + np.sum(tangent**2, axis=1))), rel=1e-8)


def polar_rule(kinks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (N, 2) and weights of the standard normal plane; panels in angle end at ``kinks``."""
    node, weight = np.polynomial.legendre.leggauss(24)
    angles = np.unique(np.concatenate([kinks % (2 * np.pi), np.linspace(0, 2 * np.pi, 9)]))
    radii = np.linspace(0, 13, 9)  # exp(−13²/2) = 2e-37

    def panels(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
        return (middle[:, None] + half[:, None] * node).ravel(), (half[:, None] * weight).ravel()

    (theta, w_theta), (rho, w_rho) = panels(angles), panels(radii)
    points = rho[:, None, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)
    weights = (w_rho * rho * np.exp(-(rho**2) / 2))[:, None] * w_theta / (2 * np.pi)
    return points.reshape(-1, 2), weights.ravel()


@ALL
@pytest.mark.parametrize("m", [1, 3])
def test_loss_is_half_the_mean_square_error_in_the_plane(sigma: Activation, m: int) -> None:
    problem = make(sigma, P=2, d=2, m=m)
    n, angles = np.array([0.4, 0.2, 0.7])[:m], np.array([0.5, 1.1, 2.3])[:m]
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    normals = np.concatenate([rows, np.eye(2)])
    kinks = np.arctan2(normals[:, 1], normals[:, 0]) + np.pi / 2  # where u·x changes sign
    points, weights = polar_rule(np.concatenate([kinks, kinks + np.pi]))
    teacher = sigma(points) @ problem.a
    student = sigma(points @ rows.T) @ n
    direct = 0.5 * np.sum(weights * (student - teacher) ** 2)
    # 24 Gauss nodes a panel leave rounding; φ of a kinked σ lumps its terms beyond degree 512, but q ≤ 0.9 here
    assert loss_of(problem, n, rows) == pytest.approx(direct, rel=1e-11)


@pytest.mark.parametrize("name", ["h2", "h3", "h4", "h4 + h6/2", "h3 - h4/2 + h7"])
def test_loss_is_half_the_mean_square_error_in_space(name: str) -> None:
    problem = make(SIGMAS[name], P=2, d=3, m=3)
    n, rows = state(problem, seed=4)
    node, weight = np.polynomial.hermite_e.hermegauss(8)  # exact to degree 15; the square has degree ≤ 14
    weight = weight / np.sqrt(2 * np.pi)
    points = np.stack(np.meshgrid(node, node, node, indexing="ij"), axis=-1).reshape(-1, 3)
    weights = np.einsum("i,j,k->ijk", weight, weight, weight).ravel()
    sigma = problem.activation
    error = sigma(points @ rows.T) @ n - sigma(points[:, :2]) @ problem.a
    # an exact rule: what is left is rounding of sums of terms up to 1e4
    assert loss_of(problem, n, rows) == pytest.approx(0.5 * np.sum(weights * error**2), rel=1e-11)


@ALL
def test_perfect_recovery_has_no_loss_and_does_not_move(sigma: Activation) -> None:
    problem = make(sigma, m=5)
    n = np.array([*problem.a[:2], 0.3 * problem.a[2], 0.7 * problem.a[2], 0.0])  # direction 3 shared, one student off
    rows = np.eye(7)[[0, 1, 2, 2, 4]]
    if sigma.parity == "even":
        rows = rows * np.array([1, -1, -1, 1, 1])[:, None]
    assert loss_of(problem, n, rows) < 1e-15 * spread(problem)  # cancels to rounding of φ(1) Σ a²
    F, tangent = velocity(problem, n, rows)
    assert np.abs(F[:4]).max() < 1e-14 * spread(problem)  # rounding of φ(1) a_p
    assert np.abs(tangent[:4]).max() < 1e-13 * sigma.slope_second_moment  # rounding of φ'(1) a_p


def test_no_students_mass_leaves_half_the_second_moment() -> None:
    problem = make(SIGMAS["h4 + h6/2"])
    _, rows = state(problem, seed=5)
    # φ(1) = 1 + ¼ and Σ a² = 1 to rounding
    assert loss_of(problem, np.zeros(4), rows) == pytest.approx(0.5 * 1.25, rel=1e-14)


@ALL
def test_order_of_students_and_of_directions_does_not_matter(sigma: Activation) -> None:
    problem = make(sigma)
    n, rows = state(problem, seed=6)
    F, tangent = velocity(problem, n, rows)
    students, order = np.array([2, 0, 3, 1]), np.array([1, 2, 0])
    axes = np.concatenate([order, np.arange(3, 7)])
    relabelled = Problem(sigma, Teacher(problem.a[order]), 7, 4)
    other_F, other_tangent = velocity(relabelled, n[students], rows[students][:, axes])
    # the same sums in another order: rounding only
    assert loss_of(relabelled, n[students], rows[students][:, axes]) == pytest.approx(
        loss_of(problem, n, rows), rel=1e-13
    )
    np.testing.assert_allclose(other_F, F[students], atol=1e-14 * spread(problem), rtol=0)
    np.testing.assert_allclose(other_tangent, tangent[students][:, axes], atol=1e-13 * sigma.slope_second_moment)


@ALL
def test_rotations_of_the_orthogonal_complement_do_not_matter(sigma: Activation) -> None:
    problem = make(sigma)
    n, rows = state(problem, seed=7)
    turn = np.eye(7)
    turn[3:, 3:] = np.linalg.qr(np.random.default_rng(8).standard_normal((4, 4)))[0]
    F, tangent = velocity(problem, n, rows)
    other_F, other_tangent = velocity(problem, n, rows @ turn)
    # inner products move by 1e-16 and φ' by 1e-16 φ''(1); |x| has φ'' ~ 1/√(1 − q²), bounded here
    np.testing.assert_allclose(other_F, F, atol=1e-13 * spread(problem), rtol=0)
    np.testing.assert_allclose(other_tangent, tangent @ turn, atol=1e-12 * sigma.slope_second_moment, rtol=0)


@pytest.mark.parametrize("name", ["h2", "h4", "h4 + h6/2", "abs, high-passed"])
def test_signs_of_students_do_not_matter_for_even_activations(name: str) -> None:
    problem = make(SIGMAS[name])
    n, rows = state(problem, seed=9)
    signs = np.array([1, -1, -1, 1])
    F, tangent = velocity(problem, n, rows)
    other_F, other_tangent = velocity(problem, n, signs[:, None] * rows)
    np.testing.assert_allclose(other_F, F, atol=1e-14 * spread(problem), rtol=0)  # φ(−s) = φ(s) bit by bit
    np.testing.assert_allclose(other_tangent, signs[:, None] * tangent, atol=1e-14, rtol=0)  # likewise


@ALL
def test_students_that_are_no_source_pull_on_themselves_alone(sigma: Activation) -> None:
    """F_k loses Σ n_l φ(q_kl) over the others l, and T_k the tangential part of Σ n_l φ'(q_kl) v̄_l, one by one."""
    problem = make(sigma)
    n, rows = state(problem, seed=11)
    sources = np.array([0, 2])
    F, tangent = velocity(problem, n, rows)
    found_F, found_tangent = velocity(problem, n, rows, sources)
    for k in range(4):
        left_out = [other for other in (1, 3) if other != k]
        q = rows[left_out] @ rows[k]
        pull = (sigma.phi_slope(q) * n[left_out]) @ rows[left_out]
        expected = tangent[k] + pull - (pull @ rows[k]) * rows[k]
        # differences of sums of a few terms
        assert found_F[k] == pytest.approx(F[k] + sigma.phi(q) @ n[left_out], abs=1e-13 * spread(problem))
        np.testing.assert_allclose(found_tangent[k], expected, atol=1e-12 * sigma.slope_second_moment, rtol=0)


def test_a_direction_of_strength_zero_is_not_there() -> None:
    sigma = SIGMAS["h4"]
    small, large = Problem(sigma, Teacher([2.0, 1.0]), 7, 4), Problem(sigma, Teacher([2.0, 1.0, 0.0]), 7, 4)
    n, rows = state(small, seed=10)
    assert loss_of(small, n, rows) == loss_of(large, n, rows)
    for left, right in zip(velocity(small, n, rows), velocity(large, n, rows), strict=True):
        np.testing.assert_allclose(left, right, atol=1e-15, rtol=0)  # adds zeros


def test_twice_the_activation_is_four_times_the_loss_and_the_velocity() -> None:
    once, twice = make(Activation("h4 + h6/2")), make(Activation("2*h4 + h6"))
    n, rows = state(once, seed=11)
    assert loss_of(twice, n, rows) == pytest.approx(4 * loss_of(once, n, rows), rel=1e-12)  # c_k by quadrature, 1e-13
    for left, right in zip(velocity(once, n, rows), velocity(twice, n, rows), strict=True):
        np.testing.assert_allclose(4 * left, right, atol=1e-12, rtol=0)  # likewise


@pytest.mark.parametrize(("d", "m", "width"), [(7, 4, 7), (8, 4, 7), (50, 4, 7), (3, 4, 3), (5, 1, 4), (4, 1, 4)])
def test_reduced_coordinates_keep_every_inner_product(d: int, m: int, width: int) -> None:
    problem = make(SIGMAS["h4"], d=d, m=m)
    rows = problem.initial_directions(12)
    reduced = problem.coordinates(rows)
    assert reduced.shape == (m, width)
    np.testing.assert_array_equal(reduced[:, :3], rows[:, :3])
    np.testing.assert_allclose(reduced @ reduced.T, rows @ rows.T, atol=1e-14, rtol=0)  # QR to rounding
    n = np.full(m, 0.3)
    # F sees inner products only
    np.testing.assert_allclose(velocity(problem, n, reduced)[0], velocity(problem, n, rows)[0], atol=1e-13, rtol=0)


def test_reduced_coordinates_are_a_copy() -> None:
    problem = make(SIGMAS["h4"], d=5)
    rows = problem.initial_directions(13)
    problem.coordinates(rows)[:] = 0.0
    assert np.linalg.norm(rows) > 1
