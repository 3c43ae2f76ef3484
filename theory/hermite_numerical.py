"""c_k = E[σ(Z) h_k(Z)] and E σ(Z)² of any σ by quadrature in 40 digits, with error bars.

The line (its right half, where σ has a parity) is cut at σ's break points, sharpened by Newton's
method, and into panels of at most unit length.  A panel carries two Gauss–Legendre rules or, next to
a root or logarithm of zero, two levels of the double-exponential rule; it is halved until both agree
to 1e-21 of √E σ².  Since ``γ^½ h_k`` is bounded (γ the normal density), all k come from one set of
values of σ by the three-term recurrence, in 384-bit integers.  An error is the sum of the
disagreements, the mass closer to a singularity than any point, and the working precision; features
much narrower than a panel that no break point marks can escape both rules.  Shares no code with
``problem.hermite_coefficients``, and is asked for where ``theory.gaussian_integrals`` has no closed form.

Sources: Takahasi & Mori 1974 (double-exponential formulas); the error bars are derived here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise
from typing import Any

import mpmath
import numpy as np
import sympy

from .._types import Array
from ..problem.activation import Activation
from ..problem.hermite_polynomials import hermite_value
from ..problem.numeric import almost_everywhere_derivative, mpmath_function

DIGITS = 40
_SINGULAR_DIGITS = 110  # points 1e-80 from a singularity must be told from it
_BITS = 384  # fixed point: exp(−x²/4) leaves it at |x| = 32.6, where h_k γ^½ < 1e-40 for k ≤ 100
_TOLERANCE = 1e-21  # of √E σ², for each panel
_FLOOR = 1e-26  # of √E σ²: working precision and the mass beyond the last panel
_SAME = mpmath.mpf("1e-80")  # points closer than this are one
_BUDGET = 12_000  # points at which σ is evaluated, about
_GAUSS_PAIRS = ((20, 32), (10, 16), (5, 8))  # orders: the first pair that spends half the budget at most
_Function = Callable[[Any], Any]  # of one mpmath number


@dataclass(frozen=True)
class Moments:
    """c_k and E σ² of σ before the cut, as mpmath numbers with error bounds (0 if exact)."""

    coefficients: list[Any]
    errors: list[Any]
    second: Any
    second_error: Any
    breaks: list[Any]
    parity: str | None


def numerical_moments(activation: Activation, top: int) -> Moments:
    """c_0 … c_top and E σ² of σ before its cut; from x > 0 alone where σ has a parity."""
    with mpmath.workdps(_SINGULAR_DIGITS):
        sigma = real_function(activation.expression)
        with mpmath.workdps(3 * _SINGULAR_DIGITS):  # a multiple zero costs digits
            breaks = _break_points(activation)
        points = [point for point, _ in breaks]
        parity = parity_of(sigma, points)
        reach = _reach(sigma, activation.breaks.reach)
        sums, changes = _summed(sigma, _panels(breaks, 0 if parity else -reach, reach), top)
    with mpmath.workdps(DIGITS):
        if parity:
            kept = [0 if forbids(parity, k) else 2 for k in range(top + 1)] + [2]
            sums, changes = sums * kept, changes * kept
        *coefficients, second = map(_float, sums)
        *errors, second_error = map(_float, changes)
        floor = _FLOOR * mpmath.sqrt(second)
        errors = [e + floor for e in errors]
        second_error += floor * mpmath.sqrt(second)
    return Moments(coefficients, errors, second, second_error, points, parity)


def forbids(parity: str | None, k: int) -> bool:
    return parity == ("odd" if k % 2 == 0 else "even")


def parity_of(
    sigma: _Function, breaks: list[Any], removed: Sequence[Any] = (), errors: Sequence[Any] = ()
) -> str | None:
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


def real_function(expression: sympy.Expr) -> _Function:
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
    with mpmath.workdps(_SINGULAR_DIGITS if panel.singular else DIGITS):
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
    with mpmath.workdps(2 * DIGITS):
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
    functions = [([real_function(f) for f in (u, slope(u), slope(slope(u)))], rough) for u, rough in searches]
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
