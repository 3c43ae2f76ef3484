"""Which sampler and which engine a run uses, and why.

Costs a sample, in floating-point work for the students alone: direct m d, reduced m (P + 2.5 m)
plus its share of a factorisation.  Both are exact in law, so ``auto`` takes the cheaper one;
leap is approximate and taken only for runs whose exact simulation would be out of reach.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...problem.problem import Problem
from .normals import numba_available
from .reduced import smallest_dimension

METHODS = ("auto", "direct", "reduced", "leap")
ENGINES = ("auto", "compiled", "numpy")
OUT_OF_REACH = 3e13  # operations: about an hour on one core


@dataclass(frozen=True)
class Choice:
    """Method, engine, and the reason in words."""

    method: str
    engine: str
    reason: str


def choose(problem: Problem, samples: int, batch: int, method: str, engine: str) -> Choice:
    """Settle ``"auto"`` and refuse what cannot be done.

    Raises
    ------
    ValueError
        Unknown names; combinations that do not exist.
    ImportError
        A compiled engine without numba; names the extra.
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}, but is {method!r}")
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(ENGINES)}, but is {engine!r}")
    compiled = numba_available()
    if engine == "compiled" and not compiled:
        raise ImportError("the compiled engine needs numba; install sgd-emergence[fast]")
    if method == "reduced" and not compiled:
        raise ImportError("the reduced sampler needs numba; install sgd-emergence[fast]")
    reason = "asked for"
    least = smallest_dimension(problem.P, problem.m, batch)
    if method == "reduced" and problem.d < least:
        method, reason = "direct", f"d = {problem.d} is below P + m + batch = {least}, where reduced is not defined"
    if method == "auto":
        method, reason = _automatic(problem, samples, batch, engine, compiled and problem.d >= least)
    if method == "direct":
        if engine == "compiled" and batch != 1:
            raise ValueError(f"the compiled direct engine takes batch 1, but `batch` is {batch}; use engine numpy")
        if engine == "auto":
            engine = "compiled" if compiled and batch == 1 else "numpy"
    elif method == "reduced":
        if engine == "numpy":
            raise ValueError("the reduced sampler exists compiled only; use engine compiled or auto")
        engine = "compiled"
    else:
        width = problem.P + problem.m
        if problem.d <= width:
            raise ValueError(f"the leap sampler needs d > P + m = {width}, but `d` is {problem.d}")
        if engine == "compiled":
            raise ValueError("the leap sampler exists on NumPy only; use engine numpy or auto")
        engine = "numpy"
    return Choice(method, engine, reason)


def _automatic(problem: Problem, samples: int, batch: int, engine: str, reduced: bool) -> tuple[str, str]:
    m, P, d = problem.m, problem.P, problem.d
    reduced = reduced and engine != "numpy"
    direct_cost, reduced_cost = m * d, m * (P + 4.0 * m)
    exact = min(direct_cost, reduced_cost if reduced else direct_cost) * float(samples)
    if exact > OUT_OF_REACH:
        return "leap", f"{samples:.2g} samples are out of reach of the exact samplers ({exact:.1g} operations)"
    if reduced and reduced_cost < direct_cost:
        return "reduced", f"exact in law, and cheaper than direct at d = {d}: P + 4 m = {P + 4 * m}"
    return "direct", f"the literal algorithm is the cheaper exact sampler at d = {d}"
