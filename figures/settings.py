"""A figure with numbers of one's own: what may be set, how it is written, and what is refused.

What a figure is made of is one table (``SIZES``).  A setting takes the place of an entry of it: a whole number where
there is one, a number, a text, a list (one value counts as a list of one) or a table, in which what is not named
stays.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..problem import Activation, Problem, Teacher
from ..problem.problem import MAX_NUMBERS
from ..problem.toml_file import LARGEST, read_toml
from ..theory.random_init import table_refusal

Settings = dict[str, Any]
MOST = 10**6  # of what a figure counts one by one
FREE = ("d", "dimension", "dimensions", "cost_d", "samples")  # samplers and laws whose cost does not grow with them


def read_settings(path: str | None, assignments: Iterable[str]) -> Settings:
    """Settings of a TOML file, if any, and of assignments ``KEY=VALUE``, which win; ``run.P`` is P in the table run.

    A value is written as in TOML; what is none is a text.

    Raises
    ------
    ValueError
        A file that ``read_toml`` refuses, an assignment without a key or a value, a key that is set twice.
    """
    found = {} if path is None else read_toml(Path(path), f"the settings {path}")
    given: Settings = {}
    for assignment in assignments:
        key, sign, text = (part.strip() for part in assignment.partition("="))
        if not (key and sign and text):
            raise ValueError(f"--set must be of the form KEY=VALUE, but is {assignment!r}")
        table = given
        *outer, last = key.split(".")
        for name in outer:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise ValueError(f"--set gives {key!r} twice")
        if last in table:
            raise ValueError(f"--set gives {key!r} twice")
        table[last] = _value(text)
    return _merged(found, given)


def _value(text: str) -> Any:
    try:
        found = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return found["value"] if list(found) == ["value"] else text


def _merged(first: Settings, second: Settings) -> Settings:
    out = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if both else value
    return out


def with_settings(name: str, sizes: Settings, given: Mapping[str, Any]) -> Settings:
    """The table of the figure called ``name`` with some entries replaced.

    Raises
    ------
    ValueError
        An entry that the table lacks, with the list of those there are, or a value of another kind.
    """
    return _table(f"the figure {name}", "", sizes, given)


def _table(owner: str, prefix: str, known: Settings, given: Mapping[str, Any]) -> Settings:
    out = dict(known)
    for key, value in given.items():
        if key not in known:
            raise ValueError(
                f"{owner} has no setting {prefix + key!r}; it has {', '.join(prefix + one for one in known)}"
            )
        out[key] = _entry(owner, prefix + key, known[key], value)
    return out


def _entry(owner: str, key: str, known: Any, value: Any) -> Any:
    if isinstance(known, dict):
        if not isinstance(value, Mapping):
            raise ValueError(f"`{key}` must be a table of {', '.join(known)}, but is {value!r}")
        return _table(owner, f"{key}.", known, value)
    if isinstance(known, list | tuple):
        values = list(value) if isinstance(value, list | tuple) else [value]
        if not values:
            raise ValueError(f"`{key}` must not be empty")
        like = next((one for one in known if isinstance(one, float)), known[0])
        return [_entry(owner, key, like, one) for one in values]
    if isinstance(known, str):
        if not isinstance(value, str):
            raise ValueError(f"`{key}` must be a text, but is {value!r}")
        return value
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
        raise ValueError(f"`{key}` must be a number, but is {value!r}")
    if isinstance(known, float):
        return float(number)
    if number != int(number) or not 0 < number < LARGEST:
        raise ValueError(f"`{key}` must be a positive whole number, but is {value!r}")
    return int(number)


def check_room(sizes: Mapping[str, Any]) -> None:
    """Refuse a table, or one within it, whose students, starts or frames cannot be held, whatever is made of them.

    Raises
    ------
    ValueError
        A count above ``MOST``, dimensions and samples aside; more students, starts or frames than fit in memory.
    """
    for table in (sizes, *({**sizes, **part} for part in sizes.values() if isinstance(part, dict))):
        numbers = {name: value if isinstance(value, list | tuple) else [value] for name, value in table.items()}
        largest = {name: max(found) for name, found in numbers.items() if all(type(n) is int for n in found)}
        for name, value in largest.items():
            if name not in FREE and value > MOST:
                raise ValueError(f"`{name}` must be at most {MOST}, but is {value}")
        for cost in ("", "cost_"):
            P, seeds, draws = (largest.get(cost + name, 1) for name in ("P", "seeds", "draws"))
            m = max(largest.get(cost + "m", 1), 1 if cost else largest.get("widths", 1))
            if m * (P + m) > MAX_NUMBERS or max(seeds, largest.get("frames", 1)) * m * P > MAX_NUMBERS:
                raise ValueError(
                    f"m = {m} students of P = {P} directions, or so many records of them, do not fit in memory"
                )
            refusal = table_refusal(max(seeds, draws), P)
            if refusal is not None:
                raise ValueError(refusal)


def problem_of(sizes: Mapping[str, Any]) -> Problem:
    """The problem that a figure's table states: activation, beta, P, d and m."""
    teacher = Teacher.power_law(sizes["P"], sizes["beta"])
    return Problem(Activation(sizes["activation"]), teacher, d=sizes["d"], m=sizes["m"])


def check_power_law(*betas: float) -> None:
    """Refuse strengths of which the loss is no power law.

    Raises
    ------
    ValueError
        β ≤ ½, where Σ_p a_p² of a_p ∝ p^−β is not governed by its first directions.
    """
    for beta in betas:
        if not beta > 0.5:
            raise ValueError(f"`beta` must be above 1/2, but is {beta:g}: below, the loss follows no power law")
