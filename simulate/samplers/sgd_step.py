"""Compiled steps of online SGD on rows of any width (extra ``fast`` = numba).

``single`` takes one sample a step, ``batched`` B of them.  Students are the rows of V, samples the
rows of X, both in orthonormal coordinates whose first P axes are the teacher's; the direct
sampler uses all d of them, the reduced one P + m and a few more.

``single`` makes one pass over V a sample: it applies the update of the previous sample while it
takes the inner products with the new one,

    v_k ← v_k + (c_k v_k + b_k x_old),    v_k·x_new,

so the last update is always pending, in (c, b, x_old).  Squared norms are carried along and belong to the
state.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ...problem.activation import Activation
from .scalar import scalar_functions


@lru_cache(maxsize=32)
def single(activation: Activation) -> Any:
    """``single(V, n, c, b, old, X, etas, noise, a)``: one step for every row of X."""
    import numba

    from .kernels import OPTIONS, advance_rows

    sigma, slope_of = scalar_functions(activation)

    @numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
    def run(V, n, c, b, old, X, etas, noise, a):  # type: ignore[no-untyped-def]
        m, width = V.shape
        dots, u, values, slopes = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
        previous = old
        for t in range(X.shape[0]):
            x = X[t]
            advance_rows(V, c, b, previous, x, dots)
            delta = -noise[t]
            for p in range(a.size):
                delta -= a[p] * sigma(x[p])
            square = 0.0
            for j in range(width):
                square += x[j] * x[j]
            for k in range(m):
                u[k] = dots[k] / math.sqrt(n[k])
            for k in range(m):
                values[k], slopes[k] = sigma(u[k]), slope_of(u[k])
            for k in range(m):
                delta += n[k] * values[k]
            rate = etas[t] * delta
            for k in range(m):
                shrink = -rate * (2 * values[k] - slopes[k] * u[k])
                push = -rate * slopes[k] * math.sqrt(n[k])
                c[k], b[k] = shrink, push
                keep = 1 + shrink
                n[k] = keep * keep * n[k] + 2 * keep * push * dots[k] + push * push * square
            previous = x
        for j in range(width):  # a slice assignment's error message takes two seconds to compile
            old[j] = previous[j]

    return run


@lru_cache(maxsize=32)
def batched(activation: Activation) -> Any:
    """``batched(V, n, X, batch, etas, noise, a)``: one step for every ``batch`` rows of X."""
    import numba

    from .kernels import OPTIONS

    sigma, slope_of = scalar_functions(activation)

    @numba.njit(**OPTIONS)  # type: ignore[untyped-decorator]
    def run(V, n, X, batch, etas, noise, a):  # type: ignore[no-untyped-def]
        m, width = V.shape
        values, push = np.empty((batch, m)), np.empty((batch, m))
        for step in range(X.shape[0] // batch):
            shrink = np.zeros(m)
            for i in range(batch):
                x = X[step * batch + i]
                delta = -noise[step * batch + i]
                for p in range(a.size):
                    delta -= a[p] * sigma(x[p])
                for k in range(m):
                    row, dot = V[k], 0.0
                    for j in range(width):
                        dot += row[j] * x[j]
                    u = dot / math.sqrt(n[k])
                    values[i, k], slope = sigma(u), slope_of(u)
                    delta += n[k] * values[i, k]
                    push[i, k] = -slope * math.sqrt(n[k])
                    values[i, k] = 2 * values[i, k] - slope * u
                rate = etas[step] / batch * delta
                for k in range(m):
                    shrink[k] -= rate * values[i, k]
                    push[i, k] *= rate
            for k in range(m):
                row, s = V[k], shrink[k]
                for j in range(width):
                    row[j] += s * row[j]
                for i in range(batch):
                    x, p = X[step * batch + i], push[i, k]
                    for j in range(width):
                        row[j] += p * x[j]
                square = 0.0
                for j in range(width):
                    square += row[j] * row[j]
                n[k] = square

    return run
