"""The settings of the command line and of TOML files: name, kind, and what the help says, each stated here alone.

Defaults are not: they belong to what is set (``cli.settings.defaults``), and ``{default}`` in a help text stands
for them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

KINDS = (".csv", ".npy")  # of files that hold an array


class Numbers(list):
    """The kind of a list of numbers that may also come from a file."""


@dataclass(frozen=True)
class Setting:
    """A flag ``--name`` of one ``group`` of commands, also a key of a TOML file."""

    group: str
    name: str
    kind: type
    help: str
    metavar: str | None = None


SETTINGS = (
    Setting("problem", "activation", str, "σ (default {default})", "EXPR"),
    Setting("problem", "high_pass", int, "remove the Hermite components of degree below K", "K"),
    Setting("problem", "beta", float, "strengths a_p ∝ p^−beta (default {default})"),
    Setting("problem", "P", int, "number of teacher directions (default {default})"),
    Setting(
        "problem", "strengths", Numbers, "strengths given one by one, or a file of them (.npy, .csv); normalised",
        "A,…|FILE",
    ),
    Setting("problem", "d", int, "input dimension (default {default})"),
    Setting("problem", "m", int, "number of students (default {default})"),
    Setting("problem", "init_scale", float, "initial norm of every student (default {default})"),
    Setting("problem", "seed", int, "seed of all random streams (default {default})"),
    Setting("problem", "directions", str, "m × d initial directions (.npy, .csv) instead of random ones", "FILE"),
    Setting("predict", "t_max", float, "horizon in flow time", "T"),
    Setting(
        "flow", "flow_method", str, "gradient flow (default {default}; auto says what it chose)",
        "auto|exact|diagonal",
    ),
    Setting("quantiles", "quantiles", list, "quantiles over random inits, and of the law of SGD", "Q,…"),
    Setting("noise", "step_size", float, "η of SGD (default {default})"),
    Setting("noise", "batch", int, "mini-batch size (default {default})"),
    Setting("noise", "label_noise", float, "standard deviation of noise on the labels (default {default})", "SD"),
    Setting("simulation", "samples", int, "samples a seed, also as 6e6 (default {default})"),
    Setting("simulation", "seeds", int, "number of runs (default {default})"),
    Setting("simulation", "records", int, "records a run (default {default})"),
    Setting("simulation", "spacing", str, "spacing of the records (default {default})", "log|linear"),
    Setting(
        "schedule", "schedule", str,
        "step size over steps: constant, power:HORIZON:POWER, piecewise:STEP=ETA,… (default {default})", "TEXT",
    ),
    Setting(
        "simulation", "method", str, "sampler (default {default}; auto says what it chose)", "auto|direct|reduced|leap"
    ),
    Setting(
        "simulation", "engine", str, "how the sampler is computed (default {default}; torch: direct alone)",
        "auto|compiled|numpy|torch",
    ),
    Setting("simulation", "device", str, "of engine torch (default: cuda where there is one)", "cpu|cuda"),
    Setting(
        "simulation", "workers", int, "threads or processes (default: one per core); results do not depend on it"
    ),
    Setting("simulation", "virtual", int, "leap: virtual samples a macro-step (default {default})", "B"),
    Setting("simulation", "accuracy", float, "leap: relative change a macro-step may make (default {default})", "X"),
    Setting("simulation", "macro_samples", int, "leap: samples a macro-step instead of the adaptive number", "N"),
    Setting("simulation", "checkpoint_seconds", float, "seconds between checkpoints in --out (default {default})", "S"),
    Setting("compare", "tolerance", float, "median relative error that agrees (default {default})", "X"),
)  # fmt: skip


def names(*groups: str) -> set[str]:
    """Names of the settings in these groups."""
    return {setting.name for setting in SETTINGS if setting.group in groups}


def integer(text: str, bits: int = 64) -> int:
    """A whole number of so many bits, also written 6e6."""
    try:
        value = Decimal(text)
        if not value.is_finite() or value != value.to_integral_value():
            raise ValueError
    except (InvalidOperation, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
    if value.adjusted() > bits or abs(int(value)) >= 2**bits:  # not written out where it has a million digits
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at most {bits} bits")
    return int(value)


def seed(text: str) -> int:
    """A whole number of 128 bits, as many as ``numpy.random.SeedSequence`` draws where it is given none."""
    return integer(text, 128)


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


def numbers_or_file(text: str) -> list[float] | str:
    """Numbers separated by commas, or the name of a file that holds them."""
    return text if text.lower().endswith(KINDS) else numbers(text)


READERS: dict[type, Callable[[str], Any]] = {
    int: integer, float: number, list: numbers, Numbers: numbers_or_file, str: str,
}  # fmt: skip


def add_settings(
    parser: argparse.ArgumentParser, group: str, title: str | None = None, description: str | None = None
) -> None:
    """Add the flags of one group; none has a default, so that a file can give what the command line does not."""
    target = parser if title is None else parser.add_argument_group(title, description)
    for setting in SETTINGS:
        if setting.group == group:
            target.add_argument(
                f"--{setting.name.replace('_', '-')}", metavar=setting.metavar,
                type=seed if setting.name == "seed" else READERS[setting.kind],
                help=setting.help, default=argparse.SUPPRESS,
            )  # fmt: skip
