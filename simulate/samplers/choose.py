"""Which sampler a run takes, and why.

Costs a sample, in floating-point work for the students alone: direct m d, reduced m (P + 2.5 m)
plus its share of a factorisation.  Both are exact in law, so ``Auto`` takes the cheaper one;
leap is approximate and taken only for runs whose exact simulation would be out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...problem.compiled import numba_available
from ...problem.problem import Problem
from .direct import Direct, checked_engine
from .leap import Leap
from .reduced import Reduced, smallest_dimension

OUT_OF_REACH = 3e13  # operations: about an hour on one core

Sampler = Direct | Reduced | Leap


@dataclass(frozen=True)
class Auto:
    """The cheaper exact sampler, or leap where both are out of reach.

    Parameters
    ----------
    engine
        ``"compiled"``, ``"numpy"`` or ``"auto"``: what the sampler must run on.  Never torch: that is ``Direct``'s.
    leap
        How leap steps, if it comes to that.
    """

    engine: str = "auto"
    leap: Leap = field(default_factory=Leap)

    def __post_init__(self) -> None:
        checked_engine(self.engine)
        if self.engine == "torch":
            raise ValueError("engine torch is of the direct sampler alone; ask for direct")


AnySampler = Sampler | Auto | str


def settled(sampler: AnySampler, problem: Problem, samples: int, batch: int) -> tuple[Sampler, str]:
    """The sampler that a run takes, ready for it, and the reason in words.

    Raises
    ------
    ValueError
        No sampler; one that does not exist for this problem or batch.
    ImportError
        A compiled engine without numba; names the extra.
    """
    reason = "asked for"
    if isinstance(sampler, str):
        if sampler != "auto":
            raise ValueError(f'`sampler` must be Direct(), Reduced(), Leap() or "auto", but is {sampler!r}')
        sampler = Auto()
    if isinstance(sampler, Auto):
        sampler, reason = _automatic(sampler, problem, samples, batch)
    if not isinstance(sampler, Sampler):
        raise ValueError(f'`sampler` must be Direct(), Reduced(), Leap() or "auto", but is {sampler!r}')
    least = smallest_dimension(problem.P, problem.m, batch)
    if isinstance(sampler, Reduced) and problem.d < least:
        reason = f"d = {problem.d} is below P + m + batch = {least}, where reduced is not defined"
        sampler = Direct()
    return sampler.ready(problem, batch), reason


def _automatic(asked: Auto, problem: Problem, samples: int, batch: int) -> tuple[Sampler, str]:
    m, P, d = problem.m, problem.P, problem.d
    if asked.engine == "compiled" and not numba_available():
        raise ImportError("the compiled engine needs numba; install sgd-emergence[fast]")
    possible = asked.engine != "numpy" and numba_available() and d >= smallest_dimension(P, m, batch)
    possible = possible and not problem.activation.overflows
    direct_cost, reduced_cost = m * d, m * (P + 4.0 * m)
    exact = min(direct_cost, reduced_cost if possible else direct_cost) * float(samples)
    if exact > OUT_OF_REACH:
        if asked.engine == "compiled":
            raise ValueError("the leap sampler exists on NumPy only; use engine numpy or auto")
        return asked.leap, f"{samples:.2g} samples are out of reach of the exact samplers ({exact:.1g} operations)"
    if possible and reduced_cost < direct_cost:
        return Reduced(), f"exact in law, and cheaper than direct at d = {d}: P + 4 m = {P + 4 * m}"
    return Direct(asked.engine), f"the literal algorithm is the cheaper exact sampler at d = {d}"
