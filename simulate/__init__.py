"""What SGD does: runs of online SGD and their samplers; nothing here predicts a time."""

from .execution import execute, sgd
from .result import Divergence, LossCheck, Simulation
from .run import Run
from .samplers import Auto, Direct, Leap, Reduced

__all__ = [
    "Auto", "Direct", "Divergence", "Leap", "LossCheck", "Reduced", "Run", "Simulation", "execute", "sgd",
]  # fmt: skip
