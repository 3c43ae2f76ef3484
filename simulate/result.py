"""What a simulation returns: records, first-passage times, and what became of each seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._types import Array
from ..problem.divergence import RISK, expected_losses
from ..problem.events import middle, strengths
from ..problem.problem import Problem
from ..problem.tables import Columns, Tabulated, checked_kind, crossed, numbered
from .dataset import dataset
from .run import Run
from .samplers import Leap


@dataclass(frozen=True)
class Divergence:
    """A run that blew up: at which step it was seen, and the largest ‖v_k‖ then or just before."""

    step: int
    norm: float

    def __str__(self) -> str:
        return f"diverged by step {self.step}, largest norm {self.norm:.3g}; try a smaller step size"


@dataclass(frozen=True)
class LossCheck:
    """Population loss from φ against the mean over fresh samples, at the end of one run."""

    population: float
    sampled: float
    standard_error: float
    samples: int

    @property
    def deviations(self) -> float:
        """Difference in standard errors."""
        return (self.sampled - self.population) / self.standard_error if self.standard_error else 0.0


@dataclass(frozen=True, repr=False, eq=False)
class Simulation(Tabulated):
    """Records of the S seeds of a run of online SGD.

    Attributes
    ----------
    run
        What was computed; makes it again.
    directions
        Initial unit rows, (S, m, d) or (S, m, P + m) coordinates.
    times
        Flow times t = η · steps of the records, shape (T,).
    loss
        Population loss, shape (S, T); NaN from a divergence on.
    overlaps, norms
        r_kp, shape (S, T, m, P), and ‖v_k‖, shape (S, T, m); NaN from a divergence on.
    alignment, recovery
        First-passage flow times, shape (S, P); inf where not reached.  Measured at least every
        0.2 % of the elapsed time, by leap after every macro-step and interpolated.
    divergence
        Per seed a ``Divergence`` or None.
    samples_per_second
        All samples of all seeds over the time of the computation.
    """

    run: Run
    directions: Array
    times: Array
    loss: Array
    overlaps: Array
    norms: Array
    alignment: Array
    recovery: Array
    divergence: tuple[Divergence | None, ...]
    loss_check: LossCheck | None
    warning: str | None
    samples_per_second: float
    wall_time: float
    version: str

    def __eq__(self, other: object) -> bool:
        """Is it the same run with the same numbers?  (How long it took is no part of that.)"""
        if not isinstance(other, Simulation):
            return NotImplemented
        numbers = ("directions", "times", "loss", "overlaps", "norms", "alignment", "recovery")
        return (
            self.run == other.run
            and self.divergence == other.divergence
            and all(np.array_equal(getattr(self, x), getattr(other, x), equal_nan=True) for x in numbers)
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def problem(self) -> Problem:
        """What was learned, by whom."""
        return self.run.problem

    @property
    def step_size(self) -> float:
        """η of the first step."""
        return self.run.step_size.initial

    @property
    def seeds(self) -> int:
        """Number of runs S."""
        return len(self.divergence)

    @property
    def diverged(self) -> np.ndarray:
        """Boolean, shape (S,)."""
        return np.array([item is not None for item in self.divergence])

    def first_passages(self, event: str) -> Array:
        """Flow times of ``"alignment"`` or ``"recovery"``, shape (S, P); a diverged run is later than every time."""
        times: Array = getattr(self, event)
        return np.where(self.diverged[:, None], np.inf, times)

    @cached_property
    def valid_until(self) -> Array:
        """Flow time (S,) from which direct SGD on such a path has diverged with a probability above ``RISK``.

        Estimated from the records (``problem.divergence``) and for ``leap`` alone, which does not see the single
        samples that end runs; inf where that is never, and for runs that diverged by themselves.
        """
        until = np.full(self.seeds, np.inf)
        if not isinstance(self.run.sampler, Leap):
            return until
        steps, a, batch = self.run.recorded(), self.problem.a, self.run.batch
        scales = self.run.step_size.rate(np.maximum(steps - 1, 0)) / batch
        strong = self.strengths
        share = np.divide(strong, a, out=np.ones_like(strong), where=a > 0)
        missing = self.problem.activation.second_moment * (1 - np.minimum(share, 1.0)) ** 2 @ a**2
        for seed in np.flatnonzero(~self.diverged):
            learned = self.alignment[seed] <= self.times[:, None]
            error = missing[seed] + self.run.label_noise**2
            lost = expected_losses(
                self.problem, self.times, batch * steps, scales, error, learned, self.recovery[[seed]]
            )
            risk = -np.expm1(-lost)
            if risk[-1] > RISK:
                until[seed] = np.interp(RISK, risk, self.times)
        return until

    @property
    def strengths(self) -> Array:
        """``Σ_k n_k r_kp²``, shape (S, T, P)."""
        return strengths(self.norms**2, self.overlaps)

    @property
    def t_end(self) -> float:
        """Flow time simulated."""
        return float(self.times[-1])

    def to_xarray(self) -> Any:
        """The records as an xarray dataset (extra ``data``) over seed, time, student and direction.

        ``loss``, ``overlap``, ``norm`` and ``strength`` over time, ``alignment`` and ``recovery`` as flow times; units
        and what the run was are attributes.

        Raises
        ------
        ImportError
            xarray is missing.
        """
        return dataset(self)

    def columns(self, kind: str) -> Columns:
        """``"times"``: a row for each seed and direction; ``"curves"``: one for each seed and record."""
        seeds, P = np.arange(self.seeds), self.problem.P
        if checked_kind(kind, "times", "curves") == "times":
            return {
                **crossed(seed=seeds, p=np.arange(P)),
                "a_p": np.tile(self.problem.a, self.seeds),
                "alignment": self.alignment.ravel(),
                "recovery": self.recovery.ravel(),
                "diverged": np.repeat(self.diverged, P),
            }
        return {
            **crossed(seed=seeds, time=self.times),
            "samples": np.tile(self.run.batch * self.run.recorded(), self.seeds),
            "loss": self.loss.ravel(),
            **numbered("strength", self.strengths),
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf and NaN are left for the caller to write as null."""
        check = self.loss_check
        return {
            "problem": self.problem.as_dict(),
            "alignment": self.alignment.tolist(),
            "recovery": self.recovery.tolist(),
            "diverged": self.diverged.tolist(),
            "divergence": [None if item is None else str(item) for item in self.divergence],
            "samples": self.run.samples,
            "step_size": self.step_size,
            "batch": self.run.batch,
            "seed": self.run.seed,
            "samples_per_second": self.samples_per_second,
            "schedule": self.run.step_size.text,
            "label_noise": self.run.label_noise,
            "dtype": self.run.sampler.dtype,
            "method": self.run.sampler.name,
            "engine": self.run.sampler.engine,
            "device": self.run.sampler.device or "cpu",
            "method_reason": self.run.reason,
            "warning": self.warning,
            "valid_until": self.valid_until.tolist(),
            "final_loss": self.loss[:, -1].tolist(),
            "times": self.times.tolist(),
            "loss": self.loss.tolist(),
            "loss_check": None
            if check is None
            else {
                "population": check.population,
                "sampled": check.sampled,
                "standard_error": check.standard_error,
                "samples": check.samples,
            },
            "version": self.version,
        }

    def __str__(self) -> str:
        ended = f"{int(self.diverged.sum())} of {self.seeds} diverged (later than every time)"
        finite = self.loss[~self.diverged, -1]
        final = f"{np.median(finite):.4g}" if finite.size else "—"
        if 0 < finite.size < self.seeds:
            final = f"of the {finite.size} others {final}"
        sampler, noise = self.run.sampler, self.run.label_noise
        engine = sampler.engine if sampler.device is None else f"{sampler.engine} on {sampler.device}"
        engine += f" ({self.run.engine_reason})" if self.run.engine_reason else ""
        alignment, recovery = self.first_passages("alignment"), self.first_passages("recovery")
        reached = np.isfinite(recovery).sum(axis=0)
        lines = [
            f"online SGD, {self.problem.activation.label}: d = {self.problem.d}, P = {self.problem.P}, "
            f"m = {self.problem.m}, {self.seeds} seeds",
            f"  {self.run.samples:.3g} samples a seed, step size {self.step_size:g}, batch {self.run.batch}, "
            + (f"label noise {noise:g}, " if noise else "")
            + f"flow time {self.t_end:.6g}",
            f"  method {self.run.sampler.name} ({self.run.reason})",
            f"  engine {engine}, {sampler.dtype}: {self.samples_per_second:.3g} samples/s, {self.wall_time:.1f} s",
            f"  {ended}; median final loss {final}",
        ]
        lines += [f"  seed {i}: {item}" for i, item in enumerate(self.divergence) if item is not None]
        lines.append(f"  {'p':>4} {'a_p':>8} {'median alignment':>17} {'median recovery':>16} {'recovered in':>13}")
        for p in range(self.problem.P):
            align, recover = (_time_text(middle(table[:, p])) for table in (alignment, recovery))
            lines.append(
                f"  {p + 1:>4} {self.problem.a[p]:>8.4f} {align:>17} {recover:>16} {f'{reached[p]}/{self.seeds}':>13}"
            )
        if self.warning is not None:
            lines.append(f"  warning: {self.warning}")
        past = np.isfinite(self.valid_until)
        if past.any():
            lines.append(
                f"  beyond reach of direct SGD: {int(past.sum())} of {self.seeds} runs, which would have diverged "
                f"with a probability above {RISK} from t = {self.valid_until.min():.4g} on (estimated)"
            )
        if self.loss_check is not None:
            lines.append(
                f"  final loss of the first run {self.loss_check.population:.4g}; on {self.loss_check.samples} fresh "
                f"samples {self.loss_check.sampled:.4g} ± {self.loss_check.standard_error:.2g}"
            )
        return "\n".join(lines)


def _time_text(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "—"
