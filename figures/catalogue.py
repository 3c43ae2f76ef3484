"""The figures there are, and how one is made: computed once, kept by content, drawn at any width.

A figure is a file of this package that states

    SUMMARY     one line
    SIZES       {"full": {...}, "quick": {...}}: everything that decides the data but the seed, JSON-ready
    SECONDS     {"full": s, "quick": s}: run time on two cores
    compute(sizes, seed) -> dict of arrays
    draw(data, width) -> Figure
    check(sizes)        if there is something to refuse that ``compute`` would find out late
    animate(data, width) -> FuncAnimation        if it can move

``compute`` knows no matplotlib and ``draw`` computes nothing, so a figure can be restyled without a run, and
``Recipe.changed`` replaces entries of the sizes.  Data are kept as ``.npz`` in one folder for all outputs, under a hash
of the sizes, the seed, the code that makes numbers in the other packages, and ``compute`` with what it uses of this
folder (``figures.fingerprint``): what would change them makes them anew.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.animation import FuncAnimation
from matplotlib.figure import Figure

from .._types import Array
from .._version import __version__
from ..problem.checks import nonnegative_integer
from ..problem.files import code_digest, kept
from .fingerprint import numbers_source
from .settings import check_room, with_settings
from .style import WIDTHS, house_style, points

Data = dict[str, Array]

NAMES = (
    "emergence",
    "overlay",
    "overlay_direct",
    "transition_times",
    "time_scaling",
    "sample_scaling",
    "width_scaling",
    "compute_frontier",
    "sgd_frontier",
    "dimension",
    "phase_diagram",
    "calibration",
    "schedules",
    "sharpness",
    "overlaps",
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
    check: Callable[[dict[str, Any]], None]
    animate: Callable[[Data, str], FuncAnimation] | None
    code: str
    drawing: str

    def changed(self, size: str, given: Mapping[str, Any]) -> Recipe:
        """The same with other numbers at one size; what is not given stays.

        Raises
        ------
        ValueError
            A setting that the figure does not have, that its theory does not hold for, or too large for memory.
        """
        sizes = with_settings(self.name, self.sizes[size], given)
        check_room(sizes)
        self.check(sizes)
        return replace(self, sizes=self.sizes | {size: sizes})

    def facts_of_data(self, size: str, seed: int) -> list[Any]:
        """What the data are kept under: what would change them."""
        return [self.sizes[size], seed, code_digest(), self.code]

    def data(self, size: str, seed: int, cache: Path) -> Data:
        """The data, computed unless they are in ``cache``; a file there is whole or absent."""
        facts = self.facts_of_data(size, seed)
        return kept(cache, self.name, facts, lambda: self.compute(self.sizes[size], seed))

    def figure(self, data: Data, size: str, width: str) -> Figure:
        """The drawing; a preview says that it is one."""
        figure = self.draw(data, width)
        if size == "quick":
            with house_style(width):
                figure.supxlabel("preview (reduced sizes)", x=0.995, ha="right", fontsize=points(6), color="0.45")
        return figure

    def facts(self, size: str, seed: int) -> dict[str, str]:
        """Metadata of the files."""
        return {
            "Title": self.summary,
            "problem": json.dumps(self.sizes[size], sort_keys=True),
            "seed": str(seed),
            "version": __version__,
            "code": self.drawn_by,
        }

    @property
    def drawn_by(self) -> str:
        """Digest of the code of this folder that computes and draws: a picture of another one is stale."""
        return hashlib.sha256(f"{self.code}\n{self.drawing}".encode()).hexdigest()[:16]


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
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    return Recipe(
        name, module.SUMMARY, module.SIZES, module.SECONDS, module.compute, module.draw,
        getattr(module, "check", _nothing), getattr(module, "animate", None),
        numbers_source(source), numbers_source(source, "draw"),
    )  # fmt: skip


def _nothing(sizes: dict[str, Any]) -> None:
    """There is nothing to refuse."""


def draw(
    name: str, *, width: str = "text", quick: bool = False, seed: int = 0, cache: str | Path | None = None, **own: Any
) -> Figure:
    """A figure of the catalogue, with numbers of one's own.

    Parameters
    ----------
    name
        One of ``NAMES``.
    width
        One of ``figures.style.WIDTHS``.
    quick
        Start from the sizes of the preview.
    seed
        Of all random streams.
    cache
        Where data are kept; ``default_cache()`` where None.
    own
        Settings in place of the figure's (``recipe(name).sizes``); of a table, those that are given.

    Raises
    ------
    ValueError
        A name, a width or a setting that there is not, or that the theory does not hold for.
    """
    size = "quick" if quick else "full"
    item = recipe(name).changed(size, own)
    data = item.data(size, nonnegative_integer("seed", seed), default_cache() if cache is None else Path(cache))
    return item.figure(data, size, checked_width(width))


def checked_width(width: str) -> str:
    """One of ``WIDTHS``, or a ``ValueError``."""
    if width not in WIDTHS:
        raise ValueError(f"`width` must be one of {', '.join(WIDTHS)}, but is {width!r}")
    return width


def default_cache() -> Path:
    """The user's folder for what can be computed again: ``$XDG_CACHE_HOME``, else ``~/.cache``, and in it our own.

    Raises
    ------
    ValueError
        There is no home.
    """
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        raise ValueError("there is no home directory to keep the data in; name a directory for them") from None
    return Path(home) / "sgd-emergence"
