"""Files that are whole or absent: readers see the old one or the new one, a killed writer damages neither."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from functools import cache
from pathlib import Path

import numpy as np

from .._types import Array
from .._version import __version__


def replace_file(path: Path, content: bytes) -> None:
    """Write a file by way of ``STEM.PID.part`` beside it, which only a killed process leaves behind."""
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def archive(arrays: dict[str, Array]) -> bytes:
    """The arrays as a NumPy ``.npz`` archive."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_archive(content: bytes) -> dict[str, Array]:
    """The arrays of an ``.npz`` archive (bytes: of a damaged file NumPy would leave the handle open).

    Raises
    ------
    ValueError
        It is not one, or damaged.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            if not isinstance(saved, np.lib.npyio.NpzFile):
                raise ValueError("it is not a NumPy archive")
            return {name: saved[name] for name in saved.files}
    except (EOFError, KeyError, NotImplementedError, zipfile.BadZipFile) as error:
        raise ValueError(str(error) or "it is empty") from None


@cache
def code_digest() -> str:
    """Hash of the version and of the sources that make numbers: what is kept between runs is kept under it."""
    root, digest = Path(__file__).parents[1], hashlib.sha256(__version__.encode())
    for package in ("problem", "theory", "simulate", "compare"):
        for source in sorted((root / package).rglob("*.py")):
            digest.update(source.name.encode() + b"\n" + source.read_bytes())
    return digest.hexdigest()
