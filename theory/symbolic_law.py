"""The transition law of one direction as formulas, derived with SymPy from the activation's own c_k.

Alone, a student with overlap r and squared norm n follows (derived in ``problem.population_loss``)

    ṙ = a φ'(r)(1 − r²),      ṅ = 4 n (a φ(r) − n φ(1)),      φ(r) = Σ_k c_k² r^k,

or, with s = r², ṡ = v(s) = 2 r ṙ at r = √s.  Everything below is derived here from these two lines.

Alignment, to s = ½:  T = ∫_{s_0}^{½} ds/v.  For s_0 → 0 the lowest term c_{k*}² r^{k*}, k* = 2I, rules:
v = 4 I c² a s^I, and ∫_{s_0}^∞ ds/v is the leading order (I = 1: ∫_{s_0}^1, a logarithm).

Recovery, to n = a/2 for n_0 ≪ a.  While n ≪ a, ln n grows at the rate 4 a φ(r), and r² = 1 to all accuracy
before n matters; then n/(a − n) goes on growing at 4 a φ(1).  So n = a/2 where 4 ∫ a φ dt = ln(a/n_0), and

    4 φ(1) (a (T_recovery − T_alignment) − K) = ln(a/n_0),
    K/a = ∫_½^1 (1 − φ/φ(1)) ds/v − ∫_0^½ (φ/φ(1)) ds/v.

Step size.  With gradient noise ṙ = a φ'(r) − Γ r/2 at the start, Γ = η d φ(1) φ'(1)/B for batch B
(``theory.critical_step_size``); the critical η is where ṙ = 0 at s_0.

The c_k, φ(1) = E σ² and φ'(1) = E σ'² are exact where ``theory.gaussian_integrals`` has them.  The two
integrals are done where φ is a polynomial with rational coefficients and v has, beside s^I(1 − s), a factor
of degree ≤ 2: partial fractions over the rationals, whose logarithms and arc tangents are few.  Otherwise the
exact alignment is left to ``theory.decoupled``, and K is its number.  What is a number and not exact is named.

Even σ only: for others r and −r differ.  I = 1 holds for one direction.  Units: flow time; η per step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import ArrayLike
from sympy.integrals.rationaltools import ratint

from .._types import Array
from ..problem.activation import Activation
from ..problem.cards import Card
from ..problem.problem import Problem
from . import decoupled
from .formula_text import formula_text
from .gaussian_integrals import NoClosedForm, closed_form

KINDS = {"alignment": "T_align", "recovery_delay": "T_recover - T_align", "recovery": "T_recover", "step_size": "eta"}
_LATEX = {
    "alignment": r"T_{\mathrm{align}}", "recovery_delay": r"T_{\mathrm{recover}} - T_{\mathrm{align}}",
    "recovery": r"T_{\mathrm{recover}}", "step_size": r"\eta",
}  # fmt: skip
_DOUBLE = 17  # digits that state a double
_ROUNDED = 6  # digits of constants that are too long to print in full
_WIDE = 72  # characters of a formula beyond which its constants are rounded on a card

_A, _S0, _N0, _D, _B = sympy.symbols("a s0 n0 d B", positive=True)
_R, _S, _SQUARE, _PHI_ONE, _K = sympy.symbols("r s c2 phi1 K", positive=True)
_HALF = sympy.Rational(1, 2)


@dataclass(frozen=True)
class Formula:
    """A quantity in a, s0, n0, d, B to ``leading`` order, and ``exact`` where a longer closed form is known."""

    leading: sympy.Expr
    exact: sympy.Expr | None = None

    @property
    def text(self) -> str:
        """The leading order in numbers, names, ``+ - * / **``, ``log`` and ``sqrt``."""
        return formula_text(_in_numbers(self.leading, _DOUBLE, _is_elementary))

    @cached_property
    def function(self) -> Any:
        """The leading order as a NumPy function of a, s0, n0, d, B."""
        numbers = sympy.N(_in_numbers(self.leading, _DOUBLE, lambda _: False), _DOUBLE)
        return sympy.lambdify([_A, _S0, _N0, _D, _B], numbers)


@dataclass(frozen=True, repr=False)
class TransitionLaw(Card):
    """The law of one direction alone, as SymPy expressions.

    Attributes
    ----------
    order
        I = k*/2.
    c, second_moment, slope_second_moment, delay
        c_{k*}, φ(1), φ'(1) and K.
    numerical
        Those of the four constants that are floating-point numbers; the others are exact.
    alignment, recovery_delay, recovery
        Flow times from (s0, n0) to alignment, from there to recovery, and the sum.
    step_size
        Step size at batch B in dimension d below which the drift at s0 beats the noise.
    """

    activation: Activation
    order: int
    c: sympy.Expr
    second_moment: sympy.Expr
    slope_second_moment: sympy.Expr
    delay: sympy.Expr
    numerical: tuple[str, ...]
    alignment: Formula
    recovery_delay: Formula
    recovery: Formula
    step_size: Formula

    @property
    def is_exact(self) -> bool:
        """Are all constants exact?"""
        return not self.numerical

    def formula(self, kind: str) -> str:
        """Leading order of one of ``KINDS`` as text in numbers, names, ``+ - * / **``, ``log`` and ``sqrt``.

        Raises
        ------
        ValueError
            A kind that is none.
        """
        return self._of(kind).text

    def evaluate(
        self, kind: str, *, a: ArrayLike = 1.0, s0: ArrayLike = 1.0, n0: ArrayLike = 1.0, d: float = 1, B: float = 1
    ) -> Array:
        """Leading order of one of ``KINDS`` in numbers; arguments broadcast, s0 = 0 or a = 0 gives inf."""
        with np.errstate(divide="ignore", over="ignore"):
            a, s0, n0 = (np.asarray(value, dtype=float) for value in (a, s0, n0))
            return np.asarray(self._of(kind).function(a, s0, n0, float(d), float(B)))

    def _of(self, kind: str) -> Formula:
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}, but is {kind!r}")
        return getattr(self, kind)

    @property
    def summary(self) -> str:
        """Two lines: the leading order of alignment, and the delay of recovery, with K where it alone is numerical."""
        numbers, later = "constants numerical" if self.numerical else "constants exact", self.recovery_delay.leading
        if self.numerical == ("K",):
            numbers, later = f"numerical: K = {_card(self.delay)}", _recovery_delay().subs(_PHI_ONE, self.second_moment)
        return (
            f"law: {KINDS['alignment']} = {_card(self.alignment.leading)} to leading order in s0 = r0**2; {numbers}\n"
            f"     {KINDS['recovery_delay']} = {_card(later)} for n0 << a"
        )

    def __str__(self) -> str:
        exact = "left to quadrature" if self.alignment.exact is None else formula_text(self.alignment.exact)
        return (
            f"transition law of {self.activation.label}: k* = {2 * self.order}, c = {_card(self.c)}, "
            f"phi(1) = {_card(self.second_moment)}, phi'(1) = {_card(self.slope_second_moment)}\n"
            f"{self.summary}\n"
            f"     {KINDS['step_size']} < {_card(self.step_size.leading)} for drift to beat noise\n"
            f"     {KINDS['alignment']} of the ODE, to r**2 = 1/2: {exact}"
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: every formula as text, with ``_exact`` beside those that have a closed form."""
        constants = {"c": self.c, "phi_1": self.second_moment, "phi_slope_1": self.slope_second_moment, "K": self.delay}
        out: dict[str, Any] = {"information_exponent": 2 * self.order, "constants_exact": self.is_exact}
        out |= {name: formula_text(value) for name, value in constants.items()} | {"numerical": list(self.numerical)}
        for kind in KINDS:
            formula = self._of(kind)
            out[kind] = formula_text(formula.leading)
            out |= {} if formula.exact is None else {f"{kind}_exact": formula_text(formula.exact)}
        return out

    def latex(self) -> str:
        """The law as a LaTeX tabular (no package needed): quantity, formula, order."""
        lines = [r"\begin{tabular}{lll}", r"quantity & formula & holds \\", r"\hline"]
        for kind, letter in _LATEX.items():
            formula, left = self._of(kind), letter + (" <" if kind == "step_size" else " =")
            small = r"$s_0 \ll 1$" if "recovery" not in kind else r"$s_0 \ll 1$, $n_0 \ll a$"
            lines.append(rf"{kind.replace('_', ' ')} & ${left} {sympy.latex(formula.leading)}$ & {small} \\")
            if formula.exact is not None:
                lines.append(rf" & ${left} {sympy.latex(formula.exact)}$ & all $s_0 < \frac{{1}}{{2}}$ \\")
        return "\n".join([*lines, r"\end{tabular}"])


def law_refusal(problem: Problem) -> str | None:
    """Why the directions of a problem do not follow the law, each by itself; None where they do."""
    return _refusal(problem.activation) or decoupled.decoupled_refusal(problem)


def _refusal(activation: Activation) -> str | None:
    if activation.information_exponent is None:
        return f"the activation {activation.label!r} has no Hermite component of degree ≥ 1 to learn"
    if activation.parity != "even":
        return "the transition law needs an even activation: for others r and −r differ"
    return None


@lru_cache(maxsize=64)
def transition_law(activation: Activation) -> TransitionLaw:
    """Derive the law of ``activation``; made once for each.

    Raises
    ------
    ValueError
        An activation that is not even or has no Hermite component to learn.

    Examples
    --------
    >>> transition_law(Activation("h4")).formula("alignment")
    '1/(8*a*s0)'
    """
    refusal = _refusal(activation)
    if refusal is not None:
        raise ValueError(refusal)
    order = (activation.information_exponent or 0) // 2
    c, phi_one, slope_one, phi = _constants(activation, order)
    lowest = sympy.expand(c**2) * _R ** (2 * order)
    delay = sympy.Float(decoupled.delay(activation)) if phi is None else _delay(phi)
    alignment = Formula(
        _leading_alignment(order).subs(_SQUARE, sympy.expand(c**2)) / _A,
        None if phi is None else _definite(1 / _speed(phi), _S0, _HALF) / _A,
    )
    later = _recovery_delay().subs({_PHI_ONE: phi_one, _K: delay})
    named = {"c": c, "phi(1)": phi_one, "phi'(1)": slope_one, "K": delay}
    return TransitionLaw(
        activation, order, c, phi_one, slope_one, delay,
        numerical=tuple(name for name, value in named.items() if value.has(sympy.Float)),
        alignment=alignment,
        recovery_delay=Formula(later),
        recovery=Formula(alignment.leading + later),
        step_size=Formula(
            _critical_step_size(lowest, phi_one, slope_one),
            None if phi is None or phi == lowest else _critical_step_size(phi, phi_one, slope_one),
        ),
    )  # fmt: skip


def _constants(activation: Activation, order: int) -> tuple[sympy.Expr, sympy.Expr, sympy.Expr, sympy.Expr | None]:
    """c_{k*}, φ(1), φ'(1), exact where possible, and φ(r) where the integrals over it can be done."""
    cut = activation.cut
    try:
        sigma = closed_form(activation.expression, 2 * order)
        slope = closed_form(activation.slope, max(cut - 1, 0))
        exact = (
            sigma.coefficients[2 * order].expr(),
            sympy.expand(sigma.mass_expression(cut)),
            sympy.expand(slope.mass_expression(max(cut - 1, 0))),
        )
    except NoClosedForm:
        exact = None
    if exact is None or any(value.has(sympy.I) for value in exact):
        numbers = (activation.coefficients[2 * order], activation.second_moment, activation.slope_second_moment)
        c, phi_one, slope_one = (sympy.Float(float(value)) for value in numbers)
        return c, phi_one, slope_one, None
    if not sigma.is_polynomial:
        return *exact, None
    squares = {k: sympy.expand(c.expr() ** 2) for k, c in enumerate(sigma.coefficients) if k >= cut and c}
    few = max(squares) - 2 * order <= 4 and all(square.is_Rational for square in squares.values())
    return *exact, sympy.Add(*(square * _R**k for k, square in squares.items())) if few else None


def _speed(phi: sympy.Expr) -> sympy.Expr:
    """v(s)/a, that is ds/dτ for τ = a t, from ṙ = a φ'(r)(1 − r²)."""
    velocity = sympy.diff(phi, _R) * (1 - _R**2)
    return sympy.expand((2 * _R * velocity).subs(_R, sympy.sqrt(_S)))


@lru_cache
def _leading_alignment(order: int) -> sympy.Expr:
    """a T to leading order in s_0, for c² = ``_SQUARE``."""
    start = _speed(_SQUARE * _R ** (2 * order)).as_leading_term(_S)
    primitive = ratint(1 / start, _S)
    return primitive.subs(_S, sympy.oo if order > 1 else 1) - primitive.subs(_S, _S0)


@lru_cache
def _recovery_delay() -> sympy.Expr:
    """T_recovery − T_alignment from the equation of the file's docstring."""
    gap, growth = sympy.symbols("gap growth")
    _, later = sympy.solve_linear(4 * _PHI_ONE * (_A * gap - _K), growth, symbols=[gap])
    return sympy.expand(later).subs(growth, sympy.log(_A / _N0))


def _delay(phi: sympy.Expr) -> sympy.Expr:
    """K of the file's docstring."""
    share = (phi / phi.subs(_R, 1)).subs(_R, sympy.sqrt(_S))
    speed = _speed(phi)
    return sympy.expand(_definite((1 - share) / speed, _HALF, 1) - _definite(share / speed, 0, _HALF))


def _definite(rate: sympy.Expr, low: sympy.Expr, high: sympy.Expr) -> sympy.Expr:
    """``∫ rate ds``, 0 ≤ low < high ≤ 1, by partial fractions; logarithms in the branch that is real there."""
    fractions = sympy.Add.make_args(sympy.apart(sympy.cancel(rate), _S))
    primitive = sympy.Add(*(ratint(part, _S) for part in fractions)).subs(sympy.log(_S - 1), sympy.log(1 - _S))
    return sympy.expand(sympy.expand_log(primitive.subs(_S, high) - primitive.subs(_S, low), factor=True))


def _critical_step_size(phi: sympy.Expr, phi_one: sympy.Expr, slope_one: sympy.Expr) -> sympy.Expr:
    """The η at which the drift a φ'(r) at s_0 and the shrinkage Γ r/2, which is linear in η, cancel."""
    drift = _A * sympy.cancel(sympy.diff(phi, _R) / _R).subs(_R, sympy.sqrt(_S0))  # both over r
    shrinkage = _D * phi_one * slope_one / _B / 2  # also over η
    return drift / shrinkage


def _in_numbers(expression: sympy.Expr, digits: int, kept: Callable[[sympy.Expr], bool]) -> sympy.Expr:
    """With every constant as a number of so many digits, but those that are ``kept`` and integers."""
    if expression.is_number:
        return expression if expression.is_Integer or kept(expression) else sympy.N(expression, digits)
    arguments = (_in_numbers(argument, digits, kept) for argument in expression.args)
    return expression.func(*arguments) if expression.args else expression


def _is_elementary(constant: sympy.Expr) -> bool:
    """Made of rationals, roots and logarithms alone?"""
    return not constant.atoms(sympy.NumberSymbol, sympy.Function) - constant.atoms(sympy.log)


def _card(expression: sympy.Expr) -> str:
    """As text, with rounded constants where that would be too long."""
    text = formula_text(expression)
    if len(text) <= _WIDE and "." not in text:
        return text
    return formula_text(_in_numbers(expression, _ROUNDED, lambda _: False))
