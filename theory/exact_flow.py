"""Gradient flow of the population loss with its full right-hand side: the overlap ODE, integrated.

State without noise: (ln n_k, v̄_k in the basis of span(V*, V(0))), far better conditioned than packed
overlap matrices.  The right-hand side is ``problem.population_loss.velocity``; rows are normalised
inside it, so the tangential equation holds whatever rounding does to the lengths.

The solver is stepped by hand (SciPy's DOP853) because its event finder sees only sign changes
between step ends.  A first passage of one of ``problem.events`` is looked for at the end and three interior
points of every step, and found by Brent's method on the step's own interpolant.  With the mean effect of gradient noise
state and right-hand side are those of ``theory.noisy_flow``.  Unit: flow time t = η · steps.

Exponential steps with the diagonal rates of norms and directions (Krogstad's of order 4) pay where 1e-5 is enough: at
P = m = 64 they need 4,700 right-hand sides for an alignment error of 2e-5 (``benchmarks/full_flow.py``), where DOP853,
whose steps are bound by stability, needs 16,200 at rtol 1e-5 for 1e-5 and 20,000 at 1e-7 for 2e-7; 3e-6 takes them
13,400.  Hence DOP853 where a flow is to be exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy.integrate import DOP853
from scipy.optimize import brentq

from .._types import Array
from ..problem import events
from ..problem.population_loss import loss, velocity
from ..problem.problem import Problem
from .flow_result import Flow
from .noisy_flow import NoisyFlow

MAX_STEPS = 200_000
GROWTH = 200  # a transition's relative error over rtol, at most: errors grow towards the blow-up (measured ≤ 20)


def exact_flow(
    problem: Problem, start: Array, *, t_max: float, t_min: float, wanted: Array, requested: Array, rtol: float,
    reason: str, noise: NoisyFlow | None = None,
) -> Flow:  # fmt: skip
    """Integrate from coordinates ``start`` (m, min(d, P + m)); the arguments are those of ``flow``, checked.

    ``requested`` are ascending times in (0, t_max].
    """
    started = time.perf_counter()
    a, system = problem.a, noise or _CleanFlow(problem, start)

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
    first = np.where((excess(state) >= 0) & (a > 0), 0.0, np.inf)
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
        _find_passages(excess, interpolant, solver.t_old, solver.t, first, a > 0)
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
        method="exact",
        reason=reason,
        bound=np.where(np.isfinite(first[0]), GROWTH * rtol, np.nan),
        rtol=rtol,
        evaluations=solver.nfev,
        wall_time=time.perf_counter() - started,
    )


class _CleanFlow:
    """State, right-hand side and what they say, without noise."""

    def __init__(self, problem: Problem, start: Array) -> None:
        self._problem = problem
        self.start = np.concatenate([np.full(problem.m, 2 * np.log(problem.init_scale)), start.ravel()])

    def rows(self, y: Array) -> Array:
        m = self._problem.m
        rows = y[m:].reshape(m, -1)
        return np.asarray(rows / np.sqrt(np.einsum("kd,kd->k", rows, rows))[:, None])

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
