"""The best law ``A (x^{−γ} − x_end^{−γ})``, or straight line in ln–ln, of each of many curves.

In the form

    L = a + b (x^{−γ} − 1)/γ,     b > 0,     a ≤ b/γ where γ > 0 (the tail is not negative),

the law passes smoothly through the logarithm (γ = 0) to γ < 0 (no power law).  At each γ it is linear in
(a, b), which leaves a search in one variable: on a grid of γ, then by Chandrupatla's method between the
neighbours of the grid's best.  Residuals are relative to x^{−near}, not to L, whose last few directions are all
noise; points weigh by their spacing in ln x, so the grid of x does not matter.

Source of the search: Chandrupatla 1998, as ``scipy.optimize.elementwise.find_minimum``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize.elementwise import find_minimum

from .._types import Array

SEARCH = np.linspace(-1, 5, 26)  # of γ; misses 0, where the law is a logarithm
# γ to 1e-8, the square root of a misfit's rounding; the misfit's own size says nothing: exact laws have none
SETTLED = {"xatol": 1e-8, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0}


@dataclass(frozen=True)
class TruncatedLaw:
    """``amplitude · (x^{−γ} − end^{−γ})`` fitted to B curves; ``failed`` where no γ within the search range is best."""

    gamma: Array
    amplitude: Array
    end: Array
    failed: Array


def fit_law(x: Array, rows: Array, tail: str, end: float | None, near: float | None = None) -> TruncatedLaw:
    """Fits of curves (B, T) with residuals relative to x^{−near}; one curve alone finds ``near`` itself.

    Parameters
    ----------
    tail
        "finite", or "none" for straight lines.
    end
        x_end where it is known; fitted, possibly inf, where None.
    """
    if tail == "none":
        return straight_line(x, rows)
    if near is not None:
        return _truncated(x, rows, end, near)
    near = 0.0
    for _ in range(20):
        law = _truncated(x, rows, end, near)
        change, near = abs(float(law.gamma[0]) - near), float(law.gamma[0])
        if change < 1e-6:
            return law
    return replace(law, failed=np.array([True]))


def straight_line(x: Array, rows: Array) -> TruncatedLaw:
    """Straight lines in ln–ln."""
    log_x, log_y = np.log(x), np.log(rows)
    weight = np.gradient(log_x) / np.gradient(log_x).sum()
    pivot = weight @ log_x
    slope = (log_y @ (weight * (log_x - pivot))) / (weight @ (log_x - pivot) ** 2)
    never = np.full(len(rows), np.inf)
    return TruncatedLaw(-slope, np.exp(log_y @ weight - slope * pivot), never, np.isnan(slope))


def _truncated(x: Array, rows: Array, end: float | None, near: float) -> TruncatedLaw:
    pivot = float(np.mean(np.log(x)))
    log_x = np.log(x) - pivot
    weight = np.gradient(log_x) * np.exp(2 * near * log_x)
    log_end = None if end is None else np.log(end) - pivot

    def misfit(gamma: Array, row: Array) -> Array:
        return _misfit(gamma, log_x, rows[row], weight, log_end)[0]

    every = np.arange(len(rows))
    best = np.argmin([misfit(SEARCH[i : i + 1], every) for i in range(len(SEARCH))], axis=0)
    gamma, failed = SEARCH[best], (best == 0) | (best == len(SEARCH) - 1)
    inside = every[~failed]
    if inside.size:
        bracket = tuple(SEARCH[best[inside] + step] for step in (-1, 0, 1))
        gamma[inside] = find_minimum(misfit, bracket, args=(inside,), tolerances=SETTLED).x
    _, b, rest = _misfit(gamma, log_x, rows, weight, log_end)
    with np.errstate(divide="ignore", invalid="ignore"):
        last = np.exp(pivot - np.log(np.maximum(rest, 0)) / gamma) if end is None else np.full_like(gamma, end)
    return TruncatedLaw(gamma, b / gamma * np.exp(gamma * pivot), last, failed | (b <= 0))


def _misfit(
    gamma: Array, log_x: Array, rows: Array, weight: Array, log_end: float | None
) -> tuple[Array, Array, Array]:
    """Weighted squares left over at γ, (B,) or (1,); b and x_end^{−γ} of the law ``b (x^{−γ} − x_end^{−γ})/γ``."""
    g = gamma[:, None]
    power = np.exp(-g * log_x)
    rest = np.zeros_like(gamma) if log_end is None else np.exp(-gamma * log_end)
    with np.errstate(divide="ignore", invalid="ignore"):  # a curve of zeros has no fit
        if log_end is None:
            mean = power @ weight / weight.sum()
            basis = (power - mean[:, None]) / g
            slope = (rows * basis) @ weight / (basis**2 @ weight)
            free = mean - gamma / slope * (rows @ weight) / weight.sum()
            rest = np.where((gamma > 0) & (free < 0), 0.0, free)
        basis = (power - rest[:, None]) / g
        b = (rows * basis) @ weight / (basis**2 @ weight)
    return (rows - b[:, None] * basis) ** 2 @ weight, b, rest
