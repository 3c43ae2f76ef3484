"""Loss against compute, students × flow time: the lower envelope over widths, by gradient flow and by the finite law.

A network of m students pays C = m t for flow time t.  With m ≈ q students for the q strongest directions,
learned by t_q ∝ q^β, the best width for each C gives

    C ∝ q^{1+β},    L ∝ q^{1−2β}        ⇒        L ∝ C^{(1−2β)/(1+β)}:   −1/3 at β = 0.8

(derived in ``theory.exponent_table``; of Ren, Nichani, Wu and Lee 2025, arXiv 2504.19983, a plot at h4, d = 2048, P =
1024 of slope about −1/3 is known at second hand, its axes, widths and window are not).  At such sizes the envelope is
steeper, for reasons that the finite law (``theory.finite_size_law``) contains:

    the tail        L ∝ q^{1−2β} − P^{1−2β}, as P directions are all there are;
    the logarithm   the best of m students starts at s_0 ≈ 2 (ln m)/d, so T_p falls as 1/ln m and C ∝ q^{1+β}/ln q.

Together (derived here) the slope is −(2β − 1)/[(1 + β − 1/ln m)(1 − (q/P)^{2β−1})], dotted below.  All but the tail
fades as 1/ln P.

Above: full gradient flows at each width to the same compute (thin; mean over seeds), their envelope (thick, with
range), the law from the same starts (dashed), and below the envelope the form with a tail and the straight line that
the exponents belong to, over their window (``compare.exponent_fit``, 95 % intervals; those of the flow with the law as
control variate, the end of the tail that of the law).  Below: slope over half a decade of the flows (with interval)
and of the law, at this P and at larger ones by the law alone.  x is in units of d, as T_p ∝ d.

Sizes: above; widths 4, 8, …, 4096 to m t = 2·10⁷, six seeds; the law at P = 10⁴ and 10⁵, d = 2P.  A flow takes
0.3 s at m = 16, 5 s at m = 1024 and 25 s at m = 4096 (processor time).  Run time: some five minutes.
Command: ``emergence figures compute_frontier``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare.experiment import MIN_SEEDS
from ..compare.exponent_fit import ExponentFit, LocalExponents, fit_exponent, local_exponents
from ..compare.runs import lower_envelope, random_starts
from ..problem import Activation, Problem, Teacher
from ..theory import finite_law, flow, resource_curves
from ..theory.finite_size_law import law_of_starts
from .captions import count_text, exponent_text
from .settings import check_power_law
from .style import heading, house_style, label_decades, page, points, series, wrapped

SUMMARY = "Loss against students x flow time: envelope over widths and its slope, by gradient flow and its law"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "beta": 0.8, "P": 1024, "d": 2048, "widths": [2**i for i in range(2, 13)], "compute": 2e7, "seeds": 6,
        "draws": 64,
        "larger": [
            {"P": 10_000, "d": 20_000, "widths": 33, "draws": 16},
            {"P": 100_000, "d": 200_000, "widths": 33, "draws": 4},
        ],
    },
    "quick": {
        "beta": 0.8, "P": 128, "d": 512, "widths": [2**i for i in range(2, 10)], "compute": 5e5, "seeds": 6,
        "draws": 64,
        "larger": [
            {"P": 1_000, "d": 2_000, "widths": 17, "draws": 16},
            {"P": 10_000, "d": 20_000, "widths": 17, "draws": 4},
        ],
    },
}  # fmt: skip
SECONDS = {"full": 300.0, "quick": 10.0}
SLOPE_DECADES = 0.5
LOWERED = 0.45  # fits, so that they do not hide the envelope


def check(sizes: dict[str, Any]) -> None:
    """Refuse what has no power law, or is no problem."""
    check_power_law(sizes["beta"])
    if sorted(set(sizes["widths"])) != sizes["widths"] or len(sizes["widths"]) < 3:
        raise ValueError(f"`widths` must be three or more and ascend, but are {sizes['widths']}")
    if sizes["seeds"] < MIN_SEEDS:
        raise ValueError(f"an interval over seeds needs at least {MIN_SEEDS}, but `seeds` is {sizes['seeds']}")
    for part in (sizes, *sizes["larger"]):
        _problem(sizes["beta"], part["P"], part["d"], sizes["widths"][-1])


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Envelopes and slopes; compute in units of d, losses as shares of the loss at the start.

    Returns
    -------
    dict
        ``x``, ``best``, ``low``, ``high``, ``law`` (X,): envelope of the flows, its mean, least and largest over the
        seeds, and the finite law's from the same starts; ``width`` (X,): best width of the flows; ``m`` (K,),
        ``curves`` (K, X): single widths; ``window`` (2,) of ``flow_fit``, ``law_fit``,
        ``flow_line_fit``, ``law_line_fit`` (3,): exponents and intervals, in the form with a tail, which ends at
        ``fit_end`` (), and of straight lines; ``slope_x``, ``slope_law``, ``slope_expected`` (Y,): local slopes of the
        law and of the tail and the logarithm; ``slope_flow`` (3, Y), with interval; for the i-th larger size
        ``larger{i}`` (2, Z): compute and slope of the law; ``larger_P`` (I,); ``P``, ``d``, ``beta``, ``seeds`` ().
    """
    widths = sizes["widths"]
    problem = _problem(sizes["beta"], sizes["P"], sizes["d"], widths[-1])
    many = resource_curves.compute_width_time(finite_law(problem, draws=sizes["draws"], seed=seed), widths)
    used = many.x <= sizes["compute"]
    x, rows = many.x[used], many.rows[:, used]
    flows, laws = _runs(problem, sizes, x, seed)
    (found, best), (same, _) = lower_envelope(flows), lower_envelope(laws)
    share = 2 / problem.activation.second_moment
    fit = fit_exponent(x, found, control=(same, rows))
    line: dict[str, Any] = {"tail": "none", "window": fit.window}
    law_mean = share * rows.mean(axis=0)
    slopes = _slopes(x, law_mean)
    local = [
        _interval(fit_exponent(x, found, tail="none", window=window, control=(same, rows)))
        for window in zip(slopes.low, slopes.high, strict=True)
    ]
    data = {
        "x": x / problem.d, "best": share * found.mean(axis=0), "low": share * found.min(axis=0),
        "high": share * found.max(axis=0), "law": share * same.mean(axis=0),
        "width": np.array(widths)[best], "m": np.array(widths),
        "curves": share * flows.mean(axis=1), "window": np.array(fit.window) / problem.d,
        "flow_fit": _interval(fit), "fit_end": np.array(fit.end / problem.d),
        "flow_line_fit": _interval(fit_exponent(x, found, control=(same, rows), **line)),
        "law_fit": _interval(fit_exponent(x, rows, window=fit.window)),
        "law_line_fit": _interval(fit_exponent(x, rows, **line)),
        "slope_x": slopes.x / problem.d, "slope_law": slopes.slope, "slope_flow": np.transpose(local),
        "slope_expected": _expected(
            problem, sizes["beta"], np.interp(slopes.x, x, many.choice["width"][used]), np.interp(slopes.x, x, law_mean)
        ),
        "larger_P": np.array([larger["P"] for larger in sizes["larger"]]),
        "P": np.array(problem.P), "d": np.array(problem.d), "beta": np.array(sizes["beta"]),
        "seeds": np.array(sizes["seeds"]),
    }  # fmt: skip
    for i, larger in enumerate(sizes["larger"]):
        wide = _problem(sizes["beta"], larger["P"], larger["d"], 2 * larger["P"])
        every = np.unique(np.round(np.geomspace(4, wide.m, larger["widths"])).astype(int)).tolist()
        curve = resource_curves.compute_width_time(finite_law(wide, draws=larger["draws"], seed=seed), every)
        there = _slopes(curve.x, share * curve.value)
        data[f"larger{i}"] = np.stack([there.x / wide.d, there.slope])
    return data


def _problem(beta: float, P: int, d: int, m: int) -> Problem:
    return Problem(Activation("h4"), Teacher.power_law(P, beta), d=d, m=m)


def _runs(problem: Problem, sizes: dict[str, Any], x: Array, seed: int) -> tuple[Array, Array]:
    """Losses at compute x of gradient flows, and of the law from their starts: (W, S, X)."""
    flows = np.empty((len(sizes["widths"]), sizes["seeds"], x.size))
    laws = np.empty_like(flows)
    for w, m in enumerate(sizes["widths"]):
        narrow = replace(problem, m=m)
        times = x / m
        starts = random_starts(narrow, sizes["seeds"], seed)
        for i, rows in enumerate(starts):
            flows[w, i] = flow(narrow, rows, t_max=times[-1], times=times).loss_at(times)
        laws[w] = law_of_starts(narrow, starts).loss_at(times)
    return flows, laws


def _interval(fit: ExponentFit) -> Array:
    return np.array([fit.exponent, fit.low, fit.high])


def _slopes(x: Array, loss: Array) -> LocalExponents:
    """Local slopes from the first step to where P directions end."""
    used = (loss < 0.7) & (loss > 3e-3 * loss[0])
    return local_exponents(x[used], loss[used], window_decades=SLOPE_DECADES)


def _expected(problem: Problem, beta: float, width: Array, left: Array) -> Array:
    """Slope by the tail and the logarithm, where a share ``left`` of the loss remains at the best ``width``."""
    remaining = np.cumsum((problem.a**2)[::-1])  # after P, P − 1, … directions
    unlearned = np.interp(left, remaining, 1.0 + np.arange(problem.P))
    q = problem.P - unlearned + 0.5
    return -(2 * beta - 1) / (1 + beta - 1 / np.log(width)) / (1 - (q / (problem.P + 0.5)) ** (2 * beta - 1))


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The envelope and, below, the slopes."""
    with house_style(width):
        figure = page(width, 2.4 if width == "column" else 0.98)
        top, bottom = figure.subplots(2, 1, height_ratios=[1.7, 1])
        _curves(top, data, figure.get_figwidth())
        _slope_panel(bottom, data, 2 if width == "column" else 3)
        label_decades(top.xaxis, top.yaxis, bottom.xaxis)
        heading(figure, "gradient flow, " + _sizes(data))
    return figure


def _sizes(data: dict[str, Array]) -> str:
    m = data["m"]
    return (
        rf"$h_4$, $\beta={float(data['beta']):g}$, $P={int(data['P'])}$, $d={int(data['d'])}$, "
        f"$m={int(m[0])}$ … ${int(m[-1])}$, {int(data['seeds'])} seeds"
    )


def _curves(axis: Axes, data: dict[str, Array], width: float) -> None:
    x, best, look = data["x"], data["best"], series(0)
    for i, curve in enumerate(data["curves"]):
        axis.plot(x, curve, color="0.6", linewidth=points(0.6), label="single widths" if i == 0 else None)
    axis.fill_between(x, data["low"], data["high"], color=look["color"], alpha=0.25, linewidth=0)
    axis.plot(x, best, color=look["color"], linewidth=points(2.2), label="gradient flow: envelope, mean and range")
    axis.plot(
        x, data["law"], color="black", linestyle="--", linewidth=points(1.0), label="finite law from the same starts"
    )
    slope, window, end = _limit(data), data["window"], float(data["fit_end"])
    t = np.geomspace(window[0], window[1], 100)
    for name, dashes in (("flow_fit", "-"), ("flow_line_fit", (0, (1, 1)))):
        exponent = data[name][0]
        form = t**exponent - (end**exponent if name == "flow_fit" else 0.0)
        height = np.exp(np.mean(np.log(np.interp(t, x, best) / form)))  # through the envelope, then lowered
        text = "fit with a tail" if name == "flow_fit" else "straight line"
        axis.plot(
            t, LOWERED * height * form, color=series(1)["color"], linewidth=points(0.9), linestyle=dashes,
            label=f"{text}, lowered:\nexponent {exponent_text(*data[name])}",
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel=r"compute $m\,t\,/\,d$", ylabel="loss / initial loss")
    axis.set_ylim(0.02 * np.interp(window[1], x, best), 2.0)
    axis.set_xlim(0.3 * x[np.argmax(best < 0.9)], x[-1])
    line = (
        f"exponents of the law, with a tail {exponent_text(*data['law_fit'])}, "
        f"straight {exponent_text(*data['law_line_fit'])}"
    )
    axis.set_title(wrapped(f"{line}, of many directions {slope:.3f}".replace("-", "−"), 0.85 * width), loc="left")
    axis.legend(loc="lower left", handlelength=1.8)


def _limit(data: dict[str, Array]) -> float:
    """The exponent of infinitely many directions."""
    beta = float(data["beta"])
    return (1 - 2 * beta) / (1 + beta)


def _slope_panel(axis: Axes, data: dict[str, Array], columns: int) -> None:
    axis.axhline(_limit(data), color="0.25", linewidth=points(0.9), label=f"{_limit(data):.3f}".replace("-", "−"))
    x, P = data["slope_x"], int(data["P"])
    value, low, high = data["slope_flow"]
    axis.fill_between(x, low, high, color=series(0)["color"], alpha=0.25, linewidth=0)
    axis.plot(x, value, color=series(0)["color"], label=f"flow, $P={P}$")
    axis.plot(x, data["slope_law"], color="black", linestyle="--", linewidth=points(1.0), label=f"law, $P={P}$")
    axis.plot(x, data["slope_expected"], color="black", linestyle=":", label="tail and logarithm alone")
    for i, larger in enumerate(data["larger_P"]):
        look = {name: series(i + 1)[name] for name in ("color", "linestyle")}
        axis.plot(*data[f"larger{i}"], label=f"law, $P={count_text(int(larger))}$", **look)
    shown = np.concatenate([value, data["slope_law"], data["slope_expected"], *(
        data[f"larger{i}"][1] for i in range(len(data["larger_P"]))
    )])  # fmt: skip
    low_, high_ = shown.min(), max(shown.max(), _limit(data))
    axis.set_ylim(low_ - 0.05 * (high_ - low_), high_ + 0.1 * (high_ - low_))
    axis.set(xscale="log", xlabel=r"compute $m\,t\,/\,d$", ylabel="local slope")
    axis.legend(loc="upper left", bbox_to_anchor=(-0.15, 0), borderaxespad=4.5, handlelength=2.0, columnspacing=1.0,
                ncols=columns)  # fmt: skip
