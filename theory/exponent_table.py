"""Scaling exponents of the loss, the time and the samples, derived with SymPy.

One direction alone, from s_0 = r_kp(0)² ∝ 1/d, with I = k*/2 (``theory.closed_form``):

    T = ∫ ds / (4 I c² a s^I),  1/d ≤ s ≤ 1,       η < min_s 4 I c² a s^{I−1} / (d φ(1) φ'(1)),

flow time to alignment and the step size at which drift beats gradient noise all the way there, so
n = T/η samples.  For k* ≥ 2 noise is worst at the start; for k* = 1 at the end, whence n ∝ d.
k* = 2 leaves ln d in both, which is no power.

Many directions: a = Q^{−β} for the last one learned, and L ∝ Σ_{p>Q} a_p².  A resource R that grows
as Q^ρ (ρ = β for time, 2β for samples with the step size chosen for Q, 1 for students) buys

    β > ½:  ∫_Q^∞ p^{−2β} dp ∝ Q^{1−2β},    L ∝ R^{(1−2β)/ρ}
    β < ½:  P → ∞ at fixed Q/P,             L/L(0) = 1 − (R/R_P)^{(1−2β)/ρ}
    β = ½:  harmonic sums,                  L/L(0) = 1 − ln(R/R_1)/ln(R_P/R_1)

with R_p the resource that direction p takes.  A budget C = m R reaches Q = min(m, (C/m)^{1/ρ});
the first rises with the width m and the second falls, so both are equal at the best width, where
C ∝ Q^{1+ρ}.  Where ρ = 0 (β = 0, resources that are times) all is learned in one step.

Derived here.  The abstract of Ren, Nichani, Wu, Lee 2025 states that there are such laws for samples, steps and
parameters; that their exponents are these is known from second-hand summaries (time, width, compute m t,
samples with the step size for a horizon).  Exponents at leading order, without logarithms.
k* = 2 with several directions: students stay mixtures, but the loss of σ = c h_2 sees
only the matrix Σ_k n_k v̄_k v̄_kᵀ, whose flow learns one direction after the other; for other σ of
k* = 2 no law is claimed.  k* = 1: all students turn to Σ_p a_p v*_p, and there is no law in p.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy

from ..problem.checks import is_real_number, positive_integer

Given = dict[sympy.Symbol, sympy.Expr]

_BETA, _K = sympy.symbols("beta k", positive=True)
_Q, _P, _D, _A, _C, _S, _X = sympy.symbols("Q P d a c s x", positive=True)
_EXCESS, _NOISE = sympy.symbols("excess noise", positive=True)
_SYMBOLS = {"reducible loss": "L", "transition time": "T", "samples": "n"}
_HALF = sympy.Rational(1, 2)


@dataclass(frozen=True)
class Exponent:
    """One scaling law.

    Attributes
    ----------
    name, resource
        Key in ``exponents``, and in words what is on the axis.
    quantity
        ``"reducible loss"``, ``"transition time"`` (flow time) or ``"samples"``.
    law
        What the quantity is proportional to; without a power law of the loss L/L(0); None where
        there is no law.  Symbolic in beta and k.
    expression
        The exponent, exact where beta and k are given and symbolic elsewhere; None without a power law.
    formula
        The exponent in ``beta`` and ``k``; without a power law the equation that holds instead.
    value
        The exponent as a number, None without a power law or where it needs what is not given.
    assumes, reason
        When the law holds, and why ``value`` is None.
    """

    name: str
    resource: str
    quantity: str
    law: sympy.Expr | None
    expression: sympy.Expr | None
    formula: str
    value: float | None
    assumes: str
    reason: str | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form: formula, value, assumptions and, without a value, the reason."""
        reason = {} if self.reason is None else {"reason": self.reason}
        return {"formula": self.formula, "value": self.value, "assumes": self.assumes, **reason}


@dataclass(frozen=True)
class _Resource:
    """A resource that buys loss: how it grows with the last direction Q learned."""

    name: str
    words: str
    symbol: str
    growth: sympy.Expr
    assumes: str
    noiseless: bool = False  # does the growth hold without label noise, for beta > ½, alone


def exponents(
    beta: float | None = None, information_exponent: int | None = None, *, label_noise: bool = False
) -> dict[str, Exponent]:
    """Scaling laws by name, for strengths a_p ∝ p^{−beta} and k* = ``information_exponent``.

    Parameters
    ----------
    beta
        Decay of the strengths, ≥ 0; read as the decimal fraction that it prints as.  None keeps it
        symbolic, for beta > ½.
    information_exponent
        k* ≥ 1; None keeps it symbolic, for even σ and k* > 2.
    label_noise
        Are the labels noisy?  Decides the laws at the best step size.

    Raises
    ------
    ValueError
        A negative or non-finite beta; an information exponent that is no positive integer.
    """
    if beta is not None and not (is_real_number(beta) and 0 <= beta < math.inf):
        raise ValueError(f"`beta` must be a non-negative number, but is {beta!r}")
    k = None if information_exponent is None else positive_integer("information_exponent", information_exponent)
    return dict(_exponents(None if beta is None else float(beta), k, bool(label_noise)))


@lru_cache
def _exponents(beta: float | None, k: int | None, label_noise: bool) -> dict[str, Exponent]:
    """``exponents`` of checked arguments."""
    given: Given = {}
    if beta is not None:
        given[_BETA] = sympy.Rational(str(beta))
    if k is not None:
        given[_K] = sympy.Integer(k)
    order = _order(given.get(_K))
    laws = [_loss_law(resource, order, given) for resource in _resources(order, label_noise)]
    laws += [_dimension_law(name, order, given) for name in ("dimension_time", "dimension_samples")]
    return {law.name: law for law in laws}


def _order(k: sympy.Expr | None) -> sympy.Expr:
    """I = k*/2; above 1 one symbol stands for all."""
    return 1 + _EXCESS if k is None or k > 2 else k / 2


@lru_cache
def _time(order: sympy.Expr) -> sympy.Expr:
    """Flow time to alignment from s_0 = 1/d."""
    return sympy.simplify(sympy.integrate(1 / (4 * order * _C**2 * _A * _S**order), (_S, 1 / _D, 1)))


def _samples(order: sympy.Expr) -> sympy.Expr:
    """Samples to alignment at the largest step size at which drift beats noise at every 1/d ≤ s ≤ 1."""
    worst = 1 / _D if (order - 1).is_nonnegative else sympy.S.One
    step_size = 4 * order * _C**2 * _A * worst ** (order - 1) / (_D * _NOISE)
    return _time(order) / step_size


@lru_cache
def _growth(quantity: sympy.Expr, x: sympy.Symbol) -> sympy.Expr:
    """The ρ of ``quantity`` ~ x^ρ for x → ∞: the limit of d ln(quantity)/d ln x."""
    return sympy.limit(sympy.simplify(x * sympy.diff(sympy.log(quantity), x)), x, sympy.oo)


@lru_cache
def _is_power(amount: sympy.Expr, growth: sympy.Expr) -> bool:
    """Is ``amount`` ~ d^growth for d → ∞, without a logarithm?"""
    return bool(sympy.limit(amount / _D**growth, _D, sympy.oo).is_finite)


def _at_best_width(rho: sympy.Expr) -> sympy.Expr:
    """Growth in Q of the budget C = m R for a resource R ∝ Q^rho at the best width m ∝ Q."""
    log_m, log_budget = sympy.symbols("log_m log_budget")
    (best,) = sympy.solve(sympy.Eq(log_m, (log_budget - log_m) / rho), log_m)
    return 1 / sympy.diff(best, log_budget)


@lru_cache
def _best_step_growth(samples: sympy.Expr, label_noise: bool) -> sympy.Expr:
    """Growth in Q of the samples at the best step size: those at the horizon's, times the noise left when Q is due."""
    left = sympy.S.One if label_noise else _Q ** (1 - 2 * _BETA)  # E2: τ², or Σ_{p>Q} p^{−2β} for β > ½
    return sympy.expand(_growth(left, _Q) + samples)


@lru_cache
def _resources(order: sympy.Expr, label_noise: bool) -> list[_Resource]:
    """The resources that buy loss."""
    time = _growth(_time(order).subs(_A, _Q**-_BETA), _Q)
    samples = _growth(_samples(order).subs(_A, _Q**-_BETA), _Q)
    fixed = "step size fixed, with drift above noise for all directions that count"
    horizon = "step size constant, the largest with drift above initial noise for the last direction learned"
    best = "width and duration end at the same direction"
    at_best = _best_step_growth(samples, label_noise)
    noisy = "label noise" if label_noise else "no label noise"
    free = f"the best constant step size, below the ceiling; {noisy}; p* > 20; batch fixed; not in the paper"
    rows: list[tuple[Any, ...]] = [
        ("flow_time", "flow time t", "t", time, "a student for every direction learned"),
        ("steps", "SGD steps N, step size fixed", "N", time, fixed),
        ("samples_fixed_step", "samples n, step size fixed", "n", time, f"{fixed}; batch fixed"),
        ("samples_horizon_step", "samples n, step size for horizon", "n", samples, f"{horizon}; batch fixed"),
        ("width", "student width m", "m", sympy.S.One, "run to the end; m students learn the m strongest"),
        ("compute_width_time", "compute m t, best width", "C", _at_best_width(time), best),
        (
            "compute_width_samples", "compute m n, best width and step", "C", _at_best_width(samples),
            f"{best}; {horizon}; batch fixed",
        ),
        ("samples_best_step", "samples n, best step size", "n", at_best, free, not label_noise),
        (
            "compute_width_samples_best_step", "compute m n, best width, best step", "C", _at_best_width(at_best),
            f"{best}; {free}", not label_noise,
        ),
    ]  # fmt: skip
    return [_Resource(*row) for row in rows]


@lru_cache
def _unlearned(regime: str) -> sympy.Expr:
    """Share of the loss beyond Q of P directions; in x = Q/P for β < ½, for β > ½ with P = ∞."""
    p = sympy.Symbol("p", positive=True)
    strength = p ** (-1 + {"above": -_EXCESS, "half": 0, "below": _EXCESS}[regime])  # excess = |1 − 2β|
    if regime == "above":
        return sympy.integrate(strength, (p, _Q, sympy.oo)) / sympy.integrate(strength, (p, 1, sympy.oo))
    share = sympy.integrate(strength, (p, _Q, _P)) / sympy.integrate(strength, (p, 1, _P))
    if regime == "half":
        return sympy.expand(share)
    return sympy.limit(sympy.simplify(share.subs(_Q, _X * _P)), _P, sympy.oo)


def _loss_law(resource: _Resource, order: sympy.Expr, given: Given) -> Exponent:
    """The law of the reducible loss, in whatever regime β is."""
    beta, rho = given.get(_BETA), resource.growth
    many = "beta > 1/2, P → ∞" if beta is None or beta > _HALF else "P ≫ 1"
    assumes = f"{_activation(given.get(_K))}; {many}; {resource.assumes}; logarithms dropped"
    spent = sympy.Symbol(resource.symbol)
    if resource.name == "width":
        first, last = sympy.S.One, sympy.Symbol("P")
    else:
        letter = resource.symbol.upper() if resource.symbol == "t" else resource.symbol
        first, last = sympy.symbols(f"{letter}_1 {letter}_P")
    ratio, range_ = sympy.symbols("ratio range", positive=True)  # R/R_P or R/R_1, and R_P/R_1
    if order == _HALF:
        law, reason = None, "information exponent 1: all students turn to one mixture, no direction is learned alone"
    elif beta is None or beta > _HALF:
        exponent = sympy.together(_growth(_unlearned("above"), _Q).subs(_EXCESS, 2 * _BETA - 1) / rho)
        return _power_law(resource.name, resource.words, "reducible loss", spent, exponent, assumes, given)
    elif resource.noiseless:
        law, reason = None, "beta ≤ 1/2 without label noise: the noise that is left depends on P all the way"
    elif beta == _HALF:
        share = _unlearned("half").subs({_Q: ratio ** (1 / rho), _P: range_ ** (1 / rho)})
        law = sympy.expand_log(share, force=True).subs({ratio: spent / first, range_: last / first})
        reason = "beta = 1/2: the loss falls by a logarithm that depends on P, not by a power"
    elif rho.subs(_BETA, beta) == 0:
        law = sympy.Heaviside(1 - spent / last)
        reason = "beta = 0: equal strengths, so the loss falls in one step"
    else:
        share = _unlearned("below").subs({_X: ratio ** (1 / rho), _EXCESS: 1 - 2 * _BETA})
        law = share.subs(ratio, spent / last)
        reason = "beta < 1/2: the loss depends on P all the way and is no power law"
    formula = "none" if law is None else f"L/L(0) = {sympy.sstr(law, order='none')}"
    return Exponent(resource.name, resource.words, "reducible loss", law, None, formula, None, assumes, reason)


def _dimension_law(name: str, order: sympy.Expr, given: Given) -> Exponent:
    """The law of T or n in d, for one direction."""
    time = name == "dimension_time"
    quantity, amount = ("transition time", _time(order)) if time else ("samples", _samples(order))
    k = given.get(_K)
    start = "start at s_0 of order 1/d, m fixed"
    noise = "" if time else "; step size the largest with drift above noise all the way; batch fixed"
    assumes = f"{_activation(k, alone=True)}; {start}{noise}"
    growth = _growth(amount, _D)
    if _is_power(amount, growth):
        exponent = growth.subs(_EXCESS, _K / 2 - 1)
        return _power_law(name, "dimension d", quantity, _D, exponent, assumes, given)
    law = amount.as_independent(_D, as_Add=False)[1]
    formula = f"{_SYMBOLS[quantity]} ∝ {law}"
    reason = "information exponent 2: a logarithm of d remains, so this is no pure power"
    return Exponent(name, "dimension d", quantity, law, None, formula, None, assumes, reason)


def _power_law(
    name: str, resource: str, quantity: str, x: sympy.Symbol, exponent: sympy.Expr, assumes: str, given: Given
) -> Exponent:
    """The law ∝ x^exponent, with its number where nothing is left symbolic."""
    exact = exponent.subs(given)
    missing = {_BETA: "beta", _K: "information_exponent"}
    reason = "; ".join(f"`{missing[s]}` is not given" for s in exact.free_symbols) or None
    value = float(exact) if reason is None else None
    return Exponent(name, resource, quantity, x**exponent, exact, str(exponent), value, assumes, reason)


def _activation(k: sympy.Expr | None, *, alone: bool = False) -> str:
    """What the derivation needs of σ, and for k* ≤ 2 of the number of directions."""
    if k is None:
        return "even σ, k* > 2"
    if k == 1:
        return "P = 1" if alone else "k* = 1"
    if k == 2:
        return "even σ, P = 1" if alone else "σ = h2 up to a factor"
    return "even σ" if k % 2 == 0 else "k* odd, a student with r > 0 at the start for every direction"


def table(laws: dict[str, Exponent]) -> str:
    """The laws as aligned text with wrapped assumptions, and why values are missing."""
    rows = [["", "exponent or law", "value", "assumes"]]
    for law in laws.values():
        value = "—" if law.value is None else f"{law.value:.6g}"
        rows.append([f"{_SYMBOLS[law.quantity]} against {law.resource}", law.formula, value, law.assumes])
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = []
    for *cells, assumes in rows:
        for part in textwrap.wrap(assumes, max(30, 124 - sum(widths))):
            lines.append("  ".join([*(f"{cell:<{w}}" for cell, w in zip(cells, widths, strict=True)), part]))
            cells = ["", "", ""]
    return "\n".join([*lines, *dict.fromkeys(f"no value: {law.reason}" for law in laws.values() if law.reason)])


def latex(laws: dict[str, Exponent]) -> str:
    """The laws as a LaTeX tabular (no package needed): resource, law, value of the exponent."""
    lines = [r"\begin{tabular}{lll}", r"resource & law & value \\", r"\hline"]
    for law in laws.values():
        if law.law is None:
            right, exponent = "---", "---"
        else:
            share = law.formula.startswith("L/L(0)")
            left = "L/L(0) =" if share else rf"{_SYMBOLS[law.quantity]} \propto"
            right = f"${left} {_in_latex(law.law, 'none' if share else None)}$"
            exponent = "---" if law.expression is None else f"${_in_latex(law.expression)}$"
        lines.append(rf"{law.resource} & {right} & {exponent} \\")
    return "\n".join([*lines, r"\end{tabular}"])


def _in_latex(expression: sympy.Expr, order: str | None = None) -> str:
    return sympy.latex(expression, symbol_names={_K: "k^{*}"}, order=order)
