"""Sweeps: many points, computed by any executor and kept on disk one by one."""

from .execution import sweep
from .points import ComparePoint, LawPoint, Point, PredictPoint, SgdLawPoint, SimulatePoint
from .result import Failure, Sweep

__all__ = [
    "ComparePoint", "Failure", "LawPoint", "Point", "PredictPoint", "SgdLawPoint", "SimulatePoint", "Sweep", "sweep",
]  # fmt: skip
