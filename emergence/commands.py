"""What each subcommand does: settle its settings, run, print a card or one JSON document.

Everything that can be wrong with the input is found before any work starts and before anything
is written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emergence.output import csv_text, json_text, prepare_directory, write_text
from emergence.progress import progress
from emergence.settings import DEFAULTS, build_problem, read_directions, resolve

if TYPE_CHECKING:
    from compare import Comparison
    from problem import Problem
    from simulate import Simulation

PROBLEM = {"activation", "high_pass", "beta", "P", "strengths", "d", "m", "init_scale", "seed"}
RUN = {"step_size", "samples", "batch", "seeds", "records", "spacing", "engine", "workers"}


def hermite(flags: dict[str, Any]) -> int:
    """``emergence hermite EXPR``."""
    from problem import Activation
    from theory.hermite import expand

    expansion = expand(Activation(flags["expression"], flags["high_pass"]), flags["max_degree"])
    document = expansion.as_dict()
    out = _directory(flags)
    rows = [[c["k"], c["exact"], c["value"], c["error"]] for c in document["coefficients"]]
    _finish(flags, out, "hermite", document, str(expansion), csv_text(["k", "exact", "value", "error"], rows))
    return 0


def predict(flags: dict[str, Any]) -> int:
    """``emergence predict``."""
    from problem.seeds import DIRECTIONS, seed_stream
    from theory import init_quantiles
    from theory.predict import LEVELS
    from theory.predict import predict as predict_from

    values = resolve(flags, PROBLEM | {"t_max", "directions", "quantiles"}, DEFAULTS)
    problem = build_problem(values)
    rows = read_directions(values["directions"], problem)
    if rows is None:
        rows = problem.initial_directions(seed_stream(values["seed"], 0, DIRECTIONS))
    quantiles = None
    if values["quantiles"] is not None:
        quantiles = init_quantiles(problem, values["quantiles"], seed=values["seed"])
    out = _directory(flags)
    prediction = predict_from(problem, rows, t_max=values["t_max"])
    document, card = prediction.as_dict(), str(prediction)
    if quantiles is not None:
        document["quantiles"] = quantiles.as_dict()
        card += f"\n\n{quantiles}"
    header = ["p", "a_p", "student", "status"]
    header += [f"{event}_{level}" for event in ("alignment", "recovery") for level in LEVELS]
    table = [
        [p, problem.a[p], document["student"][p], prediction.status[p]]
        + [times[level][p] for times in (prediction.alignment, prediction.recovery) for level in LEVELS]
        for p in range(problem.P)
    ]
    _finish(flags, out, "predict", document, card, csv_text(header, table))
    return 0


def simulate(flags: dict[str, Any]) -> int:
    """``emergence simulate``."""
    values = resolve(flags, PROBLEM | RUN | {"directions"}, {**DEFAULTS, "seeds": 1})
    problem = build_problem(values)
    run = _checked_run(problem, values)
    out = _directory(flags)
    result = _simulate(problem, run)
    header = ["seed", "p", "a_p", "alignment", "recovery", "diverged"]
    table = [
        [i, p, problem.a[p], result.alignment[i, p], result.recovery[i, p], bool(result.diverged[i])]
        for i in range(result.seeds)
        for p in range(problem.P)
    ]
    _finish(flags, out, "simulate", result.as_dict(), str(result), csv_text(header, table))
    return 0


def compare(flags: dict[str, Any]) -> int:
    """``emergence compare``."""
    values = resolve(flags, PROBLEM | RUN | {"directions", "tolerance"}, {**DEFAULTS, "seeds": 12})
    from compare import overlay
    from problem.checks import positive_number

    positive_number("tolerance", values["tolerance"])
    problem = build_problem(values)
    run = _checked_run(problem, values)
    out = _directory(flags)
    result = _simulate(problem, run)
    with progress(result.seeds, "predict", "seeds") as report:
        comparison = overlay(problem, result, tolerance=values["tolerance"], progress=report)
    header = ["seed", "p", "a_p", "event", "closed_form", "decoupled", "flow", "measured", "relative_error"]
    _finish(
        flags,
        out,
        "compare",
        comparison.as_dict(),
        str(comparison),
        csv_text(header, _comparison_rows(comparison)),
    )
    if out is not None:
        _pictures(comparison, out)
    return 1 if flags["strict"] and comparison.agreement.verdict != "agree" else 0


def _checked_run(problem: Problem, values: dict[str, Any]) -> dict[str, Any]:
    from simulate.sgd import checked_settings

    run = {name: values[name] for name in RUN | {"seed"}}
    run["directions"] = read_directions(values["directions"], problem)
    checked_settings(problem, **run)
    return run


def _simulate(problem: Problem, run: dict[str, Any]) -> Simulation:
    from simulate import sgd

    with progress(run["samples"] * run["seeds"], "SGD", "samples") as report:
        return sgd(problem, **run, progress=report)


def _comparison_rows(comparison: Comparison) -> list[list[Any]]:
    from compare.overlay import EVENTS, tested_errors

    simulation = comparison.simulation
    rows = []
    for event in EVENTS:
        errors = tested_errors(comparison.predictions, simulation, "flow", event)
        measured = getattr(simulation, event)
        for i, prediction in enumerate(comparison.predictions):
            predicted = getattr(prediction, event)
            for p in range(comparison.problem.P):
                times = [predicted[level][p] for level in ("closed_form", "decoupled", "flow")]
                rows.append([i, p, comparison.problem.a[p], event, *times, measured[i, p], errors[i, p]])
    return rows


def _pictures(comparison: Comparison, out: Path) -> None:
    from figures.overlay import draw
    from figures.style import save

    simulation = comparison.simulation
    facts = {
        "Title": "Theory over simulation",
        "problem": str(comparison.problem.as_dict()),
        "seed": str(simulation.seed),
        "version": simulation.version,
    }
    for kind in ("png", "pdf"):
        save(draw(comparison), out / f"overlay.{kind}", facts)
        _say(f"wrote {out / f'overlay.{kind}'}")


def _directory(flags: dict[str, Any]) -> Path | None:
    return prepare_directory(flags["out"]) if flags.get("out") else None


def _finish(
    flags: dict[str, Any], out: Path | None, name: str, document: dict[str, Any], card: str, table: str
) -> None:
    """Print the document or the card; write both and the table to ``--out``."""
    text = json_text(document)
    if out is not None:
        for suffix, content in (("json", text + "\n"), ("csv", table), ("txt", card + "\n")):
            write_text(out / f"{name}.{suffix}", content)
            _say(f"wrote {out / f'{name}.{suffix}'}")
    print(text if flags["json"] else card, flush=True)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
