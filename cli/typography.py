"""Numbers and sentences as a page shows them: −, ∞ and powers of ten; what is computed with keeps its ASCII."""

from __future__ import annotations

import math
import re
from html import escape

from ..compare.texts import NOTHING

_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def typeset(text: str) -> str:
    """A sentence that this package wrote: ``-0.5`` as −0.5, ``inf`` as ∞, ``7e+10`` as 7·10¹⁰."""
    text = re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?\d+)\b", _power, text)
    return re.sub(r"(?<![\w.)])-(?=[\d∞])", "−", re.sub(r"\binf\b", "∞", text))


def _power(number: re.Match[str]) -> str:
    ten = f"10{str(int(number[2])).translate(_RAISED)}"
    return ten if number[1] == "1" else f"{number[1]}·{ten}"


def prose(text: str) -> str:
    """The same as HTML."""
    return escape(typeset(text))


def number(value: float, spec: str = ".4g") -> str:
    """A number in a format such as ``"+.3f"``; a dash where it is none."""
    return NOTHING if math.isnan(value) else typeset(format(value, spec))


def interval(ends: tuple[float, float], spec: str) -> str:
    """``[−0.003, +0.020]``."""
    return NOTHING if any(map(math.isnan, ends)) else f"[{number(ends[0], spec)}, {number(ends[1], spec)}]"


def duration(seconds: float) -> str:
    """``18.9 s``, ``1 min 21 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
