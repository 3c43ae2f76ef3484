"""What SGD does: runs of online SGD and their samplers; nothing here predicts a time."""

from .execution import execute, sgd
from .result import Divergence, LossCheck, Simulation
from .run import Run
from .samplers import Auto, Direct, Leap, Reduced
from .schedule import Constant, Custom, Piecewise, PowerDecay, Schedule, parse_schedule

__all__ = [
    "Auto", "Constant", "Custom", "Direct", "Divergence", "Leap", "LossCheck", "Piecewise", "PowerDecay", "Reduced",
    "Run", "Schedule", "Simulation", "execute", "parse_schedule", "sgd",
]  # fmt: skip
