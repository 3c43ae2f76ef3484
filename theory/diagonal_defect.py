"""What the flow direction by direction neglects, as an error bound of each alignment time.

Alone, ``T = ∫ dr/f`` with the drift f of the learner's overlap; a small extra drift δ moves T by ``−∫ δ/f dt``.  So the
relative error of T_p is at most ``(1/T_p) ∫ |δ_kp|/f_kp dt`` for the student k that learns p, from five sources:

* pairs: the exact force of every student l ≠ k that is not at rest, with the kernel of ``theory.learned_kernel``, less
  the diagonal one ``Σ_j k_j w_j r_kp^{k_j−1} r_lp^{k_j}`` that the flow has (tangential parts).  Evaluated every few
  steps for all students against those with ``n > 2 n_0`` or r² > ``CAPTURED``, up to ``FEW`` students against all;
  between two evaluations, their geometric mean, since what a transition brings decays exponentially;
* a student's own terms along a learned direction, which are those of a leader at rest and of first order in n: a
  fraction ``OWN`` of them (measured: up to 0.13 of their effect for students captured up to r² = 0.95);
* what earlier directions hand on: if q is recovered late by δT_q, a student with overlap r_kq turns on towards q for so
  long and its other overlaps fall by ``λ_q δT_q``, ``λ_q = a_q Σ_j k_j w_j r_kq^{k_j}``, so that T_p ∝ r^{2 − k_0}
  rises by (k_0 − 2) λ_q δT_q of itself (δT_q without what ``SAFETY`` adds to ``STEPS``: a student that is outrun half
  way would make some 1e-4 of T_q a hundredth of T_p);
* steps: an error ε of ln r_kp is one of ``ε/(d ln r_kp/dt)`` in time, much for a student that another one has just
  outrun; ε is what a step says of its own error, and what a look finds the other overlaps to have changed meanwhile;
* what is left of steps, the truncation of φ, and leaders that are not at rest: ``STEPS`` (of 2001 times with bounds
  below 2e-4, next to nothing but this one, all are right within 1e-4), the error of the terms, and n_0/a_p.

The sum is to first order in all of them; ``SAFETY`` covers the rest: of 1807 times of random problems with P up to 39,
d from P + 2 and starts up to the largest allowed three were beyond their bound, by up to 2.2 times, from starts above
1e-6; what was wrong by more than 0.5 % was flagged (``benchmarks/flow_bounds.py``).  Derived here.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from ..problem.problem import Problem
from .dormant_students import CAPTURED, own_rates
from .kernel_terms import KernelTerms
from .learned_kernel import pair_slopes

STEPS = 3e-5
OWN = 0.1
SAFETY = 5.0
STEPPED = 0.4  # of the error that a step estimates, which is that of a lower order
FEW = 128
LEADING = 0.9999  # r² with a recovered direction beyond which a student is part of it


class Defect:
    """Bounds, collected while the flow runs.

    ``bound`` (P,) is NaN until a direction is aligned; ``every`` is the number of steps between two evaluations, more
    where one costs more.
    """

    def __init__(self, problem: Problem, terms: KernelTerms, beside: Array, beside_norm: Array) -> None:
        m, P = problem.m, problem.P
        self.terms, self.n0, self.a = terms, problem.init_scale**2, problem.a
        self.beside = (beside / beside_norm[:, None]).astype(np.float32)
        self.bound = np.full(P, np.nan)
        self.t = 0.0
        self.every = 4 + min(28, m * P // 2**9)
        self.collected = np.zeros((m, P), dtype=np.float32)  # ∫ |δ|/f dt
        self.rate = np.zeros((m, P), dtype=np.float32)  # |δ|/f at the last evaluation, and at the one before
        self.before = np.zeros((m, P), dtype=np.float32)
        self.stepped = np.zeros(m)  # errors of ln r since the last evaluation
        self.handed = np.zeros(m)  # Σ_q λ_q δT_q

    def aligned(self, p: int, k: int, t: float) -> None:
        """Student k is aligned with p at t."""
        pairs = float(self.collected[k, p] + min(self.rate[k, p], self.before[k, p]) * (t - self.t)) / t
        handed = (self.terms.degrees[0] - 2) * self.handed[k]
        self.bound[p] = SAFETY * (STEPS + self.terms.error + pairs) + handed + self.n0 / self.a[p]

    def recovered(self, p: int, t: float, squares: Array) -> None:
        """Direction p is recovered at t, when the students have r_kp² = ``squares``."""
        if np.isfinite(self.bound[p]):
            _, lam, _ = self.terms.moments(squares)
            late = (self.bound[p] - (SAFETY - 1) * STEPS) * t
            self.handed += self.a[p] * lam * late

    def examine(
        self, t: float, overlaps: Array, outside: Array, log_n: Array, rho: Array, is_open: Array, recovered: Array,
        leads: Array,
    ) -> None:  # fmt: skip
        """Collect since the last time."""
        self.before, self.rate = self.rate, self.before
        passed, self.t = t - self.t, t
        self._evaluate(overlaps, outside, log_n, rho, is_open, recovered, leads)
        if passed == t:  # the first time
            self.before[:] = self.rate
        self.collected += np.sqrt(self.rate * self.before) * np.float32(passed)

    def _evaluate(
        self, overlaps: Array, outside: Array, log_n: Array, rho: Array, is_open: Array, recovered: Array, leads: Array
    ) -> None:
        """|δ|/f of every open overlap now; collects what the steps since the last time have left."""
        self.rate[:] = 0.0
        n = np.exp(log_n).astype(np.float32)
        squares = overlaps**2
        columns, held = np.nonzero(is_open & ~recovered)[0], np.nonzero(recovered)[0]
        if held.size:
            captor = held[np.argmax(squares[:, held], axis=1)]
            captured = np.take_along_axis(squares, captor[:, None], axis=1)[:, 0]
        else:
            captor, captured = np.zeros(len(n), dtype=int), np.zeros(len(n))
        moving = ~leads & (captured < LEADING)
        rows = np.nonzero(moving)[0]
        counts = (n > 2 * self.n0) | (squares.max(axis=1) > CAPTURED) | (len(n) <= FEW)
        sources = np.nonzero(moving & counts)[0]
        if not (sources.size and columns.size):
            return
        length = np.sqrt(outside).astype(np.float32)
        q = (length[rows, None] * length[sources]) * (self.beside[rows] @ self.beside[sources].T)
        q = np.clip(q + overlaps[rows] @ overlaps[sources].T, -1.0, 1.0)
        has_captor = captured[sources] > 0.01
        r = np.where(has_captor, overlaps[np.ix_(rows, captor[sources])], np.float32(0))
        other = np.where(has_captor, overlaps[sources, captor[sources]], np.float32(0))
        along, radial = pair_slopes(self.terms, q, r, other)
        same = rows[:, None] == sources
        along[same], radial[same] = 0.0, 0.0
        force = (along * n[sources]) @ overlaps[np.ix_(sources, columns)]
        turn = radial @ n[sources]
        x = squares[np.ix_(rows, columns)]
        at = np.searchsorted(rows, sources)
        diagonal, drift = np.zeros_like(x), np.zeros_like(x)
        own = squares[np.ix_(sources, columns)]
        for j, (mine, theirs) in enumerate(zip(self.terms.each_power(x), self.terms.each_power(own), strict=True)):
            kw = np.float32(self.terms.degrees[j] * self.terms.weights[j])
            mass = n[sources, None] * theirs
            drift += kw * mine * rho[j, columns].astype(np.float32)
            diagonal += kw * mine * mass.sum(axis=0)
            diagonal[at] -= kw * mine[at] * mass
        turn -= diagonal.sum(axis=1)
        defect = np.abs(force * overlaps[np.ix_(rows, columns)] - diagonal - turn[:, None] * x)
        own = OWN * n[rows] * np.abs(own_rates(self.terms, squares[rows], recovered)[1])
        defect += own[:, None].astype(np.float32) * x
        here, drift = np.ix_(rows, columns), np.maximum(np.abs(drift), 1e-30)
        self.rate[here] = np.minimum(defect / drift, 1e3)
        self.collected[here] += np.minimum(STEPPED * self.stepped[rows, None] * x / drift, self.t)
        self.stepped[:] = 0.0
