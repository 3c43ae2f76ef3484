"""The law of transition times of online SGD at a finite step size, and of its loss, without simulating it.

Gradient noise does three things at once (constants in ``theory.gradient_noise``): it diffuses the overlaps of the
students that have learned nothing, shrinks them, and makes their norms grow.  It is that of the moment, in
proportion to E2 = E δ², and so falls with the loss; and it renews the overlaps within about 1/Γ, so that a direction
too weak for the noise of the start is learned once the noise has fallen.

* *Passage.*  For every strength the density of one overlap is followed to r² = ½ (``theory.first_passage``); the rate
  of leaving is the hazard h_p(t) of direction p for each free student.  Overlaps are taken independent, but for the
  drag of all that is still missing elsewhere, in mean field (``theory.open_selection``).
* *Competition.*  Given the hazards, alignments are a race: direction p fires at the rate (free students) × h_p(t); a
  firing takes a student; p stays open until it is recovered, and students that fire for it before that are used
  up too.  As η → 0 this is ``theory.finite_size_law``.  The race is run for many draws at once.
* *Norms.*  A free student has ṅ = n (Γ_0 − 4φ(1) n) with Γ_0 = (η/B) d φ'(1) E2.  Alignment done, it enters
  ṅ = n [4φ(1)(a_p − n) + Γ_0] at n_free e^{−4φ(1)K}, K the delay of ``theory.decoupled``, and n = a_p/2 is recovery.
* *Error.*  U = φ(1) Σ_p a_p² (1 − n_p/a_p)² + φ(1) Σ_free n², and with the jitter of what is learned
  E2 = (U + τ²)/(1 − Σ_p φ'(1) n_p² θ_p²/E2), in the mean over the draws; for direction p while it is open its own
  share is there whole.
* *Schedules.*  η is that of the moment too; in flow time, which is ∫ η ds over the steps s, nothing else changes.

Where it stops (``valid`` and ``reason`` say so): above ``VALID`` of the ceiling, where the mean square error of what
is learned is no longer typical; σ that is not even or of information exponent below 4; steps too large for flow time.
It is a diffusion limit: single rare samples, which end runs at large steps, are not in it
(``problem.divergence`` estimates them).  Derived here.  Unit: flow time t = η · steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array
from ..problem.checks import nonnegative_number, positive_integer, positive_number
from ..problem.divergence import expected_losses
from ..problem.events import RECOVERED
from ..problem.problem import Problem
from ..problem.schedule import Constant, Custom, Schedule, StepSize, as_schedule
from ..problem.seeds import generator
from ..problem.tables import Columns, Tabulated, checked_kind, crossed
from . import decoupled
from .first_passage import FirstPassage, beyond_alignment
from .gradient_noise import ceiling, jitter_share
from .open_selection import pulls
from .random_init import POINTS, best_overlap, table_refusal

VALID = 0.9  # of the ceiling
BEYOND = 100.0  # ceilings: no step size is taken as larger than that, nothing is learned there
FAR, LOUD = 1e60, 1e6  # flow time and label noise beyond which doubles may overflow
SMALL_START = 0.1  # largest initial squared norm of a student over the least strength
LARGEST_ANGLE = 0.25  # mean square, of what is learned
LARGEST_AT_ONCE = 0.05  # probability of an alignment at the start: from where on it starts there is not in the law
STEP = 0.012  # time step over time
NODES = 32  # strengths that are solved for; those between are interpolated
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
_EVEN, _HALVINGS = 0.1, 8  # relative change of η over a time step, and how often one is halved for it
ENDLESS = 2**62  # the last step of which schedules speak; one that falls may never come to a flow time
UNLIKELY = 1e-9  # share of students that start aligned, below which none does
_LARGEST_JITTER = 0.95  # share of E2; beyond the ceiling, where the law is not valid


@dataclass(frozen=True, repr=False)
class SgdLaw(Tabulated):
    """Transition times over draws of the noise, and of the start where it is random.

    Attributes
    ----------
    schedule
        η over the steps.
    start
        ``"given"`` or ``"random"``.
    alignment, recovery
        Flow times, shape (draws, P); inf where not reached by ``t_max``.
    times, samples, loss
        Flow times (T,), samples till then, and the expected population loss there, (T,).
    rows
        Loss of each draw, shape (draws, T); the jitter of what is learned enters in its mean.
    survival
        Estimated probability that direct SGD has not diverged yet, (T,) (``problem.divergence``).  Taken as 0 from
        the start on where the step size is above the ceiling: what is learned there does not last, and the law does not
        know when it is learned (h4, d = 64, P = 2, m = 8: 14 of 16 runs at 2.1 of the ceiling, 16 of 16 at 7 and 11).
    valid, reason
        Does the law claim to hold here, and if not, why.
    """

    problem: Problem
    schedule: Schedule
    batch: int
    label_noise: float
    start: str
    alignment: Array
    recovery: Array
    times: Array
    samples: Array
    loss: Array
    rows: Array
    survival: Array
    valid: bool
    reason: str

    @property
    def step_size(self) -> float:
        """η of the first step."""
        return self.schedule.initial

    @property
    def t_max(self) -> float:
        """Flow time at which the law ends."""
        return float(self.times[-1])

    def flow_time_of(self, samples: ArrayLike) -> Array:
        """Flow times after numbers of samples; ``t_max`` beyond the law's end."""
        return np.interp(np.asarray(samples, dtype=float), self.samples, self.times)

    @property
    def learned_probability(self) -> Array:
        """Probability that each direction is recovered by ``t_max``, shape (P,)."""
        return np.isfinite(self.recovery).mean(axis=0)

    def columns(self, kind: str) -> Columns:
        """``"times"``: a row for each draw and direction; ``"curves"``: one for each flow time."""
        if checked_kind(kind, "times", "curves") == "curves":
            return {"time": self.times, "samples": self.samples, "loss": self.loss, "survival": self.survival}
        draws = len(self.alignment)
        events = {"alignment": self.alignment.ravel(), "recovery": self.recovery.ravel()}
        of_all = crossed(draw=np.arange(draws), p=np.arange(self.problem.P))
        return {**of_all, "a_p": np.tile(self.problem.a, draws), **events}

    def quantiles(self, event: str, levels: ArrayLike = LEVELS) -> Array:
        """Quantiles (Q, P) of ``"alignment"`` or ``"recovery"``; inf where not reached with that probability."""
        return np.quantile(getattr(self, event), np.asarray(levels), axis=0, method="inverted_cdf")

    def loss_at(self, times: ArrayLike) -> Array:
        """Expected loss at flow times up to ``t_max``."""
        return np.exp(np.interp(np.asarray(times, dtype=float), self.times, np.log(np.maximum(self.loss, 1e-300))))

    def survival_at(self, times: ArrayLike) -> Array:
        """Probability of no divergence up to flow times; that at ``t_max`` beyond."""
        return np.interp(np.asarray(times, dtype=float), self.times, self.survival)

    def as_dict(self, levels: ArrayLike = LEVELS) -> dict[str, Any]:
        """JSON-ready form; inf stays inf for the caller to write as null."""
        return {
            "step_size": self.step_size,
            "schedule": self.schedule.text,
            "batch": self.batch,
            "label_noise": self.label_noise,
            "levels": np.asarray(levels, dtype=float).tolist(),
            "alignment": self.quantiles("alignment", levels).tolist(),
            "recovery": self.quantiles("recovery", levels).tolist(),
            "learned_probability": self.learned_probability.tolist(),
            "start": self.start,
            "t_max": self.t_max,
            "draws": len(self.alignment),
            "divergence_probability": float(1 - self.survival[-1]),
            "valid": self.valid,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        return self.text()

    def text(self, levels: ArrayLike = LEVELS) -> str:
        """The quantiles as a table."""
        q = np.asarray(levels, dtype=float)
        named = f"{self.step_size:g}" if isinstance(self.schedule, Constant) else self.schedule.text
        lines = [
            f"SGD at step size {named}, batch {self.batch}, label noise {self.label_noise:g}: alignment by "
            f"first passage ({self.start} start, {len(self.alignment)} draws, to t = {self.t_max:.4g})"
        ]
        table, probability = self.quantiles("alignment", q), self.learned_probability
        for p in range(self.problem.P):
            cells = [f"q{level:g}: " + _text(table[i, p]) for i, level in enumerate(q)]
            lines.append(f"  p = {p + 1}:  " + "   ".join(cells) + f"   recovered {probability[p]:.0%}")
        lines.append(f"  direct SGD diverges by then with probability {1 - self.survival[-1]:.2g} (estimated)")
        return "\n".join([*lines, "  " + ("valid: " if self.valid else "not valid: ") + self.reason])


def sgd_law(
    problem: Problem,
    step_size: StepSize,
    *,
    batch: int = 1,
    label_noise: float = 0.0,
    directions: ArrayLike | None = None,
    t_max: float | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> SgdLaw:
    """Transition times and loss of SGD.

    Parameters
    ----------
    step_size
        η, a schedule (``problem.schedule``) or a callable of an array of steps.
    batch, label_noise
        B, and the standard deviation τ of noise on the labels.
    directions
        Initial unit rows (m, d) or coordinates; None for the law over random ones.
    t_max
        Horizon in flow time; default twice the largest median recovery, where there is one.
    draws
        Of the race; default some 32,000/P, between 8 and 1000, for given starts 200.
    seed
        Of the race.

    Raises
    ------
    ValueError
        Bad values; a problem that the theory does not know (``sgd_law_refusal``).
    """
    schedule, size = as_schedule(step_size), positive_integer("batch", batch)
    tau = nonnegative_number("label_noise", label_noise)
    refusal = sgd_law_refusal(problem, tau, None if t_max is None else positive_number("t_max", t_max))
    if refusal is not None:
        raise ValueError(refusal)
    rows = None if directions is None else problem.checked_directions(directions)
    count = int(np.clip(32_000 // problem.P, 8, 1000 if rows is None else 200)) if draws is None else draws
    refusal = table_refusal(positive_integer("draws", count), problem.P)
    if refusal is not None:
        raise ValueError(refusal)
    race = _Race(problem, schedule, size, tau, rows, count, seed)
    race.run(t_max)
    times, samples = np.array(race.times), size * np.array(race.steps)
    lost = expected_losses(
        problem, times, samples, np.array(race.scales), np.array(race.rest), np.array(race.aligned), race.recovery
    )
    valid, reason = validity(problem, race.largest, size, tau)
    survival = np.exp(-lost)
    if race.largest / size > ceiling(problem):
        survival[1:] = 0
    return SgdLaw(
        problem, schedule, size, tau, "random" if rows is None else "given", race.alignment, race.recovery,
        times, samples, np.array(race.loss), np.array(race.rows).T,
        survival, valid, reason,
    )  # fmt: skip


def sgd_law_refusal(problem: Problem, label_noise: float = 0.0, t_max: float | None = None) -> str | None:
    """Why there is no law of SGD for a problem, at so much label noise or to so late a time; None where there is."""
    if problem.activation.parity != "even" or (problem.activation.information_exponent or 0) < 4:
        return "the law of SGD needs an even activation of information exponent ≥ 4"
    if t_max is not None and t_max > FAR:
        return f"`t_max` must be at most {FAR:g} for the law of SGD, but is {t_max:g}"
    if label_noise > LOUD:
        return f"`label_noise` must be at most {LOUD:g} for the law of SGD, but is {label_noise:g}"
    return table_refusal(POINTS, problem.P)


def validity(problem: Problem, step_size: float, batch: int, label_noise: float) -> tuple[bool, str]:
    """Does the law claim to hold at this step size, and the reason."""
    top = ceiling(problem)
    share = step_size / batch / top
    if share > VALID * (1 + 1e-9):  # of a step size that was made from it
        return False, f"the step size is {share:.3g} of the ceiling {top * batch:.3g} (valid up to {VALID})"
    if problem.init_scale**2 > SMALL_START * problem.a[problem.a > 0].min():
        return False, f"students start at squared norm {problem.init_scale**2:.2g}, not small beside the strengths"
    at_once = -np.expm1(problem.m * np.log1p(-beyond_alignment(problem.d)))
    if at_once > LARGEST_AT_ONCE:
        return (
            False,
            f"a direction is aligned from the start with probability {at_once:.2g} (valid to {LARGEST_AT_ONCE})",
        )
    a, one = problem.a.max(), problem.activation.second_moment
    error = one * (1 - a**2) + label_noise**2
    angle = step_size / batch * problem.d * error / (2 * a)
    angle /= 1 - share
    if angle > LARGEST_ANGLE:
        return (
            False,
            f"a student that has learned strays by a mean square angle of {angle:.2g} (valid to {LARGEST_ANGLE})",
        )
    turn = step_size * a * problem.activation.slope_second_moment
    if turn > 0.2:
        return False, f"one step turns a learned student by {turn:.2g} of its error: no flow time (valid up to 0.2)"
    return True, f"the step size is {share:.3g} of the ceiling {top * batch:.3g}"


class _Race:
    """The draws, side by side, and the densities that give them their hazards."""

    def __init__(
        self, problem: Problem, schedule: Schedule, batch: int, tau: float, rows: Array | None, draws: int, seed: int
    ) -> None:
        sigma, a = problem.activation, problem.a
        self.problem, self.tau = problem, tau
        self._schedule, self._batch, self._most = schedule, batch, BEYOND * ceiling(problem)
        self._scale = min(schedule.initial / batch, self._most)
        self._stream = generator(seed)
        self._live = np.nonzero(a > 0)[0]
        self._of_live = slice(None) if self._live.size == problem.P else self._live
        self._one, self._slope = sigma.second_moment, sigma.slope_second_moment
        strengths = np.unique(a[self._live])
        if rows is None:
            if strengths.size > NODES:
                strengths = np.geomspace(strengths[0], strengths[-1], NODES)
            self._nodes, starts = strengths, None
            best = np.sqrt(best_overlap(problem, 1 - 1e-4))
            self._free: Array = np.full(draws, problem.m)
        else:
            self._nodes = a[self._live]
            starts = rows[:, self._live].T
            best = np.abs(starts).max()
            self._free = np.full((draws, problem.m), True)
        self._given = rows is not None
        self._passage = FirstPassage(problem, self._nodes, tau, starts)
        self._first = float(decoupled.alignment_time(sigma, a.max(), min(float(best), 0.7)))
        delay = decoupled.delay(sigma)
        self._drop = 4 * self._one * delay  # of ln n, at alignment
        typical = np.sqrt(best_overlap(problem, 0.5))
        slowest = float(decoupled.recovery_time(sigma, a[self._live].min(), typical, problem.init_scale**2))
        self._cap = 10 * slowest
        shape = (draws, problem.P)
        self.alignment, self.recovery = np.full(shape, np.inf), np.full(shape, np.inf)
        self._log_n, self._n = np.full(shape, -np.inf), np.zeros(shape)
        self._log_free = 2 * np.log(problem.init_scale)
        self._order = np.argsort(a[self._live])
        self._log_strengths = np.log(a[self._live]), np.log(self._nodes)
        self._pulls = pulls(sigma, a[self._live], problem.d, problem.m)
        self._steps, self.largest = 0.0, schedule.initial
        self.times: list[float] = []
        self.steps: list[float] = []
        self.scales: list[float] = []
        self.loss: list[float] = []
        self.rest: list[float] = []
        self.rows: list[Array] = []
        self.aligned: list[Array] = []
        if self._passage.beyond > UNLIKELY:
            self._align(self._fire_random(np.full((self._nodes.size, 1), -np.log1p(-self._passage.beyond))), 0.0, 0.0)
        self._error, self._left = self._now()
        self._record(0.0)

    def _now(self) -> tuple[float, Array]:
        """E2 in the mean, and U of each draw."""
        a, missing = self.problem.a, self.problem.a - self._n
        missing *= missing
        left = self._one * np.add.reduce(missing, axis=1)
        free = self._free.sum(axis=1) if self._given else self._free
        left += self._one * free * np.exp(2 * self._log_free)
        strength = a[self._live]
        share = jitter_share(self.problem, strength, np.minimum(self._n[:, self._of_live], strength), self._scale)
        jitter = min(float(_mean(np.add.reduce(share, axis=1))), _LARGEST_JITTER)
        start = self._one * float(np.sum(a**2)) + self.tau**2
        # beyond the ceiling no more than at the start: a bound, and flagged as not valid
        return min((float(_mean(left)) + self.tau**2) / (1 - jitter), start), left

    def run(self, t_max: float | None) -> None:
        t, horizon = 0.0, t_max
        while True:
            if horizon is None:
                done = _mean(np.isfinite(self.recovery[:, self._of_live])) > 0.5
                out_of_students = (
                    not self._free.any() and not (np.isfinite(self.alignment) & np.isinf(self.recovery)).any()
                )
                if done.all() or out_of_students:
                    horizon = 2 * max(t, self._first)
            end = self._cap if horizon is None else horizon
            if t >= end * (1 - 1e-12):
                return
            dt, steps, eta = self._ahead(min(max(self._first / 100, STEP * t), end - t))
            if steps > ENDLESS and not isinstance(self._schedule, Constant):
                return
            self._scale, self._steps = min(eta / self._batch, self._most), steps
            self.largest = max(self.largest, eta)
            self._step(t, dt)
            t += dt
            self._record(t)

    def _ahead(self, dt: float) -> tuple[float, float, float]:
        """Flow time to advance, at most ``dt``, the number of steps there, and η on the way: that of the middle.

        Across a jump of η, which no halving takes away, it is that of the start, so that the jump is passed.
        """
        eta = self._rate(self._steps)
        for _ in range(_HALVINGS):
            if abs(np.log(self._rate(self._steps + dt / eta) / eta)) < _EVEN:
                eta = self._rate(self._steps + 0.5 * dt / eta)
                break
            dt /= 2
        return dt, self._steps + dt / eta, eta

    def _rate(self, steps: float) -> float:
        """η at a number of steps."""
        at, schedule = np.array([int(min(steps, ENDLESS))]), self._schedule
        return float((schedule.check(at) if isinstance(schedule, Custom) else schedule.rate(at))[0])

    def _record(self, t: float) -> None:
        loss, mean = 0.5 * (self._error - self.tau**2), float(_mean(self._left))
        self.times.append(t)
        self.steps.append(self._steps)
        self.scales.append(self._scale)
        self.loss.append(loss)
        self.rest.append(mean + self.tau**2)
        self.rows.append(0.5 * self._left + (loss - 0.5 * mean))  # the jitter is that of the mean
        self.aligned.append(_mean(np.isfinite(self.alignment)))

    def _step(self, t: float, dt: float) -> None:
        a, one = self.problem.a, self._one
        missing = 1 - self._n[:, self._of_live] / a[self._live]
        error = self._error + one * self._nodes**2 * (1 - self._at_nodes(_mean(missing * missing)))
        pulled = _mean(np.maximum(missing, 0.0, out=missing)) * self._pulls
        drag = np.maximum(pulled.sum() - self._at_nodes(pulled), 0.0)
        passed = self._passage.step(dt, self._scale, error, drag)  # (nodes, columns): −ln of the share that stays
        growth = self._scale * self.problem.d * self._slope * self._error  # Γ_0
        # those aligned before this step grow through it; those aligned in it, through what is left of it
        self._recover(np.flatnonzero(np.isfinite(self.alignment)), t, dt, growth)
        when = self._fire_given(passed) if self._given else self._fire_random(passed)
        n_free = np.exp(self._log_free)
        self._log_free += _logistic(n_free, growth, 4 * one, dt)
        fired = self._align(when, t, dt)
        since = self.alignment.ravel()[fired]
        self._recover(fired, since, t + dt - since, growth)
        self._error, self._left = self._now()

    def _align(self, when: Array, t: float, dt: float) -> Array:
        """Note what is aligned in a step, at shares ``when`` of it; which that are, as indices of the flat table."""
        fired = np.flatnonzero(np.isfinite(when))
        self.alignment.ravel()[fired] = t + dt * when.ravel()[fired]
        start = self._log_free - self._drop
        log_n = np.minimum(start, np.log(0.25 * self.problem.a[fired % self.problem.P]))
        self._log_n.ravel()[fired], self._n.ravel()[fired] = log_n, np.exp(log_n)
        return fired

    def _at_nodes(self, values: Array) -> Array:
        """Of every live direction, taken at the strengths that are solved for."""
        order = self._order
        return values if self._given else np.interp(self._nodes, self.problem.a[self._live][order], values[order])

    def _recover(self, who: Array, since: float | Array, span: float | Array, growth: float) -> None:
        """Let aligned students, ``who`` of the flat table, grow for ``span`` from ``since``; note who is recovered."""
        if not who.size:
            return
        a, one = self.problem.a[who % self.problem.P], self._one
        rate, n = 4 * one * a + growth, self._n.ravel()[who]
        moved = self._log_n.ravel()[who]
        moved += _logistic(n, rate, 4 * one, span)
        after = np.exp(moved)
        self._log_n.ravel()[who], self._n.ravel()[who] = moved, after
        level = RECOVERED * a
        new = np.flatnonzero((n < level) & (after >= level))
        if not new.size:
            return
        n, level, rate = n[new], level[new], rate[new]
        since, span = (np.broadcast_to(values, who.shape)[new] for values in (since, span))
        # the logistic is n/(1 − c n) ∝ e^{rate t}, c = 4φ(1)/rate
        c = 4 * one / rate
        with np.errstate(divide="ignore", invalid="ignore"):
            needed = np.log(level * (1 - c * n) / (n * (1 - c * level))) / rate
        self.recovery.ravel()[who[new]] = since + np.clip(needed, 0.0, span)

    def _fire_random(self, passed: Array) -> Array:
        """When in this step, 0 to 1, each direction of each draw is aligned; inf where it is not."""
        hazard = np.zeros(self.problem.P)
        if self._nodes.size == 1:
            hazard[self._live] = passed[0, 0]
        else:
            logs = np.log(np.maximum(passed[:, 0], 1e-300))
            hazard[self._live] = np.exp(np.interp(*self._log_strengths, logs))
        rate = self._free[:, None] * np.minimum(hazard, 1e300)  # sure to be aligned, if there is a student
        rate *= np.isinf(self.recovery)
        wait = self._stream.standard_exponential(rate.shape)
        hits = wait < rate
        if not hits.any():
            return np.full(rate.shape, np.inf)
        wait = np.where(hits, wait / np.where(hits, rate, 1.0), np.inf)
        counts = np.add.reduce(hits, axis=1)
        for i in np.nonzero(counts > self._free)[0]:  # too few students: the first take them
            last = np.sort(wait[i])[self._free[i] - 1] if self._free[i] else -1.0
            hits[i] &= wait[i] <= last
        self._free = self._free - np.add.reduce(hits, axis=1)
        return np.where(hits & np.isinf(self.alignment), wait, np.inf)

    def _fire_given(self, passed: Array) -> Array:
        """The same, each student with its own hazard for each direction."""
        when = np.full(self.alignment.shape, np.inf)
        pairs = np.argwhere(passed > 1e-12)  # (direction, student)
        if not pairs.size:
            return when
        rate = passed[pairs[:, 0], pairs[:, 1]]
        direction, student = self._live[pairs[:, 0]], pairs[:, 1]
        wait = self._stream.standard_exponential((len(self._free), rate.size)) / rate
        usable = self._free[:, student] & np.isinf(self.recovery[:, direction])
        hits = np.argwhere((wait < 1) & usable)
        for i, j in hits[np.argsort(wait[hits[:, 0], hits[:, 1]])]:
            p, k = direction[j], student[j]
            if self._free[i, k]:
                self._free[i, k] = False
                if np.isinf(self.alignment[i, p]) and np.isinf(when[i, p]):
                    when[i, p] = wait[i, j]
        return when


def _mean(values: Array) -> Array:
    """Along the first axis; without what ``np.mean`` asks first, which takes longer for small tables."""
    return np.add.reduce(values, dtype=float) / len(values)  # type: ignore[no-any-return]


def _logistic(n: Any, rate: Any, curvature: float, span: Any) -> Any:
    """ln(n(t)/n) after ``span`` of ṅ = n (rate − curvature n)."""
    growth = np.minimum(rate * span, 600.0)  # by then n is what it will be
    bend = np.where(growth > 1e-12, np.expm1(growth) / np.where(growth > 1e-12, rate, 1.0), span)
    return growth - np.log1p(curvature * n * bend)


def _text(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "—"
