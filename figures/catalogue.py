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

import importlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from .._types import Array
from .._version import __version__
from ..problem.files import code_digest, kept
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

    def facts_of_data(self, size: str, seed: int) -> list[Any]:
        """What the data are kept under: what would change them."""
        return [self.sizes[size], seed, code_digest(), self.code]

    def data(self, size: str, seed: int, cache: Path) -> Data:
        """The data, computed unless they are in ``cache``; a file there is whole or absent."""
        facts = self.facts_of_data(size, seed)
        return kept(cache, f"{self.name}-{size}", facts, lambda: self.compute(self.sizes[size], seed))

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
