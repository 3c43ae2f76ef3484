"""Drive a stack of seeds to its end: look at it, note transitions, save it.

At every stop of ``simulate.stops`` the driver measures overlaps and norms and notes first passages
of the two events (``problem.events``).  A seed whose squared norm passes 1e6 times the natural scale, or
is not finite, has diverged: it is stopped and reported,
never averaged.  Between stops it advances in pieces of about a tenth of a second, so that
checkpoints and interrupts are prompt; the pieces do not change the path.  A coarse sampler (leap)
is looked at after every macro-step instead, and its first passages are interpolated linearly
between looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .._types import Array
from ..problem.events import excess
from ..problem.population_loss import loss_of_students
from ..problem.problem import Problem
from .checkpoint import Checkpoint
from .run import Run
from .samplers.stack import Stack, nested, under
from .stops import check_steps

EXPLODED = 1e6
PIECE_SECONDS = 0.1


class Interrupted(Exception):  # noqa: N818  (not an error)
    """The work was asked to stop; what it had is in its checkpoint, if it has one."""


class Measured:
    """Records of the seeds of one stack, filled while they advance; S seeds, T records."""

    def __init__(self, problem: Problem, seeds: int, records: int) -> None:
        m, P = problem.m, problem.P
        self.loss = np.full((seeds, records), np.nan)
        self.overlaps = np.full((seeds, records, m, P), np.nan)
        self.norms = np.full((seeds, records, m), np.nan)
        self.passages = np.full((2, seeds, P), np.inf)  # alignment and recovery
        self.open = np.broadcast_to(problem.a > 0, (2, seeds, P)).copy()  # may still come
        self.diverged_at = np.full(seeds, -1)  # step, or −1
        self.largest_norm = np.full(seeds, problem.init_scale)  # at the last look
        # How far past them each direction was at the last look, and when that was; a coarse sampler's.
        self.excess = np.full((2, seeds, P), -np.inf)
        self.time = np.zeros(1)
        self.stops = np.zeros(1, dtype=np.int64)  # stops done
        self.at = np.zeros(1, dtype=np.int64)  # steps done

    @property
    def alignment(self) -> Array:
        """First passages, (S, P)."""
        return np.asarray(self.passages[0])

    @property
    def recovery(self) -> Array:
        """First passages, (S, P)."""
        return np.asarray(self.passages[1])

    def snapshot(self) -> dict[str, Array]:
        """Every array by name."""
        return dict(vars(self))

    def restore(self, saved: dict[str, Array]) -> None:
        """Go on from a ``snapshot``."""
        for name in vars(self):
            getattr(self, name)[...] = saved[name]


def drive(
    run: Run,
    stack: Stack,
    seeds: int,
    *,
    checkpoint: Checkpoint | None,
    progress: Callable[[int], None],
    stopping: Callable[[], bool],
) -> tuple[Measured, Array | None]:
    """Advance ``stack`` to the end of ``run``; returns its records and the final students of its first live seed.

    Parameters
    ----------
    seeds
        How many are in the stack.
    checkpoint
        Where its state is kept, if anywhere.
    progress
        Called with the number of samples done since the last call.
    stopping
        Asked after every piece of work: is it time to end?

    Raises
    ------
    Interrupted
        When told to stop; the state is saved first.
    CheckpointError
        The checkpoint cannot be used.
    """
    problem, batch, recorded = run.problem, run.batch, run.recorded()
    out = Measured(problem, seeds, len(recorded))
    saved = None if checkpoint is None else checkpoint.load()
    if saved is not None:
        out.restore(under("measured", saved))
        stack.keep(out.diverged_at < 0)
        stack.restore(under("stack", saved))
        progress(int(out.at[0]) * batch * seeds)
    alive = np.nonzero(out.diverged_at < 0)[0]  # which seed each row of the stack is
    slot = {int(step): i for i, step in enumerate(recorded)}
    checks = recorded if stack.coarse else np.append(0, check_steps(run.steps))
    checked = set(checks.tolist())
    stops = np.union1d(checks, recorded)
    times = run.step_size.flow_time(stops)
    last_save, piece = time.monotonic(), run.steps if stack.coarse else 1

    def save() -> None:
        if checkpoint is not None:
            checkpoint.save(nested("measured", out.snapshot()) | nested("stack", stack.snapshot()))

    for stop, t in list(zip(stops.tolist(), times.tolist(), strict=True))[int(out.stops[0]) :]:
        while out.at[0] < stop and alive.size:
            began = time.monotonic()
            count = stack.advance(min(stop - int(out.at[0]), piece))
            out.at += count
            now = time.monotonic()
            if stack.coarse:  # its macro-steps are its own: no piece depends on the machine
                if out.at[0] < stop:
                    between = float(run.step_size.flow_time(out.at)[0])
                    alive = _look(problem, stack, out, alive, between, None, check=True)
            elif now - began < PIECE_SECONDS / 2:
                piece *= 2
            elif now - began > 2 * PIECE_SECONDS and piece > 1:
                piece //= 2
            progress(count * batch * alive.size)
            if stopping():
                save()
                raise Interrupted
            if checkpoint is not None and now - last_save >= checkpoint.interval:
                save()
                last_save = now
        if not alive.size:
            break
        alive = _look(problem, stack, out, alive, t, slot.get(stop), check=stop in checked)
        out.stops += 1
    save()
    return out, stack.students()[0] if alive.size else None


def _look(
    problem: Problem, stack: Stack, out: Measured, alive: Array, t: float, slot: int | None, *, check: bool
) -> Array:
    """Measure the stack at flow time t; returns the seeds that go on.

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
        alive, n, top, students = (values[~exploded] for values in (alive, n, top, students))
        if not alive.size:
            return alive
    out.largest_norm[alive] = np.sqrt(top)
    overlaps = students[:, :, : problem.P] / np.sqrt(n)[:, :, None]
    if check:
        _first_passages(problem, stack.coarse, out, alive, n, overlaps, t)
    if slot is not None:
        out.overlaps[alive, slot], out.norms[alive, slot] = overlaps, np.sqrt(n)
        for row, seed in enumerate(alive.tolist()):
            out.loss[seed, slot] = loss_of_students(problem, students[row])
    return alive


def _first_passages(
    problem: Problem, coarse: bool, out: Measured, alive: Array, n: Array, overlaps: Array, t: float
) -> None:
    past = excess(problem.a, n, overlaps)
    new = out.open[:, alive]
    new &= past >= 0
    if new.any():
        when = np.full(past.shape, t)
        if coarse:
            before = out.excess[:, alive]
            crossing = new & (before < 0) & np.isfinite(before)
            share = np.divide(before, before - past, out=np.ones_like(past), where=crossing)
            when = out.time[0] + (t - out.time[0]) * share
        out.passages[:, alive] = np.where(new, when, out.passages[:, alive])
        out.open[:, alive] &= ~new
    if coarse:
        out.excess[:, alive], out.time[0] = past, t
