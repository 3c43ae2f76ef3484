"""One look for every figure: Okabe–Ito colours, each doubled by a line style and a marker.

Colours differ in lightness as far as the palette allows; where they do not, line style and
marker tell series apart in grey.  Text is mathtext; vector files carry no dates.

Source of the palette: Okabe & Ito 2008, *Color Universal Design*.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

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

_RC: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "figure.dpi": 150,
    "savefig.dpi": 200,
    "svg.hashsalt": "sgd-emergence",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib settings of the house, for the duration of a ``with`` block."""
    with plt.rc_context(_RC):
        yield


def series(index: int) -> dict[str, Any]:
    """Colour, line style and marker of the ``index``-th series."""
    i = index % len(COLORS)
    return {"color": COLORS[i], "linestyle": DASHES[i], "marker": MARKERS[i]}


def save(figure: Figure, path: Path, metadata: dict[str, str]) -> None:
    """Write PNG, PDF or SVG with reproducible bytes and the given metadata; closes the figure."""
    kind = path.suffix[1:]
    if kind == "pdf":
        facts: dict[str, Any] = {
            "CreationDate": None,
            "Keywords": "; ".join(f"{k}={v}" for k, v in metadata.items()),
        }
    elif kind == "svg":
        facts = {"Date": None, "Description": "; ".join(f"{k}={v}" for k, v in metadata.items())}
    else:
        facts = dict(metadata)
    with plt.rc_context(_RC):
        figure.savefig(path, metadata=facts)
    plt.close(figure)
