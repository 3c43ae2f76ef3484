"""What the command says: results on stdout, notes on stderr.

Nothing that a terminal does not take may cost a result: characters that its encoding lacks are replaced, notes that
nobody can hear are dropped, and a failing stdout is remembered until everything else, files above all, is done.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import TextIO

_failures: list[OSError] = []  # of stdout


def prepare() -> None:
    """Make stdout and stderr take every text; one that was closed leads nowhere, and to no file opened later."""
    _failures.clear()
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
            if name == "stdout":
                _failures.append(OSError(errno.EBADF, os.strerror(errno.EBADF)))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace" if name == "stdout" else "backslashreplace")


def show(text: str) -> None:
    """Print a result and a line feed."""
    try:
        print(text, flush=True)
    except OSError as error:
        _failures.append(error)
        _drop(sys.stdout)


def tell(line: str) -> None:
    """Print a note and a line feed."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)


def warn(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as a note; stands in for ``warnings.showwarning``."""
    tell(f"emergence: warning: {message}")


def settled(code: int) -> int:
    """The exit code in the end: 2, with a line, where stdout did not take a result; a reader that left is no error."""
    error = next((one for one in _failures if not isinstance(one, BrokenPipeError)), None)
    if error is None:
        return code
    tell(f"emergence: error: cannot write to stdout: {error.strerror}")
    return 2


def _drop(stream: TextIO) -> None:
    """From now on, and when the process ends, what is written there is lost quietly."""
    with suppress(OSError, ValueError):  # in a notebook or a test it may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
