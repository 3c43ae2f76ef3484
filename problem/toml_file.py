"""Reading TOML: what is not a document of plain numbers and texts is refused in one line."""

from __future__ import annotations

import tomllib
from importlib.resources.abc import Traversable
from typing import Any

MAX_BYTES = 10**7  # beyond is no file of settings, or one without end
MAX_DEPTH = 32  # tables and lists within each other
LARGEST = 2**63  # the integers of TOML have 64 bits


def read_toml(source: Traversable, name: str) -> dict[str, Any]:
    """The document in a file, called ``name`` in messages.

    Raises
    ------
    ValueError
        Unreadable, longer than ``MAX_BYTES``, not TOML, nested deeper than ``MAX_DEPTH``, or a whole number of more
        than 64 bits.
    """
    try:
        with source.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}") from None
    except ValueError as error:  # a null character in the name
        raise ValueError(f"cannot read {name}: {error}") from None
    if len(content) > MAX_BYTES:
        raise ValueError(f"{name} has more than {MAX_BYTES} bytes")
    try:
        document = tomllib.loads(content.decode("utf-8-sig"))  # a byte-order mark is no content
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
