"""The derived transition law: against the equations it comes from, the numerical level, and the claims' grammar."""

from __future__ import annotations

import json
import math
import re

import mpmath
import numpy as np
import pytest
import sympy

from emergence.cli import main
from emergence.compare.claim import evaluate
from emergence.problem import Activation, Problem, Teacher
from emergence.theory import decoupled, transition_law
from emergence.theory.closed_form import closed_form_alignment, closed_form_recovery
from emergence.theory.critical_step_size import drift_dominated_step_size
from emergence.theory.symbolic_law import KINDS, TransitionLaw, law_refusal

A, S0, N0 = sympy.symbols("a s0 n0", positive=True)
# text, high-pass cut, and whether all constants, c and E σ² among them, are exact
ROWS = [
    ("h2", 0, True),
    ("h4", 0, True),
    ("h6", 0, True),
    ("h10", 0, True),
    ("2*h4/3", 0, True),
    ("h4 + h6/2", 0, True),
    ("h4 - h8/3", 0, True),
    ("h4 + h6 + h8/3", 0, True),
    ("h2/4 + h4", 0, True),
    ("x**6", 3, True),
    ("h4 + h10", 0, False),
    ("h4 + h6/pi", 0, False),
    ("abs(x)", 4, False),
    ("cos(2*x)", 3, False),
    ("exp(-abs(x))", 4, False),
    ("tanh(x)**2", 3, False),
]
NAMES = [row[0] for row in ROWS]
CLOSED = [row for row in ROWS if row[2]]


def law_of(row: tuple[str, int, bool]) -> tuple[Activation, TransitionLaw]:
    sigma = Activation(row[0], row[1])
    return sigma, transition_law(sigma)


def test_law_of_h4() -> None:
    law = transition_law(Activation("h4"))
    assert law.formula("alignment") == "1/(8*a*s0)"
    assert law.formula("recovery_delay") == "log(a/n0)/(4*a) + 1/(8*a)"
    assert law.formula("step_size") == "2*B*a*s0/d"
    assert law.delay == sympy.Rational(1, 8)
    assert law.is_exact


@pytest.mark.parametrize("order", [2, 3, 4, 6])
def test_law_of_a_single_term(order: int) -> None:
    """The paper's form, [ln(s/(1 − s)) − Σ_j s^{−j}/j] and Σ_j (2^j − 1)/j, each over 4 I c² a."""
    c2 = sympy.Rational(4, 9)
    law = transition_law(Activation(f"2*h{2 * order}/3"))
    assert law.alignment.leading == 1 / (4 * order * (order - 1) * c2 * A * S0 ** (order - 1))

    def bracket(s: sympy.Expr) -> sympy.Expr:
        return sympy.log(s) - sympy.log(1 - s) - sum(s**-j / sympy.Integer(j) for j in range(1, order))

    exact = (bracket(sympy.Rational(1, 2)) - bracket(S0)) / (4 * order * c2 * A)
    assert sympy.simplify(law.alignment.exact - exact) == 0
    assert law.delay == sum(sympy.Rational(2**j - 1, j) for j in range(1, order)) / (4 * order * c2)


def test_information_exponent_two_is_logistic() -> None:
    law = transition_law(Activation("h2/2"))  # c² = ¼
    assert law.formula("alignment") == "-log(s0)/a"
    assert sympy.simplify(law.alignment.exact - sympy.log((1 - S0) / S0) / A) == 0
    assert law.delay == 0


@pytest.mark.parametrize("row", CLOSED, ids=[row[0] for row in CLOSED])
def test_exact_alignment_solves_the_equation(row: tuple[str, int, bool]) -> None:
    """dT/ds_0 = −1/ṡ, ṡ = 2 a r φ'(r)(1 − r²), with T = 0 at s_0 = ½, and the leading order is its limit."""
    sigma, law = law_of(row)
    exact = law.alignment.exact
    for s0 in (0.003, 0.2, 0.45):
        r = math.sqrt(s0)
        speed = 2 * 0.7 * r * float(sigma.phi_slope(r)) * (1 - s0)
        slope = sympy.diff(exact, S0).subs({A: sympy.Rational(7, 10), S0: sympy.Float(s0, 30)})
        assert float(slope) * speed == pytest.approx(-1, rel=1e-11)  # coefficients by quadrature to 1e-13
        assert float(exact.subs({A: 0.7, S0: sympy.Float(s0, 30)})) == pytest.approx(
            float(decoupled.alignment_time(sigma, 0.7, r)), rel=1e-11  # likewise
        )  # fmt: skip
    assert abs(float(exact.subs({A: 1, S0: sympy.Rational(1, 2)}).evalf(30))) < 1e-15 * float(abs(law.c)) ** -2
    ratio = (exact / law.alignment.leading).subs({A: 1, S0: sympy.Float(10, 80) ** -20}).evalf(60)
    # the next order is s_0 ln s_0, or at k* = 2 a constant beside ln s_0 = −46
    assert float(ratio) == pytest.approx(1, abs=1e-17 if law.order > 1 else 0.2)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_constants_are_those_of_the_quadrature(row: tuple[str, int, bool]) -> None:
    sigma, law = law_of(row)
    assert law.is_exact == row[2]
    assert 2 * law.order == sigma.information_exponent
    # the activation's own quadrature, 1e-13 of √E σ²
    assert float(law.c) == pytest.approx(sigma.coefficients[2 * law.order], rel=1e-10)
    assert float(law.second_moment) == pytest.approx(sigma.second_moment, rel=1e-10)
    assert float(law.slope_second_moment) == pytest.approx(sigma.slope_second_moment, rel=1e-10)
    assert float(law.delay) == pytest.approx(decoupled.delay(sigma), rel=1e-10, abs=1e-13)


def test_what_is_numerical_is_named() -> None:
    named = {row[0]: law_of(row)[1].numerical for row in ROWS}
    assert named["h4 + h6/2"] == ()
    assert named["abs(x)"] == named["h4 + h10"] == ("K",)
    assert named["tanh(x)**2"] == ("c", "phi(1)", "phi'(1)", "K")
    assert transition_law(Activation("abs(x)", 4)).formula("alignment").startswith("4.71238898")  # 3π/2
    assert "numerical: K" in str(transition_law(Activation("abs(x)", 4)))


def test_a_card_names_the_constants_that_stand_in_it_and_no_symbol_besides() -> None:
    law = transition_law(Activation("cos(x)", 1))  # c² = 1/(2 e)
    assert "T_align = -exp(1)*log(s0)/(2*a) to" in law.summary and "numerical: K = 0.0390060\n" in law.summary
    assert "T_recover - T_align = K/a + log(a/n0)/(" in law.summary
    assert law.as_dict()["alignment"] == "-exp(1)*log(s0)/(2*a)"
    assert str(law).startswith("transition law of cos(x) from degree 1: k* = 2")
    numbers, exact = transition_law(Activation("tanh(x)**2", 3)).summary, transition_law(Activation("h4")).summary
    assert "constants numerical" in numbers and "constants exact" in exact
    assert not re.search(r"\b(K|c|phi)\b", numbers + exact)


def test_delay_of_two_terms_by_mpmath() -> None:
    """K from its definition in r, for φ = r⁴ + r⁶/4."""

    def phi(r: mpmath.mpf) -> mpmath.mpf:
        return r**4 + r**6 / 4

    def rate(r: mpmath.mpf) -> mpmath.mpf:
        return (4 * r**3 + 6 * r**5 / 4) * (1 - r**2)

    with mpmath.workdps(30):
        half = mpmath.sqrt(0.5)
        before = mpmath.quad(lambda r: phi(r) / phi(1) / rate(r), [mpmath.mpf("1e-12"), 0.1, half])
        after = mpmath.quad(lambda r: (1 - phi(r) / phi(1)) / rate(r), [half, 0.9, 1 - mpmath.mpf("1e-12")])
    delay = transition_law(Activation("h4 + h6/2")).delay
    assert float(delay) == pytest.approx(float(after - before), abs=1e-11)  # the ends of both ranges


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_numbers_are_those_of_the_text_and_of_the_closed_form(row: tuple[str, int, bool]) -> None:
    sigma, law = law_of(row)
    values = {"a": 0.3, "s0": 0.011, "n0": 1e-7}
    for kind in ("alignment", "recovery_delay", "recovery"):
        stated = evaluate(law.formula(kind), values)  # the grammar that claims are written in
        assert float(law.evaluate(kind, **values)) == pytest.approx(stated, rel=1e-13)  # 15 digits and more are stated
    r0 = math.sqrt(0.011)
    assert closed_form_alignment(sigma, 0.3, r0) == pytest.approx(float(law.evaluate("alignment", **values)), rel=1e-14)
    assert closed_form_recovery(sigma, 0.3, r0, 1e-7) == pytest.approx(
        float(law.evaluate("recovery", **values)), rel=1e-14  # one rounding of a sum
    )  # fmt: skip
    assert law.evaluate("alignment", a=[0.1, 0.2], s0=[[0.1], [0.2], [0.3]]).shape == (3, 2)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_recovery_law_is_the_limit_of_a_small_start(row: tuple[str, int, bool]) -> None:
    sigma, law = law_of(row)
    r0, n0 = 1e-3, 1e-20
    gap = float(decoupled.recovery_time(sigma, 0.3, r0, n0) - decoupled.alignment_time(sigma, 0.3, r0))
    # s_0/(4 I φ(1)) of K is missing below r_0; times up to 1e12/a lose 1e-16 each
    late = float(decoupled.alignment_time(sigma, 0.3, r0))
    assert float(law.evaluate("recovery_delay", a=0.3, n0=n0)) == pytest.approx(gap, rel=1e-6, abs=1e-15 * late)


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_step_size_is_that_at_which_drift_beats_noise(row: tuple[str, int, bool]) -> None:
    sigma, law = law_of(row)
    problem = Problem(sigma, Teacher([1.0]), 300, 2)
    numbers = {"a": 0.6, "d": 300, "B": 4}
    small = float(drift_dominated_step_size(problem, np.array(0.6), np.array(1e-4), 4))
    # the next term is s_0 = 1e-8 times a ratio of c_k², below 100 here
    assert float(law.evaluate("step_size", s0=1e-8, **numbers)) == pytest.approx(small, rel=1e-6)
    if law.step_size.exact is not None:
        symbols = {symbol: numbers.get(symbol.name, 0.25) for symbol in law.step_size.exact.free_symbols}
        whole = float(drift_dominated_step_size(problem, np.array(0.6), np.array(0.5), 4))
        assert float(law.step_size.exact.subs(symbols)) == pytest.approx(whole, rel=1e-10)  # coefficients to 1e-13


@pytest.mark.parametrize(("text", "cut"), [("h4 + h6/2", 0), ("cos(2*x)", 3), ("h2", 0)])
def test_law_scales_with_the_activation(text: str, cut: int) -> None:
    """σ → 3σ makes φ nine times larger: flow times fall by 9, the step size by 9 too."""
    once, thrice = (transition_law(Activation(f"{scale}*({text})", cut)) for scale in (1, 3))
    for kind in KINDS:
        values = {"a": 0.3, "s0": 0.01, "n0": 1e-6}
        # a numerical K is good to 1e-12
        assert float(once.evaluate(kind, **values)) == pytest.approx(
            9 * float(thrice.evaluate(kind, **values)), rel=1e-11
        )


def test_refusals_say_why() -> None:
    for text in ("h3", "h3 + h4", "h4 + h5"):
        with pytest.raises(ValueError, match="the transition law needs an even activation"):
            transition_law(Activation(text))
    with pytest.raises(ValueError, match="has no Hermite component of degree ≥ 1"):
        transition_law(Activation("h4", 5))
    with pytest.raises(ValueError, match="`kind` must be one of alignment, recovery_delay, recovery, step_size"):
        transition_law(Activation("h4")).formula("birth")
    assert "students stay mixtures" in (law_refusal(Problem(Activation("h2"), Teacher([1, 1]), 9, 4)) or "")
    assert law_refusal(Problem(Activation("h2"), Teacher([1.0]), 9, 4)) is None


def test_law_as_a_card_latex_and_json() -> None:
    law = transition_law(Activation("h4 + h6/2"))
    card = str(law).splitlines()
    assert card[0] == "transition law of h4 + h6/2: k* = 4, c = 1, phi(1) = 5/4, phi'(1) = 11/2"
    assert card[1:3] == law.summary.splitlines()
    assert max(len(line) for line in card[:4]) < 120
    text = law.latex()
    assert text.count("{") == text.count("}")
    assert text.splitlines()[0] == r"\begin{tabular}{lll}"
    assert r"\frac{1}{8 a s_{0}}" in text
    stated = json.loads(json.dumps(law.as_dict()))
    assert stated["constants_exact"] is True
    assert sympy.sympify(stated["K"]) == law.delay
    assert set(KINDS) <= set(stated)
    assert "alignment_exact" in stated
    assert "alignment_exact" not in transition_law(Activation("abs(x)", 4)).as_dict()


def test_command_prints_the_law(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["predict", "--P", "1", "--d", "16", "--m", "2", "--activation"]
    law = transition_law(Activation("h4"))
    assert main([*small, "h4"]) == 0
    assert law.summary in capsys.readouterr().out
    assert main([*small, "h4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["law"] == law.as_dict()
    assert main([*small, "h4", "--latex"]) == 0
    assert capsys.readouterr().out == law.latex() + "\n"
    assert main([*small, "h4", "--latex", "--json"]) == 2
    assert capsys.readouterr().err == "emergence: error: --latex and --json exclude each other\n"
    assert main([*small, "h3", "--latex"]) == 2
    assert "needs an even activation" in capsys.readouterr().err
    assert main([*small, "h3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["law"] is None
