"""The constants of gradient noise: moments of the error times the slope, exactly.

One sample turns a student v̄_k by −(η/B) δ σ'(z) (x − z v̄_k), z = v̄_k·x, with the error δ = f(x) − f*(x) − ξ, so
that all that noise does to an overlap is in second moments of δ σ'(z).  For one student with overlap r to one
direction of strength a, write y = x_p = r z + √(1 − r²) u with independent standard normal z and u; the rest of the
error is independent of both but for corrections of relative order 1/d.  Then

    e0(r) = E[σ(y)² σ'(z)²]        = Σ_k A_k S_k r^k
    e1(r) = E[σ(y)² σ(z) σ'(z) u]  = ½ √(1 − r²) Σ_k k A_k² r^{k−1}
    e2(r) = E[σ(y)² σ'(z)² u²]     = e0 + (1 − r²) Σ_k √((k+1)(k+2)) A_{k+2} S_k r^k

with the Hermite coefficients A of σ² and S of σ'² (Mehler's formula, and Stein's for every u), and with
E2 = E δ² = 2 L + τ² for label noise of standard deviation τ, H = E2 − φ(1) a², H' = H − τ², per unit of flow time

    shrinkage   Γ(r) = η/B { a² [e2 + (d − 2) e0] + φ'(1) [(d − 1) H + (E[σ² Z²]/φ(1) − 1) H'] }
    drift       b(r) = a φ'(r)(1 − r²) − r Γ/2 − 2 (η/B) √(1 − r²) a² e1
    diffusion   D(r) = η/B (1 − r²) [a² e2 + φ'(1) H].

Norms grow by ``d ln n/dt = 4 F + Γ``.  The series are finite for a polynomial; otherwise they are cut at degree
``DEGREES``, where what is left is below r^DEGREES of the whole.

A student that has learned its direction still jitters about it: with weight w = n/a its mean square angle is

    θ² = (η/B) d φ'(1) E2 / (2 a φ'(1) − (η/B) d n² (E[σ'⁴] − φ'(1)²)),

which adds φ'(1) n² θ² to E2.  The sum over all that is learned reaches E2 itself at the ceiling of the step size
(``ceiling``): beyond it the mean square error of a learned teacher is infinite.  Derived here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from .._types import Array
from ..problem.activation import Activation
from ..problem.hermite_coefficients import panel_rule
from ..problem.problem import Problem

DEGREES = 256


@dataclass(frozen=True, repr=False)
class NoiseMoments:
    """One-dimensional moments of σ and σ' that gradient noise is made of.

    Attributes
    ----------
    square, slope_square
        Hermite coefficients of σ² and of σ'², shape (K,).
    slope_fourth, weighted_square
        E[σ'⁴] and E[σ² Z²].
    """

    activation: Activation
    square: Array
    slope_square: Array
    slope_fourth: float
    weighted_square: float

    def e0(self, r: ArrayLike) -> Array:
        """E[σ(y)² σ'(z)²]."""
        return np.polynomial.polynomial.polyval(np.asarray(r, dtype=float), self.square * self.slope_square)

    def e1(self, r: ArrayLike) -> Array:
        """E[σ(y)² σ(z) σ'(z) u]."""
        r = np.asarray(r, dtype=float)
        slope = np.polynomial.polynomial.polyder(self.square**2)
        return 0.5 * np.sqrt(1 - r**2) * np.polynomial.polynomial.polyval(r, slope)

    def e2(self, r: ArrayLike) -> Array:
        """E[σ(y)² σ'(z)² u²]."""
        r, k = np.asarray(r, dtype=float), np.arange(len(self.square) - 2)
        twice = np.sqrt((k + 1) * (k + 2)) * self.square[2:] * self.slope_square[:-2]
        return self.e0(r) + (1 - r**2) * np.polynomial.polynomial.polyval(r, twice)


@lru_cache(maxsize=32)
def noise_moments(activation: Activation) -> NoiseMoments:
    """The moments of σ, by Gauss–Hermite where it is a polynomial and by composite Gauss–Legendre otherwise."""
    if activation.is_polynomial:
        degree = len(activation.coefficients) - 1
        nodes, weights = np.polynomial.hermite_e.hermegauss(2 * degree + 2)
        weights, top = weights / np.sqrt(2 * np.pi), 2 * degree + 1
    else:
        nodes, weights = panel_rule(activation.breaks, 0.05)
        weights, top = weights * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi), DEGREES
    value, slope = activation(nodes) ** 2, activation.derivative(nodes) ** 2
    known = np.isfinite(value) & np.isfinite(slope)
    value, slope = np.where(known, value, 0.0), np.where(known, slope, 0.0)
    square, slope_square = (np.empty(top + 2) for _ in range(2))
    previous, current = np.zeros_like(nodes), np.ones_like(nodes)
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(top + 2):
            weighted = np.where(weights > 0, weights * current, 0.0)
            square[k], slope_square[k] = np.sum(weighted * value), np.sum(weighted * slope)
            previous, current = current, (nodes * current - np.sqrt(k) * previous) / np.sqrt(k + 1)
    return NoiseMoments(
        activation, square, slope_square, float(np.sum(weights * slope**2)), float(np.sum(weights * value * nodes**2))
    )


@dataclass(frozen=True, repr=False)
class OverlapNoise:
    """Drift and diffusion of one overlap, affine in the mean square error E2.

    Attributes
    ----------
    pull, rate
        a φ'(r)(1 − r²), and what (η/B) adds to it: ``rate[0] + E2 rate[1]``, each of the shape of r.
    spread
        D(r) per η/B, ``spread[0] + E2 spread[1]``.
    """

    pull: Array
    rate: tuple[Array, Array]
    spread: tuple[Array, Array]


def overlap_noise(problem: Problem, a: Array, r: Array, label_noise: float) -> OverlapNoise:
    """Coefficients for strengths a and overlaps r, which broadcast; the error is that of the moment."""
    sigma, moments, d = problem.activation, noise_moments(problem.activation), problem.d
    one, slope = sigma.second_moment, sigma.slope_second_moment
    e0, e1, e2 = moments.e0(r), moments.e1(r), moments.e2(r)
    excess = moments.weighted_square / one - 1
    own = a**2 * (e2 + (d - 2) * e0) - slope * ((d - 1 + excess) * one * a**2 + excess * label_noise**2)
    shrink = slope * (d - 1 + excess)
    side = np.sqrt(1 - r**2)
    return OverlapNoise(
        a * sigma.phi_slope(r) * (1 - r**2),
        (-0.5 * r * own - 2 * side * a**2 * e1, np.broadcast_to(-0.5 * r * shrink, own.shape)),
        ((1 - r**2) * a**2 * (e2 - slope * one), np.broadcast_to((1 - r**2) * slope, own.shape)),
    )


def jitter_share(problem: Problem, a: Array, n: Array, scale: float) -> Array:
    """Share φ'(1) n² θ²/E2 of the mean square error that learned students of strength a and norm n add.

    ``scale`` is η/B; inf where a single student does not come to rest.
    """
    slope = problem.activation.slope_second_moment
    fourth = noise_moments(problem.activation).slope_fourth
    rest = 2 * a * slope - scale * problem.d * n**2 * (fourth - slope**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = scale * problem.d * (slope * n) ** 2 / rest
    return np.where(rest > 0, share, np.inf)


def ceiling(problem: Problem, learned: Array | None = None) -> float:
    """Largest η/B at which the mean square error stays finite once ``learned`` (P,) are, default all."""
    a = problem.a[problem.a > 0] if learned is None else problem.a[learned & (problem.a > 0)]
    slope = problem.activation.slope_second_moment
    fourth = noise_moments(problem.activation).slope_fourth
    alone = 2 * slope / (problem.d * a.max() * max(fourth - slope**2, 1e-300))  # where the strongest does not rest

    def excess(scale: float) -> float:
        return float(jitter_share(problem, a, a, scale).sum()) - 1

    top = min(alone, 2 / (problem.d * slope * a.sum() / a.size) * a.size)
    high = top * (1 - 1e-12)
    return high if excess(high) < 0 else float(brentq(excess, 0.0, high, xtol=1e-14 * high, rtol=1e-12))
