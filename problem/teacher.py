"""The teacher's strengths: ``f*(x) = Σ_p a_p σ(v*_p·x)`` with Σ a_p² = 1.

The directions v*_p are orthonormal.  The data is isotropic, so they can be taken as the
first P coordinate axes, and are: ``v*_p·x = x_p``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array
from .checks import is_real_number, positive_integer

MAX_P = 10**6  # strengths that are kept as a tuple


@dataclass(frozen=True, repr=False)
class Teacher:
    """Strengths a_p ≥ 0, normalised to Σ a_p² = 1 whatever their scale on entry.

    Parameters
    ----------
    strengths
        P non-negative finite numbers, not all zero.

    Raises
    ------
    ValueError
        Non-finite, negative or all-zero strengths; not a one-dimensional list.
    """

    strengths: tuple[float, ...]
    beta: float | None = None

    def __init__(self, strengths: ArrayLike | Sequence[float], *, _beta: float | None = None) -> None:
        try:
            if np.asarray(strengths).dtype.kind in "SUc":  # text, complex
                raise TypeError
            values = np.array(strengths, dtype=float)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"`strengths` must be a list of numbers, but is {strengths!r}") from None
        if values.ndim != 1 or values.size == 0:
            raise ValueError(f"`strengths` must be a list of at least one number, but has shape {values.shape}")
        if not np.isfinite(values).all():
            raise ValueError(f"`strengths` must be finite, but holds {values[~np.isfinite(values)][0]}")
        if (values < 0).any():
            raise ValueError(f"`strengths` must not be negative, but holds {values[values < 0][0]:g}")
        if not values.any():
            raise ValueError("`strengths` must not all be zero")
        if values.max() > 1 or abs(np.sum(values**2) - 1) > 1e-15 * values.size:  # else it stays, to the last bit
            values = values / values.max()
            values /= np.linalg.norm(values)
        object.__setattr__(self, "strengths", tuple(values.tolist()))
        object.__setattr__(self, "beta", _beta)

    @classmethod
    def power_law(cls, P: int, beta: float) -> Teacher:
        """``a_p ∝ p^{−β}``, p = 1 … P, normalised."""
        P = positive_integer("P", P)
        if P > MAX_P:
            raise ValueError(f"`P` must be at most {MAX_P}, but is {P}")
        if not is_real_number(beta) or not 0 <= beta <= 100:
            raise ValueError(f"`beta` must be a number between 0 and 100, but is {beta!r}")
        return cls(np.exp(-float(beta) * np.log(np.arange(1, P + 1))), _beta=float(beta))

    @property
    def P(self) -> int:
        """Number of directions."""
        return len(self.strengths)

    @property
    def a(self) -> Array:
        """Strengths as an array of shape (P,)."""
        return np.array(self.strengths)

    def __repr__(self) -> str:
        if self.beta is not None:
            return f"Teacher.power_law(P={self.P}, beta={self.beta!r})"
        return f"Teacher({list(self.strengths)})"
