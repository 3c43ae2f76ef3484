"""The two events of a direction p, their thresholds, and how far past them a state is.

    alignment   max_k r_kp² ≥ ½                 some student points along v*_p
    recovery    Σ_k n_k r_kp² ≥ a_p/2           the learned strength is half of what it will be

A transition is a first passage of one of them, as a flow time; a direction of strength zero has none.
With both sides of the comparison asking here, a measured and a predicted time are times of the same event.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array

EVENTS = ("alignment", "recovery")
ALIGNED = 0.5  # the squared overlap of alignment
RECOVERED = 0.5  # the share of a_p of recovery


def strengths(n: Array, overlaps: Array) -> Array:
    """Learned strengths ``Σ_k n_k r_kp²``, shape (…, P), from squared norms (…, m) and overlaps (…, m, P)."""
    return np.einsum("...k,...kp->...p", n, overlaps**2)


def middle(values: ArrayLike) -> float:
    """Median that counts inf as later than every time (the mean of 1 and inf is inf)."""
    ordered = np.sort(np.asarray(values, dtype=float).ravel())
    low, high = ordered[(ordered.size - 1) // 2], ordered[ordered.size // 2]
    return float(low) if low == high else float(0.5 * (low + high))


def excess(a: Array, n: Array, overlaps: Array) -> Array:
    """How far past alignment (index 0) and recovery (1) each direction is, ≥ 0 once there; shape (2, …, P).

    Parameters
    ----------
    a
        Strengths of the teacher (P,).
    n, overlaps
        Squared norms (…, m) and overlaps (…, m, P).
    """
    squares = overlaps**2
    learned = np.einsum("...k,...kp->...p", n, squares)
    out = np.empty((2, *learned.shape))
    out[0], out[1] = squares.max(axis=-2) - ALIGNED, learned - RECOVERED * a
    return out
