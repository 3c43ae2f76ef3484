"""Hermite expansion of an activation: exact where a closed form exists, else with error bars.

With Z ~ N(0, 1) and h_k the normalised probabilists' Hermite polynomials, ``σ = Σ_k c_k h_k``,
``c_k = E[σ(Z) h_k(Z)]``.  The information exponent k* is the least k ≥ 1 with c_k ≠ 0;
``φ(s) = Σ_k c_k² s^k`` and Parseval's identity is ``φ(1) = E σ²``, so that the *Parseval gap*
``E σ² − Σ_{k≤K} c_k²`` is the error of the series cut at K, uniformly in |s| ≤ 1.

Route 1, exact (``theory.gaussian_integrals``): polynomials, h_k, exponentials, sines, piecewise
ones among them, their sums and products.  Route 2, for any other σ: quadrature in 40 digits.
The line is cut at σ's break points (sharpened by Newton's method) and into panels of at most
unit length.  A panel carries two Gauss–Legendre rules or, at a point where σ or σ' blows up, two
levels of the tanh rule with double-exponential nodes; it is halved until both agree to 1e-21
of √E σ².  Since ``γ^½ h_k`` is bounded, all k come from σ's one set of values by the three-term
recurrence, in 512-bit integers.  A reported error is the sum of the disagreements, the working
precision and the rounding of the value; features much narrower than a panel that no break point
marks can escape both rules.  Route 2 shares no code with ``problem.quadrature``.

An error of 0 marks an exact quantity: its float is the correctly rounded one.

Sources: O'Donnell, *Analysis of Boolean Functions*, §11.2 (Hermite expansions); Takahasi & Mori
1974 (double-exponential formulas).
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
from numpy.typing import ArrayLike, NDArray

from problem.activation import Activation
from problem.hermite_polynomials import hermite_value
from problem.numeric import almost_everywhere_derivative, mpmath_function
from theory.gaussian_integrals import MAX_DIGITS, ClosedForm, NoClosedForm, closed_form

MAX_DEGREE = 100
_SEARCH = 65  # k* is looked for up to here at least: the largest high-pass cut, plus one
_DIGITS = 40
_SINGULAR_DIGITS = 110  # points 1e-80 from a singularity must be told from it
_BITS = 512  # fixed point: exp(−x²/4) at |x| = 30 is 2^−325, and h_k may raise it again
_TOLERANCE = 1e-21  # of √E σ², for each panel
_FLOOR = 1e-26  # of √E σ²: working precision and the mass beyond the last panel
_BUDGET = 12_000  # points at which σ is evaluated, about
_GAUSS_PAIRS = ((20, 32), (10, 16), (5, 8))
_CLEAR = 10.0  # a numerical c_k beyond this many error bars is not zero


@dataclass(frozen=True)
class Coefficient:
    """``c_k``: SymPy expression if known, value, bound on the value's error (0 if exact)."""

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
        Least k ≥ 1 with ``c_k ≠ 0``, also beyond max_degree; None if there is none (a constant;
        a numerical σ: none up to k = 65).
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

    def phi(self, s: ArrayLike) -> NDArray[np.float64]:
        """``Σ_k c_k² s^k`` over the listed k, elementwise.

        For |s| ≤ 1 the full series differs by at most ``parseval_gap · |s|^(max_degree + 1)``.
        """
        squares = np.array([c.value**2 for c in self.coefficients])
        return np.asarray(np.polynomial.polynomial.polyval(np.asarray(s, dtype=float), squares))

    def phi_slope(self, s: ArrayLike) -> NDArray[np.float64]:
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
        rows = [("k", "exact", "value", "error")]
        for c in self.coefficients:
            if c.exact != 0:
                rows.append((str(c.k), _shortened(c.exact), f"{c.value:.16g}", f"{c.error:.1e}"))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [f"σ = {self.activation.name}{cut}"]
        lines += [
            f"{k:>{widths[0]}}  {exact:<{widths[1]}}  {value:>{widths[2]}}  {error:>{widths[3]}}"
            for k, exact, value, error in rows
        ]
        last = self.coefficients[-1].k
        second, gap = self.second_moment, self.parseval_gap
        exact = "" if second.exact is None else f" = {_shortened(second.exact)}"
        return "\n".join(
            [
                *lines,
                f"all other c_k with k ≤ {last} are exactly 0" if len(rows) < last + 2 else f"all c_k with k ≤ {last}",
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
    top, cut = max(int(max_degree), _SEARCH), activation.cut
    try:
        found = _exact_moments(activation.expression, top)
    except NoClosedForm:
        found = _numerical_moments(activation, top)
    parity = _parity(activation, found)
    vanishing = {"even": 1, "odd": 0, None: None}[parity]  # of k mod 2
    present = [k >= cut and k % 2 != vanishing for k in range(len(found.coefficients))]
    return HermiteExpansion(
        activation=activation,
        coefficients=tuple(found.coefficient(k) if present[k] else _zero(k) for k in range(max_degree + 1)),
        information_exponent=next(
            (k for k, c in enumerate(found.coefficients) if k and present[k] and abs(c) > _CLEAR * found.errors[k]),
            None,
        ),
        parity=parity,
        second_moment=found.beyond(cut, name_it=True),
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
    closed: ClosedForm | None = None

    def coefficient(self, k: int) -> Coefficient:
        if self.closed is not None and not self.coefficients[k]:
            return _zero(k)
        value = self.coefficients[k]
        exact = self.closed.coefficients[k].expr() if self.closed is not None else None
        return Coefficient(k, exact, float(value), _bar(value, self.errors[k]))

    def beyond(self, count: int, name_it: bool = False) -> Quantity:
        """E σ² less the components of degree below ``count``."""
        if self.closed is None:
            with mpmath.workdps(_DIGITS):
                removed = list(zip(self.coefficients, self.errors, strict=True))[:count]
                rest = max(self.second - mpmath.fsum(c * c for c, _ in removed), mpmath.mpf(0))
                error = self.second_error + mpmath.fsum((2 * abs(c) + e) * e for c, e in removed)
            return Quantity(float(rest), _bar(rest, error))
        rest, exact = _exact_remainder(self.closed, count), None
        if name_it:
            exact = _exact_second_moment(self.closed, count) if rest else sympy.Integer(0)
        return Quantity(float(rest), 0.0, exact)


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
    zeros = [mpmath.mpf(0)] * len(values)
    return _Moments(values, zeros, closed.second_moment.value(_DIGITS), mpmath.mpf(0), breaks, closed)


def _exact_remainder(closed: ClosedForm, count: int) -> Any:
    """``E σ² − Σ_{k<count} c_k²`` to 20 digits at least, however much of E σ² cancels."""
    digits = _DIGITS
    while digits < MAX_DIGITS:
        with mpmath.workdps(digits + 10):
            if closed.is_polynomial:
                return mpmath.fsum(c.value(digits) ** 2 for c in closed.coefficients[count:])
            second = closed.second_moment.value(digits)
            rest = second - mpmath.fsum(c.value(digits) ** 2 for c in closed.coefficients[:count])
            if rest >= second * mpmath.mpf(10) ** (20 - digits):
                return rest
        digits *= 2
    return mpmath.mpf(0)


def _exact_second_moment(closed: ClosedForm, cut: int) -> sympy.Expr:
    if closed.is_polynomial:
        return sympy.Add(*(sympy.expand(c.expr() ** 2) for c in closed.coefficients[cut:]))
    return sympy.Add(closed.second_moment.expr(), *(-(c.expr() ** 2) for c in closed.coefficients[:cut]))


def _parity(activation: Activation, found: _Moments) -> str | None:
    """Parity of σ after the cut, from its values in 60 digits between all pairs of break points."""
    edges = [mpmath.mpf(0), *sorted({abs(b) for b in found.breaks if b})]
    edges.append(edges[-1] + 9)
    each = max(2, 48 // len(edges))
    is_even = is_odd = True
    with mpmath.workdps(60):
        sigma = _real_function(activation.expression)
        for low, high in pairwise(edges):
            for j in range(each):
                point = low + (high - low) * mpmath.frac((j + 1) * mpmath.phi)
                right, left = sigma(point), sigma(-point)
                polynomials = [hermite_value(k, point, mpmath.sqrt) for k in range(activation.cut)]
                removed = [c * p for c, p in zip(found.coefficients, polynomials, strict=False)]
                slack = (abs(right) + abs(left) + sum(map(abs, removed))) * mpmath.mpf("1e-30")
                slack += 2 * sum(e * abs(p) for e, p in zip(found.errors, polynomials, strict=False))
                is_even &= bool(abs(right - left - 2 * sum(removed[1::2])) <= slack)
                is_odd &= bool(abs(right + left - 2 * sum(removed[0::2])) <= slack)
    return "even" if is_even else "odd" if is_odd else None


def _real_function(expression: sympy.Expr) -> Callable[[Any], Any]:
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
    """Route 2 of the module's docstring."""
    with mpmath.workdps(_SINGULAR_DIGITS):
        sigma = _real_function(activation.expression)
        breaks = _break_points(activation)
        pending = _panels(breaks, _reach(sigma, activation.breaks.reach))
        orders = next((p for p in _GAUSS_PAIRS if len(pending) * sum(p) <= _BUDGET), _GAUSS_PAIRS[-1])
        sums, changes, spent = np.zeros(top + 2, dtype=object), np.zeros(top + 2, dtype=object), 0
        while pending:
            results = [_panel_sums(sigma, panel, orders, top) for panel in pending]
            spent += sum(size for _, _, size in results)
            second = _float(sums[-1] + sum(r[0][-1] for r in results))
            limits = [_TOLERANCE * mpmath.sqrt(second)] * (top + 1) + [_TOLERANCE * second]
            bounds = np.array([_fixed(limit) << _BITS for limit in limits], dtype=object)
            queue: list[_Panel] = []
            for panel, (values, change, _) in zip(pending, results, strict=True):
                if (change <= bounds).all() or spent > _BUDGET:
                    sums, changes = sums + values, changes + change
                else:
                    queue += panel.halves()
            pending = queue
    with mpmath.workdps(_DIGITS):
        *coefficients, second = map(_float, sums)
        *errors, second_error = map(_float, changes)
        floor, jump = _FLOOR * mpmath.sqrt(second), _loose_jumps(sigma, breaks)
        errors = [e + floor + jump for e in errors]
        second_error += floor * mpmath.sqrt(second) + 2 * jump * mpmath.sqrt(second)
    return _Moments(coefficients, errors, second, second_error, [b for b, _, _ in breaks])


def _fixed(value: Any) -> int:
    return int(mpmath.floor(mpmath.ldexp(value, _BITS)))


def _float(scaled: int) -> Any:
    """mpmath number of a sum of products of two fixed-point numbers."""
    return mpmath.ldexp(mpmath.mpf(scaled), -2 * _BITS)


def _panel_sums(sigma: Any, panel: _Panel, orders: tuple[int, int], top: int) -> tuple[Any, Any, int]:
    """``∫ σ h_k γ`` for k = 0 … top and ``∫ σ² γ`` over a panel, and their change between two rules."""
    with mpmath.workdps(_SINGULAR_DIGITS if panel.singular else _DIGITS):
        fractions, fine, coarse = _exponential_rule() if panel.singular else _gauss_rules(*orders)
        points = [panel.start + panel.length * q for q in fractions]
        halves = [mpmath.exp(-p * p / 4) / mpmath.root(2 * mpmath.pi, 4) for p in points]
        weighted = np.array([_fixed(sigma(p) * g) for p, g in zip(points, halves, strict=True)], dtype=object)
        length = _fixed(abs(panel.length))
        nodes, current = (np.array([_fixed(v) for v in values], dtype=object) for values in (points, halves))
    rules = np.array([[_fixed(w) * length >> _BITS for w in rule] for rule in (fine, coarse)], dtype=object)
    both = (rules * weighted) >> _BITS
    sums, previous = [], 0 * current
    for k in range(top + 1):
        sums.append(both @ current)
        step, back = _hermite_step(k)
        previous, current = current, (step * (nodes * current >> _BITS) - back * previous) >> _BITS
    sums.append(both @ weighted)
    table = np.array(sums, dtype=object)
    return table[:, 0], abs(table[:, 0] - table[:, 1]), len(points)


@cache
def _hermite_step(k: int) -> tuple[int, int]:
    """Fixed-point ``1/√(k+1)`` and ``√(k/(k+1))``."""
    with mpmath.workprec(_BITS + 10):
        return _fixed(1 / mpmath.sqrt(k + 1)), _fixed(mpmath.sqrt(mpmath.mpf(k) / (k + 1)))


@cache
def _gauss_rules(low: int, high: int) -> tuple[list[Any], list[Any], list[Any]]:
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
    return points, fine, coarse


@cache
def _exponential_rule() -> tuple[list[Any], list[Any], list[Any]]:
    """Points ``1/(1 + exp(−π sinh t))`` of (0, 1), t in steps of 1/16; the coarse rule skips half."""
    points, fine, coarse = [], [], []
    with mpmath.workdps(2 * _SINGULAR_DIGITS):
        for j in range(-77, 60):  # q = 1e-83 … 1 − 1e-26: σ is smooth at the far end
            t = mpmath.mpf(j) / 16
            q = 1 / (1 + mpmath.exp(-mpmath.pi * mpmath.sinh(t)))
            weight = mpmath.pi * mpmath.cosh(t) * q * (1 - q) / 16
            points.append(q)
            fine.append(weight)
            coarse.append(2 * weight if j % 2 == 0 else mpmath.mpf(0))
    return points, fine, coarse


def _reach(sigma: Callable[[Any], Any], least: float) -> int:
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


def _panels(breaks: list[tuple[Any, bool, bool]], reach: int) -> list[_Panel]:
    edges = [(mpmath.mpf(-reach), False), *((p, s) for p, s, _ in breaks), (mpmath.mpf(reach), False)]
    out: list[_Panel] = []
    for (low, low_singular), (high, high_singular) in pairwise(edges):
        count = max(int(mpmath.ceil(high - low)), low_singular + high_singular)
        width = (high - low) / count
        for j in range(count):
            if j == count - 1 and high_singular:
                out.append(_Panel(high, -width, True))
            else:
                out.append(_Panel(low + j * width, width, low_singular and j == 0))
    return out


def _break_points(activation: Activation) -> list[tuple[Any, bool, bool]]:
    """(point, does σ or σ' blow up there, is it known to 80 digits), ascending.

    ``activation.breaks`` gives 13 digits; Newton's method for u/u', whose zeros are simple, gives the
    rest, u an expression whose zero makes the break.
    """
    searches = []
    for node in sympy.preorder_traversal(activation.expression):
        if isinstance(node, sympy.Abs | sympy.sign | sympy.Heaviside | sympy.log):
            searches.append(node.args[0])
        elif isinstance(node, sympy.Max | sympy.Min):
            searches += [u - v for u, v in combinations(node.args, 2)]
        elif isinstance(node, sympy.tan):
            searches.append(sympy.cos(node.args[0]))
        elif node.is_Pow and node.exp.is_Rational:
            searches.append(node.base)
    first = [almost_everywhere_derivative(u) for u in searches]
    triples = [
        tuple(map(_real_function, (u, v, almost_everywhere_derivative(v))))
        for u, v in zip(searches, first, strict=True)
    ]
    marked = [(b, False) for b in activation.breaks.kinks] + [(b, True) for b in activation.breaks.singular]
    out = []
    for mark, singular in sorted(marked):
        sharp = next((root for root in (_sharpened(mark, *t) for t in triples) if root is not None), None)
        out.append((mpmath.mpf(mark) if sharp is None else sharp, singular, sharp is not None))
    return out


def _sharpened(mark: float, u: Any, du: Any, ddu: Any) -> Any:
    """The zero of u at ``mark``; None if there is none."""
    point = mpmath.mpf(mark)
    for _ in range(9):
        try:
            value, slope = u(point), du(point)
            step = value * slope / (slope * slope - value * ddu(point)) if value else mpmath.mpf(0)
        except ZeroDivisionError:
            return None
        point -= step
        if abs(point - mark) > 1e-6:  # a double zero is marked to 1e-8
            return None
        if abs(step) < mpmath.mpf("1e-80"):
            return point
    return None


def _loose_jumps(sigma: Callable[[Any], Any], breaks: list[tuple[Any, bool, bool]]) -> Any:
    """Error from jumps of σ at break points that are known to 13 digits only."""
    offset = mpmath.mpf("1e-11")
    return mpmath.fsum(
        1e-12 * abs(sigma(point + offset) - sigma(point - offset)) for point, _, sharp in breaks if not sharp
    )
