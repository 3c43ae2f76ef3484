"""How sharp a transition is, and when it comes: one logistic for all directions, and times that grow as a power of p.

Once a student is aligned, its squared norm is all that moves, and with r² = 1 (``problem.population_loss``)

    ṅ = 4 φ(1) n (a_p − n)      ⇒      n/a_p = 1/(1 + e^{−z}),      z = 4 φ(1) a_p (t − T_p),

T_p the time of recovery, n = a_p/2 (φ(1) is the second moment of σ, 1 for h_4): in z all strengths are one curve, and
the part of T_p that a step takes, ln 81/(4 φ(1) a_p T_p) from 10 to 90 %, falls as 1/(a_p T_p), the same for all p up
to the luck of their starts.  That T_p comes to grow as p^β, as a_p T_p does not know a_p (``theory.decoupled``).

Above (left): strengths of one run of SGD by leap at a step size so small that noise has no part, in z, T_p as measured,
and the rate of each step over 4 φ(1) a_p, from a straight line through ln(n/(a_p − n)) between 10 and 90 %.  Below
(right): recovery times against p of that run, of the finite law of its start and over random starts (median, 10–90 %),
and the exponent of the law's median with its 95 % interval over starts (``compare.exponent_fit``) in the second half
of ln p, where few directions are luckier than their neighbours.  Derived here.

Sizes: h4, β = 1, P = 16, m = 64, d = 4096.  Run time: some ten seconds.  Command: ``emergence figures sharpness``.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit

from .._types import Array
from ..compare.exponent_fit import fit_exponent
from ..compare.runs import quiet_step_size
from ..simulate import Leap, Run
from ..theory import finite_law
from ..theory.finite_size_law import law_of_starts
from ..theory.greedy_chain import greedy_refusal
from .captions import exponent_text, run_facts, run_text
from .settings import problem_of
from .style import heading, house_style, label_decades, panels, points, series
from .watched_run import watch

SUMMARY = "Sharpness of transitions: all strengths on one logistic, and transition times as a power of p"
SIZES: dict[str, dict[str, Any]] = {
    "full": {"activation": "h4", "beta": 1.0, "P": 16, "m": 64, "d": 4096, "draws": 400},
    "quick": {"activation": "h4", "beta": 1.0, "P": 6, "m": 24, "d": 1024, "draws": 200},
}
SECONDS = {"full": 12.0, "quick": 5.0}
SHOWN = 8.0  # |z| that is drawn


def check(sizes: dict[str, Any]) -> None:
    """Refuse what is no problem, or not learned direction by direction."""
    refusal = greedy_refusal(problem_of(sizes).activation)
    if refusal is not None:
        raise ValueError(refusal)
    if sizes["P"] < 3:
        raise ValueError(f"a power of p needs at least 3 directions, but `P` is {sizes['P']}")


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """One run in rescaled time, and recovery times.

    ``z``, ``strength`` (P, Z): rescaled time and strength over a_p within ``SHOWN``, NaN where there is none; ``rate``
    (P,): measured over 4 φ(1) a_p; ``measured``, ``predicted`` (P,): recovery of the run and of the finite law of its
    start; ``law`` (3, P): 10, 50 and 90 % over random starts; ``fit`` (3,), ``window`` (2,): exponent of the median and
    interval, p from and to; ``beta`` (); facts of the run.
    """
    problem = problem_of(sizes)
    law, rate = finite_law(problem, draws=sizes["draws"], seed=seed), 4 * problem.activation.second_moment * problem.a
    recovery = np.median(law.recovery, axis=0)
    known = recovery[np.isfinite(recovery)]
    eta = quiet_step_size(problem)
    run = Run(problem, eta, int(np.ceil(2 * known.max() / eta)), seed=seed, sampler=Leap())
    seen = watch(run, 0.3 * known.min())
    share = seen.strengths / problem.a
    times = np.array([_passage(seen.times, column) for column in share.T])
    curves = [_near(seen.times, column, T, r) for column, T, r in zip(share.T, times, rate, strict=True)]
    longest = max(len(z) for z, _ in curves)
    table = np.full((2, problem.P, longest), np.nan)
    for p, curve in enumerate(curves):
        table[:, p, : len(curve[0])] = curve
    numbers = np.arange(1.0, problem.P + 1)
    window = (float(np.sqrt(problem.P)), float(problem.P)) if problem.P >= 12 else (1.0, float(problem.P))
    fit = fit_exponent(numbers, law.recovery, tail="none", centre="median", window=window)
    return {
        "z": table[0], "strength": table[1], "rate": np.array([_slope(*curve) for curve in curves]),
        "measured": times, "predicted": law_of_starts(problem, seen.start[None]).recovery[0],
        "law": np.quantile(law.recovery, [0.1, 0.5, 0.9], axis=0, method="inverted_cdf"),
        "fit": np.array([fit.exponent, fit.low, fit.high]), "window": np.array(fit.window),
        "beta": np.array(sizes["beta"]),
    } | run_facts(run)  # fmt: skip


def _passage(times: Array, share: Array) -> float:
    """Where the strength first passes one half; inf where it does not."""
    after = int(np.argmax(share >= 0.5))
    if share[after] < 0.5:
        return float("inf")
    return float(np.interp(0.5, share[after - 1 : after + 1], times[after - 1 : after + 1]))


def _near(times: Array, share: Array, T: float, rate: float) -> tuple[Array, Array]:
    z = rate * (times - T)
    near = np.abs(z) <= SHOWN
    return z[near], share[near]


def _slope(z: Array, share: Array) -> float:
    """d ln(n/(a − n))/dz between 10 and 90 %; NaN where there are no three looks."""
    inside = (share > 0.1) & (share < 0.9) & (np.abs(z) < SHOWN / 2)
    return (
        float(np.polyfit(z[inside], np.log(share[inside] / (1 - share[inside])), 1)[0]) if inside.sum() > 2 else np.nan
    )


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The collapse and the times, side by side but in a column."""
    with house_style(width):
        figure, (collapse, times) = panels(width, 2, tall=2.1, flat=0.52)
        _collapse(collapse, data)
        _times(times, data)
        heading(figure, run_text(data))
    return figure


def _collapse(axis: Axes, data: dict[str, Array]) -> None:
    count = len(data["z"])
    colors = matplotlib.colormaps["viridis"](0.9 * np.log(np.arange(1, count + 1)) / np.log(count))
    for p, (z, strength) in enumerate(zip(data["z"], data["strength"], strict=True)):
        label = f"SGD, $p=1$ (dark) … ${count}$" if p == 0 else None
        axis.plot(z, strength, color=colors[p], linewidth=points(1.0), label=label)
    z = np.linspace(-SHOWN, SHOWN, 200)
    axis.plot(z, expit(z), color="black", linestyle="--", linewidth=points(1.0), label="logistic $1/(1+e^{-z})$")
    rate = data["rate"][np.isfinite(data["rate"])]
    axis.set(xlim=(-SHOWN, SHOWN), ylim=(-0.04, 1.45), xlabel=r"$z = 4\,\varphi(1)\,a_p\,(t-T_p)$")
    axis.set_yticks([0, 0.5, 1])
    axis.set_ylabel(r"strength $\sum_k n_k r_{kp}^2\,/\,a_p$")
    axis.set_title(
        f"measured rate over $4\\varphi(1)a_p$:\n"
        f"median {np.median(rate):.3f}, from {rate.min():.3f} to {rate.max():.3f}",
        loc="left",
    )
    axis.legend(loc="upper left", handlelength=1.8)


def _times(axis: Axes, data: dict[str, Array]) -> None:
    p, (low, middle, high), look = np.arange(1, len(data["measured"]) + 1), data["law"], series(1)
    axis.fill_between(p, low, high, color="0.85", linewidth=0, label="finite law, 10–90 % of starts")
    axis.plot(p, middle, color=look["color"], linestyle=look["linestyle"], label="finite law, median")
    exponent, least, most = data["fit"]
    ends = data["window"]
    at = np.interp(ends, p, middle)
    height = 2.2 * np.sqrt(at[0] * at[1])
    line = height * (ends / np.sqrt(ends[0] * ends[1])) ** exponent
    axis.plot(ends, line, color="0.2", linewidth=points(0.9), label=f"$p^{{{exponent:.2f}}}$, fitted, raised")
    axis.plot(p, data["measured"], label="SGD", **_points("o", series(0)["color"]))
    axis.plot(p, data["predicted"], label="finite law of its start", **_points("x", "black"))
    axis.set(xscale="log", yscale="log", xlabel="direction $p$", ylabel="flow time of recovery $T_p$")
    known = np.concatenate([each[np.isfinite(each)] for each in (low, high, line, data["measured"])])
    axis.set_ylim(0.6 * known.min(), 12 * known.max())
    axis.set_xlim(0.85, 1.15 * p[-1])
    text = f"exponent of the law's median\n{exponent_text(exponent, least, most)}, asymptote {float(data['beta']):g}"
    axis.set_title(text, loc="left")
    axis.legend(loc="upper left", handlelength=1.8)
    label_decades(axis.xaxis, axis.yaxis)


def _points(marker: str, color: str) -> dict[str, Any]:
    return {"linestyle": "none", "marker": marker, "color": color, "markerfacecolor": "white", "zorder": 3}
