"""Is every text of a picture whole, and free of other texts, curves and points?"""

from __future__ import annotations

import itertools
from collections.abc import Collection

import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from emergence.figures.style import WIDTHS

# a slide is a page enlarged, with some more room
LAYOUTS = [pytest.param(width, marks=[pytest.mark.slow] * (width == "slide")) for width in WIDTHS]


def visible_texts(figure: Figure) -> list[tuple[Text, Bbox]]:
    """Every text that is drawn, with its place in pixels; of an annotation, without its arrow and offset."""
    figure.draw_without_rendering()
    outside = set()
    for axis in (each for axes in figure.axes for each in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low <= tick.get_loc() <= high:
                outside |= {tick.label1, tick.label2}
    found = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in outside]
    return [(text, Text.get_window_extent(text)) for text in found]


def assert_readable(figure: Figure, *, slack: float = 0.0, crowded: Collection[Text] = ()) -> list[tuple[Text, Bbox]]:
    """No text is clipped by the page, but for ``slack`` pixels; none lies on another or on data but ``crowded`` ones.

    Data are lines and markers; bands are there to be written on.  Returns every text that is drawn, with its place.
    """
    texts, page = visible_texts(figure), figure.bbox.padded(slack)
    for text, box in texts:
        inside = page.x0 <= box.x0 and page.y0 <= box.y0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, f"{text.get_text()!r} at {box} is clipped by {page}"
    free = [(text, box) for text, box in texts if text not in crowded]
    for (one, box), (other, other_box) in itertools.combinations(free, 2):
        # 1 px²: touching boxes of neighbouring tick labels
        assert shared_area(box, other_box) <= 1, f"{one.get_text()!r} overlaps {other.get_text()!r}"

    for axis in figure.axes:
        for line in axis.lines:
            marked = line.get_marker() not in ("None", "", None)
            margin = 0.5 * line.get_markersize() * figure.dpi / 72 * marked - 1  # 1 px: of a letter
            path = line.get_transform().transform_path(line.get_path()).cleaned(remove_nans=True)
            for text, box in free:
                seen = Bbox.intersection(box.padded(margin), axis.bbox) if line.get_clip_on() else box.padded(margin)
                if seen is not None and line.get_visible() and len(path.vertices):
                    assert not _touches(line, path, seen), f"{text.get_text()!r} lies on {line.get_label()!r}"
    return texts


def _touches(line: Line2D, path: Path, box: Bbox) -> bool:
    if line.get_linestyle() == "None":
        x, y = path.vertices[:-1].T  # the last ends the path
        return bool(((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).any())
    return bool(path.intersects_bbox(box, filled=False))


def shared_area(one: Bbox, other: Bbox) -> float:
    """In square pixels."""
    wide, high = min(one.x1, other.x1) - max(one.x0, other.x0), min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, wide) * max(0.0, high)
