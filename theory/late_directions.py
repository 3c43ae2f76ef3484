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
``decoupled.recovery_time`` from there, and the student is used up.  A student makes some 20 steps whatever P is.

*Late* is a direction whose alignment takes more than 1 + ``LATE`` of its predicted (decoupled) time.  The model says
so or not; its own error against full flows makes a probability of it: with x = ln(T_model/T_predicted),

    P(late) = FALSE + (1 − FALSE − MISSED) / (1 + e^{−(x − ln(1 + LATE))/SPREAD}).

The three constants are fitted by ``benchmarks/late_directions.py``, which also tests the probabilities on problems
that had no part in the fit (table in ``benchmarks/README.md``).  Unit: flow time.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from .._types import Array
from ..problem.events import ALIGNED
from ..problem.problem import Problem
from . import decoupled

LATE = 0.25  # of the predicted time
FALSE, MISSED, SPREAD = 0.001, 0.01, 0.01  # calibrated on full flows: benchmarks/late_directions.py
BEYOND = 2.0  # predicted times of the last direction to which the model looks
CHANGE = 0.3  # of the fastest rate, relative, in one step: it goes with r^{k*−2}
FELT = 1e-3  # relative change of an overlap that a closing direction could still make


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
    alignment = competing_times(problem, overlaps, horizon)[0]
    with np.errstate(divide="ignore", invalid="ignore"):  # aligned from the start: 0/0, which is on time
        x = np.log(np.where(predicted > 0, alignment / predicted, 1.0))
    return np.where(finite, probability_of(x), np.nan)


def probability_of(x: Array) -> Array:
    """P(late) from x, the logarithm of the model's time over the predicted one."""
    return FALSE + (1 - FALSE - MISSED) * expit((x - np.log1p(LATE)) / SPREAD)


def competing_times(problem: Problem, overlaps: Array, t_max: float) -> tuple[Array, Array, Array]:
    """Alignment and recovery flow times (P,) up to ``t_max`` among competing directions, and who learns them.

    Returns
    -------
    tuple
        Alignment and recovery, inf where not by ``t_max``; the student of each direction, −1 for none.
    """
    sigma, a = problem.activation, problem.a
    r, log_n = np.array(overlaps, dtype=float), np.full(len(overlaps), 2 * np.log(problem.init_scale))
    strength = a.copy()  # ρ
    clock = np.zeros(len(r))
    alignment, recovery = np.full(a.size, np.inf), np.full(a.size, np.inf)
    student = np.full(a.size, -1)
    change = CHANGE / max((sigma.information_exponent or 0) - 2, 1)

    def pull(rows: Array) -> Array:
        """Relative rate of every overlap by its own direction, ρ_p φ'(r)/r, (rows, P)."""
        safe = np.where(rows == 0, 1.0, rows)
        return np.where(rows == 0, 0.0, strength * sigma.phi_slope(safe) / safe)

    def velocity(rows: Array) -> tuple[Array, Array]:
        force = strength * sigma.phi_slope(rows)
        return force - rows * np.sum(rows * force, axis=1, keepdims=True), 4 * sigma.phi(rows) @ strength

    def advance(k: Array, t: float) -> None:
        """Students k to flow time t, by one step of the classical Runge–Kutta method."""
        h, start = t - clock[k], r[k]
        half = 0.5 * h[:, None]
        one = velocity(start)
        two = velocity(start + half * one[0])
        three = velocity(start + half * two[0])
        four = velocity(start + h[:, None] * three[0])
        r[k] = start + h[:, None] / 6 * (one[0] + 2 * two[0] + 2 * three[0] + four[0])
        log_n[k] += h / 6 * (one[1] + 2 * two[1] + 2 * three[1] + four[1])
        clock[k] = t
        schedule(k)
        squares, before = r[k] ** 2, start**2
        for i, p in np.argwhere((squares >= ALIGNED) & (before < ALIGNED)):
            align(int(k[i]), int(p), t - h[i] * np.log(squares[i, p] / ALIGNED) / np.log(squares[i, p] / before[i, p]))

    def align(k: int, p: int, at: float) -> None:
        """Student k is p's from the time ``at`` on."""
        due[k] = np.inf
        if strength[p] > 0:
            left = float(decoupled.recovery_time(sigma, a[p], r[k, p], np.exp(log_n[k])))
            if clock[k] + left < recovery[p]:
                recovery[p], student[p] = clock[k] + left, k
            alignment[p] = min(alignment[p], at)

    def schedule(k: Array) -> None:
        """When students k next have to move."""
        rate = np.abs(pull(r[k])).max(axis=1)
        with np.errstate(divide="ignore"):
            due[k] = clock[k] + np.where(rate > 0, change / rate, np.inf)

    due = np.empty(len(r))
    schedule(np.arange(len(r)))
    for k, p in np.argwhere((r**2 >= ALIGNED) & (a > 0)):
        align(int(k), int(p), 0.0)
    while True:
        closing = np.where(strength > 0, recovery, np.inf)
        p, t = int(np.argmin(closing)), float(min(closing.min(), due.min()))
        if not t <= t_max:
            break
        if t == closing[p]:
            waiting = np.isfinite(due) & (clock < t)
            felt = a[p] * np.abs(sigma.phi_slope(r[:, p])) * (t - clock)
            moved = np.nonzero(waiting & (felt > FELT * np.abs(r[:, p])))[0]
            advance(moved, t)
            strength[p] = 0.0
            schedule(moved[np.isfinite(due[moved])])
        else:  # those due within half a step move together
            advance(np.nonzero(0.5 * due + 0.5 * clock <= t)[0], t)
    alignment[alignment > t_max] = np.inf
    return alignment, recovery, student
