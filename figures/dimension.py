"""Time and samples to learn one direction against the input dimension.

A random student of m starts at s_0 = r² of order (ln m)/d, and with information exponent k* = 2I the flow
needs T ∝ s_0^{−(I−1)} to align.  Noise makes step sizes far above s_0^{I−1}/d useless, and what is learned does
not come to rest above a ceiling η_c ∝ 1/d, so that

    flow time  T ∝ d^{k*/2 − 1},      samples at the best η  n = T/η ∝ d^{k*/2} below the ceiling, then d^{k* − 1}

(setting of Ren, Nichani, Wu and Lee 2025, arXiv 2504.19983; derived in ``theory.exponent_table``).  Above (left):
alignment time by the finite law (``theory.finite_size_law``; median line, 10–90 % of random starts) and by gradient
flow (median over seeds with its exact interval, ``compare.statistics``).  Below (right): samples to alignment at the
best of a wide list of step sizes, found separately for each d and method: by the law of SGD
(``theory.finite_step_law``; median line, quartiles of its draws) and, for k* = 4, by leap and by the reduced
sampler, which is exact in law but pays for every sample; each half of the seeds is read at the step size that is best
for the other.  Dashed: d^{k*/2−1} and d^{k*−1}.  The exponents are those of the
law, in time over all d and in samples over the last three, with 95 % intervals (``compare.exponent_fit``): in time
they fall short of the asymptote as the best of m overlaps is a little more than ln m/d at small d; in samples the
ceiling rules at small d, and the asymptote begins where the best step size is below it, for k* = 4 at d of some 10⁵.

Sizes: h4 and h6, P = 1, m = 8.  Run time: about three minutes.
Command: ``emergence figures dimension``.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare import Experiment, fit_exponent, measure, median_estimate
from .captions import count_text, exponent_text
from .style import heading, house_style, label_decades, panels, points, series

SUMMARY = "Alignment time and samples against the input dimension for information exponents 4 and 6"
NEAR = (0.04, 0.08, 0.16, 0.32, 0.64)  # of the ceiling of the step size
WIDE = tuple(float(share) for share in np.geomspace(1e-9, 0.64, 28))
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "m": 8, "d": [64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384], "draws": 600,
        "law": {"d": [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576], "seeds": 200, "step_sizes": WIDE},
        "flow": {"d": [64, 512, 4096, 16384], "seeds": 12},
        "leap": {"d": [512, 2048, 8192], "seeds": 12, "step_sizes": NEAR},
        "reduced": {"d": [48, 64, 96], "seeds": 12, "step_sizes": NEAR[2:]},
    },
    "quick": {
        "m": 8, "d": [64, 256, 1024, 4096], "draws": 200,
        "law": {"d": [64, 1024, 16384, 262144], "seeds": 100, "step_sizes": WIDE[1::2]},
        "flow": {"d": [64, 512, 4096], "seeds": 6},
        "leap": {"d": [256, 512, 1024], "seeds": 6, "step_sizes": NEAR[2:]},
        "reduced": {"d": [24, 32, 40], "seeds": 6, "step_sizes": NEAR[2:]},
    },
}  # fmt: skip
SECONDS = {"full": 180.0, "quick": 50.0}
ACTIVATIONS = {4: "h4", 6: "h6"}
LEVELS = {"time": (0.1, 0.5, 0.9), "samples": (0.25, 0.5, 0.75)}  # of SGD a tenth may be beyond the law's horizon
FITTED = {"time": slice(None), "samples": slice(-3, None)}  # of d: past where the ceiling of the step size rules
RUNS = (
    ("time", 4, "flow"), ("time", 6, "flow"), ("samples", 4, "leap"), ("samples", 4, "reduced"),
)  # fmt: skip


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Laws, fits and medians.

    Returns
    -------
    dict
        ``time_d`` and ``samples_d`` (D,); for quantity q of ``time`` (flow time) and ``samples``, and k of 4, 6:
        ``{q}{k}_law`` (3, D): the ``LEVELS`` of draws; ``{q}{k}_fit`` (4,): exponent of the median, its interval,
        asymptote; and for each method that applies ``{q}{k}_{method}`` (4, D'): d, median over seeds and the ends
        of its interval (inf where the seeds that learned within the run do not bound it).  ``seeds`` (3,): of
        flow, leap and reduced; ``m`` ().
    """
    data = {"m": np.array(sizes["m"]), "seeds": np.array([sizes[method]["seeds"] for *_, method in RUNS[1:]])}
    laws = {"time": ("finite_law", {"d": sizes["d"], "seeds": sizes["draws"]}), "samples": ("sgd_law", sizes["law"])}
    for k, quantity in itertools.product(ACTIVATIONS, laws):
        method, part = laws[quantity]
        law = measure(_experiment(quantity, k, method, sizes, part), seed)
        data[f"{quantity}_d"] = law.x
        fitted = law.x[FITTED[quantity]]
        window = (float(fitted[0]), float(fitted[-1]))
        fit = fit_exponent(law.x, law.rows, tail=law.tail, centre=law.centre, window=window)
        data[f"{quantity}{k}_law"] = np.quantile(law.rows, LEVELS[quantity], axis=0, method="inverted_cdf")
        asymptote = k / 2 - 1 if quantity == "time" else k - 1
        data[f"{quantity}{k}_fit"] = np.array([fit.exponent, fit.low, fit.high, asymptote])
    for quantity, k, method in RUNS:
        found = measure(_experiment(quantity, k, method, sizes, sizes[method]), seed)
        medians = [median_estimate(column) for column in found.rows.T]
        rows = [[d, one.median, *one.interval] for d, one in zip(found.x, medians, strict=True)]
        data[f"{quantity}{k}_{method}"] = np.array(rows).T
    return data


def check(sizes: dict[str, Any]) -> None:
    """Refuse what is no experiment."""
    _experiment("time", 4, "finite_law", sizes, {"d": sizes["d"], "seeds": sizes["draws"]})
    _experiment("samples", 4, "sgd_law", sizes, sizes["law"])
    for quantity, k, method in RUNS:
        _experiment(quantity, k, method, sizes, sizes[method])


def _experiment(quantity: str, k: int, method: str, sizes: dict[str, Any], part: dict[str, Any]) -> Experiment:
    return Experiment(
        f"dimension_{quantity}", method, ACTIVATIONS[k], m=sizes["m"], P=1, dimensions=tuple(part["d"]),
        seeds=part["seeds"], step_sizes=tuple(part.get("step_sizes", ())),
    )  # fmt: skip


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Time and samples, side by side but in a column."""
    with house_style(width):
        figure, (time, samples) = panels(width, 2, tall=2.4, flat=0.62)
        for axis, quantity in ((time, "time"), (samples, "samples")):
            _panel(axis, data, quantity)
            axis.set(xscale="log", yscale="log", xlabel="input dimension $d$")
            label_decades(axis.xaxis, axis.yaxis)
        time.set(ylabel="flow time to alignment")
        samples.set(ylabel="samples to alignment, best step size")
        heading(figure, f"one direction, $m={int(data['m'])}$ students")
    return figure


def _panel(axis: Axes, data: dict[str, Array], quantity: str) -> None:
    d, faces = data[f"{quantity}_d"], {"flow": "white", "leap": "white", "reduced": "black"}
    names, lines = {"flow": "gradient flow", "leap": "SGD (leap)", "reduced": "SGD (reduced)"}, []
    for i, k in enumerate(ACTIVATIONS):
        look, (low, middle, high) = series(i), data[f"{quantity}{k}_law"]
        value, least, most, slope = data[f"{quantity}{k}_fit"]
        axis.fill_between(d, low, high, color=look["color"], alpha=0.2, linewidth=0)
        axis.plot(d, middle, color=look["color"], label=f"${ACTIVATIONS[k][0]}_{k}$, law")
        fitted = d[FITTED[quantity]]
        straight = 0.12 * middle[-1] * (fitted / fitted[-1]) ** slope
        axis.plot(
            fitted, straight, color=look["color"], linewidth=points(0.8), linestyle=(0, (5, 2)),
            label=f"$d^{{{slope:.0f}}}$",
        )  # fmt: skip
        for method, face in faces.items():
            if f"{quantity}{k}_{method}" not in data:
                continue
            found = data[f"{quantity}{k}_{method}"]
            x, centre, below, above = found[:, np.isfinite(found[1])]
            axis.errorbar(
                x, centre, [centre - below, np.where(np.isfinite(above), above, centre * 10) - centre],
                elinewidth=points(0.8), capsize=points(2), fmt=look["marker"], color=look["color"],
                markerfacecolor=face, zorder=3,
            )  # fmt: skip
        lines.append(f"$k^*={k}$: exponent {exponent_text(value, least, most)}")
    used = [method for method in faces if f"{quantity}4_{method}" in data]
    seeds = dict(zip(faces, data["seeds"], strict=True))
    for method in used:
        axis.plot(
            [],
            [],
            "o",
            color="0.2",
            markerfacecolor=faces[method],
            label=f"{names[method]}, {int(seeds[method])} seeds",
        )
    name = "finite law" if quantity == "time" else "law of SGD"
    where = "" if quantity == "time" else f", from $d={count_text(int(d[FITTED[quantity]][0]))}$"
    axis.set_title("\n".join([f"median by the {name}{where}", *lines]), loc="left")
    axis.legend(loc="upper left", handlelength=2.0)
    runs = [data[f"{quantity}4_{method}"][0].min() for method in used]
    axis.set_xlim(0.8 * min(d[0], *runs), 1.3 * d[-1])
    least, largest = (data[f"{quantity}{k}_law"][j] for k, j in ((4, 0), (6, 2)))
    axis.set_ylim(0.02 * least[np.isfinite(least)].min(), 1e3 * (largest[-1] / least[0]) ** 0.2 * largest[-1])
