"""``sgd``: run online SGD for several seeds and measure when each direction is learned.

The driver stops every run at the steps of ``simulate.plan``, measures overlaps and norms there,
and notes the first passage of alignment (max_k r_kp² ≥ ½) and recovery (Σ_k n_k r_kp² ≥ a_p/2).
A run whose squared norm passes 1e6 times the natural scale, or is not finite, has diverged:
it is stopped and reported, never averaged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from problem.checks import nonnegative_integer, positive_integer, positive_number
from problem.problem import Problem
from problem.seeds import CHECK, DATA, DIRECTIONS, generator, seed_stream
from problem.types import Array
from simulate import compiled
from simulate.direct import DirectStack, sampled_loss
from simulate.plan import Steps, check_steps, record_steps
from simulate.result import Divergence, LossCheck, Simulation

ENGINES = ("auto", "compiled", "numpy")
EXPLODED = 1e6
MAX_NUMBERS = 10**9  # doubles that a call may hold: 8 GB

Progress = Callable[[int], None]


class Stack(Protocol):
    """Runs that are advanced together."""

    students: Array

    def advance(self, steps: int) -> None: ...

    def keep(self, alive: np.ndarray) -> None: ...


@dataclass
class _Measured:
    """Records of the runs of one stack, filled while they advance."""

    loss: Array
    overlaps: Array
    norms: Array
    alignment: Array
    recovery: Array
    divergence: list[Divergence | None]
    final: list[Array | None] = field(default_factory=list)


def sgd(
    problem: Problem,
    step_size: float,
    samples: int,
    batch: int = 1,
    seeds: int = 1,
    directions: ArrayLike | None = None,
    *,
    seed: int = 0,
    records: int = 200,
    spacing: str = "linear",
    engine: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
) -> Simulation:
    """Online SGD: ``samples / batch`` steps on fresh samples, for each of ``seeds`` runs.

    Parameters
    ----------
    step_size
        η; flow time is η · steps.
    samples
        Samples a run, a multiple of ``batch``.
    seeds
        Number of runs; run i uses the streams of ``problem.seeds`` for (``seed``, i).
    directions
        Initial unit rows, (m, d) for all runs or (S, m, d); default random, per run.
    records, spacing
        How many records, on a ``"log"`` or ``"linear"`` grid of steps.
    engine
        ``"compiled"`` (batch 1, extra ``fast``), ``"numpy"``, or ``"auto"``.
    workers
        Threads of the compiled engine; default one per core.  Results do not depend on it.
    progress
        Called with the number of samples done since the last call.

    Raises
    ------
    ValueError
        Bad arguments, before any work starts.
    ImportError
        ``engine="compiled"`` without numba; names the extra to install.
    """
    eta, batch, workers, chosen, recorded = checked_settings(
        problem, step_size, samples, batch, seeds, directions,
        seed=seed, records=records, spacing=spacing, engine=engine, workers=workers,
    )  # fmt: skip
    steps = int(recorded[-1])
    start = initial_rows(problem, seed, seeds, directions)
    students = problem.init_scale * start
    streams = [generator(seed_stream(seed, i, DATA)) for i in range(seeds)]

    if chosen == "compiled":
        compiled.kernel(problem.activation)
    started = time.perf_counter()
    if chosen == "compiled":
        stacks: list[Stack] = [
            compiled.CompiledRun(problem, students[i : i + 1], streams[i], eta) for i in range(seeds)
        ]
        with ThreadPoolExecutor(min(workers, seeds)) as pool:
            parts = list(pool.map(lambda s: drive(problem, s, eta, batch, steps, recorded, progress), stacks))
    else:
        parts = [
            drive(
                problem,
                DirectStack(problem, students, streams, eta, batch),
                eta,
                batch,
                steps,
                recorded,
                progress,
            )
        ]
    elapsed = time.perf_counter() - started
    divergence = tuple(item for part in parts for item in part.divergence)
    return Simulation(
        problem=problem,
        step_size=eta,
        samples=samples,
        batch=batch,
        seed=seed,
        directions=start,
        times=eta * recorded,
        loss=np.concatenate([part.loss for part in parts]),
        overlaps=np.concatenate([part.overlaps for part in parts]),
        norms=np.concatenate([part.norms for part in parts]),
        alignment=np.concatenate([part.alignment for part in parts]),
        recovery=np.concatenate([part.recovery for part in parts]),
        divergence=divergence,
        loss_check=_loss_check(problem, seed, [final for part in parts for final in part.final]),
        engine=chosen,
        samples_per_second=sum(item.step * batch if item else samples for item in divergence) / elapsed,
        wall_time=elapsed,
        version=package_version(),
    )


def checked_settings(
    problem: Problem,
    step_size: float,
    samples: int,
    batch: int,
    seeds: int,
    directions: ArrayLike | None,
    *,
    seed: int,
    records: int,
    spacing: str,
    engine: str,
    workers: int | None,
) -> tuple[float, int, int, str, Steps]:
    """Step size, batch, workers, engine and record grid of a run; raises like ``sgd``, does no work."""
    eta = positive_number("step_size", step_size)
    batch = positive_integer("batch", batch)
    samples = positive_integer("samples", samples)
    seeds = positive_integer("seeds", seeds)
    records = positive_integer("records", records)
    nonnegative_integer("seed", seed)
    workers = os.cpu_count() or 1 if workers is None else positive_integer("workers", workers)
    if samples % batch:
        raise ValueError(f"`samples` must be a multiple of the batch {batch}, but is {samples}")
    chosen = _chosen_engine(engine, batch)
    recorded = record_steps(samples // batch, records, spacing)
    students = problem.m * problem.d
    if seeds * (len(recorded) * problem.m * problem.P + 2 * students) > MAX_NUMBERS:
        raise ValueError("the students and their records do not fit in memory; ask for fewer `records` or `seeds`")
    if batch * problem.d * (seeds if chosen == "numpy" else 1) > MAX_NUMBERS:
        raise ValueError(f"a batch of {batch} samples in {problem.d} dimensions does not fit in memory")
    if directions is not None and np.ndim(directions) == 3 and len(np.asarray(directions)) != seeds:
        raise ValueError(f"`directions` holds {len(np.asarray(directions))} runs, but `seeds` is {seeds}")
    return eta, batch, workers, chosen, recorded


def initial_rows(problem: Problem, seed: int, seeds: int, directions: ArrayLike | None) -> Array:
    """Initial unit rows of every run, shape (S, m, d)."""
    if directions is None:
        return np.stack([problem.initial_directions(seed_stream(seed, i, DIRECTIONS)) for i in range(seeds)])
    given = np.asarray(directions)
    if given.ndim == 3:
        return np.stack([problem.checked_directions(rows) for rows in given])
    return np.repeat(problem.checked_directions(given)[None], seeds, axis=0)


def package_version() -> str:
    """Version of the installed distribution."""
    try:
        return version("sgd-emergence")
    except PackageNotFoundError:
        return "not installed"


def _chosen_engine(engine: str, batch: int) -> str:
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(ENGINES)}, but is {engine!r}")
    if engine == "auto":
        return "compiled" if batch == 1 and compiled.available() else "numpy"
    if engine == "compiled":
        if batch != 1:
            raise ValueError(f"the compiled engine takes batch 1, but `batch` is {batch}; use engine='numpy'")
        if not compiled.available():
            raise ImportError("the compiled engine needs numba; install sgd-emergence[fast]")
    return engine


def drive(
    problem: Problem,
    stack: Stack,
    step_size: float,
    batch: int,
    steps: int,
    recorded: Steps,
    progress: Progress | None = None,
) -> _Measured:
    """Advance a stack to ``steps``, measuring at every check and record."""
    S, m, P = len(stack.students), problem.m, problem.P
    out = _Measured(
        loss=np.full((S, len(recorded)), np.nan),
        overlaps=np.full((S, len(recorded), m, P), np.nan),
        norms=np.full((S, len(recorded), m), np.nan),
        alignment=np.full((S, P), np.inf),
        recovery=np.full((S, P), np.inf),
        divergence=[None] * S,
        final=[None] * S,
    )
    runs = np.arange(S)  # which run each row of the stack is
    limit = EXPLODED * max(1.0, problem.init_scale**2)
    largest = np.full(S, problem.init_scale)
    slot = {int(step): i for i, step in enumerate(recorded)}
    at = 0
    for stop in np.union1d(check_steps(steps), recorded).tolist():
        stack.advance(stop - at)
        if progress is not None:
            progress((stop - at) * batch * len(runs))
        at = stop
        with np.errstate(all="ignore"):
            n = np.einsum("skd,skd->sk", stack.students, stack.students)
            exploded = ~(n.max(axis=1) <= limit)
        if exploded.any():
            for row in np.nonzero(exploded)[0]:
                size = float(np.sqrt(n[row].max()))
                out.divergence[runs[row]] = Divergence(at, size if np.isfinite(size) else float(largest[row]))
            stack.keep(~exploded)
            runs, n, largest = runs[~exploded], n[~exploded], largest[~exploded]
            if not runs.size:
                break
        largest = np.sqrt(n.max(axis=1))
        overlaps = stack.students[:, :, :P] / np.sqrt(n)[:, :, None]
        _first_passages(problem, out, runs, n, overlaps, step_size * at)
        if at in slot:
            i = slot[at]
            out.overlaps[runs, i], out.norms[runs, i] = overlaps, np.sqrt(n)
            for row, run in enumerate(runs.tolist()):
                out.loss[run, i] = population_loss(problem, n[row], overlaps[row], stack.students[row])
    for row, run in enumerate(runs.tolist()):
        out.final[run] = stack.students[row]
    return out


def _first_passages(problem: Problem, out: _Measured, runs: Array, n: Array, overlaps: Array, t: float) -> None:
    squares = overlaps**2
    learnable = problem.a > 0
    aligned = (squares.max(axis=1) >= 0.5) & learnable
    recovered = (np.einsum("sk,skp->sp", n, squares) >= problem.a / 2) & learnable
    for table, reached in ((out.alignment, aligned), (out.recovery, recovered)):
        table[runs] = np.where(reached & np.isinf(table[runs]), t, table[runs])


def population_loss(problem: Problem, n: Array, overlaps: Array, students: Array) -> float:
    """``½[φ(1)Σa² − 2Σ n_k a_p φ(r_kp) + Σ n_k n_l φ(q_kl)]`` of one run; students (m, ·)."""
    unit = students / np.sqrt(n)[:, None]
    phi, a = problem.activation.phi, problem.a
    gram = np.clip(unit @ unit.T, -1.0, 1.0)
    total = problem.activation.second_moment * np.sum(a**2) - 2 * n @ phi(overlaps) @ a + n @ phi(gram) @ n
    return float(max(0.0, 0.5 * total))


def _loss_check(problem: Problem, seed: int, finals: list[Array | None]) -> LossCheck | None:
    students = next((final for final in finals if final is not None), None)
    if students is None:
        return None
    samples = int(np.clip(4_000_000 // problem.d, 100, 20_000))
    n = np.einsum("kd,kd->k", students, students)
    population = population_loss(problem, n, students[:, : problem.P] / np.sqrt(n)[:, None], students)
    mean, error = sampled_loss(problem, students, generator(seed_stream(seed, 0, CHECK)), samples)
    return LossCheck(population, mean, error, samples)
