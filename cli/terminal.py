"""What the command says: results on stdout, notes on stderr; and what it hears: interrupts.

Nothing that a terminal does not take may cost a result: characters that its encoding lacks are replaced, notes that
nobody can hear are dropped, and a failing stdout is remembered until everything else, files above all, is done.

An interrupt is a ``KeyboardInterrupt`` in the main thread.  Python drops one that is raised while an object is
finalised, as happens while libraries are imported and compile: it is raised again a moment later.  Others make an
error of their own of it: what fails after an interrupt is one.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn, TextIO

AGAIN = 0.05  # seconds until a dropped interrupt is raised again

_failures: list[OSError] = []  # of stdout
_heard: list[type[KeyboardInterrupt]] = []


class Terminated(KeyboardInterrupt):
    """SIGTERM: the end is near, and what is finished is to be saved."""


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


def listen() -> None:
    """Hear interrupts and SIGTERM, also those that are dropped on the way, but none that is to be ignored."""
    plain = sys.unraisablehook

    def dropped(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            plain(lost)
        elif hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, lambda *_: _raise(_heard[-1]))
            signal.setitimer(signal.ITIMER_REAL, AGAIN)

    sys.unraisablehook = dropped
    with suppress(ValueError):  # not in the main thread
        if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: _raise(KeyboardInterrupt))
        if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, lambda *_: _raise(Terminated))


def _raise(kind: type[KeyboardInterrupt]) -> NoReturn:
    _heard.append(kind)
    raise kind


def heed() -> None:
    """Raise the interrupt that was heard, if one was: what failed since may be its doing."""
    if _heard:
        raise _heard[-1]


def farewell(heard: KeyboardInterrupt, *, ours: bool) -> int:
    """Say that an interrupt ended the command, and give its exit code; a process of ours ends here and now."""
    code = 143 if isinstance(heard, Terminated) else 130
    if ours:  # not when a thread has compiled what nobody waits for
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        prepare()
    tell("emergence: terminated" if code == 143 else "emergence: interrupted")
    if ours:
        os._exit(code)
    return code
