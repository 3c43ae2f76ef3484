"""Numerical Hermite coefficients and second moments of σ, by composite Gauss–Legendre rules.

The line is cut at σ's break points and into equal panels between them; towards singular points
(roots, logarithms) the panels shrink geometrically.  Panels are halved until E σ², E σ'² and the
coefficients stop moving.  Where σ is steep, as ``tanh(500*x)`` at 0, that may be far too coarse; such points are found
by ``∫ σ' = σ(b) − σ(a)``, which fails on a panel that misses a step, and the panels shrink towards them as towards
kinks.  This is the numerical route to ``c_k``; ``theory.hermite`` derives
the same numbers symbolically or with extended-precision tanh–sinh sums, and tests compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .._types import Array
from .regularity import Regularity

NODES_PER_PANEL = 20
MAX_DEGREE = 512
FINE = 1e-8  # error, and COARSE defect, from which on steep points are looked for
COARSE = 1e-6
NARROWEST = 1e-12  # panel on which a rise is looked for
MAX_GRADED = 32  # kinks with graded panels; functions with more have them in a regular row
_GL_NODES, _GL_WEIGHTS = np.polynomial.legendre.leggauss(NODES_PER_PANEL)


@dataclass(frozen=True)
class Moments:
    """What quadrature knows of σ.

    Attributes
    ----------
    coefficients
        ``c_k = E[σ h_k]``, k = 0 … K; trailing negligible ones removed.
    second_moment, slope_second_moment
        ``E σ²`` and ``E σ'²`` of the almost-everywhere derivative.
    error
        Largest change at the last halving of the panels, relative to ``√E σ²``.
    parts_defect
        Largest ``|E[σ' h_k] − √(k+1) c_{k+1}| / √E σ'²`` for k < 32: zero exactly when the
        almost-everywhere derivative is the weak derivative (Gaussian integration by parts).
    """

    coefficients: Array
    second_moment: float
    slope_second_moment: float
    error: float
    parts_defect: float


def moments(sigma: Callable[[Array], Array], derivative: Callable[[Array], Array], breaks: Regularity) -> Moments:
    """Coefficients and moments of σ to about 1e-13 where the function allows it."""
    width = 0.5
    previous: tuple[Array, float, float] | None = None
    while True:
        nodes, weights = panel_rule(breaks, width)
        values, slopes = _values(sigma, nodes, breaks), _slopes(derivative, nodes, breaks)
        if not np.isfinite(values).all():
            raise ValueError(f"the activation is not finite at x = {nodes[~np.isfinite(values)][0]:.6g}")
        half_density = np.exp(-(nodes**2) / 4) / (2 * np.pi) ** 0.25
        weighted = weights * half_density * values
        coefficients = _project(nodes, half_density, weighted, MAX_DEGREE)
        with np.errstate(all="ignore"):  # a slope that is not square-integrable is reported, not raised
            second = float(np.sum(weights * (half_density * values) ** 2))
            slope_second = float(np.sum(weights * (half_density * slopes) ** 2))
        if not np.isfinite(second):
            raise ValueError("E[σ²] is infinite or out of reach: it overflows")
        scale = np.sqrt(second) or 1.0
        if previous is not None:
            change = float(np.max(np.abs(coefficients - previous[0]))) / scale
            error = max(change, abs(second - previous[1]) / scale**2)
            slope_error = abs(slope_second - previous[2]) / max(slope_second, scale**2)
            if max(error, slope_error) < 1e-13 or width < 0.02 or not np.isfinite(slope_second):
                break
        previous, width = (coefficients, second, slope_second), width / 2
    if not np.isfinite(slope_second):
        return Moments(_trimmed(coefficients, scale), second, np.inf, error, np.inf)
    by_parts = _project(nodes, half_density, weights * half_density * slopes, 32)
    defect = np.abs(by_parts - np.sqrt(np.arange(1, 34)) * coefficients[1:34])
    slope_scale = max(np.sqrt(slope_second), scale)
    return Moments(
        coefficients=_trimmed(coefficients, scale),
        second_moment=second,
        slope_second_moment=slope_second,
        error=error,
        parts_defect=float(np.max(defect)) / slope_scale,
    )


def resolved_moments(
    sigma: Callable[[Array], Array], derivative: Callable[[Array], Array], breaks: Regularity
) -> tuple[Regularity, Moments]:
    """``moments``, and the break points that they need: the given ones, with steep points where those are too few."""
    found = moments(sigma, derivative, breaks)
    if found.error > FINE or found.parts_defect > COARSE:
        steep = _steep_points(sigma, derivative, breaks, np.sqrt(found.second_moment))
        if steep and len(steep) + len(breaks.kinks) <= MAX_GRADED:
            breaks = replace(breaks, kinks=tuple(sorted({*breaks.kinks, *steep})))
            found = moments(sigma, derivative, breaks)
    return breaks, found


def _steep_points(
    sigma: Callable[[Array], Array], derivative: Callable[[Array], Array], breaks: Regularity, scale: float
) -> list[float]:
    """Where σ rises faster than panels show; a panel that misses a part of the rise is halved until none does."""
    regular = np.arange(-breaks.reach, breaks.reach, 0.25) + 0.0317  # symmetric about nothing, as a dip may be
    edges = np.unique(np.concatenate([regular, breaks.kinks, breaks.singular]))
    low, high = edges[:-1], edges[1:]
    marks: list[tuple[float, float]] = []
    while low.size and np.max(high - low) > NARROWEST:
        middle, half = 0.5 * (low + high), 0.5 * (high - low)
        nodes = middle[:, None] + half[:, None] * _GL_NODES
        slopes, end = derivative(nodes), half * (1 - 1e-9)  # at the very end σ may jump
        with np.errstate(all="ignore"):
            rise = half * np.sum(slopes * _GL_WEIGHTS, axis=1)
            missed = np.abs(rise - sigma(middle + end) + sigma(middle - end)) * np.exp(-(middle**2) / 4)
        bad = missed > 0.1 * COARSE * scale
        steepest = nodes[bad, np.argmax(np.nan_to_num(np.abs(slopes[bad])), axis=1)]
        marks += zip(steepest.tolist(), half[bad].tolist(), strict=True)
        if bad.sum() > 4 * MAX_GRADED:
            return []
        low, high = np.concatenate([low[bad], middle[bad]]), np.concatenate([middle[bad], high[bad]])
    found: list[float] = []
    for point, reach in reversed(marks):  # the narrowest first
        if all(abs(point - other) > 4 * reach for other in found):
            found.append(point)
    return found


def _values(sigma: Callable[[Array], Array], nodes: Array, breaks: Regularity) -> Array:
    """σ, but 0 where it is lost to rounding at a singular point, like ``log(abs(x - 1))`` at 1 + 1e-17."""
    values = sigma(nodes)
    lost = np.nonzero(~np.isfinite(values))[0]
    for point in breaks.singular if lost.size else ():
        values[lost[np.abs(nodes[lost] - point) < 1e-12]] = 0.0
    return values


def _slopes(derivative: Callable[[Array], Array], nodes: Array, breaks: Regularity) -> Array:
    """σ', but that 1e-6 away where it is lost at a kink: 0/0 in ``sqrt(x**2 - 2*x + 1)`` at 1 + 1e-9."""
    slopes = derivative(nodes)
    lost = nodes[~np.isfinite(slopes)]
    for point in breaks.kinks if lost.size else ():
        if np.any(np.abs(lost - point) < 1e-6):
            near = np.abs(nodes - point) < 1e-6
            slopes[near] = derivative(point + np.copysign(1e-6, nodes[near] - point))
    return slopes


def reflected_moment(sigma: Callable[[Array], Array], breaks: Regularity) -> float:
    """``E[σ(Z) σ(−Z)] = Σ (−1)^k c_k²``."""
    kinks, singular = (
        tuple(b * side for b in points for side in (-1.0, 1.0)) for points in (breaks.kinks, breaks.singular)
    )
    nodes, weights = panel_rule(Regularity(kinks, singular, breaks.reach), 0.1)
    return float(np.sum(weights * np.exp(-(nodes**2) / 2) * sigma(nodes) * sigma(-nodes))) / np.sqrt(2 * np.pi)


def panel_rule(breaks: Regularity, width: float) -> tuple[Array, Array]:
    """Nodes and Lebesgue weights on |x| ≤ reach for panels of at most ``width``."""
    regular = np.linspace(-breaks.reach, breaks.reach, int(np.ceil(2 * breaks.reach / width)) + 1)
    edges = np.concatenate([regular, breaks.kinks, breaks.singular])
    for points, rungs in ((breaks.singular, 19), (breaks.kinks[:MAX_GRADED], 10)):
        for point in points:  # down to 1e-15 of the panel width; 1e-8 at kinks, which may hide a steep one
            ladder = width * 0.15 ** np.arange(1, rungs)
            edges = np.concatenate([edges, point - ladder, point + ladder])
    edges = np.unique(edges)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * (edges[1:] - edges[:-1])
    nodes = (middle[:, None] + half[:, None] * _GL_NODES).ravel()
    weights = (half[:, None] * _GL_WEIGHTS).ravel()
    return nodes, weights


def _project(nodes: Array, half_density: Array, weighted: Array, degree: int) -> Array:
    """``Σ weighted · h_k γ^½`` for k = 0 … degree; the product h_k γ^½ stays bounded."""
    out = np.empty(degree + 1)
    previous, current = np.zeros_like(nodes), half_density
    for k in range(degree + 1):
        out[k] = np.sum(weighted * current)  # not @: no BLAS threads to wait for, same bits on any number
        previous, current = current, (nodes * current - np.sqrt(k) * previous) / np.sqrt(k + 1)
    return out


def _trimmed(coefficients: Array, scale: float) -> Array:
    """Rounding noise set to zero, trailing zeros removed (at least c_0 stays)."""
    kept = np.where(np.abs(coefficients) > 1e-13 * scale, coefficients, 0.0)
    last = np.nonzero(kept)[0]
    return kept[: (int(last[-1]) if last.size else 0) + 1]
