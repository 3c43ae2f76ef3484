"""One look for every figure: Okabe–Ito colours, each doubled by a line style and a marker.

Nothing of the caller's matplotlib is read or changed: every picture starts from matplotlib's own defaults, whatever
a ``matplotlibrc`` says, and is a bare ``Figure``, which no backend and no pyplot state knows of.

Colours differ in lightness as far as the palette allows; where they do not, line style and
marker tell series apart in grey.  Text is mathtext; vector files carry no dates.  Slides are read
from afar: there text, lines and markers are ``SLIDE`` times as large, so leave their sizes to the style, or state them
by ``points``.

Source of the palette: Okabe & Ito 2008, *Color Universal Design*.
"""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.animation import FuncAnimation, PillowWriter
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .._types import Array
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

_POINTS = {  # sizes on a page
    "font.size": 8.0, "axes.titlesize": 8.0, "legend.fontsize": 7.0, "legend.title_fontsize": 7.0,
    "figure.titlesize": 8.0,
    "axes.linewidth": 0.7, "lines.linewidth": 1.3, "lines.markersize": 4.0, "lines.markeredgewidth": 0.8,
    "patch.linewidth": 0.8, "hatch.linewidth": 0.8, "axes.titlepad": 5.0, "axes.labelpad": 3.0,
} | {
    f"{axis}tick.{name}": size
    for axis in "xy"
    for name, size in {
        "major.size": 3.5, "major.width": 0.8, "major.pad": 3.0, "minor.size": 2.0, "minor.width": 0.6,
    }.items()
}  # fmt: skip
_RC: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.dpi": 150,
    "savefig.dpi": 200,
    "svg.hashsalt": "sgd-emergence",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


@contextmanager
def house_style(width: str = "text") -> Iterator[None]:
    """Matplotlib settings of the house at one of ``WIDTHS``, for the duration of a ``with`` block."""
    factor = SLIDE if width == "slide" else 1.0
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_RC | {name: factor * size for name, size in _POINTS.items()})
        yield


def points(size: float) -> float:
    """A size in points on a page; ``SLIDE`` times that in the style of a slide."""
    return size * float(matplotlib.rcParams["font.size"]) / _POINTS["font.size"]


class Picture(Figure):
    """A figure that Jupyter shows, without a backend."""

    def _repr_png_(self) -> bytes:
        return rendered(self, "png", {})


def page(width: str, height: float) -> Picture:
    """An empty figure of one of ``WIDTHS``, ``height`` widths high."""
    inches = WIDTHS[width]
    return Picture(figsize=(inches, height * inches), layout="constrained")


def heading(figure: Figure, text: str) -> None:
    """A line above all panels, on a narrow page as many as it takes."""
    figure.suptitle(wrapped(text, figure.get_figwidth()), x=0.01, ha="left")


def wrapped(text: str, inches: float) -> str:
    """The text in lines that are broken at ``", "`` and fit into so many inches."""
    room = inches / (0.0086 * float(matplotlib.rcParams["font.size"]))  # letters
    lines = [""]
    for part in text.split(", "):
        if lines[-1] and _letters(f"{lines[-1]}, {part}") > room:
            lines[-1] += ","
            lines.append(part)
        else:
            lines[-1] += f", {part}" if lines[-1] else part
    return "\n".join(lines)


def _letters(text: str) -> int:
    """About how many letters wide a text with mathtext is."""
    return len(re.sub(r"[${}^_]|\\[a-z]+|\\,", "", text)) + text.count("\\")


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
            axis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
        axis.set_minor_formatter(NullFormatter())


def _tick(value: float) -> str:
    return f"{value:g}" if 1e-3 <= value < 1e5 else f"${power_text(value)}$"


def power_text(value: float) -> str:
    """``3.2·10⁻⁷`` as mathtext without its dollars."""
    digits, power = f"{value:.1e}".split("e")
    digits = digits.removesuffix(".0")
    return f"10^{{{int(power)}}}" if digits == "1" else rf"{digits}\cdot 10^{{{int(power)}}}"


def label_at(
    axis: Axes, text: str, at: tuple[float, float], offset: tuple[float, float] = (0, 0), **look: Any
) -> Annotation:
    """Text at a point of the data, moved by ``offset`` points of a page; left and centred unless told."""
    settings: dict[str, Any] = {"ha": "left", "va": "center", "zorder": 5} | look
    aside = (points(offset[0]), points(offset[1]))
    return axis.annotate(text, at, xytext=aside, textcoords="offset points", **settings)


def number_steps(axis: Axes, times: Array, numbers: Array, heights: tuple[float, ...], *, narrow: bool) -> None:
    """Numbers above steps of a logarithmic time axis, limits set, at the lowest of ``heights`` with room, if any."""
    low, high = np.log(axis.get_xlim())
    free = [-np.inf] * len(heights)
    for i in np.argsort(times):
        if not 0 < times[i] < np.inf:
            continue
        place = (np.log(times[i]) - low) / (high - low)
        room = (0.065 if narrow else 0.04) * (1 + 0.5 * (len(str(numbers[i])) - 1))
        row = next((j for j, taken in enumerate(free) if place - room / 2 > taken), None)
        if row is not None and 0 < place < 0.97:
            axis.text(times[i], heights[row], f"{numbers[i]}", ha="center", va="bottom")
            free[row] = place + room / 2


def save(figure: Figure, path: Path, metadata: dict[str, str]) -> None:
    """Write PNG, PDF or SVG, by the path's suffix."""
    replace_file(path, rendered(figure, path.suffix[1:], metadata))


def rendered(figure: Figure, kind: str, metadata: dict[str, str]) -> bytes:
    """The figure as ``png``, ``pdf`` or ``svg``, reproducible, with the given metadata."""
    stated = "; ".join(f"{k}={v}" for k, v in metadata.items())
    title = {"Title": metadata["Title"]} if "Title" in metadata else {}
    facts: dict[str, Any] = dict(metadata)
    if kind == "pdf":
        facts = {"CreationDate": None, "Keywords": stated} | title
    elif kind == "svg":
        facts = {"Date": None, "Description": stated} | title
    picture = io.BytesIO()
    with house_style():
        figure.savefig(picture, format=kind, metadata=facts)
    return picture.getvalue()


def rendered_animation(animation: FuncAnimation, frames_a_second: int = 8) -> bytes:
    """An animation as GIF."""
    with house_style(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "animation.gif"
        animation.save(path, writer=PillowWriter(fps=frames_a_second), dpi=100)
        return path.read_bytes()
