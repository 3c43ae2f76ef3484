"""Theory and simulation side by side, with a verdict."""

from .claim import Claim, read_claims
from .comparison import Agreement, Comparison, overlay
from .exponent_fit import ExponentFit, LocalExponents, fit_exponent, local_exponents
from .statistics import MedianEstimate, median_estimate
from .step_check import StepCheck, check_step
from .suite import Report, Verdict, check

__all__ = [
    "Agreement", "Claim", "Comparison", "ExponentFit", "LocalExponents", "MedianEstimate", "Report", "StepCheck",
    "Verdict", "check", "check_step", "fit_exponent", "local_exponents", "median_estimate", "overlay", "read_claims",
]  # fmt: skip
