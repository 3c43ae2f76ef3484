"""Theory and simulation side by side, with a verdict."""

from compare.overlay import Agreement, Comparison, overlay
from compare.statistics import MedianEstimate, median_estimate
from compare.step_check import StepCheck, check_step

__all__ = ["Agreement", "Comparison", "MedianEstimate", "StepCheck", "check_step", "median_estimate", "overlay"]
