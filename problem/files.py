"""Files that are whole or absent: readers see the old one or the new one, a killed writer damages neither."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np

from problem.types import Array


def replace_file(path: Path, content: bytes) -> None:
    """Write a file by way of ``STEM.PID.part`` beside it, which only a killed process leaves behind."""
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def archive(arrays: dict[str, Array]) -> bytes:
    """The arrays as a NumPy ``.npz`` archive."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
