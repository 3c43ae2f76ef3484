"""One task of a run: seeds that advance together, wherever they are computed.

``Board`` is how tasks say how far they are and are told to stop: an array that threads share, or a file that
processes map into memory.  An executor of someone else's has none: there a task is done or it is not.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from .._types import Array
from .checkpoint import Checkpoint
from .drive import Interrupted, Measured, drive
from .run import Run


class Board:
    """Samples done by each of ``tasks`` tasks, whether they are at work, and the word to stop.

    Parameters
    ----------
    path
        File to be mapped, for tasks in other processes.
    """

    def __init__(self, tasks: int, path: Path | None = None) -> None:
        self.path, shape = path, (2, tasks + 1)
        self._cells: Array = (
            np.zeros(shape, dtype=np.int64) if path is None else np.memmap(path, np.int64, mode="w+", shape=shape)
        )

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: where the file is."""
        return {"path": self.path, "shape": self._cells.shape}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._cells = np.memmap(self.path, np.int64, mode="r+", shape=state["shape"])

    def stop(self) -> None:
        """Tell every task to save and end."""
        self._cells[0, -1] = 1

    def stopping(self) -> bool:
        """Has the word been given?"""
        return bool(self._cells[0, -1])

    def begin(self, task: int) -> None:
        """The task is at work: compiled, and from now on with something to save."""
        self._cells[1, task] = time.perf_counter_ns()

    def at_work(self, task: int) -> bool:
        """Has it begun?"""
        return bool(self._cells[1, task])

    def began(self) -> float | None:
        """When the first task began, by ``time.perf_counter``; None where none has."""
        times = self._cells[1, :-1]
        return float(times[times > 0].min()) / 1e9 if times.any() else None

    def add(self, task: int, samples: int) -> None:
        """So many more samples are done."""
        self._cells[0, task] += samples

    def samples(self) -> int:
        """All samples done so far."""
        return int(self._cells[0, :-1].sum())


def perform(
    run: Run, indices: list[int], starts: Array, checkpoint: Checkpoint | None, board: Board | None, task: int
) -> tuple[Measured, Array | None]:
    """Drive the seeds ``indices`` from unit rows ``starts`` (len(indices), m, …) to the end of the run.

    Raises
    ------
    Interrupted
        When the board says so, after saving.
    """
    if board is None:
        stack = run.begin(starts, indices)
        return drive(run, stack, len(indices), checkpoint=checkpoint, progress=lambda _: None, stopping=lambda: False)
    if board.stopping():
        raise Interrupted
    stack = run.begin(starts, indices)  # compiles, which can take seconds and leaves nothing to save
    board.begin(task)
    if board.stopping():  # whoever told it to stop may not have seen it begin, and no longer waits for it
        raise Interrupted
    return drive(
        run, stack, len(indices), checkpoint=checkpoint, progress=lambda count: board.add(task, count),
        stopping=board.stopping,
    )  # fmt: skip
