"""Results as JSON and arrays, and back: what is stored is data, and nothing in it is executed.

    None, booleans, texts, whole numbers    themselves
    floats                                  themselves; ``{"float": "inf"}`` where JSON has no number
    lists                                   themselves
    tuples and dicts                        ``{"tuple": [...]}``, ``{"dict": {...}}``
    arrays                                  ``{"array": NAME}``, a member of the archive beside the JSON
    objects                                 ``{"class": NAME, "fields": {...}}``
    an object once more                     ``{"object": NAME}``, where the first one was

Only classes that a ``Codec`` was given are taken apart and made again; names say where a value is, as in
``predictions.0.flow.loss``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .._types import Array

LARGEST = 2**1023  # of whole numbers: those that a double can hold
_FLOATS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


@dataclass(frozen=True)
class Form:
    """How objects of one class are taken apart, into named values, and made again of them."""

    take: Callable[[Any], dict[str, Any]]
    make: Callable[..., Any]


def plain(kind: type) -> Form:
    """The form of a dataclass that its constructor makes of its fields."""
    names = [field.name for field in fields(kind) if field.init]
    return Form(lambda value: {name: getattr(value, name) for name in names}, kind)


class Codec:
    """Encodes and decodes values of ``kinds``, dataclasses, and of the classes that have ``forms`` of their own.

    Attributes
    ----------
    kinds
        Name to class.
    """

    def __init__(self, kinds: Iterable[type], forms: Mapping[type, Form]) -> None:
        self._forms = {kind: plain(kind) for kind in kinds} | dict(forms)
        self.kinds = {kind.__name__: kind for kind in self._forms}

    def encode(self, value: Any) -> tuple[Any, dict[str, Array]]:
        """A JSON-ready document, without NaN and infinities, and the arrays that it names.

        Raises
        ------
        ValueError
            Something in it cannot be stored; the message says what and where.
        """
        arrays: dict[str, Array] = {}
        return self._encoded(value, "", arrays, {}), arrays

    def _encoded(self, value: Any, name: str, arrays: dict[str, Array], seen: dict[int, str]) -> Any:
        def inside(part: Any, key: object) -> Any:
            return self._encoded(part, _joined(name, key), arrays, seen)

        if value is None or isinstance(value, str | bool | np.bool_):
            return bool(value) if isinstance(value, np.bool_) else value
        if isinstance(value, int | np.integer) and abs(int(value)) < LARGEST:
            return int(value)
        if isinstance(value, float | np.floating):
            return float(value) if np.isfinite(value) else {"float": str(float(value))}
        if isinstance(value, list):
            return [inside(part, i) for i, part in enumerate(value)]
        if isinstance(value, tuple):
            return {"tuple": [inside(part, i) for i, part in enumerate(value)]}
        if isinstance(value, dict) and all(isinstance(key, str) and key for key in value):
            return {"dict": {key: inside(part, key) for key, part in value.items()}}
        if type(value) is np.ndarray and not value.dtype.hasobject:
            arrays[name] = value
            return {"array": name}
        form = self._forms.get(type(value))
        if form is None:
            raise ValueError(f"{name or 'this'} is of type {type(value).__name__}, which cannot be stored")
        if id(value) in seen:
            return {"object": seen[id(value)]}
        parts = {key: inside(part, key) for key, part in form.take(value).items()}
        seen[id(value)] = name
        return {"class": type(value).__name__, "fields": parts}

    def decode(self, document: Any, arrays: Mapping[str, Array]) -> Any:
        """The value of a document and its arrays.

        Raises
        ------
        ValueError
            They are not what ``encode`` makes of the classes known here.
        """
        return self._decoded(document, "", arrays, {})

    def _decoded(self, document: Any, name: str, arrays: Mapping[str, Array], seen: dict[str, Any]) -> Any:
        def inside(part: Any, key: object) -> Any:
            return self._decoded(part, _joined(name, key), arrays, seen)

        if document is None or isinstance(document, str | bool | float):
            return document
        if isinstance(document, int) and abs(document) < LARGEST:
            return document
        if isinstance(document, list):
            return [inside(part, i) for i, part in enumerate(document)]
        match document:
            case {"float": str(text)} if text in _FLOATS:
                return _FLOATS[text]
            case {"tuple": list(parts)}:
                return tuple(inside(part, i) for i, part in enumerate(parts))
            case {"dict": dict(parts)}:
                return {key: inside(part, key) for key, part in parts.items()}
            case {"array": str(member)} if member in arrays:
                return arrays[member]
            case {"object": str(place)} if place in seen:
                return seen[place]
            case {"class": str(kind), "fields": dict(parts)}:
                if kind not in self.kinds:
                    raise ValueError(f"{name or 'it'} is of type {kind!r}, which is not known here")
                values = {key: inside(part, key) for key, part in parts.items()}
                try:
                    seen[name] = self._forms[self.kinds[kind]].make(**values)
                except TypeError as error:
                    raise ValueError(f"{name or 'it'} is no {kind} of this version ({error})") from None
                return seen[name]
        raise ValueError(f"{name or 'it'} is not of a form that is stored")


def _joined(name: str, key: object) -> str:
    """The name of a part, another for each; also one of a file in an archive."""
    word = re.sub(r"[^0-9A-Za-z_]", lambda match: f"%{ord(match[0]):X};", str(key))
    return f"{name}.{word}" if name else word
