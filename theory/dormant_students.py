"""Students whose norm does not matter yet move almost in closed form.

A dormant student k sees the residual strengths ``ρ_jp(t) = a_p − Σ_l n_l r_lp^{k_j}`` of the open directions and does
not change them.  With φ(s) = Σ_j w_j s^{k_j} (``theory.kernel_terms``),

    dr_p/dt = Σ_j k_j w_j ρ_jp r_p^{k_j − 1} − λ r_p,
    λ =  Σ_jp k_j w_j ρ_jp r_p^{k_j},    d ln n/dt = 4 Σ_jp w_j ρ_jp r_p^{k_j}.

With Λ = ∫λ dt and y = r e^Λ the common rate drops out.  For one degree k: dy_p/dt = k w ρ_p y_p^{k−1} e^{−(k−2)Λ}, so

    y_p^{−(k−2)} = r_p^{−(k−2)} − k(k−2) w ∫ρ_p e^{−(k−2)Λ} dt.

Over a step in which r grows little, Λ in the integral is replaced by half of its end value (λ changes little) and
ρ enters by its exact integral ``∫ρ_p dt`` alone; further degrees enter with their ratio to the first, at the mean of
r^{k_j − k_0}.  What is outside the open directions only shrinks, so that Σ r² + |u|² = 1 gives Λ; two iterations.
To this come the terms of a student on itself (``theory.learned_kernel``), by the midpoint rule: −4n(φ(1) − Σ g) in
d ln n, ½ r g' n in dr/dt.  The relative error of a step is of third order in k w ρ r^{k−2} Δt.  (Derived here.)
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from .kernel_terms import KernelTerms
from .learned_kernel import self_terms

CAPTURED = 0.05  # r² with a learned direction from which a student's terms on itself are not those of a free one
ITERATIONS = 2


def grown(terms: KernelTerms, squares: Array, impulse: Array, turn: Array) -> Array:
    """y² after a step that turns the student by Λ = ``turn`` (K,), from r² (K, P) and ∫ρ_jp dt (K, J, P)."""
    k, kw = terms.degrees, terms.degrees * terms.weights
    half = k[0] / 2 - 1
    effective = impulse[:, 0]
    if len(k) > 1:
        new = squares
        for _ in range(2):
            middle = np.minimum(0.5 * (squares + new) * np.exp(-turn)[:, None], 1.0)  # r², too long a step or not
            first: Array | None = None
            effective = np.zeros_like(squares)
            for j, power in enumerate(terms.each_power(middle)):
                first = np.maximum(power, 1e-300) if first is None else first
                effective += (kw[j] / kw[0]) * (power / first if j else 1.0) * impulse[:, j]
            new = _blown_up(squares, half, k[0], kw[0], effective, turn)
        return new
    return _blown_up(squares, half, k[0], kw[0], effective, turn)


def _blown_up(squares: Array, half: float, k: float, kw: float, effective: Array, turn: Array) -> Array:
    lead = squares if half == 1 else squares**half
    left = 1 - (kw * (k - 2)) * np.exp(-(k - 2) * 0.5 * turn)[:, None] * lead * effective
    np.maximum(left, 0.05, out=left)  # a step is never that long; no division by zero
    return squares / (left if half == 1 else left ** (1 / half))


def dormant_step(
    terms: KernelTerms, overlaps: Array, outside: Array, log_n: Array, impulse: Array, dt: Array, learned: Array
) -> tuple[Array, Array, Array]:
    """New ``(r, |u|², ln n)`` of K dormant students from ∫ρ_jp dt, shape (K, J, P), and dt, shape (K,)."""
    squares = overlaps * overlaps
    turn = np.zeros(len(overlaps))
    for _ in range(ITERATIONS):
        new = grown(terms, squares, impulse, turn)
        turn = 0.5 * np.log(np.maximum(outside + new.sum(axis=1), 1e-3))
    if len(terms.degrees) == 1:
        growth = 4 / terms.degrees[0] * turn
    else:
        growth = np.zeros(len(overlaps))
        for j, power in enumerate(terms.each_power(np.minimum(0.5 * (squares + new), 1.0))):
            growth += 4 * terms.weights[j] * np.einsum("kp,kp->k", power, impulse[:, j])
    y = np.sqrt(new) * np.sign(overlaps)
    n = np.exp(log_n)
    own = captured_step(terms, y, squares, n * dt, learned)
    overlaps, outside, _ = normalised(y, outside)
    return overlaps, outside, log_n + growth - 4 * n * (terms.at_one - own) * dt


def captured_step(terms: KernelTerms, y: Array, squares: Array, weight: Array, learned: Array) -> Array:
    """Move ``y`` (K, P) in place by each student's own terms, ``weight`` = n Δt (K,); returns Σ_p g (K,)."""
    k, p, x = captured(squares, learned)
    if not k.size:
        return np.zeros(len(y))
    _, pull = self_terms(terms, x)
    x = np.minimum(x * np.exp(np.minimum(weight[k] * pull / x, 700.0)), 1.0)  # r² after half the step
    g, pull = self_terms(terms, x)
    y[k, p] *= np.exp(weight[k] * pull / x)
    return np.bincount(k, g, len(y))


def own_rates(terms: KernelTerms, squares: Array, learned: Array) -> tuple[Array, Array, Array]:
    """Σ_p g, Σ_p ½ r g', and the fastest change of ln r by a student's own terms, per unit of n, shapes (K,)."""
    k, _, x = captured(squares, learned)
    g, pull = self_terms(terms, x)
    return tuple(np.bincount(k, part, len(squares)) for part in (g, pull, np.abs(pull / x)))  # type: ignore[return-value]


def captured(squares: Array, learned: Array) -> tuple[Array, Array, Array]:
    """Students, learned directions that hold them, and r²."""
    k, p = np.nonzero((squares > CAPTURED) & learned)
    return k, p, np.minimum(squares[k, p], 1.0)


def normalised(y: Array, outside: Array) -> tuple[Array, Array, Array]:
    """Overlaps and |u|² of unit students, and |y|² + |u|² as it was."""
    square = outside + np.einsum("kp,kp->k", y, y)
    scale = 1 / np.sqrt(square)
    return y * scale[:, None], outside * scale**2, square
