"""One direction learned by one student: exact quadrature, all directions at once.

Alone, a student with overlap r and squared norm n follows (derived in ``problem.population_loss``)

    ṙ = a φ'(r)(1 − r²),      ṅ = 4 n (a φ(r) − n φ(1)).

With τ = a t, ν = n/a, s = r² = 1/(1 + e^{−y}) and ψ(s) = φ'(r)/r both equations are solved by
integrals that do not know a, s_0 or n_0:

    dτ = dy / (2ψ),      A(y) = ∫_0^y 4φ dτ,      B(y) = ∫_0^y e^A dτ,
    ν(y) = ν_0 e^{A(y) − A(y_0)} / [1 + 4 φ(1) ν_0 e^{−A(y_0)} (B(y) − B(y_0))].

They are tabulated once by Gauss–Legendre panels on −80 ≤ y ≤ 40 (s from 1e-35 to 1 − 1e-17)
and completed inside a panel on demand, so a million times cost milliseconds.  Past y = 40 the
overlap is ±1 to the last bit and ν is logistic, with limit φ(±1)/φ(1).  A student moves outward
where ψ > 0; for a σ that is not even one on the wrong side stalls at a zero of ψ, or cannot grow
(φ(−1) ≤ φ(1)/2), and its time is inf.  Panels shrink geometrically on the outer side of a zero.
Unit: flow time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize.elementwise import find_root
from scipy.special import expit, logit

from .._types import Array
from ..problem.activation import Activation
from ..problem.events import RECOVERED
from ..problem.problem import Problem

_LOW, _HIGH, _WIDTH = -80.0, 40.0, 0.125
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(12)


@dataclass(frozen=True)
class _Table:
    """Integrals from y = 0 (s = ½) at panel edges, for students on one side."""

    activation: Activation
    side: float
    edges: Array
    tau: Array
    growth: Array
    weighted: Array
    stalled: Array

    def rates(self, y: Array) -> tuple[Array, Array]:
        """dτ/dy and dA/dy."""
        r = self.side * np.sqrt(expit(y))
        psi = self.activation.phi_slope(r) / r
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # ψ may underflow, or vanish
            return 0.5 / psi, 2 * self.activation.phi(r) / psi

    def at(self, y: Array) -> tuple[Array, Array, Array]:
        """τ, A and B at points y of any shape."""
        cell = np.clip(np.searchsorted(self.edges, y, side="right") - 1, 0, len(self.edges) - 2)
        left = self.edges[cell]
        half = 0.5 * (y - left)
        points = left[..., None] + half[..., None] * (1 + _NODES)
        tau_rate, growth_rate = self.rates(points)
        growth_inside = _running(growth_rate, half)
        weight = half[..., None] * _WEIGHTS
        tau = self.tau[cell] + np.sum(weight * tau_rate, axis=-1)
        growth = self.growth[cell] + np.sum(weight * growth_rate, axis=-1)
        level = np.exp(self.growth[cell][..., None] + growth_inside)
        return tau, growth, self.weighted[cell] + np.sum(weight * tau_rate * level, axis=-1)


def _running(rate: Array, half: Array) -> Array:
    """Integral of the interpolant of ``rate`` from the panel's left end to each of its nodes."""
    return half[..., None] * (rate @ _INTEGRATION.T)


def _integration_matrix() -> Array:
    """(i, j): ∫_{−1}^{x_i} of the j-th Lagrange polynomial on the Gauss–Legendre nodes."""
    powers = np.polynomial.legendre.legvander(_NODES, len(_NODES) - 1)
    integrals = np.stack(
        [
            np.polynomial.legendre.legval(_NODES, np.polynomial.legendre.legint(unit, lbnd=-1))
            for unit in np.eye(len(_NODES))
        ],
        axis=1,
    )
    return integrals @ np.linalg.inv(powers)


_INTEGRATION = _integration_matrix()


def _edges(activation: Activation, side: float) -> Array:
    """Panel edges in y: uniform, and crowding towards each zero of ψ from above."""
    uniform = _LOW + _WIDTH * np.arange(round((_HIGH - _LOW) / _WIDTH) + 1)

    def outward(y: Array) -> Array:
        return side * activation.phi_slope(side * np.sqrt(expit(y)))

    scan = np.linspace(_LOW, _HIGH, 8 * (len(uniform) - 1) + 1)
    moves = outward(scan) > 0
    crossing = np.nonzero(moves[:-1] != moves[1:])[0]
    zero = find_root(outward, (scan[crossing], scan[crossing + 1])).x if crossing.size else scan[crossing]
    ladder = zero[:, None] + _WIDTH * 0.5 ** np.arange(40)
    return np.unique(np.concatenate([uniform, ladder[ladder < _HIGH]]))


@lru_cache(maxsize=32)
def _table(activation: Activation, side: float) -> _Table:
    edges = _edges(activation, side)
    zeros = np.zeros(len(edges))
    blank = _Table(activation, side, edges, zeros, zeros, zeros, zeros > 0)
    half = 0.5 * np.diff(edges)
    points = edges[:-1, None] + half[:, None] * (1 + _NODES)
    tau_rate, growth_rate = blank.rates(points)
    bad = ~((tau_rate > 0) & (tau_rate < 1e290)).all(axis=1)  # a time beyond 1e290 is inf
    tau_rate[bad], growth_rate[bad] = 0.0, 0.0  # nothing passes through, so their integrals do not count
    origin = int(np.searchsorted(edges, 0.0))
    weight = half[:, None] * _WEIGHTS

    def from_origin(pieces: Array) -> Array:
        forward = np.cumsum(pieces[origin:])
        backward = -np.cumsum(pieces[:origin][::-1])[::-1]
        return np.concatenate([backward, [0.0], forward])

    growth = from_origin(np.sum(weight * growth_rate, axis=1))
    level = np.exp(growth[:-1, None] + _running(growth_rate, half))
    return _Table(
        activation, side, edges,
        from_origin(np.sum(weight * tau_rate, axis=1)), growth,
        from_origin(np.sum(weight * tau_rate * level, axis=1)),
        np.concatenate([bad, [False]]),
    )  # fmt: skip


def decoupled_refusal(problem: Problem) -> str | None:
    """Why one-direction-one-student theory does not apply; None where it does."""
    exponent = problem.activation.information_exponent
    if exponent == 1:
        return "information exponent 1: overlaps of either sign move through zero, students do not specialise"
    if exponent == 2 and np.count_nonzero(problem.a) > 1:
        return "information exponent 2 with several directions: students stay mixtures and do not decouple"
    return None


def alignment_time(activation: Activation, a: ArrayLike, r0: ArrayLike) -> Array:
    """Flow time from overlap r_0 to r² = ½ (0 if already there, inf if it stalls).

    ``a`` and ``r0`` broadcast; a = 0 or r_0 = 0 gives inf.
    """
    return _times(activation, a, r0, None)[0]


def recovery_time(activation: Activation, a: ArrayLike, r0: ArrayLike, n0: ArrayLike) -> Array:
    """Flow time from (r_0, n_0) until n r² ≥ a/2 (0 if already there, inf if it stalls)."""
    return _times(activation, a, r0, n0)[1]


def _times(activation: Activation, a: ArrayLike, r0: ArrayLike, n0: ArrayLike | None) -> tuple[Array, Array]:
    a, r0, n0_ = np.broadcast_arrays(
        np.asarray(a, dtype=float),
        np.asarray(r0, dtype=float),
        np.asarray(1.0 if n0 is None else n0, dtype=float),
    )
    align, recover = np.full(a.shape, np.inf), np.full(a.shape, np.inf)
    with np.errstate(divide="ignore"):
        y0 = logit(np.minimum(r0**2, 1.0))
    align[(y0 >= 0) & (a > 0)] = 0.0
    recover[(n0_ * r0**2 >= a / 2) & (a > 0)] = 0.0
    for side in (1.0, -1.0):
        table = _table(activation, side)
        y_end = _reachable(table, y0)
        here = (a > 0) & (np.sign(r0) == side) & (y0 >= _LOW) & (y0 < _HIGH)
        pick = here & (y_end >= 0) & np.isinf(align)
        if pick.any():
            align[pick] = -table.at(y0[pick])[0] / a[pick]
        here = (a > 0) & (np.sign(r0) == side) & (y0 >= _LOW)
        pick = here & (y_end >= _HIGH) & np.isinf(recover)
        if n0 is not None and pick.any():
            recover[pick] = _recovery(table, a[pick], np.minimum(y0[pick], _HIGH), n0_[pick])
    return align, recover


def _reachable(table: _Table, y0: Array) -> Array:
    """How far in y a student starting at y_0 gets before ψ ≤ 0 stalls it."""
    panels = np.nonzero(table.stalled)[0]
    stalls = table.edges[panels]
    if not stalls.size:
        return np.full(y0.shape, _HIGH)
    following = np.searchsorted(table.edges[panels + 1], np.clip(y0, _LOW, _HIGH), side="right")
    return np.where(following < len(stalls), stalls[np.minimum(following, len(stalls) - 1)], _HIGH)


def _recovery(table: _Table, a: Array, y0: Array, n0: Array) -> Array:
    phi_one = table.activation.second_moment
    nu0 = n0 / a
    tau0, growth0, weighted0 = table.at(y0)

    def ratio(y: Array, nu0: Array, growth0: Array, weighted0: Array) -> Array:
        """ν at y."""
        _, growth, weighted = table.at(y)
        decay = 4 * phi_one * nu0 * np.exp(-growth0) * (weighted - weighted0)
        return nu0 * np.exp(growth - growth0) / (1 + decay)

    def excess(y: Array, *start: Array) -> Array:
        return ratio(y, *start) * expit(y) - RECOVERED

    start = nu0, growth0, weighted0
    low, high = y0.copy(), np.full_like(y0, _HIGH)
    # Where ν s = ½, its slope times s is Σ c_k² (2k s^{k/2} − (2k − 4) s^{k/2+1} − 2), rising in s: it passes
    # ½ once.  With odd terms on the wrong side it may fall again: bracket its first passage.
    wrong_side = table.side < 0 and table.activation.parity != "even"
    if wrong_side and (nu0 > 0.5).any():
        fractions = np.linspace(0, 1, 2001)[1:]
        seen = np.full(y0.shape, False)
        for fraction in fractions:
            y = y0 + fraction * (_HIGH - y0)
            now = ~seen & (excess(y, *start) >= 0)
            high[now], seen = y[now], seen | now
            low[~seen] = y[~seen]
    late = ratio(high, *start)
    found = find_root(excess, (low, high), args=start)
    reached = np.where(found.success, found.x, low)  # no change of sign: there from the start, but for rounding
    inside = table.at(reached)[0] - tau0
    pull = float(table.activation.phi(table.side))
    limit = pull / phi_one  # of ν; 1 unless σ is not even and the student sits at r = −1
    with np.errstate(divide="ignore", invalid="ignore"):
        logistic = np.log(0.5 * (limit - late) / (late * (limit - 0.5))) / (4 * pull) if limit > 0.5 else np.inf
        logistic = table.at(np.full_like(y0, _HIGH))[0] - tau0 + logistic
    return np.where(late >= 0.5, inside, logistic) / a


def delay(activation: Activation) -> float:
    """``K = (1/φ(1)) ∫ (φ(1)·1[r² ≥ ½] − φ(r)) dτ`` over a whole transition (r > 0).

    By K/a the recovery of a student with n_0 ≪ a comes later than ``ln(a/n_0)/(4 a φ(1))``
    after alignment.
    """
    table = _table(activation, 1.0)
    phi_one = activation.second_moment
    before = -table.growth[0]  # ∫ 4φ dτ up to alignment
    after = 4 * phi_one * table.tau[-1] - table.growth[-1]
    return float(after - before) / (4 * phi_one)
