"""Is σ a function we can work with?  Where is it not smooth?

A symbolic σ is scanned once on a grid that is dense on |x| ≤ 52 (where γ(x)^½, with γ the
standard normal density, stays a normal double) and logarithmic to 1e8:

* arguments of ``sqrt`` and ``log`` must be ≥ 0 everywhere, else σ is undefined on part of
  the line;
* zeros of denominators, and of ``log`` and ``tan`` arguments, are located and the local
  exponent ``|σ| ~ |x − x_0|^{−γ}`` is measured: E σ² is infinite for γ ≥ ½;
* the tail ``2 ln|σ(x)| − x²/2`` must fall faster than ``−ln x``: first in double precision
  on the dense grid, then with mpmath out to |x| = 1e5.

Zeros of the arguments of ``abs``, ``sign``, ``Heaviside``, ``max``, ``min`` (and of roots and
logarithms) are the break points at which quadrature panels must end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import mpmath
import numpy as np
import sympy
from scipy.optimize import elementwise

from .._types import Array
from .numeric import almost_everywhere_derivative, numpy_function, tail_size

REACH = 52.0
POLE = 0.49  # measured exponents from here on count as 1/2: not square-integrable
_NEAR = np.arange(-REACH, REACH, 1 / 64) + 0.00317
_FAR = np.geomspace(REACH, 1e8, 2000)
_SCAN = np.concatenate([-_FAR[::-1], _NEAR, _FAR])
_OUTWARD = np.argsort(np.abs(_SCAN))
MAX_SINGULAR = 100  # each adds 36 quadrature panels


@dataclass(frozen=True)
class Regularity:
    """Where σ is not smooth and where its Gaussian mass lies.

    ``kinks`` and ``singular`` (slopes or values blow up) are ascending points of |x| ≤ 52;
    beyond |x| = ``reach`` the integrand of E σ² is below 1e-50 of its maximum.
    """

    kinks: tuple[float, ...]
    singular: tuple[float, ...]
    reach: float


def examine(expression: sympy.Expr) -> Regularity:
    """Refuse a σ that is undefined somewhere or has E σ² = ∞; else its break points.

    Raises
    ------
    ValueError
        One sentence naming the place.
    """
    sigma = numpy_function(expression)
    kink_arguments, singular_arguments = _critical_arguments(expression)
    found: set[float] = set()
    for argument, must_be_positive in singular_arguments:
        values = _refuse_negative(argument) if must_be_positive else numpy_function(argument)(_SCAN)
        zeros = sorted({round(z, 13) + 0.0 for z in _zeros(argument, values)}, key=abs)
        for zero, exponent in zip(zeros, singularity_exponents(sigma, zeros), strict=True):
            if exponent >= POLE:
                raise ValueError(f"E[σ²] is infinite: the activation has a pole at x = {zero:.6g}")
        found.update(zeros)
    kinks: list[float] = []
    for argument in kink_arguments:
        kinks += _zeros(argument, numpy_function(argument)(_SCAN))
    values = sigma(_NEAR)
    if np.isnan(values).any():
        raise ValueError(f"the activation is undefined at x = {_NEAR[np.isnan(values)][0]:.6g}")
    reach = _gaussian_reach(expression, values)
    suspects = sorted(z for z in found if abs(z) < reach)
    rough: set[float] = set()
    if suspects:  # removable singularities, where neither σ nor its slope grows, are no trouble
        slope = numpy_function(almost_everywhere_derivative(expression))
        growth = np.maximum(singularity_exponents(sigma, suspects), singularity_exponents(slope, suspects))
        rough = {z for z, exponent in zip(suspects, growth, strict=True) if exponent > 0.05}
    if len(rough) > MAX_SINGULAR:
        raise ValueError(f"the activation has {len(rough)} singular points; at most {MAX_SINGULAR} can be handled")
    plain = {round(z, 13) + 0.0 for z in kinks if abs(z) < reach} | set(suspects)
    return Regularity(tuple(sorted(plain - rough)), tuple(sorted(rough)), reach)


def singularity_exponents(function: Callable[[Array], Array], points: Sequence[float]) -> Array:
    """γ in ``|f| ~ |x − point|^{−γ}``, measured between distances 1e-3 and 1e-6 on both sides.

    ∞ where f overflows or has no value there but has one at distance 0.1 (``exp(1/x)`` at 0).
    """
    distances = np.array([1e-1, 1e-3, 1e-6])
    worst = np.full(len(points), -np.inf)
    for side in (-1.0, 1.0):
        away, far, near = np.abs(function(np.reshape(points, (-1, 1)) + side * distances)).T
        with np.errstate(all="ignore"):
            exponents = np.log(near / far) / np.log(1e3)
        exponents[~((near > 0) & (far > 0))] = -np.inf
        exponents[~(np.isfinite(near) & np.isfinite(far)) & np.isfinite(away)] = np.inf
        exponents[~(np.isfinite(near) & np.isfinite(far)) & ~np.isfinite(away)] = -np.inf
        worst = np.maximum(worst, exponents)
    return worst


def _critical_arguments(
    expression: sympy.Expr,
) -> tuple[list[sympy.Expr], list[tuple[sympy.Expr, bool]]]:
    """Arguments whose zeros are kinks or jumps, and those whose zeros are singular points.

    The flag of a singular argument says that it must not be negative anywhere.
    """
    kinks: set[sympy.Expr] = set()
    singular: set[tuple[sympy.Expr, bool]] = set()
    for node in sympy.preorder_traversal(expression):
        if isinstance(node, sympy.Abs | sympy.sign | sympy.Heaviside):
            kinks.add(node.args[0])
        elif isinstance(node, sympy.Max | sympy.Min):
            kinks.update(u - v for u, v in combinations(node.args, 2))
        elif isinstance(node, sympy.log):
            singular.add((node.args[0], True))
        elif isinstance(node, sympy.tan):
            singular.add((sympy.cos(node.args[0]), False))
        elif node.is_Pow and not (node.exp.is_Integer and node.exp > 0):
            singular.add((node.base, not node.exp.is_Integer))
    return (
        sorted((u for u in kinks if u.free_symbols), key=str),  # sets have no order: messages must not vary
        sorted(((u, flag) for u, flag in singular if u.free_symbols), key=str),
    )


def check_argument(function: str, argument: sympy.Expr) -> None:
    """Refuse an argument that ``function`` has no value for, or a constant beyond double precision.

    Raises
    ------
    ValueError
        One sentence naming the argument.
    """
    if function in ("sqrt", "log"):
        _refuse_negative(argument)
    if not argument.free_symbols and not np.isfinite(numpy_function(argument)(0.0)):
        raise ValueError(f"{argument} is too large, or not a number")  # SymPy would take minutes over its digits


def _refuse_negative(argument: sympy.Expr) -> Array:
    """Values of an argument of ``sqrt`` or ``log`` on the scan grid.

    Raises
    ------
    ValueError
        It is negative somewhere, and not by rounding.
    """
    values = numpy_function(argument)(_SCAN)
    scale = np.empty_like(values)  # largest value nearer to 0: what rounding errors are relative to
    scale[_OUTWARD] = np.maximum.accumulate(np.where(np.isfinite(values), np.abs(values), 0.0)[_OUTWARD])
    negative = values < -1e-12 * np.maximum(scale, np.max(scale[np.abs(_SCAN) <= 1]))
    if negative.any():
        where = _SCAN[negative][np.argmin(np.abs(_SCAN[negative]))]
        raise ValueError(f"the activation is undefined at x = {where:.6g}, where {argument} is negative")
    return values


def _zeros(argument: sympy.Expr, values: Array) -> list[float]:
    """Zeros of ``argument`` found from its values on the scan grid, crossing or touching.

    Where it vanishes on an interval (``relu``) these are the ends of the interval.
    """
    function = numpy_function(argument)
    sign = np.sign(values)
    crossing = np.nonzero((sign[:-1] != sign[1:]) & np.isfinite(values[:-1]) & np.isfinite(values[1:]))[0]
    roots = list(_turns(function, _SCAN[crossing], _SCAN[crossing + 1]))

    size = np.abs(values)
    dips = np.nonzero((size[1:-1] < size[:-2]) & (size[1:-1] <= size[2:]))[0] + 1
    dips = dips[(sign[dips - 1] == sign[dips]) & (sign[dips] == sign[dips + 1])]
    if dips.size:  # touching zeros
        bracket, exact = (_SCAN[dips - 1], _SCAN[dips], _SCAN[dips + 1]), {"xatol": 1e-12, "xrtol": 1e-13}
        lowest = elementwise.find_minimum(lambda z: _size(function(z)), bracket, tolerances=exact)
        bottom = _sharpened(argument, lowest.x)
        touches = np.abs(function(bottom)) < 1e-9 * np.maximum(size[dips - 1], size[dips + 1])
        roots += list(np.where(np.abs(bottom) < 1e-7, 0.0, bottom)[touches])
    return [float(root) for root in roots]


def _sharpened(argument: sympy.Expr, bottoms: Array) -> Array:
    """Double zeros, known to half the digits from their values, by bisection of the slope."""
    slope = numpy_function(almost_everywhere_derivative(argument))
    low, high = (bottoms + side * 1e-6 * (1 + np.abs(bottoms)) for side in (-1.0, 1.0))
    turns = np.sign(slope(low)) * np.sign(slope(high)) < 0
    bottoms[turns] = _turns(slope, low[turns], high[turns])
    return bottoms


def _turns(function: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Where the sign of ``function`` stops being that at ``low`` (0 counts as a sign), all brackets at once."""

    def signed(point: Array, sign: Array) -> Array:
        values = function(point)
        return np.where(np.sign(values) == sign, -1.0, 1.0) * (_size(values) + 1e-300)

    found = elementwise.find_root(signed, (low, high), args=(np.sign(function(low)),), tolerances={"xatol": 1e-17})
    return np.asarray(found.x)


def _size(values: Array) -> Array:
    return np.fmin(np.abs(values), 1e300)  # finite for SciPy, also where there is no value


def _gaussian_reach(expression: sympy.Expr, values: Array) -> float:
    """|x| up to which σ² γ matters; refuses a tail with E σ² = ∞."""
    with np.errstate(all="ignore"):
        log_density = 2 * np.log(np.abs(values)) - _NEAR**2 / 2
    top = float(np.max(log_density))
    if top == np.inf or (top > -np.inf and max(log_density[0], log_density[-1]) > top - 80):
        raise ValueError(
            "E[σ²] is infinite or out of reach: the activation overflows or grows like exp(x²/4) or faster"
        )
    size = tail_size(expression)

    def tail(reach: float) -> float:
        points = [side * reach * (1 + 0.001 * j) for side in (-1, 1) for j in range(4)]
        sizes = [(size(point), point) for point in points]
        logs = [
            2 * mpmath.log(s) - mpmath.mpf(p) ** 2 / 2 if s else -mpmath.inf for s, p in sizes if not mpmath.isnan(s)
        ]
        return float(max(logs, default=mpmath.inf))

    reach, here = REACH, tail(REACH)
    while reach < 1e5:
        further = 1.5 * reach
        there = tail(further)
        if there > 2000 or (further > 1e4 and there - here > -np.log(1.5)):
            raise ValueError(f"E[σ²] is infinite: the activation grows too fast beyond |x| = {reach:.3g}")
        reach, here = further, there
    matters = np.abs(_NEAR[log_density > top - 115])
    return float(min(REACH, np.max(matters, initial=12.0) + 0.5))
