"""Greedy selection among open directions: students that are too many at one, and the pull of all others on each.

Greedy selection (``theory.greedy_selection``) gives every direction one student.  The flow has two things more.

*Open directions.*  A direction attracts students until it is recovered: those that align in between go there too, and
are used up.  The wait from alignment to recovery is some ln(a/n_0)/(4 φ(1) a), while the next student aligns later by
a share 1/ln m or so of 1/(a s_0): at m = P and d of some hundreds a quarter of the directions are left without any.

*Drag.*  A free student loses to all the other directions what its direction gains by normalisation: with the
strengths ρ_q that are still missing

    d ln r_p/dt = a_p φ'(r_p)/r_p − Σ_q ρ_q r_q φ'(r_q).

While r is small φ' ∝ r^{k*−1}, and the equation is linear in r^{−(k*−2)}: drag D only changes the clock, to
∫ e^{−(k*−2) ∫ D} dt.  In mean field D = κ Σ_{q ≠ p} ρ_q, which falls as it shrinks what pulls, r^{k*} like e^{−k* ∫ D},
so that with S = ∫ κ Σ ρ_q dt

    θ(t) = ∫ (1 + k* S)^{−(k*−2)/k*} dt,      alignment at  θ(T) = T_alone.

At the start κ = E[r φ'(r)] over the sphere.  Until T, r_q grows and its pull with it; students that q aligns by then
are not to be counted, they are lost to p anyway; and what is p's already, s_p, leaves 1 − s_p to the rest.  So κ is
E[r φ'(r)] times the mean of that over the time until the best of m students is aligned, for strengths like p's: with
x = T/T_blow-up of an overlap, s_b the median best, and the mean over s < s_b,

    ∫_0^1 2 (1 − y) (1 − s_p(y))^{k*/2} E_{s < s_b}[s x (1 − xy)^{−k*/(k*−2)}] dy / E[s x]

(derived here; 2 (1 − y) as it is the integral of ∫ D that counts).  That drag differs between students is not in it.
A direction's own part is in T_alone already.  So that one clock serves all, the mean of it over the pulls,
κ Σ ρ_q² / Σ ρ_q, is taken out of κ Σ ρ_q: the last open direction has no drag at all.  From r² = ½ on drag is nothing:
the wait to recovery is that of the direction alone.

Against gradient flow from the same starts at h4, β = 0.8, to three times the 97th percentile of the law:

    P, m, d          seeds   flow learns         this law            greedy   median of T_flow/T   without drag
    32, 32, 512      6       25 25 27 27 25 22   24 25 26 27 24 21   32       1.00
    128, 128, 256    3       69 78 74            58 66 67            128      0.99 to 1.00         1.05 to 1.07
    256, 256, 1024   3       190 196 206         180 183 196         256      1.00                 1.05 to 1.06

So it counts a little too few: a student that aligned just before its direction was recovered keeps its overlaps with
the rest, only reduced, and some learn another direction later.  That is not in it.  ``theory.late_directions`` follows
every student by itself.
Unit: flow time.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import betainccinv, betaln, roots_legendre

from .._types import Array
from ..problem.activation import Activation
from ..problem.events import ALIGNED
from ..problem.problem import Problem
from ..problem.seeds import generator
from .transition_times import transition_times

NODES = 48  # of each integral: 1e-6


@lru_cache(maxsize=1)
def kernel() -> Any:
    """``theory.greedy_kernel``, ready to run.

    It is compiled in a thread of its own: where numba compiles in the main thread, an interrupt can be lost.
    """
    made: list[Any] = []

    def make() -> None:
        from . import greedy_kernel as loops

        none, one = np.zeros(1, dtype=int), np.ones(1)
        tables = np.zeros((loops.KNOTS - 1, 4)), np.zeros(loops.KNOTS), np.arange(2.0), np.zeros((2, 2))
        loops.chain(one, np.zeros(1), 1, 2.0, False, *tables, generator(0))
        loops.select(none, none, one, one, np.zeros(1), 1, 2.0)
        made.append(loops)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    thread.join()
    return made[0]


def pulls(activation: Activation, a: Array, d: int, m: int) -> Array:
    """Part κ a_q of each direction in the drag on a student that is the best of m for another, shape (P,)."""
    degrees = np.arange(2, len(activation.coefficients), 2)
    moments = np.cumprod((degrees - 1) / (d + degrees - 2))  # E r², E r⁴, … of a coordinate on the sphere
    at_start = float(np.sum(degrees * activation.coefficients[degrees] ** 2 * moments))
    return a * at_start * _grown(activation.information_exponent or 2, d, m)


@lru_cache(maxsize=256)
def _grown(exponent: int, d: int, m: int) -> float:
    """Drag on the best of m students until it is aligned, of that at the start; 0 where drag does not matter."""
    power = exponent - 2
    if power < 1 or d == 1:
        return 0.0
    best = float(betainccinv(0.5, 0.5 * (d - 1), -np.expm1(np.log(0.5) / m)))
    if best >= ALIGNED:
        return 0.0
    y, weight = roots_legendre(NODES)
    y, weight = 0.5 * (y + 1), 0.5 * weight  # share of the time that has passed
    s = best * y**2  # of density s^{−½} (1 − s)^{(d − 3)/2}
    share = weight * np.exp(0.5 * (d - 3) * np.log1p(-s))
    x_best = 1 - (best / ALIGNED) ** (power / 2)
    x = x_best * (s / best) ** (power / 2)
    felt = (share / share.sum() * (s / best) ** (exponent / 2)) @ (1 - np.outer(x, y)) ** (-exponent / power)
    room = 1 - best * (1 - x_best * y) ** (-2 / power)
    moment = betaln(0.5 + exponent / 2, 0.5 * (d - 1)) - betaln(0.5, 0.5 * (d - 1)) - exponent / 2 * np.log(best)
    return float(np.sum(weight * 2 * (1 - y) * room ** (exponent / 2) * felt) * np.exp(-moment))


def waits(alignment: Array, recovery: Array) -> Array:
    """From alignment to recovery; none where there is no alignment, or where the norm starts above the strength."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(alignment), np.maximum(recovery - alignment, 0.0), 0.0)


def among_open(
    problem: Problem, student: Array, direction: Array, alignment: Array, recovery: Array
) -> tuple[Array, Array, Array]:
    """Index of the candidate that is each direction's (−1 for none), its alignment and recovery flow times, each (P,).

    Parameters
    ----------
    student, direction
        Of every candidate, shape (C,).
    alignment, recovery
        Flow times of the candidates alone (``theory.transition_times``), shape (C,).
    """
    exponent = float(problem.activation.information_exponent or 2)
    pull = pulls(problem.activation, problem.a, problem.d, problem.m)
    wait = waits(alignment, recovery)
    order = np.argsort(alignment, kind="stable")
    order = order[np.isfinite(alignment[order])]
    m = int(student.max(initial=0)) + 1
    first, aligned, recovered = kernel().select(
        student[order], direction[order], alignment[order], wait[order], pull, m, exponent
    )
    return np.where(first >= 0, order[first] if order.size else -1, -1), aligned, recovered


def selected_times(problem: Problem, overlaps: Array) -> tuple[Array, Array, Array]:
    """Overlap of each direction's student (0 where it has none), alignment and recovery flow times, each (P,).

    Parameters
    ----------
    overlaps
        Initial r_kp, shape (m, P); with an even σ their signs do not count.
    """
    r = np.abs(overlaps) if problem.activation.parity == "even" else overlaps
    alone = transition_times(problem.activation, problem.a, r, problem.init_scale**2)
    k, p = np.divmod(np.arange(r.size), problem.P)
    index, alignment, recovery = among_open(problem, k, p, alone[0].ravel(), alone[1].ravel())
    return np.where(index >= 0, r.ravel()[index], 0.0), alignment, recovery
