"""Numbers as a sign and the logarithm of their size, for what overflows on the way to a finite value.

``exp(-200*x)/(1 + exp(-200*x))**2`` is ∞/∞ in doubles from x = −3.6 on, and 0 is its value.  With logarithms a
product is a sum, so that nothing overflows below exp(10³⁰⁸); sums take ``ln(e^a ± e^b) = a + ln(1 ± e^{b−a})``, a ≥ b.
A value has a relative error of 1e-16 times the largest logarithm on the way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array


class Signed:
    """Elementwise ``sign · exp(log)``; zero is the logarithm −∞, no value a NaN."""

    def __init__(self, sign: ArrayLike, log: ArrayLike) -> None:
        self.sign, self.log = np.asarray(sign, dtype=float), np.asarray(log, dtype=float)

    @classmethod
    def of(cls, values: ArrayLike) -> Signed:
        """From doubles."""
        return cls(np.sign(values), np.log(np.abs(values)))

    def value(self) -> Array:
        """As doubles, ∞ or 0 where they end."""
        return np.where(self.sign == 0, 0.0, self.sign * np.exp(self.log))

    def __mul__(self, other: Signed) -> Signed:
        return Signed(self.sign * other.sign, self.log + other.log)

    def __truediv__(self, other: Signed) -> Signed:
        return Signed(self.sign * np.where(other.sign == 0, 1.0, other.sign), self.log - other.log)

    def __rtruediv__(self, other: float) -> Signed:
        return Signed.of(other) / self

    def __add__(self, other: Signed) -> Signed:
        gap = np.where(self.log == other.log, 0.0, self.log - other.log)
        first = gap >= 0
        share = np.where(first, self.sign * other.sign, other.sign * self.sign) * np.exp(-np.abs(gap))
        log = np.where(first, self.log, other.log) + np.log1p(share)
        return Signed(np.where(log == -np.inf, 0.0, np.where(first, self.sign, other.sign)), log)

    def __sub__(self, other: Signed) -> Signed:
        return self + Signed(-other.sign, other.log)

    def __pow__(self, p: int) -> Signed:
        return Signed(self.sign**p, self.log * p)


def larger(u: Signed, v: Signed) -> Signed:
    """The maximum."""
    return where((u - v).sign >= 0, u, v)


def smaller(u: Signed, v: Signed) -> Signed:
    """The minimum."""
    return where((u - v).sign <= 0, u, v)


def where(choice: Array, u: Signed, v: Signed) -> Signed:
    """u where chosen, else v."""
    return Signed(np.where(choice, u.sign, v.sign), np.where(choice, u.log, v.log))


def power(u: Signed, exponent: float) -> Signed:
    """``max(u, 0)^exponent`` for a positive exponent."""
    return Signed(np.maximum(u.sign, 0.0), np.where(u.sign > 0, u.log * exponent, -np.inf))


def exp(u: Signed) -> Signed:
    """e^u."""
    return Signed(1.0, u.value())


def log(u: Signed) -> Signed:
    """ln u, NaN below 0."""
    return Signed.of(np.where(u.sign < 0, np.nan, u.log))


def sinh(u: Signed) -> Signed:
    """sinh u, its size (e^|u| − e^{−|u|})/2."""
    size = np.abs(u.value())
    return Signed(u.sign, size + np.log(-np.expm1(-2 * size) / 2))


def cosh(u: Signed) -> Signed:
    """cosh u."""
    size = np.abs(u.value())
    return Signed(1.0, size + np.log1p(np.exp(-2 * size)) - np.log(2))


def plain(function: Callable[[Any], Any]) -> Callable[[Signed], Signed]:
    """A function of moderate values, from one of doubles."""
    return lambda u: Signed.of(function(u.value()))
