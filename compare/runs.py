"""The runs that measurements and pictures are made of: SGD to a flow time, gradient flow, and the same starts for both.

Leap at ``QUIET`` of the drift-dominated step size is gradient flow, for the price of large steps.  Seed i of every
run starts at the rows that ``random_starts`` gives for it, so that simulation and law can be paired start by start.
Unit: flow time.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from ..problem.events import EVENTS
from ..problem.problem import Problem
from ..problem.seeds import DIRECTIONS, seed_stream
from ..simulate import Direct, Leap, Reduced, Simulation, sgd
from ..theory import FiniteLaw, flow
from ..theory.critical_step_size import drift_dominated_step_sizes
from ..theory.finite_size_law import law_of_starts

QUIET = 1e-4  # step size over the drift-dominated one at which leap is gradient flow
SAMPLERS: dict[str, Direct | Reduced | Leap] = {"direct": Direct(), "reduced": Reduced(), "leap": Leap()}
WITHOUT_NOISE = Leap(virtual=2, accuracy=0.2)  # times late by 0.6 to 1.5 % in the median, 90 % within 3 to 5 %
RECORDS = 200


def random_starts(problem: Problem, seeds: int, seed: int) -> Array:
    """The initial coordinates that a simulation draws for its seeds, shape (S, m, P + m)."""
    return np.stack([problem.initial_coordinates(seed_stream(seed, i, DIRECTIONS)) for i in range(seeds)])


def weakest_step_size(problem: Problem) -> float:
    """Largest step size at which drift beats noise for every direction, from the median best overlap."""
    return float(drift_dominated_step_sizes(problem).min())


def quiet_step_size(problem: Problem) -> float:
    """A step size at which noise plays no part for any direction."""
    return QUIET * weakest_step_size(problem)


def sgd_to(
    problem: Problem, eta: float, horizon: float, *, sampler: Direct | Reduced | Leap = SAMPLERS["leap"],
    seeds: int = 1, seed: int = 0, directions: Array | None = None, records: int = RECORDS, spacing: str = "linear",
) -> Simulation:  # fmt: skip
    """SGD at step size η to flow time ``horizon``, one sample a step."""
    return sgd(
        problem, eta, int(np.ceil(horizon / eta)), seeds=seeds, seed=seed, directions=directions, sampler=sampler,
        records=records, spacing=spacing,
    )  # fmt: skip


def undiverged(run: Simulation) -> Simulation:
    """The runs, none of which diverged.

    Raises
    ------
    ValueError
        One did: it has no place in a mean.
    """
    if run.diverged.any():
        raise ValueError(f"a run at step size {run.step_size:.3g} diverged; lower it")
    return run


def noiseless_losses(
    problem: Problem, horizon: float, *, method: str, seeds: int, seed: int
) -> tuple[Array, Array, FiniteLaw]:
    """Times (T,), losses (S, T) without noise, by ``flow`` or by leap, and the law of the same starts."""
    if method == "flow":
        times, starts = np.linspace(0, horizon, RECORDS), random_starts(problem, seeds, seed)
        flows = [flow(problem, rows, t_max=horizon, times=times, rtol=1e-5) for rows in starts]
        losses = np.stack([solution.loss_at(times) for solution in flows])
        return times, losses, law_of_starts(problem, starts)
    eta = quiet_step_size(problem)
    run = undiverged(sgd_to(problem, eta, horizon, sampler=WITHOUT_NOISE, seeds=seeds, seed=seed))
    return run.times, run.loss, law_of_starts(problem, run.directions)


def first_passages(
    problem: Problem, eta: float, *, method: str, seeds: int, seed: int, every: bool
) -> tuple[dict[str, Array], FiniteLaw]:
    """Flow times (S, P) of alignment and recovery, inf where not reached, and the law of the same starts.

    The flow (no η) stops by itself.  SGD lasts 2.5 times as long as the law says that the slowest start needs, or
    where ``every`` is False, enough for a median over seeds, the middle one; a diverged run reaches nothing.
    """
    starts = random_starts(problem, seeds, seed)
    law = law_of_starts(problem, starts)
    needed = np.where(np.isfinite(law.recovery), law.recovery, 0.0).max(axis=1)
    horizon = 2.5 * float(needed.max() if every or method == "flow" else np.median(needed))
    if method == "flow":
        learned = np.full(problem.P, True)
        solutions = [flow(problem, rows, t_max=horizon, until=learned, rtol=1e-5) for rows in starts]
        return {event: np.stack([getattr(one, event) for one in solutions]) for event in EVENTS}, law
    run = sgd_to(problem, eta, horizon, sampler=SAMPLERS[method], seeds=seeds, seed=seed, records=2)
    return {event: run.first_passages(event) for event in EVENTS}, law


def lower_envelope(losses: Array) -> tuple[Array, Array]:
    """Losses (S, X) at the width of least mean for each x, and which it is (X,), from (W, S, X)."""
    best = np.argmin(losses.mean(axis=1), axis=0)
    return losses[best, :, np.arange(best.size)].T, best
