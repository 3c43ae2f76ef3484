"""Checkpoints of long runs: whole or absent, bit for bit, and never silently someone else's.

A directory belongs to one running process at a time (a lock that dies with the process).  Each
stack of runs has its own file, replaced atomically at a fixed wall-clock interval:

    line 1   ``sgd-emergence checkpoint``
    line 2   SHA-256 of everything after it
    line 3   JSON: problem, settings, method, engine, dtype, version
    then     a NumPy ``.npz`` archive

A file that is damaged, truncated or of another run is refused by name and left alone.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from .._types import Array
from ..problem.files import archive, read_archive, replace_file

_MAGIC = b"sgd-emergence checkpoint\n"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used, or a directory in use."""


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
        Another process is running here; checkpoints exist but ``resume`` is false.
    """

    def __init__(self, directory: Path, identity: dict[str, Any], *, resume: bool, interval: float = 1.0) -> None:
        self.directory, self.identity, self.interval = directory, identity, interval
        self._lock = _locked(directory)
        if not resume and (found := _files(directory)):
            self.release()
            raise CheckpointError(
                f"{found[0]} is the checkpoint of an unfinished run; add --resume to go on, or remove it"
            )
        try:
            for path in _files(directory):  # all of them, before any stack starts afresh beside a foreign one
                self._read(path)
        except CheckpointError:
            self.release()
            raise

    def load(self, index: int) -> dict[str, Array] | None:
        """Arrays of stack ``index``, or None when it has no checkpoint.

        Raises
        ------
        CheckpointError
            Damaged, truncated, or of another run; the message names the file.
        """
        path = self._path(index)
        return self._read(path) if path.exists() else None

    def _read(self, path: Path) -> dict[str, Array]:
        data = path.read_bytes()
        if not data.startswith(_MAGIC):
            raise CheckpointError(f"{path} is not a checkpoint of this program")
        digest, _, body = data[len(_MAGIC) :].partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise CheckpointError(f"{path} is damaged or truncated")
        header, _, payload = body.partition(b"\n")
        found = json.loads(header)
        for key, value in self.identity.items():
            if found.get(key) != value:
                raise CheckpointError(f"{path} belongs to another run: its {key} is {found.get(key)!r}, not {value!r}")
        try:
            return read_archive(payload)
        except ValueError as error:
            raise CheckpointError(f"{path} is damaged: {error}") from None

    def save(self, index: int, arrays: dict[str, Array]) -> None:
        """Replace the checkpoint of stack ``index``."""
        body = json.dumps(self.identity, sort_keys=True).encode() + b"\n" + archive(arrays)
        replace_file(self._path(index), _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)

    def __getstate__(self) -> dict[str, Any]:
        """What another process gets: everything but the lock, which stays with the one that took it."""
        return vars(self) | {"_lock": None}

    def release(self) -> None:
        """Give the directory free."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _path(self, index: int) -> Path:
        return self.directory / f"checkpoint-{index:04d}.npz"


def clear(directory: Path) -> None:
    """Remove the checkpoints of a run whose results are written."""
    for path in [*_files(directory), *directory.glob("checkpoint-*.part")]:
        path.unlink()


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("checkpoint-*.npz"))


def _locked(directory: Path) -> int | None:
    """An exclusive lock on the directory, held until the process ends or ``release``."""
    try:
        import fcntl
    except ImportError:  # not on Windows; there a second process is not noticed
        return None
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise CheckpointError(f"another process is running in {directory}") from None
    return handle
