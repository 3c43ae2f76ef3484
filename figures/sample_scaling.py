"""Loss against samples: one step size for all, or the best for each number of samples.

At step size η direction p is learned only if drift beats gradient noise, η ≤ η_p ∝ a_p/d^{k*−1}, and then
after n = T_p/η samples.  With β > ½ and γ = (2β − 1)/β,

    η fixed:                     L ∝ n^{−γ}             and directions with η_p < η stay unlearned,
    η the best for each n:       L ∝ (n/d^{k*−1})^{−γ/2}

(setting of Ren, Nichani, Wu and Lee 2025, arXiv 2504.19983; derived in ``theory.exponent_table``; −γ/2 is the minimax
rate of the Gaussian sequence model): a smaller η is slower by itself and goes on for longer, and the envelope of all
is flatter.

Above (left): the finite law (``theory.resource_curves``) at P = 4000, thin lines at fixed step sizes, the
thick one the best step size with 10–90 % of random starts, asymptotic slopes as thin straight lines, fitted
exponents with 95 % intervals (``compare.exponent_fit``).  Below (right): SGD by leap at P = 16, one curve a
step size, mean over seeds; their lower envelope is the curve of the best step size, to be compared with the
law's (black).  The law lets a direction be learned below η_p in the time of the flow and above it never; noise
slows SGD down before η_p and carries lucky students over it, and at P = 16 the two nearly balance: the envelope
needs about half to all of the law's samples.  Leap is approximate where noise rules.

Sizes: h4, β = 0.8; law at d = 10⁶, m = 4P; SGD at d = 4096, m = 4P.  Run time: about 25 s.
Command: ``emergence figures sample_scaling``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare.exponent_fit import fit_exponent
from ..compare.runs import sgd_to, undiverged
from ..problem import Activation, Problem, Teacher
from ..theory import FiniteLaw, finite_law, resource_curves
from ..theory.critical_step_size import median_thresholds
from .style import house_style, label_decades, panels, series

SUMMARY = "Loss against samples at fixed step sizes and at the best one for each horizon"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "beta": 0.8, "P": 4000, "m": 16000, "d": 1_000_000, "draws": 32, "steps": 6,
        "run": {"P": 16, "m": 64, "d": 4096, "seeds": 4, "steps": 5},
    },
    "quick": {
        "beta": 0.8, "P": 1000, "m": 4000, "d": 1_000_000, "draws": 16, "steps": 5,
        "run": {"P": 8, "m": 32, "d": 4096, "seeds": 2, "steps": 3},
    },
}  # fmt: skip
SECONDS = {"full": 25.0, "quick": 6.0}
RECORDS = 150


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Curves and fits; samples in units of d^{k*−1}, losses as shares of the loss at the start.

    Returns
    -------
    dict
        ``x``, ``best``, ``low``, ``high`` (X,): law at the best step size, mean and 10–90 %; ``fixed`` (K, X) at
        the ``step_sizes`` (K,), ascending; ``fit_best``, ``fit_fixed`` (3,): exponent and interval, the latter
        of the smallest step size, with ``window_best`` and ``window_fixed`` (2,); ``beta``, ``law_P`` ();
        ``run_step_sizes`` (J,), ``run_x``, ``run_loss`` (J, R): SGD; ``run_law_x``, ``run_law`` (X',): the best
        step size by the law, from many starts; ``run_P``, ``run_seeds`` ().
    """
    problem = _problem(sizes["beta"], sizes)
    law = finite_law(problem, draws=sizes["draws"], seed=seed)
    unit = float(problem.d) ** 3
    best = resource_curves.samples_horizon_step(law)
    steps = _step_sizes(law, sizes["steps"])
    fixed = [resource_curves.samples_sufficient_step(law, eta, best.x) for eta in steps]
    fits = [fit_exponent(best.x / unit, curve.rows) for curve in (best, fixed[0])]
    data = {
        "x": best.x / unit, "best": 2 * best.value, "low": 2 * best.bands[0], "high": 2 * best.bands[-1],
        "fixed": 2 * np.stack([curve.value for curve in fixed]), "step_sizes": steps,
        "beta": np.array(sizes["beta"]), "law_P": np.array(sizes["P"]),
    }  # fmt: skip
    for name, fit in zip(("best", "fixed"), fits, strict=True):
        data[f"fit_{name}"] = np.array([fit.exponent, fit.low, fit.high])
        data[f"window_{name}"] = np.array(fit.window)
    return data | _runs(_problem(sizes["beta"], sizes["run"]), sizes["run"], seed)


def _problem(beta: float, sizes: dict[str, Any]) -> Problem:
    return Problem(Activation("h4"), Teacher.power_law(sizes["P"], beta), d=sizes["d"], m=sizes["m"])


def _step_sizes(law: FiniteLaw, count: int) -> Array:
    """From one that learns every direction of nearly every start to one that learns the strongest."""
    thresholds = median_thresholds(law)
    return np.geomspace(0.4 * thresholds.min(), 0.7 * thresholds.max(), count)


def _runs(problem: Problem, sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    law = finite_law(problem, draws=400, seed=seed)
    steps, unit = _step_sizes(law, sizes["steps"]), float(problem.d) ** 3
    thresholds, finish = median_thresholds(law), np.median(law.recovery, axis=0)
    x, losses = [], []
    for eta in steps:
        span = 3 * finish[thresholds >= eta].max()
        run = undiverged(
            sgd_to(problem, float(eta), span, seeds=sizes["seeds"], seed=seed, records=RECORDS, spacing="log")
        )
        grid = np.geomspace(span / 300, span, 60)
        x.append(grid / eta / unit)
        losses.append(np.mean([np.interp(grid, run.times, loss) for loss in run.loss], axis=0))
    best = resource_curves.samples_horizon_step(law)
    falling = best.value > 1.1 * best.value[-1]  # what is left is lost to the lattice of step sizes
    return {
        "run_step_sizes": steps, "run_x": np.stack(x), "run_loss": 2 * np.stack(losses),
        "run_law_x": best.x[falling] / unit, "run_law": 2 * best.value[falling],
        "run_P": np.array(sizes["P"]), "run_seeds": np.array(sizes["seeds"]),
    }  # fmt: skip


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The law and SGD, side by side but in a column."""
    with house_style(width):
        figure, (law, runs) = panels(width, 2, tall=1.7, flat=0.5)
        _law(law, data)
        _sgd(runs, data)
        for axis in (law, runs):
            axis.set(xscale="log", yscale="log", xlabel=r"samples $n\,/\,d^{k^*-1}$", ylabel="loss / initial loss")
            label_decades(axis.xaxis, axis.yaxis)
    return figure


def _law(axis: Axes, data: dict[str, Array]) -> None:
    x, beta = data["x"], float(data["beta"])
    for loss in data["fixed"][1:]:
        shown = x < 6 * x[np.argmax(loss < 1.02 * loss[-1])]
        axis.plot(x[shown], loss[shown], color="0.55", linewidth=0.7)
    first, second = series(0), series(1)
    axis.plot(x, data["fixed"][0], color=second["color"], linestyle=second["linestyle"])
    axis.fill_between(x, data["low"], data["high"], color=first["color"], alpha=0.25, linewidth=0)
    axis.plot(x, data["best"], color=first["color"], linewidth=2.2)
    gamma = (2 * beta - 1) / beta
    for name, curve, slope, lift in (("best", "best", -gamma / 2, 0.45), ("fixed", None, -gamma, 1.8)):
        ends = data[f"window_{name}"] * np.array([1.0, 0.6])
        start = lift * np.interp(ends[0], x, data["fixed"][0] if curve is None else data[curve])
        axis.plot(ends, start * (ends / ends[0]) ** slope, color="0.25", linewidth=0.7)
    axis.text(0.02, 0.02, _fitted("best step size", data["fit_best"], -gamma / 2), transform=axis.transAxes,
              color=first["color"], ha="left", va="bottom")  # fmt: skip
    axis.text(1.0, 0.95, _fitted("smallest step size", data["fit_fixed"], -gamma), transform=axis.transAxes,
              color=second["color"], ha="right", va="top")  # fmt: skip
    axis.set_ylim(0.4 * data["best"][x <= data["window_best"][1]].min(), 1.9)
    axis.set_xlim(x[0], 30 * x[-1])
    axis.set_title(f"finite law, $P={int(data['law_P'])}$", loc="left")


def _fitted(kind: str, fit: Array, slope: float) -> str:
    value, low, high = fit
    text = f"{kind}\nfit {value:.3f}\n[{low:.3f}, {high:.3f}]\nasymptote {slope:.3f}"
    return text.replace("-", "−")


def _sgd(axis: Axes, data: dict[str, Array]) -> None:
    law = data["run_law"]
    axis.plot(data["run_law_x"], law, color="black", linewidth=1.8, label="law, best step size", zorder=4)
    for i, (eta, x, loss) in enumerate(zip(data["run_step_sizes"], data["run_x"], data["run_loss"], strict=True)):
        look, power = series(i), int(np.floor(np.log10(eta)))
        axis.plot(
            x, loss, color=look["color"], linewidth=0.6, linestyle="-", marker=look["marker"],
            markerfacecolor="white", markevery=3, label=rf"$\eta={eta / 10.0**power:.1f}\cdot10^{{{power}}}$",
        )  # fmt: skip
    axis.set_ylim(0.5 * law.min(), 1.6)
    falling = data["run_x"][data["run_loss"] < 0.99]
    axis.set_xlim(falling.min() / 3, 1.5 * data["run_x"].max())
    axis.legend(loc="lower left", handlelength=1.5)
    axis.set_title(f"SGD, $P={int(data['run_P'])}$, mean of {int(data['run_seeds'])} seeds", loc="left")
