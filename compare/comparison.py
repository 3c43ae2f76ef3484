"""Theory beside simulation, from the same initial directions, seed by seed.

For every seed the prediction and the run start at the same m × d unit rows.  A pair (seed i,
direction p) is tested when the flow predicts its transition at 0 < T ≤ H, with H = η · steps the
flow time simulated: a rule that looks at the prediction only, so it cannot hide a failure.  The
relative error is ``T_measured / T_predicted − 1``; a transition that the run did not reach, and
every transition of a diverged run, is later than every time (error +inf) and is kept.

Seeds are the independent units: each contributes the median of its errors over directions, and
the median over seeds comes with an exact order-statistic interval (``compare.statistics``).  What follows from
it is in ``compare.verdicts``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from .._types import Array
from ..problem.checks import positive_number
from ..problem.events import EVENTS, middle
from ..problem.problem import Problem
from ..problem.tables import Columns, Tabulated, checked_kind, numbered
from ..simulate import Leap, Simulation
from ..theory.finite_step_law import SgdLaw
from ..theory.prediction import LEVELS, Prediction, predict
from .calibration import Calibration, calibrate, calibration_refusal, idle_events
from .loss_distance import loss_distance, shift_distance
from .noise_scale import NoiseScale, noise_scale
from .settling import Settling, settling_by_flow, settling_by_law
from .statistics import MedianEstimate, median_estimate
from .texts import estimate_text, number_text
from .verdicts import agreement, calibration_verdict

TOLERANCE = 0.1


@dataclass(frozen=True)
class Agreement:
    """How far measured and predicted transition times part, and what follows.

    ``errors[level][event]`` is the median relative error over seeds; ``pairs`` and ``unreached``
    count tested (seed, direction) pairs and those the run did not reach; ``quartiles`` are those
    of all tested pairs against the flow (the scatter of single transitions).  ``law_absent`` says
    why the verdict is not about the law of SGD at the step size of the runs; empty where it is.
    """

    errors: dict[str, dict[str, MedianEstimate]]
    pairs: dict[str, int]
    unreached: dict[str, int]
    quartiles: dict[str, tuple[float, float, float]]
    loss_distance: MedianEstimate
    tolerance: float
    law_absent: str
    verdict: str
    reason: str

    @property
    def against(self) -> str:
        """The theory that the verdict is about: ``"flow"``, or ``"sgd"``, the law of SGD."""
        return "flow" if self.law_absent else "sgd"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf and NaN are left for the caller to write as null."""
        document: dict[str, Any] = {}
        for event in EVENTS:
            document[f"{event}_relative_error"] = {
                **self.errors["flow"][event].as_dict(),
                "pairs": self.pairs[event],
                "unreached": self.unreached[event],
                "quartiles": list(self.quartiles[event]),
            }
        document["levels"] = {
            level: {f"{event}_relative_error": self.errors[level][event].as_dict() for event in EVENTS}
            for level in LEVELS
        }
        document["loss_log10_sup_distance"] = self.loss_distance.as_dict()
        document |= {
            "tolerance": self.tolerance,
            "against": self.against,
            "verdict": self.verdict,
            "reason": self.reason,
        }
        return document


@dataclass(frozen=True, repr=False)
class Comparison(Tabulated):
    """Predictions (one a seed), the simulation, and their agreement.

    ``calibration`` lays the runs into the law of SGD at their step size; None where there is none.
    """

    predictions: tuple[Prediction, ...]
    simulation: Simulation
    agreement: Agreement
    calibration: Calibration | None

    @property
    def problem(self) -> Problem:
        """The problem that both sides answer."""
        return self.simulation.problem

    @property
    def law(self) -> SgdLaw | None:
        """The law of SGD that the verdict is about; None where it is about the flow."""
        return self.calibration.law if self.calibration is not None and self.agreement.against == "sgd" else None

    @cached_property
    def noise_scale(self) -> NoiseScale:
        """The step size beside the critical ones and the ceiling."""
        return noise_scale(self.predictions, self.simulation)

    @property
    def tested(self) -> dict[str, bool]:
        """Which of the comparisons the verdict tests; the others are only shown."""
        against = self.agreement.against
        return {level: level == "flow" == against for level in LEVELS} | {"sgd": against == "sgd", "loss": False}

    def tested_pairs(self, event: str) -> Array:
        """The (seed, direction) pairs whose transitions the verdict is about, boolean (S, P)."""
        if self.agreement.against == "sgd":
            return ~self.simulation.diverged[:, None] & (self.problem.a > 0)
        return ~np.isnan(tested_errors(self.predictions, self.simulation, "flow", event))

    def unpredicted(self, event: str) -> Array:
        """The (seed, direction) pairs that were reached though the flow does not predict it within the run, (S, P)."""
        predicted = np.array([getattr(item, event)["flow"] for item in self.predictions])
        return np.isfinite(self.simulation.first_passages(event)) & ~(predicted <= self.simulation.t_end)

    @property
    def shift_distance(self) -> float:
        """Loss distance of runs that are the flow, but late or early by the tolerance: the median over seeds.

        What ``agreement.loss_distance`` is to be seen beside (``compare.loss_distance``); NaN where flows stopped.
        """
        share, times = self.agreement.tolerance, self.simulation.times
        found = np.array([shift_distance(item.flow, times, share) for item in self.predictions])
        return middle(found[~np.isnan(found)]) if not np.isnan(found).all() else np.nan

    @cached_property
    def settled_by(self) -> Settling | None:
        """What would make an inconclusive verdict conclusive; None for one that is."""
        agreement, run = self.agreement, self.simulation
        if agreement.verdict != "inconclusive":
            return None
        if self.calibration is not None and agreement.against == "sgd":
            return settling_by_law(self.calibration, agreement.tolerance, run)
        medians = {event: seed_medians(tested_errors(self.predictions, run, "flow", event)) for event in EVENTS}
        return settling_by_flow(medians, self.predictions, agreement.tolerance, run)

    def columns(self, kind: str) -> Columns:
        """``"times"``: a row for each event, seed and direction; ``"curves"``: one for each seed and record, with the
        flow there (NaN where it ended before)."""
        if checked_kind(kind, "times", "curves") == "times":
            rows = zip(*comparison_rows(self), strict=True)
            return {name: np.array(column) for name, column in zip(TABLE, rows, strict=True)}
        flows, times = [prediction.flow for prediction in self.predictions], self.simulation.times
        measured = self.simulation.columns("curves")
        return {
            **{name: measured.pop(name) for name in ("seed", "time", "samples", "loss")},
            "flow_loss": np.concatenate([flow.loss_at(times) for flow in flows]),
            **measured,
            **numbered("flow_strength", np.stack([flow.strengths_at(times) for flow in flows])),
        }

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "predict": [prediction.as_dict() for prediction in self.predictions],
            "simulate": self.simulation.as_dict(),
            "agreement": self.agreement.as_dict()
            | {
                "sgd": None if self.calibration is None else self.calibration.as_dict(),
                "tested": self.tested,
                "reached_unpredicted": {event: int(self.unpredicted(event).sum()) for event in EVENTS},
                "shift_log10_sup_distance": self.shift_distance,
                "noise_scale": self.noise_scale.as_dict(),
                "settled_by": None if self.settled_by is None else self.settled_by.as_dict(),
            },
        }

    def __str__(self) -> str:
        agreement = self.agreement
        lines = [str(self.simulation), "", "median relative error, measured / predicted − 1 (95 % interval):"]
        lines.append(f"  {'theory':>12} {'alignment':>28} {'recovery':>28}")
        for level in LEVELS:
            cells = [estimate_text(agreement.errors[level][event]) for event in EVENTS]
            lines.append(f"  {level.replace('_', ' '):>12} {cells[0]:>28} {cells[1]:>28}")
        distance = agreement.loss_distance.median
        lines.append(f"loss curves: median over seeds of sup |Δ log10 L| = {number_text(distance, '.3g')}")
        if self.calibration is not None:
            lines.append(str(self.calibration))
        lines.append(f"verdict: {agreement.verdict} — {agreement.reason}")
        if self.settled_by is not None:
            lines.append(f"what would settle it: {self.settled_by.text}")
        return "\n".join(lines)


def overlay(
    problem: Problem,
    simulation: Simulation,
    *,
    tolerance: float = TOLERANCE,
    progress: Callable[[int], None] | None = None,
) -> Comparison:
    """Predict from the initial directions of every run of ``simulation`` and compare.

    Parameters
    ----------
    tolerance
        Largest median relative error of transition times that counts as agreement.
    progress
        Called with 1 after each prediction.

    Raises
    ------
    ValueError
        A tolerance that is not a positive number; a simulation of another problem.
    """
    tolerance = positive_number("tolerance", tolerance)
    if simulation.problem != problem:
        raise ValueError("the simulation is of another problem")
    predictions = []
    for directions, diverged in zip(simulation.directions, simulation.diverged, strict=True):
        span = 0.0 if diverged else simulation.t_end  # beyond it only what is still to be learned matters
        predictions.append(predict(problem, directions, t_min=span, times=simulation.times))
        if progress is not None:
            progress(1)
    calibration = calibrate(simulation)
    return Comparison(
        tuple(predictions), simulation, _agreement(predictions, simulation, tolerance, calibration), calibration
    )


def relative_errors(predicted: Array, measured: Array, horizon: float) -> Array:
    """``measured / predicted − 1`` where 0 < predicted ≤ horizon, NaN (not tested) elsewhere."""
    tested = (predicted > 0) & (predicted <= horizon)
    return np.where(tested, measured / np.where(tested, predicted, 1.0) - 1, np.nan)


def tested_errors(predictions: Sequence[Prediction], simulation: Simulation, level: str, event: str) -> Array:
    """Relative errors (S, P) against one level of theory; NaN where not tested."""
    predicted = np.array([getattr(item, event)[level] for item in predictions])
    return relative_errors(predicted, simulation.first_passages(event), simulation.t_end)


TABLE = ("seed", "p", "a_p", "event", *LEVELS, "measured", "relative_error")


def comparison_rows(comparison: Comparison) -> list[list[Any]]:
    """Every transition as a row under the heads ``TABLE``: flow times, inf where there is none; seeds and p from 0."""
    problem, rows = comparison.problem, []
    for event in EVENTS:
        measured = comparison.simulation.first_passages(event)
        errors = tested_errors(comparison.predictions, comparison.simulation, "flow", event)
        for i, prediction in enumerate(comparison.predictions):
            predicted = getattr(prediction, event)
            for p in range(problem.P):
                times = [float(predicted[level][p]) for level in LEVELS]
                row = [i, p, float(problem.a[p]), event, *times, float(measured[i, p]), float(errors[i, p])]
                rows.append(row)
    return rows


def _agreement(
    predictions: list[Prediction], simulation: Simulation, tolerance: float, calibration: Calibration | None
) -> Agreement:
    errors: dict[str, dict[str, MedianEstimate]] = {}
    for level in LEVELS:
        errors[level] = {}
        for event in EVENTS:
            table = tested_errors(predictions, simulation, level, event)
            medians = seed_medians(table)
            errors[level][event] = median_estimate(medians[~np.isnan(medians)])
    against_flow = {event: tested_errors(predictions, simulation, "flow", event) for event in EVENTS}
    tested = {event: table[~np.isnan(table)] for event, table in against_flow.items()}
    verdict, reason = agreement(errors["flow"], tolerance)
    scale = noise_scale(predictions, simulation)
    noise, absent = _noise_note(scale), _law_absent(simulation, calibration, scale)
    if calibration is not None and not absent:
        verdict, reason = calibration_verdict(
            calibration.pit, calibration.coverage, simulation.seeds, tolerance,
            diverged=int(simulation.diverged.sum()), expected_diverged=calibration.expected_diverged,
            blind=isinstance(simulation.run.sampler, Leap), idle=idle_events(calibration, simulation),
        )  # fmt: skip
        reason += noise
    elif verdict != "agree":
        reason += noise
    return Agreement(
        errors=errors,
        pairs={event: int(values.size) for event, values in tested.items()},
        unreached={event: int(np.isinf(values).sum()) for event, values in tested.items()},
        quartiles={event: _quartiles(values) for event, values in tested.items()},
        loss_distance=median_estimate([loss_distance(p.flow, simulation, i) for i, p in enumerate(predictions)]),
        tolerance=tolerance,
        law_absent=absent,
        verdict=verdict,
        reason=reason,
    )


def seed_medians(table: Array) -> Array:
    """Median of what each seed has (S, P) that is not NaN, shape (S,); NaN where it has nothing."""
    rows = [row[~np.isnan(row)] for row in table]
    return np.array([middle(row) if row.size else np.nan for row in rows])


def _quartiles(values: Array) -> tuple[float, float, float]:
    if not values.size:
        return (np.nan, np.nan, np.nan)
    low, high = np.quantile(values, [0.25, 0.75], method="inverted_cdf")
    return float(low), middle(values), float(high)


def _law_absent(simulation: Simulation, calibration: Calibration | None, scale: NoiseScale) -> str:
    """Why the verdict is about the flow; empty where it is about the law of SGD."""
    if not np.isfinite(scale.quiet):
        return "no student is expected to learn a direction"
    if not scale.noisy:
        return "gradient noise plays little part at this step size"
    if calibration is None:
        return str(calibration_refusal(simulation))
    return "" if calibration.law.valid else calibration.law.reason


def _noise_note(scale: NoiseScale) -> str:
    """Says so when gradient noise, which the flow leaves out, rules at this step size."""
    if not scale.noisy:
        return ""
    beyond = ", beyond which the mean square error of what is learned is infinite"
    above = f", above the ceiling {scale.ceiling:.2g}{beyond}" if scale.over_ceiling > 1 else ""
    return (
        f"; gradient noise matters here: it plays little part for step sizes below {scale.quiet:.2g}, "
        f"this run used {scale.step_size:.2g}{above}"
    )
