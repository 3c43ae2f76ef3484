"""Which student learns which direction, from given initial overlaps: greedy maximum selection.

Alone, a student with overlap r_0 aligns after T ∝ 1/(a_p |r_0|^{k*−2}) (``theory.symbolic_law``), so the
earliest of all transitions is that of the largest score a_p |r_kp(0)|^{k*−2}.  What is learned leaves the
loss, and the student is taken: repeat with the students and directions that are left.  A student takes
part in the direction p only where it moves outward, r φ'(r) > 0.  For k* ≤ 2 the score does not
see r; ties go to the larger overlap.

Source: the rule is that of Ren, Nichani, Wu, Lee 2025, as second-hand summaries state it.  It treats students and
directions as if they were alone, and a direction as closed once it is aligned; what that leaves out is in
``theory.open_selection``.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from .._types import Array
from ..problem.activation import Activation


def assign(activation: Activation, a: Array, overlaps: Array) -> Array:
    """Learning student of each direction by greedy maximum selection, shape (P,); −1 for none.

    Parameters
    ----------
    a
        Strengths (P,); directions with a_p = 0 get none.
    overlaps
        Initial r_kp, shape (m, P).
    """
    exponent = (activation.information_exponent or 2) - 2
    size = np.abs(overlaps)
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0, and 0·log 0 where k* = 2
        score = np.log(a) + max(exponent, 0) * np.log(size)
    outward = activation.phi_slope(overlaps) * overlaps > 0
    score = np.where(outward | (exponent < 0), score, -np.inf)
    order = np.lexsort((-size.ravel(), -score.ravel()))  # ties (k* ≤ 2) go to the larger overlap
    m, P = overlaps.shape
    student, free = np.full(P, -1), np.full(m, True)
    left = min(m, P)
    for flat in order:
        k, p = divmod(int(flat), P)
        if score[k, p] == -np.inf or left == 0:
            break
        if free[k] and student[p] < 0:
            student[p], free[k] = k, False
            left -= 1
    return student


def selected_overlaps(activation: Activation, a: Array, starts: Iterable[Array]) -> Array:
    """Initial overlap of each direction's student for every start r_kp (m, P), shape (starts, P).

    0 where a direction has no student; |r| for an even σ, which does not tell r from −r.
    """
    chosen = np.array([student_overlaps(assign(activation, a, start), start) for start in starts])
    return np.abs(chosen) if activation.parity == "even" else chosen


def student_overlaps(student: Array, overlaps: Array) -> Array:
    """Initial overlap of each direction with its student as ``assign`` gives it, shape (P,); 0 where there is none."""
    return np.where(student >= 0, overlaps[student, np.arange(overlaps.shape[1])], 0.0)
