"""Step-size schedules η(s), s = 0, 1, 2, … the step, and the flow time ``t(s) = Σ_{j<s} η(j)``.

    Constant(η)                          η
    PowerDecay(η, horizon, power)        η (1 + s/horizon)^{−power}
    Piecewise(((0, η_0), (s_1, η_1), …)) η_i from step s_i on
    Custom(f)                            f(s), a callable vectorised over int64 arrays

Sums of the decay are term by term up to step 64 and from there on by the midpoint rule with two corrections,
Σ_{a≤j<b} η(j) = [F − η'/24 + 7 η‴/5760]_{a−½}^{b−½} with F' = η (Euler–Maclaurin), to relative 1e-12 for every horizon;
a callable is summed term by term.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from .._types import Array
from .checks import is_real_number, positive_number

LARGEST = 1e280  # step size, and the inverse of the least: sums of 2^63 of them, and numbers of steps, are numbers
SHORTEST = 1e-6  # horizon, in steps: no rate is then 0
_HEAD = 64  # steps of a decay that are summed one by one


def _step_size(value: Any) -> float:
    if not 1 / LARGEST <= positive_number("step_size", value) <= LARGEST:
        raise ValueError(f"`step_size` must lie between {1 / LARGEST:g} and {LARGEST:g}, but is {value!r}")
    return float(value)


def _step(value: Any) -> int:
    if not is_real_number(value) or not float(value).is_integer():
        raise ValueError(f"steps are whole numbers, but one is {value!r}")
    return int(value)


class Schedule(ABC):
    """η as a function of the step.

    ``text`` states a schedule in records and checkpoints, its ``repr`` makes it again.
    """

    @property
    @abstractmethod
    def text(self) -> str:
        """What records and checkpoints call it."""

    @property
    def initial(self) -> float:
        """η at step 0."""
        return float(self.rate(np.zeros(1, dtype=np.int64))[0])

    @abstractmethod
    def rate(self, s: Array) -> Array:
        """η at an array of steps."""

    @abstractmethod
    def sums(self, s: Array, power: int) -> Array:
        """``Σ_{j<s} η(j)^power`` for each s of an ascending int array; inf where the power overflows."""

    def flow_time(self, s: Array) -> Array:
        """Flow time after s steps, for each s of an ascending int array."""
        return self.sums(s, 1)


@dataclass(frozen=True)
class Constant(Schedule):
    """η for every step."""

    step_size: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "step_size", _step_size(self.step_size))

    @property
    def text(self) -> str:
        return f"constant({self.step_size!r})"

    def rate(self, s: Array) -> Array:
        return np.full(np.shape(s), self.step_size)

    def sums(self, s: Array, power: int) -> Array:
        return np.asarray(s, dtype=float) * np.float64(self.step_size) ** power


@dataclass(frozen=True)
class PowerDecay(Schedule):
    """``step_size · (1 + s/horizon)^{−power}``, horizon in steps, power in (0, 4]."""

    step_size: float
    horizon: float
    power: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "step_size", _step_size(self.step_size))
        for name in ("horizon", "power"):
            object.__setattr__(self, name, positive_number(name, getattr(self, name)))
        if self.horizon < SHORTEST:
            raise ValueError(f"`horizon` must be at least {SHORTEST:g} steps, but is {self.horizon!r}")
        if self.power > 4:
            raise ValueError(f"`power` must be at most 4, but is {self.power!r}")

    @property
    def text(self) -> str:
        return f"power({self.step_size!r}, {self.horizon!r}, {self.power!r})"

    def rate(self, s: Array) -> Array:
        return self.step_size * (1 + s / self.horizon) ** -self.power

    def sums(self, s: Array, power: int) -> Array:
        g, horizon = power * self.power, self.horizon

        def before(at: Array) -> Array:
            """The sum of all terms before ``at``, up to a constant."""
            z = np.log1p((at - 0.5) / self.horizon)
            first = -g / horizon * np.exp(-(g + 1) * z)
            third = first * (g + 1) * (g + 2) / (horizon * np.exp(z)) ** 2
            whole = horizon * (z if g == 1 else np.expm1((1 - g) * z) / (1 - g))
            return whole - first / 24 + 7 * third / 5760

        head = np.append(0.0, np.cumsum((1 + np.arange(_HEAD) / horizon) ** -g))
        steps = np.asarray(s, dtype=np.int64)
        rest = before(np.maximum(steps, _HEAD)) - before(np.full(steps.shape, _HEAD))
        return np.float64(self.step_size) ** power * (head[np.minimum(steps, _HEAD)] + rest)


@dataclass(frozen=True)
class Piecewise(Schedule):
    """Constant η_i from step s_i on, for pairs (s_i, η_i); the first starts at step 0, the steps ascend."""

    pieces: tuple[tuple[int, float], ...]

    def __init__(self, pieces: Sequence[tuple[float, float]]) -> None:
        try:
            pairs = [(start, eta) for start, eta in pieces]
        except (TypeError, ValueError):
            raise ValueError("a piecewise schedule is made of pairs of a step and a step size") from None
        checked = tuple((_step(start), _step_size(eta)) for start, eta in pairs)
        if not checked or checked[0][0] != 0:
            raise ValueError("a piecewise schedule must start at step 0")
        if any(later <= earlier for (earlier, _), (later, _) in pairwise(checked)):
            raise ValueError("the steps of a piecewise schedule must ascend")
        object.__setattr__(self, "pieces", checked)

    @property
    def text(self) -> str:
        return f"piecewise({', '.join(f'{start}:{eta!r}' for start, eta in self.pieces)})"

    def rate(self, s: Array) -> Array:
        starts, rates = (np.array(column) for column in zip(*self.pieces, strict=True))
        return rates[np.searchsorted(starts, s, side="right") - 1]

    def sums(self, s: Array, power: int) -> Array:
        starts, rates = (np.array(column) for column in zip(*self.pieces, strict=True))
        spans = np.clip(np.asarray(s, dtype=float)[..., None], starts, np.append(starts[1:], np.inf)) - starts
        return np.multiply(spans, rates**power, out=np.zeros_like(spans), where=spans > 0).sum(axis=-1)


@dataclass(frozen=True)
class Custom(Schedule):
    """A callable of an array of steps, or of one step, which is then called for each."""

    function: Callable[[Array], Array]
    one_by_one: bool = field(init=False, repr=False)

    def __post_init__(self) -> None:
        steps, first = np.arange(4), None
        with suppress(Exception):  # of one step: what it does with an array is its own affair
            first = np.asarray(self.function(steps), dtype=float)
        object.__setattr__(self, "one_by_one", first is None or first.shape != steps.shape)
        self.check(steps)

    def check(self, s: Array) -> Array:
        """The rates at an array of steps, positive and finite.

        Raises
        ------
        ValueError
            One is not, or is no number.
        """
        try:
            rates = self.rate(s)
        except (TypeError, ValueError):
            rates = np.zeros(0)
        if rates.shape != np.shape(s) or not (np.isfinite(rates) & (rates > 0)).all():
            raise ValueError("a step-size callable must map a step, or an array of steps, to positive numbers")
        return rates

    @property
    def text(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))

    def rate(self, s: Array) -> Array:
        if self.one_by_one:
            steps = np.asarray(s)
            return np.array([float(self.function(step)) for step in steps.ravel().tolist()]).reshape(steps.shape)
        return np.asarray(self.function(s), dtype=float)

    def sums(self, s: Array, power: int) -> Array:
        out, done, value = np.empty(len(s)), 0, 0.0
        for i, step in enumerate(np.asarray(s).tolist()):
            while done < step:  # in blocks, to bound memory
                upto = min(step, done + 1_000_000)
                value += float(np.sum(self.check(np.arange(done, upto)) ** power))
                done = upto
            out[i] = value
        return out


StepSize = float | Schedule | Callable[[Array], Array]


def as_schedule(step_size: StepSize) -> Schedule:
    """A schedule from a number, a ``Schedule`` or a callable of an array of steps."""
    if isinstance(step_size, Schedule):
        return step_size
    return Custom(step_size) if callable(step_size) else Constant(step_size)


def parse_schedule(text: str, step_size: float) -> Schedule:
    """From text: ``constant``, ``power:HORIZON:POWER`` or ``piecewise:STEP=η,…``.

    A piecewise text lists changes after step 0; the start is ``step_size``.
    """
    kind, _, rest = text.strip().partition(":")
    try:
        if kind == "constant" and not rest:
            return Constant(step_size)
        if kind == "power":
            horizon, colon, power = rest.partition(":")
            if not colon:
                raise ValueError("write power:HORIZON:POWER, the horizon in steps")
            return PowerDecay(step_size, _number(horizon), _number(power))
        if kind == "piecewise" and rest:
            changes = [part.partition("=") for part in rest.split(",")]
            if not all(equals for _, equals, _ in changes):
                raise ValueError("write piecewise:STEP=ETA,STEP=ETA,…")
            return Piecewise([(0, step_size), *((_number(start), _number(eta)) for start, _, eta in changes)])
    except (ValueError, OverflowError) as error:
        raise ValueError(f"cannot read the schedule {text!r}: {error}") from None
    raise ValueError(f"cannot read the schedule {text!r}; write constant, power:HORIZON:POWER or piecewise:STEP=ETA,…")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
