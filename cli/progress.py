"""Progress on stderr with rate and time left, when stderr is a terminal (extra ``progress``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from .terminal import tell


@contextmanager
def progress(total: int, label: str, unit: str) -> Iterator[Callable[[int], None] | None]:
    """Yield a callback that takes the amount done since the last call; None without a terminal."""
    with _bar(total, label, unit) as bar:
        yield None if bar is None else bar.update


@contextmanager
def sweep_progress() -> Iterator[Callable[[int, int, int], None] | None]:
    """Yield a callback that takes how many points are done, failed, and to be computed; None without a terminal."""
    with ExitStack() as stack:
        bars: list[Any] = []

        def report(done: int, failed: int, missing: int) -> None:
            if not missing:
                return
            if not bars:  # how many are missing is known with the first call
                bars.append(stack.enter_context(_bar(missing, "sweep", "point")))
            (bar,) = bars
            if bar is not None:
                if failed:
                    bar.set_postfix_str(f"{failed} failed", refresh=False)
                bar.n = done + failed
                bar.refresh()

        yield report if sys.stderr.isatty() else None


@contextmanager
def _bar(total: int, label: str, unit: str) -> Iterator[Any]:
    """A bar of tqdm; None without a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        from tqdm import tqdm
    except ImportError:
        tell(f"{label} … (install sgd-emergence[progress] to see a rate and the time left)")
        yield None
        return
    with tqdm(total=total, desc=label, unit=unit, unit_scale=unit == "samples", file=sys.stderr, leave=False) as bar:
        yield bar
