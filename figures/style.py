"""One look for every figure: Okabe–Ito colours, each doubled by a line style and a marker.

Nothing of the caller's matplotlib is read or changed: every picture starts from matplotlib's own defaults, whatever
a ``matplotlibrc`` says, and is a bare ``Figure``, which no backend and no pyplot state knows of.

Colours differ in lightness as far as the palette allows; where they do not, line style and
marker tell series apart in grey.  Text is mathtext; vector files carry no dates.  Slides are read
from afar: there text, lines and markers are ``SLIDE`` times as large, so leave their sizes to the style.

Source of the palette: Okabe & Ito 2008, *Color Universal Design*.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ..problem.files import replace_file

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (6, 1.5, 1, 1.5)),
    (0, (3, 1)),
    (0, (8, 2)),
    "-",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTHS = {"column": 3.4, "text": 7.0, "slide": 11.0}  # inches
SLIDE = 1.5

_RC: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "figure.dpi": 150,
    "savefig.dpi": 200,
    "svg.hashsalt": "sgd-emergence",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}
_POINTS = (
    "font.size", "axes.titlesize", "legend.fontsize", "axes.linewidth", "lines.linewidth", "lines.markersize",
)  # fmt: skip


@contextmanager
def house_style(width: str = "text") -> Iterator[None]:
    """Matplotlib settings of the house at one of ``WIDTHS``, for the duration of a ``with`` block."""
    factor = SLIDE if width == "slide" else 1.0
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC | {name: factor * _RC[name] for name in _POINTS})
        yield


class Picture(Figure):
    """A figure that Jupyter shows, without a backend."""

    def _repr_png_(self) -> bytes:
        return rendered(self, "png", {})


def page(width: str, height: float) -> Picture:
    """An empty figure of one of ``WIDTHS``, ``height`` widths high."""
    inches = WIDTHS[width]
    return Picture(figsize=(inches, height * inches), layout="constrained")


def panels(width: str, count: int, *, tall: float, flat: float) -> tuple[Figure, list[Axes]]:
    """Panels one below the other in a column, ``tall`` widths high in all; else side by side, ``flat`` widths high."""
    column = width == "column"
    figure = page(width, tall if column else flat)
    axes = figure.subplots(*((count, 1) if column else (1, count)), squeeze=False)
    return figure, list(axes.flat)


def series(index: int) -> dict[str, Any]:
    """Colour, line style and marker of the ``index``-th series."""
    i = index % len(COLORS)
    return {"color": COLORS[i], "linestyle": DASHES[i], "marker": MARKERS[i]}


def label_decades(*axes: Axis) -> None:
    """Label log axes, limits set, at their decades, below two decades at 1, 2, 5; no label at minor ticks."""
    for axis in axes:
        low, high = axis.get_view_interval()
        if high < 100 * low:
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def label_at(
    axis: Axes, text: str, at: tuple[float, float], offset: tuple[float, float] = (0, 0), **look: Any
) -> Annotation:
    """Text on a white ground at a point of the data, moved by ``offset`` points; left and centred unless told."""
    settings: dict[str, Any] = {"ha": "left", "va": "center", "zorder": 5} | look
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    return axis.annotate(text, at, xytext=offset, textcoords="offset points", bbox=ground, **settings)


def save(figure: Figure, path: Path, metadata: dict[str, str]) -> None:
    """Write PNG, PDF or SVG, by the path's suffix."""
    replace_file(path, rendered(figure, path.suffix[1:], metadata))


def rendered(figure: Figure, kind: str, metadata: dict[str, str]) -> bytes:
    """The figure as ``png``, ``pdf`` or ``svg``, reproducible, with the given metadata."""
    if kind == "pdf":
        facts: dict[str, Any] = {
            "CreationDate": None,
            "Keywords": "; ".join(f"{k}={v}" for k, v in metadata.items()),
        }
    elif kind == "svg":
        facts = {"Date": None, "Description": "; ".join(f"{k}={v}" for k, v in metadata.items())}
    else:
        facts = dict(metadata)
    picture = io.BytesIO()
    with house_style():
        figure.savefig(picture, format=kind, metadata=facts)
    return picture.getvalue()
