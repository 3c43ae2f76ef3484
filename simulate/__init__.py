"""What SGD does: finite-d samplers, nothing here predicts a time."""

from simulate.result import Divergence, LossCheck, Simulation
from simulate.sgd import sgd

__all__ = ["Divergence", "LossCheck", "Simulation", "sgd"]
