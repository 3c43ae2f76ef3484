"""The prediction: who learns each direction, and when, at three levels of theory.

    closed_form   the paper's formula (leading order, ``theory.closed_form``; as text, ``theory.symbolic_law``)
    decoupled     one direction, one student, exact quadrature (``theory.decoupled``)
    flow          gradient flow of the whole population loss (``theory.gradient_flow``)

Times are flow times t = η · steps; inf where a transition is not reached or never happens.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array
from ..problem.checks import positive_number
from ..problem.problem import Problem
from ..problem.tables import Columns, Tabulated, checked_kind
from . import decoupled
from .closed_form import closed_form_alignment, closed_form_recovery, closed_form_refusal
from .flow_result import Flow
from .gradient_flow import RTOL, flow
from .greedy_selection import assign, student_overlaps
from .late_directions import late_probability
from .symbolic_law import TransitionLaw, law_refusal, transition_law

LEVELS = ("closed_form", "decoupled", "flow")
MARKED = 0.1  # probability of being late from which the card tells it


@dataclass(frozen=True, repr=False)
class Prediction(Tabulated):
    """Predicted transitions from given initial directions.

    Attributes
    ----------
    directions
        Initial unit rows, (m, d) or (m, P + m) coordinates.
    student
        Index of the student expected to learn each direction, shape (P,); −1 for none.
    alignment, recovery
        Level name to flow times (P,); a level that does not apply is all inf, reason in ``notes``.
    status
        Per direction ``"learned"``, ``"not_by_horizon"`` or ``"never"``.
    late
        Probability that the flow aligns each direction more than a quarter later than the decoupled level says, because
        its student goes elsewhere first, (P,) (``theory.late_directions``); NaN where that level predicts no time.
    strengths
        ``Σ_k n_k r_kp²`` at the end of the flow, shape (P,).
    flow
        The full solution with loss and strengths over time.
    """

    problem: Problem
    directions: Array
    student: Array
    alignment: dict[str, Array]
    recovery: dict[str, Array]
    status: tuple[str, ...]
    late: Array
    strengths: Array
    flow: Flow
    notes: dict[str, str]
    wall_time: float

    @property
    def law(self) -> TransitionLaw | None:
        """The formulas of one direction alone; None where directions are not learned by themselves, or σ has none."""
        return None if law_refusal(self.problem) else transition_law(self.problem.activation)

    def columns(self, kind: str) -> Columns:
        """``"times"``: a row for each direction, students −1 for none; ``"curves"``: those of the flow."""
        if checked_kind(kind, "times", "curves") == "curves":
            return self.flow.columns(kind)
        events = {"alignment": self.alignment, "recovery": self.recovery}
        return {
            "p": np.arange(self.problem.P), "a_p": self.problem.a, "student": self.student,
            "status": np.array(self.status),
            **{f"{event}_{level}": times[level] for event, times in events.items() for level in LEVELS},
            "late": self.late,
        }  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf stays inf for the caller to write as null."""
        law = self.law
        return {
            "problem": self.problem.as_dict(),
            "alignment": {level: self.alignment[level].tolist() for level in LEVELS},
            "recovery": {level: self.recovery[level].tolist() for level in LEVELS},
            "student": [int(k) if k >= 0 else None for k in self.student],
            "status": list(self.status),
            "late": [None if np.isnan(p) else float(p) for p in self.late],
            "strengths": self.strengths.tolist(),
            "t_end": self.flow.t_end,
            "flow_final_loss": float(self.flow.loss[-1]),
            "flow_status": self.flow.status,
            "flow_method": self.flow.method,
            "flow_bound": np.where(np.isnan(self.flow.bound), np.inf, self.flow.bound).tolist(),
            "notes": dict(self.notes),
            "law": None if law is None else law.as_dict(),
        }

    def __str__(self) -> str:
        lines = [
            f"prediction for {self.problem.activation.label}: d = {self.problem.d}, P = {self.problem.P}, "
            f"m = {self.problem.m} (flow times)",
            f"{'p':>4} {'a_p':>8} {'student':>7} | {'alignment':^32} | {'recovery':^32} | status",
            f"{'':>21} | {'closed form':>11} {'decoupled':>10} {'flow':>9} "
            f"| {'closed form':>11} {'decoupled':>10} {'flow':>9} |",
        ]
        for p in range(self.problem.P):
            align, recover = ([_text(table[level][p]) for level in LEVELS] for table in (self.alignment, self.recovery))
            student = str(self.student[p] + 1) if self.student[p] >= 0 else "—"
            lines.append(
                f"{p + 1:>4} {self.problem.a[p]:>8.4f} {student:>7} | {align[0]:>11} {align[1]:>10} {align[2]:>9} "
                f"| {recover[0]:>11} {recover[1]:>10} {recover[2]:>9} | {self.status[p]}"
            )
        lines += [f"note: {reason}" for reason in self.notes.values()]
        lines.append(str(self.flow))
        marked = [f"p = {p + 1} ({self.late[p]:.2f})" for p in np.nonzero(self.late >= MARKED)[0]]
        if marked:
            lines.append("later than the decoupled time by a quarter, with probability: " + ", ".join(marked))
        if self.law is not None:
            lines.append(self.law.summary)
        return "\n".join(lines)


def predict(
    problem: Problem,
    directions: ArrayLike,
    *,
    t_max: float | None = None,
    t_min: float = 0.0,
    times: ArrayLike = (),
    rtol: float = RTOL,
    flow_method: str = "auto",
) -> Prediction:
    """Predict the transitions from initial unit rows ``directions`` (m, d).

    Parameters
    ----------
    t_max
        Horizon of the flow; default twice the largest decoupled recovery time, or t_min if later.
    t_min
        The flow runs at least to here, recovered or not.
    times
        Extra flow times at which the flow is recorded.
    rtol, flow_method
        Tolerance and method of ``flow``.

    Raises
    ------
    ValueError
        Bad directions, horizon or method.
    """
    started = time.perf_counter()
    rows = problem.checked_directions(directions)
    overlaps = rows[:, : problem.P]
    activation, a, n0 = problem.activation, problem.a, problem.init_scale**2
    student = assign(activation, a, overlaps)
    r0 = student_overlaps(student, overlaps)
    unreached = np.full(problem.P, np.inf)
    notes: dict[str, str] = {}
    alone = (
        decoupled.alignment_time(activation, a, r0),
        decoupled.recovery_time(activation, a, r0, n0),
    )
    levels = {"closed_form": (unreached, unreached), "decoupled": alone}
    refusal = closed_form_refusal(activation)
    if refusal is None:
        levels["closed_form"] = (
            closed_form_alignment(activation, a, r0),
            closed_form_recovery(activation, a, r0, n0),
        )
    else:
        notes["closed_form"] = refusal
    refusal = decoupled.decoupled_refusal(problem)
    learnable, late = np.isfinite(alone[1]), np.full(problem.P, np.nan)
    if refusal is not None:
        levels["decoupled"] = (unreached, unreached)
        notes["decoupled"] = refusal
        learnable = a > 0
    else:
        late = late_probability(problem, overlaps, alone[0])
    solution = flow(
        problem,
        rows,
        t_max=max(t_min, _horizon(problem, alone[1])) if t_max is None else positive_number("t_max", t_max),
        t_min=t_min,
        until=learnable,
        times=times,
        rtol=rtol,
        method=flow_method,
    )
    levels["flow"] = (solution.alignment, solution.recovery)
    status = np.where(learnable, "not_by_horizon", "never")
    status = np.where(np.isfinite(solution.recovery), "learned", status)
    return Prediction(
        problem=problem,
        directions=rows,
        student=student,
        alignment={level: levels[level][0] for level in LEVELS},
        recovery={level: levels[level][1] for level in LEVELS},
        status=tuple(status.tolist()),
        late=late,
        strengths=solution.strengths[-1],
        flow=solution,
        notes=notes,
        wall_time=time.perf_counter() - started,
    )


def _horizon(problem: Problem, recovery: Array) -> float:
    """Twice the largest decoupled recovery time; ln d and growth times where there is none."""
    finite = recovery[np.isfinite(recovery)]
    if finite.size and finite.max() > 0:
        return float(2 * finite.max())
    slowest = np.min(problem.a[problem.a > 0]) * min(
        problem.activation.second_moment, problem.activation.slope_second_moment
    )
    return float((np.log(problem.d + 1) + 2 * abs(np.log(problem.init_scale)) + 10) / slowest)


def _text(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "—"
