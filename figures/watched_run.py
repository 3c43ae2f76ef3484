"""One seed of SGD by leap, looked at after every macro-step.

The length of a macro-step follows what moves, so that a transition is seen in many of them and a plateau in few;
records at a fixed distance would draw a transition as wide as that distance.  What relaxes is taken exactly in long
macro-steps, so that, from a time on that the caller names, none is longer than ``LONGEST`` of the time that has
passed, less than a line's width on a logarithmic axis. Unit: flow time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._types import Array
from ..problem.events import strengths
from ..problem.population_loss import loss_of_students
from ..simulate import Run

LONGEST = 0.003


@dataclass(frozen=True)
class Watched:
    """T looks; ``start`` are the initial unit rows (m, min(d, P + m)), first P columns the overlaps.

    Attributes
    ----------
    times, loss
        Flow times and population loss (T,).
    strengths
        ``Σ_k n_k r_kp²``, (T, P).
    squares
        ``r_kp²`` (T, m, P) where asked for, else (0, m, P).
    """

    start: Array
    times: Array
    loss: Array
    strengths: Array
    squares: Array


def _longest(at: int, begin: float) -> int:
    """Steps at step ``at`` of a macro-step; up to ``begin`` in one go, if the sampler wishes."""
    return max(1, int(begin) - at if at < begin else int(LONGEST * at))


def watch(run: Run, begin: float, *, squares: bool = False) -> Watched:
    """The first seed of a run of the leap sampler at one step size, closely from flow time ``begin`` on.

    Raises
    ------
    ValueError
        It diverged.
    """
    problem, starts = run.problem, run.starts()[:1]
    stack, at, eta = run.begin(starts, [0]), 0, run.step_size.initial
    steps, losses, learned, overlaps = [], [], [], []
    while True:
        students = stack.students()[0]
        n = np.einsum("kd,kd->k", students, students)
        if not np.isfinite(n).all():
            raise ValueError(f"a run at step size {eta:.3g} diverged; lower it")
        r = students[:, : problem.P] / np.sqrt(n)[:, None]
        steps.append(at)
        losses.append(loss_of_students(problem, students))
        learned.append(strengths(n, r))
        if squares:
            overlaps.append(r**2)
        if at == run.steps:
            break
        at += stack.advance(min(run.steps - at, _longest(at, begin / eta)))
    table = np.array(overlaps) if squares else np.zeros((0, problem.m, problem.P))
    return Watched(starts[0], eta * np.array(steps, dtype=float), np.array(losses), np.array(learned), table)
