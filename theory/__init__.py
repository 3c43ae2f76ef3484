"""What the theory says: Hermite coefficients, population loss, gradient flow, transition times."""

from . import resource_curves, sample_curves
from .exponent_table import exponents
from .finite_size_law import FiniteLaw, finite_law
from .finite_step_law import SgdLaw, sgd_law
from .flow_result import Flow
from .gradient_flow import flow
from .prediction import LEVELS, Prediction, predict
from .random_init import InitQuantiles, init_quantiles
from .resource_curves import Curve
from .step_advice import StepSize, advise
from .symbolic_law import TransitionLaw, transition_law
from .width_advice import RequiredWidth, required_width

__all__ = [
    "LEVELS", "Curve", "FiniteLaw", "Flow", "InitQuantiles", "Prediction", "RequiredWidth", "SgdLaw", "StepSize",
    "TransitionLaw", "advise", "exponents", "finite_law", "flow", "init_quantiles", "predict", "required_width",
    "resource_curves", "sample_curves", "sgd_law", "transition_law",
]  # fmt: skip
