"""Exact population loss and gradient flow of the student, at any finite d.

Setting (Ren, Nichani, Wu, Lee 2025, §2; formulas derived here from E[σ(u·x)σ(v·x)] = φ(u·v)).
With n_k = ‖v_k‖², v̄_k = v_k/‖v_k‖, overlaps r_kp = v̄_k·v*_p and q_kl = v̄_k·v̄_l:

    L   = ½ [ φ(1) Σ_p a_p² − 2 Σ_kp n_k a_p φ(r_kp) + Σ_kl n_k n_l φ(q_kl) ]
    F_k = Σ_p a_p φ(r_kp) − Σ_l n_l φ(q_kl)
    G_k = Σ_p a_p φ'(r_kp) v*_p − Σ_l n_l φ'(q_kl) v̄_l
    −∇_{v_k} L = ‖v_k‖ [ 2 F_k v̄_k + (I − v̄_k v̄_kᵀ) G_k ]

so that in flow time d(ln n_k)/dt = 4 F_k and dv̄_k/dt = (I − v̄_k v̄_kᵀ) G_k.  Everything stays in
span(V*, V(0)): directions are given by coordinates whose first P axes are the teacher's.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from .problem import MAX_NUMBERS, Problem


def pairs_refusal(problem: Problem) -> str | None:
    """Why the Gram matrix that loss and gradient take cannot be held; None where it can."""
    if problem.m**2 <= MAX_NUMBERS:
        return None
    return f"the overlaps of m = {problem.m} students with each other, m × m numbers, do not fit in memory"


def loss(problem: Problem, n: Array, overlaps: Array, gram: Array) -> float:
    """Population loss from squared norms (m,), overlaps r (m, P) and Gram matrix q (m, m)."""
    phi, a = problem.activation.phi, problem.a
    cross = n @ phi(overlaps) @ a
    own = n @ phi(np.clip(gram, -1.0, 1.0)) @ n
    return float(max(0.0, 0.5 * (problem.activation.second_moment * np.sum(a**2) - 2 * cross + own)))


def loss_of_students(problem: Problem, students: Array) -> float:
    """Population loss of unnormalised students (m, D), first P coordinates along the teacher's directions."""
    n = np.einsum("kd,kd->k", students, students)
    unit = students / np.sqrt(n)[:, None]
    return loss(problem, n, unit[:, : problem.P], unit @ unit.T)


def velocity(
    problem: Problem, n: Array, directions: Array, sources: Array | slice = slice(None)
) -> tuple[Array, Array]:
    """``(F, T)``: F (m,) and the tangential part T (m, D) of G, per unit of flow time.

    Parameters
    ----------
    n
        Squared norms, shape (m,).
    directions
        Unit rows v̄_k, shape (m, D), first P coordinates along the teacher's directions; in single precision
        the products are too.
    sources
        Students l of the sums above, by default all; the others pull on themselves alone (l = k).
    """
    activation, kind = problem.activation, directions.dtype
    a, strengths = problem.a.astype(kind), n[sources].astype(kind)
    overlaps, pulling = directions[:, : problem.P], directions[sources]
    gram = np.clip(directions @ pulling.T, -1.0, 1.0)
    by_itself = n.copy()
    by_itself[sources] = 0
    F = activation.phi(overlaps) @ a - activation.phi(gram) @ strengths - activation.second_moment * by_itself
    G = -(activation.phi_slope(gram) * strengths) @ pulling
    G[:, : problem.P] += activation.phi_slope(overlaps) * a
    G -= np.einsum("kd,kd->k", G, directions)[:, None] * directions
    return F, G
