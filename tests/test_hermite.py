"""``theory.hermite`` against exact values, 30-digit quadrature, and the problem's own coefficients.

The quadrature below is mpmath's, with break points written down in the table; it shares nothing
with ``theory.hermite_numerical``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hermite_cases import CASES, TAGS, HermiteCase, he
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from emergence.problem import Activation
from emergence.problem.parser import parse, x
from emergence.theory import hermite_numerical
from emergence.theory.gaussian_integrals import NoClosedForm, Number, closed_form
from emergence.theory.hermite import Coefficient, HermiteExpansion, Quantity, expand
from emergence.theory.hermite_numerical import numerical_moments

HALF_ULP = 2.0**-53 * (1 + 2.0**-40)  # relative error of a correctly rounded double
DEGREES = (0, 1, 2, 3, 4, 5, 8)  # those checked by quadrature; above, the two routes check each other
SMALLEST = mpmath.mpf(2) ** -1075  # rounding below the smallest double
EXACT = [case for case in CASES if case.is_exact]
BOTH_ROUTES = {"shifted abs", "step", "golden parabola", "W shape", "growing sine", "shifted bump"}
NUMERICAL = [case for case in CASES if not case.is_exact]


@pytest.fixture(autouse=True)
def _extended_precision() -> Iterator[None]:
    with mpmath.workdps(60):
        yield


def named(cases: list[HermiteCase]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=[c.name for c in cases])


@cache
def expansion(text: str, cut: int = 0, max_degree: int = 20) -> HermiteExpansion:
    return expand(Activation(text, cut), max_degree)


def of(case: HermiteCase) -> HermiteExpansion:
    return expansion(case.text, case.cut)


def values(found: HermiteExpansion) -> np.ndarray:
    return np.array([c.value for c in found.coefficients])


def errors(found: HermiteExpansion) -> np.ndarray:
    """Error bars, rounding of exact values included."""
    return np.array([max(c.error, abs(c.value) * HALF_ULP) for c in found.coefficients])


def scale(found: HermiteExpansion) -> float:
    return math.sqrt(found.second_moment.value)


def precise(constant: sympy.Expr, digits: int = 40) -> Any:
    return mpmath.re(mpmath.mpmathify(constant.evalf(digits)))  # erf(z) + erf(z̄) leaves 0·i


def hermite(k: int, u: Any) -> Any:
    below, value = mpmath.mpf(0), mpmath.mpf(1)
    for j in range(k):
        below, value = value, (u * value - root(j) * below) / root(j + 1)
    return value


@cache
def root(k: int) -> Any:
    with mpmath.workdps(60):
        return mpmath.sqrt(k)


def quadrature(case: HermiteCase, weights: dict[int, float], size: Any) -> tuple[Any, Any]:
    """``Σ_k weights_k E[σ h_k]`` and E σ² in 30 digits, by mpmath on panels between the breaks."""
    modules = [{"h": hermite, "Heaviside": lambda u, _: (1 + mpmath.sign(u)) / 2, "Max": max, "Min": min}, "mpmath"]
    sigma = sympy.lambdify(x, Activation(case.text).expression, modules)
    polynomial = sympy.Add(*(sympy.Rational(w) * he(k, x) / sympy.sqrt(sympy.factorial(k)) for k, w in weights.items()))
    row = [precise(c, 60) for c in sympy.Poly(polynomial, x).all_coeffs()]
    reach = 32 if case.tags & {"large", "exponential", "gaussian"} else 16
    grid = [*range(-reach, -8, 4), *range(-8, 9, 2), *range(12, reach + 1, 4)]
    points = {mpmath.mpf(p) for p in grid} | {precise(sympy.sympify(b), 60) for b in case.breaks}
    edges = sorted(p for p in points if abs(p) <= reach)
    method = "tanh-sinh" if "singular" in case.tags else "gauss-legendre"
    seen: dict[Any, Any] = {}

    def weighted(u: Any) -> Any:  # divided by ``size``: mpmath aims at an absolute error
        if u not in seen:
            seen[u] = sigma(u) * mpmath.exp(-u * u / 4) / size
        return seen[u]

    def projection(u: Any) -> Any:
        return weighted(u) * mpmath.exp(-u * u / 4) * mpmath.polyval(row, u)

    with mpmath.workdps(32):
        total = mpmath.quad(projection, edges, method=method)
        square = mpmath.quad(lambda u: weighted(u) ** 2, edges, method=method)
        norm = mpmath.sqrt(2 * mpmath.pi)
        return total * size / norm, square * size**2 / norm


class TestTable:
    def test_names_are_unique(self) -> None:
        assert len({c.name for c in CASES}) == len(CASES)

    def test_tags_are_known_and_all_used(self) -> None:
        assert set().union(*(c.tags for c in CASES)) == set(TAGS)

    def test_every_row_states_something(self) -> None:
        for case in CASES:
            assert case.k_star is None or case.k_star > 0
            assert all(k <= 20 for k in case.exact)
            assert case.exact == {} or case.source

    @named([c for c in CASES if c.exact and c.second_moment is not None])
    def test_values_obey_bessel(self, case: HermiteCase) -> None:
        total = sum(precise(c) ** 2 for c in case.exact.values())
        assert total <= precise(case.second_moment) + mpmath.mpf(10) ** -30  # 40 digits


@named(CASES)
def test_row(case: HermiteCase) -> None:
    """Route, known values, parity and k*, and the problem's own coefficients."""
    found = of(case)
    assert [c.k for c in found.coefficients] == list(range(21))
    assert all((c.exact is not None) == (case.is_exact or c.value == 0) for c in found.coefficients)
    assert all((c.error == 0) == (c.exact is not None) for c in found.coefficients)
    assert (found.second_moment.exact is not None) == case.is_exact
    assert (found.parseval_gap.error == 0) == case.is_exact
    assert (found.information_exponent, found.parity) == (case.k_star, case.parity)
    for k, known in case.exact.items():
        c, value = found.coefficients[k], precise(known)
        allowed = c.error if c.error else abs(value) * HALF_ULP + SMALLEST  # exact: correctly rounded
        assert abs(c.value - value) <= allowed, k
        if not case.is_exact:
            assert (c.exact == 0) == (k < case.cut or case.parity == ("odd" if k % 2 == 0 else "even")), k
        else:
            assert (c.exact == 0) == (known == 0), k
            assert abs(precise(c.exact) - value) <= abs(value) * 1e-35, k  # 40 digits less cancellation
    if case.second_moment is not None:
        second, value = found.second_moment, precise(case.second_moment)
        assert abs(second.value - value) <= (second.error or abs(value) * HALF_ULP)  # exact: correctly rounded
    if case.is_exact:
        for c in (*found.coefficients, found.second_moment):
            exact = precise(c.exact, 60)
            assert abs(c.value - exact) <= abs(exact) * HALF_ULP + SMALLEST
    if case.name != "fast cosine":  # E cos(50 Z) = 1e-543: nothing there in doubles
        theirs = np.zeros(21)
        numbers = Activation(case.text, case.cut).coefficients[:21]
        theirs[: len(numbers)] = numbers
        assert np.abs(values(found) - theirs).max() <= 1e-12 * max(scale(found), 1e-300)  # its stated accuracy


@named(
    [case for case in CASES if not case.is_exact or (len(case.exact) < 3 and not {"polynomial", "large"} & case.tags)]
)
def test_against_quadrature(case: HermiteCase) -> None:
    """Rows of which little is known."""
    found = of(case)
    weights = {k: 1.0 / (k + 1) for k in DEGREES if k >= case.cut}
    total, square = quadrature(case, weights, mpmath.mpf(scale(found) or 1.0))
    if case.is_exact:
        ours = sum(precise(found.coefficients[k].exact) * w for k, w in weights.items())
        allowed = 1e-22 * float(mpmath.sqrt(square))  # 30 digits of quadrature, less 8 for large integrands
    else:
        ours = sum(mpmath.mpf(found.coefficients[k].value) * w for k, w in weights.items())
        allowed = sum(found.coefficients[k].error * w for k, w in weights.items())  # the bars, nothing more
    assert abs(ours - total) <= allowed
    if not case.cut and case.name != "pole":  # mpmath's nodes stop at 1e-32, |x|^(−3/4) does not
        second = found.second_moment
        assert abs(second.value - square) <= (second.error or second.value * HALF_ULP)


class TestErrorBars:
    @named([c for c in NUMERICAL if c.exact and not c.cut])
    def test_cover_the_error_when_points_are_few(self, case: HermiteCase, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hermite_numerical, "_BUDGET", 300)
        found = numerical_moments(Activation(case.text), 20)
        for k, known in case.exact.items():
            assert abs(found.coefficients[k] - precise(known)) <= found.errors[k] + 1e-39, k  # 40 digits
        if case.second_moment is not None:
            assert abs(found.second - precise(case.second_moment)) <= found.second_error

    @named([c for c in EXACT if c.name in BOTH_ROUTES])
    def test_cover_the_error_where_the_answer_is_exact(self, case: HermiteCase) -> None:
        """Route 2 asked about a σ that route 1 knows: not one bar too short in 21 coefficients."""
        exact = of(case)
        found = numerical_moments(Activation(case.text), 20)
        for c, value, error in zip(exact.coefficients, found.coefficients, found.errors, strict=True):
            assert abs(value - precise(c.exact)) <= error, c.k
            assert error <= 1e-18 * max(scale(exact), 1e-300), c.k  # and none absurdly long
        assert abs(found.second - precise(exact.second_moment.exact)) <= found.second_error

    def test_add_up_where_components_are_removed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hermite_numerical, "_BUDGET", 300)
        whole, rest = (expand(Activation("log(abs(x))", cut)).second_moment for cut in (0, 3))
        assert rest.error > whole.error > 1e-14, "few points: errors beyond rounding"
        assert abs(rest.value - (math.pi**2 / 8 - 0.5)) <= rest.error
        assert expand(Activation("softplus(x)", 2)).parity == "even", (
            "seen although c_0 and c_1 are known to 1e-12 only"
        )

    def test_count_the_mass_that_no_point_sees(self) -> None:
        """E |Z|^(−7/8): 1e-11 of it lies closer to 0 than the first point, at 1e-83."""
        root = "sqrt(sqrt(abs(x)))"
        found = numerical_moments(Activation(f"1/({root}*sqrt({root})*sqrt(sqrt({root})))"), 0)
        p = -mpmath.mpf(7) / 8
        exact = 2 ** (p / 2) * mpmath.gamma((p + 1) / 2) / mpmath.sqrt(mpmath.pi)
        assert abs(found.second - exact) <= found.second_error <= 1e-10 * exact

    def test_include_the_rounding_of_the_value(self) -> None:
        for c in expansion("tanh(x)").coefficients:
            assert c.error >= abs(c.value) * 2.0**-53


class TestLaws:
    @pytest.mark.parametrize(("f", "g"), [("abs(x - 1)", "cos(2*x)"), ("tanh(x)", "h3")])
    def test_linear(self, f: str, g: str) -> None:
        left, right, both = expansion(f), expansion(g), expansion(f"2*({f}) - ({g})/3")
        bars = 2 * errors(left) + errors(right) / 3 + errors(both)
        rounding = 1e-15 * (np.abs(values(left)) + np.abs(values(right)))  # of the sum in doubles
        assert (np.abs(values(both) - 2 * values(left) + values(right) / 3) <= bars + rounding).all()

    @pytest.mark.parametrize(
        ("text", "mirrored"),
        [("max(x, -1)", "max(-x, -1)"), ("softplus(x)", "softplus(-x)")],
    )
    def test_reflection(self, text: str, mirrored: str) -> None:
        there, back = expansion(text), expansion(mirrored)
        signs = (-1.0) ** np.arange(21)
        assert (np.abs(values(back) - signs * values(there)) <= errors(back) + errors(there)).all()

    @pytest.mark.parametrize(
        ("text", "slope"),
        [("log(cosh(x))", "tanh(x)"), ("relu(x)**2/2", "relu(x)")],
    )
    def test_derivative(self, text: str, slope: str) -> None:
        """``E[σ' h_k] = √(k+1) c_{k+1}``."""
        whole, lowered = expansion(text), expansion(slope)
        root = np.sqrt(np.arange(1, 21))
        bars = errors(lowered)[:20] + root * errors(whole)[1:]
        rounding = 2e-16 * np.abs(values(lowered)[:20])  # of the product in doubles
        assert (np.abs(values(lowered)[:20] - root * values(whole)[1:]) <= bars + rounding).all()

    @named([c for c in CASES if c.name in ("abs", "deep cut", "x^40")])
    def test_parseval(self, case: HermiteCase) -> None:
        gaps = []
        for degree in (0, 20, 60, 100):
            found = expansion(case.text, case.cut, degree)
            gap, total = found.parseval_gap, found.second_moment.value
            mass = math.fsum(c.value**2 for c in found.coefficients)
            assert gap.value >= 0
            assert abs(mass + gap.value - total) <= 1e-14 * total + gap.error  # 100 roundings of squares
            gaps.append(gap)
        assert all(b.value <= a.value + a.error + b.error for a, b in pairwise(gaps))

    @named([c for c in CASES if c.name in ("x^40", "even after the cut")])
    def test_gap_of_a_polynomial_closes(self, case: HermiteCase) -> None:
        gap = expansion(case.text, case.cut, 60).parseval_gap
        assert gap == Quantity(0.0, 0.0, sympy.Integer(0))

    def test_gap_survives_cancellation(self) -> None:
        """``Σ_{k>20} c_k²`` of cos(x/100) is c_22² (1 + 2e-11), a 1e-110th of E σ²."""
        found = expansion("cos(x/100)", 0, 22)
        rest = expansion("cos(x/100)").parseval_gap.value
        assert rest == pytest.approx(found.coefficients[22].value ** 2, rel=1e-10)  # next term: 1e-8/552

    @named([c for c in CASES if c.name in ("h39 and h40", "ramp from -1", "growing sine", "gelu", "log of abs")])
    def test_high_pass(self, case: HermiteCase) -> None:
        """Below the cut exact zeros; above it nothing changes."""
        whole, cut = of(case), expansion(case.text, 6)
        assert [(c.exact, c.value, c.error) for c in cut.coefficients[:6]] == [(0, 0.0, 0.0)] * 6
        assert values(cut)[6:] == pytest.approx(values(whole)[6:], rel=1e-15)  # same numbers, zeros of parity apart
        removed = math.fsum(c.value**2 for c in whole.coefficients[:6])
        kept = cut.second_moment
        assert abs(kept.value - (whole.second_moment.value - removed)) <= 1e-14 * whole.second_moment.value + kept.error
        if cut.information_exponent is not None:
            assert cut.information_exponent >= 6

    @hypothesis_settings(max_examples=8)
    @given(
        slopes=st.lists(st.fractions(-3, 3, max_denominator=6), min_size=1, max_size=4),
        knots=st.lists(st.fractions(-3, 3, max_denominator=6), min_size=4, max_size=4),
    )
    def test_random_broken_lines(self, slopes: list[Any], knots: list[Any]) -> None:
        terms = [f"({a})*abs(x - ({b}))" for a, b in zip(slopes, knots, strict=False)]
        activation = Activation("x*0 + 1/7 + " + " + ".join(terms))
        found = expand(activation, 12)
        theirs = np.zeros(13)
        theirs[: len(activation.coefficients)] = activation.coefficients[:13]
        assert all(c.exact is not None for c in found.coefficients)
        assert np.abs(values(found) - theirs).max() <= 1e-12 * scale(found)  # accuracy of the problem's route


class TestSeries:
    def test_phi_of_one_term(self) -> None:
        s = np.linspace(-1, 1, 41).reshape(1, 41)
        found = expansion("h4")
        assert found.phi(s).shape == (1, 41)
        assert found.phi(s) == pytest.approx(s**4, abs=1e-15)  # rounding of one power
        assert found.phi_slope(s) == pytest.approx(4 * s**3, abs=4e-15)

    @pytest.mark.parametrize("text", ["abs(x)", "relu(x)"])
    def test_truncation_bounds(self, text: str) -> None:
        """The longer series lies within the bound that the shorter one states."""
        short, long = expansion(text, 0, 10), expansion(text, 0, 100)
        s = np.linspace(-0.9, 0.9, 37)
        gap = short.parseval_gap.value
        assert (np.abs(long.phi(s) - short.phi(s)) <= gap * np.abs(s) ** 11 + 1e-15).all()  # rounding of φ ≤ 1
        small = s[np.abs(s) <= math.exp(-1 / 11)]
        bound = gap * 11 * np.abs(small) ** 10
        assert (np.abs(long.phi_slope(small) - short.phi_slope(small)) <= bound + 1e-14).all()  # and of φ' ≤ 10

    def test_phi_of_abs_is_the_arc_cosine_kernel(self) -> None:
        """``E|u·x||v·x| = (2/π)(√(1−s²) + s arcsin s)``."""
        s = np.linspace(-0.7, 0.7, 15)
        exact = 2 / np.pi * (np.sqrt(1 - s**2) + s * np.arcsin(s))
        assert expansion("abs(x)", 0, 100).phi(s) == pytest.approx(exact, abs=1e-15)  # 0.7^101 < 1e-15

    def test_slope_of_a_constant_alone(self) -> None:
        assert float(expansion("abs(x)", 0, 0).phi_slope(0.5)) == 0.0


class TestInformationExponent:
    @pytest.mark.parametrize(
        ("text", "cut", "expected"),
        [
            ("h30", 0, 30),
            ("x**40", 0, 2),
            ("sin(x)", 64, 65),
            ("tanh(x)", 20, 21),
            ("erf(x) - 2*x/sqrt(3*pi) + h4", 0, 3),  # c_1 is 0, known to 1e-26
            ("h6 + x/10**30", 0, 1),
            ("sin(x)**2 + cos(x)**2", 0, None),
            ("max(x, -20)", 2, 2),
        ],
    )
    def test_does_not_depend_on_the_listed_degrees(self, text: str, cut: int, expected: int | None) -> None:
        for max_degree in (0, 20):
            assert expansion(text, cut, max_degree).information_exponent == expected

    def test_constants_that_cancel_are_zero(self) -> None:
        """√(3 − 2√2) = √2 − 1, which no rule of SymPy applies by itself."""
        found = expand(Activation("(sqrt(3 - 2*sqrt(2)) - sqrt(2) + 1)*x + h3"))
        assert found.coefficients[1] == Coefficient(1, sympy.Integer(0), 0.0, 0.0)
        assert found.information_exponent == 3


class TestClosedForms:
    @pytest.mark.parametrize(
        "text",
        [
            "tanh(x)",
            "abs(x**3 - 2)",
            "cos(x**2)",
            "1/(1 + x**2)",
            "sign((x + h3/7 + pi*x**2 + cosh(x) + sinh(3*x)) - (x + h3/7 + pi*x**2 + cosh(x) + sinh(3*x)))",  # sign(0)
            "exp(x**2)*Heaviside(2 - abs(x))",  # outgrows the Gaussian on a bounded piece
            "abs(x**2-x-1)*sin(pi*x)",
        ],
    )
    def test_refuses(self, text: str) -> None:
        with pytest.raises(NoClosedForm):
            closed_form(parse(text), 4)

    @pytest.mark.parametrize(
        "text",
        [
            "(1+x+abs(x)+cos(x)+exp(x/50))**10",
            " + ".join(f"abs({j}*x - {j * j % 7})" for j in range(1, 28)) + " + abs(x**2 - 20)",
        ],
        ids=["large product", "many pieces"],
    )
    def test_of_large_expressions_is_quick_or_left_to_quadrature(self, text: str) -> None:
        activation = Activation(text)
        theirs = activation.coefficients[:9]
        assert np.abs(values(expand(activation, 8)) - theirs).max() <= 1e-12 * math.sqrt(activation.second_moment)

    def test_number_arithmetic(self) -> None:
        one, root2, root6 = (Number.of(sympy.sqrt(k)) for k in (1, 2, 6))
        assert (root2 * root6).expr() == 2 * sympy.sqrt(3)
        assert not root2 * root2 + one * -2
        wave = Number.of(sympy.exp(sympy.I / 3))
        assert (wave * Number.of(sympy.exp(-sympy.I / 3))).expr() == 1
        assert (wave + Number.of(sympy.exp(-sympy.I / 3))).real().expr() == 2 * sympy.cos(sympy.Rational(1, 3))
        with pytest.raises(NoClosedForm):
            wave.real()

    def test_values_keep_their_digits_when_terms_cancel(self) -> None:
        """E max(Z − 12, 0) = φ(12) − 12 Φ(−12), of which 33 digits cancel."""
        c = expansion("relu(x - 12)").coefficients[0]
        with mpmath.workdps(80):
            assert c.value == float(mpmath.npdf(12) - 12 * mpmath.ncdf(-12))


class TestResult:
    def test_as_dict_is_json_and_reads_back(self) -> None:
        found = expansion("abs(x)", 3)
        record = json.loads(json.dumps(found.as_dict()))
        assert record["activation"] == "abs(x)" and record["high_pass"] == 3
        assert record["information_exponent"] == 4 and record["parity"] == "even"
        row = record["coefficients"][4]
        assert sympy.sympify(row["exact"]) == found.coefficients[4].exact
        assert (row["k"], row["value"], row["error"]) == (4, found.coefficients[4].value, 0.0)
        assert record["coefficients"][0] == {"k": 0, "exact": "0", "value": 0.0, "error": 0.0}
        assert record["second_moment"]["exact"] == "1 - 3/pi"
        assert set(record["parseval_gap"]) == {"value", "error"}

    def test_as_dict_of_a_numerical_one(self) -> None:
        record = json.loads(json.dumps(expansion("tanh(x)**2").as_dict()))
        assert record["coefficients"][2]["exact"] is None and record["second_moment"]["exact"] is None
        assert record["coefficients"][1]["exact"] == "0" and record["coefficients"][2]["error"] > 0

    def test_card(self) -> None:
        card = str(expansion("abs(x)", 3))
        assert "σ = abs(x), components below degree 3 removed" in card
        assert "-sqrt(3)/(6*sqrt(pi))" in card and "-0.1628675039676" in card
        assert "the other c_k with k ≤ 20 are exactly 0" in card
        assert "information exponent 4, parity even" in card and "E σ² = 1 - 3/pi = 0.04507034144862" in card
        assert "Parseval gap beyond k = 20" in card
        assert max(map(len, card.splitlines())) <= 100

    def test_eulers_number_is_written_as_a_function(self) -> None:
        found = expansion("exp(sqrt(2)*x)", 0, 1)
        assert found.as_dict()["coefficients"][1]["exact"] == "sqrt(2)*exp(1)"
        assert "1  sqrt(2)*exp(1) " in str(found)

    def test_card_of_a_numerical_one(self) -> None:
        card = str(expansion("gelu(x)", 0, 1))
        assert "numerical" in card and "exactly 0" not in card and "parity none" in card

    @pytest.mark.parametrize("max_degree", [-1, 101, 2.5, True])
    def test_bad_max_degree(self, max_degree: Any) -> None:
        with pytest.raises(ValueError, match=r"`max_degree` must be an integer between 0 and 100"):
            expand(Activation("h4"), max_degree)

    def test_largest_max_degree(self) -> None:
        assert [c.k for c in expansion("h4", 0, 100).coefficients] == list(range(101))
        assert len(expand(Activation("h4"), np.int64(7)).coefficients) == 8
