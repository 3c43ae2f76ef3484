"""SGD at a finite step size beside the law of its transition times: are they distributed as it says?

Every measured time is put through the distribution function of its direction (probability integral transform, PIT):
were the law right, the values would be uniform.  A transition that the run did not reach is later than every time
in the run, and its value is spread evenly over what is left of the unit interval; runs that diverged are left out
here and counted beside the probability that the law gives them.  Seeds are the independent units: for each event the
mean PIT over a seed's directions and the share of them inside the law's 5–95 % band, in the mean over seeds with a
95 % t-interval.
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


@dataclass(frozen=True)
class Calibration:
    """How measured transition times lie in the law.

    Attributes
    ----------
    law
        Over random starts, or from the given one.
    pit, coverage
        Event to the mean PIT (½ if the law is right) and the share inside the 5–95 % band (0.9).
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
    return sgd_law_refusal(simulation.problem)


def calibrate(simulation: Simulation) -> Calibration | None:
    """Lay the runs into the law of SGD; None where ``calibration_refusal`` says why not."""
    if calibration_refusal(simulation) is not None:
        return None
    run, problem = simulation.run, simulation.problem
    alive, starts = ~simulation.diverged, run.directions
    if starts is not None and starts.ndim == 3:
        starts = starts[0]
    law = sgd_law(
        problem, run.step_size, batch=run.batch, label_noise=run.label_noise, directions=starts,
        t_max=simulation.t_end, seed=run.seed,
    )  # fmt: skip
    live = problem.a > 0
    pit, coverage, histogram = {}, {}, {}
    for event in EVENTS:
        measured, drawn = getattr(simulation, event)[alive][:, live], getattr(law, event)[:, live]
        low, high = _levels(measured, drawn)
        pit[event] = seed_mean((0.5 * (low + high)).mean(axis=1))
        bands = np.quantile(drawn, BAND, axis=0, method="inverted_cdf")
        coverage[event] = seed_mean(((measured >= bands[0]) & (measured <= bands[1])).mean(axis=1))
        edges = np.linspace(0, 1, BINS + 1)
        width = np.maximum(high - low, 1e-9)[..., None]
        left = np.minimum(low[..., None], 1 - width)
        share = (np.clip(edges, left, left + width) - left) / width
        histogram[event] = np.diff(share, axis=-1).sum(axis=(0, 1))
    return Calibration(law, pit, coverage, histogram, float(simulation.diverged.mean()), float(1 - law.survival[-1]))


def idle_events(calibration: Calibration, simulation: Simulation) -> list[str]:
    """The events that neither runs nor law come to: none was reached, and the law expects less than one in all runs."""
    alive = ~simulation.diverged
    return [
        event
        for event in EVENTS
        if not np.isfinite(getattr(simulation, event)[alive]).any()
        and alive.sum() * np.isfinite(getattr(calibration.law, event)).mean(axis=0).sum() < 1
    ]


def _levels(measured: Array, drawn: Array) -> tuple[Array, Array]:
    """Between which levels of the draws each measured time lies, ends of equal draws and of what was not reached."""
    count, out = len(drawn), []
    for side in ("left", "right"):
        columns = [np.searchsorted(np.sort(drawn[:, p]), measured[:, p], side=side) for p in range(drawn.shape[1])]
        out.append(np.stack(columns, axis=1) / count)
    return out[0], out[1]
