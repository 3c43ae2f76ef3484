"""``sweep``: the points that are missing, on any executor; each is kept as soon as it is there.

A worker computes a point and hands its result back through the executor, and this process alone writes: workers need
no file system in common, only the same sources of this package, and a worker that is killed leaves nothing behind.
What may end one point ends no other:

* a point that raises, or whose worker dies, has failed; its reason is kept, and the next sweep tries it again;
* processes of our own that lose one of theirs are started anew.  Which of the points in flight it was is not known,
  so each of them runs alone, after all others: the one that kills its worker then is the one that failed;
* an interrupt gives up what is in flight, and keeps what is done.

A run that diverged has not failed: that is its result, and it would diverge again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from ..._version import __version__
from ...problem.checks import positive_integer
from ...simulate.workers import held_back, one_blas_thread, processes
from .points import Point
from .result import Failure, Sweep
from .shelf import Shelf

AHEAD = 2  # points that wait with our processes, so that none idles while a result is written
POLL = 0.2  # seconds within which an interrupt is heard where waiting cannot be cut short

Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Outcome:
    """What a worker hands back: a result, or the reason why there is none."""

    result: Any
    reason: str


def perform(point: Point) -> Outcome:
    """Compute a point; run by a worker."""
    if point.code != point.identity["code"]:
        return Outcome(None, f"the worker has other sources of this package, of version {__version__}")
    try:
        with one_blas_thread():
            return Outcome(point.compute(), "")
    except Exception as error:
        return Outcome(None, _said(error))


def sweep(
    points: Iterable[Point],
    out: str | os.PathLike[str],
    *,
    executor: Executor | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    command: str | None = None,
) -> Sweep:
    """Compute the points that ``out`` does not hold yet.

    Parameters
    ----------
    points
        ``PredictPoint``, ``SimulatePoint``, ``ComparePoint``, ``LawPoint`` and ``SgdLawPoint``, of whatever problems;
        the same one twice is one.
    out
        The directory where results are kept, each under its point's name; sweeps may share it.
    executor
        Any ``concurrent.futures.Executor``: a point is a task, and a result comes back through the executor.
    workers
        How many processes of our own (extra ``workers``); 1 computes here; default one per core.
    progress
        Called in this thread, at the start and after each point: how many are done and have failed so far, of how many
        that were missing.
    command
        The command line, to be stored beside each result.

    Returns
    -------
    Sweep
        Points, failures, tables; results are read when they are asked for.

    Raises
    ------
    ValueError
        Bad arguments, before any work.
    ImportError
        ``workers`` without the extra.
    OSError
        A result cannot be written.
    KeyboardInterrupt
        After an interrupt; the points that are done are kept.
    """
    if executor is not None and workers is not None:
        raise ValueError("`workers` makes an executor, so give one of `executor` and `workers`")
    asked = tuple(dict.fromkeys(points))
    strange = next((point for point in asked if not isinstance(point, Point)), None)
    if strange is not None:
        raise ValueError(f"`points` must be points, like PredictPoint(problem), but holds {strange!r}")
    if not asked:
        raise ValueError("a sweep needs at least one point")
    wanted = os.cpu_count() or 1 if workers is None else positive_integer("workers", workers)
    shelf = Shelf(Path(out))
    missing = deque(point for point in asked if not shelf.holds(point))
    work = _Work(shelf, command, progress, len(missing))
    before, count = len(asked) - len(missing), min(wanted, len(missing))
    with one_blas_thread():
        if executor is not None:
            work.on(executor, missing)
        elif count > 1 and processes(count) is not None:
            work.on_processes(count, missing)
        elif count > 1 and workers is not None:
            raise ImportError("`workers` needs loky; install sgd-emergence[workers], or use 1")
        else:
            work.here(missing)
    failed = tuple(Failure(point, work.failed[point]) for point in asked if point in work.failed)
    return Sweep(asked, shelf, failed, before)


class _Work:
    """The points of one sweep that are being computed."""

    def __init__(self, shelf: Shelf, command: str | None, progress: Progress | None, missing: int) -> None:
        self.failed: dict[Point, str] = {}
        self._shelf, self._command, self._progress, self._missing, self._done = shelf, command, progress, missing, 0
        self._tell()

    def here(self, missing: deque[Point]) -> None:
        """One after the other, in this thread."""
        for point in missing:
            self._take(point, perform(point))

    def on(self, executor: Executor, missing: deque[Point]) -> None:
        """On an executor of the caller's; one that breaks is not ours to replace."""
        lost = self._spread(executor, missing, len(missing))
        for point in (*lost, *missing):
            self._take(point, Outcome(None, "the executor broke, as one does whose worker dies, or was shut down"))

    def on_processes(self, count: int, missing: deque[Point]) -> None:
        """On processes of our own; those that died are replaced."""
        suspects: deque[Point] = deque()
        try:
            while missing:
                suspects += self._spread(_started(count), missing, count + AHEAD)
            for point in suspects:
                for _ in self._spread(_started(count), deque([point]), 1):
                    self._take(point, Outcome(None, "its worker process died, also when it ran alone (out of memory?)"))
        except BaseException:
            _started(count).shutdown(kill_workers=True)  # type: ignore[call-arg]
            raise

    def _spread(self, executor: Executor, missing: deque[Point], slots: int) -> list[Point]:
        """Up to ``slots`` of the points ``missing`` at a time; those that were lost in an executor that broke."""
        ended: SimpleQueue[Future[Outcome]] = SimpleQueue()
        running: dict[Future[Outcome], Point] = {}
        lost: list[Point] = []
        try:
            while running or (missing and not lost):
                while missing and len(running) < slots and not lost:
                    point = missing.popleft()
                    try:
                        with held_back():
                            future = executor.submit(perform, point)
                    except RuntimeError:  # a BrokenExecutor is one
                        lost.append(point)
                    else:
                        running[future] = point
                        future.add_done_callback(ended.put)
                try:
                    future = ended.get(timeout=POLL)
                except Empty:
                    continue
                point = running.pop(future)
                try:
                    outcome = future.result()
                except BrokenExecutor:
                    lost.append(point)
                    continue
                except CancelledError:
                    outcome = Outcome(None, "the executor gave it up, as one does that is shut down or cut off")
                except Exception as error:  # it could not be sent, or its worker is given up
                    outcome = Outcome(None, _said(error))
                self._take(point, outcome)
        except BaseException:
            for future in running:
                future.cancel()
            raise
        return lost

    def _take(self, point: Point, outcome: Outcome) -> None:
        """Keep the result of a point, or the reason of its failure."""
        if outcome.reason:
            self.failed[point] = outcome.reason
        else:
            self._shelf.put(point, outcome.result, self._command)
            self._done += 1
        self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self._done, len(self.failed), self._missing)


def _started(count: int) -> Executor:
    """The processes, those that died started anew."""
    pool = processes(count)
    assert pool is not None, "the sweep has asked before"
    return pool


def _said(error: Exception) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")
