"""A simulation as an xarray dataset (extra ``data``): named dimensions, units as attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .result import Simulation

_FLOW = "flow time"
_TEXTS = {  # name of a variable to what it is, and its unit; "1" is none
    "seed": ("independent run", "1"),
    "time": ("sum of the step sizes", _FLOW),
    "samples": ("samples drawn, steps times batch", "samples"),
    "direction": ("teacher direction p, from 0", "1"),
    "student": ("student k, from 0", "1"),
    "a": ("teacher strength a_p", "1"),
    "loss": ("population loss", "1"),
    "overlap": ("cosine r_kp of student and direction", "1"),
    "norm": ("norm of the student", "1"),
    "strength": ("learned strength, sum over k of norm² overlap²", "1"),
    "alignment": ("first passage of a squared overlap through 1/2; inf where not reached", _FLOW),
    "recovery": ("first passage of the learned strength through a_p/2; inf where not reached", _FLOW),
    "diverged": ("did the run blow up", "1"),
    "valid_until": ("from when on direct SGD would probably have diverged", _FLOW),
}


def dataset(simulation: Simulation) -> Any:
    """See ``Simulation.to_xarray``."""
    try:
        import xarray
    except ImportError:
        raise ImportError("`to_xarray` needs xarray; install sgd-emergence[data]") from None
    run, problem = simulation.run, simulation.problem
    data = {
        "loss": (("seed", "time"), simulation.loss),
        "overlap": (("seed", "time", "student", "direction"), simulation.overlaps),
        "norm": (("seed", "time", "student"), simulation.norms),
        "strength": (("seed", "time", "direction"), simulation.strengths),
        "alignment": (("seed", "direction"), simulation.alignment),
        "recovery": (("seed", "direction"), simulation.recovery),
        "diverged": ("seed", simulation.diverged),
        "valid_until": ("seed", simulation.valid_until),
    }
    coordinates = {
        "seed": np.arange(simulation.seeds),
        "time": simulation.times,
        "samples": ("time", run.batch * run.recorded()),
        "direction": np.arange(problem.P),
        "student": np.arange(problem.m),
        "a": ("direction", problem.a),
    }
    facts = {
        "activation": problem.activation.name, "high_pass": problem.activation.cut, "d": problem.d,
        "init_scale": problem.init_scale, "schedule": run.step_size.text, "batch": run.batch,
        "label_noise": run.label_noise, "root_seed": str(run.seed), "method": run.sampler.name,
        "version": simulation.version,
    }  # fmt: skip
    made = xarray.Dataset(data, coordinates, facts)
    for name, (words, unit) in _TEXTS.items():
        made[name].attrs = {"long_name": words, "units": unit}
    return made
