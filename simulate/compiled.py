"""The same algorithm as ``simulate.direct`` for batch 1, compiled (extra ``fast`` = numba).

Samples come from the same NumPy generator in the same order, so for one seed both engines walk
the same path up to rounding.  One pass over the students gives the overlaps, a second one the
rank-one update; the squared norms are carried along,

    n_k ← α² n_k + 2 α γ (v_k·x) + γ² ‖x‖²     for  v_k ← α v_k + γ x,

and recomputed at every look.  Nothing is allocated in the loop and the GIL is released, so
seeds run on threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.random import Generator

from problem.activation import Activation, lowered
from problem.parser import x as symbol
from problem.problem import Problem
from problem.types import Array

_BLOCK = 1 << 15  # numbers drawn at a time: 256 KiB, stays in the second-level cache
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},  # NaN and inf keep their meaning
}


def available() -> bool:
    """Is numba installed?"""
    try:
        import numba  # noqa: F401
    except ImportError:
        return False
    return True


class CompiledRun:
    """One run in the shape of a stack of one: ``students`` (1, m, d), advanced in place."""

    def __init__(self, problem: Problem, students: Array, stream: Generator, step_size: float) -> None:
        self.students = students
        self._stream, self._step_size, self._a = stream, step_size, problem.a
        self._kernel = kernel(problem.activation)
        self._block = np.empty((max(1, _BLOCK // problem.d), problem.d))
        self._next = len(self._block)

    def advance(self, steps: int) -> None:
        """Take ``steps`` steps."""
        V = self.students[0]
        n = np.einsum("kd,kd->k", V, V)
        while steps:
            if self._next == len(self._block):
                self._stream.standard_normal(out=self._block)
                self._next = 0
            count = min(steps, len(self._block) - self._next)
            self._kernel(V, n, self._block[self._next : self._next + count], self._a, self._step_size)
            self._next += count
            steps -= count

    def keep(self, alive: np.ndarray) -> None:
        """A stack of one has nothing to drop until it is empty."""


@lru_cache(maxsize=32)
def scalar_functions(activation: Activation) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """σ and σ' as numba functions of one float."""
    import numba

    if activation.is_polynomial:
        series = activation.coefficients
        return _compiled_series(numba, series), _compiled_series(numba, lowered(series))
    value = _compiled_expression(numba, activation.expression)
    slope = _compiled_expression(numba, activation.slope)
    if not activation.cut:
        return value, slope
    low, low_slope = (
        _compiled_series(numba, activation.removed),
        _compiled_series(numba, lowered(activation.removed)),
    )
    return (
        numba.njit(**_OPTIONS)(lambda u: value(u) - low(u)),
        numba.njit(**_OPTIONS)(lambda u: slope(u) - low_slope(u)),
    )


def _compiled_series(numba: Any, coefficients: Array) -> Callable[[float], float]:
    """``Σ c_k h_k(u)`` by Clenshaw; the constants are compiled in."""
    terms = tuple(float(c) for c in coefficients) or (0.0,)
    degree = len(terms) - 1
    one = tuple(1 / math.sqrt(k + 1.0) for k in range(degree + 1))
    two = tuple(math.sqrt((k + 1.0) / (k + 2.0)) for k in range(degree + 1))

    @numba.njit(**_OPTIONS)  # type: ignore[misc]
    def series(u):  # type: ignore[no-untyped-def]
        later, current = 0.0, 0.0
        for j in range(degree + 1):
            k = degree - j
            later, current = current, terms[k] + u * one[k] * current - two[k] * later
        return current

    return series  # type: ignore[no-any-return]


def _compiled_expression(numba: Any, expression: sympy.Expr) -> Callable[[float], float]:
    jit = numba.njit(**_OPTIONS)

    @jit  # type: ignore[misc]
    def hermite(k, u):  # type: ignore[no-untyped-def]
        previous, current = 0.0, 1.0
        for j in range(k):
            previous, current = current, (u * current - math.sqrt(j) * previous) / math.sqrt(j + 1)
        return current

    @jit  # type: ignore[misc]
    def sign(u):  # type: ignore[no-untyped-def]
        return (1.0 if u > 0 else 0.0) - (1.0 if u < 0 else 0.0)

    @jit  # type: ignore[misc]
    def heaviside(u, at_zero):  # type: ignore[no-untyped-def]
        return 1.0 if u > 0 else (at_zero if u == 0 else 0.0)

    @jit  # type: ignore[misc]
    def root(u):  # type: ignore[no-untyped-def]
        return math.sqrt(u) if u > 0 else 0.0 * u

    functions = {"h": hermite, "sign": sign, "Heaviside": heaviside, "sqrt": root}
    source = sympy.lambdify(symbol, sympy.Float(1.0) * expression, modules=[functions, "math"], cse=True)
    return jit(source)  # type: ignore[no-any-return]


@lru_cache(maxsize=32)
def kernel(activation: Activation) -> Callable[..., None]:
    """``kernel(V, n, x, a, eta)``: one step for every row of x, V and n updated in place.

    Compiled for float64 before it is returned.
    """
    import numba

    sigma, slope_of = scalar_functions(activation)

    @numba.njit(**_OPTIONS)  # type: ignore[misc]
    def run(V, n, samples, a, eta):  # type: ignore[no-untyped-def]
        m, d = V.shape
        dots, values, slopes = np.empty(m), np.empty(m), np.empty(m)
        for t in range(samples.shape[0]):
            x = samples[t]
            delta = 0.0
            for p in range(a.shape[0]):
                delta -= a[p] * sigma(x[p])
            square = 0.0
            for j in range(d):
                square += x[j] * x[j]
            for k in range(m):
                row = V[k]
                dot = 0.0
                for j in range(d):
                    dot += row[j] * x[j]
                u = dot / math.sqrt(n[k])
                dots[k], values[k], slopes[k] = dot, sigma(u), slope_of(u)
                delta += n[k] * values[k]
            for k in range(m):
                norm = math.sqrt(n[k])
                keep = 1 - eta * delta * (2 * values[k] - slopes[k] * dots[k] / norm)
                push = -eta * delta * slopes[k] * norm
                row = V[k]
                for j in range(d):
                    row[j] = keep * row[j] + push * x[j]
                n[k] = keep * keep * n[k] + 2 * keep * push * dots[k] + push * push * square

    run(np.ones((1, 1)), np.ones(1), np.ones((1, 1)), np.ones(1), 1e-3)
    return run  # type: ignore[no-any-return]
