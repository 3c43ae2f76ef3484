"""Hermite spectra of common activations, and their information exponents.

    σ = Σ_k c_k h_k,    k* = min {k ≥ 1 : c_k ≠ 0},    c_k = E[σ(Z) h_k(Z)]

Bars are |c_k|/√φ(1), filled where c_k > 0 and open where c_k < 0, the information exponent is ringed; the squares
of all bars of a panel, k = 0 (the mean, which centring removes) included, sum to one over all degrees.
Sizes: degrees up to 12 of six activations, by ``theory.hermite``: exact where there is a closed form, else by
quadrature in 40 digits.  Run time: seconds.
Command: ``emergence figures spectra``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MultipleLocator

from .._types import Array
from ..problem import Activation
from ..theory.hermite import expand
from .style import house_style, page, points, series

SUMMARY = "Hermite spectra of common activations with their information exponents"
SIZES: dict[str, dict[str, Any]] = {
    "full": {"activations": ["relu(x)", "gelu(x)", "tanh(x)", "erf(x)**2", "abs(x)", "cos(2*x)"], "degree": 12},
    "quick": {"activations": ["relu(x)", "gelu(x)", "tanh(x)", "erf(x)**2", "abs(x)", "cos(2*x)"], "degree": 8},
}
SECONDS = {"full": 2.0, "quick": 2.0}


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """``names`` (A,), ``coefficients`` (A, degree + 1), ``scale`` √φ(1) (A,), ``exponent`` (A,); no randomness."""
    expansions = [expand(Activation(text), sizes["degree"]) for text in sizes["activations"]]
    return {
        "names": np.array(sizes["activations"]),
        "coefficients": np.array([[one.value for one in found.coefficients] for found in expansions]),
        "scale": np.sqrt([found.second_moment.value for found in expansions]),
        "exponent": np.array([found.information_exponent for found in expansions]),
    }


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Small multiples, one activation a panel."""
    names = data["names"]
    columns = 2 if width == "column" else 3
    rows = -(-len(names) // columns)
    with house_style(width):
        ring: dict[str, Any] = {"marker": "o", "markersize": points(7), "markerfacecolor": "none", "color": "black"}
        figure = page(width, 0.6 * rows / columns)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for i, axis in enumerate(grid.flat[: len(names)]):
            sizes = data["coefficients"][i] / data["scale"][i]
            degrees, color = np.arange(len(sizes)), series(0)["color"]
            for sign, face in ((1, color), (-1, "white")):
                part = sign * sizes > 1e-12
                axis.bar(
                    degrees[part], np.abs(sizes[part]), 0.7, facecolor=face, edgecolor=color, linewidth=points(0.8)
                )
            k = int(data["exponent"][i])
            axis.plot(k, abs(sizes[k]), **ring)
            axis.set_title(rf"{names[i]}   $k^*={k}$", loc="left")
            axis.set_ylim(0, 1.1)
        look = {"edgecolor": series(0)["color"], "linewidth": points(0.8)}
        handles = [
            Patch(facecolor=series(0)["color"], label="$c_k > 0$", **look),
            Patch(facecolor="white", label="$c_k < 0$", **look),
            Line2D([], [], linestyle="none", label="$k^*$", **ring),
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=3)
        grid[0, 0].xaxis.set_major_locator(MultipleLocator(4))
        for axis in grid[-1]:
            axis.set_xlabel("degree $k$")
        for axis in grid[:, 0]:
            axis.set_ylabel(r"$|c_k|\,/\sqrt{\varphi(1)}$")
    return figure
