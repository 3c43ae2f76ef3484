"""What was simulated, in the words that stand in the picture: sampler, problem, step size, seeds.

A figure keeps the facts of its runs among its data (``run_facts``) and writes them with ``run_text``, so that no
simulated point is without them, whatever the settings.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .._types import Array
from ..compare import Experiment
from ..compare.runs import QUIET
from ..problem import Problem
from ..simulate import Run
from .style import power_text


def run_facts(run: Run, prefix: str = "run") -> dict[str, Array]:
    """Facts of a run, each an array () under ``{prefix}_`` and its name."""
    noise = {f"{prefix}_label_noise": np.array(run.label_noise)} if run.label_noise else {}
    return {f"{prefix}_sampler": np.array(run.sampler.name), f"{prefix}_step_size": np.array(run.step_size.initial),
            f"{prefix}_batch": np.array(run.batch), f"{prefix}_seeds": np.array(run.seeds)} | noise | problem_facts(
        run.problem, prefix)  # fmt: skip


def problem_facts(problem: Problem, prefix: str) -> dict[str, Array]:
    """Facts of a problem, likewise."""
    values = {"activation": problem.activation.label, "P": problem.P, "d": problem.d, "m": problem.m}
    return {f"{prefix}_{name}": np.array(value) for name, value in values.items()}


def quiet_facts(experiment: Experiment, prefix: str = "run") -> dict[str, Array]:
    """Facts of the runs of an experiment without noise: by leap at a share of the drift-dominated step size η_P."""
    facts = {f"{prefix}_sampler": "leap", f"{prefix}_share": QUIET, f"{prefix}_seeds": experiment.seeds}
    return {name: np.array(value) for name, value in facts.items()} | problem_facts(experiment.problem, prefix)


def run_text(data: dict[str, Array], prefix: str = "run", **changed: str) -> str:
    """``SGD (leap), $h_4$, $P=8$, …``: what is known of sampler, σ, P, d, m, η, B, noise and seeds.

    η_P is the step size up to which drift beats noise for every direction (``theory.critical_step_size``).  ``changed``
    are texts that stand for a fact, ``""`` leaves it out.
    """
    known = {name: data[f"{prefix}_{name}"].item() for name in _NAMES if f"{prefix}_{name}" in data}
    parts = [changed[name] if name in changed else _NAMES[name](value) for name, value in known.items()]
    return ", ".join(part for part in parts if part)


def activation_text(label: str) -> str:
    """An activation as mathtext: ``h4 + h6/2`` as $h_4 + h_6/2$; what is more than Hermite polynomials as it is."""
    name, *high_pass = re.split("(?= from degree )", label)
    if re.fullmatch(r"[h\d+\-*/. ]+", name):
        name = "$" + re.sub(r"h(\d+)", r"h_{\1}", name).replace("*", "") + "$"
    else:
        name = name.replace("$", "")
    return "".join([name, *high_pass])


def count_text(value: int) -> str:
    """A whole number as mathtext without its dollars: from 10⁵ on as a power of ten, if it is one of two digits."""
    short = value >= 10**5 and float(f"{value:.1e}") == value
    return power_text(value) if short else str(value)


def exponent_text(value: float, low: float, high: float, digits: int = 3) -> str:
    """``−0.753 [−0.760, −0.746]``."""
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]".replace("-", "−")


def _count(name: str) -> Any:
    return lambda value: f"${name}={count_text(int(value))}$"


_NAMES: dict[str, Any] = {
    "sampler": lambda name: f"SGD ({name})",
    "activation": activation_text,
    "P": _count("P"),
    "d": _count("d"),
    "m": _count("m"),
    "step_size": lambda eta: rf"$\eta={power_text(eta)}$",
    "share": lambda share: rf"$\eta={power_text(share)}\,\eta_P$ (drift = noise at $p=P$)",
    "batch": lambda size: "" if size == 1 else f"$B={int(size)}$",
    "label_noise": lambda tau: f"label noise {tau:g}",
    "seeds": lambda count: "1 seed" if count == 1 else f"{int(count)} seeds",
}
