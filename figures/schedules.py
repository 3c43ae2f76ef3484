"""What a step-size schedule gains over the best constant step, and that it is so for SGD.

A large step is quick but loud: while directions are open the noise of what is left slows the weak ones, and at its end
the loss is what noise leaves.  For several numbers of samples the law of SGD (``theory.finite_step_law``) gives the
expected loss by constant step sizes, by decays η (1 + s/horizon)^−power and by one drop to η/4, each over a lattice;
what runs of that length are lost at (``theory.sample_curves``) counts as no candidate.

Above (left): the least loss of each kind against samples.  Below (right): the loss of the best schedule of each kind
over that of the best constant step, by the law, and at the largest number of samples by SGD: runs by leap, on seeds of
their own, with the best constant and the best schedule; ratio of geometric means with its 95 % interval.  Below 1 the
schedule gains.

Sizes: h4, β = 0.8, P = 16, m = 64, d = 1024, label noise 1; 12 seeds.  Without label noise a schedule gains nothing
there (``benchmarks/schedules.py``).  Run time: about a minute and a half.  Command: ``emergence figures schedules``.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from .._types import Array
from ..problem import Activation, Constant, Piecewise, PowerDecay, Problem, Schedule, Teacher
from ..simulate import Leap, sgd
from ..theory import sgd_law
from ..theory.finite_step_law import VALID, sgd_law_refusal
from ..theory.gradient_noise import ceiling
from ..theory.sample_curves import lost
from .captions import run_facts, run_text
from .style import heading, house_style, label_decades, panels, points, power_text, series, wrapped

SUMMARY = "What step-size schedules gain over the best constant step size, by the law of SGD and by runs"
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "beta": 0.8, "P": 16, "m": 64, "d": 1024, "label_noise": 1.0, "samples": [2e7, 6e7, 2e8], "draws": 60,
        "shares": [0.2, 0.5, 0.9], "horizons": [0.1, 0.3], "powers": [1.0], "drops": [0.5, 0.9], "seeds": 12,
    },
    "quick": {
        "beta": 0.8, "P": 2, "m": 8, "d": 128, "label_noise": 0.0, "samples": [2e5, 4e5], "draws": 40,
        "shares": [0.2, 0.5, 0.9], "horizons": [0.3], "powers": [1.0], "drops": [0.5], "seeds": 6,
    },
}  # fmt: skip
SECONDS = {"full": 90.0, "quick": 10.0}
KINDS = ("constant", "decay", "drop")
DROP = 0.25  # of η, what a drop leaves


def check(sizes: dict[str, Any]) -> None:
    """Refuse what is no problem or no lattice, or what the law of SGD does not know."""
    refusal = sgd_law_refusal(_problem(sizes))
    if refusal is not None:
        raise ValueError(refusal)
    for name in ("samples", "shares", "horizons", "powers", "drops"):
        if min(sizes[name]) <= 0 or sizes[name] != sorted(set(sizes[name])):
            raise ValueError(f"`{name}` must be positive and ascend, but are {sizes[name]}")
    for name, most in (("shares", VALID), ("drops", 1.0)):
        if sizes[name][-1] > most:
            raise ValueError(f"`{name}` must be at most {most:g}, but are {sizes[name]}")
    if sizes["label_noise"] < 0:
        raise ValueError(f"`label_noise` must not be negative, but is {sizes['label_noise']:g}")
    if sizes["seeds"] < 2:
        raise ValueError(f"an interval over seeds needs at least 2, but `seeds` is {sizes['seeds']}")


def _problem(sizes: dict[str, Any]) -> Problem:
    return Problem(Activation("h4"), Teacher.power_law(sizes["P"], sizes["beta"]), d=sizes["d"], m=sizes["m"])


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """Least losses and the measured gain; losses are shares of the loss at the start.

    ``samples`` (N,), ``loss`` (3, N): of the best of each of ``KINDS``, inf where none survives, ``text`` (3, N): its
    schedule; ``gain`` (3,): loss of SGD by the best schedule over that by the best constant after the most samples,
    with 95 % interval, NaN where fewer than two runs survived; ``lost`` (2,): runs that diverged; ``beta``,
    ``label_noise`` (); facts of the runs by the best schedule.

    Raises
    ------
    ValueError
        No constant step size of the list survives the most samples.
    """
    problem, noise = _problem(sizes), sizes["label_noise"]
    best = [_best(problem, sizes, n, seed) for n in sizes["samples"]]
    start = 0.5 * problem.activation.second_moment * float(np.sum(problem.a**2))
    last = best[-1]
    if not np.isfinite(last["constant"][0]):
        raise ValueError(f"no constant step size survives {sizes['samples'][-1]:g} samples; lower `shares`")
    chosen = [last["constant"][1], min(last["decay"], last["drop"], key=lambda one: one[0])[1]]
    logs = []
    for i, schedule in enumerate(chosen):
        found = sgd(
            problem, schedule, int(sizes["samples"][-1]), seeds=sizes["seeds"], sampler=Leap(), label_noise=noise,
            seed=seed + 100 + i, records=1,
        )  # fmt: skip
        logs.append(np.log(found.loss[~found.diverged, -1]))
    return {
        "samples": np.array(sizes["samples"]),
        "loss": np.array([[one[kind][0] for one in best] for kind in KINDS]) / start,
        "text": np.array([[one[kind][1].text for one in best] for kind in KINDS]),
        "gain": _ratio(logs[1], logs[0]), "lost": np.array([sizes["seeds"] - len(row) for row in logs]),
        "beta": np.array(sizes["beta"]), "label_noise": np.array(noise),
    } | run_facts(found.run)  # fmt: skip


def _best(problem: Problem, sizes: dict[str, Any], n: float, seed: int) -> dict[str, tuple[float, Schedule]]:
    """Least expected loss after n samples of each kind, and by which schedule."""
    top = ceiling(problem)
    candidates: dict[str, list[Schedule]] = {kind: [] for kind in KINDS}
    for eta in (share * top for share in sizes["shares"]):
        candidates["constant"].append(Constant(eta))
        candidates["decay"] += [
            PowerDecay(eta, part * n, power) for part, power in product(sizes["horizons"], sizes["powers"])
        ]
        candidates["drop"] += [Piecewise([(0, eta), (int(part * n), DROP * eta)]) for part in sizes["drops"]]
    found = {}
    for kind, schedules in candidates.items():
        losses = [_loss(problem, schedule, n, sizes, seed) for schedule in schedules]
        least = int(np.argmin(losses))
        found[kind] = losses[least], schedules[least]
    return found


def _loss(problem: Problem, schedule: Schedule, samples: float, sizes: dict[str, Any], seed: int) -> float:
    """Expected loss after the samples; inf where runs of that length are lost."""
    end = float(schedule.flow_time(np.array([int(samples)]))[0])
    law = sgd_law(problem, schedule, label_noise=sizes["label_noise"], t_max=end, draws=sizes["draws"], seed=seed)
    return np.inf if lost(law, np.array([samples]))[0] else float(law.loss[-1])


def _ratio(one: Array, other: Array) -> Array:
    """exp of the difference of means, with Welch's 95 % interval."""
    if min(len(one), len(other)) < 2:
        return np.full(3, np.nan)
    parts = [row.var(ddof=1) / len(row) for row in (one, other)]
    error = float(np.sqrt(sum(parts)))
    freedom = sum(parts) ** 2 / sum(v**2 / (len(row) - 1) for v, row in zip(parts, (one, other), strict=True))
    half = float(student.ppf(0.975, max(freedom, 1.0))) * error
    return np.exp(one.mean() - other.mean() + np.array([0.0, -half, half]))


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Losses and gains, side by side but in a column."""
    with house_style(width):
        figure, (losses, gains) = panels(width, 2, tall=2.1, flat=0.54)
        room = figure.get_figwidth() * (0.85 if width == "column" else 0.42)
        _losses(losses, data, room)
        _gains(gains, data, room)
        for axis in (losses, gains):
            axis.set(xscale="log", xlabel="samples $n$")
            axis.set_xlim(0.8 * data["samples"][0], 1.25 * data["samples"][-1])
            label_decades(axis.xaxis)
        label_decades(losses.yaxis)
        heading(figure, run_text(data, step_size=""))
    return figure


def _losses(axis: Axes, data: dict[str, Array], room: float) -> None:
    for i, kind in enumerate(KINDS):
        axis.plot(data["samples"], data["loss"][i], label=_NAMES[kind], **series(i))
    known = data["loss"][np.isfinite(data["loss"])]
    axis.set(yscale="log", ylabel="expected loss / initial loss", ylim=(0.1 * known.min(), 1.6 * known.max()))
    noise = float(data["label_noise"])
    labels = "no label noise" if noise == 0 else rf"label noise $\tau={noise:g}$"
    axis.set_title(wrapped(rf"law of SGD, $\beta={float(data['beta']):g}$, {labels}", room), loc="left")
    axis.legend(loc="lower left")


def _gains(axis: Axes, data: dict[str, Array], room: float) -> None:
    samples, shown = data["samples"], [1.0]
    axis.axhline(1.0, color="0.4", linewidth=points(0.8))
    for i, kind in enumerate(KINDS[1:], start=1):
        ratio = data["loss"][i] / data["loss"][0]
        shown += ratio[np.isfinite(ratio)].tolist()
        axis.plot(samples, ratio, label=f"law, {_NAMES[kind]}", **series(i))
    value, low, high = data["gain"]
    title = "too few runs survived to measure a gain"
    if np.isfinite(value):
        shown += [low, high]
        title = f"SGD after ${power_text(float(samples[-1]))}$ samples, {value:.2f} of the constant's loss, "
        title += f"95 %: {low:.2f} to {high:.2f}"
        axis.errorbar(
            samples[-1:], [value], [[value - low], [high - value]], fmt="o", color="black", markerfacecolor="white",
            elinewidth=points(0.9), capsize=points(2), zorder=4, label="SGD, best schedule, 95 %",
        )  # fmt: skip
    spread = max(shown) / min(shown)
    axis.set(yscale="log", ylim=(min(shown) / (1.1 * spread), 1.1 * spread**0.15 * max(shown)))
    label_decades(axis.yaxis)
    axis.set_ylabel("loss / loss of the best constant step")
    axis.set_title(wrapped(title, room), loc="left")
    axis.legend(loc="lower left")


_NAMES = {"constant": "constant step", "decay": "power decay", "drop": f"one drop to {DROP:g} η"}
