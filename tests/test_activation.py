"""Activations against the table of exact answers, extended precision, quadrature and laws."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from functools import cache
from typing import Any

import mpmath
import numpy as np
import pytest
from activation_cases import CASES, COMPOSED, REGULAR, TAGS, Case
from hypothesis import given, settings
from hypothesis import strategies as st

from emergence.problem import Activation
from emergence.problem.activation import lowered
from emergence.problem.hermite_polynomials import hermite_series, hermite_value
from emergence.problem.numeric import mpmath_function
from emergence.problem.parser import FUNCTIONS
from emergence.theory.hermite import expand

GRID = np.linspace(-6, 6, 121) + 0.00317  # no break point of any row
INSIDE = np.linspace(-0.9, 0.9, 19)  # where 512 Hermite terms leave 0.9^1024 = 1e-47
TEXTS = [*(case.text for case in CASES), *COMPOSED]
CLOSED = [case for case in REGULAR if case.phi is not None]


@cache
def activation(text: str, cut: int = 0) -> Activation:
    return Activation(text, cut)


def named(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[case.name for case in cases])


def coefficient(sigma: Activation, k: int) -> float:
    return float(sigma.coefficients[k]) if k < len(sigma.coefficients) else 0.0


STEEP = {  # text: E σ'², from σ = f(x) with bounded derivatives that does not overflow
    "1/(1 + exp(-200*x)) - 1/2": lambda x: 50 / np.cosh(np.clip(100 * x, -300, 300)) ** 2,
    "sinh(100*x)/(2*cosh(100*x))": lambda x: 50 / np.cosh(np.clip(100 * x, -300, 300)) ** 2,
    "log(1 + exp(200*x)) - 80": lambda x: 100 + 100 * np.tanh(100 * x),
    "sqrt(exp(400*x))/(exp(200*x) + 1) - 1/2": lambda x: 50 / np.cosh(np.clip(100 * x, -300, 300)) ** 2,
    "max(exp(200*x), 0)/abs(-1 - exp(200*x)) - 1/2": lambda x: 50 / np.cosh(np.clip(100 * x, -300, 300)) ** 2,
}


@pytest.mark.parametrize("text", STEEP)
def test_what_overflows_on_the_way_is_finite_in_the_end(text: str) -> None:
    sigma, slope = activation(text), STEEP[text]
    points = np.array([-50.0, -5.0, -3.7, -1.9, -0.01, 0.002, 0.3, 1.9, 3.7, 50.0])
    # two terms of up to 200, each with a relative error of 1e-16 × logarithms up to 1e4, may cancel
    np.testing.assert_allclose(sigma.derivative(points), slope(points), rtol=1e-11, atol=4e-10)
    nodes, weights = np.polynomial.legendre.leggauss(200)
    edges = np.linspace(-12, 12, 1201)  # panels of 2/200 of a unit, half the width of the steep part
    x = (edges[:-1, None] + edges[1:, None]) / 2 + (edges[1] - edges[0]) / 2 * nodes
    gauss = weights * (edges[1] - edges[0]) / 2 * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    assert sigma.slope_second_moment == pytest.approx(np.sum(gauss * slope(x) ** 2), rel=1e-10)  # both to rounding
    assert sigma.coefficients[1] == pytest.approx(np.sum(gauss * slope(x)), rel=1e-10)  # Stein: E σ' = c_1
    assert (sigma.information_exponent, sigma.irregularity) == (1, None)
    assert sigma.overflows


@pytest.mark.parametrize(
    "text", ["h4", "tanh(200*x)", "gelu(x)", "softplus(200*x)", "exp(-200*x**2)", "1/(1 + exp(-3*x))"]
)
def test_plain_doubles_suffice(text: str) -> None:
    assert not Activation(text).overflows


def test_the_value_of_what_overflows() -> None:
    points = np.array([-1e200, -40.0, 40.0, 1e200])
    np.testing.assert_array_equal(activation("x**3 - 3*x")(points), [-np.inf, -63880.0, 63880.0, np.inf])
    np.testing.assert_array_equal(activation("1/(1 + exp(-200*x)) - 1/2")(points), [-0.5, -0.5, 0.5, 0.5])


def tanh_sinh(step: float = 1 / 32, reach: float = 3.6) -> tuple[np.ndarray, np.ndarray]:
    """Distances 1 − |node| from the nearer end of (−1, 1), signed by the end, and weights."""
    t = np.arange(step / 2, reach, step)
    u = np.pi / 2 * np.sinh(t)
    gaps = np.exp(-u) / np.cosh(u)
    weights = step * np.pi / 2 * np.cosh(t) / np.cosh(u) ** 2
    return np.concatenate([-gaps, gaps]), np.concatenate([weights, weights])


GAPS, WEIGHTS = tanh_sinh()  # ends at which f blows up like a root or a logarithm do no harm
EDGES = np.arange(-17.0, 17.5, 0.5)  # 17^40 exp(−17²/2) is 2e-14 of the largest x^40 γ


def expectation(f: Callable[[np.ndarray], np.ndarray], breaks: tuple[float, ...] = ()) -> float:
    """E f(Z) by the tanh–sinh rule between breaks and halves, independent of the package's rule."""
    edges = np.unique([*EDGES, *breaks])
    low, high = edges[:-1, None], edges[1:, None]
    half = (high - low) / 2
    nodes = np.where(GAPS < 0, low - half * GAPS, high - half * GAPS)
    weights = np.where((low < nodes) & (nodes < high), half * WEIGHTS, 0.0)
    values = np.zeros_like(nodes)
    inside = weights > 0
    values[inside] = f(nodes[inside])
    return float(np.sum(weights * values * np.exp(-(nodes**2) / 2))) / math.sqrt(2 * math.pi)


def away_from(points: np.ndarray, breaks: tuple[float, ...], distance: float = 0.05) -> np.ndarray:
    return points[[min((abs(p - b) for b in breaks), default=1.0) > distance for p in points]]


# The table itself


def test_names_and_tags_of_the_table() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    assert {tag for case in CASES for tag in case.tags} == set(TAGS), "tags used and tags explained"
    assert all(case.source for case in CASES)
    assert all(any(f"{name}(" in text for text in TEXTS) for name in FUNCTIONS), "every function of the language"


@named(CASES)
def test_row_agrees_with_itself_and_with_quadrature(case: Case) -> None:
    squares = {k: c**2 for k, c in case.coefficients.items()}
    bound = math.inf if case.second_moment is None else case.second_moment
    assert sum(squares.values()) <= bound * (1 + 1e-12)  # Bessel; rounding of a dozen terms
    vanishing = {"even": 1, "odd": 0, None: None}[case.parity]
    assert all(c == 0 for k, c in case.coefficients.items() if k % 2 == vanishing)
    if case.k_star is not None:
        assert all(c == 0 for k, c in case.coefficients.items() if 0 < k < case.k_star)
        assert case.coefficients.get(case.k_star, 1.0) != 0
    if case.phi is not None and case.phi_slope is not None:
        s = np.array([0.0, 1.0])
        assert case.phi(s) == pytest.approx(
            [case.coefficients.get(0, 0) ** 2, case.second_moment], rel=1e-13, abs=1e-16
        )
        first = case.coefficients.get(1, 0) ** 2
        assert case.phi_slope(s) == pytest.approx([first, case.slope_second_moment], rel=1e-13, abs=1e-16)
        step = 1e-4  # φ''' ≤ 1e7 for h_40 at 0.5 … 0.9, far less elsewhere
        slopes = (case.phi(INSIDE + step) - case.phi(INSIDE - step)) / (2 * step)
        assert slopes == pytest.approx(case.phi_slope(INSIDE), rel=1e-4, abs=1e-6)
    second = expectation(lambda z: case.sigma(z) ** 2, case.breaks)
    tolerance = 1e-12  # 9,000 nodes of 1e-16
    if case.second_moment is not None:
        assert second == pytest.approx(case.second_moment, rel=tolerance)
    if case.slope_second_moment not in (None, math.inf):
        slope_second = expectation(lambda z: case.slope(z) ** 2, case.breaks)
        assert slope_second == pytest.approx(case.slope_second_moment, rel=tolerance, abs=1e-15)
    for k, exact in case.coefficients.items():
        if k <= 6:
            found = expectation(lambda z, k=k: case.sigma(z) * hermite_value(k, z), case.breaks)
            assert found == pytest.approx(exact, abs=tolerance * math.sqrt(second))


# Values and derivatives


@named(CASES)
def test_values_and_slopes(case: Case) -> None:
    sigma = activation(case.text)
    values, slopes = case.sigma(GRID), case.slope(GRID)
    # 40 steps of a recurrence, or a cancellation as in x^2 − 2 x + 1 near 1, cost a few digits
    assert np.abs(sigma(GRID) - values) == pytest.approx(0 * GRID, abs=1e-12 * float(np.max(np.abs(values))))
    assert np.abs(sigma.derivative(GRID) - slopes) == pytest.approx(
        0 * GRID, abs=1e-11 * max(float(np.max(np.abs(slopes))), 1e-3)
    )
    if "high" not in case.tags:  # relative to the value itself: the large ones above hide the small ones
        near = away_from(np.linspace(-1.9, 1.9, 77) + 0.00317, case.breaks, 0.01)
        # √(x² − 2 x + 1) loses 1e-16/(x − 1)² = 1e-12 at 0.01 from its kink, σ' twice that
        assert sigma(near) == pytest.approx(case.sigma(near), rel=1e-12, abs=1e-14)
        assert sigma.derivative(near) == pytest.approx(case.slope(near), rel=3e-12, abs=1e-13)


@pytest.mark.parametrize(("text", "cut"), [*((t, 0) for t in COMPOSED), ("gelu(x)", 3), ("exp(x)", 2)])
def test_derivative_in_extended_precision(text: str, cut: int) -> None:
    """σ' against mpmath's numerical derivative of σ at 50 digits, and σ against its own value there."""
    sigma = activation(text, cut)
    function = mpmath_function(sigma.expression)
    points = np.array([-3.71, -1.37, -0.91, -0.123, 0.217, 0.66, 1.29, 3.17])
    values, slopes = sigma(points), sigma.derivative(points)
    with mpmath.workdps(50):
        removed = [mpmath.mpf(float(c)) for c in sigma.removed]

        def cut_off(z: Any) -> Any:
            return function(z) - sum(
                (c * hermite_value(k, z, mpmath.sqrt) for k, c in enumerate(removed)), mpmath.mpf(0)
            )

        for point, value, slope in zip(points, values, slopes, strict=True):
            exact, exact_slope = cut_off(mpmath.mpf(point)), mpmath.diff(cut_off, mpmath.mpf(point))
            size = abs(exact) + abs(exact_slope) + sum(map(abs, removed)) + mpmath.mpf("1e-2")
            # rounding of intermediate values up to 1e3 times the result, and of 1 + tanh at the tail of a sigmoid
            assert abs(value - exact) <= 2e-13 * size
            assert abs(slope - exact_slope) <= 2e-12 * size * (1 + abs(point) ** 4)
    assert sigma.irregularity is None
    assert np.sum(sigma.coefficients**2) <= sigma.second_moment * (1 + 1e-12)  # Parseval from below


@pytest.mark.parametrize("shape", [(), (2, 0, 5), (3, 4), (40001,)])
def test_any_shape_elementwise(shape: tuple[int, ...]) -> None:
    """The last one is evaluated in chunks."""
    points = np.random.default_rng(1).standard_normal(shape)
    for text in ("abs(x)", "3"):
        for f in (activation(text), activation(text).derivative, activation(text, 2), activation(text, 2).derivative):
            values = f(points)
            assert values.shape == shape and values.dtype == np.float64
            assert values.ravel()[-50:] == pytest.approx([float(f(p)) for p in points.ravel()[-50:]])
            assert not np.shares_memory(values, points)


def test_points_of_other_types() -> None:
    assert activation("x**2")([1, 2]) == pytest.approx([1.0, 4.0])
    assert activation("x**2")(np.float32(3)) == pytest.approx(9.0)
    assert activation("x**2")(np.arange(6).reshape(2, 3)[:, ::2]) == pytest.approx(np.array([[0.0, 4.0], [9.0, 25.0]]))
    assert np.isnan(activation("abs(x)")(np.nan))
    assert activation("exp(x)")(1e4) == np.inf
    near = 50 + np.linspace(-1e-6, 1e-6, 2001)  # where (x − 50)², multiplied out, rounds below 0
    assert np.isfinite(activation("sqrt(x**2 - 100*x + 2500)")(near)).all()


# Parity, information exponent, moments, coefficients


def test_fast_waves_take_narrow_panels() -> None:
    sigma = activation("sin(200*x)")
    assert sigma.second_moment == pytest.approx(0.5, rel=1e-12)  # E sin² = (1 − e^−80000)/2
    assert sigma.slope_second_moment == pytest.approx(20_000.0, rel=1e-12)


@named(CASES)
def test_parity_coefficients_and_moments(case: Case) -> None:
    sigma = activation(case.text)
    assert (sigma.parity, sigma.information_exponent) == (case.parity, case.k_star)
    root = math.sqrt(sigma.second_moment)
    assert len(sigma.coefficients) <= 513
    for k, exact in case.coefficients.items():
        assert coefficient(sigma, k) == pytest.approx(exact, abs=max(sigma.coefficient_error, 1e-13 * root))
    if case.second_moment is not None:
        assert sigma.second_moment == pytest.approx(case.second_moment, rel=1e-13)  # panels to 1e-13
    reason = sigma.irregularity
    if "irregular" in case.tags:
        assert reason is not None
        assert ("jumps at x = 0" if "jump" in case.tags else "E[σ'²] is infinite") in reason
        return
    assert reason is None
    if case.slope_second_moment is not None:
        # √(x² − 2 x + 1) loses half its digits within 1e-8 of its kink
        assert sigma.slope_second_moment == pytest.approx(case.slope_second_moment, rel=1e-11)


@pytest.mark.parametrize(
    ("text", "parity"),
    [
        ("x**40 + x", None),  # seen only where x^40 is small
        ("exp(x**2/8) + x/1000", None),
        ("h4 + 1e-9*h3", None),
        ("(x + 1)**3 - 3*x**2 - 3*x - 1", "odd"),  # x³ with rounding noise
        ("sin(x + pi/2)", "even"),
        ("gelu(x) - x/2", "even"),
        ("x - x", "even"),
    ],
)
def test_parity_where_it_is_hard_to_see(text: str, parity: str | None) -> None:
    assert activation(text).parity == parity


@pytest.mark.parametrize(
    ("text", "cut", "parity", "k_star"),
    [
        ("relu(x)", 2, "even", 2),  # relu is x/2 plus an even function
        ("exp(x)", 5, None, 5),
        ("h2 + h5", 3, "odd", 5),
        ("h3", 4, "even", None),
    ],
)
def test_parity_and_information_exponent_after_a_cut(text: str, cut: int, parity: str, k_star: int | None) -> None:
    assert activation(text, cut).parity == parity
    assert activation(text, cut).information_exponent == k_star


# φ


@named(REGULAR)
def test_phi(case: Case) -> None:
    """At ±1, against closed forms, its own slope, and the two-dimensional expectation's bounds.

    Beyond degree 512 one term stands for the tail: exact at ±1, 2e-8 off at 0.99 for a kink.
    """
    sigma, step = activation(case.text), 1e-4
    for whole in (sigma, activation(case.text, 2)):  # tails below 1e-10 drop
        assert float(whole.phi(1.0)) == pytest.approx(whole.second_moment, rel=1e-9, abs=1e-300)
        assert float(whole.phi_slope(1.0)) == pytest.approx(whole.slope_second_moment, rel=1e-6, abs=1e-300)
    mirrored = (*case.breaks, *(-b for b in case.breaks))
    reflected = expectation(lambda z: case.sigma(z) * case.sigma(-z), mirrored)
    assert float(sigma.phi(-1.0)) == pytest.approx(reflected, abs=1e-9 * sigma.second_moment)
    central = (8 * (sigma.phi(INSIDE + step) - sigma.phi(INSIDE - step))
               - (sigma.phi(INSIDE + 2 * step) - sigma.phi(INSIDE - 2 * step))) / (12 * step)  # fmt: skip
    # step⁴ φ⁽⁵⁾/30 ≤ 1e-16 · 40⁵/30 = 3e-10 of φ(1), rounding 1e-16/step
    scale = sigma.second_moment + sigma.slope_second_moment
    assert central == pytest.approx(sigma.phi_slope(INSIDE), abs=1e-9 * scale)
    s = np.linspace(0, 1, 101)
    values = sigma.phi(s)
    assert np.all(np.abs(sigma.phi(-s)) <= values * (1 + 1e-9) + 1e-300)  # Cauchy–Schwarz; c_k² ≥ 0
    assert np.all(np.diff(values) >= -1e-12 * values[-1])
    if case.phi is None or case.phi_slope is None:
        return
    assert sigma.phi(INSIDE) == pytest.approx(case.phi(INSIDE), rel=1e-13, abs=1e-14 * sigma.second_moment)
    assert sigma.phi_slope(INSIDE) == pytest.approx(case.phi_slope(INSIDE), rel=1e-13, abs=1e-14 * scale)
    ends = np.array([-0.999, -0.99, -0.95, 0.95, 0.99, 0.999])
    assert sigma.phi(ends) == pytest.approx(case.phi(ends), abs=3e-6 * sigma.second_moment)
    assert sigma.phi_slope(ends) == pytest.approx(case.phi_slope(ends), abs=2e-3 * sigma.slope_second_moment)


@pytest.mark.parametrize(("text", "cut"), [("gelu(x)", 2), ("sin(x)/x", 0), ("exp(x)", 0), ("h3 - h6/2", 0)])
def test_phi_is_the_two_dimensional_expectation(text: str, cut: int) -> None:
    """E[σ(u·x) σ(v·x)] by a 120 × 120 Gauss–Hermite rule, exact to 1e-10 for these smooth σ."""
    sigma = activation(text, cut)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    weights = weights / weights.sum()
    for s in (-0.95, -0.4, 0.0, 0.3, 1.0):
        pairs = s * nodes[:, None] + math.sqrt(1 - s**2) * nodes
        found = weights @ (sigma(nodes)[:, None] * sigma(pairs)) @ weights
        assert found == pytest.approx(float(sigma.phi(s)), abs=1e-9 * activation(text).second_moment)


def test_phi_is_elementwise() -> None:
    grid = np.array([[0.1, -0.7], [0.99, 0.0]])
    for text in ("h4", "abs(x)", "exp(x)"):  # short; with a tail; long
        for phi in (activation(text).phi, activation(text).phi_slope):
            assert phi(grid).shape == grid.shape and phi(0.3).shape == ()
            assert phi(grid).ravel() == pytest.approx([float(phi(v)) for v in grid.ravel()], rel=1e-13, abs=1e-300)


# high_pass


@pytest.mark.parametrize(("text", "cut"), [("relu(x)", 1), ("relu(x)", 2), ("gelu(x)", 5), ("x**20", 5), ("abs(x)", 0)])
def test_high_pass_removes_and_keeps(text: str, cut: int) -> None:
    whole, rest = activation(text), activation(text).high_pass(cut)
    for k in range(max(len(whole.coefficients), cut)):
        assert coefficient(rest, k) == (coefficient(whole, k) if k >= cut else 0.0)
    removed = [coefficient(whole, k) for k in range(cut)]
    scale = float(np.max(np.abs(whole(GRID))))
    assert rest(GRID) == pytest.approx(whole(GRID) - hermite_series(removed, GRID), abs=1e-14 * scale)
    slopes = whole.derivative(GRID) - hermite_series(lowered(np.array([*removed, 0.0])), GRID)
    assert rest.derivative(GRID) == pytest.approx(slopes, abs=1e-14 * float(np.max(np.abs(whole.derivative(GRID)))))
    assert rest.second_moment == pytest.approx(whole.second_moment - sum(c**2 for c in removed), rel=1e-12, abs=1e-13)
    less = whole.slope_second_moment - sum(k * c**2 for k, c in enumerate(removed))
    assert rest.slope_second_moment == pytest.approx(less, rel=1e-12, abs=1e-13)
    assert rest.cut == cut and (cut > 0 or rest == whole)


def test_what_is_left_is_orthogonal_to_what_is_removed() -> None:
    rest = activation("h3*h2 + sin(x)").high_pass(4)
    for k in range(6):
        found = expectation(lambda z, k=k: rest(z) * hermite_value(k, z))
        assert found == pytest.approx(coefficient(rest, k), abs=1e-10 * math.sqrt(activation("h3*h2").second_moment))


@pytest.mark.parametrize(("first", "second"), [(3, 3), (2, 5), (8, 1), (0, 4)])
def test_high_pass_is_idempotent_and_composes(first: int, second: int) -> None:
    sigma, most = activation("abs(x)"), max(first, second)
    both = sigma.high_pass(first).high_pass(np.int64(second))
    assert both == sigma.high_pass(most) == Activation("abs(x)", most)
    assert both.cut == most, "a later, lower cut restores nothing"


def test_high_pass_of_everything() -> None:
    nothing = activation("h2 + 3*h3").high_pass(4)
    assert nothing.second_moment == nothing.slope_second_moment == 0.0
    assert nothing.information_exponent is None and nothing.coefficients == pytest.approx([0.0])
    assert nothing(GRID) == pytest.approx(0 * GRID, abs=1e-13 * 3e3)  # rounding of 3 h_3 at 6
    assert float(nothing.phi(1.0)) == float(nothing.phi_slope(0.5)) == 0.0


def test_high_pass_does_not_lose_a_small_rest() -> None:
    """E σ² − Σ c_k² cancels; the sum over what is left does not."""
    rest = activation("h2 + 1e-9*h4").high_pass(3)
    assert rest.information_exponent == 4
    assert rest.second_moment == pytest.approx(1e-18, rel=1e-6, abs=0)  # c_4 is known to 1e-15
    assert rest.slope_second_moment == pytest.approx(4e-18, rel=1e-6, abs=0)
    assert float(rest.phi(0.5)) == pytest.approx(1e-18 / 16, rel=1e-6, abs=0)


@pytest.mark.parametrize("bad", [-1, 65, 2.0, True, None])
def test_high_pass_refuses(bad: Any) -> None:
    for refused in (activation("abs(x)").high_pass, lambda k: Activation("abs(x)", k)):
        with pytest.raises(ValueError, match="`high_pass` must be an integer between 0 and 64"):
            refused(bad)


# Text, equality, pickling


@pytest.mark.parametrize(("text", "cut"), [("h4 + h6/2", 0), ("abs(x)", 3)])
def test_name_is_the_text_and_repr_evaluates_to_the_same(text: str, cut: int) -> None:
    sigma = Activation(f"  {text}\n", cut)
    assert sigma.name == text and repr(sigma) == f"Activation({text!r}{f', cut={cut}' * (cut > 0)})"
    assert eval(repr(sigma), {"Activation": Activation}) == sigma == activation(text, cut)


SAME = [
    ("relu(x)", "max(x, 0)", "max(0, x)"),
    ("x**2", "x*x", "(-x)**2", "abs(x)**2"),
    ("0.5*x", "h1/2", "5e-1*x + 0"),
    ("x/sqrt(1 + x**2)", "x*(1 + x**2)/sqrt(1 + x**2)**3"),
]


@pytest.mark.parametrize("texts", SAME)
def test_equal_expressions_are_equal_with_equal_hash(texts: tuple[str, ...]) -> None:
    first = activation(texts[0])
    for text in texts[1:]:
        assert activation(text) == first and hash(activation(text)) == hash(first)
        assert activation(text, 2) != first


def test_different_ones_differ() -> None:
    sigmas = [activation(text, cut) for text in ("h4", "h6", "abs(x)") for cut in (0, 1, 2)]
    assert len(set(sigmas)) == len(sigmas)
    assert activation("h4") != "h4"


def test_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        activation("h4").cut = 3  # type: ignore[misc]


@pytest.mark.parametrize("is_used", [False, True])
def test_pickle_and_copy(is_used: bool) -> None:
    sigma = Activation("abs(x) + h3", 1)
    if is_used:
        _ = sigma(GRID), sigma.derivative(GRID), sigma.coefficients, sigma.parity, sigma.irregularity, sigma.phi(0.3)
    for twin in (pickle.loads(pickle.dumps(sigma)), copy.copy(sigma), copy.deepcopy(sigma)):
        assert twin == sigma and hash(twin) == hash(sigma) and twin.name == sigma.name
        assert np.array_equal(twin(GRID), sigma(GRID))
        assert np.array_equal(twin.derivative(GRID), sigma.derivative(GRID))
        assert np.array_equal(twin.coefficients, sigma.coefficients)
        assert float(twin.phi(-0.7)) == float(sigma.phi(-0.7))


# Refusals


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("sqrt(x)", "undefined at x = -0.0124"),
        ("log(sin(x))", "where sin(x) is negative"),
        ("sqrt(400 - x**2)", "undefined"),  # far outside the Gaussian mass
        ("sqrt(1e-30 - x**2)", "undefined"),
        ("sqrt(h40)", "where h(40, x) is negative"),  # negative only between its zeros
        ("sqrt(abs(x) - 4e-3)", "undefined"),  # by a little, at one point of the scan
        ("exp(log(x))", "undefined"),  # SymPy would make x of it
        ("0*log(x) + x", "undefined"),
        ("log(x - 1e6)", "undefined"),
        ("1/x**2", "pole at x = 0"),
        ("1/(x + 60)", "pole at x = -60"),
        ("1/(x - 1e6)", "pole at x = 1e+06"),
        ("1/(1 + sin(x))", "pole at x = -1.5708"),  # touches
        ("1/(x**2 - 2*x + 1)", "pole at x = 1"),
        ("1/sqrt(abs(x))", "pole at x = 0"),  # E 1/|Z| = ∞
        ("1/sqrt(abs(h5))", "pole"),
        ("tan(x)", "pole at x = -1.5708"),
        ("exp(1/x)", "infinite"),
        ("exp(-1/x)", "infinite"),  # on the left only
        ("1/max(x, 0)", "infinite"),
        ("log(Heaviside(x))", "infinite"),
        ("exp(x**2/4)", "grows like exp(x²/4)"),
        ("exp(abs(x)**3)", "infinite"),
        ("exp(exp(x/10))", "grows too fast"),  # still moderate at |x| = 52
        ("exp(exp(exp(x/20) - 8))", "grows too fast"),
        ("exp(x**2/4 - 100*tanh(x/5)**2)", "grows too fast"),  # a density of e^−200 on the whole line
        ("1e200*x", "overflow"),
        ("cos(exp(x**2))", "undefined"),  # the argument overflows
        ("sqrt(abs(sin(40*x)))", "singular points; at most 100"),  # refused before any quadrature
    ],
)
def test_undefined_or_infinite_is_refused(text: str, fragment: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Activation(text)
    assert fragment in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        "exp(x**2/5)",  # E σ² = √5
        "exp(x**2/4 - 2*abs(x))",  # σ² γ = e^−4|x|
        "exp(-1/x**2)",
        "1/sqrt(sqrt(abs(x)))",  # E |Z|^{−1/2} is finite
        "log(abs(x - 1))",
        "sin(1/x)",
        "(x**2 - 1)/(x - 1)",
        "sqrt((x - 50)**2)",
        "sqrt(x**2 - 100*x + 2500)",  # rounds below 0
        "sqrt(x**10*(x**2 - 58.00634*x + 841.1838700489))",  # and by −100 on the scan, of 1e15
        "sqrt(abs(h40))",
        "sqrt(relu(x))",
        "exp(x**2/5) + sqrt(abs(x - 300))",  # a kink where the rest overflows
        "sin(exp(x))",
        "cosh(x)**3",
    ],
)
def test_what_only_looks_dangerous_is_accepted(text: str) -> None:
    sigma = Activation(text)
    assert np.isfinite(sigma(GRID)).all()
    assert 0 < sigma.second_moment < math.inf


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("Heaviside(x - 2) + x", "jumps at x = 2"),
        ("sign(h3)", "jumps"),
        ("abs(x)/x", "jumps at x = 0"),
        ("tanh(1/x)", "jumps at x = 0"),
        ("max(x/2, sign(x - 1))", "jumps at x = 1"),
        ("1 + x + sign(x)/1000", "jumps at x = 0"),
        ("sqrt(abs(x - 1))", "E[σ'²] is infinite"),
        ("sqrt(relu(x))", "E[σ'²] is infinite"),
        ("x*sin(1/x)", "E[σ'²] is infinite"),
        ("sin(1e10*x)", "too fast"),
        ("sin(500*x)*tanh(1000*x)", "varies too fast for quadrature"),
    ],
)
def test_irregular_ones_say_why(text: str, fragment: str) -> None:
    reason = Activation(text).irregularity
    assert reason is not None and fragment in reason


@pytest.mark.parametrize(("size", "k_star"), [("1e-9", 3), ("1e-11", 4)])
def test_a_component_below_1e_10_counts_as_absent(size: str, k_star: int) -> None:
    assert Activation(f"h4 + {size}*h3").information_exponent == k_star
    assert Activation(f"1e5*h4 + 1e5*{size}*h3").information_exponent == k_star, "relative to √E σ²"


def test_no_information_exponent_from_noise() -> None:
    """What quadrature cannot resolve must not pass for a component."""
    assert Activation("sin(1000*x)").information_exponent is None
    assert Activation("cos(x**40) - 3").information_exponent in (None, 2)  # c_2 = −0.1


# Random activations


@given(st.dictionaries(st.integers(0, 12), st.integers(-40, 40).filter(bool), min_size=1, max_size=5))
@settings(max_examples=15)
def test_random_series(eighths: dict[int, int]) -> None:
    text = " + ".join(f"({n})/8*h{k}" for k, n in eighths.items())
    sigma = Activation(text)
    exact = {k: n / 8 for k, n in eighths.items()}
    root = math.sqrt(sum(c**2 for c in exact.values()))
    for k in range(14):
        assert coefficient(sigma, k) == pytest.approx(exact.get(k, 0.0), abs=1e-13 * root)  # quadrature
    assert sigma.second_moment == pytest.approx(root**2, rel=1e-12)
    assert sigma.slope_second_moment == pytest.approx(sum(k * c**2 for k, c in exact.items()), rel=1e-12, abs=1e-13)
    assert sigma.information_exponent == min((k for k in exact if k), default=None)
    parities = {k % 2 for k in exact}
    assert sigma.parity == ({0: "even", 1: "odd"}[parities.pop()] if len(parities) == 1 else None)
    s = np.linspace(-1, 1, 9)
    assert sigma.phi(s) == pytest.approx(sum(c**2 * s**k for k, c in exact.items()), abs=1e-12 * root**2)


@given(*[st.integers(-16, 16)] * 6)
@settings(max_examples=15)
def test_random_broken_lines(a: int, b: int, c: int, d: int, e: int, f: int) -> None:
    """Three lines under max and min: values, slopes, and Stein's identity c_1 = E σ'."""
    sigma = Activation(f"max(min({a}/8*x + {b}/8, {c}/8*x + {d}/8), {e}/8*x + {f}/8)")
    first, second, third = (a / 8 * GRID + b / 8, c / 8 * GRID + d / 8, e / 8 * GRID + f / 8)
    assert sigma(GRID) == pytest.approx(np.maximum(np.minimum(first, second), third), abs=1e-14)
    low = np.where(first < second, a, c) / 8
    slopes = np.where(np.minimum(first, second) > third, low, e / 8)
    apart = (np.abs(first - second) > 1e-9) & (np.abs(np.minimum(first, second) - third) > 1e-9)
    tied = (a, b) == (c, d) or (a, b) == (e, f) or (c, d) == (e, f)
    if not tied:
        assert sigma.derivative(GRID)[apart] == pytest.approx(slopes[apart], abs=1e-14)
    breaks = sigma.breaks.kinks
    mean_slope = expectation(lambda z: sigma.derivative(z), breaks)
    assert mean_slope == pytest.approx(coefficient(sigma, 1), abs=1e-11)
    assert sigma.irregularity is None


@pytest.mark.parametrize("a", [300, 2000, 10**5])
def test_a_steep_activation_has_its_moments(a: int) -> None:
    """E[σ'] = 2a/√(π (1 + 2a²)) and E[σ'²] = 4a²/(π √(1 + 4a²)) for σ = erf(ax); quadrature is good to 1e-12."""
    sigma = Activation(f"erf({a}*x)")
    assert sigma.irregularity is None and sigma.coefficient_error < 1e-12
    assert sigma.coefficients[1] == pytest.approx(2 * a / math.sqrt(math.pi * (1 + 2 * a * a)), rel=1e-12)
    assert sigma.slope_second_moment == pytest.approx(4 * a * a / (math.pi * math.sqrt(1 + 4 * a * a)), rel=1e-12)
    assert sigma.high_pass(2).breaks.kinks == sigma.breaks.kinks


@pytest.mark.parametrize("text", ["tanh(500*x)**2", "tanh(500*x) + tanh(150*(x - 1)) + tanh(3000*(x + 2))"])
def test_steep_places_are_found_where_values_return_and_where_there_are_several(text: str) -> None:
    """The other numerical route, in 40 digits, has no code in common."""
    sigma, other = Activation(text), expand(Activation(text), 3)
    assert sigma.irregularity is None
    np.testing.assert_allclose(sigma.coefficients[:4], [c.value for c in other.coefficients], atol=1e-12)
    assert sigma.second_moment == pytest.approx(other.second_moment.value, rel=1e-12)
