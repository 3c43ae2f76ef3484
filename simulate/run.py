"""``Run``: everything that decides a simulation, checked once and frozen.

A run is S independent seeds of online SGD on one problem.  Seed i draws its initial directions and its
data from its own streams (``problem.seeds``), so that nothing depends on how many seeds there are, in
which order they run, or on what.  Where and how it is computed (workers, checkpoints) is no part of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array
from .._version import __version__
from ..problem.checks import nonnegative_integer, nonnegative_number, positive_integer
from ..problem.files import rows_digest
from ..problem.population_loss import pairs_refusal
from ..problem.problem import Problem, numbers_of
from ..problem.schedule import Custom, Schedule, StepSize, as_schedule
from ..problem.seeds import DATA, DIRECTIONS, seed_stream
from .samplers import AnySampler, Direct, Sampler, settled
from .samplers.direct import uncompiled
from .samplers.stack import Stack
from .stops import SPACINGS, Steps, check_steps, record_steps

MAX_SAMPLES = 9 * 10**18  # step counts are 64-bit integers
MAX_RECORDS = 10**6  # a seed, that of the start with them
MAX_NUMBERS = 10**9  # doubles that a call may hold: 8 GB


@dataclass(frozen=True)
class Run:
    """A checked simulation; its ``repr`` makes it again, unless directions or a callable were given.

    Parameters
    ----------
    problem
        What is learned, by whom.
    step_size
        η, a schedule (``problem.schedule``) or a callable of an array of steps; held as a ``Schedule``.  A callable
        is tried at the steps at which a run is looked at, and at all of them when the run is computed.
        Flow time is the sum of step sizes: η · steps.
    samples
        Samples a seed, a multiple of ``batch``: ``samples / batch`` steps on fresh samples.
    batch
        Mini-batch size B.
    label_noise
        Standard deviation of Gaussian noise on the labels.
    seeds, seed
        Number of seeds S, and what all random streams derive from.
    records, spacing
        How many records a seed, on a ``"log"`` or ``"linear"`` grid of steps.
    sampler
        ``Direct``, ``Reduced``, ``Leap``, or ``"auto"`` (``simulate.samplers``); held as the one that is taken.
    directions
        Initial unit rows, (m, d) or (m, P + m) coordinates for all seeds, or one such array a seed;
        random where None.

    Attributes
    ----------
    reason
        Why this sampler is the one.

    Raises
    ------
    ValueError
        Anything that cannot be run, before any work.
    ImportError
        A sampler that needs the extra ``fast`` or ``gpu`` without it.
    """

    problem: Problem
    step_size: Schedule
    samples: int
    batch: int = 1
    label_noise: float = 0.0
    seeds: int = 1
    seed: int = 0
    records: int = 300
    spacing: str = "linear"
    sampler: Sampler = "auto"  # type: ignore[assignment]
    directions: Array | None = field(default=None, compare=False, repr=False)
    reason: str = field(init=False, repr=False, compare=False)
    directions_digest: str | None = field(init=False, repr=False)

    def __init__(
        self,
        problem: Problem,
        step_size: StepSize,
        samples: int,
        *,
        batch: int = batch,
        label_noise: float = label_noise,
        seeds: int = seeds,
        seed: int = seed,
        records: int = records,
        spacing: str = spacing,
        sampler: AnySampler = sampler,
        directions: ArrayLike | None = None,
    ) -> None:
        if not isinstance(problem, Problem):
            raise ValueError(f"`problem` must be a Problem, but is {problem!r}")
        batch, samples = positive_integer("batch", batch), positive_integer("samples", samples)
        seeds, records = positive_integer("seeds", seeds), positive_integer("records", records)
        label_noise = nonnegative_number("label_noise", label_noise)
        if samples > MAX_SAMPLES:
            raise ValueError(f"`samples` must be at most {MAX_SAMPLES:.0e}, but is {samples:.3g}")
        if samples % batch:
            raise ValueError(f"`samples` must be a multiple of the batch {batch}, but is {samples}")
        if spacing not in SPACINGS:
            raise ValueError(f"`spacing` must be one of {', '.join(SPACINGS)}, but is {spacing!r}")
        chosen, reason = settled(sampler, problem, samples, batch)
        schedule = as_schedule(step_size)
        refusal = pairs_refusal(problem)
        if refusal is not None:
            raise ValueError(refusal)
        width = problem.d if chosen.whole else min(problem.d, problem.P + 3 * problem.m)
        kept = min(records, samples // batch) + 1
        if kept > MAX_RECORDS:
            raise ValueError(f"`records` must be at most {MAX_RECORDS - 1}, but is {records}")
        if seeds * (kept * problem.m * problem.P + 3 * problem.m * width) > MAX_NUMBERS:
            raise ValueError("the students and their records do not fit in memory; ask for fewer `records` or `seeds`")
        if not chosen.offloaded and batch * width * (seeds if chosen.stacked else 1) > MAX_NUMBERS:
            raise ValueError(f"a batch of {batch} samples in {problem.d} dimensions does not fit in memory")
        if isinstance(schedule, Custom):  # the others are positive as they are made
            steps = samples // batch
            looks = np.union1d(check_steps(steps), record_steps(steps, records, spacing))
            schedule.check(np.unique(np.minimum(looks, steps - 1)))
        given = None if directions is None else numbers_of(directions)
        if given is not None and given.ndim == 3 and len(given) != seeds:
            raise ValueError(f"`directions` holds {len(given)} runs, but `seeds` is {seeds}")
        columns = 0 if given is None else np.atleast_1d(given).shape[-1]
        if chosen.whole and columns == problem.P + problem.m != problem.d:
            raise ValueError(f"the direct sampler needs all d = {problem.d} coordinates of the directions")
        for one in () if given is None else given if given.ndim == 3 else (given,):
            problem.checked_directions(one)
        values = {
            "problem": problem, "step_size": schedule, "samples": samples, "batch": batch, "label_noise": label_noise,
            "seeds": seeds, "seed": nonnegative_integer("seed", seed), "records": records, "spacing": spacing,
            "sampler": chosen, "directions": given, "reason": reason, "directions_digest": rows_digest(given),
        }  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def steps(self) -> int:
        """Steps a seed."""
        return self.samples // self.batch

    @property
    def engine_reason(self) -> str:
        """What keeps a direct run on NumPy from being compiled; empty where nothing does, and for other runs."""
        on_numpy = isinstance(self.sampler, Direct) and self.sampler.engine == "numpy"
        return uncompiled(self.problem, self.batch) if on_numpy else ""

    def recorded(self) -> Steps:
        """Steps at which records are taken."""
        return record_steps(self.steps, self.records, self.spacing)

    def starts(self) -> Array:
        """Initial unit rows of every seed, (S, m, d), or (S, m, min(d, P + m)) coordinates as the sampler takes."""
        problem = self.problem
        if self.directions is None:
            draw = problem.initial_directions if self.sampler.whole else problem.initial_coordinates
            rows = [draw(seed_stream(self.seed, i, DIRECTIONS)) for i in range(self.seeds)]
        elif self.directions.ndim == 3:
            rows = [problem.checked_directions(one) for one in self.directions]
        else:
            rows = [problem.checked_directions(self.directions)] * self.seeds
        return np.stack(rows if self.sampler.whole else [problem.coordinates(one) for one in rows])

    def begin(self, starts: Array, indices: list[int]) -> Stack:
        """The sampler at step 0 for the seeds ``indices``; their initial unit rows ``starts`` (len(indices), m, …)."""
        streams = [seed_stream(self.seed, i, DATA) for i in indices]
        return self.sampler.begin(self, self.problem.init_scale * starts, streams)

    def identity(self) -> dict[str, Any]:
        """Facts that a checkpoint must share with the run that resumes it, JSON-ready."""
        recorded = self.recorded()
        rates = np.asarray(self.step_size.rate(np.minimum(recorded, self.steps - 1)), dtype=float)
        return {
            "problem": self.problem.as_dict(),
            "schedule": self.step_size.text,
            "batch": self.batch,
            "label_noise": self.label_noise,
            "samples": self.samples,
            "seeds": self.seeds,
            "seed": self.seed,
            "records": recorded.tolist(),
            "method": self.sampler.name,
            "sampler": asdict(self.sampler),
            "directions": self.directions_digest,
            "rates": hashlib.sha256(rates.tobytes()).hexdigest(),  # two callables may share their text
            "version": __version__,
        }
