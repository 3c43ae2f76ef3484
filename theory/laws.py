"""Any resource curve by its name: what ``emergence law`` prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .._types import Array
from ..problem.checks import positive_integer
from ..problem.problem import Problem
from . import resource_curves, sample_curves
from .finite_size_law import finite_law, law_of_starts
from .finite_step_law import sgd_law_refusal
from .greedy_chain import greedy_refusal
from .random_init import table_refusal
from .resource_curves import Curve

NOISELESS = ("flow_time", "samples_horizon_step", "width", "compute_width_time", "compute_width_samples")
DIMENSION = ("dimension_time", "dimension_samples")
SGD = ("samples_fixed_step", "samples_best_step", "compute_width_samples_best_step")
RESOURCES = (*NOISELESS, *DIMENSION, *SGD)
_DRAWS = 200


def law_of(
    resource: str, problem: Problem, *, directions: Array | None, quantiles: Sequence[float], seed: int,
    given: dict[str, Any],
) -> Curve:  # fmt: skip
    """The curve of a resource.

    Parameters
    ----------
    directions
        Initial unit rows; None for the law over random ones, which those of SGD need.
    given
        What was asked for of ``step_size``, ``batch``, ``label_noise``, ``draws`` and ``dimensions``.

    Raises
    ------
    ValueError
        An unknown resource, something given that has no part in it, or something that it needs and is not given.
    """
    check_request(resource, problem, directions, given)
    if resource in SGD:
        curve: Curve = getattr(sample_curves, resource)(problem, **given, quantiles=tuple(quantiles), seed=seed)
        return curve
    if directions is None:
        law = finite_law(problem, draws=given.get("draws", _DRAWS), seed=seed, quantiles=tuple(quantiles))
    else:
        law = replace(law_of_starts(problem, directions[None, :, : problem.P]), quantiles=tuple(quantiles))
    if resource in DIMENSION:
        low = max(problem.P, 16)
        wanted = given.get("dimensions", [low * 2**i for i in range(int(np.log2(max(problem.d / low, 1))) + 3)])
        return getattr(resource_curves, resource)(law, [int(d) for d in wanted])  # type: ignore[no-any-return]
    return getattr(resource_curves, resource)(law)  # type: ignore[no-any-return]


def check_request(resource: str, problem: Problem, directions: Array | None, given: dict[str, Any]) -> None:
    """Refuse what ``law_of`` would, before any work.

    Raises
    ------
    ValueError
        As ``law_of``.
    """
    if resource not in RESOURCES:
        raise ValueError(f"RESOURCE must be one of {', '.join(RESOURCES)}, but is {resource!r}")
    allowed = {"batch", "label_noise"} if resource in SGD else {"draws"}
    if resource == "samples_fixed_step":
        allowed.add("step_size")
        if "step_size" not in given:
            raise ValueError("samples_fixed_step needs a step size, `step_size`")
    if resource in DIMENSION:
        allowed.add("dimensions")
    strange = next((name for name in given if name not in allowed), None)
    if strange is not None:
        raise ValueError(f"`{strange}` has no part in {resource}")
    if resource in SGD:
        if directions is not None:
            raise ValueError(f"{resource} is a law over random starts; `directions` has no part in it")
        refusal = sgd_law_refusal(problem)
        if refusal is not None:
            raise ValueError(refusal)
        return
    if directions is None:
        refusal = greedy_refusal(problem.activation)
        refusal = refusal or table_refusal(positive_integer("draws", given.get("draws", _DRAWS)), problem.P)
        if refusal is not None:
            raise ValueError(refusal)
    elif "draws" in given:
        raise ValueError("`draws` are of random starts, but `directions` are given")
    wanted = given.get("dimensions", [])
    if any(d != int(d) for d in wanted):
        raise ValueError(f"`dimensions` must be whole numbers, but are {wanted}")
    for d in wanted:
        replace(problem, d=int(d))  # refuses what is none
