"""Theory over simulation for one problem.

Top left, first seed: learned strengths ``Σ_k n_k r_kp² / a_p``, gradient flow as lines, SGD as
points, and the closed-form recovery times (``theory.closed_form``) as triangles at one half, which is what
recovery is.  Bottom left: the loss of the same seed, with the 10–90 % band of SGD over seeds.  Right: predicted
(flow) against measured transition times for every seed, with the median errors that the verdict is about; the grey
wedge is the tolerance, points above the dashed line were not reached within the run.

Where the verdict is about the law of SGD at the step size of the runs (``theory.finite_step_law``; gradient noise
matters and the law holds), its bands are drawn behind those of SGD, over its draws of noise, and of starts where
they are random.  Bottom left: 10–90 % and mean of the loss.  Right, instead: for every direction 5–95 %, quartiles
and median of the predicted alignment and recovery times, beside the measured ones of the seeds that did not diverge.

The picture of a ``Comparison`` is ``draw(data_of(comparison))``; ``compute`` makes one at the sizes
below: σ = h_4, P = 8 directions of strength a_p ∝ 1/p, d = 2048, m = 64 and 12 seeds of the leap
sampler; the literal algorithm at a size in its reach is ``figures.overlay_direct``.  Run time: under a minute.
Command: ``emergence figures overlay``.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .._types import Array
from ..compare.comparison import Comparison, overlay
from ..compare.runs import SAMPLERS, sgd_to
from ..compare.statistics import MedianEstimate
from ..problem.events import EVENTS
from .captions import exponent_text, run_facts, run_text
from .settings import problem_of
from .style import heading, house_style, label_decades, number_steps, page, points, series

SUMMARY = "Theory over SGD for one problem: staircases, loss with its band, transition times"
SIZES: dict[str, dict[str, Any]] = {
    "full": {"sampler": "leap", "activation": "h4", "P": 8, "beta": 1.0, "d": 2048, "m": 64,
             "step_size": 1e-8, "samples": 70_000_000_000, "seeds": 12},
    "quick": {"sampler": "leap", "activation": "h4", "P": 4, "beta": 1.0, "d": 512, "m": 24,
              "step_size": 3e-8, "samples": 4_000_000_000, "seeds": 7},
}  # fmt: skip
SECONDS = {"full": 25.0, "quick": 8.0}

SHOWN = 6  # directions drawn one by one; more would not be told apart
GRID = 600  # points of a theoretical curve
BAND = (0.1, 0.9)  # of the loss
CLOSED: dict[str, Any] = {"marker": "v", "linestyle": "none", "markeredgecolor": "white"}
BOUND = (0, (2, 2))  # dashes of the end of the run
LAW = "#F0E442"  # the palette's yellow, of no series


def check(sizes: dict[str, Any]) -> None:
    """Refuse what is no problem or no sampler."""
    if sizes["sampler"] not in SAMPLERS:
        raise ValueError(f"`sampler` must be one of {', '.join(SAMPLERS)}, but is {sizes['sampler']!r}")
    problem_of(sizes)


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """``data_of`` a comparison at these sizes."""
    problem = problem_of(sizes)
    horizon = sizes["step_size"] * sizes["samples"]
    run = sgd_to(
        problem, sizes["step_size"], horizon, sampler=SAMPLERS[sizes["sampler"]], seeds=sizes["seeds"], seed=seed,
        records=300,
    )  # fmt: skip
    return data_of(overlay(problem, run))


def data_of(comparison: Comparison) -> dict[str, Array]:
    """What the picture shows of a comparison, for K directions, S seeds and T records; flow times.

    ``window`` (2,): the time axis.  ``direction``, ``a``, ``closed_form``, ``recovered`` (K,): number p, strength,
    recovery of the first seed by the closed form and by the flow.  ``grid`` (G,), ``flow_strengths`` (G, K) over
    a_p and ``flow_loss`` (G,): its flow.  ``times`` (T,), ``strengths`` (T, K), ``loss`` (T,): its SGD.
    ``band`` (2, T): 10 and 90 % of the loss of the ``kept`` () seeds that did not diverge, empty for one.
    ``predicted``, ``measured`` (2, K, S): alignment and recovery, NaN where not tested, inf where not reached.
    ``errors`` (2, 3): median relative error of each event over the seeds and its interval.  ``initial_loss``,
    ``t_end``, ``tolerance``, ``verdict`` (); facts of the run.

    Where the verdict is about the law of SGD, for L times and S' kept seeds: ``law_times`` (L,), ``law_loss`` (L,) and
    ``law_band`` (2, L), mean and 10 and 90 % of its draws; ``law_quantiles`` (5, 2, K): ``LEVELS`` of the predicted
    alignment and recovery; ``law_measured`` (2, K, S'); ``law_start`` (): "random" or "given"; ``law_fit`` (2, 2, 3):
    of alignment and recovery the mean PIT and the share inside 5–95 %, with their intervals.
    """
    simulation, prediction, problem = comparison.simulation, comparison.predictions[0], comparison.problem
    shown, solution = shown_directions(problem.a), prediction.flow
    start, end = _window(comparison)
    inside, good = simulation.times >= start, ~simulation.diverged
    grid = np.geomspace(start, min(end, solution.t_end), GRID)
    band = np.zeros((2, 0))
    if good.sum() > 1:
        band = np.quantile(simulation.loss[good][:, inside], BAND, axis=0)
    predicted = np.array([[getattr(item.flow, event)[shown] for item in comparison.predictions] for event in EVENTS])
    measured = np.array([simulation.first_passages(event)[:, shown] for event in EVENTS])
    tested = (predicted > 0) & (predicted <= simulation.t_end)
    return (
        {
            "window": np.array([start, end]),
            "direction": shown + 1,
            "a": problem.a[shown],
            "closed_form": prediction.recovery["closed_form"][shown],
            "recovered": solution.recovery[shown],
            "grid": grid,
            "flow_strengths": solution.strengths_at(grid)[:, shown] / problem.a[shown],
            "flow_loss": solution.loss_at(grid),
            "times": simulation.times[inside],
            "strengths": simulation.strengths[0][np.ix_(inside, shown)] / problem.a[shown],
            "loss": simulation.loss[0, inside],
            "band": band,
            "kept": good.sum(),
            "predicted": np.where(tested, predicted, np.nan).swapaxes(1, 2),
            "measured": np.where(tested, measured, np.nan).swapaxes(1, 2),
            "errors": np.array([_estimate(comparison.agreement.errors["flow"][event]) for event in EVENTS]),
            "initial_loss": solution.loss[0],
            "t_end": np.array(simulation.t_end),
            "tolerance": np.array(comparison.agreement.tolerance),
            "verdict": np.array(comparison.agreement.verdict),
        }
        | run_facts(simulation.run)
        | _law_data(comparison, start, shown)
    )


def _estimate(found: MedianEstimate) -> list[float]:
    return [found.median, *found.interval]


def _law_data(comparison: Comparison, start: float, shown: Array) -> dict[str, Array]:
    """The bands of the law that the verdict is about; nothing where it is about the flow."""
    law, simulation, found = comparison.law, comparison.simulation, comparison.calibration
    if law is None or found is None:
        return {}
    inside, good = law.times >= start, ~simulation.diverged
    return {
        "law_times": law.times[inside],
        "law_loss": law.loss[inside],
        "law_band": np.quantile(law.rows[:, inside], BAND, axis=0),
        "law_quantiles": np.stack([law.quantiles(event)[:, shown] for event in EVENTS], axis=1),
        "law_measured": np.stack([getattr(simulation, event)[good][:, shown].T for event in EVENTS]),
        "law_start": np.array(law.start),
        "law_fit": np.array(
            [[[one[event].mean, *one[event].interval] for one in (found.pit, found.coverage)] for event in EVENTS]
        ),
    }


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The overlay picture; ``width`` is one of ``figures.style.WIDTHS``."""
    with house_style(width):
        narrow = width == "column"
        figure = page(width, 2.2 if narrow else 0.56)
        if narrow:
            axes = figure.subplot_mosaic([["steps"], ["loss"], ["times"]], height_ratios=[1, 1, 1.6])
        else:
            axes = figure.subplot_mosaic([["steps", "times"], ["loss", "times"]], width_ratios=[1.25, 1])
        axes["loss"].sharex(axes["steps"])
        _staircases(axes["steps"], data, narrow)
        _loss(axes["loss"], data)
        logarithmic = [axes["loss"].xaxis, axes["loss"].yaxis, axes["times"].yaxis]
        if "law_times" in data:
            _passages(axes["times"], data)
        else:
            _times(axes["times"], data, narrow)
            logarithmic.append(axes["times"].xaxis)
        heading(figure, run_text(data))
        label_decades(*logarithmic)
    return figure


def shown_directions(a: Array) -> Array:
    """Indices of the directions that are drawn one by one, of those that have a strength."""
    learnable = np.nonzero(a > 0)[0]
    if len(learnable) <= SHOWN:
        return learnable
    return learnable[np.unique(np.geomspace(1, len(learnable), SHOWN).astype(int)) - 1]


def _window(comparison: Comparison) -> tuple[float, float]:
    """Time axis: from well before the first transition to the end of the simulation."""
    first = np.concatenate([p.alignment["flow"] for p in comparison.predictions])
    first = first[np.isfinite(first) & (first > 0)]
    end = comparison.simulation.t_end
    return (min(0.25 * first.min(), 0.5 * end) if first.size else end / 100), end


def _points(times: Array, marker: str, color: str) -> dict[str, Any]:
    """Open markers at about 60 records evenly spaced in ln t, so that they do not run together."""
    wanted = np.geomspace(times[0], times[-1], 60) if times.size else times
    return {
        "linestyle": "none", "marker": marker, "markersize": 0.75 * matplotlib.rcParams["lines.markersize"],
        "markerfacecolor": "white", "markeredgecolor": color, "markeredgewidth": points(0.7), "zorder": 2,
        "markevery": sorted({int(np.argmin(np.abs(times - t))) for t in wanted}),
    }  # fmt: skip


def _staircases(axis: Axes, data: dict[str, Array], narrow: bool) -> None:
    start, end = data["window"]
    handles = [
        Line2D([], [], color="0.2", label="gradient flow"),
        Line2D([], [], label="SGD", **_points(np.zeros(0), "o", "0.2")),
    ]
    if ((start < data["closed_form"]) & (data["closed_form"] < end)).any():
        handles.append(Line2D([], [], color="0.2", label="closed form of ½", **CLOSED))
    for i in range(len(data["direction"])):
        look, closed = series(i), data["closed_form"][i]
        axis.plot(
            data["grid"], data["flow_strengths"][:, i], color=look["color"], linestyle=look["linestyle"], zorder=3
        )
        axis.plot(data["times"], data["strengths"][:, i], **_points(data["times"], look["marker"], look["color"]))
        if start < closed < end:
            axis.plot(closed, 0.5, color=look["color"], zorder=4, **CLOSED)
    axis.set_xscale("log")
    axis.set_xlim(start, end)
    axis.set_ylim(-0.06, 1.5)
    axis.set_yticks([0, 0.5, 1])
    number_steps(axis, np.where(data["recovered"] < end, data["recovered"], np.inf), data["direction"], (1.1, 1.3),
                 narrow=narrow)  # fmt: skip
    axis.set_ylabel(r"strength $\sum_k n_k r_{kp}^2\,/\,a_p$")
    axis.tick_params(labelbottom=False)
    shown, P = len(data["direction"]), int(data["run_P"])
    which = "directions $p$" if shown == P else f"{shown} of {P} directions $p$"
    axis.set_title(f"first seed: {which} one after another", loc="left", pad=points(15))
    axis.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.1,
        handlelength=1.5, columnspacing=1.0, borderpad=0.1,
    )  # fmt: skip


def _loss(axis: Axes, data: dict[str, Array]) -> None:
    if "law_times" in data:
        axis.fill_between(
            data["law_times"], *data["law_band"], color=LAW, alpha=0.6, linewidth=0, label="law of SGD, 10–90 %"
        )
        axis.plot(data["law_times"], data["law_loss"], color="0.3", linestyle=(0, (1, 1)), label="its mean", zorder=3)
    if data["band"].size:
        look: dict[str, Any] = {"color": "0.82", "linewidth": 0}
        if "law_times" in data:  # seen through, and with edges
            look = {"facecolor": (0.5, 0.5, 0.5, 0.3), "edgecolor": "0.4", "linewidth": points(0.6)}
        axis.fill_between(data["times"], *data["band"], label=f"SGD, 10–90 % of {data['kept']} seeds", **look)
    axis.plot(data["grid"], data["flow_loss"], color="black", label="gradient flow, first seed", zorder=3)
    axis.plot(data["times"], data["loss"], label="SGD, first seed", **_points(data["times"], "o", "black"))
    axis.set_xscale("log")
    axis.set_yscale("log")
    top = float(data["initial_loss"])
    axis.set_ylim(1e-3 * top, 2 * top)  # where losses are told apart (``compare.loss_distance.LOSS_FLOOR``)
    axis.set_xlabel(r"flow time $t = \eta \cdot$ steps")
    axis.set_ylabel("population loss")
    axis.legend(loc="lower left", handlelength=1.5)


def _times(axis: Axes, data: dict[str, Array], narrow: bool) -> None:
    known = np.concatenate([data[name][np.isfinite(data[name])] for name in ("predicted", "measured")])
    t_end = float(data["t_end"])
    low, high = 0.6 * float(known[known > 0].min(initial=t_end)), 1.6 * t_end
    diagonal, tolerance = np.array([low, high]), data["tolerance"]
    axis.fill_between(diagonal, diagonal * (1 - tolerance), diagonal * (1 + tolerance), color="0.88", linewidth=0)
    axis.plot(diagonal, diagonal, color="0.4", linewidth=points(0.8))
    handles = []
    for i, p in enumerate(data["direction"]):
        look: dict[str, Any] = {"linestyle": "none", "marker": series(i)["marker"], "color": series(i)["color"]}
        for j, face in enumerate((look["color"], "white")):
            predicted, measured = data["predicted"][j, i], data["measured"][j, i]
            tested = ~np.isnan(predicted)
            heights = np.minimum(measured[tested], high / 1.08)
            axis.plot(predicted[tested], heights, markerfacecolor=face, markeredgewidth=points(0.8), **look)
        handles.append(Line2D([], [], label=f"$p={p}$, $a_p={data['a'][i]:.2f}$", **look))
    events = [
        Line2D([], [], linestyle="none", marker="o", color="0.3", markerfacecolor=face, label=event)
        for event, face, times in zip(EVENTS, ("0.3", "white"), data["predicted"], strict=True)
        if not np.isnan(times).all()
    ]
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(low, high)
    axis.set_ylim(low, high)
    axis.set_aspect("equal", adjustable="box")
    axis.set_xlabel("predicted time (gradient flow)")
    axis.set_ylabel("measured time (SGD)")
    never, pairs = int(np.isinf(data["measured"]).sum()), int((~np.isnan(data["predicted"])).sum())
    if never:
        where = "" if narrow else "above: "
        events.append(Line2D([], [], color="0.4", linestyle=BOUND, label=f"{where}not reached ({never} of {pairs})"))
        axis.axhline(t_end, color="0.4", linestyle=BOUND, linewidth=points(0.8), zorder=1)
    lines = [f"{name} {_percent(*found)}" for name, found in zip(EVENTS, data["errors"], strict=True)]
    axis.set_title("\n".join([f"verdict: {data['verdict']}; median errors:", *lines]), loc="left")
    setting: dict[str, Any] = {"handlelength": 1.2, "borderaxespad": 0.2}
    if narrow:  # under the panel: no corner of it is free for certain
        setting |= {"loc": "upper left", "bbox_to_anchor": (-0.2, 0), "borderaxespad": 4.5}
        axis.legend(handles=[*handles, *events], ncols=2, columnspacing=1.0, **setting)
        return
    below = np.log(t_end / low) / np.log(high / low)  # the end of the run: what was not reached is above
    axis.add_artist(axis.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, below), **setting))
    if events:
        axis.legend(handles=events, loc="lower right", **setting)


def _percent(middle: float, low: float, high: float) -> str:
    """``+1.2 % [−0.3, +2.0]``; a dash where there is none, ∞ for what was not reached."""
    if np.isnan(middle):
        return "—"
    parts = [f"{100 * value:+.1f}".replace("-", "−").replace("inf", "∞") for value in (middle, low, high)]
    return f"{parts[0]} % [{parts[1]}, {parts[2]}]"


def _passages(axis: Axes, data: dict[str, Array]) -> None:
    """Bars of the law of SGD for every direction, alignment left and recovery right, and the measured times on them."""
    start, end = data["window"]
    low, high = 0.2 * start, 1.6 * end  # room for the legend
    for i in range(len(data["direction"])):
        look: dict[str, Any] = {"linestyle": "none", "marker": series(i)["marker"], "color": series(i)["color"]}
        for j, face in enumerate((look["color"], "white")):
            at, bars = i + 0.4 * j - 0.2, np.minimum(data["law_quantiles"][:, j, i], high)
            for (bottom, top), alpha in (((bars[0], bars[4]), 0.5), ((bars[1], bars[3]), 1.0)):
                axis.bar(at, top - bottom, 0.36, bottom, color=LAW, alpha=alpha, linewidth=0)
            if bars[2] < high:
                axis.plot([at - 0.18, at + 0.18], [bars[2], bars[2]], color="black", linewidth=points(1))
            heights = np.minimum(data["law_measured"][j, i], high / 1.08)
            aside = at + 0.12 * np.linspace(-1, 1, heights.size)
            axis.plot(aside, heights, markerfacecolor=face, markeredgewidth=points(0.8), zorder=3, **look)
    axis.set_yscale("log")
    axis.set_ylim(low, high)
    axis.set_xlim(-0.6, len(data["direction"]) - 0.4)
    axis.set_xticks(range(len(data["direction"])), [f"{p}" for p in data["direction"]])
    axis.set_xlabel("direction $p$")
    axis.set_ylabel("flow time of transition")
    lines = [
        f"{event}: {name} {exponent_text(found[0], found[1], found[2], 2)}"
        for event, both in zip(EVENTS, data["law_fit"], strict=True)
        for name, found in zip(("mean PIT", "in 5–95 %"), both, strict=True)
    ]
    axis.set_title("\n".join([f"verdict against the law of SGD: {data['verdict']}", *lines]), loc="left")
    handles: list[Any] = [
        Patch(color=LAW, alpha=0.5, linewidth=0, label=f"law of SGD, {data['law_start']} start, 5–95 %"),
        Patch(color=LAW, linewidth=0, label="its quartiles"),
    ]
    if (data["law_quantiles"][2] < high).any():
        handles.append(Line2D([], [], color="black", linewidth=points(1), label="its median"))
    for event, face in (("SGD, alignment", "0.3"), ("SGD, recovery", "white")):
        handles.append(Line2D([], [], linestyle="none", marker="o", color="0.3", markerfacecolor=face, label=event))
    axis.legend(handles=handles, loc="lower right", handlelength=1.2)
