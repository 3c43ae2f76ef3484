"""Writing results: strict JSON, CSV tables, and files that are whole or absent."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def strict(value: Any) -> Any:
    """The same document with non-finite numbers as None."""
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(document: dict[str, Any]) -> str:
    """One JSON document with non-finite numbers as null."""
    return json.dumps(strict(document), allow_nan=False)


def prepare_directory(path: str, flag: str = "--out") -> Path:
    """Make the directory that ``flag`` names and check that files can be written to it.

    Raises
    ------
    ValueError
        It cannot be made or written to.
    """
    if not path.strip():
        raise ValueError(f"{flag} needs the name of a directory")
    directory = Path(path)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise ValueError(f"cannot write to {flag} {path}: {error.strerror}") from None
    return directory


def prepare_file(flag: str, path: str, out: str | None = None) -> Path:
    """A file to be written later: its directory must admit it, and exist unless it is that of ``--out``, to be made.

    Raises
    ------
    ValueError
        It cannot be written.
    """
    target = Path(path)
    made = out is not None and not target.parent.exists() and target.parent.resolve() == Path(out).resolve()
    ready = target.parent.is_dir() and os.access(target.parent, os.W_OK)
    if not path.strip() or (target.exists() and not target.is_file()) or not (ready or made):
        raise ValueError(f"cannot write to {flag} {path!r}")
    return target


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8 so that readers see the old one or the whole new one; names that are no text show as ?."""
    from ..problem.files import replace_file

    replace_file(path, text.encode(errors="replace"))


def columns_text(columns: Mapping[str, np.ndarray]) -> str:
    """A CSV table of columns of equal length."""
    return csv_text(list(columns), zip(*(column.tolist() for column in columns.values()), strict=True))


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A CSV table; None and non-finite numbers are empty cells."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if strict(item) is None else item for item in row])
    return buffer.getvalue()
