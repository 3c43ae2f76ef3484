"""The figures there are, and how one is made: computed once, kept by content, drawn at any width.

A figure is a file of this package that states

    SUMMARY     one line
    SIZES       {"full": {...}, "quick": {...}}: everything that decides the data but the seed, JSON-ready
    SECONDS     {"full": s, "quick": s}: run time on two cores
    compute(sizes, seed) -> dict of arrays
    draw(data, width) -> Figure

``compute`` knows no matplotlib and ``draw`` computes nothing, so a figure can be restyled without a run.
Data are kept as ``.npz`` under a hash of the sizes, the seed, the code that makes numbers in the other packages, and
``compute`` with what it uses of its file (``figures.fingerprint``): what would change them makes them anew.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .._types import Array
from .._version import __version__
from ..problem.files import archive, code_digest, read_archive, replace_file
from .fingerprint import numbers_source
from .style import house_style

Data = dict[str, Array]

NAMES = (
    "emergence",
    "overlay",
    "transition_times",
    "time_scaling",
    "sample_scaling",
    "width_scaling",
    "compute_frontier",
    "dimension",
    "phase_diagram",
    "spectra",
    "samplers",
)


@dataclass(frozen=True)
class Recipe:
    """One figure; ``size`` is ``"full"`` or ``"quick"`` (a preview)."""

    name: str
    summary: str
    sizes: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    compute: Callable[[dict[str, Any], int], Data]
    draw: Callable[[Data, str], Figure]
    code: str

    def key(self, size: str, seed: int) -> str:
        """Name of the data file without its suffix."""
        inputs = json.dumps([self.sizes[size], seed, code_digest(), self.code], sort_keys=True)
        return f"{self.name}-{size}-{hashlib.sha256(inputs.encode()).hexdigest()[:12]}"

    def data(self, size: str, seed: int, cache: Path) -> Data:
        """The data, computed unless they are in ``cache``; a file there is whole or absent."""
        path = cache / f"{self.key(size, seed)}.npz"
        if path.exists():
            try:
                return read_archive(path.read_bytes())
            except ValueError as error:
                raise ValueError(f"{path} is damaged; delete it to compute again ({error})") from None
        found = self.compute(self.sizes[size], seed)
        cache.mkdir(parents=True, exist_ok=True)
        replace_file(path, archive(found))
        return found

    def figure(self, data: Data, size: str, width: str) -> Figure:
        """The drawing; a preview says that it is one."""
        figure = self.draw(data, width)
        if size == "quick":
            with house_style(width):
                figure.supxlabel("preview (reduced sizes)", x=0.995, ha="right", fontsize=6, color="0.45")
        return figure

    def facts(self, size: str, seed: int) -> dict[str, str]:
        """Metadata of the files."""
        return {
            "Title": self.summary,
            "problem": json.dumps(self.sizes[size], sort_keys=True),
            "seed": str(seed),
            "version": __version__,
        }


def recipe(name: str) -> Recipe:
    """The figure called ``name``.

    Raises
    ------
    ValueError
        There is none.
    """
    if name not in NAMES:
        raise ValueError(f"there is no figure {name!r}; there are {', '.join(NAMES)}")
    module = importlib.import_module(f".{name}", __package__)
    return Recipe(
        name, module.SUMMARY, module.SIZES, module.SECONDS, module.compute, module.draw,
        numbers_source(Path(str(module.__file__)).read_text(encoding="utf-8")),
    )  # fmt: skip
