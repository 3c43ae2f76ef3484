"""Many staircases under one smooth loss: each direction is learned at once, the total falls as a power law.

    Σ_k n_k r_kp² / a_p  jumps from 0 to 1 at T_p ∝ 1/a_p = p^β (up to the luck of the start),
    L(t) ≈ ½ φ(1) Σ_{T_p > t} a_p² ∝ t^{−γ} − t_end^{−γ},   γ = (2β−1)/β      (``theory.exponent_table``)

Top: learned strength of every direction in one run of SGD, from dark (p = 1) to light (p = P), with the recovery
times of the finite law of that start (``theory.finite_size_law``) as points at one half.  The run is looked at after
every macro-step of the leap sampler, whose length follows what moves, so that every step is drawn as wide as it is:
from 10 to 90 % it takes ln 81/(4 a_p φ(1)), half a percent of the time of direction 1.  Bottom: the loss of that run,
the mean and the 10–90 % band of the finite law over random starts, and the law A (t^−γ − t_end^−γ) fitted to that mean
(``compare.exponent_fit``; its interval is over starts): t_end, where the last of P directions is learned, bends
the curve, whose slope is −γ/(1 − (t/t_end)^γ) and comes to −γ for t ≪ t_end only.

The run is at 1e-4 of the drift-dominated step size, where noise is below the line's width.
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
from ..compare.runs import quiet_step_size
from ..simulate import Leap, Run
from ..theory import exponents, finite_law
from ..theory.finite_size_law import law_of_starts
from ..theory.greedy_chain import greedy_refusal
from .captions import exponent_text, run_facts, run_text
from .settings import check_power_law, problem_of
from .style import heading, house_style, label_decades, number_steps, page, points, series
from .watched_run import watch

SUMMARY = "Emergence of single directions under a smooth loss, with the finite law and its exponent"
SIZES: dict[str, dict[str, Any]] = {
    "full": {"activation": "h4", "beta": 1.0, "P": 48, "m": 192, "d": 16384, "draws": 400},
    "quick": {"activation": "h4", "beta": 1.0, "P": 16, "m": 64, "d": 4096, "draws": 400},
}
SECONDS = {"full": 60.0, "quick": 9.0}
RAISED = 1.8  # the fit, so that it does not hide the curve


def check(sizes: dict[str, Any]) -> None:
    """Refuse what has no power law, is no problem, or is not learned direction by direction."""
    check_power_law(sizes["beta"])
    refusal = greedy_refusal(problem_of(sizes).activation)
    if refusal is not None:
        raise ValueError(refusal)


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """One run looked at T times and the law over ``draws`` starts on G times; flow times, losses.

    ``times`` (T,), ``strengths`` (T, P) over a_p, ``loss`` (T,), ``predicted`` (P,) recovery times of this start;
    ``grid`` (G,), ``expected`` (G,), ``band`` (2, G); ``asymptotic`` (), ``fitted`` (3,) exponent and 95 % interval,
    ``fit_law`` (2,) amplitude and end of the fit (all NaN where not measured), ``window`` (2,) of the fit; facts of
    the run.
    """
    problem, beta = problem_of(sizes), sizes["beta"]
    law = finite_law(problem, draws=sizes["draws"], seed=seed)
    recovery = np.median(law.recovery, axis=0)
    known = recovery[np.isfinite(recovery)]
    start, end = 0.4 * float(known.min()), 2 * float(known.max())
    eta = quiet_step_size(problem)
    run = Run(problem, eta, int(np.ceil(end / eta)), seed=seed, sampler=Leap())
    seen = watch(run, start)
    kept = seen.times >= 0.5 * start  # beyond the edge of the axis
    grid = np.geomspace(start, seen.times[-1], 300)
    rows = law.loss_at(grid)
    fit = fit_exponent(grid, rows)
    good = fit.verdict == "measured"
    asymptotic = exponents(beta, problem.activation.information_exponent)["flow_time"].value
    return {
        "times": seen.times[kept],
        "strengths": seen.strengths[kept] / problem.a,
        "loss": seen.loss[kept],
        "predicted": law_of_starts(problem, seen.start[None]).recovery[0],
        "grid": grid,
        "expected": rows.mean(axis=0),
        "band": np.quantile(rows, [0.1, 0.9], axis=0),
        "asymptotic": np.array(asymptotic, dtype=float),
        "fitted": np.array((fit.exponent, fit.low, fit.high) if good else (np.nan,) * 3),
        "fit_law": np.array((fit.amplitude, fit.end) if good else (np.nan,) * 2),
        "window": np.array(fit.window),
    } | run_facts(run)


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Two panels over one time axis."""
    column = width == "column"
    with house_style(width):
        figure = page(width, 1.5 if column else 0.64)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.25])
        top.set_xscale("log")
        top.set_xlim(data["grid"][0], data["grid"][-1])
        _staircases(top, data, column)
        _loss(bottom, data)
        bottom.legend(loc="lower left", handlelength=1.5)
        heading(figure, run_text(data))
        label_decades(bottom.xaxis, bottom.yaxis)
    return figure


def _staircases(axis: Axes, data: dict[str, Array], narrow: bool) -> None:
    count = data["strengths"].shape[1]
    colors = matplotlib.colormaps["viridis"](0.9 * np.log(np.arange(1, count + 1)) / np.log(max(count, 2)))
    for p in range(count):
        axis.plot(data["times"], data["strengths"][:, p], color=colors[p], linewidth=points(0.8))
    axis.plot(
        data["predicted"], np.full(count, 0.5), linestyle="none", marker="o", color="black", markersize=points(2),
        zorder=4, markeredgewidth=0,
    )  # fmt: skip
    axis.set_ylim(-0.05, 1.58)
    axis.set_yticks([0, 0.5, 1])
    axis.set_ylabel(r"strength $\sum_k n_k r_{kp}^2\,/\,a_p$")
    axis.set_title("every direction $p$ of one run\ndots: the finite law of its start", loc="left")
    number_steps(axis, data["predicted"], np.arange(1, count + 1), (1.1, 1.35), narrow=narrow)


def _loss(axis: Axes, data: dict[str, Array]) -> None:
    law, (exponent, low, high), grid = series(1), data["fitted"], data["grid"]
    axis.fill_between(grid, *data["band"], color="0.85", linewidth=0, label="finite law, 10–90 % of starts")
    axis.plot(grid, data["expected"], color=law["color"], linestyle=law["linestyle"], label="finite law, mean")
    axis.plot(data["times"], data["loss"], color=series(0)["color"], label="the run", linewidth=points(1))
    if np.isfinite(exponent):
        amplitude, end = data["fit_law"]
        t = np.geomspace(data["window"][0], data["window"][1], 100)
        fit = amplitude * (t**exponent - end**exponent)
        label = rf"fit $A\,(t^{{-\gamma}}-t_\mathrm{{end}}^{{-\gamma}})$, {RAISED:g} times as high"
        axis.plot(t, RAISED * fit, color="0.2", linewidth=points(0.9), label=label)
        title = f"exponent of the law {exponent_text(exponent, low, high, 2)}"
    else:
        title = "exponent of the law not measurable here"
    axis.set_title(f"{title}\nof many directions {data['asymptotic']:.4g}".replace("-", "−"), loc="left")
    axis.set_yscale("log")
    top = float(data["expected"][0])
    axis.set_ylim(2e-3 * top, 2.5 * top)
    axis.set_xlabel(r"flow time $t = \eta \cdot$ steps")
    axis.set_ylabel("population loss")
