"""What SGD does: samplers of online SGD; nothing here predicts a time."""

from .execution import sgd
from .result import Divergence, LossCheck, Simulation
from .samplers.leap import LeapControl
from .schedule import Schedule, constant, parse_schedule, piecewise, power_decay

__all__ = [
    "Divergence", "LeapControl", "LossCheck", "Schedule", "Simulation",
    "constant", "parse_schedule", "piecewise", "power_decay", "sgd",
]  # fmt: skip
