"""Drift against noise: at which step sizes SGD follows the gradient flow, against the dimension.

One direction, σ = h_4.  The drift of the median best overlap s_0 beats the shrinkage by gradient noise for

    η < η_p = 4 I c² a s_0^{I−1} / (d φ(1) φ'(1))  ∝  d^{−I}        (``theory.critical_step_size``),

while direct SGD stays clear of a blow-up by single samples for κ(η, d) ≤ ¼, η ∝ d^{−½} up to logarithms
(``simulate.danger``).  At η = η_p the shrinkage over the whole alignment time is Γ T = 1.

Measured with the leap sampler, runs of 5 median flow times: a run *follows* the flow when its alignment time is
within a factor of 1.5 of the flow's from the same start.  Tested are the starts which the flow aligns within
5/1.5 median times, a rule that looks at the prediction only; a diverged run has not followed.  *Aligned* is any
run that aligns by the end.  With no label noise the noise of a single direction does not prevent alignment above
η_p but hurries it: it pushes hardest along the teacher's direction (nine times the generic diffusion for h_4),
so runs stop following long before they stop aligning.  Leap does not see blow-ups by single samples: hatched
for κ > ¼, not run for κ > 1.
Left: the fraction that follows.  Right: the same against η/η_p, pooled over the dimensions where κ ≤ ¼ (starts
and noise of all cells are independent), with exact 95 % intervals.

Sizes: m = 8, seven step sizes 0.01 … 10 η_p, d = 64 … 16384, 24 seeds.  Run time: half a minute on two cores.
Command: ``emergence figures phase_diagram``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from .._types import Array
from ..compare.runs import sgd_to
from ..problem import Activation, Problem, Teacher
from ..simulate import Leap
from ..simulate.danger import SAFE, largest_kick
from ..theory import decoupled
from ..theory.critical_step_size import drift_dominated_step_sizes
from ..theory.finite_size_law import law_of_starts
from ..theory.random_init import best_overlap
from .style import house_style, label_at, label_decades, panels, points, series

SUMMARY = "Drift against noise: where SGD follows the gradient flow, by step size and dimension"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "activation": "h4", "m": 8, "dimensions": [64, 256, 1024, 4096, 16384], "seeds": 24,
        "ratios": [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0],
    },
    "quick": {
        "activation": "h4", "m": 8, "dimensions": [64, 1024, 16384], "seeds": 8, "ratios": [0.01, 0.1, 1.0, 10.0],
    },
}  # fmt: skip
SECONDS = {"full": 35.0, "quick": 10.0}
SPAN, FACTOR = 5.0, 1.5  # length of a run in median flow times; how close following is
UNSEEN = 1.0  # κ above which most direct runs blow up, so that leap has nothing to say
CONTROL = Leap(accuracy=0.2)  # times to a few per cent, against a factor of 1.5


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Counts by dimension and step size.

    ``d`` (D,), ``ratio`` (R,), ``threshold`` η_p (D,), ``kick`` κ (D, R); between the dimensions and beyond
    ``edge_d``, ``edge_threshold`` and ``edge_danger``, the step size of κ = ¼ (D + 1,);
    counts of runs ``tested``, ``followed``, ``aligned``, ``diverged`` (D, R); pooled over safe dimensions
    ``pooled_followed`` and ``pooled_aligned`` (R, 3): fraction and 95 % interval, NaN where none is safe.
    """
    dimensions, ratios = sizes["dimensions"], np.array(sizes["ratios"])
    shape = (len(dimensions), len(ratios))
    threshold = np.zeros(len(dimensions))
    kick, counts = np.zeros(shape), np.zeros((4, *shape), dtype=int)
    for i, d in enumerate(dimensions):
        problem, threshold[i], horizon = _scales(sizes, d)
        for j, ratio in enumerate(ratios):
            eta = ratio * threshold[i]
            kick[i, j] = largest_kick(problem, eta, 1, horizon / eta * sizes["seeds"])
            if kick[i, j] > UNSEEN:
                continue
            run = sgd_to(
                problem, eta, horizon, seeds=sizes["seeds"], sampler=CONTROL, records=1,
                seed=1000 * seed + i * len(ratios) + j,
            )  # fmt: skip
            flow = law_of_starts(problem, run.directions).alignment[:, 0]
            found = run.first_passages("alignment")[:, 0]
            tested = horizon >= FACTOR * flow
            followed = tested & (found <= FACTOR * flow) & (found >= flow / FACTOR)
            counts[:, i, j] = [tested.sum(), followed.sum(), np.isfinite(found[tested]).sum(), run.diverged.sum()]
    tested, followed, aligned, diverged = counts
    edge_d = np.maximum(np.round(_edges(np.array(dimensions))), sizes["m"] + 2).astype(int)
    edges = [_scales(sizes, int(d)) for d in edge_d]
    return {
        "d": np.array(dimensions), "ratio": ratios, "threshold": threshold, "kick": kick,
        "edge_d": edge_d, "edge_threshold": np.array([limit for _, limit, _ in edges]),
        "edge_danger": np.array([_danger(problem, sizes["seeds"] * time, limit) for problem, limit, time in edges]),
        "tested": tested, "followed": followed, "aligned": aligned, "diverged": diverged,
        "pooled_followed": _pooled(followed, tested, kick <= SAFE),
        "pooled_aligned": _pooled(aligned, tested, kick <= SAFE),
    }  # fmt: skip


def _scales(sizes: dict[str, Any], d: int) -> tuple[Problem, float, float]:
    """The problem at dimension d, its η_p and the flow time of its runs."""
    problem = Problem(Activation(sizes["activation"]), Teacher([1.0]), d=d, m=sizes["m"])
    median = decoupled.alignment_time(problem.activation, problem.a, np.sqrt(best_overlap(problem, 0.5)))
    return problem, float(drift_dominated_step_sizes(problem)[0]), SPAN * float(median[0])


def _danger(problem: Problem, flow_time: float, start: float) -> float:
    """Step size of κ = ¼ for runs of a given flow time; κ/η depends on η through a logarithm only."""
    eta = start
    for _ in range(30):
        eta *= SAFE / largest_kick(problem, eta, 1, flow_time / eta)
    return eta


def _pooled(hits: Array, of: Array, where: Array) -> Array:
    """Fraction and exact 95 % interval over the rows where ``where``, (R, 3)."""
    out = np.full((hits.shape[1], 3), np.nan)
    for j, safe in enumerate(where.T):
        count, total = int(hits[safe, j].sum()), int(of[safe, j].sum())
        if total:
            bounds = binomtest(count, total).proportion_ci(0.95)
            out[j] = count / total, bounds.low, bounds.high
    return out


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The plane of dimension and step size, and the fractions against η/η_p."""
    with house_style(width):
        figure, axes = panels(width, 2, tall=1.6, flat=0.46)
        _plane(axes[0], figure, data)
        _fractions(axes[1], data)
    return figure


def _edges(x: Array) -> Array:
    """Edges of cells around positions, in the logarithm."""
    y = np.log(x)
    inner = 0.5 * (y[1:] + y[:-1])
    return np.exp(np.concatenate([[2 * y[0] - inner[0]], inner, [2 * y[-1] - inner[-1]]]))


def _plane(axis: Axes, figure: Figure, data: dict[str, Array]) -> None:
    d, threshold, danger = data["edge_d"], data["edge_threshold"], data["edge_danger"]
    tested = data["tested"]
    fraction = np.ma.masked_array(data["followed"] / np.maximum(tested, 1), tested == 0).T
    y = np.outer(_edges(data["ratio"]), threshold)
    top = 2 * y.max()
    mesh = axis.pcolormesh(np.broadcast_to(d, y.shape), y, fraction, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(
        mesh, ax=axis, label=f"runs within a factor {FACTOR:g} of the flow", pad=0.02, shrink=0.9, anchor=(0, 0)
    )
    axis.fill_between(d, danger, top, facecolor="none", edgecolor="0.5", hatch="////", linewidth=0, zorder=1.5)
    axis.plot(d, threshold, color="white", linewidth=points(2.5))
    axis.plot(d, threshold, color="black", label=r"$\eta_p$: drift = noise")
    axis.plot(d, danger, color="black", linestyle=series(1)["linestyle"], label=r"$\kappa = 1/4$")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(d[0], d[-1])
    axis.set_ylim(0.5 * y.min(), top)
    label_at(axis, "single samples may\nblow direct SGD up", (d[-1], top), (-4, -14), ha="right", va="top")
    axis.legend(loc="lower left")
    axis.set_xlabel("dimension $d$")
    axis.set_ylabel(r"step size $\eta$")
    label_decades(axis.xaxis, axis.yaxis)


def _fractions(axis: Axes, data: dict[str, Array]) -> None:
    ratio = data["ratio"]
    fraction = data["followed"] / np.maximum(data["tested"], 1)
    for i, d in enumerate(data["d"]):
        safe = data["kick"][i] <= SAFE
        axis.plot(ratio[safe], fraction[i, safe], linestyle="none", marker=series(i)["marker"], markersize=points(3),
                  markerfacecolor="none", markeredgecolor="0.55", label=f"$d = {d}$")  # fmt: skip
    for i, (name, label) in enumerate((("pooled_followed", "follows"), ("pooled_aligned", "aligns"))):
        value, low, high = data[name].T
        look = series(i)
        axis.fill_between(ratio, low, high, color=look["color"], alpha=0.2, linewidth=0)
        axis.plot(ratio, value, color=look["color"], linestyle=look["linestyle"], zorder=3)
        known = np.nonzero(np.isfinite(value))[0]
        if known.size:
            label_at(axis, label, (ratio[known[-1]], value[known[-1]]), (4, 0), color=look["color"])
    axis.axvline(1.0, color="black", linewidth=points(0.7))
    axis.set_xscale("log")
    axis.set_xlim(0.6 * ratio[0], 3 * ratio[-1])
    axis.set_ylim(0, 1.06)
    axis.set_xlabel(r"$\eta / \eta_p$")
    axis.set_ylabel("fraction of runs")
    axis.legend(loc="lower left", handletextpad=0.2)
    label_decades(axis.xaxis)
