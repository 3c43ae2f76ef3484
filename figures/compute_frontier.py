"""Loss against compute, students × flow time: the lower envelope over widths.

A network of m students pays C = m t for flow time t.  With m ≈ q students for the q strongest directions,
learned by t_q ∝ q^β, the best width for each C gives

    C ∝ q^{1+β},    L ∝ q^{1−2β}        ⇒        L ∝ C^{(1−2β)/(1+β)}:   −1/3 at β = 0.8

(derived in ``theory.exponent_table``; of Ren, Nichani, Wu and Lee 2025, arXiv 2504.19983, a plot at h4, d = 2048, P =
1024 of slope about −1/3 is known at second hand, its window is not).  At such sizes the envelope is steeper by about
one half, for reasons that the finite law (``theory.finite_size_law``) contains:

    the tail        L ∝ q^{1−2β} − P^{1−2β}, as P directions are all there are;
    the logarithm   the best of m students starts at s_0 ≈ 2 (ln m)/d, so T_p falls as 1/ln m and C ∝ q^{1+β}/ln q.

Together (derived here) the slope is −(2β − 1)/[(1 + β − 1/ln m)(1 − (q/P)^{2β−1})], dotted below.  What is still
missing comes from the students: late directions choose among those left over, and m exceeds q by a factor
that falls towards 1 along the envelope.  All but the tail fades as 1/ln P.

Above: loss at each width (thin; mean over random starts), envelope (thick, with 10–90 %), slope −1/3, and the
exponent fitted in the form with a tail (``compare.exponent_fit``, 95 % interval).  Below: slope of the envelope
over half a decade, at this P and at a larger one.  Finite law alone; x is in units of d, as T_p ∝ d.

Sizes: above; and P = 20000 at d = 10⁶.  Run time: about 6 s.
Command: ``emergence figures compute_frontier``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare.exponent_fit import fit_exponent, local_exponents
from ..problem import Activation, Problem, Teacher
from ..theory import finite_law, resource_curves
from .style import house_style, label_at, label_decades, page, series

SUMMARY = "Loss against students x flow time: envelope over widths and its slope"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "beta": 0.8, "shown": 10,
        "P": 1024, "d": 2048, "m": 4096, "widths": 37, "draws": 32,
        "larger": {"P": 20000, "d": 1_000_000, "m": 40000, "widths": 37, "draws": 8},
    },
    "quick": {
        "beta": 0.8, "shown": 7,
        "P": 256, "d": 2048, "m": 1024, "widths": 19, "draws": 16,
        "larger": {"P": 3000, "d": 1_000_000, "m": 6000, "widths": 19, "draws": 8},
    },
}  # fmt: skip
SECONDS = {"full": 6.0, "quick": 3.0}
SLOPE_DECADES = 0.5


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Envelopes and slopes; compute in units of d, losses as shares of the loss at the start.

    Returns
    -------
    dict
        ``x``, ``best``, ``low``, ``high``, ``width`` (X,): envelope, 10–90 %, best width; ``m`` (K,), ``curves``
        (K, X): single widths; ``fit`` (3,), ``window`` (2,); ``slope_x``, ``slope``, ``expected`` (Y,): local
        slopes and those of the tail and the logarithm; ``larger_x``, ``larger_slope`` (Z,); ``P``, ``larger_P``,
        ``d``, ``beta`` ().
    """
    problem, envelope = _envelope(sizes["beta"], sizes, seed)
    share = 2 / problem.activation.second_moment
    every = envelope.choice["width"][envelope.value < 0.9 * envelope.value[0]]
    shown = np.unique(np.round(np.geomspace(every.min(), every.max(), sizes["shown"])).astype(int))
    curves = []
    for m in shown:
        narrow, _ = _law(sizes["beta"], sizes | {"m": int(m)}, seed)
        curves.append(share * narrow.loss_at(envelope.x / m).mean(axis=0))
    x = envelope.x / problem.d
    fit = fit_exponent(x, envelope.rows)
    slope_x, slope = _slopes(x, share * envelope.value)
    width = np.interp(np.log(slope_x), np.log(x), envelope.choice["width"])
    left = np.interp(np.log(slope_x), np.log(x), share * envelope.value)
    expected = _expected(problem, sizes["beta"], width, left)
    larger, wide = _envelope(sizes["beta"], sizes["larger"], seed)
    larger_x, larger_slope = _slopes(wide.x / larger.d, share * wide.value)
    return {
        "x": x, "best": share * envelope.value, "low": share * envelope.bands[0], "high": share * envelope.bands[-1],
        "width": envelope.choice["width"], "m": shown, "curves": np.stack(curves),
        "fit": np.array([fit.exponent, fit.low, fit.high]), "window": np.array(fit.window),
        "slope_x": slope_x, "slope": slope, "expected": expected,
        "larger_x": larger_x, "larger_slope": larger_slope,
        "P": np.array(problem.P), "larger_P": np.array(larger.P), "d": np.array(problem.d),
        "beta": np.array(sizes["beta"]),
    }  # fmt: skip


def _law(beta: float, sizes: dict[str, Any], seed: int) -> tuple[Any, Problem]:
    problem = Problem(Activation("h4"), Teacher.power_law(sizes["P"], beta), d=sizes["d"], m=sizes["m"])
    return finite_law(problem, draws=sizes["draws"], seed=seed), problem


def _envelope(beta: float, sizes: dict[str, Any], seed: int) -> tuple[Problem, resource_curves.Curve]:
    law, problem = _law(beta, sizes, seed)
    widths = np.unique(np.round(np.geomspace(4, sizes["m"], sizes["widths"])).astype(int))
    return problem, resource_curves.compute_width_time(law, widths.tolist())


def _slopes(x: Array, loss: Array) -> tuple[Array, Array]:
    """Local slopes from the first step to where P directions end."""
    used = (loss < 0.7) & (loss > 3e-3 * loss[0])
    found = local_exponents(x[used], loss[used], window_decades=SLOPE_DECADES)
    return found.x, found.slope


def _expected(problem: Problem, beta: float, width: Array, left: Array) -> Array:
    """Slope by the tail and the logarithm, where a share ``left`` of the loss remains at the best ``width``."""
    remaining = np.cumsum((problem.a**2)[::-1])  # after P, P − 1, … directions
    unlearned = np.interp(left, remaining, 1.0 + np.arange(problem.P))
    q = problem.P - unlearned + 0.5
    return -(2 * beta - 1) / (1 + beta - 1 / np.log(width)) / (1 - (q / (problem.P + 0.5)) ** (2 * beta - 1))


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The envelope and, sharing its axis, the slopes."""
    with house_style(width):
        figure = page(width, 1.5 if width == "column" else 0.72)
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1.7, 1])
        _curves(top, data)
        _slope_panel(bottom, data)
        label_decades(top.xaxis, top.yaxis)
    return figure


def _curves(axis: Axes, data: dict[str, Array]) -> None:
    x, best, look = data["x"], data["best"], series(0)
    for curve in data["curves"]:
        axis.plot(x, curve, color="0.55", linewidth=0.6)
    axis.fill_between(x, data["low"], data["high"], color=look["color"], alpha=0.25, linewidth=0)
    axis.plot(x, best, color=look["color"], linewidth=2.2)
    beta = float(data["beta"])
    slope = (1 - 2 * beta) / (1 + beta)
    ends = data["window"] * np.array([1.0, 0.4])
    start = 0.6 * np.interp(ends[0], x, best)
    axis.plot(ends, start * (ends / ends[0]) ** slope, color="0.25", linewidth=0.9)
    value, low, high = data["fit"]
    text = f"envelope: fit {value:.3f}\n[{low:.3f}, {high:.3f}]\nthin line: asymptote {slope:.3f}"
    axis.text(0.02, 0.02, text.replace("-", "−"), transform=axis.transAxes, ha="left", va="bottom")
    axis.set(xscale="log", yscale="log", ylabel="loss / initial loss")
    axis.set_ylim(3e-3, 1.7)
    axis.set_xlim(0.3 * x[np.argmax(best < 0.9)], 2 * data["window"][1])
    right = axis.get_xlim()[1]
    for i, m in enumerate(data["m"]):
        floor = np.interp(right, x, data["curves"][i])
        if floor > 4e-3:
            label_at(axis, f"$m={int(m)}$" if i == 0 else f"${int(m)}$", (right, floor), (2, 0), color="0.35")
    axis.set_title(f"finite law, $P={int(data['P'])}$, $d={int(data['d'])}$", loc="left")


def _slope_panel(axis: Axes, data: dict[str, Array]) -> None:
    beta = float(data["beta"])
    asymptote = (1 - 2 * beta) / (1 + beta)
    axis.axhline(asymptote, color="0.25", linewidth=0.9)
    lines = (
        ("slope_x", "slope", "-", series(0)["color"], f"$P={int(data['P'])}$"),
        ("slope_x", "expected", ":", "black", "tail and logarithm alone"),
        ("larger_x", "larger_slope", "--", series(1)["color"], f"$P={int(data['larger_P'])}$"),
    )
    for x, y, style, color, label in lines:
        axis.plot(data[x], data[y], color=color, linestyle=style, label=label)
    axis.set_ylim(-1.05, -0.2)
    axis.set(xlabel=r"compute $m\,t\,/\,d$", ylabel="slope")
    axis.legend(loc="lower left", handlelength=1.8)
