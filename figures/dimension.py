"""Time and samples to learn one direction against the input dimension.

A random student of m starts at s_0 = r² of order (ln m)/d, and with information exponent k* = 2I the flow
needs T ∝ s_0^{−(I−1)} to align, while noise allows step sizes η ∝ s_0^{I−1}/d only, so that

    flow time  T ∝ d^{k*/2 − 1},          samples  n = T/η ∝ d^{k* − 1}

(Ren, Nichani, Wu and Lee 2025, arXiv 2504.19983; T in ``theory.closed_form``).  Above (left): alignment time by
the finite law (``theory.finite_size_law``; median line, 10–90 % of random starts) and by gradient flow (median over
seeds with its exact interval, ``compare.statistics``).  Below (right): samples to alignment at a 20th of the
drift-dominated step size, by the law, by leap, and for k* = 4 at small d by the reduced sampler, which is exact
in law but pays for every sample (and at d = 64 may diverge at this step size).  Dashed:
d^{k*/2−1} and d^{k*−1}.  The numbers are the exponents of the law with 95 % intervals over its starts
(``compare.exponent_fit``); they fall short of the asymptote as the best of m overlaps is a little more than
ln m/d at small d.

Sizes: h4 and h6, P = 1, m = 8.  Run time: about 30 s.
Command: ``emergence figures dimension``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare.experiments import random_starts
from ..compare.exponent_fit import fit_exponent
from ..compare.statistics import median_estimate
from ..problem import Activation, Problem, Teacher
from ..simulate import Leap, Reduced, sgd
from ..theory import finite_law, flow
from ..theory.critical_step_size import drift_dominated_step_sizes
from ..theory.finite_size_law import law_of_starts
from .style import house_style, label_at, label_decades, panels, series

SUMMARY = "Alignment time and samples against the input dimension for information exponents 4 and 6"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "m": 8, "d": [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384], "draws": 600, "step_size": 0.05,
        "flow": {"d": [64, 512, 4096, 16384], "seeds": 12},
        "leap": {"d": [256, 2048, 16384], "seeds": 12},
        "reduced": {"d": [90, 128, 160], "seeds": 12},
    },
    "quick": {
        "m": 8, "d": [64, 256, 1024, 4096], "draws": 200, "step_size": 0.05,
        "flow": {"d": [64, 512, 4096], "seeds": 6},
        "leap": {"d": [256, 1024, 4096], "seeds": 6},
        "reduced": {"d": [64, 72, 80], "seeds": 6},
    },
}  # fmt: skip
SECONDS = {"full": 30.0, "quick": 12.0}
SAMPLERS = {"leap": Leap(), "reduced": Reduced()}
ACTIVATIONS = {4: "h4", 6: "h6"}


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Laws, fits and medians.

    Returns
    -------
    dict
        ``d`` (D,); for quantity q of ``time`` (flow time) and ``samples``, and k of 4, 6: ``{q}{k}_law`` (3, D):
        10, 50 and 90 % of starts; ``{q}{k}_fit`` (4,): exponent of the median, its interval, asymptote; and for
        each method that applies ``{q}{k}_{method}`` (4, D'): d, median over seeds and the ends of its interval
        (inf where the seeds that learned within the run do not bound it).  ``seeds`` (): of the runs.
    """
    data = {"d": np.array(sizes["d"]), "seeds": np.array(sizes["flow"]["seeds"])}
    for k in ACTIVATIONS:
        laws = [finite_law(_problem(k, d, sizes), draws=sizes["draws"], seed=seed) for d in sizes["d"]]
        times = np.stack([law.alignment[:, 0] for law in laws], axis=1)
        steps = np.array([_step_size(law.problem, sizes) for law in laws])
        for quantity, rows, slope in (("time", times, k / 2 - 1), ("samples", times / steps, k - 1)):
            fit = fit_exponent(sizes["d"], rows, tail="none", centre="median")
            data[f"{quantity}{k}_law"] = np.quantile(rows, [0.1, 0.5, 0.9], axis=0, method="inverted_cdf")
            data[f"{quantity}{k}_fit"] = np.array([fit.exponent, fit.low, fit.high, slope])
        for method in ("flow", "leap", "reduced") if k == 4 else ("flow", "leap"):
            quantity = "time" if method == "flow" else "samples"
            part = sizes[method]
            columns = [_transitions(_problem(k, d, sizes), method, part["seeds"], sizes, seed) for d in part["d"]]
            medians = [median_estimate(column) for column in columns]
            rows = [[d, one.median, *one.interval] for d, one in zip(part["d"], medians, strict=True)]
            data[f"{quantity}{k}_{method}"] = np.array(rows).T
    return data


def _problem(k: int, d: int, sizes: dict[str, Any]) -> Problem:
    return Problem(Activation(ACTIVATIONS[k]), Teacher.power_law(1, 1.0), d=d, m=sizes["m"])


def _step_size(problem: Problem, sizes: dict[str, Any]) -> float:
    """A share of the drift-dominated step size at the median best overlap."""
    return sizes["step_size"] * float(drift_dominated_step_sizes(problem)[0])


def _transitions(problem: Problem, method: str, seeds: int, sizes: dict[str, Any], seed: int) -> Array:
    """Flow times or samples to alignment, (seeds,); inf past 2.5 times the median recovery."""
    starts = random_starts(problem, seeds, seed)
    law = law_of_starts(problem, starts)
    horizon = 2.5 * float(np.median(law.recovery))
    if method == "flow":
        every = np.array([True])
        return np.array([flow(problem, r, t_max=horizon, until=every, rtol=1e-5).alignment[0] for r in starts])
    eta = _step_size(problem, sizes)
    run = sgd(problem, eta, int(horizon / eta), seeds=seeds, directions=starts, seed=seed, sampler=SAMPLERS[method],
              records=1)  # fmt: skip
    return run.first_passages("alignment")[:, 0] / eta


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Time and samples, side by side but in a column."""
    with house_style(width):
        figure, (time, samples) = panels(width, 2, tall=1.75, flat=0.5)
        for axis, quantity in ((time, "time"), (samples, "samples")):
            _panel(axis, data, quantity)
            axis.set(xscale="log", yscale="log", xlabel="input dimension $d$")
            label_decades(axis.xaxis, axis.yaxis)
        time.set(ylabel="flow time to alignment", title="")
        samples.set(ylabel="samples to alignment")
    return figure


def _panel(axis: Axes, data: dict[str, Array], quantity: str) -> None:
    d, faces = data["d"], {"flow": "white", "leap": "white", "reduced": "black"}
    names = {"flow": "gradient flow", "leap": "SGD (leap)", "reduced": "SGD (reduced)"}
    for i, k in enumerate(ACTIVATIONS):
        look, (low, middle, high) = series(i), data[f"{quantity}{k}_law"]
        value, least, most, slope = data[f"{quantity}{k}_fit"]
        axis.fill_between(d, low, high, color=look["color"], alpha=0.2, linewidth=0)
        axis.plot(d, middle, color=look["color"])
        axis.plot(d, 0.12 * middle[0] * (d / d[0]) ** slope, color="0.25", linewidth=0.7, linestyle=(0, (5, 2)))
        for method, face in faces.items():
            if f"{quantity}{k}_{method}" not in data:
                continue
            found = data[f"{quantity}{k}_{method}"]
            x, centre, below, above = found[:, np.isfinite(found[1])]
            axis.errorbar(
                x, centre, [centre - below, np.where(np.isfinite(above), above, centre * 10) - centre], elinewidth=0.8,
                capsize=2, fmt=look["marker"], color=look["color"], markerfacecolor=face, zorder=3,
            )  # fmt: skip
        text = f"$k^*={k}$: {value:.3f}\n[{least:.3f}, {most:.3f}]".replace("-", "−")
        axis.text(0.02, 0.98 - 0.17 * (1 - i), text, transform=axis.transAxes, color=look["color"], va="top")
        label_at(
            axis, f"$d^{{{slope:.0f}}}$", (d[-1], 0.12 * middle[0] * (d[-1] / d[0]) ** slope), (2, 0), color="0.25"
        )
    used = [method for method in faces if f"{quantity}4_{method}" in data]
    for method in used:
        axis.plot([], [], "o", color="0.2", markerfacecolor=faces[method], label=names[method])
    axis.plot([], [], color="0.2", label="finite law")
    axis.legend(loc="lower right", handlelength=1.5)
    axis.set_xlim(0.8 * d[0], 1.3 * d[-1])
    largest = data[f"{quantity}6_law"][2, -1]
    axis.set_ylim(0.02 * data[f"{quantity}4_law"][1, 0], 300 * largest)
