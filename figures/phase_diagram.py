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
Left: how many follow of how many were tested, in each cell of d × η/η_p, under the contours of theory: η_p, κ = ¼, and
the ceiling above which nothing that is learned comes to rest (``theory.gradient_noise``).  Right: the fractions at
each d, none pooled with another, where κ ≤ ¼, with exact 95 % intervals (starts and noise of all cells are
independent).

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
from ..theory.gradient_noise import ceiling
from ..theory.random_init import best_overlap
from .captions import count_text, problem_facts, run_text
from .style import heading, house_style, label_at, label_decades, panels, points, series

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


def check(sizes: dict[str, Any]) -> None:
    """Refuse what is no problem, or no direction that is learned alone."""
    for name in ("dimensions", "ratios"):
        if sorted(set(sizes[name])) != sizes[name] or len(sizes[name]) < 2:
            raise ValueError(f"`{name}` must be two or more and ascend, but are {sizes[name]}")
    problem, _, _ = _scales(sizes, sizes["dimensions"][0])
    refusal = decoupled.decoupled_refusal(problem)
    if refusal is not None:
        raise ValueError(refusal)


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Counts by dimension and step size.

    ``d`` (D,), ``ratio`` η/η_p (R,), ``kick`` κ (D, R); between the dimensions and beyond ``edge_d`` (D + 1,) and,
    over η_p, the step size of κ = ¼ ``edge_danger`` and the ceiling ``edge_ceiling`` (D + 1,);
    counts of runs ``tested``, ``followed``, ``aligned``, ``diverged`` (D, R); ``interval`` (2, D, R): exact 95 % one of
    the fraction that follows, NaN where none was tested; facts of the runs.
    """
    dimensions, ratios = sizes["dimensions"], np.array(sizes["ratios"])
    shape = (len(dimensions), len(ratios))
    kick, counts = np.zeros(shape), np.zeros((4, *shape), dtype=int)
    for i, d in enumerate(dimensions):
        problem, threshold, horizon = _scales(sizes, d)
        for j, ratio in enumerate(ratios):
            eta = ratio * threshold
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
    limits = np.array([limit for _, limit, _ in edges])
    danger = [_danger(problem, sizes["seeds"] * time, limit) for problem, limit, time in edges]
    facts = {"run_sampler": np.array("leap"), "run_seeds": np.array(sizes["seeds"])} | problem_facts(problem, "run")
    return facts | {
        "d": np.array(dimensions), "ratio": ratios, "kick": kick, "edge_d": edge_d, "edge_danger": danger / limits,
        "edge_ceiling": np.array([ceiling(problem) for problem, *_ in edges]) / limits,
        "tested": tested, "followed": followed, "aligned": aligned, "diverged": diverged,
        "interval": _intervals(followed, tested),
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


def _intervals(hits: Array, of: Array) -> Array:
    """Exact 95 % interval of each fraction, (2, D, R)."""
    out = np.full((2, *hits.shape), np.nan)
    for at in np.argwhere(of):
        bounds = binomtest(int(hits[*at]), int(of[*at])).proportion_ci(0.95)
        out[:, *at] = bounds.low, bounds.high
    return out


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The plane of dimension and step size, and the fractions against η/η_p."""
    with house_style(width):
        figure, axes = panels(width, 2, tall=2.3, flat=0.56)
        _plane(axes[0], figure, data)
        _fractions(axes[1], data)
        heading(figure, f"{run_text(data, d='')} a cell")
    return figure


def _edges(x: Array) -> Array:
    """Edges of cells around positions, in the logarithm."""
    y = np.log(x)
    inner = 0.5 * (y[1:] + y[:-1])
    return np.exp(np.concatenate([[2 * y[0] - inner[0]], inner, [2 * y[-1] - inner[-1]]]))


def _plane(axis: Axes, figure: Figure, data: dict[str, Array]) -> None:
    edge, rows, tested, danger = data["edge_d"], _edges(data["ratio"]), data["tested"], data["edge_danger"]
    fraction = np.ma.masked_array(data["followed"] / np.maximum(tested, 1), tested == 0)
    mesh = axis.pcolormesh(edge, rows, fraction.T, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(
        mesh, ax=axis, label=f"follow: within a factor {FACTOR:g} of the flow", pad=0.02, shrink=0.9, anchor=(0, 0)
    )
    axis.set(xscale="log", yscale="log", xlabel="dimension $d$", ylabel=r"step size $\eta\,/\,\eta_p$")
    axis.set_xlim(edge[0], edge[-1])
    axis.set_ylim(rows[0], rows[-1])
    axis.fill_between(edge, danger, rows[-1], facecolor="none", edgecolor="0.6", hatch="////", linewidth=0, zorder=1.5)
    contours = (
        (np.ones_like(danger), r"$\eta_p$: drift = noise", "-"), (danger, r"$\kappa=1/4$: single samples", (0, (5, 2))),
        (data["edge_ceiling"], "ceiling", (0, (1, 1.5))),
    )  # fmt: skip
    for values, label, dashes in contours:
        axis.plot(edge, values, color="white", linewidth=points(2.5))
        axis.plot(edge, values, color="black", linestyle=dashes, label=label)
    for (i, j), count in np.ndenumerate(tested):
        if count:
            shade = "black" if fraction[i, j] > 0.5 else "white"
            at = np.sqrt(edge[i] * edge[i + 1]), rows[j] ** 0.3 * rows[j + 1] ** 0.7
            ground = {"facecolor": mesh.to_rgba(fraction[i, j]), "edgecolor": "none", "pad": points(0.6)}
            label_at(axis, f"{data['followed'][i, j]}/{count}", at, ha="center", color=shade, fontsize=points(5.5),
                     bbox=ground)  # fmt: skip
    axis.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=1, handlelength=2.2,
        title="hatched: leap may not see the end\nwhite: not run",
        alignment="left",
    )  # fmt: skip
    label_decades(axis.xaxis, axis.yaxis)


def _fractions(axis: Axes, data: dict[str, Array]) -> None:
    ratio, fraction = data["ratio"], data["followed"] / np.maximum(data["tested"], 1)
    for i, d in enumerate(data["d"]):
        safe, look = (data["kick"][i] <= SAFE) & (data["tested"][i] > 0), series(i)
        middle, (low, high) = fraction[i, safe], data["interval"][:, i, safe]
        aside = ratio[safe] * 1.06 ** (i - 0.5 * (len(data["d"]) - 1))  # so that intervals do not hide each other
        axis.errorbar(
            aside, middle, [middle - low, high - middle], color=look["color"], linestyle=look["linestyle"],
            marker=look["marker"], elinewidth=points(0.7), linewidth=points(1), label=f"$d={count_text(int(d))}$",
        )  # fmt: skip
    axis.axvline(1.0, color="black", linewidth=points(0.7))
    axis.set(xscale="log", xlim=(0.6 * ratio[0], 1.7 * ratio[-1]), ylim=(-0.03, 1.05))
    axis.set(xlabel=r"$\eta / \eta_p$", ylabel="fraction that follows, 95 % intervals")
    seen = data["kick"] <= SAFE
    aligned, tested = int(data["aligned"][seen].sum()), int(data["tested"][seen].sum())
    axis.set_title(f"aligned by the end: {aligned} of {tested}\n" + r"(all cells of $\kappa\leq 1/4$)", loc="left")
    axis.legend(loc="lower left", bbox_to_anchor=(0, 0), handletextpad=0.4)
    label_decades(axis.xaxis)
