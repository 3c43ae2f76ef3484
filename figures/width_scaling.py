"""Loss after a long time against the number of students.

m students learn m of the P directions, the strong ones first, and the rest remain:

    L(m) ≈ ½ φ(1) Σ_{p > m} a_p²  ∝  (m + ½)^{1−2β} − (P + ½)^{1−2β},        β > ½, m < P

(setting of Ren, Nichani, Wu and Lee 2025, arXiv 2504.19983; derived in ``theory.exponent_table``; m + ½ is where the
sum over p > m starts, as an integral).  It is not quite the first m: greedy selection goes by a_p s^{I−1} with s the
squared initial overlap, and a weak direction with a lucky student comes before a strong one.  The best of m overlaps
has s ≈ (2 ln m)/d with relative scatter 1/ln m, so the boundary is blurred by that factor in p and the slope comes to
1 − 2β slowly, with corrections of relative order 1/ln² m.  Beyond m = P nothing remains after all time.

Above (left): the finite law (``theory.finite_size_law``) after all time at several P, the largest with 10–90 % of
random starts, and the fitted form with the tail at P in black, with its exponent and 95 % interval
(``compare.exponent_fit``): the tail steepens the curve, whose slope comes to the exponent for m ≪ P only.
Below (right): SGD by leap at step sizes so small that noise has no part, up to m = 4P, stopped at 1.5 times the median
of the last transition, mean and range of the seeds, over the finite law from the same starts at the same time.

Sizes: h4, β = 0.8; law at d = 10⁶; runs at d = 4096.  Run time: about 20 s.
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
from .captions import count_text, exponent_text, problem_facts, quiet_facts, run_text
from .settings import check_power_law
from .style import house_style, label_decades, panels, points, series, wrapped

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


def check(sizes: dict[str, Any]) -> None:
    """Refuse what has no power law, or is no experiment."""
    check_power_law(sizes["beta"])
    _experiments(sizes)


def _experiments(sizes: dict[str, Any]) -> tuple[list[Experiment], Experiment]:
    """Of the law at every P, and of the runs."""
    laws, run = [], sizes["run"]
    for P in sizes["P"]:
        widths = np.unique(np.round(np.geomspace(sizes["smallest"] * P, 0.95 * P, sizes["widths"])).astype(int))
        laws.append(Experiment(
            "width", "finite_law", beta=sizes["beta"], P=P, m=P, d=sizes["d"], seeds=sizes["draws"],
            widths=tuple(widths.tolist()),
        ))  # fmt: skip
    return laws, Experiment(
        "width", "leap", beta=sizes["beta"], P=run["P"], m=run["P"], d=run["d"], seeds=run["seeds"],
        widths=tuple(run["widths"]),
    )  # fmt: skip


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Floors and final losses as shares of the loss at the start.

    Returns
    -------
    dict
        ``P`` (N,), of each, number i, ``m{i}``, ``mean{i}``, ``low{i}``, ``high{i}`` (W,): the law after all time, mean
        and 10–90 %, at widths below P; ``fit`` (3,), ``fit_law``, ``window`` (2,): of the largest P exponent and its
        interval, amplitude and end, window, in m + ½; ``beta`` (); ``run_widths`` (V,), ``run`` (4, V): mean, least
        and largest of the runs, law from the same starts; facts of the largest law's problem and of the runs.
    """
    (laws, flows), beta, curves = _experiments(sizes), sizes["beta"], []
    for law in laws:
        found = measure(law, seed)
        share = found.rows / law.problem.activation.second_moment * 2
        curves.append((np.array(law.widths), share.mean(axis=0), *np.quantile(share, [0.1, 0.9], axis=0)))
    fit = fit_exponent(found.x, share, window=(float(found.x[0]), 0.6 * laws[-1].P))
    data: dict[str, Array] = {}
    for i, curve in enumerate(curves):
        data |= {f"{name}{i}": part for name, part in zip(("m", "mean", "low", "high"), curve, strict=True)}
    found = measure(flows, seed)
    rows, same = (2 * part / flows.problem.activation.second_moment for part in (found.rows, found.same))
    return data | {
        "P": np.array(sizes["P"]), "beta": np.array(beta), "fit": np.array([fit.exponent, fit.low, fit.high]),
        "fit_law": np.array([fit.amplitude, fit.end]), "window": np.array(fit.window),
        "run_widths": np.array(flows.widths),
        "run": np.stack([rows.mean(0), rows.min(0), rows.max(0), same.mean(0)]),
    } | problem_facts(laws[-1].problem, "law") | quiet_facts(flows)  # fmt: skip


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The law and the runs, side by side but in a column."""
    with house_style(width):
        figure, (law, runs) = panels(width, 2, tall=1.9, flat=0.5)
        room = figure.get_figwidth() * (0.85 if width == "column" else 0.42)
        _law(law, data, room)
        _runs(runs, data, room)
        for axis in (law, runs):
            axis.set(xscale="log", yscale="log", xlabel=r"students $m$")
            label_decades(axis.xaxis, axis.yaxis)
    return figure


def _law(axis: Axes, data: dict[str, Array], room: float) -> None:
    count, slope = len(data["P"]), 1 - 2 * float(data["beta"])
    for i, P in enumerate(data["P"]):
        look, m, mean = series(i), data[f"m{i}"], data[f"mean{i}"]
        axis.fill_between(m, data[f"low{i}"], data[f"high{i}"], color=look["color"], alpha=0.25, linewidth=0)
        axis.plot(m, mean, color=look["color"], linestyle=look["linestyle"], label=f"$P={int(P)}$")
    (exponent, low, high), (amplitude, end) = data["fit"], data["fit_law"]
    x = np.geomspace(data["window"][0], data["window"][1], 100)
    axis.plot(
        x - 0.5, amplitude * (x**exponent - end**exponent), color="black", linewidth=points(0.8), zorder=3,
        label=r"fit $A\,((m+\frac{1}{2})^{-\gamma}-(P\,'+\frac{1}{2})^{-\gamma})$",
    )  # fmt: skip
    tops, ends = ([f(data[f"mean{i}"]) for i in range(count)] for f in (np.max, lambda mean: mean[mean > 0][-1]))
    axis.set_ylim(0.05 * max(min(ends), 1e-3 * min(tops)), 2 * max(tops))
    axis.set_xlim(0.8 * data["m0"].min(), 1.5 * data["P"].max())
    axis.set(ylabel="loss after all time / initial loss")
    text = f"finite law, $d={count_text(int(data['law_d']))}$, exponent {exponent_text(exponent, low, high)}"
    axis.set_title(wrapped(f"{text}, of many directions {slope:.3f}".replace("-", "−"), room), loc="left")
    axis.legend(loc="lower left", handlelength=1.8)


def _runs(axis: Axes, data: dict[str, Array], room: float) -> None:
    m, (mean, low, high, law) = data["run_widths"], data["run"]
    look, P = series(0), int(data["run_P"])
    axis.plot(m[m <= P], law[m <= P], color="black", label="finite law of their starts", zorder=3)
    axis.errorbar(
        m, mean, [mean - low, high - mean], fmt="o", color=look["color"], markerfacecolor="white",
        elinewidth=points(0.8), capsize=points(2), label="SGD, mean and range", zorder=4,
    )  # fmt: skip
    axis.axvline(P, color="0.5", linewidth=points(0.7), linestyle=":", label="$m=P$")
    bottom = 0.2 * mean[m <= P].min(initial=mean[0])
    note = ""
    if (m > P).any():
        beyond = int(np.ceil(np.log10(max(mean[m > P].max(), 1e-12))))
        note = f", where $m>P$ below $10^{{{beyond}}}$"
    axis.set_ylim(bottom, 1.6)
    axis.set(ylabel="final loss / initial loss")
    axis.legend(loc="lower left")
    axis.set_title(wrapped(run_text(data, m="") + note, room), loc="left")
