"""Where the points of a sweep are kept: a directory of stored results, each under the name of its point.

Points of several sweeps may share it: a point is the same in each.  A result is whole or absent (``compare.stored``);
one whose sidecar is damaged or of something else counts as absent and is computed again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..stored import ARRAYS, SIDECAR, load, provenance, save
from .points import Point


class Shelf:
    """The results in a directory, which is made with the first of them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, point: Point) -> Path:
        """Where a point is kept; ``emergence.load`` reads it."""
        return self.directory / point.name

    def holds(self, point: Point) -> bool:
        """Is it there, as far as one sees without reading the arrays?"""
        path = self.path(point)
        if not all(path.with_name(path.name + suffix).is_file() for suffix in (ARRAYS, SIDECAR)):
            return False
        try:
            return provenance(path).settings == point.identity
        except ValueError:
            return False

    def put(self, point: Point, result: Any, command: str | None) -> None:
        """Keep a result.

        Raises
        ------
        OSError
            It cannot be written.
        """
        save(result, self.path(point), overwrite=True, command=command, settings=point.identity)

    def get(self, point: Point) -> Any:
        """The result of a point.

        Raises
        ------
        ValueError
            There is none, or it is damaged; the message names the file.
        """
        try:
            return load(self.path(point))
        except ValueError as error:
            raise ValueError(f"{error}; delete it, and the sweep computes it again") from None
