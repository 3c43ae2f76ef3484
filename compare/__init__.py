"""Theory and simulation side by side, with a verdict."""

from .claim import Claim, read_claims
from .comparison import Agreement, Comparison, comparison_rows, overlay
from .experiment import Experiment
from .exponent_fit import ExponentFit, LocalExponents, fit_exponent, local_exponents
from .measurements import Measured, measure
from .noise_scale import NoiseScale
from .settling import Settling
from .statistics import MedianEstimate, median_estimate
from .step_check import StepCheck, check_step
from .stored import Provenance, load, provenance, save
from .suite import Report, Verdict, check
from .sweeps import ComparePoint, LawPoint, PredictPoint, SgdLawPoint, SimulatePoint, Sweep, sweep

__all__ = [
    "Agreement", "Claim", "ComparePoint", "Comparison", "Experiment", "ExponentFit", "LawPoint", "LocalExponents",
    "Measured", "MedianEstimate", "NoiseScale", "PredictPoint", "Provenance", "Report", "Settling", "SgdLawPoint",
    "SimulatePoint", "StepCheck", "Sweep", "Verdict", "check", "check_step", "comparison_rows", "fit_exponent",
    "load", "local_exponents", "measure", "median_estimate", "overlay", "provenance", "read_claims", "save", "sweep",
]  # fmt: skip
