"""Judging claims: measured against predicted, by the rules of ``compare.verdicts``.

With ``finite_size`` the prediction is the formula plus what the finite law's own exponent at this size is off
the derived one.  The same exponent of the law is in the measurement, as the mean of its control variate, and
cancels: judged is measured less law, from the same starts, against formula less derivation.

A curve that is not of the fitted form (``ExponentFit.misfit``) is no measurement; of several sizes it may be off it by
what the extrapolation takes out.

A constant is the mean over seeds of the mean over a seed's directions of ln(time/formula): x = 0, and an
error of the formula is the logarithm of a factor.

Measurements are kept in a directory, by a hash of the experiment's settings, the seed and the code, so that an
interrupted check goes on where it was and a changed formula is judged at once.  A damaged one is refused by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .._types import Array
from .._version import __version__
from ..problem.cards import Card
from ..problem.checks import nonnegative_integer
from ..problem.files import code_digest, kept
from .claim import Claim
from .experiment import Experiment
from .exponent_fit import MANY, MIN_POINTS, ExponentFit, fit_exponent
from .measurements import Measured, measure
from .texts import interval_text, number_text
from .verdicts import ALARM, JUDGEMENT, POWER, judgement

NOWHERE = (float("nan"), float("nan"))


@dataclass(frozen=True, repr=False)
class Verdict(Card):
    """A judged claim.

    ``predicted`` and ``measured`` are exponents, or for a constant ln ratios of measured to predicted times
    (predicted 0).  ``interval`` is the 95 % interval of the measured value; ``finds`` the smallest error of the
    formula that is found; ``sensitivity`` the largest shift by moving the window's ends (NaN for constants).
    What could not be measured is NaN, and ``reason`` says why.
    """

    claim: Claim
    predicted: float
    measured: float
    standard_error: float
    interval: tuple[float, float]
    finds: float
    sensitivity: float
    window: tuple[float, float]
    verdict: str
    reason: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; NaN is left for the caller to write as null."""
        claim = self.claim
        return {
            "name": claim.name, "quantity": claim.experiment.quantity, "method": claim.experiment.method,
            "formula": claim.formula, "settings": claim.experiment.settings(), "predicted": self.predicted,
            "measured": self.measured,
            "standard_error": self.standard_error, "interval": list(self.interval), "allowance": claim.allowance,
            "false_alarm_rate": ALARM, "smallest_error_found": self.finds, "power": POWER,
            "window_sensitivity": self.sensitivity, "window": list(self.window),
            "verdict": self.verdict, "reason": self.reason, "seconds": self.seconds,
        }  # fmt: skip

    def __str__(self) -> str:
        claim, experiment = self.claim, self.claim.experiment
        shift = " and its shift at this size" if claim.finite_size else ""
        predicted = f"predicted {number_text(self.predicted, '+.4f')} = {claim.formula}{shift}, measured"
        if experiment.kind == "constant":
            predicted = f"predicted {claim.formula}, ln(measured/predicted)"
        measured = f"{number_text(self.measured, '+.4f')} {interval_text(self.interval, '+.4f')}"
        # of an error that was found anyway, maybe a smaller one, by luck, it would say nothing
        finds = "" if self.verdict == "refuted" else f"finds errors from {number_text(self.finds, '.3f')} on; "
        return (
            f"{self.verdict:>12}  {claim.name}\n"
            f"{'':14}{experiment.quantity} by {experiment.method}: {predicted} {measured}\n"
            f"{'':14}allowance {claim.allowance:g}, {finds}{self.reason}"
        )


@dataclass(frozen=True, repr=False)
class Report(Card):
    """Verdicts of a suite."""

    verdicts: tuple[Verdict, ...]
    seed: int
    wall_time: float

    @property
    def exit_code(self) -> int:
        """1 where a claim is refuted, else 3 where one is inconclusive, else 0."""
        found = {verdict.verdict for verdict in self.verdicts}
        return 1 if "refuted" in found else 3 if "inconclusive" in found else 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "claims": [verdict.as_dict() for verdict in self.verdicts],
            "exit_code": self.exit_code, "false_alarm_rate": ALARM * len(self.verdicts), "seed": self.seed,
            "version": __version__, "wall_time": self.wall_time,
        }  # fmt: skip

    @property
    def summary(self) -> str:
        """One line."""
        counts = [f"{sum(v.verdict == kind for v in self.verdicts)} {kind}" for kind in JUDGEMENT]
        return (
            f"{', '.join(counts)} in {self.wall_time:.0f} s; by Student's t a true claim is refuted "
            f"with probability ≤ {ALARM:g}, one of these with ≤ {ALARM * len(self.verdicts):.1g}"
        )

    def __str__(self) -> str:
        return "\n".join([*(str(verdict) for verdict in self.verdicts), self.summary])


def check(
    claims: Sequence[Claim],
    *,
    seed: int = 0,
    out: Path | None = None,
    say: Callable[[Verdict], None] = lambda _: None,
) -> Report:
    """Measure and judge every claim; ``say`` is called with each verdict, ``out`` keeps the measurements.

    Raises
    ------
    ValueError
        A negative seed.  (A claim that cannot be measured is inconclusive.)
    """
    nonnegative_integer("seed", seed)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    started, verdicts = time.perf_counter(), []
    for claim in claims:
        verdicts.append(judge(claim, seed=seed, out=out))
        say(verdicts[-1])
    return Report(tuple(verdicts), seed, time.perf_counter() - started)


def judge(claim: Claim, *, seed: int = 0, out: Path | None = None) -> Verdict:
    """Measure and judge one claim."""
    started = time.perf_counter()
    experiment = claim.experiment
    try:
        estimate = (_constant if experiment.kind == "constant" else _exponent)(claim, seed, out)
    except (ValueError, ImportError) as unmeasured:  # ImportError: a sampler whose extra is not installed
        estimate = _Estimate(np.nan, np.nan, np.nan, np.nan, NOWHERE, str(unmeasured), experiment.seeds)
    ruling = judgement(
        estimate.predicted, estimate.value, estimate.error, estimate.seeds, allowance=claim.allowance,
        detects=claim.detects, doubt=estimate.doubt,
    )  # fmt: skip
    return Verdict(
        claim, estimate.predicted, estimate.value, estimate.error, ruling.interval, ruling.finds, estimate.sensitivity,
        estimate.window, ruling.verdict, ruling.reason, time.perf_counter() - started,
    )  # fmt: skip


@dataclass(frozen=True)
class _Estimate:
    """What is predicted and measured, from how many seeds, and why the measurement is in doubt."""

    predicted: float
    value: float
    error: float
    sensitivity: float
    window: tuple[float, float]
    doubt: str
    seeds: int


def _constant(claim: Claim, seed: int, out: Path | None) -> _Estimate:
    values = ln_ratios(claim, _kept(claim.experiment, seed, out))
    return _Estimate(
        0.0, float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), np.nan, NOWHERE, "", len(values)
    )


def ln_ratios(claim: Claim, measured: Measured) -> Array:
    """Mean over a seed's directions of ln(time/formula), shape (S,).

    Raises
    ------
    ValueError
        A time, measured or by the formula, that is not positive; a seed without a student for any direction.
    """
    ratios = np.full(measured.rows.shape, np.nan)
    for i, p in np.argwhere(measured.same > 0):
        start = {"a": float(measured.x[p]), "s0": float(measured.same[i, p])}
        predicted = claim.predicted(**start, n0=claim.experiment.init_scale**2)
        if not (predicted > 0 and measured.rows[i, p] > 0):
            where = f"a = {start['a']:.3g}, s0 = {start['s0']:.3g}"
            raise ValueError(
                f"at {where} the formula gives the time {predicted:.3g}, measured {measured.rows[i, p]:.3g}"
            )
        ratios[i, p] = np.log(measured.rows[i, p] / predicted)
    if np.isnan(ratios).all(axis=1).any():
        raise ValueError("a start has no student for any direction")
    return np.nanmean(ratios, axis=1)


def _exponent(claim: Claim, seed: int, out: Path | None) -> _Estimate:
    experiment = claim.experiment
    measured = [_kept(experiment.at(P), seed, out) for P in experiment.sizes or (experiment.P,)]
    predicted = claim.predicted()
    if claim.finite_size:
        assert claim.derived is not None
        (one,) = measured
        centre = np.mean if one.centre == "mean" else np.median
        law = centre(one.many, axis=0, keepdims=True)
        predicted += _fit(replace(one, rows=law, same=law[:0], resampled=law[:0]), seed).exponent - claim.derived
        measured = [replace(one, many=law)]
    fits = [_fit(part, seed) for part in measured]
    value, error = _extrapolated(experiment.sizes, [f.exponent for f in fits], [f.standard_error for f in fits])
    unusable = (f for f in fits if f.points < MIN_POINTS[f.tail] or np.isnan([f.exponent, f.standard_error]).any())
    doubt = next((f.reason for f in unusable), "")
    if not doubt and not experiment.sizes and fits[0].misfit > MANY:
        doubt = f"the residual is {fits[0].misfit:.2g} times what the scatter of the seeds explains: the curve is not "
        doubt += "of the fitted form"
    return _Estimate(
        predicted, value, error, max(f.sensitivity for f in fits), fits[-1].window, doubt, min(f.seeds for f in fits)
    )


def _fit(measured: Measured, seed: int) -> ExponentFit:
    return fit_exponent(
        measured.x,
        measured.rows,
        tail=measured.tail,
        centre=measured.centre,
        window=measured.window if measured.window != (0.0, np.inf) else None,
        control=(measured.same, measured.many) if len(measured.same) else None,
        resampled=measured.resampled if len(measured.resampled) else None,
        seed=seed,
    )


def _extrapolated(sizes: tuple[int, ...], values: list[float], errors: list[float]) -> tuple[float, float]:
    """The intercept in 1/ln P of a least-squares line, with its standard error; one size is its own."""
    if len(values) == 1:
        return values[0], errors[0]
    z = 1 / np.log(np.array(sizes))
    weights = 1 / len(z) - z.mean() * (z - z.mean()) / np.sum((z - z.mean()) ** 2)
    return float(weights @ values), float(np.sqrt(np.sum((weights * np.array(errors)) ** 2)))


def _kept(experiment: Experiment, seed: int, out: Path | None) -> Measured:
    """The measurement, from ``out`` where it is there.

    Raises
    ------
    ValueError
        The file there is damaged.
    """
    if out is None:
        return measure(experiment, seed)
    facts = [experiment.settings(), seed, code_digest()]
    saved = kept(out, experiment.quantity, facts, lambda: asdict(measure(experiment, seed)))
    low, high = np.asarray(saved["window"]).tolist()
    return Measured(
        saved["x"], saved["rows"], saved["same"], saved["many"], saved["resampled"], str(saved["tail"]),
        str(saved["centre"]), (low, high),
    )  # fmt: skip
