"""Checks of single arguments, each with one clear sentence when it fails."""

from __future__ import annotations

from typing import Any

import numpy as np

LARGEST = 1e100  # of a number that is squared


def is_real_number(value: Any) -> bool:
    """Is it a real number of a type that a double can hold?  (``True`` and complex numbers are not.)"""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return not isinstance(value, int) or abs(value) < 2**1023


def positive_integer(name: str, value: Any) -> int:
    """``value`` as an int ≥ 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer, but is {value!r}")
    return int(value)


def nonnegative_integer(name: str, value: Any) -> int:
    """``value`` as an int ≥ 0."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
        raise ValueError(f"`{name}` must be a non-negative integer, but is {value!r}")
    return int(value)


def positive_number(name: str, value: Any) -> float:
    """``value`` as a finite float > 0."""
    if not is_real_number(value) or not 0 < value < np.inf:
        raise ValueError(f"`{name}` must be a positive number, but is {value!r}")
    return float(value)


def nonnegative_number(name: str, value: Any) -> float:
    """A number ≥ 0 as a float, at most ``LARGEST`` so that its square is one too."""
    if not is_real_number(value) or not 0 <= value < np.inf:
        raise ValueError(f"`{name}` must be a non-negative number, but is {value!r}")
    if value > LARGEST:
        raise ValueError(f"`{name}` must be at most {LARGEST:g}, but is {value!r}")
    return float(value)
