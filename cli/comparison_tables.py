"""The tables of a comparison, each with what is to be said beside it, as HTML."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..compare.comparison import Comparison, comparison_rows, tested_errors
from ..compare.loss_distance import LOSS_FLOOR
from ..compare.statistics import MedianEstimate, SeedMean
from ..problem.events import EVENTS, middle
from ..theory.prediction import LEVELS
from .tables import Cell, Shown, table, yes
from .typography import interval, number, prose


def errors(comparison: Comparison) -> str:
    agreement = comparison.agreement
    estimates = [[agreement.errors[level][event] for event in EVENTS] for level in LEVELS]
    rows: list[list[Cell]] = [
        [level.replace("_", " "), yes(comparison.tested[level]), *map(_estimate, found)]
        for level, found in zip(LEVELS, estimates, strict=True)
    ]
    certified = all(one.certified for found in estimates for one in found)
    kind = "95 % interval" if certified else "95 % interval, or the range where too few seeds give one"
    caption = f"Median over seeds of the relative error, measured / predicted − 1, and {kind}"
    return table(caption, ["theory", "tested", *EVENTS], rows, words=["theory", "tested"], look="lines")


def _estimate(found: MedianEstimate) -> Shown:
    text = f"{number(found.median, '+.3f')} {interval(found.interval, '+.3f')}" if found.count else number(np.nan)
    return Shown(found.median, text)


def law(comparison: Comparison) -> str:
    """How the times lie in the law of SGD, tested or not."""
    found = comparison.calibration
    if found is None:
        return ""
    what = (("mean PIT", 0.5, found.pit), ("share inside 5–95 %", 0.9, found.coverage))
    rows: list[list[Cell]] = [
        [name, yes(comparison.tested["sgd"]), target, *(_mean(values[event]) for event in EVENTS)]
        for name, target, values in what
    ]
    heads = ["law of SGD", "tested", "expected", *EVENTS]
    note = (
        "PIT: the probability that the law gives to earlier times than the measured one, ½ in the mean where it holds. "
        "Over the runs that did not diverge; "
        f"{number(100 * found.diverged, '.3g')} % did, {number(round(100 * found.expected_diverged, 3), '.3g')} % are "
        "expected to."
    )
    why = comparison.agreement.law_absent
    shown = f" Shown only, since the verdict is about the flow: {prose(why)}." if why else ""
    caption = "Times within the law of SGD at this step size: mean over seeds and 95 % interval"
    return (
        table(caption, heads, rows, words=["law of SGD", "tested"], look="lines")
        + f'\n<p class="note">{note}{shown}</p>'
    )


def _mean(found: SeedMean) -> Shown:
    return Shown(found.mean, f"{number(found.mean, '.3f')} {interval(found.interval, '.3f')}")


def counts(comparison: Comparison) -> str:
    agreement = comparison.agreement
    rows: list[list[Cell]] = [
        ["predicted by the flow within the run", *(agreement.pairs[event] for event in EVENTS)],
        ["of these, reached", *(agreement.pairs[event] - agreement.unreached[event] for event in EVENTS)],
        ["of these, not reached", *(agreement.unreached[event] for event in EVENTS)],
        ["reached though not predicted", *(int(comparison.unpredicted(event).sum()) for event in EVENTS)],
        ["tested by the verdict", *(int(comparison.tested_pairs(event).sum()) for event in EVENTS)],
    ]
    return table("Transitions, one a seed and direction", ["transitions", *EVENTS], rows, words=["transitions"],
                 look="plain")  # fmt: skip


def loss(comparison: Comparison) -> str:
    """What the loss distance is, and why it may be large beside an agreement."""
    agreement = comparison.agreement
    found, shift = agreement.loss_distance, comparison.shift_distance
    factor = f" powers of ten, a factor of {number(10**found.median, '.3g')}" if np.isfinite(found.median) else ""
    kind = "95 % interval" if found.certified else "range"
    beside = "" if np.isnan(shift) else (
        " Here SGD that was the flow itself, but everywhere late or early by the tolerance of "
        f"±{number(100 * agreement.tolerance)} %, would be at {number(shift, '.3g')}."
    )  # fmt: skip
    return (
        f"<p><strong>Loss distance {number(found.median, '.3g')} {interval(found.interval, '.3g')}</strong>{factor}: "
        "the largest gap between the loss of SGD and that of the flow at a record, sup |Δ log₁₀ L|, in the median over "
        f"seeds with its {kind}. <strong>The verdict does not use it.</strong> It may be large beside small errors in "
        "time: where a direction is learned the loss drops at once, so that a transition which is a few per cent early "
        f"or late leaves the curves a whole drop apart for that moment.{beside} Losses below {number(LOSS_FLOOR)} of "
        "the initial one count as that; a run that diverged, or whose flow ended before it, counts as infinitely far."
        "</p>"
    )


def step_size(comparison: Comparison) -> str:
    scale, a = comparison.noise_scale, comparison.problem.a
    rows: list[list[Cell]] = [
        [p + 1, float(a[p]), float(scale.critical[p]), float(scale.over_critical[p])]
        for p in range(comparison.problem.P)
    ]
    note = (
        "Below its critical step size the drift of the student that should learn a direction beats the gradient noise "
        "of the start; above it, the direction may still be learned, once the noise has fallen. Beyond the ceiling, "
        f"here {number(scale.ceiling, '.3g')}, the mean square error of what is learned is infinite."
    )
    if np.isfinite(scale.quiet):
        note += f" Gradient noise plays little part up to η = {number(scale.quiet, '.2g')}."
    if np.isnan(scale.critical).any():
        note += " —: no student is expected to learn the direction."
    caption = f"Critical step size of each direction, median over seeds, beside η = {number(scale.step_size)}"
    heads = ["direction", "strength", "critical step size", "η / critical"]
    return f'<p class="note">{note}</p>\n' + table(caption, heads, rows, words=[], look="plain")


def note(comparison: Comparison) -> str:
    """How to read the tables of transitions."""
    tested = (
        "the verdict tests their medians over seeds" if comparison.agreement.against == "flow" else
        "the verdict does not test them, but whether the times of the runs that did not diverge are distributed as the "
        "law of SGD says"
    )  # fmt: skip
    return (
        '<p class="note">Flow times. ∞: measured, not reached within the run or in a run that diverged; predicted, not '
        "at all or later than that theory was followed. Directions are counted from 1 here and from 0 in the CSV. "
        "Relative errors are against the flow, of the transitions that it predicts within the run and after its start "
        f"(— for others); {tested}.</p>"
    )


def by_direction(comparison: Comparison) -> str:
    """Medians over seeds, with unreached transitions later than every time."""
    run, problem = comparison.simulation, comparison.problem
    rows: list[list[Cell]] = []
    for event in EVENTS:
        measured = run.first_passages(event)
        errors = tested_errors(comparison.predictions, run, "flow", event)
        tested, unpredicted = comparison.tested_pairs(event), comparison.unpredicted(event)
        for p in range(problem.P):
            times = [middle([getattr(item, event)[level][p] for item in comparison.predictions]) for level in LEVELS]
            known = errors[~np.isnan(errors[:, p]), p]
            rows.append([
                event, p + 1, float(problem.a[p]), *times, middle(measured[:, p]),
                _error(middle(known) if known.size else np.nan),
                *(int(np.sum(table[:, p])) for table in (np.isfinite(measured), unpredicted, tested)),
            ])  # fmt: skip
    heads = ["event", "direction", "strength", *_levels(), "measured", "relative error", "reached",
             "reached, not predicted", "tested"]  # fmt: skip
    caption = "Median flow times, and in how many seeds" if run.seeds > 1 else "Flow times of the one seed"
    return table(f"{caption} of {run.seeds}" if run.seeds > 1 else caption, heads, rows, words=["event"], look="tiles")


def every_transition(comparison: Comparison) -> str:
    tested = {event: comparison.tested_pairs(event) for event in EVENTS}
    rows: list[list[Cell]] = [
        [event, i + 1, p + 1, *times, _error(error), yes(tested[event][i, p])]
        for i, p, _, event, *times, error in comparison_rows(comparison)
    ]
    heads = ["event", "seed", "direction", *_levels(), "measured", "relative error", "tested"]
    return table("Every transition", heads, rows, words=["event", "tested"], look="tiles")


def _levels() -> Iterable[str]:
    return (level.replace("_", " ") for level in LEVELS)


def _error(value: float) -> Shown:
    return Shown(value, number(value, "+.4f"))
