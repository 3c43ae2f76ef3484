"""Hermite expansion of an activation: exact where a closed form exists, else with error bars.

With Z ~ N(0, 1) and h_k the normalised probabilists' Hermite polynomials, ``σ = Σ_k c_k h_k``,
``c_k = E[σ(Z) h_k(Z)]``.  The information exponent k* is the least k ≥ 1 with c_k ≠ 0;
``φ(s) = Σ_k c_k² s^k`` and Parseval's identity is ``φ(1) = E σ²``, so that the *Parseval gap*
``E σ² − Σ_{k≤K} c_k²`` is the error of the series cut at K, uniformly in |s| ≤ 1.

Route 1, exact (``theory.gaussian_integrals``): polynomials, h_k, exponentials, sines, piecewise
ones among them, their sums and products.  Route 2, for any other σ: quadrature in 40 digits
(``theory.hermite_numerical``).  An error of 0 marks an exact quantity: its float is the correctly
rounded one.

Source: O'Donnell, *Analysis of Boolean Functions*, §11.2 (Hermite expansions).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import sympy
from numpy.typing import ArrayLike

from .._types import Array
from ..problem.activation import Activation
from ..problem.cards import Card
from .formula_text import formula_text
from .gaussian_integrals import ClosedForm, NoClosedForm, closed_form
from .hermite_numerical import DIGITS, Moments, forbids, numerical_moments, parity_of, real_function

MAX_DEGREE = 100
_SEARCH = 65  # k* is looked for up to here: the largest high-pass cut, plus one
_CLEAR = 10.0  # a numerical c_k beyond this many error bars is not zero


@dataclass(frozen=True)
class Coefficient:
    """``c_k``: SymPy expression if known, value, bound on the value's error (0 if exact).

    The expression is real, but may contain ``erf(z) + erf(z̄)`` at complex z.
    """

    k: int
    exact: sympy.Expr | None
    value: float
    error: float


@dataclass(frozen=True)
class Quantity:
    """A number with its error bar; ``exact`` is a SymPy expression or None."""

    value: float
    error: float
    exact: sympy.Expr | None = None


@dataclass(frozen=True, repr=False)
class HermiteExpansion(Card):
    """Result of ``expand``.

    Attributes
    ----------
    activation
        What was expanded, its high-pass cut included.
    coefficients
        ``c_k`` for k = 0 … max_degree, zeros included.
    information_exponent
        Least k ≥ 1 with ``c_k ≠ 0``, also beyond max_degree; None if there is none up to k = 65
        (in a polynomial: none at all).
    parity
        ``"even"``, ``"odd"`` or None, of σ after the cut.
    second_moment
        E σ(Z)².
    parseval_gap
        ``E σ² − Σ_{k ≤ max_degree} c_k²``.
    """

    activation: Activation
    coefficients: tuple[Coefficient, ...]
    information_exponent: int | None
    parity: str | None
    second_moment: Quantity
    parseval_gap: Quantity

    def phi(self, s: ArrayLike) -> Array:
        """``Σ_k c_k² s^k`` over the listed k, elementwise.

        For |s| ≤ 1 the full series differs by at most ``parseval_gap · |s|^(max_degree + 1)``.
        """
        squares = np.array([c.value**2 for c in self.coefficients])
        return np.asarray(np.polynomial.polynomial.polyval(np.asarray(s, dtype=float), squares))

    def phi_slope(self, s: ArrayLike) -> Array:
        """``Σ_k k c_k² s^(k−1)`` over the listed k, elementwise.

        With K = max_degree the full series differs by at most
        ``parseval_gap · max_{k > K} k |s|^(k−1)``, that is ``parseval_gap · (K + 1) |s|^K`` for
        ``|s| ≤ exp(−1/(K + 1))``; no bound at |s| = 1.
        """
        slopes = np.array([c.k * c.value**2 for c in self.coefficients][1:] or [0.0])
        return np.asarray(np.polynomial.polynomial.polyval(np.asarray(s, dtype=float), slopes))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; exact expressions as SymPy text."""
        second, gap = self.second_moment, self.parseval_gap
        return {
            "activation": self.activation.name,
            "high_pass": self.activation.cut,
            "coefficients": [
                {"k": c.k, "exact": _text(c.exact), "value": c.value, "error": c.error} for c in self.coefficients
            ],
            "information_exponent": self.information_exponent,
            "parity": self.parity,
            "second_moment": {"exact": _text(second.exact), "value": second.value, "error": second.error},
            "parseval_gap": {"value": gap.value, "error": gap.error},
        }

    def __str__(self) -> str:
        cut = f", components below degree {self.activation.cut} removed" if self.activation.cut else ""
        shown = [c for c in self.coefficients if c.exact != 0]
        rows = [(str(c.k), _shortened(c.exact), f"{c.value:.16g}", f"{c.error:.1e}") for c in shown]
        rows.insert(0, ("k", "exact", "value", "error"))
        a, b, c, d = (max(len(row[i]) for row in rows) for i in range(4))
        lines = [
            f"σ = {self.activation.name}{cut}",
            *(f"{k:>{a}}  {e:<{b}}  {v:>{c}}  {w:>{d}}" for k, e, v, w in rows),
        ]
        last, second, gap = self.coefficients[-1].k, self.second_moment, self.parseval_gap
        if len(shown) <= last:
            lines.append(f"the other c_k with k ≤ {last} are exactly 0")
        exact = "" if second.exact is None else f" = {_shortened(second.exact)}"
        return "\n".join(
            [
                *lines,
                f"information exponent {self.information_exponent}, parity {self.parity or 'none'}",
                f"E σ²{exact} = {second.value:.16g} (error {second.error:.1e})",
                f"Parseval gap beyond k = {last}: {gap.value:.6g} (error {gap.error:.1e})",
            ]
        )


def expand(activation: Activation, max_degree: int = 20) -> HermiteExpansion:
    """Hermite coefficients of ``activation`` up to ``max_degree``, exact where possible.

    Parameters
    ----------
    activation
        With its high-pass cut: coefficients below the cut are exact zeros.
    max_degree
        Largest k listed, 0 … 100.

    Raises
    ------
    ValueError
        ``max_degree`` is not an integer in 0 … 100.

    Examples
    --------
    >>> expand(Activation("abs(x)").high_pass(3)).coefficients[4].exact
    -sqrt(3)/(6*sqrt(pi))
    """
    is_integer = isinstance(max_degree, int | np.integer) and not isinstance(max_degree, bool)
    if not is_integer or not 0 <= max_degree <= MAX_DEGREE:
        raise ValueError(f"`max_degree` must be an integer between 0 and {MAX_DEGREE}, but is {max_degree!r}")
    top, cut = max(int(max_degree), activation.cut), activation.cut
    closed: ClosedForm | None = None
    with suppress(NoClosedForm):
        closed = closed_form(activation.expression, top)
    found = numerical_moments(activation, top) if closed is None else _exact_moments(activation.expression, closed)
    parity = found.parity
    if parity is None and cut:
        sigma = real_function(activation.expression)
        parity = parity_of(sigma, found.breaks, found.coefficients[:cut], found.errors[:cut])
    present = [k >= cut and not (forbids(parity, k) and closed is None) for k in range(len(found.errors))]
    large = (k for k, c in enumerate(found.coefficients) if present[k] and abs(c) > _CLEAR * found.errors[k])
    exponent = next((k for k in large if k > 0), None)
    if exponent is None and max_degree < _SEARCH:
        exponent = expand(activation, _SEARCH).information_exponent
    return HermiteExpansion(
        activation=activation,
        coefficients=tuple(_coefficient(found, closed, k) if present[k] else _zero(k) for k in range(max_degree + 1)),
        information_exponent=exponent,
        parity=parity,
        second_moment=_beyond(found, closed, cut),
        parseval_gap=_beyond(found, closed, max(cut, max_degree + 1)),
    )


def _exact_moments(expression: sympy.Expr, closed: ClosedForm) -> Moments:
    values = [c.value(DIGITS) for c in closed.coefficients]
    breaks = [mpmath.mpmathify(c.evalf(DIGITS)) for c in closed.cuts]
    parity, zero = parity_of(real_function(expression), breaks), mpmath.mpf(0)
    return Moments(values, [zero] * len(values), closed.mass_beyond(0), zero, breaks, parity)


def _coefficient(found: Moments, closed: ClosedForm | None, k: int) -> Coefficient:
    value = found.coefficients[k]
    if closed is not None and not value:
        return _zero(k)
    exact = None if closed is None else closed.coefficients[k].expr()
    return Coefficient(k, exact, float(value) + 0.0, _bar(value, found.errors[k]))  # + 0.0: no −0.0


def _beyond(found: Moments, closed: ClosedForm | None, count: int) -> Quantity:
    """E σ² less the components of degree below ``count``."""
    if closed is not None:
        rest = closed.mass_beyond(count)
        return Quantity(float(rest), 0.0, closed.mass_expression(count) if rest else sympy.Integer(0))
    with mpmath.workdps(DIGITS):
        removed = list(zip(found.coefficients, found.errors, strict=True))[:count]
        rest = max(found.second - mpmath.fsum(c * c for c, _ in removed), mpmath.mpf(0))
        error = found.second_error + mpmath.fsum((2 * abs(c) + e) * e for c, e in removed)
    return Quantity(float(rest), _bar(rest, error))


def _zero(k: int) -> Coefficient:
    return Coefficient(k, sympy.Integer(0), 0.0, 0.0)


def _text(exact: sympy.Expr | None) -> str | None:
    return None if exact is None else formula_text(exact)


def _shortened(exact: sympy.Expr | None, width: int = 44) -> str:
    text = "numerical" if exact is None else formula_text(exact)
    return text if len(text) <= width else text[: width - 1] + "…"


def _bar(value: Any, error: Any) -> float:
    """Bound on the error of ``float(value)``, given that of ``value``; exact numbers have none."""
    return float(error + abs(value) * 2.0**-53) * (1 + 2.0**-50) if error else 0.0
