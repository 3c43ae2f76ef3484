"""The activation σ: value, derivative, parity, Hermite coefficients c_k, and φ.

With Z ~ N(0, 1), ``c_k = E[σ(Z) h_k(Z)]`` and ``φ(s) = Σ_k c_k² s^k``, so that
``E[σ(u·x) σ(v·x)] = φ(u·v)`` for unit u, v and x ~ N(0, I).  ``φ(1) = E σ²`` and
``φ'(1) = E σ'²``.  The information exponent k* is the least k ≥ 1 with c_k ≠ 0.

For a σ that is no polynomial the series is cut at k ≤ 512.  The mass left beyond the cut,
``ρ = φ(1) − Σ c_k²`` and ``ρ' = φ'(1) − Σ k c_k²``, enters as the single term ``ρ |s|^{ρ'/ρ}``
(for s < 0 with the mass that ``E[σ(Z) σ(−Z)]`` leaves), so that φ and φ' are exact at s = 1
and a fully recovered teacher has loss zero.

Source: O'Donnell, *Analysis of Boolean Functions*, ch. 11 (Hermite expansions, noise stability).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import sympy
from numpy.typing import ArrayLike

from .._types import Array
from .hermite_coefficients import COARSE, FINE, Moments, reflected_moment, resolved_moments
from .hermite_polynomials import h, hermite_series
from .numeric import almost_everywhere_derivative, numpy_function, overflows
from .parser import parse, x
from .regularity import POLE, Regularity, check_argument, examine, singularity_exponents

ZERO = 1e-10  # a coefficient below this fraction of √E σ² is taken as zero
_SMALL = 0.5  # below this |s| the first 64 terms of φ are enough: 0.5^64 = 5e-20


@dataclass(frozen=True, eq=True, repr=False)
class Activation:
    """An activation from text such as ``"h4 + h6/2"``.

    ``name`` is the text; two are equal if their ``expression`` and ``cut`` are.

    Parameters
    ----------
    text
        See ``problem.parser`` for the language.
    cut
        Hermite components of degree below ``cut`` are removed (see ``high_pass``).

    Raises
    ------
    ValueError
        Text outside the language; σ undefined on part of the line; E σ² = ∞.

    Examples
    --------
    >>> Activation("abs(x)").high_pass(3).information_exponent
    4
    """

    expression: sympy.Expr
    cut: int
    name: str = field(compare=False)

    def __init__(self, text: str, cut: int = 0) -> None:
        object.__setattr__(self, "cut", _degree_cut(cut))
        object.__setattr__(self, "expression", parse(text, check_argument))
        object.__setattr__(self, "name", text.strip())
        _ = self._base  # refuses a σ that is undefined or not square-integrable

    def __repr__(self) -> str:
        return f"Activation({self.name!r}, cut={self.cut})" if self.cut else f"Activation({self.name!r})"

    @property
    def label(self) -> str:
        """What a reader is told: ``name``, with a high-pass as ``cos(x) from degree 4``."""
        return f"{self.name} from degree {self.cut}" if self.cut else self.name

    def __getstate__(self) -> dict[str, Any]:
        """What pickling keeps: everything but the compiled functions, which are made again on use."""
        return {key: value for key, value in self.__dict__.items() if key != "_numeric"}

    def high_pass(self, k: int) -> Activation:
        """σ without its Hermite components of degree below k; not renormalised."""
        out = object.__new__(Activation)
        vars(out).update({key: vars(self)[key] for key in ("expression", "name", "_measured")})
        object.__setattr__(out, "cut", max(_degree_cut(k), self.cut))
        return out

    @property
    def breaks(self) -> Regularity:
        """Where σ is not smooth, ``|x| ≤ 52``; points where it is only too steep for panels are among the kinks."""
        return self._measured[0]

    @cached_property
    def slope(self) -> sympy.Expr:
        """Almost-everywhere derivative of ``expression`` (before the cut), symbolic."""
        return almost_everywhere_derivative(self.expression)

    @cached_property
    def _measured(self) -> tuple[Regularity, Moments]:
        return _measured(self.expression)

    @property
    def _base(self) -> Moments:
        return self._measured[1]

    @cached_property
    def removed(self) -> Array:
        """Coefficients c_0 … c_{cut−1} that ``high_pass`` subtracts (empty without a cut)."""
        found = self._base.coefficients[: self.cut]
        return np.concatenate([found, np.zeros(self.cut - len(found))])

    @cached_property
    def _numeric(self) -> tuple:
        return numpy_function(self.expression), numpy_function(self.slope)

    def __call__(self, points: ArrayLike) -> Array:
        """σ(x), elementwise float64."""
        values = self._numeric[0](points)
        return values - hermite_series(self.removed, points) if self.cut else values

    def derivative(self, points: ArrayLike) -> Array:
        """σ'(x), elementwise float64 (the almost-everywhere derivative)."""
        values = self._numeric[1](points)
        return values - hermite_series(lowered(self.removed), points) if self.cut > 1 else values

    @cached_property
    def coefficients(self) -> Array:
        """Hermite coefficients c_0 … c_K by quadrature; K ≤ 512, trailing zeros dropped."""
        kept = self._base.coefficients.copy()
        kept[: self.cut] = 0.0
        return np.trim_zeros(kept, "b") if kept.any() else np.zeros(1)

    @property
    def coefficient_error(self) -> float:
        """Estimated absolute error of each coefficient: 30 × the last change, at least the 1e-13 that is cut off."""
        return max(30 * self._base.error, 1e-13) * float(np.sqrt(self._base.second_moment))

    @cached_property
    def second_moment(self) -> float:
        """φ(1) = E σ(Z)²."""
        return self._without_removed(self._base.second_moment, 0)

    @cached_property
    def slope_second_moment(self) -> float:
        """φ'(1) = E σ'(Z)²; meaningful only where ``irregularity`` is None."""
        return self._without_removed(self._base.slope_second_moment, 1)

    def _without_removed(self, moment: float, power: int) -> float:
        """``moment − Σ k^power c_k²`` over the removed k; the sum over the others where the two agree."""
        if not self.cut:
            return moment
        if len(self.coefficients) <= self.cut:
            return 0.0
        weights = np.arange(max(self.cut, len(self._squares)), dtype=float) ** power
        left = moment - float(np.sum(weights[: self.cut] * self.removed**2))
        kept = float(np.sum(weights[: len(self._squares)] * self._squares))
        return kept if abs(left - kept) <= 1e-13 * moment else left

    @cached_property
    def information_exponent(self) -> int | None:
        """Least k ≥ 1 with c_k ≠ 0; None for a constant."""
        threshold = max(ZERO * np.sqrt(self._base.second_moment), 10 * self.coefficient_error)
        present = np.nonzero(np.abs(self.coefficients[1:]) > threshold)[0]
        return int(present[0]) + 1 if present.size else None

    @cached_property
    def parity(self) -> str | None:
        """``"even"``, ``"odd"`` or None."""
        points = np.linspace(0.0, 9.0, 1801)[1:] + 0.00123
        right, left = self(points), self(-points)
        removed = np.abs(self(points) - self._numeric[0](points)) if self.cut else 0.0
        size = np.maximum.accumulate(np.abs(right) + np.abs(left) + removed)  # so far out: x**40 + x is not even
        tolerance = 1e-11 * np.maximum(size, size[200])
        if np.all(np.abs(right - left) <= tolerance):
            return "even"
        return "odd" if np.all(np.abs(right + left) <= tolerance) else None

    @cached_property
    def is_polynomial(self) -> bool:
        """Is σ a polynomial, so that ``coefficients`` state it completely?"""
        return _is_polynomial(self.expression)

    @cached_property
    def overflows(self) -> bool:
        """Does σ or σ' overflow on the way to a finite value, so that compiled code, plain doubles, does not do?"""
        return not self.is_polynomial and (overflows(self.expression) or overflows(self.slope))

    @cached_property
    def irregularity(self) -> str | None:
        """Why σ' is not a square-integrable weak derivative; None when it is.

        Gradient descent needs one: ``sign`` and ``Heaviside`` jump, ``sqrt(abs(x))`` has E σ'² = ∞.
        """
        singular = self.breaks.singular
        for point, exponent in zip(singular, singularity_exponents(self._numeric[1], singular), strict=True):
            if exponent >= POLE:
                return f"E[σ'²] is infinite: the slope blows up at x = {point:.6g}"
        if not np.isfinite(self._base.slope_second_moment):
            return "E[σ'²] is infinite"
        points = np.array([*self.breaks.kinks, *self.breaks.singular])
        sides = points[:, None] + 1e-9 * np.array([-1.0, 1.0])
        values, slopes = (np.abs(f(sides)).max(axis=1, initial=0.0) for f in self._numeric)
        jumps = np.abs(np.diff(self._numeric[0](sides), axis=1))[:, 0]
        for point in points[jumps > 1e-6 * values + 4e-9 * slopes]:
            return f"the activation jumps at x = {point:.6g}, so it has no weak derivative"
        if self._base.error > FINE:
            return f"it varies too fast for quadrature (error {self._base.error:.1g} of √E[σ²])"
        if self._base.parts_defect > COARSE:
            return "σ' is not the weak derivative of σ (Gaussian integration by parts fails)"
        return None

    def phi(self, s: ArrayLike) -> Array:
        """``φ(s) = Σ c_k² s^k`` for ``|s| ≤ 1``, elementwise; in single precision where s is."""
        return self._series(_floats(s), self._power_series[0], 0)

    def phi_slope(self, s: ArrayLike) -> Array:
        """``φ'(s)``, elementwise; in single precision where s is."""
        return self._series(_floats(s), self._power_series[1], 1)

    @cached_property
    def _squares(self) -> Array:
        return self.coefficients**2

    @cached_property
    def _power_series(self) -> tuple[_PowerSeries, _PowerSeries]:
        """Those of φ and φ'."""
        return _PowerSeries(self._squares), _PowerSeries(self._squares[1:] * np.arange(1, len(self._squares)))

    @cached_property
    def _tail(self) -> tuple[float, float, float]:
        """Mass of the lumped tail for s > 0 and s < 0, and its degree."""
        degrees = np.arange(len(self._squares))
        mass = self.second_moment - float(np.sum(self._squares))
        slope = self.slope_second_moment - float(np.sum(degrees * self._squares))
        if mass <= 1e-10 * self.second_moment or not len(degrees) * mass <= slope < np.inf:
            return 0.0, 0.0, 1.0
        alternating = (-1.0) ** np.arange(max(self.cut, len(degrees)))
        mirrored = reflected_moment(self._numeric[0], self.breaks)
        mirrored -= float(alternating[: self.cut] @ self.removed**2 + alternating[: len(degrees)] @ self._squares)
        return mass, min(max(mirrored, -mass), mass), slope / mass

    def _series(self, s: Array, series: _PowerSeries, order: int) -> Array:
        if series.head is None and not self._tail[0]:
            return series(s)
        out = (series.head or series)(s)
        large = np.abs(s) > _SMALL
        values = s[large] if s.ndim else s.reshape(1)[large.reshape(1)]
        full = series(values)
        positive, negative, power = self._tail
        if positive:
            mass = np.where(values > 0, positive, negative * (-1.0) ** order)
            full = full + mass * (power**order) * np.abs(values) ** (power - order)
        if s.ndim:
            out[large] = full
            return out
        return full.reshape(()) if full.size else out


@lru_cache(maxsize=256)
def _measured(expression: sympy.Expr) -> tuple[Regularity, Moments]:
    """Break points and moments of σ, measured once for all activations of this expression."""
    functions = numpy_function(expression), numpy_function(almost_everywhere_derivative(expression))
    return resolved_moments(*functions, examine(expression))


def lowered(coefficients: Array) -> Array:
    """Hermite coefficients of the derivative: ``(Σ c_k h_k)' = Σ √k c_k h_{k−1}``."""
    return np.sqrt(np.arange(1, len(coefficients))) * coefficients[1:]


def _floats(s: ArrayLike) -> Array:
    values = np.asarray(s)
    return values if values.dtype == np.float32 else values.astype(float, copy=False)


class _PowerSeries:
    """``Σ terms[k] s^k`` by Horner; in s² and without leading zeros where the parity allows.

    ``head`` is the sum of the first 64 terms, None where these are all.
    """

    def __init__(self, terms: Array) -> None:
        present = np.nonzero(terms)[0]
        self.head = _PowerSeries(terms[:64]) if len(terms) > 64 else None
        first = int(present[0]) if present.size else 0
        self._stride = 2 if np.all((present - first) % 2 == 0) else 1
        self._squarings, self._singles = divmod(first, self._stride)
        self._terms = list(terms[first : present[-1] + 1 : self._stride][::-1]) if present.size else [np.float64(0)]

    def __call__(self, s: Array) -> Array:
        base = s * s if self._stride == 2 else s
        first, *others = self._terms
        left = self._squarings  # NumPy's ** costs more than the whole series
        if others:
            out = np.asarray(base * float(first))
            for term in others[:-1]:
                out += term
                out *= base
            out += others[-1]
        elif left:
            out, left = np.asarray(base * float(first)), left - 1
        else:
            out = np.full(s.shape, first, s.dtype)
        for _ in range(left):
            out *= base
        return out * s if self._stride == 2 and self._singles else out


def _is_polynomial(e: sympy.Expr) -> bool:
    if e.is_Add or e.is_Mul or isinstance(e, h):
        return all(_is_polynomial(u) for u in e.args)
    if e.is_Pow and e.exp.is_Integer and e.exp > 0:
        return _is_polynomial(e.base)
    return e == x or not e.has(x)


def _degree_cut(k: Any) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 0 <= k <= 64:
        raise ValueError(f"`high_pass` must be an integer between 0 and 64, but is {k!r}")
    return int(k)
