"""What students do to each other, and each to itself, along directions that are already learned.

A learned direction p has a leader l, n_l ≈ a_p, v̄_l ≈ v*_p, which relaxes at rates 4 a_p φ(1) and a_p φ'(1): fast
against everything that dormant students of norm n ≪ a_p still do.  So it is in equilibrium with them.  Its own
equations (``problem.population_loss``: F_l = 0 and no tangential force) say that the residual f* − f is orthogonal to
``σ(v*_p·x)`` and to its derivatives ``∂_i σ(v*_p·x)``, i ⟂ v*_p, of square norms φ(1) and φ'(1); all of them are
orthogonal to each other (c_0 = c_2 = 0).  Taking these components out of ``E[σ(v̄_k·x) σ(v̄_l·x)] = φ(q)`` leaves, with
r = r_kp, r' = r_lp,

    K(k, l) = φ(q) − Σ_p [ φ(r) φ(r')/φ(1) + φ'(r) φ'(r') (q − r r')/φ'(1) ]        (p learned)

and the students that are left follow the flow with K in place of φ(q), no force of a learned direction otherwise:
F_k = Σ_{p open} a_p φ(r_kp) − Σ_l n_l K(k, l), G_k = … − Σ_l n_l ∇_k K(k, l).  Corrections are of relative order n/a_p.
(Derived here; p learned means that its leader is at rest.)

On itself a student acts by K(k, k) = φ(1) − Σ_p g(r_kp), ``g(r) = φ(r)²/φ(1) + φ'(r)² (1 − r²)/φ'(1)``, and by
½ ∇K(k, k): with x = r² and φ = s⁴, g = 4x³ − 3x⁴, so that a student partly captured by a learned direction loses norm
at the rate 4n(1 − x)²(1 + 2x + 3x²) and its other overlaps shrink at the rate 12 n x³(1 − x), secularly, long after
the direction is learned.  Between two different students the terms are of second order in q − r r' ~ d^{−1/2} for one
Hermite term and small for several.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from .kernel_terms import KernelTerms


def self_terms(terms: KernelTerms, squares: Array) -> tuple[Array, Array]:
    """``g(r)`` and ``½ r g'(r)`` from r² > 0, elementwise."""
    value, first, second = terms.moments(squares)  # φ, r φ', r² φ''
    beside = (1 - squares) / squares / terms.slope_at_one
    g = value**2 / terms.at_one + first**2 * beside
    return g, value * first / terms.at_one + first * second * beside - first**2 / terms.slope_at_one


def pair_slopes(terms: KernelTerms, q: Array, r: Array, other: Array) -> tuple[Array, Array]:
    """Force of students l on students k with one learned direction p, per unit of n_l: ``(along, radial)``.

    Parameters
    ----------
    q
        Overlaps v̄_k·v̄_l, shape (K, L).
    r
        r_kp of the direction p that has captured l, shape (K, L); 0 for none.
    other
        r_lp, shape (L,).

    Returns
    -------
    along, radial
        ``∇_k K = along · v̄_l + (…) v*_p``, and ``v̄_k·∇_k K``, shapes (K, L).
    """
    _, first, _ = terms.moments(q * q)
    _, at_k, curve = terms.moments(r * r)
    value, at_l, _ = terms.moments(other * other)
    slope_k, slope_l = at_k / _nonzero(r), at_l / _nonzero(other)
    along = first / _nonzero(q) - slope_k * slope_l / terms.slope_at_one
    bend = (curve / _nonzero(r) + slope_k) * slope_l * (q - r * other) / terms.slope_at_one
    return along, first - at_k * value / terms.at_one - bend


def _nonzero(values: Array) -> Array:
    return np.where(values == 0, 1.0, values)
