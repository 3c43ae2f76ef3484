"""Theory and simulation side by side, with a verdict."""

from compare.overlay import Agreement, Comparison, overlay
from compare.statistics import MedianEstimate, median_estimate

__all__ = ["Agreement", "Comparison", "MedianEstimate", "median_estimate", "overlay"]
