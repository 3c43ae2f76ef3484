"""The standard error of a fitted exponent over independent seeds.

Whole seeds are resampled with replacement, the centre of each resample is fitted again in the same window, and
the spread of the fits is the standard error.  Resamples of S rows scatter about their mean by √((S − 1)/S) of what
S fresh rows would; √(S/(S − 1)) makes it up.  What is measured and its control variate are resampled together.
Where the rows are chosen among several by what the seeds say, the choice is part of what is resampled: its centres are
then given.

Source: Efron & Tibshirani, *An Introduction to the Bootstrap*, §§6 and 12.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from .truncated_law import fit_law


def centre_of(table: Array, centre: str) -> Array:
    """Mean or median over rows (S, T)."""
    return table.mean(axis=0) if centre == "mean" else np.median(table, axis=0)


def standard_error(
    x: Array, tables: list[Array], tail: str, end: float | None, gamma: float, centre: str, resamples: int,
    stream: np.random.Generator,
) -> float:  # fmt: skip
    """Standard error of γ(first table) − γ(second, if any) over seeds, resampled together; NaN where fits fail."""
    seeds = len(tables[0])
    weights = stream.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
    found, sign = np.zeros(resamples), 1.0
    for table in tables:
        if centre == "mean":
            rows = weights / seeds @ table
        else:
            rows = np.stack([np.median(np.repeat(table, counts, axis=0), axis=0) for counts in weights])
        found, sign = found + sign * _exponents(x, rows, tail, end, gamma), -1.0
    return _spread(found, seeds)


def standard_error_of(x: Array, centres: Array, tail: str, end: float | None, gamma: float, seeds: int) -> float:
    """The same from the ``centres`` (B, T) of resamples; ``seeds`` is of how many a row of them is drawn."""
    return _spread(_exponents(x, centres, tail, end, gamma), seeds)


def _exponents(x: Array, rows: Array, tail: str, end: float | None, gamma: float) -> Array:
    """γ of every row, NaN where there is no fit."""
    usable = np.isfinite(rows).all(axis=1)
    law, found = fit_law(x, rows[usable], tail, end, gamma), np.full(len(rows), np.nan)
    found[usable] = np.where(law.failed, np.nan, law.gamma)
    return found


def _spread(found: Array, seeds: int) -> float:
    known = found[np.isfinite(found)]
    if known.size < 0.99 * found.size:
        return float("nan")
    return float(np.std(known) * np.sqrt(seeds / (seeds - 1)))
