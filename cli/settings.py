"""From flags and a TOML file to a problem and a run.

A value comes from the command line, else from ``--config FILE.toml``, else from ``defaults``.
The file holds the long flag names as keys (``high-pass`` or ``high_pass``) at top level; an
unknown key is refused by name.
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._suggestion import suggestion
from ..problem.toml_file import read_toml
from .flags import KINDS, SETTINGS, Numbers

if TYPE_CHECKING:
    import numpy as np

    from ..problem import Activation, Problem, Schedule
    from ..simulate import Auto, Direct, Leap, Reduced, Run

EMBEDDED: dict[str, Any] = {  # the problem and the run of the main job
    "activation": "h4", "high_pass": 0, "beta": 1.0, "P": 8, "d": 2048, "m": 64,
    "step_size": 1e-8, "samples": 70_000_000_000,
}  # fmt: skip
SEEDS = {"compare": 12}  # of the main job; other commands have the default of a run
NO_STEP_SIZE = ("predict", "law", "step_size", "width")  # commands that speak of SGD only where one is given
METHODS = ("auto", "direct", "reduced", "leap")


@cache
def defaults(command: str = "") -> dict[str, Any]:
    """The value of every setting that is not given: those of the objects that hold them, and the embedded problem."""
    from ..compare.comparison import overlay
    from ..problem import Problem
    from ..simulate import Auto, Leap, Run, execute
    from ..theory import predict

    found: dict[str, Any] = {setting.name: None for setting in SETTINGS} | {"schedule": "constant", "method": "auto"}
    for owner in (Problem, Run, Leap, Auto):
        found |= {f.name: f.default for f in fields(owner) if f.name in found and f.default is not MISSING}
    for function in (execute, overlay, predict):
        for name, parameter in inspect.signature(function).parameters.items():
            if name in found and parameter.default is not parameter.empty:
                found[name] = parameter.default
    own = {"seeds": SEEDS[command]} if command in SEEDS else {}
    return found | EMBEDDED | own | ({"step_size": None} if command in NO_STEP_SIZE else {})


def read_config(path: str, allowed: set[str]) -> dict[str, Any]:
    """Settings of a TOML file, checked against the names that the command takes.

    Raises
    ------
    ValueError
        A file that ``read_toml`` refuses, unknown key, value of the wrong kind.
    """
    document = read_toml(Path(path), f"the config {path}")
    kinds = {setting.name: setting.kind for setting in SETTINGS}
    out: dict[str, Any] = {}
    for key, value in document.items():
        name = key.replace("-", "_")
        if name not in kinds:
            raise ValueError(f"unknown key {key!r} in the config {path}{suggestion(name, kinds)}")
        if name not in allowed:
            continue  # one file serves all commands
        if name in out:
            raise ValueError(f"the key {key!r} stands twice in the config {path}")
        out[name] = checked_value(f"the config key {key!r}", value, kinds[name])
    return out


def checked_value(what: str, value: Any, kind: type) -> Any:
    """A value of a TOML file as the kind that its setting takes; ``what`` it is, in words.

    Raises
    ------
    ValueError
        It is of another kind.
    """
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is Numbers and isinstance(value, str) and value.lower().endswith(KINDS):
        return value
    if issubclass(kind, list):
        good = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        if not good:
            raise ValueError(f"{what} must be a list of numbers, but is {value!r}")
        return [float(v) for v in value]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{what} must be of type {kind.__name__}, but is {value!r}")
    return value


def resolve(flags: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """Merge defaults, config and flags; ``strengths`` displaces ``beta`` and ``P`` of weaker sources."""
    config = read_config(flags["config"], names) if flags.get("config") is not None else {}
    given = {k: v for k, v in flags.items() if k in names and v is not None}
    known = defaults(flags["command"])
    merged = {name: known[name] for name in names}
    for source in (config, given):
        if "strengths" in source and ("beta" in source or "P" in source):
            raise ValueError("--strengths states the teacher alone; leave out --beta and --P")
        if "beta" in source or "P" in source:
            merged["strengths"] = None
        merged.update(source)
    if isinstance(merged.get("strengths"), str):
        merged["strengths"] = _read_strengths(merged["strengths"])
    return merged


def build_problem(values: dict[str, Any]) -> Problem:
    """The problem that the settings state."""
    from ..problem import Problem, Teacher
    from ..problem.checks import positive_integer

    activation = _activation(values["activation"], values["high_pass"])
    if values["strengths"] is not None:
        teacher = Teacher(values["strengths"])
    else:
        P, d = positive_integer("P", values["P"]), positive_integer("d", values["d"])
        if d < P:  # before a teacher of that size is built
            raise ValueError(f"`d` must be at least P = {P}, but is {d}")
        teacher = Teacher.power_law(values["P"], values["beta"])
    return Problem(activation, teacher, values["d"], values["m"], values["init_scale"])


@lru_cache(64)
def _activation(text: str, cut: int) -> Activation:
    """The activation; one object for the many problems of a sweep."""
    from ..problem import Activation

    return Activation(text, cut)


def build_run(problem: Problem, values: dict[str, Any]) -> Run:
    """The run that the settings state."""
    from ..simulate import Run

    own = ("samples", "batch", "label_noise", "seeds", "seed", "records", "spacing")
    return Run(
        problem, build_schedule(values), sampler=_sampler(values),
        directions=read_directions(values["directions"], problem), **{name: values[name] for name in own},
    )  # fmt: skip


def build_schedule(values: dict[str, Any]) -> Schedule:
    """The step-size schedule that the settings state."""
    from ..problem import parse_schedule
    from ..problem.checks import positive_number

    return parse_schedule(values["schedule"], positive_number("step_size", values["step_size"]))


def stated_schedule(values: dict[str, Any]) -> dict[str, Any]:
    """The schedule as ``step_size`` where a step size is stated; nothing where none is.

    Raises
    ------
    ValueError
        A schedule without a step size, or what cannot be read.
    """
    if values["step_size"] is not None:
        return {"step_size": build_schedule(values)}
    if values["schedule"] != "constant":
        raise ValueError("`schedule` needs a `step_size`")
    return {}


def _sampler(values: dict[str, Any]) -> Auto | Direct | Reduced | Leap:
    from ..simulate import Auto, Direct, Leap, Reduced

    method, engine, device = values["method"], values["engine"], values["device"]
    leap = Leap(values["virtual"], values["accuracy"], values["macro_samples"])
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}, but is {method!r}")
    if method == "direct":
        return Direct(engine, device)
    automatic = Auto(engine, leap)
    if device is not None:
        raise ValueError("--device is of engine torch alone, and that of the direct sampler: use --method direct")
    if method == "auto":
        return automatic
    if method == "reduced":
        if engine == "numpy":
            raise ValueError("the reduced sampler exists compiled only; use engine compiled or auto")
        return Reduced()
    if engine == "compiled":
        raise ValueError("the leap sampler exists on NumPy only; use engine numpy or auto")
    return leap


def read_directions(path: str | None, problem: Problem) -> np.ndarray | None:
    """Initial unit rows (m, d) from a file (``cli.arrays``)."""
    from .arrays import read_array

    return None if path is None else problem.checked_directions(read_array(path, "directions"))


def _read_strengths(path: str) -> list[float]:
    """Strengths from a file (``cli.arrays``): one row, or one column."""
    from .arrays import read_array

    found = read_array(path, "strengths")
    if found.ndim == 0 or found.size != max(found.shape):
        raise ValueError(f"the strengths {path} must be one row or one column, but have shape {found.shape}")
    return [float(a) for a in found.ravel()]
