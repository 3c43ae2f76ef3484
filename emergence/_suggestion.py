"""Did you mean …?"""

from __future__ import annotations

from collections.abc import Iterable


def suggestion(word: str, known: Iterable[str]) -> str:
    """``"; did you mean …?"`` with the name that is most like ``word``, empty where none is."""
    from difflib import get_close_matches  # where it is needed alone: the command line starts at once

    found = get_close_matches(word, list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""
