"""What the theory says: Hermite coefficients, population loss, gradient flow, transition times."""

from .exponent_table import exponents
from .finite_size_law import FiniteLaw, finite_law
from .gradient_flow import Flow, flow
from .prediction import LEVELS, Prediction, predict
from .random_init import InitQuantiles, init_quantiles
from .resource_curves import Curve

__all__ = [
    "LEVELS", "Curve", "FiniteLaw", "Flow", "InitQuantiles", "Prediction",
    "exponents", "finite_law", "flow", "init_quantiles", "predict",
]  # fmt: skip
