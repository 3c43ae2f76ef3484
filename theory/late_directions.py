"""Which directions may be late: every student among all directions that are still open.

Greedy selection and the times of one direction alone (``theory.greedy_selection``, ``theory.decoupled``) let every
student see one direction.  A student that suits two goes to the one that it reaches first; where greedy selection
kept it for the other, that one waits for somebody else.  What a student feels is the strength still missing in each
direction, and while nothing else is learned students do not feel one another (their norms are small).  So (derived
here from ``problem.population_loss``), with ρ_p = a_p until p is recovered and 0 from then on,

    ṙ_kp = ρ_p φ'(r_kp) − r_kp Σ_q ρ_q r_kq φ'(r_kq),      d ln n_k/dt = 4 Σ_q ρ_q φ(r_kq):

the flow of one student among many directions.  It leaves out what learned students lack to be their directions, and
what free ones do to each other, both of the order of n_free/a.  Between two recoveries students are independent, so
each has a clock of its own: it makes a Runge–Kutta step when its fastest overlap has changed by a fixed share, and
when a direction that it feels closes.  A student that reaches r_kp² ≥ ½ is p's: alone with it, p is recovered after
``decoupled.recovery_time`` from there, and it is used up.  A student makes some 20 steps whatever P is.

*Late* is a direction whose alignment takes more than 1 + ``LATE`` of its predicted (decoupled) time.  The model says
so or not; its own error against full flows makes a probability of it: with x = ln(T_model/T_predicted),

    P(late) = FALSE + (1 − FALSE − MISSED) / (1 + e^{−(x − ln(1 + LATE))/SPREAD}).

The three constants are fitted by ``benchmarks/late_directions.py``, which also tests the probabilities on problems
that had no part in the fit (table in ``benchmarks/README.md``).  Unit: flow time.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import expit

from .._types import Array
from ..problem.activation import Activation
from ..problem.events import ALIGNED
from ..problem.problem import Problem
from . import decoupled

LATE = 0.25  # of the predicted time
FALSE, MISSED, SPREAD = 0.0007, 0.002, 0.0004  # calibrated on full flows: benchmarks/late_directions.py
BEYOND = 2.0  # predicted times of the last direction to which the model looks
CHANGE = 0.3  # of the fastest rate, relative, in one step: it goes with r^{k*−2}
FELT = 1e-3  # relative change of an overlap that a closing direction could still make
_TINY = 1e-300


def late_probability(problem: Problem, overlaps: Array, predicted: Array) -> Array:
    """Probability that the flow aligns each direction more than ``LATE`` later than predicted, shape (P,).

    Parameters
    ----------
    overlaps
        Initial r_kp, shape (m, P).
    predicted
        Alignment flow times (P,) of ``theory.decoupled`` under greedy selection; where one is inf, the answer is NaN.
    """
    finite = np.isfinite(predicted)
    if not finite.any():
        return np.full(problem.P, np.nan)
    horizon = BEYOND * float(predicted[finite].max())
    alignment = competing_times(problem, overlaps[None], horizon)[0][0]
    with np.errstate(divide="ignore", invalid="ignore"):  # aligned from the start: 0/0, which is on time
        x = np.log(np.where(predicted > 0, alignment / predicted, 1.0))
    return np.where(finite, probability_of(x), np.nan)


def probability_of(x: Array) -> Array:
    """P(late) from x, the logarithm of the model's time over the predicted one."""
    return FALSE + (1 - FALSE - MISSED) * expit((x - np.log1p(LATE)) / SPREAD)


@lru_cache(maxsize=32)
def _waits(activation: Activation, lowest: float) -> tuple[Array, list[Array]]:
    """ln(n/a) from ``lowest`` to 0, and a T from r² = ½ to recovery there on either side."""
    levels = np.linspace(lowest, 0.0, 2000)
    sides = np.sqrt(ALIGNED) * np.array([1, -1])
    return levels, [decoupled.recovery_time(activation, 1.0, side, np.exp(levels)) for side in sides]


def competing_times(problem: Problem, starts: Array, t_max: float) -> tuple[Array, Array]:
    """Alignment and recovery flow times up to ``t_max`` among competing directions, each (draws, P).

    Parameters
    ----------
    starts
        Initial r_kp of every draw, shape (draws, m, P).
    t_max
        Horizon in flow time; a transition that is later is inf.
    """
    sigma, a = problem.activation, problem.a
    draws, m, P = starts.shape
    r = np.array(starts, dtype=float).reshape(-1, P)  # students of all draws, one below the other
    draw = np.repeat(np.arange(draws), m)
    log_n, clock = np.full(len(r), 2 * np.log(problem.init_scale)), np.zeros(len(r))
    strength = np.tile(a, (draws, 1))  # ρ
    alignment, recovery = np.full((draws, P), np.inf), np.full((draws, P), np.inf)
    levels, waits = _waits(sigma, float(2 * np.log(problem.init_scale) - np.log(a.max()) - 1))
    change = CHANGE / max((sigma.information_exponent or 0) - 2, 1)

    def velocity(rows: Array, rho: Array) -> tuple[Array, Array]:
        force = rho * sigma.phi_slope(rows)
        return force - rows * np.sum(rows * force, axis=1, keepdims=True), 4 * np.sum(rho * sigma.phi(rows), axis=1)

    def advance(k: Array, t: Array) -> None:
        """Students k to flow times t, by one step of the classical Runge–Kutta method."""
        h, start, rho = t - clock[k], r[k], strength[draw[k]]
        step = h[:, None]
        one = velocity(start, rho)
        two = velocity(start + 0.5 * step * one[0], rho)
        three = velocity(start + 0.5 * step * two[0], rho)
        four = velocity(start + step * three[0], rho)
        r[k] = start + step / 6 * (one[0] + 2 * two[0] + 2 * three[0] + four[0])
        log_n[k] += h / 6 * (one[1] + 2 * two[1] + 2 * three[1] + four[1])
        clock[k] = t
        before, after = start**2, r[k] ** 2
        i, p = np.nonzero((after >= ALIGNED) & (before < ALIGNED))
        back = h[i] * np.log(after[i, p] / ALIGNED) / np.log(after[i, p] / before[i, p])
        norm = log_n[k[i]] - back * (one[1][i] + 2 * two[1][i] + 2 * three[1][i] + four[1][i]) / 6
        level = norm - np.log(a[p])
        left = np.where(r[k[i], p] > 0, np.interp(level, levels, waits[0]), np.interp(level, levels, waits[1])) / a[p]
        align(k[i], p, t[i] - back, t[i] - back + left)

    def align(k: Array, p: Array, at: Array, recovered: Array) -> None:
        """Students k are those of directions p from the times ``at`` on: they are used up."""
        used[k] = True
        still = strength[draw[k], p] > 0
        where = draw[k[still]], p[still]
        np.minimum.at(alignment, where, at[still])
        np.minimum.at(recovery, where, recovered[still])

    def schedule(k: Array) -> None:
        """When students k next have to move: never where they are used up or nothing pulls."""
        size = np.maximum(np.abs(r[k]), _TINY)
        rate = np.max(strength[draw[k]] * np.abs(sigma.phi_slope(r[k])) / size, axis=1)
        due[k] = np.where(used[k] | (rate == 0), np.inf, clock[k] + change / np.maximum(rate, _TINY))

    used, due = np.zeros(len(r), dtype=bool), np.empty(len(r))
    k, p = np.nonzero((r**2 >= ALIGNED) & (a > 0))
    align(k, p, np.zeros(k.size), decoupled.recovery_time(sigma, a[p], r[k, p], np.exp(log_n[k])))
    schedule(np.arange(len(r)))
    while True:
        closing = np.where(strength > 0, recovery, np.inf)
        p, shut = closing.argmin(axis=1), closing.min(axis=1)
        t = np.minimum(shut, due.reshape(draws, m).min(axis=1))
        now = t <= t_max
        if not now.any():
            break
        closes = now & (t == shut)
        at, own = t[draw], p[draw]
        # those due within half a step move together; where a direction closes, all that feel it
        moves = (now & ~closes)[draw] & (0.5 * (due + clock) <= at)
        near = np.nonzero(closes[draw] & ~used)[0]
        mine = r[near, own[near]]
        felt = a[own[near]] * np.abs(sigma.phi_slope(mine)) * (at[near] - clock[near])
        moves[near] = felt > FELT * np.abs(mine)
        moved = np.nonzero(moves)[0]
        advance(moved, at[moved])
        strength[closes, p[closes]] = 0.0
        schedule(moved)
    alignment[alignment > t_max], recovery[recovery > t_max] = np.inf, np.inf
    return alignment, recovery
