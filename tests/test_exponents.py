"""Derived exponents against slopes measured on sums, quadratures and brute force that share nothing with SymPy."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import matplotlib.mathtext
import mpmath
import numpy as np
import pytest
import sympy
from scipy.special import zeta

from emergence.problem import Activation, Problem, Teacher
from emergence.theory import exponents
from emergence.theory.critical_step_size import drift_dominated_step_size
from emergence.theory.decoupled import alignment_time
from emergence.theory.exponent_table import Exponent, latex, table

LOSSES = {  # what is spent, what directions 1 and P take of it, its growth in Q at beta
    "flow_time": ("t", "T_1", "T_P", lambda beta: beta),
    "steps": ("N", "N_1", "N_P", lambda beta: beta),
    "samples_fixed_step": ("n", "n_1", "n_P", lambda beta: beta),
    "samples_horizon_step": ("n", "n_1", "n_P", lambda beta: 2 * beta),
    "width": ("m", "", "P", lambda beta: 1.0),
    "compute_width_time": ("C", "C_1", "C_P", lambda beta: 1 + beta),
    "compute_width_samples": ("C", "C_1", "C_P", lambda beta: 1 + 2 * beta),
}
BEST = ["samples_best_step", "compute_width_samples_best_step"]
NAMES = [*LOSSES, *BEST, "dimension_time", "dimension_samples"]
OWN = {name: sympy.Symbol(name) for name in ("beta", "N")}  # SymPy has functions of these names
BETAS = [0.51, 0.8, 1.0, 1.7]


def slope(f: Callable[[float], Any], x: float, *, factor: float = 2.0) -> float:
    """Slope of ln f between x and factor · x, in ln x."""
    return float(np.log(f(factor * x) / f(x)) / math.log(factor))


def tail(Q: float, beta: float) -> float:
    """Σ_{p>Q} p^{−2β} without end, for real Q: Hurwitz's zeta function."""
    return float(zeta(2 * beta, Q + 1))


def share_at(law: Exponent, Q: float, P: float, beta: float) -> float:
    """The equation in ``law.formula`` where what is spent teaches Q directions of P."""
    spent, first, last, growth = LOSSES[law.name]
    left, right = law.formula.split(" = ")
    assert left == "L/L(0)"
    unit = 3.0 if first else 1.0  # students are counted, all else is in units of its own
    at = {"beta": beta, spent: unit * Q ** growth(beta), first: unit, last: unit * P ** growth(beta)}
    return float(sympy.sympify(right, OWN).subs({sympy.Symbol(name): value for name, value in at.items()}))


# --- the loss against what is spent: β > ½ --------------------------------------------------------


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("name", ["h4", "h6", "abs(x)"])
def test_time_and_samples_by_quadrature(name: str, beta: float) -> None:
    """T_Q by quadrature of the flow, η by the drift condition at s_0 = 1e-4, L by the exact tail."""
    sigma = Activation(name, cut=3)
    laws = exponents(beta, 6 if name == "h6" else 4)
    problem = Problem(sigma, Teacher([1.0]), d=1000, m=1)

    def duration(Q: float) -> Any:
        return alignment_time(sigma, Q**-beta, 0.01)

    def samples(Q: float) -> Any:
        return duration(Q) / drift_dominated_step_size(problem, np.array(Q**-beta), np.array(0.01), 1)

    loss = slope(lambda Q: tail(Q, beta), 1e7)
    for law, spent in (("flow_time", duration), ("steps", duration), ("samples_horizon_step", samples)):
        # sums minus integrals are 1/Q = 1e-7 relative
        assert laws[law].value == pytest.approx(loss / slope(spent, 1e7), abs=1e-6)
    assert laws["samples_fixed_step"].value == laws["steps"].value, "n = B · steps"
    assert laws["width"].value == pytest.approx(loss, abs=1e-6)


@pytest.mark.parametrize(("name", "power"), [("compute_width_time", 1), ("compute_width_samples", 2)])
@pytest.mark.parametrize("beta", BETAS)
def test_compute_by_trying_every_width(name: str, power: int, beta: float) -> None:
    """Directions learned by m students in time (C/m): the fewer of m and (C/m)^{1/ρ}, ρ = β or 2β."""
    rho = power * beta

    def best(budget: float) -> float:
        m = np.exp(np.linspace(0, math.log(budget), 200_001))
        return tail(float(np.minimum(m, (budget / m) ** (1 / rho)).max()), beta)

    start = 1e6 ** (1 + rho)  # so that 10⁶ directions are learned
    # a grid step of ln(C)/2e5 = 5e-4 at most errs by that in ln Q, over ln 1e4 in ln C: 1e-4, times |1 − 2β| ≤ 2.4
    assert exponents(beta, 4)[name].value == pytest.approx(slope(best, start, factor=1e4), abs=3e-4)


def test_students_of_h2_learn_the_matrix_direction_by_direction() -> None:
    """σ = h_2: V = (√n_k v̄_k) follows S = V Vᵀ, Ṡ = (A − S)S + S(A − S), here in exact steps from a random start."""
    P, m, h, laws = 100, 20, 8.0, exponents(0.8, 2)
    a = np.arange(1, P + 1.0) ** -0.8

    def losses(m: int, steps: int) -> list[float]:
        V, loss = 1e-6 * np.random.default_rng(1).standard_normal((P, m)), []
        for _ in range(steps):
            values, vectors = np.linalg.eigh(V.T @ (V * (np.expm1(2 * h * a) / a)[:, None]))
            V = np.exp(h * a)[:, None] * V @ (vectors / np.sqrt(1 + np.maximum(values, 0))) @ vectors.T
            loss.append(float(np.sum((np.diag(a) - V @ V.T) ** 2)))
        return loss

    full = np.array(losses(P, 40)) + tail(P, 0.8)
    # T_p ∝ ln(a_p/1e-12)/a_p: between −0.79 and −0.75 with its logarithm, and steps of single directions
    assert laws["flow_time"].value == pytest.approx(math.log(full[29] / full[4]) / math.log(6), abs=0.05)
    # m students end at the best matrix of rank m; by t = 600 mixtures with weaker directions leave 2e-4
    assert losses(m, 75)[-1] == pytest.approx(np.sum(a[m:] ** 2), rel=1e-3)
    assert all("h2" in laws[name].assumes for name in LOSSES)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_best_step_size_by_sums(beta: float, noise: float) -> None:
    """n(Q) ∝ (Σ_{p>Q} a_p² + τ²)/a_Q², and a budget m n with m = Q."""
    laws = exponents(beta, 4, label_noise=noise > 0)

    def samples(Q: float) -> Any:
        return (tail(Q, beta) + noise) * Q ** (2 * beta)

    Q = 1e60 if noise and beta < 0.6 else 1e9  # the noise of the labels must win over a tail of Q^{−0.02}
    loss = 1 - 2 * beta if noise else slope(lambda Q: tail(Q, beta), Q)
    spent = slope(samples, Q)
    near = 5e-2 if noise and beta < 0.6 else 1e-4
    assert laws["samples_best_step"].value == pytest.approx(loss / spent, abs=near)
    assert laws["compute_width_samples_best_step"].value == pytest.approx(loss / (1 + spent), abs=near)
    assert "not in the paper" in laws["samples_best_step"].assumes
    assert {law.name for law in exponents(beta, 4).values() if law != laws[law.name]} == (set(BEST) if noise else set())


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5])
def test_no_law_at_the_best_step_size_up_to_one_half_without_label_noise(beta: float) -> None:
    for name in BEST:
        assert exponents(beta, 4)[name].law is None and "noise that is left" in str(exponents(beta, 4)[name].reason)
    noisy = exponents(beta, 4, label_noise=True)
    assert str(noisy[BEST[0]].law) == str(noisy["samples_horizon_step"].law)


# --- β ≤ ½: no power law ---------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.25])
def test_below_one_half_by_finite_sums(beta: float) -> None:
    P, laws = 10**7, exponents(beta, 4)
    learned = np.cumsum(np.arange(1, P + 1.0) ** (-2 * beta))
    for name, (*_, growth) in LOSSES.items():
        if growth(beta) == 0:
            continue
        for Q in (10**5, 10**6, 4 * 10**6):
            # Σ_{p≤Q} p^{−2β} less its integral is below |ζ(½)| + 1 < 2.5, of a total of at least 6000
            assert share_at(laws[name], Q, P, beta) == pytest.approx(1 - learned[Q - 1] / learned[-1], abs=5e-4), name
        assert laws[name].value is laws[name].expression is None and "beta < 1/2" in str(laws[name].reason)


def test_one_half_by_harmonic_numbers() -> None:
    P, laws = 10**100, exponents(0.5, 4)
    for Q in (10**5, 10**20, 10**60):
        share = float(1 - mpmath.harmonic(Q) / mpmath.harmonic(P))
        for name in LOSSES:
            # H_Q = ln Q + 0.58: 0.58 of ln P = 230 at most
            assert share_at(laws[name], float(Q), float(P), 0.5) == pytest.approx(share, abs=2.6e-3), name
    assert all(laws[name].value is None and "beta = 1/2" in str(laws[name].reason) for name in LOSSES)


def test_equal_strengths_fall_in_one_step() -> None:
    laws = exponents(0, 4)
    for name in ("flow_time", "steps", "samples_fixed_step", "samples_horizon_step"):
        spent, _, last, _ = LOSSES[name]
        right = sympy.sympify(laws[name].formula.split(" = ")[1], OWN)
        assert [right.subs({spent: x, last: 2.0}) for x in (0.1, 1.9, 2.1, 9.0)] == [1, 1, 0, 0]
        assert laws[name].value is None and "one step" in str(laws[name].reason)


# --- the dimension --------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 4, 5, 6, 8])
def test_dimension_by_quadrature(k: int) -> None:
    """T by quadrature from r_0 = 1/√d, η the least of the drift condition over the way to r² = ½."""
    sigma, laws = Activation(f"h{k}"), exponents(None, k)

    def duration(d: float) -> Any:
        return alignment_time(sigma, 1.0, 1 / math.sqrt(d))

    def samples(d: float) -> Any:
        problem = Problem(sigma, Teacher([1.0]), d=round(d), m=1)
        way = np.geomspace(1 / math.sqrt(d), math.sqrt(0.5), 50)
        return duration(d) / drift_dominated_step_size(problem, np.ones(50), way, 1).min()

    # corrections are of relative order d^{−1/2}, with ln d at most: 1e-12^{1/2} · 28
    assert laws["dimension_time"].value == pytest.approx(slope(duration, 1e12), abs=1e-4)
    assert laws["dimension_samples"].value == pytest.approx(slope(samples, 1e12), abs=1e-4)


def test_information_exponent_two_leaves_a_logarithm() -> None:
    laws, sigma, d = exponents(0.8, 2), Activation("h2"), np.array([1e4, 1e8, 1e16])
    time, samples = laws["dimension_time"], laws["dimension_samples"]
    assert time.value is samples.value is None and time.expression is None
    assert (time.formula, samples.formula) == ("T ∝ log(d)", "n ∝ d*log(d)")
    assert "logarithm" in str(time.reason) and "P = 1" in time.assumes
    T = alignment_time(sigma, 1.0, d**-0.5)
    np.testing.assert_allclose(T / np.log(d), T[0] / np.log(d[0]), rtol=2e-5)  # ln(d − 1) = ln d − 1e-4


def test_odd_and_first_order_activations_say_what_they_need() -> None:
    odd = exponents(0.8, 3)
    assert odd["flow_time"].value == -0.75 and all("r > 0" in law.assumes for law in odd.values())
    first = exponents(0.8, 1)
    assert all(first[name].value is None and first[name].formula == "none" for name in LOSSES)
    assert all("one mixture" in str(first[name].reason) for name in LOSSES)
    assert (first["dimension_time"].value, first["dimension_samples"].value) == (0.0, 1.0)
    assert "P = 1" in first["dimension_time"].assumes


# --- what is symbolic, exact, refused, shown ------------------------------------------------------


def test_symbols_stay_where_nothing_is_given() -> None:
    laws = exponents()
    assert list(laws) == NAMES and all(law.name == name for name, law in laws.items())
    assert all(law.value is None and "is not given" in str(law.reason) for law in laws.values())
    assert [str(s) for s in laws["width"].expression.free_symbols] == ["beta"]
    assert [law.value for law in exponents(None, 6).values()] == [None] * 9 + [2.0, 5.0]
    assert [law.value is None for law in exponents(0.8).values()] == [False] * 9 + [True] * 2


@pytest.mark.parametrize("beta", [*BETAS, 1, np.float64(0.7)])
def test_the_formula_evaluates_to_the_exact_value(beta: float) -> None:
    for law in exponents(beta, 6).values():
        exact = sympy.sympify(law.formula, OWN).subs({"beta": sympy.Rational(str(float(beta))), "k": 6})
        assert law.expression == exact and law.value == float(exact) and law.reason is None
    assert exponents(0.8, 4)["compute_width_time"].expression == sympy.Rational(-1, 3), "the paper's own figure"


@pytest.mark.parametrize("beta", [-0.1, math.nan, math.inf, "1", True, 1j, 10**400])
def test_bad_beta_is_refused(beta: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"`beta` must be a non-negative number, but is {beta!r}")):
        exponents(beta, 4)


@pytest.mark.parametrize("k", [0, -2, 4.0, "4", True])
def test_bad_information_exponent_is_refused(k: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"`information_exponent` must be a positive integer, but is {k!r}")):
        exponents(0.8, k)


@pytest.mark.parametrize(("beta", "k"), [(None, None), (0.8, 4), (0.5, 6), (0.2, 2), (0, 3), (0.8, 1)])
def test_latex_and_text(beta: float | None, k: int | None) -> None:
    laws = exponents(beta, k)
    lines = latex(laws).splitlines()
    assert lines[0] == r"\begin{tabular}{lll}" and lines[-1] == r"\end{tabular}" and latex(laws).isascii()
    parser = matplotlib.mathtext.MathTextParser("path")
    for line, law in zip(lines[3:-1], laws.values(), strict=True):
        cells = line.removesuffix(r" \\").split(" & ")
        assert line.endswith(r" \\") and len(cells) == 3
        for cell in cells:
            parser.parse(cell)  # raises on what is no mathematics
            assert not set(re.sub(r"\$[^$]*\$", "", cell)) & set("$_^{}%#&\\"), "special only between dollars"
        assert (law.expression is None) == (cells[2] == "---")
        share = law.formula.startswith("L/L(0)")
        assert share == cells[1].startswith(("$L/L(0) = 1 - ", r"$L/L(0) = \theta\left(1 - "))
        assert (r" \propto " in cells[1]) == (law.law is not None and not share)
    text = table(laws).splitlines()
    assert max(map(len, text)) <= 140 and sum(line[:1] in "LTn" and " against " in line for line in text) == 11
    assert all(any(law.formula in line for line in text) for law in laws.values())
    assert {law.reason for law in laws.values() if law.reason} == {
        line.removeprefix("no value: ") for line in text if line.startswith("no value: ")
    }
