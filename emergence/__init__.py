"""When SGD learns each feature of a two-layer network: theory beside simulation.

The public face.  What is named here is imported when it is first used, so that ``import emergence`` and the
command line start at once.
"""

from __future__ import annotations

from ._version import __version__

TYPE_CHECKING = False  # as typing has it, which takes time to import
if TYPE_CHECKING:
    from typing import Any

    from .compare import (
        Claim,
        Comparison,
        Experiment,
        ExponentFit,
        Provenance,
        check,
        fit_exponent,
        load,
        measure,
        overlay,
        provenance,
        read_claims,
        save,
    )
    from .figures import plot
    from .problem import Activation, Constant, Piecewise, PowerDecay, Problem, Teacher
    from .simulate import (
        Auto,
        Direct,
        Leap,
        Reduced,
        Run,
        Simulation,
        execute,
        sgd,
    )
    from .theory import (
        FiniteLaw,
        Flow,
        Prediction,
        SgdLaw,
        TransitionLaw,
        advise,
        exponents,
        finite_law,
        flow,
        init_quantiles,
        predict,
        required_width,
        resource_curves,
        sample_curves,
        sgd_law,
        transition_law,
    )

__all__ = [
    "Activation", "Auto", "Claim", "Comparison", "Constant", "Direct", "Experiment", "ExponentFit", "FiniteLaw", "Flow",
    "Leap", "Piecewise", "PowerDecay", "Prediction", "Problem", "Provenance", "Reduced", "Run", "SgdLaw", "Simulation",
    "Teacher", "TransitionLaw", "__version__", "advise", "check", "execute", "exponents", "finite_law", "fit_exponent",
    "flow", "init_quantiles", "load", "measure", "overlay", "plot", "predict", "provenance", "read_claims",
    "required_width", "resource_curves", "sample_curves", "save", "sgd", "sgd_law", "transition_law",
]  # fmt: skip
_PACKAGES = ("problem", "theory", "simulate", "compare", "figures", "cli")


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _PACKAGES:
        return import_module(f".{name}", __name__)
    if name in __all__:
        for package in _PACKAGES[:5]:
            module = import_module(f".{package}", __name__)
            if name in module.__all__:
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_PACKAGES})
