"""``sgd``: run online SGD for several seeds and measure when each direction is learned.

One verb for all samplers.  Runs are independent: run i draws its initial directions and its data
from its own streams (``problem.seeds``), so results do not depend on how many runs there are, in
which order they run, or on how many workers.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import ArrayLike

from .._types import Array
from .._version import __version__
from ..problem.checks import nonnegative_integer, positive_integer, positive_number
from ..problem.population_loss import loss_of_students
from ..problem.problem import Problem
from ..problem.seeds import CHECK, DATA, DIRECTIONS, generator, seed_stream
from .checkpoint import Store
from .danger import warning
from .drive import Interrupted, Measured, Progress, drive
from .remote import Worker
from .result import Divergence, LossCheck, Simulation
from .samplers.choose import Choice, choose
from .samplers.direct import DirectRun, DirectStack, sampled_loss
from .samplers.leap import LeapControl, LeapRun
from .samplers.reduced import ReducedRun
from .samplers.stack import Setting, Stack
from .schedule import Schedule, as_schedule
from .stops import Steps, record_steps

DTYPES = ("float64", "float32")
PATIENCE = 1.0  # seconds that a leap run must have lasted before it is spread over processes
MAX_SAMPLES = 9 * 10**18  # step counts are 64-bit integers
MAX_NUMBERS = 10**9  # doubles that a call may hold: 8 GB

StepSize = float | Schedule | Callable[[Array], Array]


@dataclass(frozen=True)
class Plan:
    """A checked run: what ``sgd`` is about to do."""

    setting: Setting
    samples: int
    seeds: int
    seed: int
    workers: int
    recorded: Steps
    choice: Choice
    leap: LeapControl
    directions_digest: str | None

    @property
    def steps(self) -> int:
        """Steps a run."""
        return self.samples // self.setting.batch

    def _rates_digest(self) -> str:
        rates = self.setting.schedule.rate(np.minimum(self.recorded, self.steps - 1))
        return hashlib.sha256(np.asarray(rates, dtype=float).tobytes()).hexdigest()

    def identity(self) -> dict[str, Any]:
        """Facts that a checkpoint must share with the run that resumes it."""
        return {
            "problem": self.setting.problem.as_dict(),
            "schedule": self.setting.schedule.text,
            "batch": self.setting.batch,
            "label_noise": self.setting.label_noise,
            "samples": self.samples,
            "seeds": self.seeds,
            "seed": self.seed,
            "records": [int(step) for step in self.recorded],
            "method": self.choice.method,
            "engine": self.choice.engine,
            "dtype": self.setting.dtype,
            "leap": asdict(self.leap) if self.choice.method == "leap" else None,
            "directions": self.directions_digest,
            "rates": self._rates_digest(),  # two callables may share their text
            "version": __version__,
        }


def sgd(
    problem: Problem,
    step_size: StepSize,
    samples: int,
    batch: int = 1,
    seeds: int = 1,
    directions: ArrayLike | None = None,
    *,
    method: str = "auto",
    label_noise: float = 0.0,
    dtype: str = "float64",
    seed: int = 0,
    records: int = 200,
    spacing: str = "linear",
    engine: str = "auto",
    workers: int | None = None,
    leap: LeapControl | None = None,
    out: Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 1.0,
    progress: Progress | None = None,
) -> Simulation:
    """Online SGD: ``samples / batch`` steps on fresh samples, for each of ``seeds`` runs.

    Parameters
    ----------
    step_size
        η, or a schedule (``simulate.schedule``), or a callable of an array of steps.  Flow time
        is the sum of step sizes: η · steps.
    samples
        Samples a run, a multiple of ``batch``.
    seeds
        Number of runs; run i uses the streams of ``problem.seeds`` for (``seed``, i).
    directions
        Initial unit rows, (m, d) or (m, P + m) coordinates for all runs, or one such array a
        run; default random.
    method
        ``"direct"`` (the literal algorithm), ``"reduced"`` (exact in law, cost free of d),
        ``"leap"`` (approximate, cost free of the number of samples), or ``"auto"``.
    label_noise
        Standard deviation of Gaussian noise on the labels.
    dtype
        ``"float64"``, or ``"float32"`` for the direct sampler.
    records, spacing
        How many records, on a ``"log"`` or ``"linear"`` grid of steps.
    engine
        ``"compiled"`` (extra ``fast``), ``"numpy"``, or ``"auto"``.
    workers
        Threads, or processes for long leap runs; default one per core.  Results do not depend on it.
    leap
        How the leap sampler steps; default ``LeapControl()``.
    out, resume, checkpoint_seconds
        Directory for checkpoints, whether to go on from those found there, and how often.
    progress
        Called with the number of samples done since the last call.

    Raises
    ------
    ValueError
        Bad arguments, before any work starts; ``CheckpointError`` for unusable checkpoints.
    ImportError
        A sampler that needs the extra ``fast`` without it.
    KeyboardInterrupt
        After an interrupt, once the checkpoints are written.
    """
    plan = checked_plan(
        problem, step_size, samples, batch, seeds, directions, method=method, label_noise=label_noise, dtype=dtype,
        seed=seed, records=records, spacing=spacing, engine=engine, workers=workers, leap=leap,
    )  # fmt: skip
    interval = positive_number("checkpoint_seconds", checkpoint_seconds)
    start = initial_rows(plan, directions)
    stacks = _stacks(plan, start)
    store = None if out is None else Store(Path(out), plan.identity(), resume=resume, interval=interval)
    started = time.perf_counter()
    try:
        parts = _drive_all(plan, stacks, store, progress)
    finally:
        if store is not None:
            store.release()
    elapsed = time.perf_counter() - started
    measured = [part for part, _ in parts]
    steps_done = np.concatenate([np.where(p.diverged_at >= 0, p.diverged_at, plan.steps) for p in measured])
    size = np.concatenate([p.largest_norm for p in measured])
    diverged = np.concatenate([p.diverged_at for p in measured]) >= 0
    return Simulation(
        problem=problem,
        schedule=plan.setting.schedule.text,
        step_size=plan.setting.schedule.initial,
        samples=plan.samples,
        batch=plan.setting.batch,
        label_noise=plan.setting.label_noise,
        dtype=plan.setting.dtype,
        seed=plan.seed,
        directions=start,
        times=plan.setting.schedule.flow_time(plan.recorded),
        loss=np.concatenate([p.loss for p in measured]),
        overlaps=np.concatenate([p.overlaps for p in measured]),
        norms=np.concatenate([p.norms for p in measured]),
        alignment=np.concatenate([p.alignment for p in measured]),
        recovery=np.concatenate([p.recovery for p in measured]),
        divergence=tuple(
            Divergence(int(steps_done[i]), float(size[i])) if diverged[i] else None for i in range(plan.seeds)
        ),
        loss_check=_loss_check(plan, next((final for _, final in parts if final is not None), None)),
        method=plan.choice.method,
        engine=plan.choice.engine,
        reason=plan.choice.reason,
        warning=_warning(plan),
        samples_per_second=float(steps_done.sum()) * plan.setting.batch / elapsed,
        wall_time=elapsed,
        version=__version__,
    )


def checked_plan(
    problem: Problem,
    step_size: StepSize,
    samples: int,
    batch: int,
    seeds: int,
    directions: ArrayLike | None,
    *,
    method: str,
    label_noise: float,
    dtype: str,
    seed: int,
    records: int,
    spacing: str,
    engine: str,
    workers: int | None,
    leap: LeapControl | None,
) -> Plan:
    """Everything ``sgd`` checks, without doing any work; raises like ``sgd``."""
    batch, samples = positive_integer("batch", batch), positive_integer("samples", samples)
    seeds, records = positive_integer("seeds", seeds), positive_integer("records", records)
    seed = nonnegative_integer("seed", seed)
    workers = os.cpu_count() or 1 if workers is None else positive_integer("workers", workers)
    label_noise = 0.0 if label_noise == 0 else positive_number("label_noise", label_noise)
    if samples > MAX_SAMPLES:
        raise ValueError(f"`samples` must be at most {MAX_SAMPLES:.0e}, but is {samples:.3g}")
    if samples % batch:
        raise ValueError(f"`samples` must be a multiple of the batch {batch}, but is {samples}")
    if dtype not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(DTYPES)}, but is {dtype!r}")
    choice = choose(problem, samples, batch, method, engine)
    if dtype == "float32" and choice.method != "direct":
        raise ValueError(f"float32 is offered by the direct sampler only, not by {choice.method}")
    setting = Setting(problem, as_schedule(step_size), batch, label_noise, dtype)
    recorded = record_steps(samples // batch, records, spacing)
    width = problem.d if choice.method == "direct" else min(problem.d, problem.P + 3 * problem.m)
    if seeds * (len(recorded) * problem.m * problem.P + 3 * problem.m * width) > MAX_NUMBERS:
        raise ValueError("the students and their records do not fit in memory; ask for fewer `records` or `seeds`")
    if batch * width * (seeds if choice.engine == "numpy" else 1) > MAX_NUMBERS:
        raise ValueError(f"a batch of {batch} samples in {problem.d} dimensions does not fit in memory")
    if directions is not None and np.ndim(directions) == 3 and len(np.asarray(directions)) != seeds:
        raise ValueError(f"`directions` holds {len(np.asarray(directions))} runs, but `seeds` is {seeds}")
    columns = 0 if directions is None else np.atleast_1d(np.asarray(directions)).shape[-1]
    if choice.method == "direct" and columns == problem.P + problem.m != problem.d:
        raise ValueError(f"the direct sampler needs all d = {problem.d} coordinates of the directions")
    digest = None if directions is None else hashlib.sha256(np.ascontiguousarray(directions).tobytes()).hexdigest()
    return Plan(setting, samples, seeds, seed, workers, recorded, choice, leap or LeapControl(), digest)


def initial_rows(plan: Plan, directions: ArrayLike | None) -> Array:
    """Initial unit rows of every run, (S, m, d), or (S, m, P + m) coordinates for the reduced samplers."""
    problem = plan.setting.problem
    if directions is None:
        draw = problem.initial_directions if plan.choice.method == "direct" else problem.initial_coordinates
        rows = [draw(seed_stream(plan.seed, i, DIRECTIONS)) for i in range(plan.seeds)]
    else:
        given = np.asarray(directions)
        if given.ndim == 3:
            rows = [problem.checked_directions(one) for one in given]
        else:
            rows = [problem.checked_directions(given)] * plan.seeds
    if plan.choice.method != "direct":
        rows = [problem.coordinates(one) for one in rows]
    return np.stack(rows)


def _stacks(plan: Plan, start: Array) -> list[tuple[Stack, int]]:
    """Samplers with the number of runs in each."""
    setting, scale = plan.setting, plan.setting.problem.init_scale
    streams = [seed_stream(plan.seed, i, DATA) for i in range(plan.seeds)]
    if plan.choice.method == "direct" and plan.choice.engine == "numpy":
        return [(DirectStack.seeded(setting, scale * start, streams), plan.seeds)]

    def make(rows: Array, stream: SeedSequence) -> Stack:
        if plan.choice.method == "leap":
            return LeapRun(setting, scale * rows, stream, plan.leap)
        if plan.choice.method == "reduced":
            return ReducedRun(setting, scale * rows, stream)
        return DirectRun.seeded(setting, scale * rows, stream)

    return [(make(rows, stream), 1) for rows, stream in zip(start, streams, strict=True)]


def _drive_all(
    plan: Plan, stacks: list[tuple[Stack, int]], store: Store | None, progress: Progress | None
) -> list[tuple[Measured, Array | None]]:
    """Drive every stack on a pool; an interrupt lets each save before it ends.

    Compiled samplers run on threads.  The leap sampler holds the interpreter's lock, so one thread
    of this process works and the others each lead a process, started once the run has lasted long
    enough to pay for that.
    """
    stopping, over = threading.Event(), threading.Event()
    results: list[tuple[Measured, Array | None] | None] = [None] * len(stacks)
    waiting = list(range(len(stacks)))[::-1]  # popped from the end; list.pop is atomic
    apart = plan.choice.method == "leap" and plan.setting.schedule.total is not None  # a callable cannot be sent

    def arguments(i: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        stack, runs = stacks[i]
        return (plan.setting, stack, runs, plan.steps, plan.recorded), {"store": store, "index": i}

    def work(each: Callable[[int], tuple[Measured, Array | None]]) -> None:
        while waiting and not stopping.is_set():
            try:
                i = waiting.pop()
            except IndexError:  # another took the last
                return
            results[i] = each(i)

    def here(i: int) -> tuple[Measured, Array | None]:
        positional, keywords = arguments(i)
        return drive(*positional, **keywords, progress=progress, stopping=stopping)

    def work_here() -> None:
        try:
            work(here)
        finally:
            over.set()

    def work_apart() -> None:
        if over.wait(PATIENCE) or not waiting or stopping.is_set():
            return
        worker = Worker()
        try:
            work(lambda i: worker.drive(pickle.dumps(arguments(i)), progress, stopping))
        finally:
            worker.close()

    workers = min(plan.workers, len(stacks))
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(work_apart if apart and i else work_here) for i in range(workers)]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            stopping.set()
            over.set()
            wait(jobs)
            raise
        failed = any(job.done() and job.exception() is not None for job in jobs)
        if failed:
            stopping.set()
        errors = [job.exception() for job in jobs]
    first = next((e for e in errors if e is not None and not isinstance(e, Interrupted)), None)
    if first is not None:
        raise first
    return [result for result in results if result is not None]


def _warning(plan: Plan) -> str | None:
    if plan.choice.method != "leap":
        return None
    setting = plan.setting
    steps = np.unique(np.geomspace(1, plan.steps, 200).astype(np.int64)) - 1
    largest = float(np.max(setting.schedule.rate(steps)))
    return warning(setting.problem, largest, setting.batch, float(plan.samples) * plan.seeds)


def _loss_check(plan: Plan, students: Array | None) -> LossCheck | None:
    if students is None:
        return None
    problem = plan.setting.problem
    samples = int(np.clip(4_000_000 // students.shape[1], 100, 20_000))
    stream = generator(seed_stream(plan.seed, 0, CHECK))
    mean, error = sampled_loss(problem, students, stream, samples)
    return LossCheck(loss_of_students(problem, students), mean, error, samples)
