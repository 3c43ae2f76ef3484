"""How far two loss curves are apart, and how far a shift in time alone takes one from itself.

The distance is sup over the records of |log10 L_SGD − log10 L_flow|, both losses floored at ``LOSS_FLOOR`` of the
initial one.  No verdict uses it: where a direction is learned the loss drops at once, so that a transition which is a
few per cent early or late leaves the curves a whole drop apart for that moment.  What it would be for runs that are the
flow itself, everywhere late or early by the tolerance of the verdict, ``shift_distance`` says.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from ..simulate import Simulation
from ..theory.flow_result import Flow

LOSS_FLOOR = 1e-3  # losses below this fraction of the initial one are compared as equal to it


def loss_distance(flow: Flow, simulation: Simulation, seed: int) -> float:
    """Of a seed; inf for a diverged run or a stopped flow."""
    if simulation.diverged[seed] or flow.t_end < simulation.t_end:
        return np.inf
    return float(np.max(np.abs(np.log10(_floored(flow, simulation.loss[seed]) / _loss(flow, simulation.times)))))


def shift_distance(flow: Flow, times: Array, share: float) -> float:
    """sup over ``times`` of |log10 L(t/(1 ± share)) − log10 L(t)|, floored as the distance; NaN for a stopped flow."""
    if flow.t_end < times[-1]:
        return np.nan
    late = times / (1 + share)
    early = np.minimum(times / (1 - share), flow.t_end) if share < 1 else np.where(times > 0, flow.t_end, 0.0)
    here = _loss(flow, times)
    return float(max(np.max(np.abs(np.log10(_loss(flow, there) / here))) for there in (late, early)))


def _loss(flow: Flow, times: Array) -> Array:
    return _floored(flow, flow.loss_at(times))


def _floored(flow: Flow, loss: Array) -> Array:
    return np.maximum(loss, LOSS_FLOOR * flow.loss[0])
