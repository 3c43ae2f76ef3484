"""The points of a sweep, from a TOML file.

    [fixed]                          settings of all points
    activation = "h4"
    [vary]                           lists: a point for each combination
    quantity = ["predict", "simulate"]
    step-size = [1e-5, 1e-4]
    [[point]]                        or one by one, as many as there are, each with every combination
    d = 64
    m = 8

Keys are the long flag names of the command line and mean what they do there, with the same defaults; beside them
``quantity`` (``predict``, ``simulate``, ``compare``, ``law``, ``sgd-law``), and of ``law`` ``resource``, ``draws`` and
``dimensions``.  A setting that has no part in a quantity is left out of its points, and points that are then the same
are one.  A point that is refused refuses the file, unless it says ``refused = "skip"``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..problem.toml_file import read_toml
from .flags import SETTINGS, names
from .settings import build_problem, build_run, build_schedule, checked_value, read_directions, resolve, stated_schedule

if TYPE_CHECKING:
    from ..compare.sweeps import Point
    from ..problem import Problem

MAX_POINTS = 10**6
KINDS: dict[str, type] = {setting.name: setting.kind for setting in SETTINGS} | {
    "quantity": str, "resource": str, "draws": int, "dimensions": list,
}  # fmt: skip
HOW = {"workers", "checkpoint_seconds"}  # settings that say how, not what
_RUN = names("problem", "noise", "schedule", "simulation") - HOW
_LAW = names("problem", "noise", "schedule", "quantiles") - {"directions"}
PARTS = {
    "predict": names("problem", "predict", "flow"),
    "simulate": _RUN,
    "compare": _RUN | names("compare"),
    "law": _LAW,
    "sgd-law": names("problem", "predict", "noise", "schedule"),
}
OF_LAW = {"resource", "draws", "dimensions"}

Settings = dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """The points of a file, and those that were left out, each in words with the reason."""

    points: list[Point]
    refused: list[tuple[str, str]]


def read_grid(path: str) -> Grid:
    """The points of a TOML file, all of them checked.

    Raises
    ------
    ValueError
        A file that ``read_toml`` refuses; an unknown key, or one that has no part in any of its quantities; a value of
        the wrong kind; no point; a point that is refused, unless the file says to skip those.
    """
    where = f"the grid {path}"
    document = read_toml(Path(path), where)
    strange = next((key for key in document if key not in ("fixed", "vary", "point", "refused")), None)
    if strange is not None:
        raise ValueError(f"unknown key {strange!r} in {where}; settings stand in [fixed], [vary] or [[point]]")
    skip = document.get("refused", "stop")
    if skip not in ("stop", "skip"):
        raise ValueError(f"`refused` must be stop or skip in {where}, but is {skip!r}")
    fixed = _table(document.get("fixed", {}), f"[fixed] of {where}", checked_value)
    varied = _table(document.get("vary", {}), f"[vary] of {where}", _values)
    rows = document.get("point", [{}])
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"points stand in [[point]] in {where}")
    stated = [_table(row, f"[[point]] of {where}", checked_value) for row in rows]
    for name in varied:
        if name in fixed or any(name in row for row in stated):
            raise ValueError(f"`{name}` stands in [vary] of {where}, and again outside")
    size = len(stated) * math.prod(map(len, varied.values()))
    if size > MAX_POINTS:
        raise ValueError(f"{where} has {size} points; more than {MAX_POINTS} are refused")
    combined = list(_combined(stated, varied))
    _check_parts(fixed, combined, where)
    builder, points, refused = _Builder(), list[Any](), list[tuple[str, str]]()
    for own in combined:
        try:
            points.append(builder.point(fixed | own))
        except ValueError as error:
            refused.append((", ".join(f"{name} = {value}" for name, value in own.items()) or "of [fixed]", str(error)))
    if refused and (skip == "stop" or not points):
        label, reason = refused[0]
        more = f" ({len(refused)} of {size} are refused)" if len(refused) > 1 else ""
        raise ValueError(f'the point {label} in {where}: {reason}{more}; `refused = "skip"` leaves such points out')
    return Grid(list(dict.fromkeys(points)), refused)


def _table(table: Any, where: str, read: Callable[[str, Any, type], Any]) -> Settings:
    if not isinstance(table, dict):
        raise ValueError(f"{where} must be a table, but is {table!r}")
    found: Settings = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in KINDS or name in HOW:
            raise ValueError(f"unknown key {key!r} in {where}")
        if name in found:
            raise ValueError(f"the key {key!r} stands twice in {where}")
        found[name] = read(f"{key!r} in {where}", value, KINDS[name])
    return found


def _values(what: str, values: Any, kind: type) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise ValueError(f"{what} must be a list of values, but is {values!r}")
    return [checked_value(f"each value of {what}", value, kind) for value in values]


def _combined(stated: list[Settings], varied: dict[str, list[Any]]) -> Iterator[Settings]:
    for row in stated:
        for values in product(*varied.values()):
            yield row | dict(zip(varied, values, strict=True))


def _check_parts(fixed: Settings, combined: list[Settings], where: str) -> None:
    """Every point has a known quantity, and what stands in [vary] or [[point]] a part in one of them."""
    quantities = dict.fromkeys(str(own.get("quantity", fixed.get("quantity", "not stated"))) for own in combined)
    strange = next((quantity for quantity in quantities if quantity not in PARTS), None)
    if strange is not None:
        raise ValueError(f"`quantity` must be one of {', '.join(PARTS)} in {where}, but is {strange}")
    parts = {"quantity"}.union(*(PARTS[quantity] for quantity in quantities), OF_LAW if "law" in quantities else ())
    useless = next((name for own in combined for name in own if name not in parts), None)
    if useless is not None:
        raise ValueError(f"`{useless}` has no part in {' or '.join(quantities)}, but is set in {where}")


class _Builder:
    """Makes points of settings; a problem that many share once."""

    def __init__(self) -> None:
        self._problems: dict[str, Problem] = {}

    def point(self, stated: Settings) -> Point:
        """The point that these settings state; what has no part in its quantity is left out."""
        from ..compare.sweeps import ComparePoint, LawPoint, PredictPoint, SgdLawPoint, SimulatePoint

        quantity = stated["quantity"]
        own = {name: value for name, value in stated.items() if name in PARTS[quantity]}
        values = resolve({"command": quantity.replace("-", "_"), **own}, PARTS[quantity])
        problem = self._problem(values)
        if quantity == "law":
            asked = ("batch", "label_noise", "step_size", "draws", "dimensions")
            given: Settings = {name: stated[name] for name in asked if name in stated}
            if values["schedule"] != "constant":  # a number is stored as it stands
                given |= stated_schedule(values)
            levels = {} if values["quantiles"] is None else {"quantiles": values["quantiles"]}
            return LawPoint(problem, stated.get("resource", ""), **levels, seed=values["seed"], given=given)
        if quantity == "simulate":
            return SimulatePoint(build_run(problem, values))
        if quantity == "compare":
            return ComparePoint(build_run(problem, values), values["tolerance"])
        starts = {name: values[name] for name in ("seed", "t_max")}
        starts["directions"] = read_directions(values["directions"], problem)
        if quantity == "predict":
            return PredictPoint(problem, flow_method=values["flow_method"], **starts)
        noise = {name: values[name] for name in ("batch", "label_noise")}
        return SgdLawPoint(problem, build_schedule(values), **noise, **starts)

    def _problem(self, values: Settings) -> Problem:
        kept = ("activation", "high_pass", "beta", "P", "strengths", "d", "m", "init_scale")
        key = json.dumps([values[name] for name in kept])
        if key not in self._problems:
            self._problems[key] = build_problem(values)
        return self._problems[key]
