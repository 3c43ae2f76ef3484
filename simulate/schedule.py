"""Step-size schedules η(s), s = 0, 1, 2, … the step, and the flow time ``t(s) = Σ_{j<s} η(j)``.

* constant        ``constant(η)``
* power-law decay ``power_decay(η, horizon, power)``: η (1 + s/horizon)^{−power}
* piecewise       ``piecewise([(0, η_0), (s_1, η_1), …])``: η_i from step s_i on
* a Python callable s ↦ η, vectorised over int64 arrays

Sums over long ranges use the midpoint rule ∫_{s−½}^{s'−½}, exact for constants and to
relative O(horizon^{−2}) for the decay; a callable is summed term by term.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from .._types import Array
from ..problem.checks import positive_number


@dataclass(frozen=True)
class Schedule:
    """A step-size schedule; build it with the functions below.

    ``text`` states it completely (for records and checkpoints).  ``rate(s)`` gives η at an
    array of steps; ``total(s, power)`` the sum of η^power over steps below s.
    """

    text: str
    initial: float
    rate: Callable[[Array], Array]
    total: Callable[[Array, int], Array] | None

    def flow_time(self, steps: Array) -> Array:
        """Flow time after ``steps`` (ascending int array)."""
        return self.sums(np.asarray(steps), 1)

    def sums(self, steps: Array, power: int) -> Array:
        """``Σ_{j<s} η(j)^power`` for each s of an ascending array."""
        if self.total is not None:
            return self.total(np.asarray(steps, dtype=float), power)
        out, done, value = np.empty(len(steps)), 0, 0.0
        for i, step in enumerate(np.asarray(steps).tolist()):
            while done < step:  # in blocks, to bound memory
                upto = min(step, done + 1_000_000)
                value += float(np.sum(np.asarray(self.rate(np.arange(done, upto)), dtype=float) ** power))
                done = upto
            out[i] = value
        return out


def constant(step_size: float) -> Schedule:
    """η for every step."""
    eta = positive_number("step_size", step_size)
    return Schedule(f"constant({eta!r})", eta, partial(_constant_rate, eta), partial(_constant_total, eta))


def power_decay(step_size: float, horizon: float, power: float) -> Schedule:
    """``η (1 + s/horizon)^{−power}``; power in (0, 4]."""
    eta, horizon = positive_number("step_size", step_size), positive_number("horizon", horizon)
    exponent = positive_number("power", power)
    if exponent > 4:
        raise ValueError(f"`power` must be at most 4, but is {power!r}")

    parts = eta, horizon, exponent
    return Schedule(f"power{parts!r}", eta, partial(_power_rate, *parts), partial(_power_total, *parts))


def piecewise(pieces: Sequence[tuple[int, float]]) -> Schedule:
    """Constant η_i from step s_i on; the first piece starts at step 0, starts ascend."""
    if not pieces or pieces[0][0] != 0:
        raise ValueError("a piecewise schedule must start at step 0")
    starts = np.array([int(s) for s, _ in pieces])
    rates = np.array([positive_number("step_size", eta) for _, eta in pieces])
    if (np.diff(starts) <= 0).any():
        raise ValueError("the steps of a piecewise schedule must ascend")
    text = ", ".join(f"{s}:{eta!r}" for s, eta in zip(starts.tolist(), rates.tolist(), strict=True))
    parts = starts, rates
    return Schedule(
        f"piecewise({text})", float(rates[0]), partial(_piecewise_rate, *parts), partial(_piecewise_total, *parts)
    )


def as_schedule(step_size: float | Schedule | Callable[[Array], Array]) -> Schedule:
    """A schedule from a number, a ``Schedule`` or a callable of an array of steps."""
    if isinstance(step_size, Schedule):
        return step_size
    if not callable(step_size):
        return constant(step_size)
    first = np.asarray(step_size(np.arange(4)), dtype=float)
    if first.shape != (4,) or not (np.isfinite(first) & (first > 0)).all():
        raise ValueError("a step-size callable must map an array of steps to as many positive numbers")
    return Schedule(getattr(step_size, "__qualname__", repr(step_size)), float(first[0]), step_size, None)


def parse_schedule(text: str, step_size: float) -> Schedule:
    """From the command line: ``constant``, ``power:HORIZON:POWER`` or ``piecewise:STEP=η,…``.

    A piecewise text lists changes after step 0; the start is ``step_size``.
    """
    kind, _, rest = text.strip().partition(":")
    try:
        if kind == "constant" and not rest:
            return constant(step_size)
        if kind == "power":
            horizon, power = rest.split(":")
            return power_decay(step_size, float(horizon), float(power))
        if kind == "piecewise" and rest:
            changes = [part.split("=") for part in rest.split(",")]
            if not all(float(start).is_integer() for start, _ in changes):
                raise ValueError("steps are whole numbers")
            return piecewise([(0, step_size), *((int(float(s)), float(eta)) for s, eta in changes)])
    except ValueError as error:
        raise ValueError(f"cannot read the schedule {text!r}: {error}") from None
    raise ValueError(f"cannot read the schedule {text!r}; write constant, power:HORIZON:POWER or piecewise:STEP=ETA,…")


# Rates and totals are functions of the module, not closures, so that a schedule can be sent to a process.


def _constant_rate(eta: float, s: Array) -> Array:
    return np.full(np.shape(s), eta)


def _constant_total(eta: float, s: Array, power: int) -> Array:
    return s * eta**power


def _power_rate(eta: float, horizon: float, exponent: float, s: Array) -> Array:
    return eta * (1 + s / horizon) ** -exponent


def _power_total(eta: float, horizon: float, exponent: float, s: Array, power: int) -> Array:
    g = power * exponent

    def antiderivative(at: Array) -> Array:
        z = np.log1p((at - 0.5) / horizon)
        return horizon * (z if g == 1 else np.expm1((1 - g) * z) / (1 - g))

    return eta**power * (antiderivative(s) - antiderivative(np.zeros_like(s)))


def _piecewise_rate(starts: Array, rates: Array, s: Array) -> Array:
    return rates[np.searchsorted(starts, s, side="right") - 1]


def _piecewise_total(starts: Array, rates: Array, s: Array, power: int) -> Array:
    spans = np.clip(np.asarray(s)[..., None], starts, np.append(starts[1:], np.inf)) - starts
    return spans @ rates**power
