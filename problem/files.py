"""Files that are whole or absent, and archives that notice what was changed in them.

Readers see the old file or the new one, a killed writer damages neither.  An archive is a plain NumPy
``.npz`` with two members beside its arrays: ``identity``, JSON text that says what the numbers belong to, and
``digest``, a SHA-256 of all the others.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .._types import Array
from .._version import __version__

_IDENTITY, _DIGEST = "identity", "digest"


def replace_file(path: Path, content: bytes) -> None:
    """Write a file by way of ``STEM.PID.part`` beside it, which only a killed process leaves behind.

    Raises
    ------
    OSError
        It cannot be written, as on a full disk; the message names it.
    """
    part = path.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(f"cannot write {path}: {error.strerror or error}") from error
        raise


def archive(arrays: dict[str, Array], identity: dict[str, Any]) -> bytes:
    """The arrays as a NumPy ``.npz`` archive that says what it is, ``identity`` JSON-ready.

    Raises
    ------
    ValueError
        An array has the name of one of the two members beside them.
    """
    taken = next((name for name in (_IDENTITY, _DIGEST) if name in arrays), None)
    if taken is not None:
        raise ValueError(f"an array cannot be called {taken!r}")
    members = {name: np.asarray(value) for name, value in arrays.items()}
    members[_IDENTITY] = np.array(json.dumps(identity, sort_keys=True))
    members[_DIGEST] = np.array(array_digest(members))
    buffer = io.BytesIO()
    np.savez(buffer, **members)  # type: ignore[arg-type]
    return buffer.getvalue()


def read_archive(content: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """Arrays and identity of an ``archive`` (bytes: of a damaged file NumPy would leave the handle open).

    Raises
    ------
    ValueError
        It is not one, or damaged.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            if not isinstance(saved, np.lib.npyio.NpzFile):
                raise ValueError("it is not a NumPy archive")
            members = {name: saved[name] for name in saved.files}
        if str(members.pop(_DIGEST)) != array_digest(members):
            raise ValueError("its content does not match its digest")
        return members, json.loads(str(members.pop(_IDENTITY)))
    except KeyError as error:
        raise ValueError(f"it has no member {error}") from None
    except Exception as error:  # of a dozen kinds, by zipfile, zlib, and the tokenizer that reads NumPy's headers
        raise ValueError(str(error) or "it is empty") from None


def array_digest(members: dict[str, Array]) -> str:
    """SHA-256 of names, types, shapes and contents."""
    found = hashlib.sha256()
    for name in sorted(members):
        value = np.ascontiguousarray(members[name])
        found.update(f"{name} {value.dtype.str} {members[name].shape}\n".encode() + value.tobytes())
    return found.hexdigest()


def rows_digest(rows: Array | None) -> str | None:
    """SHA-256 of the numbers of given initial directions, in C order: what a run is known by; None of random ones."""
    return None if rows is None else hashlib.sha256(rows.tobytes()).hexdigest()


def kept_path(directory: Path, name: str, facts: Any) -> Path:
    """The archive of the numbers that JSON-ready ``facts`` define."""
    return directory / f"{name}-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]}.npz"


def kept(directory: Path, name: str, facts: Any, compute: Callable[[], dict[str, Array]]) -> dict[str, Array]:
    """The numbers that ``facts`` define: from their archive in ``directory``, or computed and put there.

    Raises
    ------
    ValueError
        The file is damaged, or holds other numbers; the message names it.
    """
    path = kept_path(directory, name, facts)
    if path.exists():
        try:
            arrays, identity = read_archive(path.read_bytes())
            if identity != {"facts": json.loads(json.dumps(facts))}:
                raise ValueError("it belongs to other settings")
        except (ValueError, OSError) as error:
            raise ValueError(f"{path} is damaged; delete it to compute again ({error})") from None
        return arrays
    found = compute()
    directory.mkdir(parents=True, exist_ok=True)
    replace_file(path, archive(found, {"facts": facts}))
    return found


@cache
def code_digest() -> str:
    """Hash of the version and of the sources that make numbers: what is kept between runs is kept under it."""
    packages = ("problem", "theory", "simulate", "compare")
    return hashlib.sha256((__version__ + source_digest(*(f"{name}/**/*.py" for name in packages))).encode()).hexdigest()


@cache
def source_digest(*patterns: str) -> str:
    """Hash of the sources of the package that match one of these patterns of paths."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for pattern in patterns:
        for source in sorted(root.glob(pattern)):
            digest.update(source.name.encode() + b"\n" + source.read_bytes())
    return digest.hexdigest()
