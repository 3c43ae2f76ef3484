"""Gradient flow of the population loss: the overlap ODE, integrated; with a step size, its noise too.

State without noise: (ln n_k, v̄_k in the basis of span(V*, V(0))), far better conditioned than packed
overlap matrices.  The right-hand side is ``problem.population_loss.velocity``; rows are normalised
inside it, so the tangential equation holds whatever rounding does to the lengths.

The solver is stepped by hand (SciPy's DOP853) because its event finder sees only sign changes
between step ends.  A first passage of one of ``problem.events`` is looked for at the end and three interior
points of every step, and found by Brent's method on the step's own interpolant.  At a finite step size the state and
right-hand side are those of ``theory.noisy_flow``.  Unit: flow time t = η · steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import DOP853
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from .._types import Array
from ..problem import events
from ..problem.checks import nonnegative_number, positive_integer, positive_number
from ..problem.population_loss import loss, velocity
from ..problem.problem import Problem
from .noisy_flow import NoisyFlow

MAX_STEPS = 200_000


@dataclass(frozen=True, repr=False)
class Flow:
    """A solution of the gradient flow.

    Attributes
    ----------
    times
        Flow times of the record, shape (T,): solver steps and requested times, ascending.
    loss, strengths, alignments
        Population loss (T,), ``Σ_k n_k r_kp²`` (T, P), ``max_k r_kp²`` (T, P).
    alignment, recovery
        First-passage flow times, shape (P,); inf where not reached by ``t_end``.
    n, directions
        Final squared norms (m,) and unit rows (m, min(d, P + m)), first P columns overlaps; with noise the rows
        have all P + m coordinates, the last m by their inner products alone.
    status
        ``"recovered"`` (all that were asked for), ``"horizon"``, or what stopped the solver.
    step_size, batch, label_noise
        Of the noise; without any, ``step_size`` is 0.
    noise_error
        Largest relative standard error of the moments of the noise; 0 where they are exact (polynomial σ).
    """

    problem: Problem
    times: Array
    loss: Array
    strengths: Array
    alignments: Array
    alignment: Array
    recovery: Array
    n: Array
    directions: Array
    status: str
    rtol: float
    evaluations: int
    wall_time: float
    step_size: float
    batch: int
    label_noise: float
    noise_error: float

    @property
    def t_end(self) -> float:
        """Flow time at which the integration ended."""
        return float(self.times[-1])

    def loss_at(self, times: ArrayLike) -> Array:
        """Loss at flow times in [0, t_end] by monotone interpolation of ln L; NaN outside."""
        floor = np.maximum(self.loss, 1e-300)
        return np.exp(PchipInterpolator(self.times, np.log(floor), extrapolate=False)(np.asarray(times, dtype=float)))

    def strengths_at(self, times: ArrayLike) -> Array:
        """Strengths at flow times in [0, t_end], shape (len(times), P); NaN outside."""
        return PchipInterpolator(self.times, self.strengths, extrapolate=False)(np.asarray(times, dtype=float))

    def __str__(self) -> str:
        reached = int(np.isfinite(self.recovery).sum())
        noise = ""
        if self.step_size:
            noise = f" with the mean noise of step size {self.step_size:g}, batch {self.batch}"
            noise += f", label noise {self.label_noise:g} (moments to {self.noise_error:.1g})"
        return (
            f"gradient flow{noise} to t = {self.t_end:.6g} ({self.status})\n"
            f"  recovered {reached} of {self.problem.P} directions, final loss {self.loss[-1]:.6g}\n"
            f"  {self.evaluations} right-hand sides at rtol = {self.rtol:g}, {self.wall_time:.2f} s"
        )


def flow(
    problem: Problem,
    directions: ArrayLike,
    *,
    t_max: float,
    t_min: float = 0.0,
    until: ArrayLike | None = None,
    times: ArrayLike = (),
    rtol: float = 1e-7,
    step_size: float = 0.0,
    batch: int = 1,
    label_noise: float = 0.0,
) -> Flow:
    """Integrate the gradient flow from unit rows ``directions`` (m, d).

    Parameters
    ----------
    t_max
        Horizon in flow time.
    t_min
        Integrate at least to here even when all of ``until`` are recovered.
    until
        Boolean (P,): stop once these directions are recovered; with none of them, run to t_max.
    times
        Extra flow times at which to record.
    rtol
        Relative tolerance of the solver.
    step_size, batch, label_noise
        η, B and the standard deviation of noise on the labels, for the mean effect of gradient noise; η = 0 is
        without.

    Raises
    ------
    ValueError
        Bad directions, horizon, ``until``, ``rtol`` or noise.
    """
    started = time.perf_counter()
    t_max, rtol = positive_number("t_max", t_max), positive_number("rtol", rtol)
    start = problem.coordinates(problem.checked_directions(directions))
    a, live = problem.a, problem.a > 0
    eta, size = nonnegative_number("step_size", step_size), positive_integer("batch", batch)
    tau = nonnegative_number("label_noise", label_noise)
    if tau and not eta:
        raise ValueError("`label_noise` acts through a `step_size`, which is 0")
    noisy = NoisyFlow(problem, start, eta / size, tau) if eta else None
    system = noisy or _CleanFlow(problem, start)
    wanted = np.zeros(problem.P, dtype=bool) if until is None else np.asarray(until, dtype=bool)
    if wanted.shape != (problem.P,):
        raise ValueError(f"`until` must have shape (P,) = ({problem.P},), but has {wanted.shape}")
    requested = np.unique(np.asarray(times, dtype=float))
    requested = requested[(requested > 0) & (requested <= t_max)]

    def excess(y: Array) -> Array:
        """How far past alignment (row 0) and recovery (row 1) each direction is."""
        return events.excess(a, *system.overlaps(y))

    def record(t: float, y: Array) -> None:
        n, overlaps = system.overlaps(y)
        strengths, aligned = events.strengths(n, overlaps), np.max(overlaps**2, axis=0)
        log.append((t, loss(problem, n, overlaps, system.gram(y)), strengths, aligned))

    log: list[tuple[float, float, Array, Array]] = []
    state = system.start
    # First passages, one row an event; a direction of strength zero is never counted as learned.
    first = np.where((excess(state) >= 0) & live, 0.0, np.inf)
    record(0.0, state)
    solver = DOP853(lambda _, y: system.velocity(y), 0.0, state, t_max, rtol=rtol, atol=1e-3 * rtol)
    status = "horizon"
    for _ in range(MAX_STEPS):
        done = wanted.any() and np.isfinite(first[1, wanted]).all()
        if done and solver.t >= t_min and solver.t > 0:  # at least one step, so that the record is a curve
            status = "recovered"
            break
        if solver.status != "running":
            break
        with np.errstate(all="ignore"):  # a trial step may overflow; the solver rejects it
            message = solver.step()
        if solver.status == "failed":
            status = f"solver stopped at t = {solver.t:.6g}: {message}"
            break
        interpolant = solver.dense_output()
        _find_passages(excess, interpolant, solver.t_old, solver.t, first, live)
        for t in requested[(requested > solver.t_old) & (requested < solver.t)]:
            record(t, interpolant(t))
        record(solver.t, solver.y)
    else:
        status = f"solver stopped at t = {solver.t:.6g}: {MAX_STEPS} steps taken; lower t_max"
    columns = list(zip(*log, strict=True))
    return Flow(
        problem=problem,
        times=np.array(columns[0]),
        loss=np.array(columns[1]),
        strengths=np.array(columns[2]),
        alignments=np.array(columns[3]),
        alignment=first[0],
        recovery=first[1],
        n=system.overlaps(solver.y)[0],
        directions=system.rows(solver.y),
        status=status,
        rtol=rtol,
        evaluations=solver.nfev,
        wall_time=time.perf_counter() - started,
        step_size=eta,
        batch=size,
        label_noise=tau,
        noise_error=noisy.error if noisy else 0.0,
    )


class _CleanFlow:
    """State, right-hand side and what they say, without noise."""

    def __init__(self, problem: Problem, start: Array) -> None:
        self._problem = problem
        self.start = np.concatenate([np.full(problem.m, 2 * np.log(problem.init_scale)), start.ravel()])

    def rows(self, y: Array) -> Array:
        m = self._problem.m
        rows = y[m:].reshape(m, -1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def overlaps(self, y: Array) -> tuple[Array, Array]:
        return np.exp(y[: self._problem.m]), self.rows(y)[:, : self._problem.P]

    def gram(self, y: Array) -> Array:
        rows = self.rows(y)
        return rows @ rows.T

    def velocity(self, y: Array) -> Array:
        F, tangent = velocity(self._problem, np.exp(y[: self._problem.m]), self.rows(y))
        return np.concatenate([4 * F, tangent.ravel()])


def _find_passages(
    excess: Callable[[Array], Array],
    interpolant: Callable[[float], Array],
    left: float,
    right: float,
    first: Array,
    learnable: Array,
) -> None:
    """Enter into ``first`` (events, P) the passages that happen in this step."""
    grid = np.linspace(left, right, 5)
    seen = np.array([excess(interpolant(t)) for t in grid[1:]]) >= 0
    for event, p in np.argwhere(seen.any(axis=0) & np.isinf(first) & learnable):
        i = int(np.argmax(seen[:, event, p]))

        def past(t: float, event: int = event, p: int = p) -> float:
            return float(excess(interpolant(t))[event, p])

        low, high = grid[i], grid[i + 1]
        # at ``low`` not there yet, but for the rounding between two steps' interpolants
        first[event, p] = brentq(past, low, high, xtol=1e-12 * high) if past(low) < 0 else low
