"""Is the law of SGD a law?  Predicted distributions of transition times behind measured ones, and their calibration.

Left: for every direction and event the density of ln t by the law of SGD (``theory.finite_step_law``) over random
starts and noise, as a violin with its median, and on it the measured times of all seeds; what was not reached within
the runs is above the dashed line.  Right: every measured time put through the distribution function of its direction
(probability integral transform, ``compare.calibration``).  Were the law right the values would be uniform; the grey
band holds the count of a bin with probability 0.95 if all values are independent, which those of one seed are not
quite.  The mean (½) and the share inside the law's 5–95 % band (0.9) have 95 % intervals over seeds.

SGD is by leap, at a step size where gradient noise matters (``--set sampler=reduced`` is exact in law, and for sizes
like P = 2, m = 8, d = 64).  Sizes: h4, β = 0.8, P = 16, m = 64, d = 1024, η = 0.2 of the ceiling, 40 seeds.  Run time:
about a minute.  Command: ``emergence figures calibration``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.stats import binom, gaussian_kde

from .._types import Array
from ..compare.calibration import BINS, calibrate, calibration_refusal
from ..compare.runs import SAMPLERS
from ..problem.events import EVENTS
from ..simulate import sgd
from ..theory.finite_step_law import VALID, sgd_law_refusal
from ..theory.gradient_noise import ceiling
from ..theory.random_init import best_overlap
from ..theory.transition_times import transition_times
from .captions import exponent_text, run_facts, run_text
from .settings import problem_of
from .style import heading, house_style, label_decades, page, points, series

SUMMARY = "Predicted distributions of transition times behind those of SGD, with their calibration"
SIZES: dict[str, dict[str, Any]] = {
    "full": {"sampler": "leap", "activation": "h4", "beta": 0.8, "P": 16, "m": 64, "d": 1024, "step_size": 0.2,
             "length": 3.0, "seeds": 40},
    "quick": {"sampler": "reduced", "activation": "h4", "beta": 1.0, "P": 2, "m": 8, "d": 32, "step_size": 0.2,
              "length": 3.0, "seeds": 12},
}  # fmt: skip
SECONDS = {"full": 60.0, "quick": 10.0}
SHADE = "#F0E442"  # the palette's yellow, of no series


def check(sizes: dict[str, Any]) -> None:
    """Refuse what is no problem, or what the law of SGD does not know."""
    if sizes["sampler"] not in SAMPLERS:
        raise ValueError(f"`sampler` must be one of {', '.join(SAMPLERS)}, but is {sizes['sampler']!r}")
    if not 0 < sizes["step_size"] <= VALID:
        raise ValueError(
            f"`step_size` must be above 0 and at most {VALID} of the ceiling, but is {sizes['step_size']:g}"
        )
    if not sizes["length"] > 0:
        raise ValueError(f"`length` must be positive, but is {sizes['length']:g}")
    if sizes["seeds"] < 6:
        raise ValueError(f"intervals over seeds need at least 6, but `seeds` is {sizes['seeds']}")
    refusal = sgd_law_refusal(problem_of(sizes))
    if refusal is not None:
        raise ValueError(refusal)


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Runs of ``length`` recovery times of the weakest direction from the median best overlap, and the law of SGD.

    ``a`` (P,); ``drawn`` (2, D, P), ``measured`` (2, S, P): alignment and recovery by D draws of the law and by the S
    seeds that did not diverge, inf where not reached; ``t_end`` (), ``diverged`` (); ``histogram`` (2, BINS): PIT
    values; ``pit``, ``inside`` (2, 3): mean PIT and share inside 5–95 %, with intervals; facts of the run.

    Raises
    ------
    ValueError
        Fewer than two runs did not diverge.
    """
    problem = problem_of(sizes)
    eta = sizes["step_size"] * ceiling(problem)
    typical = np.sqrt(best_overlap(problem, 0.5))
    _, recovery = transition_times(problem.activation, problem.a[-1:], np.array([typical]), problem.init_scale**2)
    samples = int(np.ceil(sizes["length"] * float(recovery[0]) / eta))
    found = sgd(
        problem, eta, samples, seeds=sizes["seeds"], seed=seed, sampler=SAMPLERS[sizes["sampler"]], records=1
    )  # fmt: skip
    result = calibrate(found)
    if result is None:
        raise ValueError(str(calibration_refusal(found)))
    return {
        "a": problem.a, "drawn": np.stack([getattr(result.law, event) for event in EVENTS]),
        "measured": np.stack([getattr(found, event)[~found.diverged] for event in EVENTS]),
        "t_end": np.array(found.t_end), "diverged": np.array(found.diverged.sum()),
        "histogram": np.stack([result.histogram[event] for event in EVENTS]),
        "pit": np.array([[result.pit[event].mean, *result.pit[event].interval] for event in EVENTS]),
        "inside": np.array([[result.coverage[event].mean, *result.coverage[event].interval] for event in EVENTS]),
    } | run_facts(found.run)  # fmt: skip


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The distributions, and beside (in a column below) the two histograms."""
    with house_style(width):
        if width == "column":
            figure = page(width, 2.5)
            axes = figure.subplot_mosaic([["times"], ["alignment"], ["recovery"]], height_ratios=[1.8, 1, 1])
        else:
            figure = page(width, 0.62)
            axes = figure.subplot_mosaic([["times", "alignment"], ["times", "recovery"]], width_ratios=[1.4, 1])
        _times(axes["times"], data)
        for j, event in enumerate(EVENTS):
            _histogram(axes[event], data, j, event)
        axes[EVENTS[-1]].set_xlabel("PIT: the law's probability of a time\nbefore the measured one")
        heading(figure, f"{run_text(data)}, {int(data['diverged'])} diverged")
    return figure


def _times(axis: Axes, data: dict[str, Array]) -> None:
    P, t_end = len(data["a"]), float(data["t_end"])
    known = np.concatenate([data[name][np.isfinite(data[name])] for name in ("drawn", "measured")])
    low, high = 0.12 * known.min(), 1.7 * t_end
    for p in range(P):
        for j, face in enumerate((series(p)["color"], "white")):
            at, drawn = p + 1 + 0.44 * j - 0.22, np.log(data["drawn"][j, :, p])
            reached = drawn[np.isfinite(drawn)]
            if np.unique(reached).size > 2:
                grid = np.linspace(reached.min(), min(reached.max(), np.log(t_end)), 120)
                half = gaussian_kde(reached)(grid)
                half *= 0.2 / half.max()
                axis.fill_betweenx(np.exp(grid), at - half, at + half, color=SHADE, linewidth=0)
            middle = np.exp(np.quantile(drawn, 0.5, method="inverted_cdf"))
            if middle < high:
                axis.plot([at - 0.2, at + 0.2], [middle, middle], color="black", linewidth=points(1))
            heights = np.minimum(data["measured"][j, :, p], high / 1.15)
            aside = at + 0.15 * np.linspace(-1, 1, heights.size)
            axis.plot(
                aside, heights, linestyle="none", marker=series(p)["marker"], color=series(p)["color"],
                markerfacecolor=face, markersize=points(2.5), markeredgewidth=points(0.6), zorder=3,
            )  # fmt: skip
    axis.axhline(t_end, color="0.4", linestyle=(0, (2, 2)), linewidth=points(0.8))
    axis.set(yscale="log", ylim=(low, high), xlim=(0.5, P + 0.5), xlabel="direction $p$")
    axis.set_xticks(range(1, P + 1, 1 + P // 9))
    axis.set_ylabel("flow time of transition")
    handles: list[Any] = [Patch(color=SHADE, linewidth=0, label="law of SGD, density of ln $t$"),
               Line2D([], [], color="black", linewidth=points(1), label="its median")]  # fmt: skip
    for event, face in (("SGD, alignment", "0.3"), ("SGD, recovery", "white")):
        look: dict[str, Any] = {"linestyle": "none", "marker": "o", "color": "0.3", "markersize": points(2.5)}
        handles.append(Line2D([], [], markerfacecolor=face, label=event, **look))
    never = int(np.isinf(data["measured"]).sum())
    text = f"end of the runs; above: not reached ({never} of {data['measured'].size})" if never else "end of the runs"
    handles.append(Line2D([], [], color="0.4", linestyle=(0, (2, 2)), label=text))
    axis.legend(handles=handles, loc="lower right", handlelength=1.4)
    label_decades(axis.yaxis)


def _histogram(axis: Axes, data: dict[str, Array], j: int, event: str) -> None:
    counts, edges = data["histogram"][j], np.linspace(0, 1, BINS + 1)
    total = float(counts.sum())
    axis.axhspan(*binom.ppf([0.025, 0.975], round(total), 1 / BINS), color="0.88", linewidth=0)
    axis.axhline(total / BINS, color="0.4", linewidth=points(0.8))
    axis.stairs(counts, edges, color=series(0)["color"], linewidth=points(1.3))
    axis.set(xlim=(0, 1), ylim=(0, 1.25 * max(counts.max(), binom.ppf(0.975, round(total), 1 / BINS))), ylabel="count")
    lines = [
        f"{event}: mean PIT {exponent_text(*data['pit'][j])}",
        f"inside 5–95 %: {exponent_text(*data['inside'][j])}",
    ]
    axis.set_title("\n".join(lines), loc="left")
