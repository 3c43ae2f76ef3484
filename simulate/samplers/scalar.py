"""σ and σ' as compiled functions of one float (extra ``fast`` = numba).

Polynomials are summed in the Hermite basis by Clenshaw with the coefficients compiled in; other
activations are printed from their symbolic form, minus the series that a high-pass removes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import sympy

from ..._types import Array
from ...problem.activation import Activation, lowered
from ...problem.parser import x as symbol

OVERFLOWS = "computes σ in plain doubles, which overflow here on the way to finite values"

Scalar = Callable[[float], float]


@lru_cache(maxsize=32)
def scalar_functions(activation: Activation) -> tuple[Scalar, Scalar]:
    """``(σ, σ')``, each compiled for a float."""
    import numba

    from .kernels import OPTIONS

    if activation.is_polynomial:
        series = activation.coefficients
        return _series(numba, series), _series(numba, lowered(series))
    value, slope = _expression(numba, activation.expression), _expression(numba, activation.slope)
    if not activation.cut:
        return value, slope
    low, low_slope = _series(numba, activation.removed), _series(numba, lowered(activation.removed))
    return (
        numba.njit(**OPTIONS)(lambda u: value(u) - low(u)),
        numba.njit(**OPTIONS)(lambda u: slope(u) - low_slope(u)),
    )


def _series(numba: Any, coefficients: Array) -> Scalar:
    from .kernels import OPTIONS

    terms = tuple(float(c) for c in coefficients) or (0.0,)
    degree = len(terms) - 1
    one = tuple(1 / math.sqrt(k + 1.0) for k in range(degree + 1))
    two = tuple(math.sqrt((k + 1.0) / (k + 2.0)) for k in range(degree + 1))

    @numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
    def series(u):  # type: ignore[no-untyped-def]
        later, current = 0.0, 0.0
        for j in range(degree + 1):
            k = degree - j
            later, current = current, terms[k] + u * one[k] * current - two[k] * later
        return current

    return series  # type: ignore[no-any-return]


def _expression(numba: Any, expression: sympy.Expr) -> Scalar:
    from .kernels import OPTIONS

    jit = numba.njit(**OPTIONS)

    @jit  # type: ignore[untyped-decorator]
    def hermite(k, u):  # type: ignore[no-untyped-def]
        previous, current = 0.0, 1.0
        for j in range(k):
            previous, current = current, (u * current - math.sqrt(j) * previous) / math.sqrt(j + 1)
        return current

    @jit  # type: ignore[untyped-decorator]
    def sign(u):  # type: ignore[no-untyped-def]
        return (1.0 if u > 0 else 0.0) - (1.0 if u < 0 else 0.0)

    @jit  # type: ignore[untyped-decorator]
    def heaviside(u, at_zero):  # type: ignore[no-untyped-def]
        return 1.0 if u > 0 else (at_zero if u == 0 else 0.0)

    @jit  # type: ignore[untyped-decorator]
    def root(u):  # type: ignore[no-untyped-def]
        return math.sqrt(u) if u > 0 else 0.0 * u

    functions = {"h": hermite, "sign": sign, "Heaviside": heaviside, "sqrt": root}
    source = sympy.lambdify(symbol, sympy.Float(1.0) * expression, modules=[functions, "math"], cse=True)
    return jit(source)  # type: ignore[no-any-return]
