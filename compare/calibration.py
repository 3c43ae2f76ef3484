"""SGD at a finite step size beside the law of its transition times: are they distributed as it says?

Every measured time is put through the distribution function of its direction (probability integral transform, PIT):
were the law right, the values would be uniform.  A transition that the run did not reach is later than every time
in the run, and its value is spread evenly over what is left of the unit interval; runs that diverged are left out
here and counted beside the probability that the law gives them.  What is spread is as the law says whatever SGD does,
so that of each event those directions are looked at that half of the runs or half of the law's draws come to.  Seeds
are the independent units: for each event the mean PIT over a seed's directions and the share of it inside the law's
5–95 % band, in the mean over seeds with a 95 % t-interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._types import Array
from ..problem.events import EVENTS
from ..simulate.result import Simulation
from ..theory.finite_step_law import SgdLaw, sgd_law, sgd_law_refusal
from .statistics import SeedMean, seed_mean

BAND = (0.05, 0.95)
BINS = 10
REACHED = 0.5  # of the runs or of the draws, in which a direction is reached that is looked at


@dataclass(frozen=True)
class Calibration:
    """How measured transition times lie in the law.

    Attributes
    ----------
    law
        Over random starts, or from the given one.
    pit, coverage
        Event to the mean PIT (½ if the law is right) and the share inside the 5–95 % band (0.9), of the directions
        that are looked at, of all where there is none.
    histogram
        Event to counts (10,) of PIT values in equal bins.
    diverged, expected_diverged
        Share of the runs that diverged, and the probability that the law gives it.
    """

    law: SgdLaw
    pit: dict[str, SeedMean]
    coverage: dict[str, SeedMean]
    histogram: dict[str, Array]
    diverged: float
    expected_diverged: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "law": self.law.as_dict(),
            "pit": {event: self.pit[event].as_dict() for event in EVENTS},
            "coverage": {event: self.coverage[event].as_dict() for event in EVENTS},
            "histogram": {event: self.histogram[event].tolist() for event in EVENTS},
            "diverged": self.diverged,
            "expected_diverged": self.expected_diverged,
        }

    def __str__(self) -> str:
        lines = ["law of SGD at this step size (mean PIT, ½ if it holds; share inside its 5–95 % band, 0.9):"]
        for event in EVENTS:
            cells = [f"{one.mean:.3f} [{one.interval[0]:.3f}, {one.interval[1]:.3f}]" for one in (
                self.pit[event], self.coverage[event])]  # fmt: skip
            lines.append(f"  {event:>12} {cells[0]:>28} {cells[1]:>28}")
        lines.append(f"  diverged {self.diverged:.2g}, expected {self.expected_diverged:.2g}; {self.law.reason}")
        return "\n".join(lines)


def calibration_refusal(simulation: Simulation) -> str | None:
    """Why runs cannot be laid into a law of SGD; None where they can."""
    starts = simulation.run.directions
    if starts is not None and starts.ndim == 3 and len(starts) > 1:
        return "the law of SGD is of random starts or of one given start, and each seed was given its own"
    if (~simulation.diverged).sum() < 2:
        return "fewer than two runs did not diverge"
    return sgd_law_refusal(simulation.problem, simulation.run.label_noise, simulation.t_end)


def law_of_runs(simulation: Simulation, t_max: float | None) -> SgdLaw:
    """The law of SGD at the settings of runs that ``calibration_refusal`` does not refuse."""
    run = simulation.run
    starts = run.directions[0] if run.directions is not None and run.directions.ndim == 3 else run.directions
    return sgd_law(
        simulation.problem, run.step_size, batch=run.batch, label_noise=run.label_noise, directions=starts,
        t_max=t_max, seed=run.seed,
    )  # fmt: skip


def calibrate(simulation: Simulation) -> Calibration | None:
    """Lay the runs into the law of SGD; None where ``calibration_refusal`` says why not."""
    if calibration_refusal(simulation) is not None:
        return None
    law = law_of_runs(simulation, simulation.t_end)
    pit, coverage, histogram = {}, {}, {}
    for event in EVENTS:
        seen = _seen(law, simulation, event)
        if not seen.any():
            seen = simulation.problem.a > 0
        measured = getattr(simulation, event)[~simulation.diverged][:, seen]
        low, high = _levels(measured, getattr(law, event)[:, seen])
        pit[event] = seed_mean((0.5 * (low + high)).mean(axis=1))
        coverage[event] = seed_mean(_between(low, high, np.array(BAND))[..., 0].mean(axis=1))
        histogram[event] = _between(low, high, np.linspace(0, 1, BINS + 1)).sum(axis=(0, 1))
    return Calibration(law, pit, coverage, histogram, float(simulation.diverged.mean()), float(1 - law.survival[-1]))


def idle_events(calibration: Calibration, simulation: Simulation) -> list[str]:
    """The events of which no direction can be looked at: hardly any is reached in the runs or in the law's draws."""
    return [event for event in EVENTS if not _seen(calibration.law, simulation, event).any()]


def _seen(law: SgdLaw, simulation: Simulation, event: str) -> Array:
    """Which directions are reached often enough to say something, (P,)."""
    measured, drawn = getattr(simulation, event)[~simulation.diverged], getattr(law, event)
    often = np.maximum(np.isfinite(measured).mean(axis=0), np.isfinite(drawn).mean(axis=0)) >= REACHED
    return np.asarray(often & (simulation.problem.a > 0))


def _between(low: Array, high: Array, edges: Array) -> Array:
    """Shares (S, P, E − 1) of what is spread evenly from ``low`` to ``high`` that lie between neighbouring edges."""
    width = np.maximum(high - low, 1e-9)[..., None]
    left = np.minimum(low[..., None], 1 - width)
    return np.diff((np.clip(edges, left, left + width) - left) / width, axis=-1)


def _levels(measured: Array, drawn: Array) -> tuple[Array, Array]:
    """Between which levels of the draws each measured time lies, ends of equal draws and of what was not reached."""
    count, out = len(drawn), []
    for side in ("left", "right"):
        columns = [np.searchsorted(np.sort(drawn[:, p]), measured[:, p], side=side) for p in range(drawn.shape[1])]
        out.append(np.stack(columns, axis=1) / count)
    return out[0], out[1]
