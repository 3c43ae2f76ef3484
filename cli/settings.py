"""From flags and a TOML file to a problem and run settings.

A value comes from the command line, else from ``--config FILE.toml``, else from ``DEFAULTS``.
The file holds the long flag names as keys (``high-pass`` or ``high_pass``) at top level; an
unknown key is refused by name.
"""

from __future__ import annotations

import argparse
import tomllib
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ..problem import Problem

DEFAULTS: dict[str, Any] = {
    "activation": "h4",
    "high_pass": 0,
    "beta": 1.0,
    "P": 8,
    "strengths": None,
    "d": 2048,
    "m": 64,
    "init_scale": 1e-3,
    "seed": 0,
    "step_size": 1e-8,
    "samples": 70_000_000_000,
    "batch": 1,
    "records": 300,
    "spacing": "linear",
    "method": "auto",
    "engine": "auto",
    "dtype": "float64",
    "schedule": "constant",
    "label_noise": 0.0,
    "workers": None,
    "virtual": 16,
    "accuracy": 0.1,
    "macro_samples": None,
    "checkpoint_seconds": 1.0,
    "tolerance": 0.1,
    "t_max": None,
    "quantiles": None,
    "directions": None,
}
KINDS: dict[str, type] = {
    "activation": str, "high_pass": int, "beta": float, "P": int, "strengths": list, "d": int, "m": int,
    "init_scale": float, "seed": int, "step_size": float, "samples": int, "batch": int, "seeds": int,
    "records": int, "spacing": str, "engine": str, "workers": int, "tolerance": float, "t_max": float,
    "method": str, "dtype": str, "schedule": str, "label_noise": float, "virtual": int, "accuracy": float,
    "macro_samples": int, "checkpoint_seconds": float,
    "quantiles": list, "directions": str,
}  # fmt: skip


def integer(text: str) -> int:
    """A whole number, also written 6e6."""
    try:
        value = Decimal(text)
        if not value.is_finite() or abs(value.adjusted()) > 18 or value != value.to_integral_value():
            raise ValueError
    except (InvalidOperation, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    return int(value)


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value


def numbers(text: str) -> list[float]:
    """Numbers separated by commas."""
    return [number(part) for part in text.split(",")]


def read_config(path: str, allowed: set[str]) -> dict[str, Any]:
    """Settings of a TOML file, checked against the names that the command takes.

    Raises
    ------
    ValueError
        Unreadable or malformed file, unknown key, value of the wrong kind.
    """
    try:
        with Path(path).open("rb") as file:
            document = tomllib.load(file)
    except OSError as error:
        raise ValueError(f"cannot read the config {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"the config {path} is not valid TOML: {error}") from None
    out: dict[str, Any] = {}
    for key, value in document.items():
        name = key.replace("-", "_")
        if name not in KINDS:
            raise ValueError(f"unknown key {key!r} in the config {path}")
        if name not in allowed:
            continue  # one file serves all commands
        if name in out:
            raise ValueError(f"the key {key!r} stands twice in the config {path}")
        out[name] = _checked(key, value, KINDS[name])
    return out


def _checked(key: str, value: Any, kind: type) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind is list:
        good = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        if not good:
            raise ValueError(f"the config key {key!r} must be a list of numbers, but is {value!r}")
        return [float(v) for v in value]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"the config key {key!r} must be of type {kind.__name__}, but is {value!r}")
    return value


def resolve(flags: dict[str, Any], names: set[str], defaults: dict[str, Any]) -> dict[str, Any]:
    """Merge defaults, config and flags; ``strengths`` displaces ``beta`` and ``P`` of weaker sources."""
    config = read_config(flags["config"], names) if flags.get("config") else {}
    given = {k: v for k, v in flags.items() if k in names and v is not None}
    merged = {name: defaults.get(name) for name in names}
    for source in (config, given):
        if "strengths" in source and source["strengths"] is not None and ("beta" in source or "P" in source):
            raise ValueError("--strengths states the teacher alone; leave out --beta and --P")
        if "beta" in source or "P" in source:
            merged["strengths"] = None
        merged.update(source)
    return merged


def build_problem(values: dict[str, Any]) -> Problem:
    """The problem that the settings state."""
    from ..problem import Activation, Problem, Teacher
    from ..problem.checks import positive_integer

    activation = Activation(values["activation"], values["high_pass"])
    if values["strengths"] is not None:
        teacher = Teacher(values["strengths"])
    else:
        P, d = positive_integer("P", values["P"]), positive_integer("d", values["d"])
        if d < P:  # before a teacher of that size is built
            raise ValueError(f"`d` must be at least P = {P}, but is {d}")
        teacher = Teacher.power_law(values["P"], values["beta"])
    return Problem(activation, teacher, values["d"], values["m"], values["init_scale"])


def read_directions(path: str | None, problem: Problem) -> np.ndarray | None:
    """Initial unit rows from a ``.npy`` file of shape (m, d); pickled content is refused."""
    from zipfile import BadZipFile

    import numpy as np

    if path is None:
        return None
    try:
        rows = np.load(path, allow_pickle=False)
    except OSError as error:
        raise ValueError(f"cannot read the directions {path}: {error.strerror or error}") from None
    except (ValueError, EOFError, BadZipFile):
        raise ValueError(f"the directions {path} are not a plain .npy array of numbers") from None
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "fiu":
        raise ValueError(f"the directions {path} are not a plain .npy array of numbers")
    return problem.checked_directions(rows)
