"""What the driver asks of a sampler: a stack of independent seeds that advance together.

A stack of one is as good as any; samplers that are faster on many seeds at once hold several.
All state that decides the future is in ``snapshot``: a restored stack goes on bit for bit, and
how ``advance`` is cut into calls never changes the path.
"""

from __future__ import annotations

from typing import Protocol

from ..._types import Array
from ...problem.problem import Problem
from ...problem.schedule import Schedule


class Setting(Protocol):
    """What a sampler needs to know of a run (``simulate.run.Run``)."""

    @property
    def problem(self) -> Problem: ...

    @property
    def step_size(self) -> Schedule: ...

    @property
    def batch(self) -> int: ...

    @property
    def label_noise(self) -> float: ...


class Stack(Protocol):
    """Independent seeds of one run.

    ``coarse`` says that a call of ``advance`` may cover much flow time: the driver then looks
    after every call and interpolates first passages between looks.
    """

    coarse: bool

    def advance(self, steps: int) -> int:
        """Take up to ``steps`` steps and return how many; seeds that overflow go to inf or NaN quietly."""

    def students(self) -> Array:
        """Students of every seed, (S, m, width), first P columns the unnormalised overlaps."""

    def keep(self, alive: Array) -> None:
        """Go on with the marked seeds only."""

    def snapshot(self) -> dict[str, Array]:
        """Everything needed to go on bit for bit, as named arrays."""

    def restore(self, saved: dict[str, Array]) -> None:
        """Go on from a ``snapshot`` taken by a stack of the same run."""


def nested(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    """``arrays`` with every name put under ``prefix``."""
    return {f"{prefix}.{name}": value for name, value in arrays.items()}


def under(prefix: str, arrays: dict[str, Array]) -> dict[str, Array]:
    """The inverse of ``nested``."""
    return {name[len(prefix) + 1 :]: value for name, value in arrays.items() if name.startswith(f"{prefix}.")}
