"""The compiled kernels of an activation (extra ``fast`` = numba).

Polynomials are summed in the Hermite basis by Clenshaw, from terms that the kernels take: these are compiled once for a
degree, and kept.  Other activations are printed from their symbolic form, minus the series that a high-pass removes,
and the kernels compiled anew with them, in each process.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType
from typing import Any, NamedTuple

import sympy

from ..._types import Array
from ...problem.activation import Activation, lowered
from ...problem.parser import x as symbol

OVERFLOWS = "computes σ in plain doubles, which overflow here on the way to finite values"

Scalar = Callable[[float], float]


class Kernels(NamedTuple):
    """``kernels.single``, ``batched`` and ``block`` for one activation, and the last two arguments of each."""

    single: Any
    batched: Any
    block: Any
    sigma: Any
    slope: Any


@lru_cache(maxsize=32)
def kernels_of(activation: Activation) -> Kernels:
    """The kernels of an activation, compiled where they are first called."""
    from . import kernels

    if activation.is_polynomial:
        series = activation.coefficients
        return Kernels(kernels.single, kernels.batched, kernels.block, terms(series), terms(lowered(series)))
    import numba

    def anew(kernel: Any, **names: Any) -> Any:
        plain = kernel.py_func
        code = FunctionType(plain.__code__, {**plain.__globals__, **names}, plain.__name__)
        return numba.njit(**kernels.OPTIONS)(code)

    at = numba.njit(**kernels.OPTIONS)(lambda function, u: function(u))
    single, batched = anew(kernels.single, at=at), anew(kernels.batched, at=at)
    return Kernels(single, batched, anew(kernels.block, single=single, batched=batched), *_functions(activation))


def terms(coefficients: Array) -> Any:
    """Hermite coefficients c_k, 1/√(k+1) and √((k+1)/(k+2)), as ``kernels.at`` takes them."""
    series = tuple(float(c) for c in coefficients) or (0.0,)
    one = tuple(1 / math.sqrt(k + 1.0) for k in range(len(series)))
    return series, one, tuple(math.sqrt((k + 1.0) / (k + 2.0)) for k in range(len(series)))


def _functions(activation: Activation) -> tuple[Scalar, Scalar]:
    """``(σ, σ')`` of what is no polynomial, each compiled for a float."""
    import numba

    from .kernels import OPTIONS, at

    value, slope = _expression(numba, activation.expression), _expression(numba, activation.slope)
    if not activation.cut:
        return value, slope
    low, low_slope = terms(activation.removed), terms(lowered(activation.removed))
    return (
        numba.njit(**OPTIONS)(lambda u: value(u) - at(low, u)),
        numba.njit(**OPTIONS)(lambda u: slope(u) - at(low_slope, u)),
    )


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
