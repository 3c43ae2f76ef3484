"""Results as columns of equal length: what CSV files and data frames are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._types import Array
from .cards import Card

Columns = dict[str, Array]


class Tabulated(Card):
    """A result with tables, each a ``kind``: ``"times"`` of transitions, ``"curves"`` over time or a resource."""

    def columns(self, kind: str) -> Columns:
        """The columns of a table by name; flow times, inf where not reached; seeds and directions count from 0.

        Raises
        ------
        ValueError
            There is no such table.
        """
        raise NotImplementedError

    def to_dataframe(self, kind: str = "times") -> Any:
        """A table as a pandas data frame (extra ``data``).

        Raises
        ------
        ValueError
            There is no such table.
        ImportError
            pandas is missing.
        """
        columns = self.columns(kind)
        try:
            import pandas
        except ImportError:
            raise ImportError("`to_dataframe` needs pandas; install sgd-emergence[data]") from None
        return pandas.DataFrame(columns)


def checked_kind(kind: str, *kinds: str) -> str:
    """``kind``, where it is one of these."""
    if kind not in kinds:
        raise ValueError(f"`kind` must be one of {', '.join(map(repr, kinds))}, but is {kind!r}")
    return kind


def crossed(**axes: Array) -> Columns:
    """Columns of all combinations of the values of the axes, the last of them fastest."""
    grids = np.meshgrid(*axes.values(), indexing="ij")
    return {name: grid.ravel() for name, grid in zip(axes, grids, strict=True)}


def numbered(name: str, values: Array) -> Columns:
    """The last axis of ``values`` as columns ``name_0``, ``name_1``, …"""
    rows = values.reshape(-1, values.shape[-1])
    return {f"{name}_{p}": rows[:, p] for p in range(rows.shape[1])}
