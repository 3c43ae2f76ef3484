"""Functions compiled by numba (extra ``fast``) and kept, so that later processes start without the compiler.

They are kept beside the file that they stand in, or where numba keeps what has no such place.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any


def numba_available() -> bool:
    """Is the extra ``fast`` installed?  (Importing it takes a second, and would swallow an interrupt.)"""
    return importlib.util.find_spec("numba") is not None


def compiled(**options: Any) -> Callable[[Any], Any]:
    """Decorator of a function of a module, without a closure, compiled with numba's ``options``.

    Without numba the function stays what it is.
    """

    def decorated(function: Any) -> Any:
        if not numba_available():
            return function
        import numba

        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # nowhere to keep it
            return numba.njit(**options)(function)

    return decorated
