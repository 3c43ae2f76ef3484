"""Normalised probabilists' Hermite polynomials h_k.

``E[h_j(Z) h_k(Z)] = δ_jk`` for Z ~ N(0, 1), so ``h_k = He_k / sqrt(k!)``:
h_0 = 1, h_1 = x, h_2 = (x² − 1)/√2, …, with

    h_{k+1}(x) = (x h_k(x) − √k h_{k−1}(x)) / √(k+1),      h_k' = √k h_{k−1}.

Expanded monomials of high degree lose every digit (the alternating coefficients of h_40
reach 1e24), so values always come from the recurrence.  In symbolic expressions ``h(k, x)``
stays unevaluated for the same reason.

Source: Szegő, *Orthogonal Polynomials*, ch. V (there physicists' normalisation).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import sympy
from numpy.typing import ArrayLike

from .._types import Array


def hermite_value(k: int, x: Any, sqrt: Callable[[int], Any] = math.sqrt) -> Any:
    """``h_k(x)`` by the three-term recurrence; pass mpmath's ``sqrt`` for mpmath numbers."""
    previous, current = 0 * x, 1 + 0 * x
    for j in range(int(k)):
        previous, current = current, (x * current - sqrt(j) * previous) / sqrt(j + 1)
    return current


def hermite_series(coefficients: Sequence[float] | Array, x: ArrayLike) -> Array:
    """``Σ_k c_k h_k(x)`` by Clenshaw's backward recurrence; x of any shape."""
    points = np.asarray(x, dtype=float)
    later, current = np.zeros_like(points), np.zeros_like(points)
    for k in range(len(coefficients) - 1, -1, -1):
        step = points / np.sqrt(k + 1.0) * current
        after = np.sqrt((k + 1.0) / (k + 2.0)) * later
        later, current = current, coefficients[k] + step - after
    return current


class h(sympy.Function):  # type: ignore[misc]  # noqa: N801  (printed as the paper's letter)
    """Symbolic ``h(k, x)``; differentiates by ``h_k' = √k h_{k−1}``."""

    nargs = 2

    @classmethod
    def eval(cls, k: sympy.Expr, x: sympy.Expr) -> sympy.Expr | None:
        if k == 0:
            return sympy.Integer(1)
        if k == 1:
            return x
        return None

    def fdiff(self, argindex: int = 2) -> sympy.Expr:
        k, x = self.args
        return sympy.sqrt(k) * h(k - 1, x)

    def _eval_is_extended_real(self) -> bool | None:
        return self.args[1].is_extended_real

    def _eval_evalf(self, prec: int) -> sympy.Expr | None:
        argument = self.args[1]._eval_evalf(prec)
        if argument is None or not argument.is_number:
            return None
        with mpmath.workprec(prec + 20):
            value = hermite_value(int(self.args[0]), mpmath.mpmathify(argument), mpmath.sqrt)
        return sympy.Float(value, precision=prec)
