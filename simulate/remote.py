"""Drive a stack of runs in another process.

For samplers whose Python code holds the interpreter's lock (leap); compiled ones share threads.
The worker is a fresh interpreter, not a child of
``multiprocessing``, which would import the caller's script again and run it twice where that has
no ``__main__`` guard.  Pickles over pipes: jobs go in, and for each come back numbers of samples
done and at last ``("done", result)`` or ``("failed", exception)``.  The worker ignores interrupts
of the terminal; it stops at a word from its parent, having saved, or at once when the parent is gone.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from contextlib import suppress
from typing import Any

from .drive import Interrupted, Progress, drive

_STOP = "stop"
_DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # before imports take their time


class Worker:
    """A process that drives stacks, one at a time."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}
        for library in ("OPENBLAS", "OMP", "MKL"):  # as many processes as cores: one BLAS thread each
            environment[f"{library}_NUM_THREADS"] = "1"
        self._process = subprocess.Popen(
            # -P: a file beside the caller's script must not hide a package of the same name
            [sys.executable, "-P", "-c", f"{_DEAF}; from emergence.simulate.remote import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def drive(self, job: bytes, progress: Progress | None, stopping: threading.Event) -> Any:
        """What ``simulate.drive.drive`` returns or raises for the pickled arguments ``job``.

        Raises
        ------
        ChildProcessError
            The worker process died.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        finished = threading.Event()
        watcher = threading.Thread(target=self._tell, args=(stopping, finished))
        watcher.start()
        try:
            self._send(job)
            while True:
                kind, value = pickle.load(self._process.stdout)
                if kind == "progress":
                    if progress is not None:
                        progress(value)
                elif kind == "failed":
                    raise value
                else:
                    return value
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise ChildProcessError(f"a worker process died (exit status {self._process.wait()})") from error
        finally:
            finished.set()
            watcher.join()

    def _tell(self, stopping: threading.Event, finished: threading.Event) -> None:
        while not finished.is_set():
            if stopping.wait(0.05):
                with suppress(OSError):  # a worker that is gone needs no word
                    self._send(pickle.dumps(_STOP))
                return

    def _send(self, message: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(message)
        self._process.stdin.flush()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def main() -> None:
    """Serve jobs from stdin until it ends."""
    jobs, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing else may write to the pipe
    stopping = threading.Event()
    arrived: list[Any] = []
    ready = threading.Condition()

    def answer(kind: str, value: Any) -> None:
        pickle.dump((kind, value), answers)
        answers.flush()

    def listen() -> None:
        while True:
            try:
                message = pickle.load(jobs)
            except EOFError:
                os._exit(0)  # the parent is done, or gone: nobody waits for what is running
            if message == _STOP:
                stopping.set()
            else:
                with ready:
                    arrived.append(message)
                    ready.notify()

    threading.Thread(target=listen, daemon=True).start()
    while True:
        with ready:
            ready.wait_for(lambda: bool(arrived))
            positional, keywords = arrived.pop()
        try:
            progress = lambda count: answer("progress", count)  # noqa: E731
            answer("done", drive(*positional, **keywords, progress=progress, stopping=stopping))
        except (Interrupted, Exception) as error:
            answer("failed", error)
