"""Gradient flow of the population loss: which integrator, and why.

    exact       the full right-hand side (``theory.exact_flow``), any σ, any start; the reference
    diagonal    direction by direction (``theory.diagonal_flow``), even σ of information exponent ≥ 4 and students
                that start small; its cost hardly grows with the horizon, and its error bound is computed

``"auto"`` takes the diagonal flow where it holds and pays: its overhead of some tenths of a second is repaid from
about ``MANY`` directions or ``WIDE`` students on.  Its accuracy does not follow ``rtol``, so that a tolerance below
the default asks for the exact one.  With a step size the mean effect of gradient noise is in the right-hand side
(``theory.noisy_flow``), which only the exact one has.  Unit: flow time t = η · steps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from ..problem.checks import nonnegative_number, positive_integer, positive_number
from ..problem.population_loss import pairs_refusal
from ..problem.problem import Problem
from .diagonal_flow import diagonal_flow, diagonal_refusal
from .exact_flow import exact_flow
from .flow_result import Flow
from .noisy_flow import NoisyFlow
from .random_init import POINTS, table_refusal

METHODS = ("auto", "exact", "diagonal")
RTOL = 1e-7
MANY, WIDE = 24, 256


def flow(
    problem: Problem,
    directions: ArrayLike,
    *,
    t_max: float,
    t_min: float = 0.0,
    until: ArrayLike | None = None,
    times: ArrayLike = (),
    rtol: float = RTOL,
    method: str = "auto",
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
        Relative tolerance of the exact integrator.
    method
        ``"exact"``, ``"diagonal"`` or ``"auto"``; the result says which and why.
    step_size, batch, label_noise
        η, B and the standard deviation of noise on the labels, for the mean effect of gradient noise; η = 0 is
        without.

    Raises
    ------
    ValueError
        Bad directions, horizon, ``until``, ``rtol``, ``method`` or noise; the diagonal flow where it does not hold, the
        exact one of too many students.
    """
    t_max, rtol = positive_number("t_max", t_max), positive_number("rtol", rtol)
    start = problem.coordinates(problem.checked_directions(directions))
    wanted = np.zeros(problem.P, dtype=bool) if until is None else np.asarray(until, dtype=bool)
    if wanted.shape != (problem.P,):
        raise ValueError(f"`until` must have shape (P,) = ({problem.P},), but has {wanted.shape}")
    requested = np.unique(np.asarray(times, dtype=float))
    requested = requested[(requested > 0) & (requested <= t_max)]
    eta, size = nonnegative_number("step_size", step_size), positive_integer("batch", batch)
    tau = nonnegative_number("label_noise", label_noise)
    if tau and not eta:
        raise ValueError("`label_noise` acts through a `step_size`, which is 0")
    chosen, reason = choose_method(problem, method, rtol, eta)
    if chosen == "exact":
        noise = NoisyFlow(problem, start, eta / size, tau) if eta else None
        found = exact_flow(
            problem, start, t_max=t_max, t_min=t_min, wanted=wanted, requested=requested, rtol=rtol, reason=reason,
            noise=noise,
        )  # fmt: skip
        if noise is None:
            return found
        return replace(found, step_size=eta, batch=size, label_noise=tau, noise_error=noise.error)
    return diagonal_flow(problem, start, t_max=t_max, t_min=t_min, wanted=wanted, requested=requested, reason=reason)


def choose_method(problem: Problem, method: str, rtol: float = RTOL, step_size: float = 0.0) -> tuple[str, str]:
    """The integrator, and why in words.

    Raises
    ------
    ValueError
        No such method; the diagonal flow where it does not hold, the exact one of too many students; more
        overlaps or strengths over time than fit in memory.
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {', '.join(METHODS)}, but is {method!r}")
    refusal = "gradient noise" if step_size else diagonal_refusal(problem)
    if method == "diagonal" and refusal is not None:
        raise ValueError(f"the diagonal flow does not hold: {refusal}; use the exact one")
    if method != "auto":
        chosen, reason = method, "as asked"
    elif rtol < RTOL:
        chosen, reason = "exact", f"rtol below {RTOL:g}"
    elif not step_size and problem.P < MANY and problem.m < WIDE:
        chosen, reason = "exact", f"fewer than {MANY} directions and {WIDE} students"
    else:
        chosen, reason = ("diagonal", "many students that start small") if refusal is None else ("exact", refusal)
    too_many = pairs_refusal(problem)
    if chosen == "exact" and too_many is not None:
        raise ValueError(f"{too_many}, and the gradient flow is the exact one ({reason})")
    too_large = problem.room_refusal() or table_refusal(POINTS, problem.P)
    if too_large is not None:
        raise ValueError(too_large)
    return chosen, reason
