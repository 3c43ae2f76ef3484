"""Progress on stderr with rate and time left, when stderr is a terminal (extra ``progress``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    with _bar(0, "sweep", "points") as bar:

        def report(done: int, failed: int, missing: int) -> None:
            bar.total = missing
            if failed:
                bar.set_postfix_str(f"{failed} failed", refresh=False)
            bar.update(done + failed - bar.n)

        yield None if bar is None else report


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
