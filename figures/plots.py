"""``plot``: the picture of a result, whatever verb returned it.

    Comparison             theory over SGD (``figures.overlay``)
    Simulation             learned strengths Σ_k n_k r_kp² / a_p and loss of every seed over flow time
    Prediction, Flow       those of gradient flow
    SgdLaw                 the loss, mean and 10–90 % of the draws; quantiles of the transition times
    Curve, FiniteLaw       the loss (or time, samples) against the resource, with the outermost band

Of many directions ``figures.overlay.SHOWN`` are drawn.  Results know nothing of their pictures: arrows point from
results to figures.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .._types import Array
from ..compare import Comparison
from ..problem.events import EVENTS
from ..simulate import Simulation
from ..theory import Curve, FiniteLaw, Flow, Prediction, SgdLaw, resource_curves
from .overlay import data_of, draw, shown_directions
from .style import WIDTHS, house_style, label_at, label_decades, panels, series

DECADES = 4  # of a loss, at most
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def plot(result: Any, *, width: str = "text") -> Figure:
    """The picture of a result, as a Matplotlib figure (``savefig`` writes it, Jupyter shows it).

    Parameters
    ----------
    result
        A Comparison, Simulation, Prediction, Flow, SgdLaw, FiniteLaw or Curve.
    width
        ``"column"``, ``"text"`` or ``"slide"``: 3.4, 7 or 11 inches.

    Raises
    ------
    ValueError
        A result that has no picture, or no such width.
    """
    if width not in WIDTHS:
        raise ValueError(f"`width` must be one of {', '.join(WIDTHS)}, but is {width!r}")
    with house_style(width):
        return _drawn(result, width)


@singledispatch
def _drawn(result: Any, width: str) -> Figure:
    raise ValueError(f"`result` must be a comparison, simulation, prediction, flow, law or curve, but is {result!r}")


@_drawn.register
def _(result: Comparison, width: str) -> Figure:
    return draw(data_of(result), width)


@_drawn.register
def _(result: Simulation, width: str) -> Figure:
    figure = _paths(result.problem.a, result.times, result.strengths, result.loss, result.recovery[0], width)
    seeds = f"{result.seeds} seeds" if result.seeds > 1 else "one seed"
    figure.axes[0].set_title(f"SGD, {seeds}", loc="left")
    return figure


@_drawn.register
def _(result: Flow, width: str) -> Figure:
    figure = _paths(result.problem.a, result.times, result.strengths[None], result.loss[None], result.recovery, width)
    figure.axes[0].set_title("gradient flow", loc="left")
    return figure


@_drawn.register
def _(result: Prediction, width: str) -> Figure:
    figure = _drawn(result.flow, width)
    axis, (start, end) = figure.axes[0], figure.axes[0].get_xlim()
    times = result.alignment["closed_form"][shown_directions(result.problem.a)]
    drawn = (start < times) & (times < end)
    for i in np.flatnonzero(drawn):
        axis.plot(times[i], 1.13, marker="v", color=series(int(i))["color"], clip_on=False, linestyle="none")
    if drawn.any():
        mark = Line2D([], [], color="0.2", marker="v", linestyle="none", label="alignment, closed form")
        axis.set_ylim(top=1.4)
        axis.legend(handles=[mark], loc="upper left", handlelength=1.0, borderaxespad=0.1)
    return figure


@_drawn.register
def _(result: SgdLaw, width: str) -> Figure:
    figure, (loss, times) = panels(width, 2, tall=1.5, flat=0.42)
    inside = result.times > 0
    loss.fill_between(
        result.times[inside], *np.quantile(result.rows[:, inside], (0.1, 0.9), axis=0), color="0.85", linewidth=0,
        label="10–90 % of draws",
    )  # fmt: skip
    loss.plot(result.times[inside], result.loss[inside], color="black", label="mean")
    first = result.alignment[np.isfinite(result.alignment) & (result.alignment > 0)]
    loss.set_xlim(min(0.25 * first.min(), 0.5 * result.t_max) if first.size else 0.01 * result.t_max, result.t_max)
    _losses(loss, result.loss)
    loss.set_title(f"law of SGD at step size {result.step_size:.3g}", loc="left")
    loss.legend(loc="lower left", handlelength=1.5)
    shown = shown_directions(result.problem.a)
    for j, event in enumerate(EVENTS):
        low, lower, middle, upper, high = np.minimum(result.quantiles(event, LEVELS)[:, shown], result.t_max)
        at, look = np.arange(len(shown)) + 0.3 * j - 0.15, series(j)
        times.vlines(at, low, high, color=look["color"], linewidth=1)
        times.vlines(at, lower, upper, color=look["color"], linewidth=4)
        marks = {"linestyle": "none", "marker": look["marker"], "color": look["color"], "markerfacecolor": "white"}
        times.plot(at, middle, label=event, **marks)
    times.set_xticks(range(len(shown)), [f"{p + 1}" for p in shown])
    times.set_yscale("log")
    times.set_xlabel("direction $p$")
    times.set_ylabel("flow time of transition")
    times.set_title("5–95 %, quartiles, median", loc="left")
    times.legend(loc="lower right", handlelength=1.0)
    label_decades(loss.xaxis, loss.yaxis, times.yaxis)
    return figure


@_drawn.register
def _(result: FiniteLaw, width: str) -> Figure:
    return _drawn(resource_curves.flow_time(result), width)


@_drawn.register
def _(result: Curve, width: str) -> Figure:
    figure, axes = panels(width, 1 + len(result.choice), tall=0.75 * (1 + len(result.choice)), flat=0.42)
    axis, name = axes[0], result.resource
    if len(result.quantiles) > 1:
        band = f"{100 * result.quantiles[0]:g}–{100 * result.quantiles[-1]:g} % of draws"
        axis.fill_between(result.x, result.bands[0], result.bands[-1], color="0.85", linewidth=0, label=band)
    growing = name.startswith("dimension_")
    axis.plot(result.x, result.value, color="black", label="median" if growing else "mean")
    axis.set_ylabel(name.removeprefix("dimension_") if growing else "population loss")
    for other, (chosen, values) in zip(axes[1:], result.choice.items(), strict=True):
        other.plot(result.x, values, color=series(0)["color"])
        other.set_ylabel(f"best {chosen.replace('_', ' ')}")
    for one in axes:
        one.set_xscale("log")
        one.set_yscale("log")
        one.set_xlim(result.x[0], result.x[-1])
        one.set_xlabel("dimension" if growing else name.replace("_", " "))
    if not growing:
        axis.set_ylim(*_range(result.value))
    axis.legend(loc="best", handlelength=1.5)
    label_decades(*(one.xaxis for one in axes), *(one.yaxis for one in axes))
    return figure


def _paths(a: Array, times: Array, strengths: Array, loss: Array, recovery: Array, width: str) -> Figure:
    """Strengths (S, T, P) over a and losses (S, T) at flow times (T,); directions are named where they recover."""
    figure, (steps, losses) = panels(width, 2, tall=1.4, flat=0.42)
    shown, later = shown_directions(a), times > 0
    risen = times[later & (strengths[:, :, shown] > 0.05 * a[shown]).any(axis=(0, 2))]
    start = min(0.5 * risen[0], 0.5 * times[-1]) if risen.size else 0.01 * times[-1]
    start = max(start, times[later][0]) if later.sum() > 1 else start
    for i, p in enumerate(shown):
        look = series(i)
        for row in strengths[:, later, p] / a[p]:
            steps.plot(times[later], row, color=look["color"], linestyle=look["linestyle"], linewidth=0.9)
        if start < recovery[p] <= times[-1]:
            label_at(steps, f"{p + 1}", (recovery[p], 0.5), (-3, 0), ha="right", color=look["color"], fontweight="bold")
    for row in loss[:, later]:
        losses.plot(times[later], row, color="black", linewidth=0.9)
    _losses(losses, loss)
    steps.set_xscale("log")
    steps.set_ylim(-0.04, 1.25)
    for axis in (steps, losses):
        axis.set_xlim(start, times[-1])
        axis.set_xlabel(r"flow time $t = \eta \cdot$ steps")
    steps.set_ylabel(r"strength $\sum_k n_k r_{kp}^2\,/\,a_p$")
    label_decades(steps.xaxis, losses.xaxis, losses.yaxis)
    return figure


def _losses(axis: Axes, loss: Array) -> None:
    """The scales of a panel that shows these losses."""
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_ylim(*_range(loss))
    axis.set_xlabel(r"flow time $t = \eta \cdot$ steps")
    axis.set_ylabel("population loss")


def _range(loss: Array) -> tuple[float, float]:
    """Limits of an axis for losses, of which NaN and 0 are not drawn."""
    known = loss[np.isfinite(loss) & (loss > 0)]
    top = float(known.max()) if known.size else 1.0
    return 0.5 * max(float(known.min()) if known.size else top, 10.0**-DECADES * top), 2 * top
