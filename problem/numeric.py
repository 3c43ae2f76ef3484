"""Symbolic activation to fast functions of NumPy arrays or mpmath numbers.

``h(k, x)`` is evaluated by its recurrence (see ``problem.hermite_polynomials``); the square
root clips its argument at 0, because ``sqrt(x**2 - 2*x + 1)`` rounds to the root of −1e-17.
Whether σ is defined at all is settled before, in ``problem.regularity``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
import scipy.special
import sympy
from numpy.typing import ArrayLike

from problem.hermite_polynomials import hermite_value
from problem.parser import MAX_HERMITE, x
from problem.types import Array

_NUMPY: list[Any] = [
    {
        "h": hermite_value,
        "erf": scipy.special.erf,
        "sqrt": lambda u: np.sqrt(np.maximum(u, 0.0)),
        "Heaviside": lambda u, at_zero=0.5: np.heaviside(u, at_zero),
    },
    "numpy",
]
_HUGE = 1e15  # exp(±1e15) is as good as ∞ or 0, and mpmath would take minutes over exp(exp(1e6))


@lru_cache(maxsize=64)
def _hermite_values(point: Any, precision: int) -> list[Any]:
    """h_0 … h_40 at one mpmath number, by one run of the recurrence."""
    values = [0 * point + 1, point]
    for k in range(1, MAX_HERMITE):
        values.append((point * values[k] - mpmath.sqrt(k) * values[k - 1]) / mpmath.sqrt(k + 1))
    return values


def _hermite_mpmath(k: Any, u: Any) -> Any:
    if int(k) > MAX_HERMITE or not isinstance(u, mpmath.mpf):
        return hermite_value(k, u, mpmath.sqrt)
    return _hermite_values(u, mpmath.mp.prec)[int(k)]


_MPMATH: list[Any] = [
    {
        "h": _hermite_mpmath,
        "Heaviside": lambda u, at_zero=0.5: (1 + mpmath.sign(u)) / 2,
        "Max": max,
        "Min": min,
    },
    "mpmath",
]


def _capped(function: Callable[[Any], Any], above: Any, below: Any) -> Callable[[Any], Any]:
    """``function`` with its limits beyond |u| = 1e15."""
    return lambda u: (above if u > 0 else below) if abs(u) > _HUGE else function(u)


_MPMATH_TAIL: list[Any] = [
    _MPMATH[0]
    | {
        "exp": _capped(mpmath.exp, mpmath.inf, mpmath.mpf(0)),
        "sinh": _capped(mpmath.sinh, mpmath.inf, -mpmath.inf),
        "cosh": _capped(mpmath.cosh, mpmath.inf, mpmath.inf),
        "tanh": _capped(mpmath.tanh, mpmath.mpf(1), mpmath.mpf(-1)),
        "erf": _capped(mpmath.erf, mpmath.mpf(1), mpmath.mpf(-1)),
        "sin": _capped(mpmath.sin, mpmath.mpf(1), mpmath.mpf(1)),
        "cos": _capped(mpmath.cos, mpmath.mpf(1), mpmath.mpf(1)),
        "tan": _capped(mpmath.tan, mpmath.mpf(1), mpmath.mpf(1)),
        "sqrt": lambda u: mpmath.sqrt(max(u, 0)),
    },
    "mpmath",
]


def numpy_function(expression: sympy.Expr) -> Callable[[ArrayLike], Array]:
    """Vectorised float64 function of ``x``; overflow gives inf silently."""
    raw = sympy.lambdify(x, expression, modules=_NUMPY, cse=True)

    def evaluate(points: ArrayLike) -> Array:
        points = np.asarray(points, dtype=float)
        try:
            with np.errstate(all="ignore"):
                values = np.asarray(raw(points), dtype=float)
        except ArithmeticError:  # constants are Python numbers, which raise where arrays give inf
            raise ValueError("a constant in the activation overflows or divides by zero") from None
        return values if values.shape == points.shape else np.broadcast_to(values, points.shape).copy()

    return evaluate


def mpmath_function(expression: sympy.Expr) -> Callable[[Any], Any]:
    """Function of one mpmath number at the working precision of the caller."""
    raw = sympy.lambdify(x, expression, modules=_MPMATH)
    return lambda point: mpmath.mpmathify(raw(mpmath.mpmathify(point)))


def tail_size(expression: sympy.Expr) -> Callable[[float], Any]:
    """|σ| at one large number as an mpmath number (∞ beyond its range, nan where there is none).

    Sines of arguments beyond 1e15 count as 1.
    """
    raw = sympy.lambdify(x, expression, modules=_MPMATH_TAIL)

    def size(point: float) -> Any:
        try:
            return abs(mpmath.mpmathify(raw(mpmath.mpf(point))))
        except (ArithmeticError, TypeError, ValueError):
            return mpmath.nan

    return size


def almost_everywhere_derivative(expression: sympy.Expr) -> sympy.Expr:
    """dσ/dx wherever it exists: jumps contribute nothing (``sign`` has derivative 0).

    Not ``sympy.diff``, which leaves ``Derivative(re(…))`` behind where it cannot prove an argument
    real, and counts a slope 3/2 times where three arguments of ``Max`` tie on an interval.
    """
    slope = almost_everywhere_derivative
    arguments = expression.args
    if not expression.has(x):
        return sympy.Integer(0)
    if expression == x:
        return sympy.Integer(1)
    if expression.is_Add:
        return sympy.Add(*(slope(u) for u in arguments))
    if expression.is_Mul:
        return sympy.Add(*(sympy.Mul(slope(u), *arguments[:i], *arguments[i + 1 :]) for i, u in enumerate(arguments)))
    if expression.is_Pow and expression.exp.is_number:
        return expression.exp * expression.base ** (expression.exp - 1) * slope(expression.base)
    if isinstance(expression, sympy.sign | sympy.Heaviside):
        return sympy.Integer(0)
    if isinstance(expression, sympy.Abs):
        return sympy.sign(arguments[0]) * slope(arguments[0])
    if isinstance(expression, sympy.Max | sympy.Min):  # fold: w u' + (1 − w) (rest)', w = 1{u wins}
        out, rest = slope(arguments[-1]), arguments[-1]
        for u in arguments[-2::-1]:
            ahead = u - rest if isinstance(expression, sympy.Max) else rest - u
            weight = sympy.Heaviside(ahead, sympy.Rational(1, 2))
            out, rest = weight * slope(u) + (1 - weight) * out, expression.func(u, rest)
        return out
    return sympy.Add(*(expression.fdiff(i + 1) * slope(u) for i, u in enumerate(arguments) if u.has(x)))
