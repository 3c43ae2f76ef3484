"""Loss against students × samples: online SGD at one step size at each width, and the law of SGD beside it.

A network of m students that sees n samples pays C = m n.  With m ≈ q students for the q strongest directions, the best
width for each C gives (derived in ``theory.exponent_table``, asymptotes of many directions)

    one step size for all                    t_q = η n_q ∝ q^β     L ∝ C^{(1−2β)/(1+β)}    −1/3 at β = 0.8
    the best for each C, no label noise      n_q ∝ q               L ∝ C^{(1−2β)/2}        −0.3

The second holds where the best step size is below the ceiling and falls with C.  At d = 2048 it is 0.6 of the ceiling
at nearly every C: the ceiling binds, so that this is in effect one step size, too, and −0.3 is not put to the test;
what the best is worth is a factor in C that fades from 2 at a loss of 0.5 to 1.2 at 0.05.  At P directions neither is a
straight line.  The loss that can still fall is q^{1−2β} − P^{1−2β}, and the best of m students starts at an overlap
that grows as ln m, so that without noise the slope of the first is

    −(2β − 1)/[(1 + β − 1/ln m)(1 − (q/P)^{2β−1})],

−0.44 at m = 16 and q = 10 of P = 1024, and steeper from there on (``figures.compute_frontier``: gradient flow, larger
P).  SGD's is flatter than the flow's, presumably as noise, which falls with the loss, delays the first directions most.

Above: runs of SGD by leap at each width (solid, mean and range over seeds; none is cut when its loss has fallen), the
law of SGD (``theory.finite_step_law``: mean over random starts) at the same widths and step size (dashed, same colour),
at wider ones (grey), and its lower envelopes over all widths, at that step size and at the best of several that direct
SGD survives (``theory.sample_curves.lost``).  The exponents are those of A (C^−γ − C_end^−γ) (``compare.exponent_fit``,
95 % intervals), of SGD's own envelope and of the law's in one window, C_end of the law.  Below: slopes over half a
decade of the envelopes.  No label noise.

The check: how many samples SGD takes at each width to each of some losses, over those of the law (``ratio``).  η is a
share of the ceiling (``theory.gradient_noise``), the lengths of the runs are numbers of samples below: neither comes
from the law.  Leap does not see the single samples that end runs; the law's probability that direct SGD outlives all
that is shown, and whether the runs say so too (``Simulation.valid_until``), stand in the picture.  Both are estimates,
calibrated at d ≤ 512.

Sizes: h4, β = 0.8, P = 1024, d = 2048, as in a plot of Ren, Nichani, Wu and Lee 2025, arXiv 2504.19983, that is known
at second hand; η = 0.3 of the ceiling, widths 8 … 128 by six seeds each, the law at 4 … 4096.  Run time: six minutes
of processor time, a law 2.5 s of it.
Command: ``emergence figures sgd_frontier``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from .._types import Array
from ..compare.experiment import MIN_SEEDS
from ..compare.exponent_fit import ExponentFit, LocalExponents, fit_exponent, local_exponents
from ..compare.runs import lower_envelope
from ..problem import Activation, Problem, Teacher
from ..simulate import Leap, Run, Simulation, execute
from ..theory import exponents, sgd_law
from ..theory.finite_step_law import VALID
from ..theory.gradient_noise import ceiling
from ..theory.sample_curves import best_of, least_so_far
from .captions import exponent_text, problem_facts, run_text
from .settings import check_power_law
from .style import DASHES, heading, house_style, label_at, label_decades, page, points, power_text, series, wrapped

SUMMARY = "Loss against students x samples: online SGD at many widths, the law of SGD and its lower envelopes"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "beta": 0.8, "P": 1024, "d": 2048, "share": 0.3, "draws": 32, "compute": 2e13,
        "runs": {
            "widths": [8, 16, 32, 64, 128], "samples": [7e8, 1.1e9, 1.7e9, 2.4e9, 2.8e9], "seeds": 6, "records": 160,
        },
        "widths": [2**i for i in range(2, 13)], "step_sizes": [0.1, 0.3, 0.6, 0.9],
        "levels": [0.5, 0.3, 0.2, 0.12, 0.07, 0.04],
    },
    "quick": {
        "beta": 0.8, "P": 32, "d": 128, "share": 0.3, "draws": 32, "compute": 2e9,
        "runs": {"widths": [4, 8, 16], "samples": [4e6, 5e6, 6e6], "seeds": 6, "records": 100},
        "widths": [4, 8, 16, 32, 64], "step_sizes": [0.3, 0.9], "levels": [0.5, 0.35, 0.25],
    },
}  # fmt: skip
SECONDS = {"full": 200.0, "quick": 20.0}
POINTS, DECADES = 241, 6  # of a curve, which spans that many decades of compute
PREDICTED = ("compute_width_time", "compute_width_samples_best_step")  # at one step size m n ∝ m t
BEGUN = 0.9  # share of the loss from which on widths differ
SLOPE_DECADES = 0.5
SAME: Any = (0, (4, 1.5))  # dashes
BEST: Any = (0, (1, 1.2))
LOWERED = 0.4  # the fit, so that it does not hide the envelope


def check(sizes: dict[str, Any]) -> None:
    """Refuse what has no power law, is no problem, or what the law of SGD does not hold for."""
    check_power_law(sizes["beta"])
    runs = sizes["runs"]
    for name, values in (("widths", sizes["widths"]), ("runs.widths", runs["widths"]),
                         ("step_sizes", sizes["step_sizes"])):  # fmt: skip
        if sorted(set(values)) != values or values[0] <= 0:
            raise ValueError(f"`{name}` must be positive and ascend, but are {values}")
    if not set(runs["widths"]) <= set(sizes["widths"]):
        raise ValueError(f"`runs.widths` must be among `widths`, but are {runs['widths']}")
    if len(sizes["widths"]) < 3 or len(runs["widths"]) < 2:
        raise ValueError("an envelope needs three `widths` or more, and two `runs.widths`")
    if len(runs["samples"]) != len(runs["widths"]) or min(runs["samples"]) <= 0:
        raise ValueError(f"`runs.samples` must be a positive number for each of {len(runs['widths'])} widths")
    if runs["seeds"] < MIN_SEEDS:
        raise ValueError(f"an interval over seeds needs at least {MIN_SEEDS}, but `runs.seeds` is {runs['seeds']}")
    if sizes["step_sizes"][-1] > VALID or sizes["share"] not in sizes["step_sizes"]:
        raise ValueError(f"`step_sizes` must be at most {VALID} and hold `share`, but are {sizes['step_sizes']}")
    most = max(m * n for m, n in zip(runs["widths"], runs["samples"], strict=True))
    if not sizes["compute"] >= most:
        raise ValueError(f"`compute` must be at least that of the runs, {most:g}, but is {sizes['compute']:g}")
    _runs(sizes, 0)


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Curves, envelopes, slopes and the check; compute in units of d, losses as shares of the loss at the start.

    Returns
    -------
    dict
        ``x`` (X,); ``m`` (W,) and ``law`` (W, X): all widths, the law at each at the one step size; ``fixed``,
        ``best`` (X,): its lower envelope at that step size and at the best, ``fixed_width``, ``best_width``,
        ``best_step`` (X,): where, steps as shares of the ceiling; ``run_widths`` (R,), ``run_samples`` (R,), ``mean``,
        ``low``, ``high`` (R, X): runs over the seeds, NaN beyond their end; ``sgd_x``, ``sgd`` (Y,): their envelope as
        far as no wider network is better; ``ratio`` (3, R, L): samples of SGD over those of the law to ``levels``
        (L,), with 95 % interval, NaN where one does not come to it; ``sgd_fit``, ``same_fit``, ``fixed_fit``,
        ``best_fit`` (3,): exponents with intervals of SGD's envelope, of the law's over the same widths in the same
        ``window`` (2,) and with the ``fit_end`` () of ``fixed`` (each with its own where that is inf), and of ``fixed``
        and ``best`` in ``fixed_window`` and ``best_window``; ``line_fit`` (3,): of a straight line through SGD's;
        ``{…}_verdict`` () of each;
        ``slope_fixed``, ``slope_best`` (2, Z): compute and local slope, ``slope_sgd`` (4, Z): with interval;
        ``predicted`` (2,): exponents of many directions at one step size and at the best; ``survival`` (): least over
        the runs, by the law; ``lost`` (): runs that direct SGD would have been lost in; ``share``, ``beta`` (); facts
        of the runs.
    """
    runs, widths, d = _runs(sizes, seed), sizes["widths"], sizes["d"]
    problem = _problem(sizes, widths[-1])
    top = ceiling(problem)
    x = np.geomspace(sizes["compute"] / 10**DECADES, sizes["compute"], POINTS)
    start, own = 0.5 * problem.activation.second_moment, sizes["step_sizes"].index(sizes["share"])
    fixed, best, steps, survival = [], [], [], []
    for m in widths:
        narrow = replace(problem, m=m)
        laws = [
            sgd_law(narrow, share * top, t_max=sizes["compute"] / m * share * top, draws=sizes["draws"], seed=seed)
            for share in sizes["step_sizes"]
        ]
        fixed.append(best_of([laws[own]], x / m)[1] / start)
        _, rows, choice = best_of(laws, x / m)
        best.append(rows / start)
        steps.append(choice["step_size"] / top)
        survival += [laws[own].survival_at(run.samples * run.step_size.initial) for run in runs if run.problem.m == m]
    law, same = np.stack(fixed), np.stack([fixed[widths.index(run.problem.m)] for run in runs])
    (one, at_one), (free, at_best), (paired, _) = (lower_envelope(part) for part in (law, np.stack(best), same))
    each, lost = [], 0
    for run in runs:
        done = execute(run)
        each.append(_losses(done, x))
        lost += int((done.valid_until < done.t_end).sum())
        del done  # its overlaps are gigabytes
    losses = np.stack(each) / start
    mean = losses.mean(axis=1)
    levels = np.array(sizes["levels"])
    data = {
        "x": x / d, "m": np.array(widths), "law": law.mean(axis=1),
        "fixed": one.mean(axis=0), "best": free.mean(axis=0), "fixed_width": np.array(widths)[at_one],
        "best_width": np.array(widths)[at_best], "best_step": np.stack(steps)[at_best, np.arange(x.size)],
        "run_widths": np.array(sizes["runs"]["widths"]), "run_samples": np.array(sizes["runs"]["samples"]),
        "mean": _known(mean), "low": _known(losses.min(axis=1)), "high": _known(losses.max(axis=1)),
        "levels": levels,
        "ratio": np.stack([_ratio(x, *pair, levels) for pair in zip(losses, same, strict=True)], axis=1),
        "predicted": _exponents(sizes["beta"]),
        "survival": np.min(survival), "lost": np.array(lost),
        "share": np.array(sizes["share"]), "beta": np.array(sizes["beta"]),
        "run_sampler": np.array("leap"), "run_step_size": np.array(sizes["share"] * top),
        "run_seeds": np.array(sizes["runs"]["seeds"]),
    } | problem_facts(problem, "run")  # fmt: skip
    ends = []
    for name, rows in (("fixed", one), ("best", free)):
        fit = fit_exponent(x, rows)
        ends.append((*fit.window, fit.end))
        data |= _facts(name, fit) | {f"{name}_window": np.array(fit.window) / d}
        slopes = _slopes(x, rows.mean(axis=0))
        data[f"slope_{name}"] = np.stack([slopes.x / d, slopes.slope])
    narrow = (data["fixed_width"] <= data["run_widths"][-1]) | (data["fixed"] > BEGUN)
    return data | _sgd_envelope(x, losses, paired, narrow, ends[0], d)


def _exponents(beta: float) -> Array:
    """Exponents ``PREDICTED`` of many directions, (2,)."""
    laws = exponents(beta, Activation("h4").information_exponent)
    return np.array([laws[name].value for name in PREDICTED], dtype=float)


def _problem(sizes: dict[str, Any], m: int) -> Problem:
    return Problem(Activation("h4"), Teacher.power_law(sizes["P"], sizes["beta"]), d=sizes["d"], m=m)


def _runs(sizes: dict[str, Any], seed: int) -> list[Run]:
    """The runs, one a width, checked."""
    given, found = sizes["runs"], []
    for m, samples in zip(given["widths"], given["samples"], strict=True):
        problem = _problem(sizes, m)
        found.append(
            Run(
                problem, sizes["share"] * ceiling(problem), int(samples), seeds=given["seeds"], seed=seed,
                sampler=Leap(), records=given["records"], spacing="log",
            )
        )  # fmt: skip
    return found


def _losses(run: Simulation, x: Array) -> Array:
    """Losses (S, X) after m n = x; inf beyond the end of the run, and from a divergence on."""
    taken = np.log(run.run.recorded()[1:].astype(float))
    n = x / run.problem.m
    rows = np.stack([np.interp(np.log(n), taken, row[1:], right=np.inf) for row in run.loss])
    return np.where(np.isnan(rows), np.inf, rows)


def _known(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def _ratio(x: Array, losses: Array, law: Array, levels: Array) -> Array:
    """Compute of runs (S, X) over that of the law (D, X) at which the mean first is at levels: (3, L), with interval.

    Standard errors of ln x by the jackknife, that of the law too, times Student's t of S − 1.
    """
    (measured, error), (expected, other) = (_reached(x, rows, levels) for rows in (losses, law))
    half = float(student.ppf(0.975, len(losses) - 1)) * np.hypot(error, other)
    return np.exp(measured - expected + np.stack([np.zeros_like(half), -half, half]))


def _reached(x: Array, losses: Array, levels: Array) -> tuple[Array, Array]:
    """ln x (L,) at which the mean of rows (S, X) first is at levels (L,), and its error; NaN where it never is."""
    count = len(losses)
    rows = np.stack([np.delete(losses, i, axis=0).mean(axis=0) for i in range(count)])
    parts = np.stack([_first(x, row, levels) for row in rows])
    spread = np.sqrt((count - 1) * parts.var(axis=0))
    return _first(x, losses.mean(axis=0), levels), spread


def _first(x: Array, loss: Array, levels: Array) -> Array:
    """ln x (L,) at which a loss (X,) first is at levels (L,), NaN where it never is."""
    found = np.full(levels.size, np.nan)
    for i, level in enumerate(levels):
        at = int(np.argmax(loss <= level))
        if at > 0:
            share = np.log(loss[at - 1] / level) / np.log(loss[at - 1] / loss[at])
            found[i] = np.log(x[at - 1]) + share * np.log(x[at] / x[at - 1])
    return found


def _facts(name: str, fit: ExponentFit) -> dict[str, Array]:
    return {f"{name}_fit": _interval(fit), f"{name}_verdict": np.array(fit.verdict)}


def _interval(fit: ExponentFit) -> Array:
    return np.array([fit.exponent, fit.low, fit.high])


def _slopes(x: Array, loss: Array) -> LocalExponents:
    """Local slopes from the first step on, to where little is left; none where that is too short."""
    used = (loss < 0.7) & (loss > 3e-3)
    if not used.any() or x[used][-1] < x[used][0] * 10**SLOPE_DECADES:
        return LocalExponents(*np.empty((4, 0)))
    return local_exponents(x[used], loss[used], window_decades=SLOPE_DECADES)


def _sgd_envelope(
    x: Array, losses: Array, paired: Array, narrow: Array, law: tuple[float, float, float], d: int
) -> dict[str, Array]:
    """What ``compute`` says of the envelope of runs (R, S, X), beside that of the law at their widths, (D, X).

    As far as no width beyond those of the runs is better, ``narrow`` (X,); in the window and with the end of ``law``.
    """
    found, _ = lower_envelope(losses)
    mean = found.mean(axis=0)
    inside = np.cumprod(narrow & np.isfinite(mean)).astype(bool)
    x, found, paired = x[inside], found[:, least_so_far(mean)][:, inside], paired[:, inside]
    low, high, end = law
    window = (low, min(high, x[-1]))
    if not window[0] < window[1]:
        raise ValueError("the runs end before the window of the exponents begins; give them more `runs.samples`")
    fits = {
        "sgd": fit_exponent(x, found, window=window, end=end if np.isfinite(end) else None),
        "same": fit_exponent(x, paired, window=window, end=end if np.isfinite(end) else None),
        "line": fit_exponent(x, found, window=window, tail="none"),
    }
    slopes = _slopes(x, found.mean(axis=0))
    local = [
        _interval(fit_exponent(x, found, tail="none", window=part))
        for part in zip(slopes.low, slopes.high, strict=True)
    ]
    data = {name: value for key, fit in fits.items() for name, value in _facts(key, fit).items()}
    return data | {
        "sgd_x": x / d, "sgd": found.mean(axis=0), "window": np.array(window) / d, "fit_end": np.array(end / d),
        "slope_sgd": np.concatenate([slopes.x[None] / d, np.reshape(local, (-1, 3)).T]),
    }  # fmt: skip


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Curves with their envelopes and, below, the slopes of those."""
    with house_style(width):
        column = width == "column"
        figure = page(width, 2.75 if column else 1.1)
        top, bottom = figure.subplots(2, 1, height_ratios=[2.0, 1], sharex=True)
        room = figure.get_figwidth() * (0.8 if column else 0.85)
        _curves(top, data, figure.get_figwidth() * (0.65 if column else 0.45))
        _slope_panel(bottom, data, 1 if column else 2)
        for axis, text in ((top, _found(data)), (bottom, _meant(data))):
            axis.set_title(wrapped(text.replace("-", "−"), room), loc="left")
        label_decades(top.xaxis, top.yaxis, bottom.xaxis)
        heading(figure, _stated(data))
    return figure


def _stated(data: dict[str, Array]) -> str:
    """What was run."""
    widths, eta = data["run_widths"], float(data["run_step_size"])
    survival = float(data["survival"])
    alive = f"with probability {survival:.3f}" if survival < 0.9995 else "almost surely"
    lost = int(data["lost"])
    facts = run_text(
        data, m=f"$m={int(widths[0])}$ … ${int(widths[-1])}$",
        step_size=rf"$\eta={power_text(eta)}$ ({float(data['share']):g} of the ceiling)",
    )  # fmt: skip
    return (
        rf"{facts}, $\beta={float(data['beta']):g}$, no label noise, direct SGD outlives that {alive} (estimated)"
        + (f", it would have lost {lost} of the runs" if lost else "")
    )


def _found(data: dict[str, Array]) -> str:
    """The check."""
    value, low, high = data["ratio"].reshape(3, -1)[:, np.isfinite(data["ratio"][0]).ravel()]
    if not value.size:
        return "the runs come to none of the losses at which they are held against the law"
    hold, levels = int(((low <= 1) & (high >= 1)).sum()), data["levels"][np.isfinite(data["ratio"][0]).any(axis=0)]
    return (
        f"samples that SGD takes over those of its law, {data['run_widths'].size} widths to losses {levels[0]:g} … "
        f"{levels[-1]:g}: median {np.median(value):.2f}, {value.min():.2f} … {value.max():.2f}, "
        f"{hold} of {value.size} intervals (95 %) hold 1"
    )


def _meant(data: dict[str, Array]) -> str:
    """The exponents of the law's envelopes, and why they are not those of many directions."""
    return (
        rf"law at all widths, fit with a tail, same $\eta$ {_exponent(data, 'fixed')}, "
        rf"best $\eta$ {_exponent(data, 'best')}, the end at $P={int(data['run_P'])}$ and $\ln\,m$ steepen it"
    )


def _exponent(data: dict[str, Array], name: str) -> str:
    """With its interval, and whether it counts as measured."""
    doubt = "" if data[f"{name}_verdict"] == "measured" else ", inconclusive"
    return exponent_text(*data[f"{name}_fit"]).replace(", ", ",\u00a0") + doubt  # not to be broken there


def _best_steps(data: dict[str, Array]) -> str:
    """Best step sizes within the window of their envelope's fit, as shares of the ceiling."""
    low, high = data["best_window"]
    steps = data["best_step"][(data["x"] >= low) & (data["x"] <= high)]
    return f"{steps.min():g}" if np.ptp(steps) == 0 else f"{steps.min():g} … {steps.max():g}"


def _curves(axis: Axes, data: dict[str, Array], room: float) -> None:
    x, runs = data["x"], data["run_widths"].tolist()
    low = data["law"].min()
    labelled: list[float] = []
    for m, law in sorted(zip(data["m"].tolist(), data["law"], strict=True), key=lambda each: each[0] not in runs):
        color = series(runs.index(m))["color"] if m in runs else "0.6"
        axis.plot(x, law, color=color, linestyle="--", linewidth=points(0.7))
        if all(abs(np.log(law[-1] / other)) > 0.055 * np.log(1 / low) for other in labelled):
            labelled.append(float(law[-1]))
            text = f"$m={m}$" if m == runs[0] else f"${m}$"
            label_at(axis, text, (x[-1], law[-1]), (3, 0), color=color if m in runs else "0.35")
    for i, (mean, least, most) in enumerate(zip(data["mean"], data["low"], data["high"], strict=True)):
        color = series(i)["color"]
        axis.fill_between(x, least, most, color=color, alpha=0.15, linewidth=0)
        axis.plot(x, mean, color=color, linewidth=points(1.0))
    one: dict[str, Any] = {"color": "0.35", "linewidth": points(0.9)}
    axis.plot([], [], **one, label="SGD at one width, mean and range")
    axis.plot([], [], **one, linestyle="--", label="law of SGD at one width")
    axis.plot(data["sgd_x"], data["sgd"], color="black", linewidth=points(2.0), label="envelope of SGD")
    axis.plot(x, data["fixed"], color="black", linewidth=points(1.4), linestyle=SAME,
              label=r"envelope of the law, same $\eta$")  # fmt: skip
    best = rf"envelope of the law, best $\eta$, {_best_steps(data)} of the ceiling"
    axis.plot(x, data["best"], color="black", linewidth=points(1.4), linestyle=BEST, label=wrapped(best, room))
    start, stop = data["window"]
    exponent, end = data["sgd_fit"][0], float(data["fit_end"])
    t = np.geomspace(start, stop, 100)
    form = t**exponent - (end**exponent if np.isfinite(end) else 0.0)
    height = np.exp(np.mean(np.log(np.interp(t, data["sgd_x"], data["sgd"]) / form)))  # through the envelope, lowered
    axis.plot(
        t, LOWERED * height * form, color="black", linestyle=DASHES[3], linewidth=points(0.9),
        label=wrapped(
            f"fit with a tail to SGD's, lowered, exponent {_exponent(data, 'sgd')}, "
            f"the law's {_exponent(data, 'same')}, straight line {_exponent(data, 'line')}", room,
        ),
    )  # fmt: skip
    axis.set(xscale="log", yscale="log", ylabel="loss / initial loss")
    axis.set_ylim(0.02 * low, 1.6)
    axis.set_xlim(0.4 * x[np.argmax(data["best"] < 0.9)], x[-1])
    axis.legend(loc="lower left", handlelength=2.2)


def _slope_panel(axis: Axes, data: dict[str, Array], columns: int) -> None:
    x, value, low, high = data["slope_sgd"]
    sgd = series(0)["color"]
    axis.fill_between(x, low, high, color=sgd, alpha=0.25, linewidth=0)
    axis.plot(x, value, color=sgd, label="envelope of SGD, 95 %")
    for name, dashes, text in (("fixed", SAME, "same"), ("best", BEST, "best")):
        axis.plot(*data[f"slope_{name}"], color="black", linestyle=dashes, linewidth=points(1.2),
                  label=rf"envelope of the law, {text} $\eta$")  # fmt: skip
    for limit, dashes, text in zip(data["predicted"], ("-", BEST), ("one", "the best"), strict=True):
        label = rf"of many directions, {text} $\eta$: {limit:.3f}".replace("-", "−")
        axis.axhline(limit, color="0.4", linestyle=dashes, linewidth=points(0.7), label=label)
    shown = np.concatenate([value, data["slope_fixed"][1], data["slope_best"][1], data["predicted"]])
    least, most = shown.min(), shown.max()
    axis.set_ylim(least - 0.05 * (most - least), most + 0.1 * (most - least))
    axis.set(xscale="log", xlabel=r"students × samples $m\,n\,/\,d$", ylabel="local slope")
    axis.legend(loc="upper left", bbox_to_anchor=(-0.1, 0), borderaxespad=4.5, handlelength=2.2, ncols=columns)
