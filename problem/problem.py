"""A teacher–student problem: what is learned, by whom, from where.

    teacher   f*(x) = Σ_p a_p σ(v*_p·x),   v*_p the first P coordinate axes, Σ a_p² = 1
    student   f(x)  = Σ_k ‖v_k‖² σ(v̄_k·x), v̄_k = v_k/‖v_k‖, k = 1 … m
    data      x ~ N(0, I_d);  loss per sample ℓ = ½ (f* − f)²
    start     v̄_k uniform on the sphere, ‖v_k‖ = init_scale

Source: Ren, Nichani, Wu, Lee 2025 (arXiv 2504.19983), §2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import ArrayLike

from .._types import Array
from .activation import ZERO, Activation
from .checks import positive_integer, positive_number
from .seeds import generator
from .teacher import Teacher

MAX_DIMENSION = 2**53  # a double counts no further
MAX_NUMBERS = 4 * 10**8  # entries of one m × d array: 3 GiB
DRAWN_WHOLE = 2 * 10**7  # up to this m × d the reduced samplers start from rows drawn in full


def numbers_of(directions: ArrayLike) -> Array:
    """A copy of given initial directions, of one run or of several.

    Raises
    ------
    ValueError
        What is no array of real numbers.
    """
    try:
        if np.iscomplexobj(directions):
            raise TypeError
        with np.errstate(all="ignore"):  # numbers of other kinds that are none
            return np.array(directions, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("`directions` must be an array of numbers") from None


@dataclass(frozen=True)
class Problem:
    """Everything that theory and simulation need to know, validated and frozen.

    Parameters
    ----------
    activation
        σ, with c_0 = 0 and a square-integrable weak derivative.
    teacher
        Strengths a_p, P of them.
    d, m
        Input dimension (d ≥ P) and number of students (m ≥ 1).
    init_scale
        Initial ‖v_k‖ of every student; n_k(0) = init_scale².

    Raises
    ------
    ValueError
        One sentence saying which condition fails.

    Examples
    --------
    >>> problem = Problem(Activation("h4"), Teacher.power_law(4, beta=1.0), d=64, m=16)
    >>> problem.initial_directions(0).shape
    (16, 64)
    """

    activation: Activation
    teacher: Teacher
    d: int
    m: int
    init_scale: float = 1e-3

    def __post_init__(self) -> None:
        if not isinstance(self.activation, Activation):
            raise ValueError(f"`activation` must be an Activation, but is {self.activation!r}")
        if not isinstance(self.teacher, Teacher):
            raise ValueError(f"`teacher` must be a Teacher, but is {self.teacher!r}")
        object.__setattr__(self, "d", positive_integer("d", self.d))
        object.__setattr__(self, "m", positive_integer("m", self.m))
        object.__setattr__(self, "init_scale", positive_number("init_scale", self.init_scale))
        if not 1e-100 <= self.init_scale <= 1e3:
            raise ValueError(f"`init_scale` must lie between 1e-100 and 1000, but is {self.init_scale:g}")
        for name in ("d", "m"):
            if getattr(self, name) > MAX_DIMENSION:
                raise ValueError(f"`{name}` must be at most 2**53")
        if self.d < self.P:
            raise ValueError(f"`d` must be at least P = {self.P}, but is {self.d}")
        sigma = self.activation
        if sigma.second_moment > 0 and sigma.information_exponent is None and sigma.irregularity is not None:
            raise ValueError(f"the activation {sigma.label!r} cannot be trained: {sigma.irregularity}")
        if sigma.second_moment <= 0 or sigma.information_exponent is None:
            raise ValueError(f"the activation {sigma.label!r} has no Hermite component of degree ≥ 1 to learn")
        mean = sigma.coefficients[0]
        if abs(mean) > ZERO * np.sqrt(sigma.second_moment):
            raise ValueError(
                f"the activation has mean c_0 = {mean:.6g}, which the norms would run off to fit; "
                "centre it: remove degree 0 by a high-pass of 1, Activation(…).high_pass(1)"
            )
        if sigma.irregularity is not None:
            raise ValueError(f"the activation {sigma.label!r} cannot be trained: {sigma.irregularity}")

    @property
    def P(self) -> int:
        """Number of teacher directions."""
        return self.teacher.P

    @property
    def a(self) -> Array:
        """Teacher strengths, shape (P,)."""
        return self.teacher.a

    def initial_directions(self, seed: int | SeedSequence | np.random.Generator) -> Array:
        """m independent directions uniform on the unit sphere of R^d, shape (m, d).

        Raises
        ------
        ValueError
            They do not fit in memory.
        """
        if self.m * self.d > MAX_NUMBERS:
            raise ValueError(f"m × d = {self.m} × {self.d} numbers of initial directions do not fit in memory")
        rows = generator(seed).standard_normal((self.m, self.d))
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def initial_coordinates(self, seed: int | SeedSequence | np.random.Generator) -> Array:
        """``coordinates`` of uniform directions, shape (m, min(d, P + m)).

        Up to m × d = 2·10⁷ they are those of ``initial_directions(seed)``.  Beyond, the rows are not
        drawn: the part outside the teacher's span is its Bartlett factor (lower triangular, normals
        below a χ diagonal of d − P − i degrees of freedom), which has the same law.

        Raises
        ------
        ValueError
            They do not fit in memory.
        """
        if self.m * self.d <= DRAWN_WHOLE or self.d <= self.P + self.m:
            return self.coordinates(self.initial_directions(seed))
        refusal = self.room_refusal()
        if refusal is not None:
            raise ValueError(refusal)
        stream = generator(seed)
        beside = np.tril(stream.standard_normal((self.m, self.m)), -1)
        beside += np.diag(np.sqrt(stream.chisquare(self.d - self.P - np.arange(self.m))))
        rows = np.hstack([stream.standard_normal((self.m, self.P)), beside])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def room_refusal(self, starts: int = 1) -> str | None:
        """Why the ``coordinates`` of so many starts cannot be held; None where they can."""
        width = min(self.d, self.P + self.m)
        if starts * self.m * width <= MAX_NUMBERS:
            return None
        several = f"{starts} starts of " if starts > 1 else ""
        return f"{several}m = {self.m} students in {width} coordinates do not fit in memory"

    def coordinates(self, directions: Array) -> Array:
        """Directions in an orthonormal basis of span(V*, V): shape (m, min(d, P + m)).

        The first P columns are the overlaps; all inner products are kept.  Rows that already
        are such coordinates are returned as they are.
        """
        if directions.shape[1] <= self.P + self.m:
            return directions.copy()
        triangular = np.asarray(np.linalg.qr(directions[:, self.P :].T, mode="r"))
        return np.hstack([directions[:, : self.P], triangular.T])

    def checked_directions(self, directions: ArrayLike) -> Array:
        """Given initial directions as unit rows, (m, d) or (m, P + m) ``coordinates``; normalised.

        Raises
        ------
        ValueError
            Wrong shape, non-finite entries, or a zero row.
        """
        rows = numbers_of(directions)
        if rows.shape not in ((self.m, self.d), (self.m, min(self.d, self.P + self.m))):
            raise ValueError(f"`directions` must have shape (m, d) = ({self.m}, {self.d}), but has {rows.shape}")
        if not np.isfinite(rows).all():
            raise ValueError("`directions` must be finite")
        largest = np.abs(rows).max(axis=1, keepdims=True)
        if (largest == 0).any():
            raise ValueError(f"row {int(np.argmin(largest))} of `directions` is zero")
        rows /= largest  # so that no square overflows
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready statement of the problem."""
        return {
            "activation": self.activation.name,
            "high_pass": self.activation.cut,
            "P": self.P,
            "beta": self.teacher.beta,
            "strengths": list(self.teacher.strengths),
            "d": self.d,
            "m": self.m,
            "init_scale": self.init_scale,
        }
