"""What a sweep leaves: its points, those that failed with reasons, and tables of all of them.

Results are read from disk when they are asked for: a sweep may be larger than memory.  Rows come in the order of the
points, whoever computed them and when.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..._types import Array
from ...problem.tables import Columns, Tabulated, checked_kind
from ...theory import Curve
from .brief import brief
from .points import Point
from .shelf import Shelf

SHOWN = 20  # points of one reason that are listed
RENAMED = {"seed": "run", "samples": "samples_taken", "step_size": "best_step_size"}  # columns of results


@dataclass(frozen=True)
class Failure:
    """A point without a result, and why."""

    point: Point
    reason: str


@dataclass(frozen=True, repr=False)
class Sweep(Tabulated):
    """The points of a sweep, and where their results are.

    Attributes
    ----------
    points
        Each once, in the order in which they were given.
    shelf
        Where the results are.
    failed
        Points without a result; the next sweep tries them again.
    before
        How many were there before the sweep began.
    """

    points: tuple[Point, ...]
    shelf: Shelf
    failed: tuple[Failure, ...]
    before: int

    def result(self, point: Point) -> Any:
        """The result of a point: a Prediction, Simulation, Comparison, Curve or SgdLaw.

        Raises
        ------
        ValueError
            It failed, or its files are damaged.
        """
        return self.shelf.get(point)

    def results(self) -> Iterator[tuple[Point, Any]]:
        """All points that have a result, with it."""
        failed = {failure.point for failure in self.failed}
        return ((point, self.result(point)) for point in self.points if point not in failed)

    def columns(self, kind: str = "points") -> Columns:
        """A table, each row with the settings of its point before it.

        ``"points"`` has a row for each point, with what it comes to (``brief``).  ``"times"`` and ``"curves"`` have the
        rows of the results' own tables, where there is such a one; ``run`` counts the runs of a point, whose ``seed``
        is among its settings.
        """
        checked_kind(kind, "points", "times", "curves")
        heads, tables = [], []
        for point, result in self.results():
            if kind == "points":
                table = {name: np.array([value]) for name, value in brief(result).items()}
            elif kind == "times" and isinstance(result, Curve):
                continue
            else:
                table = {RENAMED.get(name, name): column for name, column in result.columns(kind).items()}
            heads.append({"point": point.name, "quantity": point.quantity, **point.settings()})
            tables.append(table)
        sizes = [len(next(iter(table.values()))) for table in tables]
        return {
            name: _stacked([part.get(name) for part in parts], sizes)
            for parts in (heads, tables)
            for name in dict.fromkeys(name for part in parts for name in part)
        }

    def to_dataframe(self, kind: str = "points") -> Any:
        """A table as a pandas data frame (extra ``data``)."""
        return super().to_dataframe(kind)

    def to_xarray(self) -> Any:
        """What the points come to (``brief``) as an xarray dataset (extra ``data``).

        Its dimensions are the settings that vary, ``quantity`` with them, where the points are every combination of
        their values, and otherwise the one dimension ``point``; along it the settings are coordinates.  A point that
        failed is NaN, among texts None.  Settings that are the same for all are attributes.

        Raises
        ------
        ValueError
            A stored result is damaged; the message names the file.
        ImportError
            xarray is missing.
        """
        try:
            import xarray
        except ImportError:
            raise ImportError("`to_xarray` needs xarray; install sgd-emergence[data]") from None
        found = {point: brief(result) for point, result in self.results()}
        rows = [found.get(point, {}) for point in self.points]
        heads = [{"quantity": point.quantity, **point.settings()} for point in self.points]
        settings, outcomes = _columns(heads), _columns(rows)
        some = {name for name in settings if name in self._varied or any(name not in head for head in heads)}
        facts = {
            name: settings[name].tolist()[0]
            for name, value in heads[0].items()
            if name not in some and value is not None
        }
        varied = {name: column for name, column in settings.items() if name in some}
        texts = {name: [str(head.get(name)) for head in heads] for name in varied}
        places = list(zip(*texts.values(), strict=True))
        axes = {name: list(dict.fromkeys(column)) for name, column in texts.items()}
        if len(set(places)) < math.prod(map(len, axes.values())):
            names = ("point", [point.name for point in self.points])
            along = {name: ("point", column) for name, column in varied.items()}
            return xarray.Dataset({k: ("point", v) for k, v in outcomes.items()}, {"point": names, **along}, facts)
        cell = np.zeros([len(axis) for axis in axes.values()], dtype=int)
        for i, place in enumerate(places):
            cell[tuple(axis.index(text) for axis, text in zip(axes.values(), place, strict=True))] = i
        values = {name: varied[name][[texts[name].index(text) for text in axis]] for name, axis in axes.items()}
        return xarray.Dataset({k: (list(axes), v[cell]) for k, v in outcomes.items()}, values, facts)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form: each point with its settings, its ``status`` and outcome (``brief``) or reason."""
        reasons = {failure.point: failure.reason for failure in self.failed}
        points = []
        for point in self.points:
            row: dict[str, Any] = {"point": point.name, "quantity": point.quantity, "settings": point.settings()}
            if point in reasons:
                row |= {"status": "failed", "outcome": None, "reason": reasons[point]}
            else:
                row |= {"status": "stored", "outcome": brief(self.result(point)), "reason": None}
            points.append(row)
        return {"points": points, "failed": len(self.failed), "before": self.before}

    def label(self, point: Point) -> str:
        """A point by its quantity and those of its settings that are not the same for all."""
        said = (f"{name} = {value}" for name, value in point.settings().items() if name in self._varied)
        return ", ".join([point.quantity, *said])

    @cached_property
    def _varied(self) -> set[str]:
        """Names of what is not the same for all that have it, ``quantity`` among them."""
        values: dict[str, set[str]] = {}
        for point in self.points:
            for name, value in {"quantity": point.quantity, **point.settings()}.items():
                values.setdefault(name, set()).add(str(value))
        return {name for name, found in values.items() if len(found) > 1}

    def __str__(self) -> str:
        lines = [
            f"sweep of {len(self.points)} points in {self.shelf.directory}: "
            f"{len(self.points) - len(self.failed)} stored, {self.before} of them before; {len(self.failed)} failed"
        ]
        lines += listed("failed", ((self.label(failure.point), failure.reason) for failure in self.failed))
        return "\n".join(lines)


def listed(word: str, points: Iterable[tuple[str, str]]) -> list[str]:
    """Points that have no result, in words and with the reason: those of one reason together, the first of many."""
    labels: dict[str, list[str]] = {}
    for label, reason in points:
        labels.setdefault(reason, []).append(label)
    lines = []
    for reason, found in labels.items():
        lines += [f"  {word}: {label}" for label in found[:SHOWN]]
        lines += [f"  {word}: {len(found) - SHOWN} more"] * (len(found) > SHOWN)
        lines.append(f"    {reason}")
    return lines


def _columns(rows: list[dict[str, Any]]) -> Columns:
    """Rows as columns; what a row lacks as in ``_stacked``."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _stacked([row.get(name) for row in rows], [1] * len(rows)) for name in names}


def _stacked(parts: list[Any], sizes: list[int]) -> Array:
    """Values or columns of several tables, one below the other; where one has none, NaN or, among texts, None."""
    given = [np.asarray(",".join(map(str, part)) if isinstance(part, list | tuple) else part) for part in parts]
    absent = [part is None for part in parts]
    kinds = {one.dtype.kind for one, none in zip(given, absent, strict=True) if not none}
    numbers = kinds <= set("iuf")
    blank = np.asarray(np.nan if numbers else None)
    rows = [
        np.broadcast_to(blank if none else one, (size,)) for one, none, size in zip(given, absent, sizes, strict=True)
    ]
    plain = numbers or (len(kinds) == 1 and not any(absent))
    return np.concatenate(rows if plain else [row.astype(object) for row in rows])
