"""``execute`` a run and ``sgd``, the short way to it: seeds are tasks of an executor.

Workers of our own are threads of this process where the sampler releases the interpreter's lock (compiled
ones), and otherwise one thread here and, once the run has lasted long enough to pay for their start, processes
for what is still waiting (extra ``workers`` = loky, which asks no ``__main__`` guard of a script).  The caller's
thread computes nothing: it waits, reports, and hears an interrupt at once, also while a sampler compiles.
Results do not depend on workers, executor or order, to the last bit where BLAS has one thread (the
extra sees to it).
"""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._types import Array
from .._version import __version__
from ..problem.checks import positive_integer, positive_number
from ..problem.population_loss import loss_of_students
from ..problem.problem import Problem
from ..problem.schedule import Custom, StepSize
from ..problem.seeds import CHECK, generator, seed_stream
from .checkpoint import Store
from .danger import warning
from .drive import Measured
from .result import Divergence, LossCheck, Simulation
from .run import Run
from .samplers.direct import sampled_loss
from .tasks import Board, perform
from .workers import held_back, one_blas_thread, processes

PATIENCE = 1.0  # seconds that a run must have lasted before processes are started for it
POLL = 0.05  # seconds between looks at what is running

Progress = Callable[[int], None]
Part = tuple[Measured, Array | None]


def sgd(problem: Problem, step_size: StepSize, samples: int, **settings: Any) -> Simulation:
    """Online SGD: ``samples / batch`` steps on fresh samples, for each of ``seeds`` seeds.

    Parameters
    ----------
    problem, step_size, samples
        As in ``Run``.
    settings
        Any other setting of ``Run`` (``batch``, ``seeds``, ``sampler``, ``directions``, …) or of ``execute``
        (``workers``, ``out``, ``progress``, …).

    Raises
    ------
    ValueError, ImportError, KeyboardInterrupt
        As ``Run`` and ``execute``.
    """
    how = {name: settings.pop(name) for name in tuple(settings) if name in _EXECUTION}
    return execute(Run(problem, step_size, samples, **settings), **how)


def execute(
    run: Run,
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    out: Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 1.0,
    progress: Progress | None = None,
) -> Simulation:
    """Compute a run.

    Parameters
    ----------
    executor
        Any ``concurrent.futures.Executor``; a seed is a task.  Progress and stopping are then a finished
        task at a time.
    workers
        How many tasks at once on threads or processes of our own; default one per core.
    out, resume, checkpoint_seconds
        Directory for checkpoints (made if it is not there), whether to go on from those found there, and how often
        one is written.
    progress
        Called in this thread with the number of samples done since the last call.

    Raises
    ------
    ValueError
        Bad arguments, before any work starts; ``CheckpointError`` for unusable checkpoints.
    ChildProcessError
        A worker process died; what it had saved is there to go on from.
    KeyboardInterrupt
        After an interrupt, once what is running has saved its state.
    """
    if executor is not None and workers is not None:
        raise ValueError("`workers` makes an executor, so give one of `executor` and `workers`")
    count = os.cpu_count() or 1 if workers is None else positive_integer("workers", workers)
    interval = positive_number("checkpoint_seconds", checkpoint_seconds)
    starts = run.starts()
    groups = _groups(run, count if executor is None else run.seeds)
    store = None if out is None else Store(Path(out), run.identity(), resume=resume, interval=interval)
    started = time.perf_counter()
    try:
        groups = sorted(groups if store is None else store.groups(groups))
        with one_blas_thread():
            parts, began = _gather(run, groups, starts, store, executor, count, progress)
    finally:
        if store is not None:
            store.release()
    return _simulation(run, starts, parts, groups, time.perf_counter() - (began or started))


_EXECUTION = {name for name in execute.__annotations__ if name not in ("run", "return")}


def _groups(run: Run, workers: int) -> list[list[int]]:
    """Which seeds make a task: one; all of a sampler with a device; of one faster on many as leave a worker a task."""
    seeds = list(range(run.seeds))
    if run.sampler.offloaded:
        return [seeds]
    if not run.sampler.stacked:
        return [[i] for i in seeds]
    return [part.tolist() for part in np.array_split(seeds, min(workers, run.seeds))]


@dataclass
class _Pool:
    """An executor, how many tasks it takes at a time, and those it has."""

    executor: Executor
    slots: int
    board: Board | None
    running: set[Future[Part]]

    def submit(self, *arguments: Any) -> Future[Part]:
        with held_back():
            future = self.executor.submit(perform, *arguments)
        self.running.add(future)
        return future


def _gather(
    run: Run, groups: list[list[int]], starts: Array, store: Store | None, executor: Executor | None, workers: int,
    progress: Progress | None,
) -> tuple[list[Part], float | None]:  # fmt: skip
    """The results of all tasks, in their order, and when the first of ours had compiled (None: not known)."""
    workers = min(workers, len(groups))
    apart = executor is None and run.sampler.locks and workers > 1
    with _scratch(apart) as scratch:
        board = Board(len(groups), scratch)
        if executor is None:
            threads = 1 if apart else workers
            pools = [_Pool(ThreadPoolExecutor(threads), threads, board, set())]
        else:
            pools = [_Pool(executor, len(groups), None, set())]
        results: list[Part | None] = [None] * len(groups)
        waiting = list(range(len(groups)))[::-1]
        tasks: dict[Future[Part], tuple[_Pool, int]] = {}
        began, told = time.monotonic(), 0
        try:
            while waiting or tasks:
                for pool in pools:
                    while waiting and len(pool.running) < pool.slots:
                        i = waiting.pop()
                        checkpoint = None if store is None else store.checkpoint(groups[i])
                        tasks[pool.submit(run, groups[i], starts[groups[i]], checkpoint, pool.board, i)] = pool, i
                done, _ = wait(tasks, timeout=POLL, return_when=FIRST_COMPLETED)
                for future in done:
                    pool, i = tasks.pop(future)
                    pool.running.discard(future)
                    results[i] = future.result()
                    if pool.board is None:
                        board.add(i, len(groups[i]) * run.samples)
                if progress is not None and (now := board.samples()) > told:
                    progress(now - told)
                    told = now
                if apart and waiting and time.monotonic() - began > PATIENCE:
                    apart, own = False, processes(workers - 1)
                    pools += [] if own is None else [_Pool(own, workers - 1, board, set())]
        except BaseException as error:
            board.stop()
            for future in tasks:
                future.cancel()
            wait([future for future, (pool, i) in tasks.items() if pool.board is not None and board.at_work(i)])
            if executor is None:
                pools[0].executor.shutdown(wait=False, cancel_futures=True)
                for pool in pools[1:]:  # what has not begun there has nothing to save
                    pool.executor.shutdown(wait=False, kill_workers=True)  # type: ignore[call-arg]
            if isinstance(error, BrokenExecutor):
                raise ChildProcessError(f"a worker process died: {error}") from error
            unsent = isinstance(error, pickle.PicklingError | AttributeError | TypeError)
            if unsent and executor is not None and isinstance(run.step_size, Custom):
                raise ValueError(
                    "the step-size callable cannot be sent to the executor's processes; define it in a module"
                ) from error
            raise
        if executor is None:
            pools[0].executor.shutdown()
    return [part for part in results if part is not None], board.began()


@contextmanager
def _scratch(wanted: bool) -> Iterator[Path | None]:
    """A file that processes can map, for as long as it is needed."""
    if not wanted:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="emergence-", ignore_cleanup_errors=True) as directory:
        yield Path(directory) / "board"


def _simulation(run: Run, starts: Array, parts: list[Part], groups: list[list[int]], elapsed: float) -> Simulation:
    measured = [part for part, _ in parts]

    def joined(name: str) -> Array:
        """That of every seed, copied once at most: overlaps can be most of the memory."""
        values: list[Array] = [getattr(part, name) for part in measured]
        if len(values) == 1 and groups[0] == sorted(groups[0]):
            return values[0]
        out = np.empty((run.seeds, *values[0].shape[1:]), values[0].dtype)
        for group, value in zip(groups, values, strict=True):
            out[group] = value
        return out

    diverged_at, size = joined("diverged_at"), joined("largest_norm")
    steps_done = np.where(diverged_at >= 0, diverged_at, run.steps)
    return Simulation(
        run=run,
        directions=starts,
        times=run.step_size.flow_time(run.recorded()),
        loss=joined("loss"),
        overlaps=joined("overlaps"),
        norms=joined("norms"),
        alignment=joined("alignment"),
        recovery=joined("recovery"),
        divergence=tuple(
            Divergence(int(step), float(norm)) if step >= 0 else None
            for step, norm in zip(diverged_at, size, strict=True)
        ),
        loss_check=_loss_check(run, next((final for _, final in parts if final is not None), None)),
        warning=_warning(run),
        samples_per_second=float(steps_done.sum()) * run.batch / elapsed,
        wall_time=elapsed,
        version=__version__,
    )


def _warning(run: Run) -> str | None:
    """Where leap is blind: a step size at which single samples may blow SGD up."""
    if run.sampler.name != "leap":
        return None
    steps = np.unique(np.geomspace(1, run.steps, 200).astype(np.int64)) - 1
    largest = float(np.max(run.step_size.rate(steps)))
    return warning(run.problem, largest, run.batch, float(run.samples) * run.seeds)


def _loss_check(run: Run, students: Array | None) -> LossCheck | None:
    """Population loss of one seed's final students against a mean over fresh samples."""
    if students is None:
        return None
    samples = int(np.clip(4_000_000 // students.shape[1], 100, 20_000))
    mean, error = sampled_loss(run.problem, students, generator(seed_stream(run.seed, 0, CHECK)), samples)
    return LossCheck(loss_of_students(run.problem, students), mean, error, samples)
