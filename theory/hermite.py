"""Hermite expansion of an activation: exact where a closed form exists, else with error bars.

With Z ~ N(0, 1) and h_k the normalised probabilists' Hermite polynomials, ``σ = Σ_k c_k h_k``,
``c_k = E[σ(Z) h_k(Z)]``.  The information exponent k* is the least k ≥ 1 with c_k ≠ 0;
``φ(s) = Σ_k c_k² s^k`` and Parseval's identity is ``φ(1) = E σ²``, so that the *Parseval gap*
``E σ² − Σ_{k≤K} c_k²`` is the error of the series cut at K, uniformly in |s| ≤ 1.

Route 1, exact (``theory.gaussian_integrals``): polynomials, h_k, exponentials, sines, piecewise
ones among them, their sums and products.  Route 2, for any other σ: quadrature in 40 digits.
The line (its right half, where σ has a parity) is cut at σ's break points, sharpened by Newton's
method, and into panels of at most unit length.  A panel carries two Gauss–Legendre rules or, next to
a root or logarithm of zero, two levels of the double-exponential rule; it is halved until both agree
to 1e-21 of √E σ².  Since ``γ^½ h_k`` is bounded (γ the normal density), all k come from one set of
values of σ by the three-term recurrence, in 384-bit integers.  A reported error is the sum of the
disagreements, the mass closer to a singularity than any point, the working precision, and the
rounding of the value to a double; features much narrower than a panel that no break point marks can
escape both rules.  Route 2 shares no code with ``problem.coefficients``.

An error of 0 marks an exact quantity: its float is the correctly rounded one.

Sources: O'Donnell, *Analysis of Boolean Functions*, §11.2 (Hermite expansions); Takahasi & Mori
1974 (double-exponential formulas); the error bars are derived here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from typing import Any

import mpmath
import numpy as np
import sympy
from numpy.typing import ArrayLike

from .._types import Array
from ..problem.activation import Activation
from ..problem.hermite_polynomials import hermite_value
from ..problem.numeric import almost_everywhere_derivative, mpmath_function
from .gaussian_integrals import ClosedForm, NoClosedForm, closed_form

MAX_DEGREE = 100
_SEARCH = 65  # k* is looked for up to here: the largest high-pass cut, plus one
_DIGITS = 40
_SINGULAR_DIGITS = 110  # points 1e-80 from a singularity must be told from it
_BITS = 384  # fixed point: exp(−x²/4) leaves it at |x| = 32.6, where h_k γ^½ < 1e-40 for k ≤ 100
_TOLERANCE = 1e-21  # of √E σ², for each panel
_FLOOR = 1e-26  # of √E σ²: working precision and the mass beyond the last panel
_SAME = mpmath.mpf("1e-80")  # points closer than this are one
_BUDGET = 12_000  # points at which σ is evaluated, about
_GAUSS_PAIRS = ((20, 32), (10, 16), (5, 8))  # orders: the first pair that spends half the budget at most
_CLEAR = 10.0  # a numerical c_k beyond this many error bars is not zero
_Function = Callable[[Any], Any]  # of one mpmath number


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
class HermiteExpansion:
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
    try:
        found = _exact_moments(activation.expression, top)
    except NoClosedForm:
        found = _numerical_moments(activation, top)
    parity = found.parity
    if parity is None and cut:
        sigma = _real_function(activation.expression)
        parity = _parity(sigma, found.breaks, found.coefficients[:cut], found.errors[:cut])
    present = [k >= cut and not (_forbids(parity, k) and found.closed is None) for k in range(len(found.errors))]
    large = (k for k, c in enumerate(found.coefficients) if present[k] and abs(c) > _CLEAR * found.errors[k])
    exponent = next((k for k in large if k > 0), None)
    if exponent is None and max_degree < _SEARCH:
        exponent = expand(activation, _SEARCH).information_exponent
    return HermiteExpansion(
        activation=activation,
        coefficients=tuple(found.coefficient(k) if present[k] else _zero(k) for k in range(max_degree + 1)),
        information_exponent=exponent,
        parity=parity,
        second_moment=found.beyond(cut),
        parseval_gap=found.beyond(max(cut, max_degree + 1)),
    )


@dataclass(frozen=True)
class _Moments:
    """c_k and E σ² of σ before the cut, as mpmath numbers with error bounds (0 if exact)."""

    coefficients: list[Any]
    errors: list[Any]
    second: Any
    second_error: Any
    breaks: list[Any]
    parity: str | None
    closed: ClosedForm | None = None

    def coefficient(self, k: int) -> Coefficient:
        if self.closed is not None and not self.coefficients[k]:
            return _zero(k)
        value = self.coefficients[k]
        exact = self.closed.coefficients[k].expr() if self.closed is not None else None
        return Coefficient(k, exact, float(value) + 0.0, _bar(value, self.errors[k]))  # + 0.0: no −0.0

    def beyond(self, count: int) -> Quantity:
        """E σ² less the components of degree below ``count``."""
        if self.closed is None:
            with mpmath.workdps(_DIGITS):
                removed = list(zip(self.coefficients, self.errors, strict=True))[:count]
                rest = max(self.second - mpmath.fsum(c * c for c, _ in removed), mpmath.mpf(0))
                error = self.second_error + mpmath.fsum((2 * abs(c) + e) * e for c, e in removed)
            return Quantity(float(rest), _bar(rest, error))
        rest = self.closed.mass_beyond(count)
        return Quantity(float(rest), 0.0, self.closed.mass_expression(count) if rest else sympy.Integer(0))


def _forbids(parity: str | None, k: int) -> bool:
    return parity == ("odd" if k % 2 == 0 else "even")


def _zero(k: int) -> Coefficient:
    return Coefficient(k, sympy.Integer(0), 0.0, 0.0)


def _text(exact: sympy.Expr | None) -> str | None:
    return None if exact is None else str(exact)


def _shortened(exact: sympy.Expr | None, width: int = 44) -> str:
    text = "numerical" if exact is None else str(exact)
    return text if len(text) <= width else text[: width - 1] + "…"


def _bar(value: Any, error: Any) -> float:
    """Bound on the error of ``float(value)``, given that of ``value``; exact numbers have none."""
    return float(error + abs(value) * 2.0**-53) * (1 + 2.0**-50) if error else 0.0


def _exact_moments(expression: sympy.Expr, top: int) -> _Moments:
    closed = closed_form(expression, top)
    values = [c.value(_DIGITS) for c in closed.coefficients]
    breaks = [mpmath.mpmathify(c.evalf(_DIGITS)) for c in closed.cuts]
    parity, zero = _parity(_real_function(expression), breaks, [], []), mpmath.mpf(0)
    return _Moments(values, [zero] * len(values), closed.mass_beyond(0), zero, breaks, parity, closed)


def _parity(sigma: _Function, breaks: list[Any], removed: list[Any], errors: list[Any]) -> str | None:
    """Parity of ``σ − Σ_k removed_k h_k``, from values in 60 digits between all break points."""
    is_even = is_odd = True
    with mpmath.workdps(60):
        edges = [mpmath.mpf(0), *sorted({abs(b) for b in breaks if b})]
        each = max(2, 48 // len(edges))
        for low, high in pairwise([*edges, edges[-1] + 9]):
            for j in range(1, each + 1):
                point = low + (high - low) * mpmath.frac(j * mpmath.phi)
                right, left = sigma(point), sigma(-point)
                polynomials = [hermite_value(k, point, mpmath.sqrt) for k in range(len(removed))]
                parts = [c * p for c, p in zip(removed, polynomials, strict=True)]
                slack = (abs(right) + abs(left)) * mpmath.mpf("1e-45") + sum(map(abs, parts)) * mpmath.mpf("1e-35")
                slack += 2 * sum(e * abs(p) for e, p in zip(errors, polynomials, strict=True))
                is_even &= bool(abs(right - left - 2 * sum(parts[1::2])) <= slack)
                is_odd &= bool(abs(right + left - 2 * sum(parts[0::2])) <= slack)
    return "even" if is_even else "odd" if is_odd else None


def _real_function(expression: sympy.Expr) -> _Function:
    """σ of an mpmath number; sqrt of a rounding error below 0 counts as 0."""
    function = mpmath_function(expression)
    return lambda point: mpmath.re(function(point))


@dataclass(frozen=True)
class _Panel:
    """Points ``start + length·q``, 0 < q < 1; σ may blow up at ``start`` if ``singular``."""

    start: Any
    length: Any
    singular: bool

    def halves(self) -> list[_Panel]:
        half = self.length / 2
        return [_Panel(self.start, half, self.singular), _Panel(self.start + half, half, False)]


def _numerical_moments(activation: Activation, top: int) -> _Moments:
    """Route 2 of the module's docstring; over x > 0 alone where σ has a parity."""
    with mpmath.workdps(_SINGULAR_DIGITS):
        sigma = _real_function(activation.expression)
        with mpmath.workdps(3 * _SINGULAR_DIGITS):  # a multiple zero costs digits
            breaks = _break_points(activation)
        points = [point for point, _ in breaks]
        parity = _parity(sigma, points, [], [])
        reach = _reach(sigma, activation.breaks.reach)
        sums, changes = _summed(sigma, _panels(breaks, 0 if parity else -reach, reach), top)
    with mpmath.workdps(_DIGITS):
        if parity:
            kept = [0 if _forbids(parity, k) else 2 for k in range(top + 1)] + [2]
            sums, changes = sums * kept, changes * kept
        *coefficients, second = map(_float, sums)
        *errors, second_error = map(_float, changes)
        floor = _FLOOR * mpmath.sqrt(second)
        errors = [e + floor for e in errors]
        second_error += floor * mpmath.sqrt(second)
    return _Moments(coefficients, errors, second, second_error, points, parity)


def _summed(sigma: _Function, pending: list[_Panel], top: int) -> tuple[Array, Array]:
    """``∫ σ h_k γ``, k = 0 … top, and ``∫ σ² γ`` over all panels, halved as needed, and their errors."""
    affordable = (pair for pair in _GAUSS_PAIRS if 2 * len(pending) * sum(pair) <= _BUDGET)
    orders = next(affordable, _GAUSS_PAIRS[-1])
    sums, changes, spent = np.zeros(top + 2, dtype=object), np.zeros(top + 2, dtype=object), 0
    while pending:
        results = [(panel, *_panel_sums(sigma, panel, orders, top)) for panel in pending]
        second = _float(sums[-1] + sum(values[-1] for _, values, *_ in results))
        limits = [_TOLERANCE * mpmath.sqrt(second)] * (top + 1) + [_TOLERANCE * second]
        bounds = np.array([(_fixed(limit) << _BITS) + 1 for limit in limits], dtype=object)
        excess = [max(change // bounds) for _, _, change, *_ in results]
        pending = []
        for j in sorted(range(len(results)), key=lambda j: -excess[j]):
            panel, values, change, lost, size = results[j]
            spent += size
            if excess[j] and spent + len(pending) * size < _BUDGET:
                pending += panel.halves()
            else:
                sums, changes = sums + values, changes + change + lost
    return sums, changes


def _fixed(value: Any) -> int:
    return int(mpmath.floor(mpmath.ldexp(value, _BITS)))


def _float(scaled: int) -> Any:
    """mpmath number of a sum of products of two fixed-point numbers."""
    return mpmath.ldexp(mpmath.mpf(scaled), -2 * _BITS)


def _panel_sums(sigma: _Function, panel: _Panel, orders: tuple[int, int], top: int) -> tuple[Array, Array, Array, int]:
    """``∫ σ h_k γ`` for k = 0 … top and ``∫ σ² γ`` over a panel.

    With them their change from the coarse rule, bounds on what no rule sees, and the number of points.
    """
    with mpmath.workdps(_SINGULAR_DIGITS if panel.singular else _DIGITS):
        fractions, *weights = _exponential_rule() if panel.singular else _gauss_rules(*orders)
        points = [panel.start + panel.length * q for q in fractions]
        halves = [mpmath.exp(-p * p / 4) / mpmath.root(2 * mpmath.pi, 4) for p in points]
        weighted = np.array([_fixed(sigma(p) * g) for p, g in zip(points, halves, strict=True)], dtype=object)
        length = _fixed(abs(panel.length))
        nodes, current = (np.array([_fixed(v) for v in values], dtype=object) for values in (points, halves))
    rules = np.array([[_fixed(w) * length >> _BITS for w in rule] for rule in weights], dtype=object)
    rules = (rules * weighted) >> _BITS
    sums, previous = [], 0 * current
    for k in range(top + 1):
        sums.append(rules @ current)
        step, back = _hermite_step(k)
        previous, current = current, (step * (nodes * current >> _BITS) - back * previous) >> _BITS
    sums.append(rules @ weighted)
    fine, coarse, lost = np.array(sums, dtype=object).T
    return fine, abs(fine - coarse), abs(lost), len(points)


@cache
def _hermite_step(k: int) -> tuple[int, int]:
    """Fixed-point ``1/√(k+1)`` and ``√(k/(k+1))``."""
    with mpmath.workprec(_BITS + 10):
        return _fixed(1 / mpmath.sqrt(k + 1)), _fixed(mpmath.sqrt(mpmath.mpf(k) / (k + 1)))


@cache
def _gauss_rules(low: int, high: int) -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Points of (0, 1) of two Gauss–Legendre rules together, with fine and coarse weights."""
    points, fine, coarse = [], [], []
    with mpmath.workdps(2 * _DIGITS):
        for order in (low, high):
            for guess in np.polynomial.legendre.leggauss(order)[0]:
                z = mpmath.mpf(float(guess))
                for _ in range(4):  # Newton from 16 digits: 3 steps reach 80
                    below, value = mpmath.mpf(1), z
                    for n in range(1, order):
                        below, value = value, ((2 * n + 1) * z * value - n * below) / (n + 1)
                    slope = order * (below - z * value) / (1 - z * z)
                    z -= value / slope
                points.append((1 + z) / 2)
                weight = 1 / ((1 - z * z) * slope * slope)
                fine.append(weight if order == high else mpmath.mpf(0))
                coarse.append(weight if order == low else mpmath.mpf(0))
    return points, fine, coarse, [mpmath.mpf(0)] * len(points)


@cache
def _exponential_rule() -> tuple[list[Any], list[Any], list[Any], list[Any]]:
    """Points ``1/(1 + exp(−π sinh t))`` of (0, 1), t in steps of 1/16; the coarse rule skips half.

    The last weights bound the mass of |x|^(−γ), γ ≤ 0.99, between 0 and the first point.
    """
    points, fine, coarse = [], [], []
    with mpmath.workdps(2 * _SINGULAR_DIGITS):
        for j in range(-77, 63):  # q = 1e-83 … 1 − 1e-33: σ is smooth at the far end
            t = mpmath.mpf(j) / 16
            q = 1 / (1 + mpmath.exp(-mpmath.pi * mpmath.sinh(t)))
            weight = mpmath.pi * mpmath.cosh(t) * q * (1 - q) / 16
            points.append(q)
            fine.append(weight)
            coarse.append(2 * weight if j % 2 == 0 else mpmath.mpf(0))
    return points, fine, coarse, [100 * points[0]] + [mpmath.mpf(0)] * (len(points) - 1)


def _reach(sigma: _Function, least: float) -> int:
    """|x| beyond which ``|σ| γ^½`` stays below 1e-30 of its maximum."""

    def size(low: int) -> Any:
        points = [side * (low + mpmath.mpf(j) / 4 + mpmath.mpf("0.0317")) for j in range(4) for side in (-1, 1)]
        return max(abs(sigma(p)) * mpmath.exp(-p * p / 4) for p in points)

    with mpmath.workdps(20):
        reach = int(np.ceil(least))
        largest = max(size(low) for low in range(reach))
        while size(reach) > mpmath.mpf("1e-30") * largest:
            reach += 1
    return reach


def _panels(breaks: list[tuple[Any, bool]], low: int, high: int) -> list[_Panel]:
    """``low`` … ``high`` cut at the break points and at most every unit."""
    edges = {mpmath.mpf(low): False, mpmath.mpf(high): False} | {p: rough for p, rough in breaks if low <= p <= high}
    out: list[_Panel] = []
    for a, b in pairwise(sorted(edges)):
        count = max(int(mpmath.ceil(b - a)), edges[a] + edges[b])
        width = (b - a) / count
        out += [_Panel(a + j * width, width, edges[a] and j == 0) for j in range(count - edges[b])]
        if edges[b]:
            out.append(_Panel(b, -width, True))
    return out


def _break_points(activation: Activation) -> list[tuple[Any, bool]]:
    """(point, is σ rougher there than a kink or jump), ascending.

    ``activation.breaks`` gives 7 to 13 digits; Newton's method for u/u', whose zeros are simple, gives
    the rest, u an expression whose zero makes the break: for logarithms and roots a rough one.
    """
    searches = []
    for node in sympy.preorder_traversal(activation.expression):
        if isinstance(node, sympy.Max | sympy.Min):
            searches += [(u - v, False) for u, v in combinations(node.args, 2)]
        elif isinstance(node, sympy.tan):
            searches.append((sympy.cos(node.args[0]), False))
        elif node.is_Pow and node.exp.is_Rational:
            searches.append((node.base, not node.exp.is_Integer))
        elif isinstance(node, sympy.Abs | sympy.sign | sympy.Heaviside | sympy.log):
            searches.append((node.args[0], isinstance(node, sympy.log)))
    slope = almost_everywhere_derivative
    functions = [([_real_function(f) for f in (u, slope(u), slope(slope(u)))], rough) for u, rough in searches]
    marked = [(b, False) for b in activation.breaks.kinks] + [(b, True) for b in activation.breaks.singular]
    found: dict[Any, bool] = {}
    for mark, singular in marked:
        zeros = [(_sharpened(mark, u), rough) for u, rough in functions]
        zeros = [(zero, rough) for zero, rough in zeros if zero is not None] or [(mpmath.mpf(mark), singular)]
        point = next((p for p in found if abs(p - zeros[0][0]) < _SAME), zeros[0][0])
        found[point] = found.get(point, singular) or any(rough for _, rough in zeros)
    return sorted(found.items())


def _sharpened(mark: float, u: list[_Function]) -> Any:
    """The zero at ``mark`` of u, given with two derivatives; None if there is none."""
    point = mpmath.mpf(mark)
    for _ in range(9):
        try:
            value, slope, curvature = (f(point) for f in u)
            step = value * slope / (slope * slope - value * curvature) if value else mpmath.mpf(0)
        except ZeroDivisionError:
            return None
        point -= step
        if abs(point - mark) > 1e-6:  # a double zero is marked to 1e-8
            return None
        if abs(step) < _SAME:
            return point
    return None
