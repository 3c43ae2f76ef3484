"""How many students it takes: the smallest m that learns the strongest directions in time, with a given probability.

The demand is that all of the P* strongest directions are *recovered* by flow time t with probability 1 − ε over the
random start, and over the noise where there is a step size.

* *Gradient flow.*  The students of every draw compete for all directions that are open (``theory.late_directions``).
  Greedy selection with decoupled times is not enough here: one late direction of P* spoils a draw, and where it says
  0.90 flows say 0.72 to 0.82 (the finite law, in mean field, 0.65 to 0.86; ``benchmarks/README.md``).  The starts are
  nested: a wider student begins with the rows of the narrower, so that the share of draws that satisfy the demand
  rises with m (one more student closes directions earlier, which frees the others earlier; taken as monotone for every
  draw), and bisection on the same draws finds the smallest m.
* *Finite step size.*  The same share under ``theory.sgd_law``, drawn anew for every m; bisection then finds a crossing
  of a curve that is known to its Monte Carlo error.

The shares at m and m − 1 come with their standard errors, √(q(1 − q)/draws) at q = (hits + ½)/(draws + 1).  No width
is enough where growth of the norm alone, from a student on its direction, takes longer than t; widths are tried up to
``LARGEST``.  Derived here; unit of time: flow time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._types import Array
from ..problem.cards import Card
from ..problem.checks import nonnegative_integer, nonnegative_number, positive_integer, positive_number
from ..problem.problem import Problem
from ..problem.seeds import DIRECTIONS, generator, seed_stream
from . import decoupled
from .finite_step_law import sgd_law, sgd_law_refusal, validity
from .late_directions import competing_times
from .random_init import draw_overlaps, table_refusal
from .step_advice import strongest

LARGEST = 1024  # width that is tried
BLOCK = 64  # students that a start grows by
AT_ONCE = 10**6  # overlaps of draws that are followed side by side


@dataclass(frozen=True, repr=False)
class RequiredWidth(Card):
    """The smallest width that satisfies a demand, and how sure that is.

    Attributes
    ----------
    problem
        With that width; with the largest that was tried where none suffices.
    m
        The width; None where none up to ``LARGEST`` suffices.
    reached, below
        Share of draws that satisfy the demand at ``problem.m`` and at one student less.
    draws
        How many were made; none where it is clear without that no width suffices.
    law
        What the shares are of.
    valid, reason
        Does that law claim to hold here, and why no width suffices or the law does not hold.
    """

    problem: Problem
    learn: int
    t_max: float
    probability: float
    m: int | None
    reached: float
    below: float
    draws: int
    law: str
    valid: bool
    reason: str

    def error(self, share: float) -> float:
        """Monte Carlo standard error of a share of the draws."""
        q = (share * self.draws + 0.5) / (self.draws + 1)
        return float(np.sqrt(q * (1 - q) / self.draws)) if self.draws else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "learn": self.learn,
            "t_max": self.t_max,
            "probability": self.probability,
            "m": self.m,
            "tried": self.problem.m,
            "reached": self.reached,
            "reached_error": self.error(self.reached),
            "below": self.below,
            "below_error": self.error(self.below),
            "draws": self.draws,
            "law": self.law,
            "valid": self.valid,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        demand = (
            f"the {self.learn} strongest of {self.problem.P} directions by t = {self.t_max:g} with probability "
            f"{self.probability:g}"
        )
        found = "no width is enough" if self.m is None else f"m = {self.m} students"
        lines = [f"{found} for {demand}"]
        if self.draws:
            lines.append(
                f"  at m = {self.problem.m}: {self.reached:.4g} ± {self.error(self.reached):.2g};  at one less: "
                f"{self.below:.4g} ± {self.error(self.below):.2g}  ({self.draws} draws)"
            )
        lines.append(f"  law: {self.law}")
        if self.reason:
            lines.append(f"  {self.reason}" if self.valid else f"  not valid: {self.reason}")
        return "\n".join(lines)


def required_width(
    problem: Problem, learn: int | None, t_max: float, *, probability: float = 0.9, step_size: float | None = None,
    batch: int = 1, label_noise: float = 0.0, draws: int = 400, seed: int = 0,
) -> RequiredWidth:  # fmt: skip
    """Smallest m with which the ``learn`` strongest directions (None: all) are recovered by ``t_max``.

    Parameters
    ----------
    problem
        Its own m has no part in it.
    t_max
        Flow time.
    probability
        With which all of them are to be recovered, over the start and the noise.
    step_size, batch, label_noise
        Of SGD (``theory.sgd_law``); gradient flow without a step size.
    draws, seed
        Random starts; draw i depends on the seed and i alone.

    Raises
    ------
    ValueError
        Bad values; more directions than there are; a problem that the law does not know.
    """
    chosen = strongest(problem, learn)
    t_max, draws = positive_number("t_max", t_max), positive_integer("draws", draws)
    if not 0 < positive_number("probability", probability) < 1:
        raise ValueError(f"`probability` must lie strictly between 0 and 1, but is {probability:g}")
    batch, tau = positive_integer("batch", batch), nonnegative_number("label_noise", label_noise)
    seed = nonnegative_integer("seed", seed)
    eta = None if step_size is None else positive_number("step_size", step_size)
    refusal = decoupled.decoupled_refusal(problem) if eta is None else sgd_law_refusal(problem)
    refusal = refusal or table_refusal(max(draws, LARGEST), problem.P)
    if refusal is not None:
        raise ValueError(refusal)

    def result(m: int, good: bool, reached: float, below: float, reason: str = "", made: int = draws) -> RequiredWidth:
        valid, law = True, "gradient flow, students in competition, over random starts"
        if eta is not None:
            valid, why = validity(problem, eta, batch, tau)
            law = f"SGD at step size {eta:g}, batch {batch}, label noise {tau:g}, over random starts"
            reason = reason if valid else why
        return RequiredWidth(
            replace(problem, m=m), len(chosen), t_max, float(probability), m if good else None, reached, below, made,
            law, valid, reason,
        )  # fmt: skip

    if eta is None:
        grown = float(decoupled.recovery_time(problem.activation, problem.a[chosen], 1.0, problem.init_scale**2).max())
        if grown > t_max:
            why = f"the norm of a student that has its direction from the start takes {grown:.4g} to grow"
            return result(LARGEST, False, 0.0, 0.0, why, made=0)
        share = _shares_of_flow(problem, chosen, t_max, draws, seed)
    else:

        def share(m: int) -> float:
            law = sgd_law(replace(problem, m=m), eta, batch=batch, label_noise=tau, t_max=t_max, draws=draws, seed=seed)
            return float((law.recovery[:, chosen] <= t_max).all(axis=1).mean())

    low, high = len(chosen) - 1, len(chosen)  # fewer students than directions never suffice
    while share(high) < probability:
        if high == LARGEST:
            why = f"widths up to {LARGEST} were tried; a later t, fewer directions or a lower probability would help"
            return result(LARGEST, False, share(LARGEST), share(LARGEST - 1) if chosen.size < LARGEST else 0.0, why)
        low, high = high, min(2 * high, LARGEST)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if share(middle) >= probability else (middle, high)
    return result(high, True, share(high), share(high - 1) if high > len(chosen) else 0.0)


def _shares_of_flow(problem: Problem, chosen: Array, t_max: float, draws: int, seed: int) -> Callable[[int], float]:
    """Share of draws whose m first students recover the chosen directions in time, as a function of m."""
    fails, holds = np.zeros(draws, dtype=int), np.full(draws, LARGEST + 1)  # largest and smallest width that is known
    block = replace(problem, m=BLOCK)

    def start(i: int, m: int) -> Array:
        stream = generator(seed_stream(seed, i, DIRECTIONS))
        return np.vstack([draw_overlaps(block, stream) for _ in range(-(-m // BLOCK))])[:m]

    def share(m: int) -> float:
        unknown = np.nonzero((fails < m) & (m < holds))[0]
        together = max(1, AT_ONCE // (m * problem.P))
        for part in np.split(unknown, np.arange(together, unknown.size, together)):
            if part.size:
                starts = np.array([start(int(i), m) for i in part])
                good = (competing_times(problem, starts, t_max)[1][:, chosen] <= t_max).all(axis=1)
                holds[part[good]], fails[part[~good]] = m, m
        return float((holds <= m).mean())

    return share
