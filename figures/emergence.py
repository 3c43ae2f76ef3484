"""Many staircases under one smooth loss: each direction is learned at once, the total falls as a power law.

    Σ_k n_k r_kp² / a_p  jumps from 0 to 1 at T_p ∝ 1/a_p = p^β (up to the luck of the start),
    L(t) ≈ ½ φ(1) Σ_{T_p > t} a_p² ∝ t^{(1−2β)/β}                      (``theory.exponent_table``)

Top: learned strength of every direction for one start, from dark (p = 1) to light (p = P), with the recovery
times of the finite law of that start (``theory.finite_size_law``) as points at one half.  Bottom: the loss of that
run, the mean and the 10–90 % band of the finite law over random starts, and the asymptotic slope as a thin
line.  The fitted exponent is that of the finite law with its end at finite P taken out
(``compare.exponent_fit``); its interval is over starts.

The run is the leap sampler at 1e-4 of the drift-dominated step size, where noise is below the line's width.
Sizes: σ = h_4, β = 1, P = 48, m = 4 P, d = 16384.  Run time: under a minute.
Command: ``emergence figures emergence``.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare.exponent_fit import fit_exponent
from ..compare.runs import quiet_step_size, sgd_to, undiverged
from ..problem import Activation, Problem, Teacher
from ..theory import exponents, finite_law
from ..theory.finite_size_law import law_of_starts
from .style import house_style, label_at, label_decades, page, series

SUMMARY = "Emergence of single directions under a smooth loss, with the finite law and its slope"
SIZES: dict[str, dict[str, Any]] = {
    "full": {"activation": "h4", "beta": 1.0, "P": 48, "m": 192, "d": 16384, "draws": 400, "records": 1200},
    "quick": {"activation": "h4", "beta": 1.0, "P": 16, "m": 64, "d": 4096, "draws": 400, "records": 400},
}
SECONDS = {"full": 25.0, "quick": 7.0}


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """One run of T records and the law over ``draws`` starts on G times; flow times, losses.

    ``times`` (T,), ``strengths`` (T, P) over a_p, ``loss`` (T,), ``predicted`` (P,) recovery times of this start;
    ``grid`` (G,), ``expected`` (G,), ``band`` (2, G); ``asymptotic`` (), ``fitted`` (3,) exponent and 95 % interval
    (NaN where not measured), ``window`` (2,) of the fit.
    """
    activation, beta = Activation(sizes["activation"]), sizes["beta"]
    problem = Problem(activation, Teacher.power_law(sizes["P"], beta), d=sizes["d"], m=sizes["m"])
    law = finite_law(problem, draws=sizes["draws"], seed=seed)
    recovery = np.median(law.recovery, axis=0)
    start, end = 0.4 * float(recovery.min()), 2 * float(recovery.max())
    run = undiverged(sgd_to(problem, quiet_step_size(problem), end, seed=seed, records=sizes["records"]))
    kept = run.times >= 0.5 * start  # beyond the edge of the axis
    grid = np.geomspace(start, run.t_end, 300)
    rows = law.loss_at(grid)
    fit = fit_exponent(grid, rows)
    known = (fit.exponent, fit.low, fit.high) if fit.verdict == "measured" else (np.nan,) * 3
    asymptotic = exponents(beta, activation.information_exponent)["flow_time"].value
    return {
        "times": run.times[kept],
        "strengths": run.strengths[0, kept] / problem.a,
        "loss": run.loss[0, kept],
        "predicted": law_of_starts(problem, run.directions).recovery[0],
        "grid": grid,
        "expected": rows.mean(axis=0),
        "band": np.quantile(rows, [0.1, 0.9], axis=0),
        "asymptotic": np.array(asymptotic, dtype=float),
        "fitted": np.array(known),
        "window": np.array(fit.window),
    }


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Two panels over one time axis."""
    column = width == "column"
    with house_style(width):
        figure = page(width, 1.25 if column else 0.62)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.15])
        top.set_xscale("log")
        top.set_xlim(data["grid"][0], data["grid"][-1])
        _staircases(top, data, column)
        _loss(bottom, data)
        label_decades(bottom.xaxis, bottom.yaxis)
    return figure


def _staircases(axis: Axes, data: dict[str, Array], narrow: bool) -> None:
    count = data["strengths"].shape[1]
    colors = matplotlib.colormaps["viridis"](0.9 * np.log(np.arange(1, count + 1)) / np.log(max(count, 2)))
    for p in range(count):
        axis.plot(data["times"], data["strengths"][:, p], color=colors[p], linewidth=0.8)
    axis.plot(
        data["predicted"], np.full(count, 0.5), linestyle="none", marker="o", color="black", markersize=2, zorder=4,
        markeredgewidth=0,
    )  # fmt: skip
    axis.set_ylim(-0.03, 1.22)
    axis.set_yticks([0, 0.5, 1])
    axis.set_ylabel(r"strength $\sum_k n_k r_{kp}^2\,/\,a_p$")
    axis.set_title("each direction $p$: gradient flow; dots: finite law", loc="left")
    span = np.log(data["grid"][-1] / data["grid"][0])
    free = -np.inf
    for p in np.argsort(data["predicted"]):  # the next number that has room above its step
        place = np.log(data["predicted"][p] / data["grid"][0]) / span
        if place > free and place < 0.97:
            axis.text(data["predicted"][p], 1.08, f"{p + 1}", ha="center", va="bottom", color="black")
            free = place + (0.08 if narrow else 0.045)


def _loss(axis: Axes, data: dict[str, Array]) -> None:
    law, slope = series(1), data["asymptotic"]
    axis.fill_between(data["grid"], *data["band"], color="0.85", linewidth=0, label="finite law, 10–90 % of starts")
    axis.plot(data["grid"], data["expected"], color=law["color"], linestyle=law["linestyle"], label="finite law, mean")
    axis.plot(data["times"], data["loss"], color=series(0)["color"], label="one run", linewidth=1)
    first = np.searchsorted(data["grid"], 4 * data["grid"][0])
    t = data["grid"][first:]
    line = 1.8 * data["expected"][first] * (t / t[0]) ** slope
    axis.plot(t, line, color="0.3", linewidth=0.6)
    label_at(axis, f"$t^{{{slope:.4g}}}$", (t[len(t) // 2], line[len(t) // 2]), (2, 5), va="bottom")
    exponent, low, high = data["fitted"]
    found = f"${exponent:.2f}$ [${low:.2f}$, ${high:.2f}$]" if np.isfinite(exponent) else "not measurable"
    axis.set_title(f"thin line: asymptotic slope\nexponent of the finite law {found}", loc="left")
    axis.set_yscale("log")
    top = float(data["expected"][0])
    axis.set_ylim(2e-3 * top, 2.5 * top)
    axis.set_xlabel(r"flow time $t = \eta \cdot$ steps")
    axis.set_ylabel("population loss")
    axis.legend(loc="lower left", handlelength=1.5)
