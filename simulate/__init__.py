"""What SGD does: samplers of online SGD; nothing here predicts a time."""

from simulate.leap import LeapControl
from simulate.result import Divergence, LossCheck, Simulation
from simulate.schedule import Schedule, constant, parse_schedule, piecewise, power_decay
from simulate.sgd import sgd

__all__ = [
    "Divergence", "LeapControl", "LossCheck", "Schedule", "Simulation",
    "constant", "parse_schedule", "piecewise", "power_decay", "sgd",
]  # fmt: skip
