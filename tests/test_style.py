"""Pictures leave the caller's matplotlib alone, and are left alone by it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest

from emergence.figures.style import SLIDE, WIDTHS, house_style, panels, rendered, series

HOSTILE = """
font.size: 23
font.family: monospace
axes.facecolor: yellow
axes.grid: True
axes.prop_cycle: cycler('color', ['red'])
lines.linewidth: 9
xtick.major.size: 14
ytick.labelsize: 20
xtick.direction: in
legend.fancybox: False
mathtext.fontset: stix
axes.formatter.use_mathtext: True
savefig.facecolor: green
savefig.bbox: tight
figure.constrained_layout.h_pad: 1
image.cmap: gray
path.simplify_threshold: 1.0
errorbar.capsize: 7
"""
DRAW = """
import sys
from pathlib import Path
from emergence.figures import recipe
from emergence.figures.style import save
item = recipe("spectra")
data = item.data("quick", 0, Path(sys.argv[1]) / "data")
for width in ("column", "slide"):
    save(item.figure(data, "quick", width), Path(sys.argv[1]) / f"{sys.argv[2]}-{width}.png", {})
"""
BACKEND = """
import sys
import matplotlib
matplotlib.use("svg")
before = dict(matplotlib.rcParams)
import emergence.figures.overlay
from emergence.figures import NAMES, recipe
from emergence.figures.style import panels, house_style, rendered
recipes = [recipe(name) for name in NAMES]
with house_style("slide"):
    figure, _ = panels("slide", 2, tall=1, flat=0.5)
rendered(figure, "png", {})
assert matplotlib.get_backend() == "svg", matplotlib.get_backend()
assert dict(matplotlib.rcParams) == before
assert "matplotlib.pyplot" not in sys.modules
"""


def python(code: str, *words: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words], capture_output=True, text=True,
        env=dict(os.environ) | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_neither_backend_nor_settings_nor_pyplot_are_touched() -> None:
    python(BACKEND)


def test_a_hostile_matplotlibrc_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "matplotlibrc").write_text(HOSTILE, encoding="utf-8")
    python(DRAW, str(tmp_path), "mine", MATPLOTLIBRC=str(tmp_path / "matplotlibrc"))
    monkeypatch.setattr(sys, "argv", ["-c", str(tmp_path), "house"])
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        exec(DRAW, {})
    for width in ("column", "slide"):
        mine, house = ((tmp_path / f"{name}-{width}.png").read_bytes() for name in ("mine", "house"))
        assert mine == house and len(mine) > 10_000


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("width", WIDTHS)
def test_panels_are_one_below_the_other_in_a_column_else_side_by_side(width: str, count: int) -> None:
    figure, axes = panels(width, count, tall=2.0, flat=0.5)
    assert len(axes) == len(figure.axes) == count
    assert tuple(figure.get_size_inches()) == (WIDTHS[width], WIDTHS[width] * (2.0 if width == "column" else 0.5))
    figure.draw_without_rendering()
    boxes = [axis.get_position() for axis in axes]
    for before, after in itertools.pairwise(boxes):
        assert after.y1 < before.y0 if width == "column" else after.x0 > before.x1


@pytest.mark.parametrize(("width", "factor"), [("text", 1.0), ("slide", SLIDE)])
def test_tick_labels_have_the_size_of_their_width_in_the_file(width: str, factor: float) -> None:
    """Ticks are made when the picture is written, long after it was drawn."""
    with house_style(width):
        figure, (axis,) = panels(width, 1, tall=1, flat=0.5)
        axis.plot([0, 1], [0, 1], **series(0))
    rendered(figure, "png", {})
    sizes = {label.get_fontsize() for label in [*axis.get_xticklabels(), *axis.get_yticklabels()]}
    assert sizes == {8 * factor}
