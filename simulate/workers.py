"""Workers of our own: processes by loky (extra ``workers``), and one BLAS thread for whatever computes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

_blas_lock = threading.Lock()
_blas: list[Any] = [0, None]  # how many are inside, and what gives the threads back


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Tasks side by side want a core each; and products on several threads differ in the last bit from run to run.

    The limit is of the process: it falls when the last thread that is inside leaves.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        yield
        return
    with _blas_lock:
        if not _blas[0]:
            _blas[1] = threadpool_limits(1, user_api="blas")
        _blas[0] += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas[0] -= 1
            if not _blas[0]:
                _blas[1].restore_original_limits()


def processes(count: int) -> Executor | None:
    """An executor of ``count`` processes, one BLAS thread each; None where loky is not installed.

    Ended with ``shutdown(kill_workers=True)``, what runs there is given up.
    """
    try:
        from loky import get_reusable_executor
    except ImportError:
        return None
    environment = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
    with held_back(), _silent_tracker():
        return get_reusable_executor(
            max_workers=count, initializer=_deaf, initargs=(os.getpid(),), env=environment, timeout=60
        )


@contextmanager
def _silent_tracker() -> Iterator[None]:
    """The process that loky starts to remove semaphores does so without a warning when a command ends at once."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, [before, "ignore:resource_tracker:UserWarning"]))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _deaf(parent: int) -> None:
    """A worker does not hear an interrupt from the terminal; and it ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def held_back() -> Iterator[None]:
    """Interrupts wait: what is started inside never hears one, not even before ``_deaf``."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
