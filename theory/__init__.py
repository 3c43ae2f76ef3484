"""What the theory says: Hermite coefficients, population loss, gradient flow, transition times."""

from theory.exponents import exponents
from theory.finite_law import FiniteLaw, finite_law
from theory.flow import Flow, flow
from theory.predict import LEVELS, Prediction, predict
from theory.random_init import InitQuantiles, init_quantiles
from theory.resource_curves import Curve

__all__ = [
    "LEVELS", "Curve", "FiniteLaw", "Flow", "InitQuantiles", "Prediction",
    "exponents", "finite_law", "flow", "init_quantiles", "predict",
]  # fmt: skip
