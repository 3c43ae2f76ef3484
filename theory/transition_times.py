"""Times of one direction alone, exact, for very many starts at once.

With
τ = a t, ν = n/a, y = ln(s/(1 − s)), ψ(s) = φ'(r)/r and the integrals from y = 0

    dτ = dy/(2ψ),      A = ∫ 4φ dτ,      B = ∫ e^A dτ,

the start (y_0, ν_0) enters the norm through one number only, so the recovery level ν s = ½ can be
read backwards (derived here):

    ν = e^A / (λ + 4φ(1) B),   λ = e^{A(y_0)}/ν_0 − 4φ(1) B(y_0);      ν s = ½  at  λ = 2 s e^A − 4φ(1) B.

Hence a T_alignment = −τ(y_0) and a T_recovery = ρ(λ) − τ(y_0), with ρ a tabulated function of one
variable: a million times in a fraction of a second.
Valid for n_0 = init_scale² ≪ a_p; the few others are left to ``theory.decoupled``.
Unit: flow time.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicHermiteSpline, CubicSpline
from scipy.special import expit, logit

from .._types import Array
from ..problem.activation import Activation
from ..problem.events import ALIGNED
from . import decoupled

_WIDTH = 1 / 64  # of a panel in y


def transition_times(activation: Activation, a: Array, overlaps: Array, n0: float) -> tuple[Array, Array]:
    """Alignment and recovery flow times of ``theory.decoupled`` for overlaps r (…, P), to about 1e-7.

    a broadcasts against the overlaps; a = 0 or r = 0 gives inf.  Starts at r < 0, past r² = ½ or with
    n_0 > a/8 are left to ``theory.decoupled`` itself.
    """
    a = np.broadcast_to(a, overlaps.shape)
    align, recover = np.full(overlaps.shape, np.inf), np.full(overlaps.shape, np.inf)
    live = (a > 0) & (overlaps != 0)
    late = live & ((overlaps < 0) | (overlaps**2 >= ALIGNED) | (n0 > a / 8))
    align[late] = decoupled.alignment_time(activation, a[late], overlaps[late])
    recover[late] = decoupled.recovery_time(activation, a[late], overlaps[late], n0)
    live &= ~late
    if not live.any():
        return align, recover
    phi_one, slope_one = activation.second_moment, activation.slope_second_moment
    y0 = logit(overlaps[live] ** 2)
    origin = int(np.ceil(-y0.min() / _WIDTH)) + 2
    knots = _WIDTH * np.arange(-origin, int((10 * slope_one / phi_one + 10) / _WIDTH))  # to A ≈ 20: n logistic
    s = expit(knots)
    tau_rate = 0.5 * np.sqrt(s) / activation.phi_slope(np.sqrt(s))
    tau = _primitive(knots, tau_rate, origin)
    growth = _primitive(knots, 4 * activation.phi(np.sqrt(s)) * tau_rate, origin)
    level = np.exp(growth(knots))
    weighted = _primitive(knots, level * tau_rate, origin)
    passed = 2 * s * level - 4 * phi_one * weighted(knots)  # the λ that is recovered at each knot
    slope = level * (2 * s * (1 - s) + (8 * s * activation.phi(np.sqrt(s)) - 4 * phi_one) * tau_rate)
    rising = slice(int(np.nonzero(passed <= 1)[0][-1]) + 1, None)  # λ = 1 at y = 0; λ > 1 at every start here
    log_passed = np.log(passed[rising])
    rho = CubicHermiteSpline(log_passed, tau(knots)[rising], (tau_rate * passed / slope)[rising])
    strength, tau0 = a[live], tau(y0)
    start = np.log(np.exp(growth(y0)) * strength / n0 - 4 * phi_one * weighted(y0))
    beyond = np.maximum(start - log_passed[-1], 0.0) / (4 * phi_one)
    align[live] = -tau0 / strength
    recover[live] = (rho(np.minimum(start, log_passed[-1])) + beyond - tau0) / strength
    return align, recover


def _primitive(knots: Array, rate: Array, origin: int) -> CubicHermiteSpline:
    """Primitive of the cubic spline of ``rate`` that vanishes at ``knots[origin]``, summed outwards from there."""
    slope = CubicSpline(knots, rate)(knots, 1)
    pieces = 0.5 * _WIDTH * (rate[:-1] + rate[1:]) + _WIDTH**2 / 12 * (slope[:-1] - slope[1:])
    below, above = -np.cumsum(pieces[:origin][::-1])[::-1], np.cumsum(pieces[origin:])
    return CubicHermiteSpline(knots, np.concatenate([below, [0.0], above]), rate)
