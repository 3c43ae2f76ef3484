"""Judging claims: measured against predicted, at a stated rate of false alarms and a stated power.

Measured x̂ with standard error e over S independent seeds, predicted x, allowance b for what theory at
finite size may be off the formula:

    refuted        |x̂ − x| > b + t e,          t = Student's quantile of S − 1 at ALARM
    inconclusive   b + (t + z) e > detects,    z = normal quantile of 0.99: an error as small as the
                   claim's ``detects`` would not surely be found (or nothing could be measured)
    upheld         otherwise

``finds`` = b + (t + z) e is the smallest error found with probability 0.99 (towards x̂; an error away
from it is found earlier).  A claim that is within its allowance is refuted with probability ALARM at most.
Student's t is exact for a constant (a mean over seeds) and an approximation for fits.

Measurements are kept in a directory, by a hash of what decides them, so that an interrupted check goes on
where it was and a changed formula is judged at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from compare.claims import Claim
from compare.experiments import Measured, measure
from compare.exponent_fit import ExponentFit, fit_exponent
from simulate.sgd import package_version
from theory.exponents import exponents

ALARM = 1e-8  # false alarms of one claim; a suite of a hundred stays below 1e-6
POWER = 0.99


@dataclass(frozen=True, repr=False)
class Verdict:
    """A judged claim.

    ``predicted`` and ``measured`` are exponents, or for a constant ln ratios of measured to predicted times
    (predicted 0).  ``interval`` is the 95 % interval of the measured value; ``finds`` the smallest error that is
    found with probability 0.99; ``sensitivity`` the largest shift by moving the window's ends (NaN for constants).
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
            "name": claim.name, "quantity": claim.quantity, "method": claim.method, "formula": claim.formula,
            "settings": claim.settings(), "predicted": self.predicted, "measured": self.measured,
            "standard_error": self.standard_error, "interval": list(self.interval), "allowance": claim.allowance,
            "false_alarm_rate": ALARM, "smallest_error_found": self.finds, "power": POWER,
            "window_sensitivity": self.sensitivity, "window": list(self.window),
            "verdict": self.verdict, "reason": self.reason, "seconds": self.seconds,
        }  # fmt: skip

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.verdict:>12}  {self.claim.name}\n"
            f"{'':14}{self.claim.quantity} by {self.claim.method}: predicted {self.predicted:+.4f} = "
            f"{self.claim.formula}, measured {self.measured:+.4f} [{low:+.4f}, {high:+.4f}]\n"
            f"{'':14}allowance {self.claim.allowance:g}, finds errors from {self.finds:.3f} on; {self.reason}"
        )


@dataclass(frozen=True, repr=False)
class Report:
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
            "version": package_version(), "wall_time": self.wall_time,
        }  # fmt: skip

    @property
    def summary(self) -> str:
        """One line."""
        counts = [
            f"{sum(v.verdict == kind for v in self.verdicts)} {kind}" for kind in ("upheld", "refuted", "inconclusive")
        ]
        return (
            f"{', '.join(counts)} in {self.wall_time:.0f} s; a true claim is refuted with probability "
            f"≤ {ALARM:g}, the suite errs with ≤ {ALARM * len(self.verdicts):.1g}"
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
        A claim whose runs cannot be measured.
    """
    started, verdicts = time.perf_counter(), []
    for claim in claims:
        verdicts.append(judge(claim, seed=seed, out=out))
        say(verdicts[-1])
    return Report(tuple(verdicts), seed, time.perf_counter() - started)


def judge(claim: Claim, *, seed: int = 0, out: Path | None = None) -> Verdict:
    """Measure and judge one claim."""
    started = time.perf_counter()
    if claim.kind == "constant":
        values = _kept(claim, seed, claim.P, out).rows[:, 0]
        value, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
        predicted, sensitivity, window, doubt = 0.0, np.nan, (np.nan, np.nan), ""
    else:
        predicted = claim.predicted()
        fits = [_fit(_kept(claim, seed, P, out), seed) for P in claim.sizes or (claim.P,)]
        value, error = _extrapolated(claim.sizes, [f.exponent for f in fits], [f.standard_error for f in fits])
        sensitivity, window, doubt = max(f.sensitivity for f in fits), fits[-1].window, fits[-1].reason
        if claim.finite_size:
            predicted += _shift(claim, _kept(claim, seed, claim.P, out), seed)
    quantile = float(student.isf(ALARM / 2, claim.seeds - 1))
    half = float(student.ppf(0.975, claim.seeds - 1)) * error
    finds = claim.allowance + (quantile + float(norm.ppf(POWER))) * error
    off = abs(value - predicted)
    if not np.isfinite([value, error]).all():
        verdict, reason = "inconclusive", doubt or "nothing could be measured"
    elif off > claim.allowance + quantile * error:
        verdict, reason = "refuted", f"off by {off:.3f}, {off / error:.1f} standard errors"
    elif finds > claim.detects:
        verdict, reason = "inconclusive", f"cannot surely find an error of {claim.detects:g}; more seeds would"
    else:
        verdict, reason = "upheld", f"off by {off:.3f}"
    return Verdict(
        claim, predicted, value, error, (value - half, value + half), finds, float(sensitivity), window,
        verdict, reason, time.perf_counter() - started,
    )  # fmt: skip


def _fit(measured: Measured, seed: int) -> ExponentFit:
    return fit_exponent(
        measured.x,
        measured.rows,
        tail=measured.tail,
        centre=measured.centre,
        window=measured.window if measured.window != (0.0, np.inf) else None,
        control=(measured.same, measured.many) if len(measured.same) else None,
        seed=seed,
    )


def _shift(claim: Claim, measured: Measured, seed: int) -> float:
    """Finite-size shift of the law: its exponent fitted at this size minus the derived one."""
    sigma = claim.problem.activation
    derived = exponents(claim.beta, sigma.information_exponent)[claim.quantity].value
    if derived is None:
        raise ValueError(f"claim {claim.name!r}: no power law of {claim.quantity} is known, so no finite-size shift")
    return _fit(Measured(**{**_arrays(measured), "rows": measured.many, "same": measured.same[:0]}), seed).exponent - (
        derived
    )


def _extrapolated(sizes: tuple[int, ...], values: list[float], errors: list[float]) -> tuple[float, float]:
    """The intercept in 1/ln P of a least-squares line, with its standard error; one size is its own."""
    if len(values) == 1:
        return values[0], errors[0]
    z = 1 / np.log(np.array(sizes))
    weights = 1 / len(z) - z.mean() * (z - z.mean()) / np.sum((z - z.mean()) ** 2)
    return float(weights @ values), float(np.sqrt(np.sum((weights * np.array(errors)) ** 2)))


def _arrays(measured: Measured) -> dict[str, Any]:
    return {f.name: getattr(measured, f.name) for f in fields(measured)}


def _kept(claim: Claim, seed: int, P: int, out: Path | None) -> Measured:
    """The measurement, from ``out`` where it is there."""
    if out is None:
        return measure(claim, seed, P)
    identity = json.dumps([claim.settings(), seed, P, package_version()], sort_keys=True)
    path = out / f"{claim.quantity}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"
    if path.exists():
        with np.load(path, allow_pickle=False) as saved:
            loaded = {name: saved[name] for name in saved.files}
        return Measured(
            loaded["x"], loaded["rows"], loaded["same"], loaded["many"], str(loaded["tail"]), str(loaded["centre"]),
            (float(loaded["window"][0]), float(loaded["window"][1])), int(loaded["P"]),
        )  # fmt: skip
    measured = measure(claim, seed, P)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, **asdict(measured))
    part.replace(path)
    return measured
