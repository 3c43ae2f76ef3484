"""Progress on stderr with rate and time left, when stderr is a terminal (extra ``progress``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .terminal import tell


@contextmanager
def progress(total: int, label: str, unit: str) -> Iterator[Callable[[int], None] | None]:
    """Yield a callback that takes the amount done since the last call; None without a terminal."""
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
        yield bar.update
