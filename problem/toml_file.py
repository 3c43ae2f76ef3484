"""Reading TOML: what is not a document of plain numbers and texts is refused in one line."""

from __future__ import annotations

import tomllib
from importlib.resources.abc import Traversable
from typing import Any

MAX_DEPTH = 32  # tables and lists within each other
LARGEST = 2**63  # the integers of TOML have 64 bits


def read_toml(source: Traversable, name: str) -> dict[str, Any]:
    """The document in a file, called ``name`` in messages.

    Raises
    ------
    ValueError
        Unreadable, not TOML, nested deeper than ``MAX_DEPTH``, or a whole number of more than 64 bits.
    """
    try:
        document = tomllib.loads(source.read_bytes().decode())
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}") from None
    except RecursionError:
        raise ValueError(f"{name} is nested too deep") from None
    except ValueError as error:  # also of UTF-8, and of integers of thousands of digits
        raise ValueError(f"{name} is not valid TOML: {error}") from None
    level: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        items = [item for one in level for item in (one.items() if isinstance(one, dict) else enumerate(one))]
        for key, value in items:
            if isinstance(value, int) and not -LARGEST <= value < LARGEST:
                raise ValueError(f"{name} holds a whole number of more than 64 bits (key {key!r})")
        level = [value for _, value in items if isinstance(value, dict | list)]
        if not level:
            return document
    raise ValueError(f"{name} is nested too deep")
