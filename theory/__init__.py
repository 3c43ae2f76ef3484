"""What the theory says: Hermite coefficients, population loss, gradient flow, transition times."""

from . import resource_curves
from .exponent_table import exponents
from .finite_size_law import FiniteLaw, finite_law
from .gradient_flow import Flow, flow
from .prediction import LEVELS, Prediction, predict
from .random_init import InitQuantiles, init_quantiles
from .resource_curves import Curve
from .symbolic_law import TransitionLaw, transition_law

__all__ = [
    "LEVELS", "Curve", "FiniteLaw", "Flow", "InitQuantiles", "Prediction", "TransitionLaw",
    "exponents", "finite_law", "flow", "init_quantiles", "predict", "resource_curves", "transition_law",
]  # fmt: skip
