"""Predicted against measured transition times over randomly drawn problems, for the three levels of theory.

    closed form   leading order in s_0 and n_0, ``theory.closed_form``
    decoupled     one direction, one student: ∫ ds / (2 a √s φ'(√s)(1−s))
    flow          gradient flow of the whole population loss

Each problem draws its activation (h_4, h_6, h_4 + h_6/2, |x| without degrees below 4), β in [0, 1.2], P in
1 … 6, m = 3 P … 5 P (8 or more) and d.  It is predicted from its start and run with the leap sampler at 3e-3 of the
drift-dominated step size (of a start no better than r_0² = 2.25/d), up to 1.5 times the last recovery of the
flow.  A time is shown, measured against predicted by the flow, and as a ratio to each
level, where it is predicted within the run; what the run did not reach lies on the upper edge
and counts as later than every time in the medians and 10–90 % ranges of measured/predicted.

k* = 6 keeps to d ≤ 110, where the flow times (∝ d²) stay in reach of an explicit solver; m ≥ 8 keeps away from
starts with r_0² far below 1/d, which diffusion moves at any step size that drift beats otherwise.
Sizes: 32 problems.  Run time: under a minute.  Command: ``emergence figures transition_times``.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .._types import Array
from ..compare.comparison import relative_errors
from ..compare.runs import sgd_to
from ..problem import Activation, Problem, Teacher
from ..problem.events import EVENTS
from ..theory import LEVELS, predict
from ..theory.critical_step_size import drift_dominated_step_size
from .captions import run_text
from .style import heading, house_style, label_decades, page, points, series

SUMMARY = "Predicted against measured transition times over random problems, three levels of theory"
SIZES: dict[str, dict[str, Any]] = {
    "full": {"problems": 32, "P": 6, "dimension": 1500, "step_size": 3e-3},
    "quick": {"problems": 8, "P": 3, "dimension": 600, "step_size": 3e-3},
}
SECONDS = {"full": 45.0, "quick": 9.0}

ACTIVATIONS = (("h4", 0), ("h6", 0), ("h4 + h6/2", 0), ("abs(x)", 4))  # text, degrees below removed
LABELS = (r"$h_4$", r"$h_6$", r"$h_4+\frac{1}{2}h_6$", r"$|x|$, degrees $\geq 4$")
HIGHEST = {4: np.inf, 6: 110}  # d for each information exponent
EDGES = (0.75, 1.5)  # of the panel of ratios: what lies beyond is drawn there


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Flow times of N transitions, two events a direction: ``activation``, ``event`` (N,), ``measured`` (N,).

    ``predicted`` and ``ratio`` (measured/predicted), (3, N) by ``theory.LEVELS``: NaN where not tested, a ratio is
    inf where the run did not reach a transition.  ``median``, ``low``, ``high`` (3, 2): of the ratios by level
    and event.  ``problems`` (); facts of the runs.
    """
    rng = np.random.default_rng([seed, 7])
    activations = [Activation(*given) for given in ACTIVATIONS]
    parts = []
    for i in range(sizes["problems"]):
        which = i % len(activations)
        problem = _problem(activations[which], sizes, rng)
        start = problem.initial_coordinates(rng)
        prediction = predict(problem, start, rtol=1e-6)
        taken = prediction.student
        r0 = np.minimum(np.abs(start[taken, np.arange(problem.P)]), 1.5 * problem.d**-0.5)
        eta = sizes["step_size"] * float(drift_dominated_step_size(problem, problem.a, r0, 1).min())
        horizon = 1.5 * float(
            np.max(prediction.recovery["flow"], where=np.isfinite(prediction.recovery["flow"]), initial=0)
        )
        run = sgd_to(problem, eta, horizon, directions=start, records=2, seed=seed + i)
        for j, event in enumerate(EVENTS):
            predicted = np.array([getattr(prediction, event)[level] for level in LEVELS])
            measured = run.first_passages(event)[0]
            ratio = 1 + relative_errors(predicted, measured, run.t_end)
            parts.append((np.full(problem.P, which), np.full(problem.P, j), measured, predicted, ratio))
    which_, event_, measured_, predicted_, ratio_ = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    tested = ~np.isnan(ratio_)
    levels = [
        [[_quantile(ratio_[i, tested[i] & (event_ == j)], q) for j in range(2)] for i in range(3)]
        for q in (0.1, 0.5, 0.9)
    ]
    low, median, high = np.array(levels)
    return {
        "activation": which_, "event": event_, "measured": measured_,
        "predicted": np.where(tested, predicted_, np.nan), "ratio": ratio_, "low": low, "median": median, "high": high,
        "problems": np.array(sizes["problems"]), "run_sampler": np.array("leap"),
        "run_share": np.array(sizes["step_size"]),
    }  # fmt: skip


def _problem(activation: Activation, sizes: dict[str, Any], rng: np.random.Generator) -> Problem:
    k = activation.information_exponent
    assert k is not None
    P = int(rng.integers(1, min(sizes["P"], 6 if k == 4 else 4) + 1))
    m = max(8, P * int(rng.integers(3, 6)))
    lowest = P + m + 40  # overlaps of a random start are small
    highest = max(min(sizes["dimension"], HIGHEST[k]), 1.2 * lowest)
    d = int(lowest * (highest / lowest) ** rng.uniform())
    return Problem(activation, Teacher.power_law(P, beta=float(rng.uniform(0, 1.2))), d=d, m=m)


def _quantile(values: Array, q: float) -> float:
    """A value that occurs: no mean of a finite and an infinite ratio."""
    return float(np.quantile(values, q, method="inverted_cdf")) if values.size else np.nan


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Measured against predicted times by the flow, and beside (on a narrow page below) the ratios for each level."""
    with house_style(width):
        narrow = width == "column"
        figure = page(width, 2.9 if narrow else 0.8)
        if narrow:
            axes = figure.subplot_mosaic([[name] for name in ("times", *LEVELS)], height_ratios=[1.5, 1, 1, 1])
        else:
            axes = figure.subplot_mosaic([["times", level] for level in LEVELS], width_ratios=[1, 1.15])
        known = data["predicted"][np.isfinite(data["predicted"])]
        span = 0.6 * known.min(), 1.7 * known.max()
        _times(axes["times"], data, span)
        for level, name in enumerate(LEVELS):
            _ratios(axes[name], data, level, span)
            axes[name].tick_params(labelbottom=name == LEVELS[-1])
        axes[LEVELS[-1]].set_xlabel("predicted flow time")
        label_decades(axes["times"].xaxis, axes["times"].yaxis, axes[LEVELS[-1]].xaxis)
        heading(figure, f"{run_text(data)}, {int(data['problems'])} random problems")
    return figure


def _groups(data: dict[str, Array], level: int) -> list[tuple[dict[str, Any], Array]]:
    """Look and members of each activation and event."""
    found = []
    for i in range(len(ACTIVATIONS)):
        look = {"linestyle": "none", "marker": series(i)["marker"], "color": series(i)["color"], "alpha": 0.9}
        look |= {"markeredgewidth": points(0.7), "markersize": 0.8 * matplotlib.rcParams["lines.markersize"]}
        for event, face in enumerate((series(i)["color"], "white")):
            members = (data["activation"] == i) & (data["event"] == event) & ~np.isnan(data["ratio"][level])
            found.append((look | {"markerfacecolor": face}, members))
    return found


def _times(axis: Axes, data: dict[str, Array], span: tuple[float, float]) -> None:
    axis.plot(span, span, color="0.4", linewidth=points(0.8), zorder=1)
    flow = LEVELS.index("flow")
    for look, members in _groups(data, flow):
        axis.plot(data["predicted"][flow, members], np.minimum(data["measured"][members], span[1] / 1.25), **look)
    axis.set(xscale="log", yscale="log", xlim=span, ylim=span, xlabel="predicted flow time (flow)")
    axis.set_ylabel("measured flow time")
    axis.set_aspect("equal", adjustable="box")
    axis.set_anchor("N")
    axis.legend(handles=_handles(), loc="upper left", bbox_to_anchor=(0, 0.93), handlelength=0.8)


def _ratios(axis: Axes, data: dict[str, Array], level: int, span: tuple[float, float]) -> None:
    axis.axhline(1, color="0.4", linewidth=points(0.8), zorder=1)
    for look, members in _groups(data, level):
        axis.plot(
            data["predicted"][level, members], np.clip(data["ratio"][level, members], *EDGES), clip_on=False, **look
        )
    axis.set(xscale="log", xlim=span, ylim=(0.71, 1.54), ylabel="measured / predicted")
    axis.set_yticks([0.75, 1, 1.25, 1.5], ["≤0.75", "1", "1.25", "≥1.5"])
    ratio = data["ratio"][level][~np.isnan(data["ratio"][level])]
    beyond = int(((ratio < EDGES[0]) | (ratio > EDGES[1])).sum())
    lines = [f"{LEVELS[level].replace('_', ' ')}: {ratio.size} pairs, {beyond} beyond the edges"]
    for j, event in enumerate(EVENTS):
        middle, low, high = (data[name][level, j] for name in ("median", "low", "high"))
        lines.append(f"{event}: median {middle:.3f}, 10–90 % [{low:.2f}, {high:.2f}]")
    axis.set_title("\n".join(lines), loc="left")


def _handles() -> list[Line2D]:
    shapes = [
        Line2D([], [], linestyle="none", marker=series(i)["marker"], color=series(i)["color"], label=label)
        for i, label in enumerate(LABELS)
    ]
    return shapes + [
        Line2D([], [], linestyle="none", marker="o", color="0.3", markerfacecolor=face, label=label)
        for label, face in (("alignment", "0.3"), ("recovery", "white"))
    ]
