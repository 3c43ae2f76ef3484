"""Theory over simulation for one comparison.

Top left, first seed: learned strengths ``Σ_k n_k r_kp² / a_p``, gradient flow as lines, SGD as
points, the closed-form alignment times as ticks above.  Bottom left: the loss of the same seed,
with the 10–90 % band of SGD over seeds.  Right: predicted (flow) against measured transition
times for every seed; the grey wedge is the tolerance, points on the upper edge were not reached.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from compare.overlay import Comparison
from figures.style import WIDTHS, house_style, series
from problem.types import Array

SHOWN = 6  # directions drawn one by one; more would not be told apart


def draw(comparison: Comparison, width: str = "text") -> Figure:
    """The overlay picture; ``width`` is one of ``figures.style.WIDTHS``."""
    inches = WIDTHS[width]
    with house_style():
        narrow = inches < 5
        figure = plt.figure(figsize=(inches, 1.75 * inches if narrow else 0.52 * inches), layout="constrained")
        if narrow:
            axes = figure.subplot_mosaic([["steps"], ["loss"], ["times"]], height_ratios=[1, 1, 1.7])
        else:
            axes = figure.subplot_mosaic([["steps", "times"], ["loss", "times"]], width_ratios=[1.25, 1])
        axes["loss"].sharex(axes["steps"])
        _staircases(axes["steps"], comparison)
        _loss(axes["loss"], comparison)
        _times(axes["times"], comparison)
        for axis in (axes["loss"].xaxis, axes["loss"].yaxis, axes["times"].xaxis, axes["times"].yaxis):
            _label_decades(axis)
    return figure


def _label_decades(axis: Axis) -> None:
    """Label a log axis at its decades, below two decades at 1, 2, 5; minor labels would run into each other."""
    low, high = axis.get_view_interval()
    if high < 100 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _shown(comparison: Comparison) -> list[int]:
    learnable = np.nonzero(comparison.problem.a > 0)[0]
    if len(learnable) <= SHOWN:
        return [int(p) for p in learnable]
    return [int(p) for p in learnable[np.unique(np.geomspace(1, len(learnable), SHOWN).astype(int)) - 1]]


def _window(comparison: Comparison) -> tuple[float, float]:
    """Time axis: from well before the first transition to the end of the simulation."""
    first = np.concatenate([p.alignment["flow"] for p in comparison.predictions])
    first = first[np.isfinite(first) & (first > 0)]
    end = comparison.simulation.t_end
    return (min(0.25 * first.min(), 0.5 * end) if first.size else end / 100), end


def _thinned(times: Array) -> list[int]:
    """Indices of about 60 records evenly spaced in ln t, so that markers do not run together."""
    if not times.size:
        return []
    wanted = np.geomspace(times[0], times[-1], 60)
    return sorted({int(np.argmin(np.abs(times - t))) for t in wanted})


def _staircases(axis: Axes, comparison: Comparison) -> None:
    simulation, prediction = comparison.simulation, comparison.predictions[0]
    start, end = _window(comparison)
    solution = prediction.flow
    grid = np.geomspace(start, min(end, solution.t_end), 600)
    theory = solution.strengths_at(grid)
    inside = simulation.times >= start
    for i, p in enumerate(_shown(comparison)):
        look = series(i)
        a = comparison.problem.a[p]
        axis.plot(grid, theory[:, p] / a, color=look["color"], linestyle=look["linestyle"], zorder=3)
        axis.plot(
            simulation.times[inside], simulation.strengths[0, inside, p] / a, linestyle="none",
            marker=look["marker"], markersize=3, markerfacecolor="white", markeredgecolor=look["color"],
            markeredgewidth=0.7, markevery=_thinned(simulation.times[inside]), zorder=2,
        )  # fmt: skip
        closed = prediction.alignment["closed_form"][p]
        if start < closed < end:
            axis.plot(closed, 1.13, marker="v", color=look["color"], markersize=4, clip_on=False, linestyle="none")
        reached = solution.recovery[p]
        if reached < end:
            axis.annotate(
                f"{p + 1}", (reached, 0.5), xytext=(-3, 0), textcoords="offset points", color=look["color"],
                ha="right", va="center", fontsize=8, fontweight="bold", zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(start, end)
    axis.set_ylim(-0.04, 1.2)
    axis.set_ylabel(r"strength $\sum_k n_k r_{kp}^2\,/\,a_p$")
    axis.tick_params(labelbottom=False)
    axis.set_title("first seed: directions $p$ learned one after another", loc="left", pad=17)
    handles = [
        Line2D([], [], color="0.2", label="gradient flow"),
        Line2D(
            [],
            [],
            color="0.2",
            marker="o",
            markerfacecolor="white",
            linestyle="none",
            markersize=3,
            label="SGD",
        ),
        Line2D([], [], color="0.2", marker="v", linestyle="none", markersize=4, label="closed form"),
    ]
    axis.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.1, handlelength=1.5,
        columnspacing=1.0, borderpad=0.1,
    )  # fmt: skip


def _loss(axis: Axes, comparison: Comparison) -> None:
    simulation, solution = comparison.simulation, comparison.predictions[0].flow
    start, end = _window(comparison)
    good = ~simulation.diverged
    inside = simulation.times >= start
    times = simulation.times[inside]
    if good.sum() > 1:
        low, high = np.quantile(simulation.loss[good][:, inside], [0.1, 0.9], axis=0)
        axis.fill_between(times, low, high, color="0.82", linewidth=0, label=f"SGD, 10–90 % of {good.sum()} seeds")
    grid = np.geomspace(start, min(end, solution.t_end), 600)
    axis.plot(grid, solution.loss_at(grid), color="black", label="gradient flow, first seed", zorder=3)
    axis.plot(
        times, simulation.loss[0, inside], linestyle="none", marker="o", markersize=3, markerfacecolor="white",
        markeredgecolor="black", markeredgewidth=0.7, markevery=_thinned(times), label="SGD, first seed", zorder=2,
    )  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylim(1e-3 * solution.loss[0], 2 * solution.loss[0])
    axis.set_xlabel(r"flow time $t = \eta \cdot$ steps")
    axis.set_ylabel("population loss")
    axis.legend(loc="lower left", handlelength=1.5)


def _times(axis: Axes, comparison: Comparison) -> None:
    simulation = comparison.simulation
    start, end = _window(comparison)
    low, high = 0.6 * start, 1.6 * end
    diagonal = np.array([low, high])
    tolerance = comparison.agreement.tolerance
    axis.fill_between(diagonal, diagonal * (1 - tolerance), diagonal * (1 + tolerance), color="0.88", linewidth=0)
    axis.plot(diagonal, diagonal, color="0.4", linewidth=0.8)
    for i, p in enumerate(_shown(comparison)):
        look = series(i)
        for event, face in (("alignment", look["color"]), ("recovery", "white")):
            predicted = np.array([item.flow.alignment[p] if event == "alignment" else item.flow.recovery[p]
                                  for item in comparison.predictions])  # fmt: skip
            measured = getattr(simulation, event)[:, p].copy()
            measured[simulation.diverged] = np.inf
            tested = (predicted > 0) & (predicted <= simulation.t_end)
            axis.plot(
                predicted[tested], np.minimum(measured[tested], high / 1.08), linestyle="none", marker=look["marker"],
                markersize=4, markerfacecolor=face, markeredgecolor=look["color"], markeredgewidth=0.8,
            )  # fmt: skip
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)
    axis.set_aspect("equal", adjustable="box")
    axis.set_xlabel("predicted time (gradient flow)")
    axis.set_ylabel("measured time (SGD)")
    axis.set_title(f"every seed: {comparison.agreement.verdict}", loc="left")
    handles = [
        Line2D([], [], linestyle="none", marker=series(i)["marker"], color=series(i)["color"], markersize=4,
               label=f"$p={p + 1}$, $a_p={comparison.problem.a[p]:.2f}$")
        for i, p in enumerate(_shown(comparison))
    ]  # fmt: skip
    handles += [
        Line2D([], [], linestyle="none", marker="o", color="0.3", markersize=4, label="alignment"),
        Line2D([], [], linestyle="none", marker="o", color="0.3", markerfacecolor="white", markersize=4,
               label="recovery"),
    ]  # fmt: skip
    axis.legend(handles=handles, loc="upper left", handlelength=1.0)
