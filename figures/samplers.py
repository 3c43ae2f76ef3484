"""The three samplers of online SGD: one law, three prices.

Left: empirical distribution functions of the alignment times of one direction, from the same initial directions
with streams of samples of their own.  For two independent samples of n values each, the exact law of the largest
distance D is (Gnedenko & Korolyuk 1951)

    P(D ≥ k/n) = 2 Σ_{i ≥ 1} (−1)^{i+1} C(2n, n − ik) / C(2n, n),

and D_0.01 is the least k/n at which it is at most 1e-2.  Shared starts correlate the samples, so the critical
value is conservative.  The grey band is the 95 % Dvoretzky–Kiefer–Wolfowitz band of direct, ± √(ln 40 / 2n).

Right: numbers of operations, counted and not timed, of the matrix work alone: multiply-adds plus normals drawn.

    direct    2 m d  multiply-adds (inner products and update) and d normals a sample
    reduced   2 m w, w = P + m + b, and its share 1/b of a compression, Σ_{i<m} 2 (m − i)(w − P − i), free of d
    leap      a macro-step: 4 m² (P + m) for two drifts, 2 V m (P + m + V) for V virtual samples and
              m² (m + V) − m³/3 for the factorisation, with V (P + m) + V(V + 1)/2 normals

with b samples between compressions.  Middle: one sample against d.  Right: a run to a fixed flow time, η = t/n,
against its number of samples n; macro-steps of leap are counted in runs (range over the seeds shaded).

Sizes: P = 1, h_4; 100 seeds at d = 32, m = 4; costs at m = 16, P = 8, runs at d = 256.  Run time: two minutes.
Command: ``emergence figures samplers``.
"""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare.runs import SAMPLERS, sgd_to
from ..problem import Activation, Problem, Teacher
from ..problem.seeds import DATA, DIRECTIONS, seed_stream
from ..simulate import Leap, Reduced, Run
from ..simulate.samplers.leap import LeapRun
from ..simulate.samplers.reduced import ReducedRun
from .captions import problem_facts, run_facts, run_text
from .style import WIDTHS, house_style, label_at, label_decades, panels, series, wrapped

SUMMARY = "The three samplers: equal laws of alignment times, and what a sample and a run cost"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "d": 32, "m": 4, "step_size": 2e-5, "flow_time": 6.0, "seeds": 100, "dimensions": [64, 10**3, 10**4, 10**6],
        "cost_P": 8, "cost_m": 16, "cost_d": 256, "cost_flow_time": 60.0, "cost_seeds": 2,
        "samples": [10**k for k in (5, 7, 9, 11, 13, 15)],
    },
    "quick": {
        "d": 32, "m": 4, "step_size": 2e-5, "flow_time": 6.0, "seeds": 20, "dimensions": [64, 10**3, 10**4, 10**6],
        "cost_P": 8, "cost_m": 16, "cost_d": 256, "cost_flow_time": 20.0, "samples": [10**k for k in range(6, 15, 4)],
        "cost_seeds": 1,
    },
}  # fmt: skip
SECONDS = {"full": 240.0, "quick": 13.0}
METHODS = ("direct", "reduced", "leap")
LEVEL = 0.01


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Alignment times and counts.

    ``alignment`` (3, S) sorted flow times, inf beyond ``horizon`` (); ``distance`` (2,) of reduced and leap from
    direct, ``critical`` (); ``d`` (D,) with ``per_sample`` operations of direct and reduced (2, D); ``samples`` (N,)
    with ``macro_steps`` (N, C) and ``per_run`` operations of direct, reduced (2, N) and ``leap_run`` (N, C); facts of
    the runs on the left, ``run_…``, and of the problem of the other panels, ``cost_…`` ().
    """
    problem = Problem(Activation("h4"), Teacher([1.0]), d=sizes["d"], m=sizes["m"])
    starts = np.stack([problem.initial_directions(seed_stream(seed, i, DIRECTIONS)) for i in range(sizes["seeds"])])
    runs = [
        sgd_to(
            problem, sizes["step_size"], sizes["flow_time"], seeds=sizes["seeds"], directions=starts,
            sampler=SAMPLERS[method], seed=seed + i, records=1,
        )
        for i, method in enumerate(METHODS)
    ]  # fmt: skip
    order = np.sort([run.first_passages("alignment")[:, 0] for run in runs], axis=1)
    cost = Problem(
        Activation("h4"), Teacher.power_law(sizes["cost_P"], 1.0), d=sizes["cost_d"], m=sizes["cost_m"]
    )  # fmt: skip
    direct, reduced = _sample_costs(cost, np.array(sizes["dimensions"], dtype=float))
    at_d = _sample_costs(cost, np.array([cost.d], dtype=float))
    numbers = np.array(sizes["samples"], dtype=float)
    steps = np.array([
        [_macro_steps(cost, sizes["cost_flow_time"] / n, n, seed, i) for i in range(sizes["cost_seeds"])]
        for n in sizes["samples"]
    ])  # fmt: skip
    return {
        "alignment": order, "horizon": np.array(runs[0].t_end),
        "distance": np.array([ks_distance(order[0], other) for other in order[1:]]),
        "critical": np.array(critical_distance(sizes["seeds"], LEVEL)),
        "d": np.array(sizes["dimensions"]), "per_sample": np.stack([direct, reduced]),
        "samples": numbers, "macro_steps": steps,
        "per_run": np.stack([each[0] * numbers for each in at_d]), "leap_run": steps * _macro_step_cost(cost),
    } | run_facts(runs[0].run) | problem_facts(cost, "cost")  # fmt: skip


def ks_distance(one: Array, other: Array) -> float:
    """Largest distance between two empirical distribution functions; inf counts as later than every time."""
    at = np.concatenate([one, other])
    at = at[np.isfinite(at)]
    levels = [np.searchsorted(np.sort(x), at, side="right") / len(x) for x in (one, other)]
    return float(np.max(np.abs(levels[0] - levels[1]), initial=0.0))


def critical_distance(n: int, level: float) -> float:
    """The least k/n with P(D ≥ k/n) ≤ level for two samples of n; inf where there is none."""
    for k in range(1, n + 1):
        tail = 2 * sum((-1) ** (i + 1) * comb(2 * n, n - i * k) for i in range(1, n // k + 1))
        if tail / comb(2 * n, n) <= level:
            return k / n
    return float("inf")


def _sample_costs(problem: Problem, d: Array) -> tuple[Array, Array]:
    """Operations a sample of direct and reduced at dimensions d."""
    m, P = problem.m, problem.P
    start = problem.init_scale * problem.initial_coordinates(seed_stream(0, 0, DIRECTIONS))
    state = ReducedRun(Run(problem, 1e-9, 1, sampler=Reduced()), start, seed_stream(0, 0, DATA)).snapshot()
    width, block = state["W"].shape[1], state["noise"].size
    compression = sum(2 * (m - i) * (width - P - i) for i in range(m))
    reduced = 2 * m * width + (compression + state["drawn"].size) / block
    return 2 * m * d + d, np.full(len(d), reduced)


def _macro_step_cost(problem: Problem) -> float:
    """Operations of one macro-step of leap."""
    m, P, V = problem.m, problem.P, Leap().virtual
    drift, noise, factor = 4 * m**2 * (P + m), 2 * V * m * (P + m + V), m**2 * (m + V) - m**3 / 3
    return drift + noise + factor + V * (P + m) + V * (V + 1) / 2


def _macro_steps(problem: Problem, eta: float, samples: int, seed: int, index: int) -> int:
    """Macro-steps that leap takes for a run of ``samples`` samples."""
    start = problem.init_scale * problem.initial_coordinates(seed_stream(seed, index, DIRECTIONS))
    run = LeapRun(Run(problem, eta, samples, sampler=Leap()), start, seed_stream(seed, index, DATA), Leap())
    count, left = 0, samples
    while left:
        left -= run.advance(left)
        count += 1
    return count


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Three panels: laws, cost of a sample, cost of a run."""
    with house_style(width):
        figure, axes = panels(width, 3, tall=2.35, flat=0.39)
        _laws(axes[0], data)
        _per_sample(axes[1], data)
        _per_run(axes[2], data)
        runs = ("" if width == "column" else "left: ") + run_text(data, sampler="SGD")
        figure.legend(
            loc="outside upper left", ncols=1 if width == "column" else 3, alignment="left", handlelength=1.6,
            title=wrapped(f"{runs}, $D$ from direct, 1 % critical: {float(data['critical']):.2f}", WIDTHS[width]),
            title_fontsize="small",
        )  # fmt: skip
        for axis, changed in zip(axes[1:], ({"d": ""}, {}), strict=True):
            axis.set_title(run_text(data, "cost", activation="", **changed), loc="left")
    return figure


def _laws(axis: Axes, data: dict[str, Array]) -> None:
    horizon, n = float(data["horizon"]), data["alignment"].shape[1]
    names = ["direct", *(f"{name}, $D = {x:.2f}$" for name, x in zip(METHODS[1:], data["distance"], strict=True))]
    for i, (times, name) in enumerate(zip(data["alignment"], names, strict=True)):
        reached = times[times <= horizon]
        at = np.concatenate([[0.0], reached, [horizon]])
        level = np.concatenate([np.arange(len(reached) + 1), [len(reached)]]) / n
        look = series(i)
        if i == 0:
            slack = np.sqrt(np.log(40) / (2 * n))
            axis.fill_between(at, np.clip(level - slack, 0, 1), np.clip(level + slack, 0, 1), step="post",
                              color="0.88", linewidth=0)  # fmt: skip
        axis.step(at, level, where="post", color=look["color"], linestyle=look["linestyle"], label=name)
    axis.set_xlim(0, horizon)
    axis.set_ylim(-0.04, 1.02)
    axis.set_xlabel("alignment time (flow time)")
    axis.set_ylabel(f"fraction of {n} runs aligned")


def _per_sample(axis: Axes, data: dict[str, Array]) -> None:
    for i, values in enumerate(data["per_sample"]):
        axis.plot(data["d"], values, **series(i))
        at = len(data["d"]) - 1 if i else len(data["d"]) // 2
        label_at(
            axis, METHODS[i], (data["d"][at], values[at]), (-6, 9 if i else 6), ha="right", color=series(i)["color"]
        )
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("dimension $d$")
    axis.set_ylabel("operations a sample")
    label_decades(axis.xaxis, axis.yaxis)


def _per_run(axis: Axes, data: dict[str, Array]) -> None:
    n = data["samples"]
    for i, values in enumerate(data["per_run"]):
        axis.plot(n, values, **{**series(i), "marker": ""})
    cost = data["leap_run"]
    axis.fill_between(n, cost.min(axis=1), cost.max(axis=1), color=series(2)["color"], alpha=0.25, linewidth=0)
    axis.plot(n, np.median(cost, axis=1), **series(2))
    label_at(axis, "direct", (n[-1], data["per_run"][0, -1]), (-10, 0), ha="right", color=series(0)["color"])
    label_at(axis, "reduced", (n[len(n) // 2], data["per_run"][1, len(n) // 2]), (8, -8), color=series(1)["color"])
    label_at(axis, "leap", (n[-1], np.median(cost[-1])), (0, 9), ha="right", color=series(2)["color"])
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("samples of a run")
    axis.set_ylabel("operations a run")
    label_decades(axis.xaxis, axis.yaxis)
