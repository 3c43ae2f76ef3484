"""Drive a stack of runs to its end: look at it, note transitions, save it.

At every stop of ``simulate.stops`` the driver measures overlaps and norms and notes first passages
of alignment (max_k r_kp² ≥ ½) and recovery (Σ_k n_k r_kp² ≥ a_p/2).  A run whose squared norm
passes 1e6 times the natural scale, or is not finite, has diverged: it is stopped and reported,
never averaged.  Between stops it advances in pieces of about a tenth of a second, so that
checkpoints and interrupts are prompt; the pieces do not change the path.  A coarse sampler (leap)
is looked at after every macro-step instead, and its first passages are interpolated linearly
between looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from .._types import Array
from ..problem.events import excess
from ..problem.population_loss import loss_of_students
from ..problem.problem import Problem
from .checkpoint import Store
from .samplers.stack import Setting, Stack, nested, under
from .stops import Steps, check_steps

EXPLODED = 1e6
PIECE_SECONDS = 0.1

Progress = Callable[[int], None]


class Interrupted(Exception):  # noqa: N818  (not an error)
    """The run was asked to stop; what it had is in its checkpoint, if it has one."""


class Measured:
    """Records of the runs of one stack, filled while they advance; S runs, T records."""

    def __init__(self, problem: Problem, runs: int, records: int) -> None:
        m, P = problem.m, problem.P
        self.loss = np.full((runs, records), np.nan)
        self.overlaps = np.full((runs, records, m, P), np.nan)
        self.norms = np.full((runs, records, m), np.nan)
        self.alignment = np.full((runs, P), np.inf)
        self.recovery = np.full((runs, P), np.inf)
        self.diverged_at = np.full(runs, -1)  # step, or −1
        self.largest_norm = np.full(runs, problem.init_scale)  # at the last look
        # How far past alignment and recovery each direction was at the last look, and when that was.
        self.excess = np.full((2, runs, P), -np.inf)
        self.time = np.zeros(1)
        self.stops = np.zeros(1, dtype=np.int64)  # stops done
        self.at = np.zeros(1, dtype=np.int64)  # steps done

    def snapshot(self) -> dict[str, Array]:
        """Every array by name."""
        return dict(vars(self))

    def restore(self, saved: dict[str, Array]) -> None:
        """Go on from a ``snapshot``."""
        for name in vars(self):
            getattr(self, name)[...] = saved[name]


def drive(
    setting: Setting,
    stack: Stack,
    runs: int,
    steps: int,
    recorded: Steps,
    *,
    store: Store | None = None,
    index: int = 0,
    progress: Progress | None = None,
    stopping: threading.Event | None = None,
) -> tuple[Measured, Array | None]:
    """Advance ``stack`` to ``steps``; returns its records and the final students of its first live run.

    Raises
    ------
    Interrupted
        When ``stopping`` is set; the state is saved first.
    CheckpointError
        The checkpoint of this stack cannot be used.
    """
    problem, batch = setting.problem, setting.batch
    out = Measured(problem, runs, len(recorded))
    saved = None if store is None else store.load(index)
    if saved is not None:
        out.restore(under("measured", saved))
        stack.keep(out.diverged_at < 0)
        stack.restore(under("stack", saved))
        if progress is not None:
            progress(int(out.at[0]) * batch * runs)
    alive = np.nonzero(out.diverged_at < 0)[0]  # which run each row of the stack is
    slot = {int(step): i for i, step in enumerate(recorded)}
    checks = recorded if stack.coarse else np.append(0, check_steps(steps))
    checked = set(checks.tolist())
    stops = np.union1d(checks, recorded)
    times = setting.schedule.flow_time(stops)
    last_save, piece = time.monotonic(), steps if stack.coarse else 1

    def save() -> None:
        if store is not None:
            store.save(index, nested("measured", out.snapshot()) | nested("stack", stack.snapshot()))

    for stop, t in list(zip(stops.tolist(), times.tolist(), strict=True))[int(out.stops[0]) :]:
        while out.at[0] < stop and alive.size:
            began = time.monotonic()
            count = stack.advance(min(stop - int(out.at[0]), piece))
            out.at += count
            now = time.monotonic()
            if stack.coarse and out.at[0] < stop:
                between = float(setting.schedule.flow_time(out.at)[0])
                alive = _look(problem, stack, out, alive, between, None, check=True)
            elif now - began < PIECE_SECONDS / 2:
                piece *= 2
            elif now - began > 2 * PIECE_SECONDS and piece > 1:
                piece //= 2
            if progress is not None:
                progress(count * batch * alive.size)
            if stopping is not None and stopping.is_set():
                save()
                raise Interrupted
            if store is not None and now - last_save >= store.interval:
                save()
                last_save = now
        if not alive.size:
            break
        alive = _look(problem, stack, out, alive, t, slot.get(stop), check=stop in checked)
        out.stops += 1
    if store is not None:
        save()
    return out, stack.students()[0] if alive.size else None


def _look(
    problem: Problem, stack: Stack, out: Measured, alive: Array, t: float, slot: int | None, *, check: bool
) -> Array:
    """Measure the stack at flow time t; returns the runs that go on.

    First passages are noted at checks only, so that they do not depend on the record grid.
    """
    students = stack.students()
    with np.errstate(all="ignore"):
        n = np.einsum("skd,skd->sk", students, students)
        top = n.max(axis=1)
        exploded = ~(top <= EXPLODED * max(1.0, problem.init_scale**2))
    if exploded.any():
        gone = alive[exploded]
        out.diverged_at[gone] = out.at[0]
        size = np.sqrt(top[exploded])
        out.largest_norm[gone] = np.where(np.isfinite(size), size, out.largest_norm[gone])
        stack.keep(~exploded)
        alive, n, students = alive[~exploded], n[~exploded], students[~exploded]
        if not alive.size:
            return alive
    out.largest_norm[alive] = np.sqrt(n.max(axis=1))
    overlaps = students[:, :, : problem.P] / np.sqrt(n)[:, :, None]
    if check:
        _first_passages(problem, stack.coarse, out, alive, n, overlaps, t)
    if slot is not None:
        out.overlaps[alive, slot], out.norms[alive, slot] = overlaps, np.sqrt(n)
        for row, run in enumerate(alive.tolist()):
            out.loss[run, slot] = loss_of_students(problem, students[row])
    return alive


def _first_passages(
    problem: Problem, coarse: bool, out: Measured, alive: Array, n: Array, overlaps: Array, t: float
) -> None:
    now, before = excess(problem.a, n, overlaps), out.excess[:, alive]
    passage = np.full(now.shape, t)
    if coarse:
        crossing = (before < 0) & (now >= 0) & np.isfinite(before)
        share = np.divide(before, before - now, out=np.ones_like(now), where=crossing)
        passage = out.time[0] + (t - out.time[0]) * share
    for table, over, when in zip((out.alignment, out.recovery), now, passage, strict=True):
        new = (over >= 0) & (problem.a > 0) & np.isinf(table[alive])
        table[alive] = np.where(new, when, table[alive])
    out.excess[:, alive], out.time[0] = now, t
