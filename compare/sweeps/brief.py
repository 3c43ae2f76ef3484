"""What a result comes to, in a few numbers: a row of the table of a sweep.

``learned`` counts recovered directions; ``final_loss`` and ``t_end`` are loss and flow time at the end.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np

from ...problem.events import EVENTS
from ...simulate import Simulation
from ...theory import Curve, Prediction, SgdLaw
from ..comparison import Comparison


@singledispatch
def brief(result: Any) -> dict[str, Any]:
    """What a result comes to: directions learned, loss and flow time at the end, a verdict."""
    raise TypeError(f"no table knows a {type(result).__name__}")


@brief.register
def _(result: Prediction) -> dict[str, Any]:
    learned = int(np.isfinite(result.recovery["flow"]).sum())
    return {"learned": float(learned), "final_loss": float(result.flow.loss[-1]), "t_end": result.flow.t_end}


@brief.register
def _(result: Simulation) -> dict[str, Any]:
    """Medians over the runs; those that diverged have learned nothing and have no loss."""
    ended = result.loss[~result.diverged, -1]
    return {
        "learned": float(np.median(np.isfinite(result.first_passages("recovery")).sum(axis=1))),
        "final_loss": float(np.median(ended)) if ended.size else np.nan,
        "t_end": result.t_end,
        "diverged": int(result.diverged.sum()),
    }


@brief.register
def _(result: Comparison) -> dict[str, Any]:
    """Those of the simulation, and median relative errors of the times by the flow with 95 % intervals."""
    found, agreement = brief(result.simulation), result.agreement
    for event in EVENTS:
        error = agreement.errors["flow"][event]
        values = (error.median, *error.interval)
        found |= dict(zip((f"{event}_error", f"{event}_error_low", f"{event}_error_high"), values, strict=True))
    return found | {"against": agreement.against, "verdict": agreement.verdict}


@brief.register
def _(result: SgdLaw) -> dict[str, Any]:
    return {
        "learned": float(result.learned_probability.sum()),
        "final_loss": float(result.loss[-1]),
        "t_end": result.t_max,
        "divergence_probability": float(1 - result.survival[-1]),
        "valid": result.valid,
    }


@brief.register
def _(result: Curve) -> dict[str, Any]:
    return {"x_end": float(result.x[-1]), "value_end": float(result.value[-1])}
