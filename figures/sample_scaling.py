"""Loss against samples at the best of many step sizes: SGD, the law of SGD, and the paper's sufficient rule.

Thin lines are SGD by leap at one step size each, the mean over seeds, from light (the smallest) to dark; all runs take
the same number of samples, and none is cut when its loss has fallen.  A line ends with a cross where one run in ten has
diverged or of direct SGD would have (``problem.divergence``): leap does not see what ends such runs.  Points are the
best step size for at most so many samples (on a band of 10–90 % of the seeds), cross-validated: each half of the seeds
is read at the step size that is best for the other half (``compare.step_sweep``), the mean with its 95 % t-interval.
The law of SGD (``theory.finite_step_law``) is at the best of the same step sizes: mean, and 10–90 % of single runs.
The paper's rule, drift above the noise of the start, is the curve that would hold if its step sizes were the largest
that learn (``resource_curves.samples_horizon_step``).  It knows neither label noise nor the ceiling: at this d the
strongest directions would be learned at step sizes above it, in fewer samples than SGD can, and without label noise the
weakest are learned far sooner than it says.  With τ² = φ(1) the noise stays at the level at which the rule holds it, so
that there the rule is about right.

Above (left) without label noise, below (right) with labels of standard deviation τ.  Derived in
``theory.exponent_table``, for the setting of Ren, Nichani, Wu and Lee 2025, arXiv 2504.19983, at many directions:

    best step size, no label noise     L ∝ n^{1−2β}
    label noise, or the rule           L ∝ n^{(1−2β)/(2β)}

At P = 16 those are far off; what can be compared are the exponents of straight lines in the stated windows, SGD's and
the law's in the same one, from one to half of the directions learned by SGD; the rule's in its own (``fit_exponent``,
95 % intervals over seeds).  Where SGD and its law part in the exponent, with label noise, they are within 5 % in the
loss: SGD is 2 to 4 % above while few directions are learned, and 2 to 6 % below around the eighth, each ± 4 %; 64 other
seeds have −0.654 [−0.679, −0.629].

Sizes: h4, β = 0.8, P = 16, m = 64, d = 1024, 64 seeds, 2·10⁸ samples; step sizes 0.08, 0.16, 0.32, 0.64 and, without
label noise, 0.9 of the ceiling (``theory.gradient_noise``).  Run time: some nine minutes.
Command: ``emergence figures sample_scaling``.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .._types import Array
from ..compare import Experiment, fit_exponent
from ..compare.statistics import seed_mean
from ..compare.step_sweep import learned, sweep
from ..theory import finite_law, resource_curves
from .captions import exponent_text, problem_facts, run_text
from .settings import check_power_law
from .style import heading, house_style, label_decades, panels, points, power_text, series, wrapped

SUMMARY = "Loss against samples at the best of many step sizes, by SGD, its law and the paper's rule"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "beta": 0.8, "P": 16, "m": 64, "d": 1024, "seeds": 64, "draws": 400,
        "sweeps": [
            {"label_noise": 0.0, "samples": 2e8, "step_sizes": [0.08, 0.16, 0.32, 0.64, 0.9]},
            {"label_noise": 1.0, "samples": 2e8, "step_sizes": [0.08, 0.16, 0.32, 0.64]},
        ],
    },
    "quick": {
        "beta": 0.8, "P": 8, "m": 32, "d": 512, "seeds": 6, "draws": 200,
        "sweeps": [
            {"label_noise": 0.0, "samples": 3e7, "step_sizes": [0.16, 0.32, 0.64]},
            {"label_noise": 1.0, "samples": 3e7, "step_sizes": [0.16, 0.32, 0.64]},
        ],
    },
}  # fmt: skip
SECONDS = {"full": 550.0, "quick": 60.0}


def check(sizes: dict[str, Any]) -> None:
    """Refuse what has no power law, or is no experiment."""
    check_power_law(sizes["beta"])
    _experiments(sizes)


def _experiments(sizes: dict[str, Any]) -> list[Experiment]:
    return [
        Experiment(
            "samples_best_step", "leap", beta=sizes["beta"], P=sizes["P"], m=sizes["m"], d=sizes["d"],
            seeds=sizes["seeds"], label_noise=part["label_noise"], step_sizes=tuple(part["step_sizes"]),
        )
        for part in sizes["sweeps"]
    ]  # fmt: skip


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Curves and fits of each sweep i; losses as shares of the loss at the start.

    Returns
    -------
    dict
        ``label_noise`` (I,); ``x{i}`` (X,): samples; ``step_sizes{i}`` (E,), of the ceiling, and ``curves{i}`` (E, X):
        mean over seeds, NaN where the step size is out; ``best{i}`` (3, X): at the best step size, with its interval,
        ``band{i}`` (2, X): 10 and 90 % of the seeds there; ``law{i}`` (3, X): mean, 10 and 90 %; ``rule`` (2, X'):
        samples and loss; ``fit{i}`` (4,): exponent of SGD, its interval, the law's exponent; ``window{i}`` (2,): where;
        ``rule_exponent`` () and ``rule_window`` (2,); ``beta`` (); facts of the runs.
    """
    experiments = _experiments(sizes)
    data = {"beta": np.array(sizes["beta"]), "label_noise": np.array([one.label_noise for one in experiments])}
    for i, (experiment, part) in enumerate(zip(experiments, sizes["sweeps"], strict=True)):
        found, problem = sweep(experiment, part["samples"], seed), experiment.problem
        start, x, rows = 0.5 * problem.activation.second_moment, found.x, found.best()
        mean, draws, _ = found.expected()
        window = learned(problem, x, rows.mean(axis=0), 1, problem.P // 2)
        measured = fit_exponent(x, rows, tail="none", window=window, resampled=found.resampled(seed))
        law = fit_exponent(x, mean[None], tail="none", window=window)
        columns = [seed_mean(column) for column in rows.T]
        curves = found.means()
        data |= {
            f"x{i}": x,
            f"step_sizes{i}": np.array(experiment.step_sizes),
            f"curves{i}": np.where(np.isfinite(curves), curves, np.nan) / start,
            f"best{i}": np.array([[one.mean, *one.interval] for one in columns]).T / start,
            f"band{i}": np.quantile(rows, [0.1, 0.9], axis=0) / start,
            f"law{i}": np.stack([mean, *np.quantile(draws, [0.1, 0.9], axis=0, method="inverted_cdf")]) / start,
            f"fit{i}": np.array([measured.exponent, measured.low, measured.high, law.exponent]),
            f"window{i}": np.array(window),
        }
    data |= {"run_sampler": np.array("leap"), "run_seeds": np.array(sizes["seeds"])} | problem_facts(problem, "run")
    rule = resource_curves.samples_horizon_step(finite_law(problem, draws=sizes["draws"], seed=seed))
    window = learned(problem, rule.x, rule.value, 1, problem.P // 2)
    data["rule"] = np.stack([rule.x, rule.value / start])
    data["rule_exponent"] = np.array(fit_exponent(rule.x, rule.rows, tail="none", window=window).exponent)
    data["rule_window"] = np.array(window)
    return data


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """The sweeps, side by side but in a column."""
    with house_style(width):
        count = len(data["label_noise"])
        figure, axes = panels(width, count, tall=2.5, flat=0.66)
        low = min(float(data[f"law{i}"][0].min()) for i in range(count))
        for i, axis in enumerate(axes):
            _panel(axis, data, i, figure.get_figwidth() * (0.85 if width == "column" else 0.42))
            axis.set(xscale="log", yscale="log", xlabel="samples $n$", ylabel="loss / initial loss")
            axis.set_ylim(max(0.2 * low, 2e-4), 1.6)
            label_decades(axis.xaxis, axis.yaxis)
        heading(figure, run_text(data))
    return figure


def _panel(axis: Axes, data: dict[str, Array], i: int, room: float) -> None:
    x, shares, best, noise = data[f"x{i}"], data[f"step_sizes{i}"], data[f"best{i}"], float(data["label_noise"][i])
    sgd, law, rule, steps = series(0), series(1), series(2), f"{shares[0]:g} … {shares[-1]:g} of the ceiling"
    colors = matplotlib.colormaps["Greys"](np.linspace(0.35, 0.85, len(shares)))
    lost = ", × lost" if not np.isfinite(data[f"curves{i}"]).all() else ""
    for j, (color, curve) in enumerate(zip(colors, data[f"curves{i}"], strict=True)):
        last = np.flatnonzero(np.isfinite(curve))[-1]
        axis.plot(x, curve, color=color, linewidth=points(0.7), label=f"SGD, {steps}{lost}" if j == 0 else None)
        if last < x.size - 1:
            axis.plot(x[last], curve[last], marker="x", color=color)
    axis.fill_between(
        x, *data[f"band{i}"], color=sgd["color"], alpha=0.3, linewidth=0, label="SGD at the best, 10–90 % of seeds"
    )
    for edge in data[f"law{i}"][1:]:
        axis.plot(x, edge, color=law["color"], linewidth=points(0.6), linestyle=(0, (1, 1)))
    axis.plot(*data["rule"], color=rule["color"], linestyle=rule["linestyle"], label="the paper's rule")
    name = "law of SGD, best (thin: 10–90 %)"
    axis.plot(x, data[f"law{i}"][0], color=law["color"], linestyle=law["linestyle"], zorder=3, label=name)
    falling = np.flatnonzero((best[0] < 0.995) & (best[0] > 1e-3))[::6]
    middle, low, high = best[:, falling]
    axis.errorbar(
        x[falling], middle, [middle - np.maximum(low, 1e-4), high - middle], fmt="o", color=sgd["color"],
        elinewidth=points(0.8), zorder=4, label="SGD at the best: mean, 95 %",
    )  # fmt: skip
    axis.set_xlim(min(0.25 * x[np.argmax(best[0] < 0.9)], x[-1] / 120), 1.1 * x[-1])
    axis.legend(loc="lower left", handlelength=1.5)
    (value, least, most, expected), beta = data[f"fit{i}"], float(data["beta"])
    quiet = "quiet labels" if noise == 0 else rf"labels with noise $\tau={noise:g}$"
    limit = 1 - 2 * beta if noise == 0 else (1 - 2 * beta) / (2 * beta)
    lines = [
        f"{quiet}, exponents, $n$ {_span(data[f'window{i}'])}:",
        f"SGD {exponent_text(value, least, most)}, its law {expected:.3f}",
        f"the rule {data['rule_exponent']:.3f}, $n$ {_span(data['rule_window'])}",
        f"of many directions {limit:.3f}, by the rule {(1 - 2 * beta) / (2 * beta):.3f}",
    ]
    axis.set_title("\n".join(wrapped(line.replace("-", "−"), room) for line in lines), loc="left")


def _span(window: Array) -> str:
    """From 6.0·10⁵ to 8.1·10⁵, in mathtext."""
    low, high = (power_text(float(value)) for value in window)
    return f"${low}$ … ${high}$"
