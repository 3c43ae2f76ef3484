"""Tables of a page, plain ones that also do without style and script.

On a narrow screen each row is a card, its cells labelled by ``data-label`` (``page.css``); since tables that are laid
out otherwise are no tables to some screen readers, every part states its role.  Columns are sorted by ``data-value``
(``page.js``), which is ASCII: numbers as they are computed with, ``Infinity``, and nothing where there is no number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from .typography import number

LONG = 24  # rows, beyond which a table scrolls in a box of its own


@dataclass(frozen=True)
class Shown:
    """A number that is shown otherwise than in four digits."""

    value: float
    text: str


Cell = str | int | float | Shown


def table(
    caption: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, words: Sequence[str], look: str
) -> str:
    """A sortable table.

    Parameters
    ----------
    words
        The heads of columns that hold words; the others hold numbers.
    look
        On a narrow screen, ``"lines"`` (of a card, one a cell), ``"tiles"`` (several a line) or ``"plain"`` (a table).
    """
    name = "table-" + "-".join(re.findall(r"\w+", caption.lower())[:4])
    head = "".join(
        f'<th role="columnheader" scope="col" data-kind="{"text" if each in words else "number"}"'
        f"{_kind(each, words)}>{escape(each)}</th>"
        for each in heads
    )
    body = "\n".join(
        '<tr role="row">' + "".join(_cell(*pair, words, i == 0) for i, pair in enumerate(zip(heads, row, strict=True)))
        + "</tr>" for row in rows
    )  # fmt: skip
    long = ' long" tabindex="0' if len(rows) > LONG else ""
    return (
        f'<div class="box{long}" role="region" aria-labelledby="{name}">\n<table class="{look}" role="table">'
        f'<caption id="{name}">{escape(caption)}</caption>\n<thead role="rowgroup"><tr role="row">{head}'
        f'</tr></thead>\n<tbody role="rowgroup">\n{body}\n</tbody></table></div>'
    )


def _kind(head: str, words: Sequence[str]) -> str:
    return ' class="text"' if head in words else ""


def _cell(head: str, cell: Cell, words: Sequence[str], first: bool) -> str:
    shown, key = cell_texts(cell)
    start = '<th role="rowheader" scope="row"' if first else '<td role="cell"'
    label = "" if first else f' data-label="{escape(head)}"'
    return f'{start}{_kind(head, words)}{label} data-value="{escape(key)}">{escape(shown)}</{"th" if first else "td"}>'


def cell_texts(cell: Cell) -> tuple[str, str]:
    """What a cell shows, and what it is sorted by."""
    if isinstance(cell, str):
        return cell or "—", cell
    value, text = (cell.value, cell.text) if isinstance(cell, Shown) else (cell, None)
    if isinstance(value, int):
        return text or str(value), str(value)
    return text or number(value), _javascript(float(value))


def _javascript(value: float) -> str:
    if math.isnan(value):
        return ""
    return repr(value) if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def yes(value: Any) -> str:
    """``yes`` or ``no``."""
    return "yes" if value else "no"
