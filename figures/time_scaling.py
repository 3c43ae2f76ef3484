"""Loss against flow time: many abrupt steps add up to a power law.

With strengths a_p ∝ p^{−β}, β > ½, direction p is learned at T_p ∝ 1/a_p and the loss is what is left,

    L(t) ≈ ½ φ(1) Σ_{T_p > t} a_p²  ∝  t^{−γ} − t_end^{−γ},        γ = (2β − 1)/β,

where t_end, the time of direction P, cuts the sum off.  Left: the finite law (``theory.finite_size_law``: mean
and 10–90 % of random starts) at P = 4000, with the asymptotic slope −γ as a thin line.  Right above: the
exponents fitted in the form with t_end (``compare.exponent_fit``; 95 % intervals), and what a straight
line in log–log gives in the same window: steeper, for the slope is −γ/(1 − (t/t_end)^γ).  Right below:
gradient flow by leap at P = 24, mean and range of the seeds, over the finite law from the same starts.
Setting: Ren, Nichani, Wu and Lee 2025 (arXiv 2504.19983); γ is derived in ``theory.exponent_table``, the form with
t_end in ``compare.exponent_fit``.

Sizes: h4; law at d = 10⁶, m = 4P; flow at d = 4096, m = 2P.  Run time: about 20 s.
Command: ``emergence figures time_scaling``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare import Experiment, measure
from ..compare.exponent_fit import fit_exponent
from .style import house_style, label_at, label_decades, page, points, series

SUMMARY = "Loss against flow time for several decays of the strengths, with fitted exponents"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "beta": [0.65, 0.8, 1.0, 1.3], "P": 4000, "m": 16000, "d": 1_000_000, "draws": 32,
        "run": {"beta": [0.8, 1.3], "P": 24, "m": 48, "d": 4096, "seeds": 6},
    },
    "quick": {
        "beta": [0.65, 0.8, 1.0, 1.3], "P": 1000, "m": 4000, "d": 1_000_000, "draws": 16,
        "run": {"beta": [1.3], "P": 12, "m": 24, "d": 4096, "seeds": 6},
    },
}  # fmt: skip
SECONDS = {"full": 20.0, "quick": 6.0}


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Curves, fits and runs; losses are shares of the loss at the start.

    Returns
    -------
    dict
        ``beta`` (B,), ``x``, ``mean``, ``low``, ``high`` (B, T): flow time, mean and 10–90 % of the law;
        ``fit``, ``straight`` (B, 3): exponent and interval; ``window`` (B, 2) of both; ``asymptote`` (B,).
        For each simulated β, number i: ``run{i}`` (5, T') of time, mean, least, largest, law from the same
        starts; ``run_beta``; ``run_P``, ``run_seeds``, ``law_P`` ().
    """
    law = {name: sizes[name] for name in ("P", "m", "d")}
    rows: dict[str, list[Any]] = {name: [] for name in ("x", "mean", "low", "high", "fit", "straight", "window")}
    for beta in sizes["beta"]:
        found = measure(Experiment("flow_time", "finite_law", beta=beta, seeds=sizes["draws"], **law), seed)
        share = found.rows / found.rows.max()
        fit = fit_exponent(found.x, share, tail=found.tail)
        straight = fit_exponent(found.x, share, tail="none", window=fit.window)
        low, high = np.quantile(share, [0.1, 0.9], axis=0)
        values = (found.x, share.mean(axis=0), low, high, _interval(fit), _interval(straight), fit.window)
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    data = {name: np.array(values) for name, values in rows.items()}
    beta = np.array(sizes["beta"])
    run = sizes["run"]
    data |= {
        "beta": beta, "asymptote": (1 - 2 * beta) / beta, "law_P": np.array(sizes["P"]),
        "run_beta": np.array(run["beta"]), "run_P": np.array(run["P"]), "run_seeds": np.array(run["seeds"]),
    }  # fmt: skip
    for i, b in enumerate(run["beta"]):
        shape = {name: run[name] for name in ("P", "m", "d", "seeds")}
        found = measure(Experiment("flow_time", "leap", beta=b, **shape), seed)
        losses, same = 2 * found.rows, 2 * found.same  # the start is ½ φ(1) Σ a² = ½ for h4
        data[f"run{i}"] = np.stack([found.x, losses.mean(0), losses.min(0), losses.max(0), same.mean(0)])
    return data


def _interval(fit: Any) -> tuple[float, float, float]:
    return fit.exponent, fit.low, fit.high


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The law, the exponents and the runs; one below the other in a column."""
    with house_style(width):
        if width == "column":
            figure = page(width, 2.25)
            axes = figure.subplot_mosaic([["law"], ["exponents"], ["runs"]], height_ratios=[1.35, 0.8, 1])
        else:
            figure = page(width, 0.68)
            axes = figure.subplot_mosaic([["law", "exponents"], ["law", "runs"]], width_ratios=[1.15, 1])
        _law(axes["law"], data)
        _exponents(axes["exponents"], data)
        _runs(axes["runs"], data)
    return figure


def _law(axis: Axes, data: dict[str, Array]) -> None:
    for i, beta in enumerate(data["beta"]):
        x, mean, look = data["x"][i], data["mean"][i], series(i)
        axis.fill_between(x, data["low"][i], data["high"][i], color=look["color"], alpha=0.25, linewidth=0)
        axis.plot(x, mean, color=look["color"], linestyle=look["linestyle"])
        ends = data["window"][i] * np.array([1.0, 0.6])
        start = 1.5 * np.interp(ends[0], x, mean)
        slope = data["asymptote"][i]
        axis.plot(ends, start * (ends / ends[0]) ** slope, color="0.35", linewidth=points(0.7))
        at = (ends[1], start * (ends[1] / ends[0]) ** slope)
        label_at(axis, rf"$\beta={beta:g}$: $t^{{{slope:.2f}}}$", at, (3, 2), color=look["color"])
    axis.set(xscale="log", yscale="log", xlabel=r"flow time $t$", ylabel="loss / initial loss")
    axis.set_xlim(data["x"].min(), 3 * data["window"].max())
    axis.set_ylim(0.3 * data["mean"][np.arange(len(data["beta"])), -40].min(), 1.6)
    axis.set_title(f"finite law, $P={int(data['law_P'])}$", loc="left")
    label_decades(axis.xaxis, axis.yaxis)


def _exponents(axis: Axes, data: dict[str, Array]) -> None:
    beta = np.linspace(0.95 * data["beta"].min(), 1.03 * data["beta"].max(), 100)
    axis.plot(beta, (1 - 2 * beta) / beta, color="0.35", linewidth=points(0.7))
    kinds = (
        ("fit", "o", "black", r"$t^{-\gamma}-t_\mathrm{end}^{-\gamma}$"),
        ("straight", "s", "white", "straight line"),
    )
    for name, marker, face, label in kinds:
        value, low, high = data[name].T
        axis.errorbar(
            data["beta"], value, [value - low, high - value], fmt=marker, color="black", markerfacecolor=face,
            elinewidth=points(1), capsize=points(2), label=label,
        )  # fmt: skip
    last = beta[-1]
    label_at(axis, r"$\frac{1-2\beta}{\beta}$", (0.93, (1 - 1.86) / 0.93), (8, 9), color="0.35")
    axis.set(xlabel=r"decay $\beta$ of the strengths", ylabel="fitted exponent", xlim=(beta[0], last))
    axis.legend(loc="lower left", handlelength=1.2)


def _runs(axis: Axes, data: dict[str, Array]) -> None:
    for i, beta in enumerate(data["run_beta"]):
        x, mean, low, high, law = data[f"run{i}"]
        look = series(int(np.argmin(np.abs(data["beta"] - beta))))
        axis.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)
        axis.plot(x, law, color=look["color"], linestyle=look["linestyle"], zorder=3)
        axis.plot(
            x, mean, linestyle="none", marker=look["marker"], markerfacecolor="white", markeredgecolor=look["color"],
            markevery=2, zorder=2,
        )  # fmt: skip
        at = len(x) // 2
        label_at(axis, rf"$\beta={beta:g}$", (x[at], high[at]), (4, 6), color=look["color"])
    axis.set(xscale="log", yscale="log", xlabel=r"flow time $t$", ylabel="loss / initial loss")
    runs = [data[f"run{i}"] for i in range(len(data["run_beta"]))]
    axis.set_ylim(0.25 * min(run[1][run[0] < 0.4 * run[0][-1]].min() for run in runs), 1.6)
    axis.set_title(f"gradient flow (points), $P={int(data['run_P'])}$, {int(data['run_seeds'])} seeds", loc="left")
    label_decades(axis.xaxis, axis.yaxis)
