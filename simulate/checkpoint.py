"""Checkpoints of long runs: whole or absent, bit for bit, and never silently someone else's.

A directory belongs to one running process at a time (a lock that dies with the process; where the file system has
none a warning says so).  Each task, the
seeds that advance together, has its own file ``checkpoint-0003.npz``, named for its first seed and replaced
atomically at a fixed wall-clock interval: an archive (``problem.files``) whose identity states the run and
which of its seeds are in it.  A file that is damaged, of another run or under another seed's name is refused
by name and left alone.
"""

from __future__ import annotations

import errno
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._types import Array
from ..problem.files import archive, read_archive, replace_file

_SEEDS = "indices"
_LAYOUT = "layout"
LAYOUT = 2  # of the arrays in a file: to be raised once their names or meanings change
_FILE = re.compile(r"checkpoint-\d{4,}\.npz")


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, or a directory in use."""


@dataclass(frozen=True)
class Checkpoint:
    """The file of one task; can be sent to the process that writes it.

    Attributes
    ----------
    path, identity
        Where it is, and the facts of the run that it must share.
    indices
        The seeds in it.
    interval
        Seconds between checkpoints.
    """

    path: Path
    identity: dict[str, Any]
    indices: list[int]
    interval: float

    def load(self) -> dict[str, Array] | None:
        """The arrays, or None where there is no file.

        Raises
        ------
        CheckpointError
            Damaged, or of another run; the message names the file.
        """
        return _read(self.path, self.identity)[0] if self.path.exists() else None

    def save(self, arrays: dict[str, Array]) -> None:
        """Replace the file."""
        replace_file(self.path, archive(arrays, self.identity | {_LAYOUT: LAYOUT, _SEEDS: self.indices}))


class Store:
    """Checkpoints of one run in ``directory``.

    Parameters
    ----------
    identity
        JSON-ready facts that must match for a checkpoint to be ours.
    resume
        Go on from checkpoints found; without it their presence is an error.
    interval
        Seconds between checkpoints.

    Raises
    ------
    CheckpointError
        Another process is running here; checkpoints exist but ``resume`` is false, or cannot be used.
    """

    def __init__(self, directory: Path, identity: dict[str, Any], *, resume: bool, interval: float = 1.0) -> None:
        directory = directory.resolve()  # workers may have been started in another working directory
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.identity, self.interval = directory, identity, interval
        self._lock = _locked(directory)
        try:
            found = files(directory)
            if found and not resume:
                raise CheckpointError(
                    f"{found[0]} is the checkpoint of a run, finished or not; resume it, or remove the file"
                )
            # All of them are read before any task starts beside a foreign one.
            self._groups = [_read(path, identity)[1] for path in found]
        except BaseException:
            self.release()
            raise

    def groups(self, indices: list[list[int]]) -> list[list[int]]:
        """How the seeds are divided: as in the files found, the rest as in ``indices``."""
        held = {i for group in self._groups for i in group}
        rest = [[i for i in group if i not in held] for group in indices]
        return self._groups + [group for group in rest if group]

    def checkpoint(self, indices: list[int]) -> Checkpoint:
        """The file of the task that runs the seeds ``indices``."""
        return Checkpoint(_path(self.directory, indices), self.identity, indices, self.interval)

    def release(self) -> None:
        """Give the directory free."""
        if self._lock is not None:
            import fcntl

            fcntl.flock(self._lock, fcntl.LOCK_UN)  # closing alone would not: a worker being started may hold a copy
            os.close(self._lock)
            self._lock = None


def clear(directory: Path, *results: str) -> None:
    """Remove the checkpoints of a run whose ``results`` (names without suffix) are written, what killed processes left
    of either, and nothing else."""
    ours = "|".join([r"checkpoint-\d{4,}", *map(re.escape, results)])
    part = re.compile(rf"({ours})(_[a-z_]+)?(\.result)?\.\d+\.part")  # also of tables and results beside
    for path in directory.iterdir():
        if _FILE.fullmatch(path.name) or part.fullmatch(path.name):
            path.unlink()


def _path(directory: Path, indices: list[int]) -> Path:
    return directory / f"checkpoint-{indices[0]:04d}.npz"


def files(directory: Path) -> list[Path]:
    """The checkpoints in a directory, ascending."""
    return sorted(path for path in directory.iterdir() if _FILE.fullmatch(path.name))


def _read(path: Path, identity: dict[str, Any]) -> tuple[dict[str, Array], list[int]]:
    """Arrays and seeds of a file of the run with this identity."""
    try:
        arrays, found = read_archive(path.read_bytes())
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or no checkpoint: {error}") from None
    for key, value in identity.items():
        if found.get(key) != value:
            raise CheckpointError(f"{path} belongs to another run: its {key} is {found.get(key)!r}, not {value!r}")
    if found.get(_LAYOUT) != LAYOUT:
        raise CheckpointError(f"{path} was written by other code, in another layout; resume with that, or remove it")
    indices: list[int] = found[_SEEDS]
    if _path(path.parent, indices) != path:
        raise CheckpointError(f"{path} holds seed {indices[0]}, which belongs under another name")
    return arrays, indices


def _locked(directory: Path) -> int | None:
    """An exclusive lock on the directory, held until the process ends or ``release``; None where there are none."""
    try:
        import fcntl
    except ImportError:  # not on Windows; there a second process is not noticed
        return None
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise CheckpointError(f"another process is running in {directory}") from None
        warnings.warn(  # NFS and others: ENOLCK, ENOSYS, EOPNOTSUPP, EBADF
            f"{directory} is on a file system without locks ({error.strerror}): a second process there would not be "
            "noticed", RuntimeWarning, stacklevel=2,
        )  # fmt: skip
        return None
    return handle
