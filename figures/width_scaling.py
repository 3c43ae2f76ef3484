"""Loss after a long time against the number of students.

m students learn m of the P directions, the strong ones first, and the rest remain:

    L(m) ≈ ½ φ(1) Σ_{p > m} a_p²  ∝  (m + ½)^{1−2β} − (P + ½)^{1−2β},        β > ½, m < P

(setting of Ren, Nichani, Wu and Lee 2025, arXiv 2504.19983; derived in ``theory.exponent_table``; m + ½ is where the
sum over p > m starts, as an integral).  It is not quite the first m: greedy selection goes by a_p s^{I−1} with s the
squared initial overlap, and a weak direction with a lucky student comes before a strong one.  The best of m overlaps
has s ≈ (2 ln m)/d with relative scatter 1/ln m, so the boundary is blurred by that factor in p and the slope comes to
1 − 2β slowly, with corrections of relative order 1/ln² m.  Beyond m = P nothing remains after all time.

Above (left): the finite law (``theory.finite_size_law``) after all time at several P, the largest with 10–90 % of
random starts, its fitted exponent with 95 % interval (``compare.exponent_fit``), and the slope 1 − 2β.
Below (right): gradient flow by leap up to m = 4P, stopped at 1.5 times the median of the last transition,
mean and range of the seeds, over the finite law from the same starts at the same time.

Sizes: h4, β = 0.8; law at d = 10⁶; flow at d = 4096.  Run time: about 20 s.
Command: ``emergence figures width_scaling``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare import Experiment, measure
from ..compare.exponent_fit import fit_exponent
from .style import house_style, label_at, label_decades, panels, points, series

SUMMARY = "Loss after a long time against the number of students, with the fitted exponent"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "beta": 0.8, "P": [300, 2000, 20000], "d": 1_000_000, "draws": 12, "smallest": 1 / 16, "widths": 14,
        "run": {"P": 24, "d": 4096, "seeds": 6, "widths": [2, 3, 6, 12, 18, 24, 48, 96]},
    },
    "quick": {
        "beta": 0.8, "P": [300, 2000], "d": 1_000_000, "draws": 12, "smallest": 1 / 16, "widths": 12,
        "run": {"P": 12, "d": 4096, "seeds": 6, "widths": [1, 2, 4, 6, 12, 48]},
    },
}  # fmt: skip
SECONDS = {"full": 20.0, "quick": 6.0}


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Floors and final losses as shares of the loss at the start.

    Returns
    -------
    dict
        ``P`` (N,), ``m``, ``mean``, ``low``, ``high`` (N, W): the law after all time, mean and 10–90 %, W widths
        below P; ``fit`` (3,), ``window`` (2,): exponent of the largest P and its interval, in m + ½; ``beta`` ();
        ``run_m`` (V,), ``run`` (4, V): mean, least and largest of the flows, law from the same starts;
        ``run_P``, ``run_seeds`` ().
    """
    beta, curves = sizes["beta"], []
    for P in sizes["P"]:
        widths = np.unique(np.round(np.geomspace(sizes["smallest"] * P, 0.95 * P, sizes["widths"])).astype(int))
        law = Experiment(
            "width", "finite_law", beta=beta, P=P, m=P, d=sizes["d"], seeds=sizes["draws"],
            widths=tuple(widths.tolist()),
        )  # fmt: skip
        found = measure(law, seed)
        share = found.rows / law.problem.activation.second_moment * 2
        curves.append((widths, share.mean(axis=0), *np.quantile(share, [0.1, 0.9], axis=0)))
    fit = fit_exponent(found.x, found.rows, window=(float(found.x[0]), 0.6 * P))
    m, mean, low, high = (np.array(column) for column in zip(*curves, strict=True))
    run = sizes["run"]
    flows = Experiment(
        "width", "leap", beta=beta, P=run["P"], m=run["P"], d=run["d"],
        seeds=run["seeds"], widths=tuple(run["widths"]),
    )  # fmt: skip
    found = measure(flows, seed)
    rows, same = (2 * part / flows.problem.activation.second_moment for part in (found.rows, found.same))
    return {
        "P": np.array(sizes["P"]), "m": m, "mean": mean, "low": low, "high": high, "beta": np.array(beta),
        "fit": np.array([fit.exponent, fit.low, fit.high]), "window": np.array(fit.window),
        "run_m": np.array(run["widths"]), "run_P": np.array(run["P"]), "run_seeds": np.array(run["seeds"]),
        "run": np.stack([rows.mean(0), rows.min(0), rows.max(0), same.mean(0)]),
    }  # fmt: skip


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The law and the flows, side by side but in a column."""
    with house_style(width):
        figure, (law, runs) = panels(width, 2, tall=1.6, flat=0.45)
        _law(law, data)
        _runs(runs, data)
        for axis in (law, runs):
            axis.set(xscale="log", yscale="log", xlabel=r"students $m$")
            label_decades(axis.xaxis, axis.yaxis)
    return figure


def _law(axis: Axes, data: dict[str, Array]) -> None:
    for i, P in enumerate(data["P"]):
        look, m, mean = series(i), data["m"][i], data["mean"][i]
        axis.fill_between(m, data["low"][i], data["high"][i], color=look["color"], alpha=0.25, linewidth=0)
        axis.plot(m, mean, color=look["color"], linestyle=look["linestyle"])
        label_at(axis, f"$P={int(P)}$", (m[0], mean[0]), (2, 7), color=look["color"])
    m, mean, slope = data["m"][-1], data["mean"][-1], 1 - 2 * float(data["beta"])
    ends = np.array([m[0], 0.5 * m[-1]])
    axis.plot(ends, 0.6 * mean[0] * (ends / ends[0]) ** slope, color="0.25", linewidth=points(0.7))
    value, low, high = data["fit"]
    text = f"$P={int(data['P'][-1])}$\nfit {value:.3f} [{low:.3f}, {high:.3f}]\nasymptote {slope:.3f}"
    axis.text(1.0, 0.97, text.replace("-", "−"), transform=axis.transAxes, ha="right", va="top")
    axis.set_ylim(0.12 * mean[0], 2 * data["mean"].max())
    axis.set_xlim(0.8 * data["m"].min(), 1.5 * data["P"].max())
    axis.set(ylabel="loss after all time / initial loss")
    axis.set_title("finite law", loc="left")


def _runs(axis: Axes, data: dict[str, Array]) -> None:
    m, (mean, low, high, law) = data["run_m"], data["run"]
    look, P = series(0), int(data["run_P"])
    axis.plot(m[m <= P], law[m <= P], color="black", label="finite law", zorder=3)
    axis.errorbar(
        m, mean, [mean - low, high - mean], fmt="o", color=look["color"], markerfacecolor="white", elinewidth=points(0.8),
        capsize=points(2), label=f"gradient flow, {int(data['run_seeds'])} seeds", zorder=4,
    )  # fmt: skip
    axis.axvline(P, color="0.5", linewidth=points(0.7), linestyle=":")
    label_at(axis, "$m=P$", (P, 1.0), (3, 0), color="0.35")
    bottom = 0.2 * mean[m <= P].min()
    beyond = int(np.ceil(np.log10(max(mean[m > P].max(), 1e-12))))
    label_at(axis, rf"$m>P$: $<10^{{{beyond}}}$", (P, 2 * bottom), (3, 0), color="0.35")
    axis.set_ylim(bottom, 1.6)
    axis.set(ylabel="final loss / initial loss")
    axis.legend(loc="lower left")
    axis.set_title(f"gradient flow, $P={P}$", loc="left")
