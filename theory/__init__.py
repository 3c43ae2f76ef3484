"""What the theory says: Hermite coefficients, population loss, gradient flow, transition times."""

from theory.exponents import exponents
from theory.flow import Flow, flow
from theory.predict import LEVELS, Prediction, predict
from theory.random_init import InitQuantiles, init_quantiles

__all__ = ["LEVELS", "Flow", "InitQuantiles", "Prediction", "exponents", "flow", "init_quantiles", "predict"]
