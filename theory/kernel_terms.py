"""φ as a short sum of powers, ``φ(s) = Σ_j w_j |s|^{k_j}``, for a flow that works direction by direction.

Such a flow carries one strength ``Σ_l n_l r_lp^{k_j}`` for every term of φ, so φ must have few.  The terms are those of
the Hermite series, w_j = c_k², k_j = k (σ even, information exponent ≥ 4); degrees within a ratio of each other form
one term W |s|^{W'/W} with their mass ``W = Σ w_j`` and slope ``W' = Σ k_j w_j``, and so does what the series leaves of
φ(1) = E σ² and φ'(1) = E σ'².  Then φ and φ' are exact at s = 1, where norms and directions relax, and the low powers,
which make the transition times, stay single.  ``error`` is the largest relative error of φ and φ' on (0, 1), which is
the relative error of the times: ``dr/dt = a φ'(r)(1 − r²)`` and ``d ln n/dt = 4 (a φ(r) − n φ(1))``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .._types import Array
from ..problem.activation import Activation

GOOD = 1e-5  # relative error that is not worth more terms
RATIOS = (2.0, 1.7, 1.5, 1.4, 1.3, 1.2, 1.15, 1.1)  # of degrees in one term, coarse to fine


@dataclass(frozen=True, eq=False)
class KernelTerms:
    """Degrees k_j and weights w_j, shape (J,), ascending, and the largest relative error of φ and φ'."""

    degrees: Array
    weights: Array
    error: float

    @cached_property
    def at_one(self) -> float:
        """φ(1)."""
        return float(np.sum(self.weights))

    @cached_property
    def slope_at_one(self) -> float:
        """φ'(1)."""
        return float(self.degrees @ self.weights)

    def each_power(self, squares: Array, less: int = 0) -> Iterator[Array]:
        """``|r|^{k_j − less}`` from r², one degree after the other; ``less`` 0 or 2."""
        power, reached = squares, 2.0
        for degree in self._degrees:
            k = degree - less
            if k % 2:  # a group of degrees
                yield squares ** (k / 2)
                continue
            while reached < k:
                power, reached = power * squares, reached + 2
            yield power

    def powers(self, squares: Array) -> Array:
        """All ``|r|^{k_j}``, shape (J, …)."""
        out = np.empty((len(self.degrees), *squares.shape), squares.dtype)
        for j, power in enumerate(self.each_power(squares)):
            out[j] = power
        return out

    def moments(self, squares: Array) -> tuple[Array, Array, Array]:
        """``φ(r)``, ``r φ'(r)`` and ``r² φ''(r)`` from r²."""
        each = (self._moments.astype(squares.dtype) @ self.powers(squares).reshape(len(self.degrees), -1)).reshape(
            3, *squares.shape
        )
        return each[0], each[1], each[2]

    @cached_property
    def _degrees(self) -> list[float]:
        return self.degrees.tolist()  # type: ignore[no-any-return]

    @cached_property
    def _moments(self) -> Array:
        """Weights of the powers in ``moments``, shape (3, J)."""
        k, w = self.degrees, self.weights
        return np.stack([w, k * w, k * (k - 1) * w])


@lru_cache(maxsize=16)
def kernel_terms(activation: Activation) -> KernelTerms:
    """φ of an even activation of information exponent ≥ 4 as a short sum of powers."""
    squares = activation.coefficients**2
    squares[: activation.information_exponent or 0] = 0.0  # rounding
    degrees = np.nonzero(squares > 1e-16 * activation.second_moment)[0]
    weights = squares[degrees]
    left = activation.second_moment - float(np.sum(weights))
    slope = activation.slope_second_moment - float(degrees @ weights)
    if left > 1e-10 * activation.second_moment and slope > degrees[-1] * left:
        degrees, weights = np.append(degrees.astype(float), slope / left), np.append(weights, left)
    for ratio in RATIOS:
        terms = _grouped(activation, degrees.astype(float), weights, ratio)
        if terms.error < GOOD:
            break
    return terms


def _grouped(activation: Activation, degrees: Array, weights: Array, ratio: float) -> KernelTerms:
    """One term for all degrees between k and ``ratio`` k."""
    start = [0]
    for i, k in enumerate(degrees):
        if k > ratio * degrees[start[-1]]:
            start.append(i)
    mass, slope = np.add.reduceat(weights, start), np.add.reduceat(degrees * weights, start)
    single = np.diff([*start, len(degrees)]) == 1
    power = np.where(single, degrees[start], slope / mass)
    r = 1 - np.geomspace(1, 1e-4, 80)[1:]
    value = np.sum(mass * r[:, None] ** power, axis=1) / activation.phi(r) - 1
    first = np.sum(power * mass * r[:, None] ** (power - 1), axis=1) / activation.phi_slope(r) - 1
    return KernelTerms(power, mass, float(max(np.abs(value).max(), np.abs(first).max())))
