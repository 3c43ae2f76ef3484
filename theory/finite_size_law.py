"""The law of all transition times over the random initialisation, and of the loss, at finite P, d and m.

Greedy selection among open directions gives each its student's initial overlap (``theory.greedy_chain``), and its
alignment and recovery times are exact but for the pull of the other directions, which is there in mean field
(``theory.open_selection``).

Loss.  By recovery r² ≈ 1, where ṅ = 4φ(1) n (a − n) is logistic through n(T_p) = a_p/2 and the share of
the direction is ½ φ(1) (a_p − n)²:

    L(t) = ½ φ(1) Σ_p a_p² (1 + e^{4 a_p φ(1) (t − T_p)})^{−2},

T_p the recovery time, inf for a direction without a student: those are the floor that the width leaves.
Not in it: how much more one student is pulled by others than the next, students that are free again when the direction
that they went to is recovered by another, and gradient noise.  Gradient flow learns some more directions (at P = m =
256, d = 1024, β = 0.8 190 to 206 in three starts, this law 180 to 196); at P = 256, β = 0.8
its exponents are the law's within 0.002 ± 0.001 in flow time, 0.005 ± 0.010 in width, 0.004 ± 0.003 in students × time.
Valid for n_0 = init_scale² ≪ a_p.
Unit: flow time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from .._types import Array
from ..problem.checks import nonnegative_integer, positive_integer
from ..problem.problem import Problem
from ..problem.tables import Columns, Tabulated, checked_kind, crossed
from . import decoupled
from .greedy_chain import greedy_overlaps, greedy_refusal
from .open_selection import among_open, selected_times
from .random_init import table_refusal
from .transition_times import transition_times

_SATURATED = 20.0  # beyond ± this in the exponent a transition is 0 or 1 to 4e-9


@dataclass(frozen=True, repr=False)
class FiniteLaw(Tabulated):
    """Transition times of all directions over ``draws`` initialisations.

    Attributes
    ----------
    starts
        Seed of random initialisations, or the overlaps r_kp of given ones, shape (draws, m, P).
    quantiles
        Levels over the draws of the bands that ``theory.resource_curves`` gives.
    overlaps
        Initial overlap of each direction's student, shape (draws, P); 0 where it has none.
    alignment, recovery
        Flow times, shape (draws, P); inf where a direction has no student.
    """

    problem: Problem
    starts: int | Array
    quantiles: tuple[float, ...]
    overlaps: Array
    alignment: Array
    recovery: Array

    @property
    def draws(self) -> int:
        """Number of random initialisations."""
        return len(self.overlaps)

    def columns(self, kind: str) -> Columns:
        """``"times"``, the only table: a row for each draw and direction."""
        checked_kind(kind, "times")
        of_all = crossed(draw=np.arange(self.draws), p=np.arange(self.problem.P))
        events = {"alignment": self.alignment.ravel(), "recovery": self.recovery.ravel()}
        return {**of_all, "a_p": np.tile(self.problem.a, self.draws), **events}

    def loss_at(self, times: ArrayLike) -> Array:
        """Loss of each draw at ascending flow times (T,), shape (draws, T)."""
        return self.remaining(np.asarray(times, dtype=float), np.zeros(self.recovery.shape, dtype=int), 1)[:, 0]

    def floor(self) -> Array:
        """Loss of each draw after all time, shape (draws,): the share of directions without a student."""
        share = 0.5 * self.problem.activation.second_moment * self.problem.a**2
        return np.where(np.isfinite(self.recovery), 0.0, share).sum(axis=1)

    def remaining(self, times: Array, group: Array, groups: int) -> Array:
        """Loss of the directions of each group alone, shape (draws, groups, T).

        Parameters
        ----------
        times
            Ascending flow times, shape (T,).
        group
            Group 0 … groups − 1 of each direction of each draw, shape (draws, P).

        Notes
        -----
        A transition that is over or has not begun adds 0 or its whole share; only the times within
        its width, ``|4 a φ(1) (t − T_p)| < 20``, are evaluated.
        """
        a = self.problem.a[self.problem.a > 0]
        T, group = self.recovery[:, self.problem.a > 0], group[:, self.problem.a > 0]
        rate = 4 * self.problem.activation.second_moment * a
        share = np.broadcast_to(rate * a / 8, T.shape).ravel()
        first = np.searchsorted(times, T - _SATURATED / rate).ravel()
        last = np.searchsorted(times, T + _SATURATED / rate).ravel()
        cells, columns = self.draws * groups, len(times) + 1
        row = (np.arange(self.draws)[:, None] * groups + group).ravel()

        def collect(row: Array, column: Array, value: Array) -> Array:
            return np.bincount(row * columns + column, value, minlength=cells * columns).reshape(cells, columns)

        started = collect(row, first, share)
        loss = started[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]  # those that begin after the time
        T, rate = T.ravel(), np.broadcast_to(rate, T.shape).ravel()
        here, column = np.nonzero(first < last)[0], first
        while here.size:
            at = column[here]
            weight = expit(rate[here] * (T[here] - times[at])) ** 2
            loss += collect(row[here], at, share[here] * weight)[:, :-1]
            column[here] += 1
            here = here[column[here] < last[here]]
        return loss.reshape(self.draws, groups, len(times))

    def __str__(self) -> str:
        problem, T = self.problem, np.median(self.recovery, axis=0)
        start, end = 0.5 * problem.activation.second_moment * np.sum(problem.a**2), self.floor().mean()
        learned = T[np.isfinite(T)]
        span = f"{learned.min():.4g} to {learned.max():.4g}" if learned.size else "none"
        return (
            f"finite law of {problem.activation.label}: P = {problem.P}, d = {problem.d}, m = {problem.m}, "
            f"{self.draws} draws\n"
            f"  median recovery times {span} for {learned.size} directions\n"
            f"  loss {start:.4g} at the start, {end:.4g} after all time"
        )


def finite_law(
    problem: Problem, *, draws: int = 16, seed: int = 0, quantiles: Sequence[float] = (0.1, 0.5, 0.9)
) -> FiniteLaw:
    """Transition times of all P directions over random initial directions, exactly but for O(1/d).

    Parameters
    ----------
    draws, seed
        Random initialisations; draw i depends on the seed and i alone.
    quantiles
        Levels over the draws of the bands that ``theory.resource_curves`` gives.

    Raises
    ------
    ValueError
        An activation outside the regime, quantiles outside (0, 1), a draw count or seed that is none, more draws than
        fit in memory.
    """
    refusal = greedy_refusal(problem.activation)
    if refusal is not None:
        raise ValueError(refusal)
    draws, seed = positive_integer("draws", draws), nonnegative_integer("seed", seed)
    refusal = table_refusal(draws, problem.P)
    if refusal is not None:
        raise ValueError(refusal)
    levels = tuple(float(q) for q in quantiles)
    if not levels or not all(0 < q < 1 for q in levels):
        raise ValueError(f"`quantiles` must lie strictly between 0 and 1, but are {list(levels)}")
    n0, own = problem.init_scale**2, np.arange(problem.P)
    overlaps = greedy_overlaps(problem.activation, problem.a, d=problem.d, m=problem.m, n0=n0, draws=draws, seed=seed)
    alone = transition_times(problem.activation, problem.a, overlaps, n0)
    found = [among_open(problem, own, own, *times) for times in zip(*alone, strict=True)]
    alignment, recovery = np.array([x[1] for x in found]), np.array([x[2] for x in found])
    return FiniteLaw(problem, seed, levels, overlaps, alignment, recovery)


def law_of_starts(problem: Problem, directions: Array) -> FiniteLaw:
    """The law of given starts, greedily assigned.

    Parameters
    ----------
    directions
        Initial unit rows of every draw, shape (draws, m, P or more); the first P columns are the overlaps r_kp.

    Raises
    ------
    ValueError
        Directions that are not learned one by one.
    """
    refusal = decoupled.decoupled_refusal(problem)
    if refusal is not None:
        raise ValueError(refusal)
    starts = directions[:, :, : problem.P]
    chosen, alignment, recovery = (
        np.array(x) for x in zip(*(selected_times(problem, start) for start in starts), strict=True)
    )
    return FiniteLaw(problem, starts, (0.5,), chosen, alignment, recovery)
