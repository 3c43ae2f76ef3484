"""Loss against flow time: many abrupt steps add up to a power law.

With strengths a_p ∝ p^{−β}, β > ½, direction p is learned at T_p ∝ 1/a_p and the loss is what is left,

    L(t) ≈ ½ φ(1) Σ_{T_p > t} a_p²  ∝  t^{−γ} − t_end^{−γ},        γ = (2β − 1)/β,

where t_end, the time of direction P, cuts the sum off.  Left: the finite law (``theory.finite_size_law``: mean
and 10–90 % of random starts) at P = 4000, with the fitted form with t_end in black over its window.  Right above: the
exponents of those fits (``compare.exponent_fit``; 95 % intervals), and what a straight line in log–log gives in the
same window: steeper, for the slope is −γ/(1 − (t/t_end)^γ), which comes to −γ only where t ≪ t_end.  Right below: SGD
by leap at P = 24 and step sizes so small that noise has no part, mean and range of the seeds, over the finite law from
the same starts, at every second β. Setting: Ren, Nichani, Wu and Lee 2025 (arXiv 2504.19983); γ is derived in
``theory.exponent_table``, the form with t_end in ``compare.exponent_fit``.

Sizes: h4; law at d = 10⁶, m = 4P; runs at d = 4096, m = 2P.  Run time: about 20 s.
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
from .captions import problem_facts, quiet_facts, run_text
from .settings import check_power_law
from .style import house_style, label_decades, page, points, series, wrapped

SUMMARY = "Loss against flow time for several decays of the strengths, with fitted exponents"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "beta": [0.65, 0.8, 1.0, 1.3], "P": 4000, "m": 16000, "d": 1_000_000, "draws": 32,
        "run": {"P": 24, "m": 48, "d": 4096, "seeds": 6},
    },
    "quick": {
        "beta": [0.65, 0.8, 1.0, 1.3], "P": 1000, "m": 4000, "d": 1_000_000, "draws": 16,
        "run": {"P": 12, "m": 24, "d": 4096, "seeds": 6},
    },
}  # fmt: skip
SECONDS = {"full": 20.0, "quick": 6.0}


def check(sizes: dict[str, Any]) -> None:
    """Refuse what has no power law, or is no experiment."""
    check_power_law(*sizes["beta"])
    _experiments(sizes)


def _experiments(sizes: dict[str, Any]) -> tuple[list[Experiment], list[Experiment]]:
    """Of the law at every β, and of the runs at every second."""
    law, run = ({name: part[name] for name in ("P", "m", "d")} for part in (sizes, sizes["run"]))
    some = sizes["beta"][1::2] or sizes["beta"]
    return [Experiment("flow_time", "finite_law", beta=beta, seeds=sizes["draws"], **law) for beta in sizes["beta"]], [
        Experiment("flow_time", "leap", beta=beta, seeds=sizes["run"]["seeds"], **run) for beta in some
    ]


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Curves, fits and runs; losses are shares of the loss at the start.

    Returns
    -------
    dict
        ``beta`` (B,), ``x``, ``mean``, ``low``, ``high`` (B, T): flow time, mean and 10–90 % of the law;
        ``fit``, ``straight`` (B, 3): exponent and interval; ``fit_law`` (B, 2): amplitude and end of the fit;
        ``window`` (B, 2) of both; ``asymptote`` (B,).  For each simulated β, number i: ``run{i}`` (5, T') of time,
        mean, least, largest, law from the same starts; ``run_beta``; facts of the runs and of the law's problem.
    """
    laws, runs = _experiments(sizes)
    names = ("x", "mean", "low", "high", "fit", "straight", "fit_law", "window")
    rows: dict[str, list[Any]] = {name: [] for name in names}
    for experiment in laws:
        found = measure(experiment, seed)
        share = found.rows / found.rows.max()
        fit = fit_exponent(found.x, share, tail=found.tail)
        straight = fit_exponent(found.x, share, tail="none", window=fit.window)
        low, high = np.quantile(share, [0.1, 0.9], axis=0)
        values = (
            found.x, share.mean(axis=0), low, high, _interval(fit), _interval(straight), (fit.amplitude, fit.end),
            fit.window,
        )  # fmt: skip
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    data = {name: np.array(values) for name, values in rows.items()}
    beta = np.array(sizes["beta"])
    data |= {"beta": beta, "asymptote": (1 - 2 * beta) / beta, "run_beta": np.array([one.beta for one in runs])}
    data |= problem_facts(laws[0].problem, "law") | quiet_facts(runs[0])
    for i, experiment in enumerate(runs):
        found = measure(experiment, seed)
        losses, same = 2 * found.rows, 2 * found.same  # the start is ½ φ(1) Σ a² = ½ for h4
        data[f"run{i}"] = np.stack([found.x, losses.mean(0), losses.min(0), losses.max(0), same.mean(0)])
    return data


def _interval(fit: Any) -> tuple[float, float, float]:
    return fit.exponent, fit.low, fit.high


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The law, the exponents and the runs; one below the other in a column."""
    with house_style(width):
        if width == "column":
            figure = page(width, 2.7)
            axes = figure.subplot_mosaic([["law"], ["exponents"], ["runs"]], height_ratios=[1.5, 0.8, 1])
        else:
            figure = page(width, 0.72)
            axes = figure.subplot_mosaic([["law", "exponents"], ["law", "runs"]], width_ratios=[1.15, 1])
        _law(axes["law"], data)
        _exponents(axes["exponents"], data)
        _runs(axes["runs"], data, figure.get_figwidth() * (1.9 if width == "column" else 1))
    return figure


def _law(axis: Axes, data: dict[str, Array]) -> None:
    handles = []
    for i, beta in enumerate(data["beta"]):
        x, mean, look, (exponent, *_) = data["x"][i], data["mean"][i], series(i), data["fit"][i]
        axis.fill_between(x, data["low"][i], data["high"][i], color=look["color"], alpha=0.25, linewidth=0)
        text = rf"$\beta={beta:g}$: exponent ${exponent:.3f}$"
        handles += axis.plot(x, mean, color=look["color"], linestyle=look["linestyle"], label=text)
        amplitude, end = data["fit_law"][i]
        t = np.geomspace(data["window"][i, 0], data["window"][i, 1], 100)
        fit = amplitude * (t**exponent - end**exponent)
        (line,) = axis.plot(t, fit, color="black", linewidth=points(0.7), zorder=3)
    line.set_label(r"fit $A\,(t^{-\gamma}-t_\mathrm{end}^{-\gamma})$")
    axis.set(xscale="log", yscale="log", xlabel=r"flow time $t$", ylabel="loss / initial loss")
    axis.set_xlim(data["x"].min(), 2 * data["window"].max())
    fitted = [
        np.interp(end, x, mean) for (_, end), x, mean in zip(data["window"], data["x"], data["mean"], strict=True)
    ]
    axis.set_ylim(0.02 * min(fitted), 1.6)
    axis.set_title(f"finite law, {run_text(data, 'law')}", loc="left")
    axis.legend(handles=[*handles, line], loc="lower left", handlelength=1.8)
    label_decades(axis.xaxis, axis.yaxis)


def _exponents(axis: Axes, data: dict[str, Array]) -> None:
    beta = np.linspace(max(0.5, 0.95 * data["beta"].min()), 1.05 * data["beta"].max(), 100)
    axis.plot(beta, (1 - 2 * beta) / beta, color="0.35", linewidth=points(0.7), label=r"$(1-2\beta)/\beta$")
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
    axis.set(xlabel=r"decay $\beta$ of the strengths", ylabel="fitted exponent", xlim=(beta[0], beta[-1]))
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.2 * (high - low))  # room for the legend
    axis.legend(loc="upper right", handlelength=1.2)


def _runs(axis: Axes, data: dict[str, Array], width: float) -> None:
    for i, beta in enumerate(data["run_beta"]):
        x, mean, low, high, law = data[f"run{i}"]
        look = series(int(np.argmin(np.abs(data["beta"] - beta))))
        axis.fill_between(x, low, high, color=look["color"], alpha=0.2, linewidth=0)
        axis.plot(x, law, color=look["color"], linestyle=look["linestyle"], zorder=3)
        axis.plot(
            x, mean, linestyle="none", marker=look["marker"], markerfacecolor="white", markeredgecolor=look["color"],
            markevery=2, zorder=2, label=rf"SGD, $\beta={beta:g}$",
        )  # fmt: skip
    axis.plot([], [], color="0.3", label="finite law of their starts")
    axis.set(xscale="log", yscale="log", xlabel=r"flow time $t$", ylabel="loss / initial loss")
    runs = [data[f"run{i}"] for i in range(len(data["run_beta"]))]
    axis.set_ylim(0.1 * min(run[1][run[0] < 0.4 * run[0][-1]].min() for run in runs), 1.6)
    axis.legend(loc="lower left", handlelength=1.5)
    axis.set_title(wrapped(f"{run_text(data)}: mean and range", 0.4 * width), loc="left")
    label_decades(axis.xaxis, axis.yaxis)
