"""The overlap ODE at a finite step size: gradient flow with the mean effect of gradient noise.

To second order in η the means of ln n, r and q over one mini-batch of B samples move, per unit of flow time and with
the moments N, S, V of ``theory.gradient_covariance`` (fields i: teacher's directions and students; weights
w = (−a, n); correlations c_ij),

    d ln n_k = 4 F_k + (η/B) N_k
    d r_kp   = D_kp − (η/2B) S_kk r_kp,          D_ki = Σ_j W_kj (c_ji − c_kj c_ki),
    d q_kl   = D_kl + D_lk − (η/2B)(S_kk + S_ll) q_kl + (η/B) S_kl,    W_kj = −w_j φ'(c_kj) − (4η/B) V_kj.

The first part of W is the gradient of the population loss; S_kk shrinks every overlap, S_kl is what noise turns two
students by together, and what a learned student keeps of both is its jitter, so that the loss of this flow ends on
the plateau of a constant step size.  Terms of Saad and Solla (1995, *Phys. Rev. E* 52) for the two-homogeneous
student, here at finite d; of the mean gradient's own square, which is of order η without d, nothing is kept.

It is the flow of the means: at finite d overlaps also *diffuse* by √(η E2 t) each, which is what learns a direction
whose drift loses against shrinkage (``theory.finite_step_law``).  The state (ln n, r, q) is packed: noise leaves the
span of the start.  Derived here.  Unit: flow time t = η · steps.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from ..problem.problem import Problem
from .gradient_covariance import gradient_covariance


class NoisyFlow:
    """State, right-hand side and what they say, for ``theory.flow``.

    Parameters
    ----------
    start
        Initial coordinates (m, D).
    scale, label_noise
        η/B, and the standard deviation of noise on the labels.
    """

    def __init__(self, problem: Problem, start: Array, scale: float, label_noise: float) -> None:
        self._problem, self._scale, self._label_noise = problem, scale, label_noise
        self._pairs = np.triu_indices(problem.m, 1)
        self.error = 0.0  # largest relative standard error of N so far
        overlaps, gram = start[:, : problem.P], start @ start.T
        log_n = np.full(problem.m, 2 * np.log(problem.init_scale))
        self.start = np.concatenate([log_n, overlaps.ravel(), gram[self._pairs]])

    def overlaps(self, y: Array) -> tuple[Array, Array]:
        """Squared norms (m,) and overlaps (m, P)."""
        m, P = self._problem.m, self._problem.P
        return np.exp(y[:m]), np.clip(y[m : m + m * P].reshape(m, P), -1.0, 1.0)

    def gram(self, y: Array) -> Array:
        """Overlaps of the students with each other, (m, m)."""
        gram = np.eye(self._problem.m)
        gram[self._pairs] = np.clip(y[self._problem.m * (self._problem.P + 1) :], -1.0, 1.0)
        gram.T[self._pairs] = gram[self._pairs]
        return gram

    def velocity(self, y: Array) -> Array:
        """dy/dt."""
        problem, scale, P = self._problem, self._scale, self._problem.P
        (n, overlaps), gram = self.overlaps(y), self.gram(y)
        fields = np.block([[np.eye(P), overlaps.T], [overlaps, gram]])
        rows, weights = fields[P:], np.concatenate([-problem.a, n])
        noise = gradient_covariance(problem, n, fields, self._label_noise)
        self.error = max(self.error, noise.error)
        F = -problem.activation.phi(rows) @ weights
        W = -problem.activation.phi_slope(rows) * weights - 4 * scale * noise.V
        drift = W @ fields - np.einsum("kj,kj->k", W, rows)[:, None] * rows
        own = np.diag(noise.S)
        turn = drift[:, :P] - 0.5 * scale * own[:, None] * overlaps
        both = drift[:, P:] + drift[:, P:].T - 0.5 * scale * np.add.outer(own, own) * gram + scale * noise.S
        return np.concatenate([4 * F + scale * noise.N, turn.ravel(), both[self._pairs]])

    def rows(self, y: Array) -> Array:
        """Directions (m, P + m) with these overlaps and this Gram matrix."""
        _, overlaps = self.overlaps(y)
        values, axes = np.linalg.eigh(self.gram(y) - overlaps @ overlaps.T)
        return np.hstack([overlaps, axes * np.sqrt(np.maximum(values, 0.0))])
