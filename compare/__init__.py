"""Theory and simulation side by side, with a verdict."""

from compare.check import Report, Verdict, check
from compare.claims import Claim, read_claims
from compare.exponent_fit import ExponentFit, LocalExponents, fit_exponent, local_exponents
from compare.overlay import Agreement, Comparison, overlay
from compare.statistics import MedianEstimate, median_estimate
from compare.step_check import StepCheck, check_step

__all__ = [
    "Agreement", "Claim", "Comparison", "ExponentFit", "LocalExponents", "MedianEstimate", "Report", "StepCheck",
    "Verdict", "check", "check_step", "fit_exponent", "local_exponents", "median_estimate", "overlay", "read_claims",
]  # fmt: skip
