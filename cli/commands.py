"""What each subcommand does: settle its settings, run, print a card or one JSON document.

Everything that can be wrong with the input is found before any work starts and before anything
is written.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .flags import names
from .junit import junit_text
from .output import columns_text, csv_text, json_text, prepare_directory, prepare_file, write_text
from .progress import progress
from .results import results_of
from .settings import build_problem, build_run, read_directions, resolve, stated_schedule
from .sweeps import sweep as sweep
from .terminal import show, tell

if TYPE_CHECKING:
    import numpy as np

    from ..compare import Comparison, StepCheck
    from ..problem import Problem
    from ..simulate import Run, Simulation


def hermite(flags: dict[str, Any]) -> int:
    """``emergence hermite EXPR``."""
    from ..problem import Activation
    from ..theory.hermite import expand

    expansion = expand(Activation(flags["expression"], flags["high_pass"]), flags["max_degree"])
    document = expansion.as_dict()
    out = _directory(flags)
    rows = [[c["k"], c["exact"], c["value"], c["error"]] for c in document["coefficients"]]
    _finish(flags, out, "hermite", document, str(expansion), csv_text(["k", "exact", "value", "error"], rows))
    return 0


def predict(flags: dict[str, Any]) -> int:
    """``emergence predict``."""
    if flags["latex"] and flags["json"]:
        raise ValueError("--latex and --json exclude each other")
    from ..problem.checks import positive_number
    from ..problem.seeds import DIRECTIONS, seed_stream
    from ..theory import init_quantiles, transition_law
    from ..theory import predict as predict_from
    from ..theory.gradient_flow import choose_method
    from ..theory.symbolic_law import law_refusal

    values = resolve(flags, names("problem", "predict", "flow", "quantiles", "noise", "schedule"))
    if values["t_max"] is not None:
        positive_number("t_max", values["t_max"])
    problem = build_problem(values)
    choose_method(problem, values["flow_method"])
    refusal = law_refusal(problem) if flags["latex"] else None
    if refusal is not None:
        raise ValueError(refusal)
    given = rows = read_directions(values["directions"], problem)
    if rows is None:
        rows = problem.initial_coordinates(seed_stream(values["seed"], 0, DIRECTIONS))
    quantiles = None
    if values["quantiles"] is not None:
        quantiles = init_quantiles(problem, values["quantiles"], seed=values["seed"])
    noise = _noise(values)
    noise |= stated_schedule(values)
    if values["step_size"] is None and not {"batch", "label_noise"}.isdisjoint(flags):
        raise ValueError("`batch` and `label_noise` need a `step_size`: gradient flow knows neither")
    place, _ = results_of(flags, values, given)
    prediction = predict_from(problem, rows, t_max=values["t_max"], flow_method=values["flow_method"])
    results: dict[str, Any] = {"predict": prediction}
    document, card = prediction.as_dict(), str(prediction)
    if quantiles is not None:
        document["quantiles"] = quantiles.as_dict()
        card += f"\n\n{quantiles}"
        results["quantiles"] = quantiles
    if values["step_size"] is not None:
        document["sgd"], text, found = _sgd(problem, values, noise, given)
        card += f"\n\n{text}"
        results |= found
    if flags["latex"]:
        card = transition_law(problem.activation).latex()
    columns = prediction.columns("times")
    header, table = list(columns), [column.tolist() for column in columns.values()]
    table[header.index("student")] = document["student"]
    place.save(results)
    _finish(
        flags, place.directory, "predict", document, card, csv_text(header, zip(*table, strict=True)),
        columns_text(prediction.columns("curves")),
    )  # fmt: skip
    return 0


def _noise(values: dict[str, Any]) -> dict[str, Any]:
    """Batch and label noise, checked; the step size too, where there is one."""
    from ..problem.checks import nonnegative_number, positive_integer, positive_number

    if values["step_size"] is not None:
        positive_number("step_size", values["step_size"])
    return {
        "batch": positive_integer("batch", values["batch"]),
        "label_noise": nonnegative_number("label_noise", values["label_noise"]),
    }


def _levels(values: dict[str, Any], default: Sequence[float]) -> list[float]:
    levels = list(default) if values["quantiles"] is None else values["quantiles"]
    if not all(0 < q < 1 for q in levels):
        raise ValueError(f"`quantiles` must lie strictly between 0 and 1, but are {levels}")
    return levels


def _sgd(
    problem: Problem, values: dict[str, Any], noise: dict[str, Any], directions: np.ndarray | None
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The law of SGD as a document, as text and as a result; where there is none, with the reason and without one."""
    from ..theory.finite_step_law import LEVELS, sgd_law, sgd_law_refusal

    levels = _levels(values, LEVELS)
    refusal = sgd_law_refusal(problem)
    if refusal is not None:
        nothing = [[math.inf] * problem.P for _ in levels]
        start = "random" if directions is None else "given"
        document = {
            **noise, "step_size": values["step_size"], "schedule": noise["step_size"].text, "levels": levels,
            "alignment": nothing, "recovery": nothing,
            "learned_probability": [math.inf] * problem.P, "start": start, "t_max": values["t_max"], "valid": False,
            "reason": refusal,
        }  # fmt: skip
        return document, f"no law of SGD: {refusal}", {}
    law = sgd_law(problem, **noise, directions=directions, t_max=values["t_max"], seed=values["seed"])
    return law.as_dict(levels), law.text(levels), {"sgd_law": law}


def law(flags: dict[str, Any]) -> int:
    """``emergence law RESOURCE``."""
    from ..theory.laws import DIMENSION, law_of

    values = resolve(flags, names("problem", "quantiles", "noise", "schedule"))
    problem, noise = build_problem(values), _noise(values)
    levels = _levels(values, (0.1, 0.5, 0.9))
    for name in ("batch", "label_noise", "draws", "dimensions"):
        noise[name] = flags.get(name)
    noise |= stated_schedule(values)
    directions = read_directions(values["directions"], problem)
    curve = law_of(
        flags["resource"], problem, directions=directions, quantiles=levels,
        seed=values["seed"], given={k: v for k, v in noise.items() if v is not None},
    )  # fmt: skip
    place, _ = results_of(flags, values, directions)
    document = {"problem": problem.as_dict(), **curve.as_dict()}
    middle = "median" if flags["resource"] in DIMENSION else "mean"
    lines = [str(curve), f"{'x':>12} {middle:>12}   {levels[0]:.0%} … {levels[-1]:.0%} of draws"] + [
        f"{x:>12.4g} {value:>12.4g}   {band[0]:.4g} … {band[-1]:.4g}"
        for x, value, band in list(zip(curve.x, curve.value, curve.bands.T, strict=True))[:: max(1, curve.x.size // 20)]
    ]
    place.save({"law": curve})
    _finish(flags, place.directory, "law", document, "\n".join(lines), columns_text(curve.columns()))
    return 0


def step_size(flags: dict[str, Any]) -> int:
    """``emergence step-size``."""
    from ..theory.finite_step_law import LEVELS
    from ..theory.step_advice import advise

    values = resolve(flags, names("problem", "quantiles", "noise"))
    if flags.get("step_size") is not None:
        raise ValueError("--step-size has no part in step-size, which finds one")
    problem, noise, levels = build_problem(values), _noise(values), _levels(values, LEVELS)
    if values["directions"] is not None:
        raise ValueError("--directions has no part in step-size: its law is over random starts")
    advice = advise(problem, flags["learn"], **noise, levels=levels, seed=values["seed"])
    place, _ = results_of(flags, values)
    learn = flags["learn"] or int((problem.a > 0).sum())
    document = {"problem": problem.as_dict(), "learn": learn, **noise}
    document |= {name: one.as_dict() for name, one in advice.items()}
    card = "\n".join([f"step size to learn the {learn} strongest directions", *map(str, advice.values())])
    header = ["rule", "step_size", *(f"samples_q{q:g}" for q in levels), "divergence_probability", "valid"]
    table = [[n, one.step_size, *one.samples, one.divergence_probability, one.valid] for n, one in advice.items()]
    place.save({"step-size": advice})
    _finish(flags, place.directory, "step-size", document, card, csv_text(header, table))
    return 0


def width(flags: dict[str, Any]) -> int:
    """``emergence width``."""
    from ..theory.width_advice import required_width

    values = resolve(flags, names("problem", "predict", "noise"))
    if flags.get("m") is not None:
        raise ValueError("--m has no part in width, which finds it")
    if values["directions"] is not None:
        raise ValueError("--directions has no part in width: its law is over random starts")
    if values["t_max"] is None:
        raise ValueError("width needs the flow time by which to learn, --t-max")
    if values["step_size"] is None and not {"batch", "label_noise"}.isdisjoint(flags):
        raise ValueError("--batch and --label-noise have a part in width with --step-size only")
    problem, noise = build_problem(values), _noise(values)
    given = {} if flags["probability"] is None else {"probability": flags["probability"]}
    found = required_width(
        problem, flags["learn"], values["t_max"], step_size=values["step_size"], **noise, **given, seed=values["seed"]
    )
    place, _ = results_of(flags, values)
    document = {"problem": found.problem.as_dict(), "step_size": values["step_size"], **noise, **found.as_dict()}
    rows = [[found.problem.m - 1, found.below, document["below_error"]]] if found.problem.m > 1 else []
    rows += [[found.problem.m, found.reached, document["reached_error"]]]
    place.save({"width": found})
    _finish(flags, place.directory, "width", document, str(found), csv_text(["m", "probability", "error"], rows))
    return 0


def exponents(flags: dict[str, Any]) -> int:
    """``emergence exponents``."""
    if flags["latex"] and flags["json"]:
        raise ValueError("--latex and --json exclude each other")
    from ..problem.checks import nonnegative_number
    from ..theory.exponent_table import exponents as derive
    from ..theory.exponent_table import latex, table

    noise = nonnegative_number("label_noise", flags["label_noise"]) > 0
    laws = derive(flags["beta"], flags["information_exponent"], label_noise=noise)
    out = _directory(flags)
    document = {"exponents": {name: law.as_dict() for name, law in laws.items()}}
    rows = [[name, law.formula, law.value, law.assumes, law.reason] for name, law in laws.items()]
    header = ["name", "formula", "value", "assumes", "reason"]
    _finish(flags, out, "exponents", document, latex(laws) if flags["latex"] else table(laws), csv_text(header, rows))
    return 0


def check(flags: dict[str, Any]) -> int:
    """``emergence check``."""
    from ..problem.checks import nonnegative_integer

    seed = nonnegative_integer("seed", flags["seed"])
    files = {name: prepare_file(f"--{name}", flags[name]) for name in ("json", "junit") if flags[name] is not None}
    if len({path.resolve() for path in files.values()}) < len(files):
        raise ValueError("--json and --junit name the same file")
    from ..compare.claim import read_claims
    from ..compare.suite import check as check_claims

    claims = read_claims(None if flags["claims"] is None else Path(flags["claims"]))
    if flags["quick"]:
        claims = [claim for claim in claims if claim.quick]
    if not claims:
        raise ValueError("there is no claim to check" + (" that is marked quick" if flags["quick"] else ""))
    out = _directory(flags)
    report = check_claims(claims, seed=seed, out=out, say=lambda verdict: show(str(verdict)))
    show(report.summary)
    for name, path in files.items():
        write_text(path, json_text(report.as_dict()) + "\n" if name == "json" else junit_text(report))
        tell(f"wrote {path}")
    return report.exit_code


def figures(flags: dict[str, Any]) -> int:
    """``emergence figures``."""
    from ..figures.catalogue import NAMES, checked_width, default_cache, recipe
    from ..figures.settings import read_settings
    from ..figures.style import rendered_animation, save
    from ..problem.checks import nonnegative_integer
    from ..problem.files import replace_file

    seed, size = nonnegative_integer("seed", flags["seed"]), "quick" if flags["quick"] else "full"
    if flags["list"]:
        for item in (recipe(name) for name in NAMES):
            show(f"{item.name:17} {item.seconds['full']:5.0f} s, quick {item.seconds['quick']:3.0f} s   {item.summary}")
        return 0
    if flags["all"] == bool(flags["names"]):
        raise ValueError("name the figures to make, or ask for --all of them; --list shows them")
    kinds, widths = (list(dict.fromkeys(flags[name].replace(" ", "").split(","))) for name in ("format", "width"))
    strange = next((kind for kind in kinds if kind not in ("pdf", "png", "svg", "gif")), None)
    if strange is not None:
        raise ValueError(f"--format must be of pdf, png, svg and gif, but holds {strange!r}")
    try:
        widths = [checked_width(width) for width in widths]
    except ValueError as error:
        raise ValueError(f"--width: {error}") from None
    recipes = [recipe(name) for name in (NAMES if flags["all"] else dict.fromkeys(flags["names"]))]
    still = next((item.name for item in recipes if "gif" in kinds and item.animate is None), None)
    if still is not None:
        raise ValueError(f"the figure {still} does not move, so that there is no gif of it")
    own = read_settings(flags["config"], flags["set"] or [])
    recipes = [item.changed(size, own) for item in recipes]
    places = {"--cache": flags["cache"] or str(default_cache()), "--out": flags["out"]}
    made = [place for place in map(Path, places.values()) if not place.exists()]
    cache, out = (prepare_directory(path, flag) for flag, path in places.items())
    for i, item in enumerate(recipes):
        tell(f"[{i + 1}/{len(recipes)}] {item.name}: about {item.seconds[size]:.0f} s unless it is there")
        try:
            data = item.data(size, seed, cache)
        except ValueError:  # numbers of one's own that its runs refuse
            for place in made:
                with suppress(OSError):  # other figures are there
                    place.rmdir()
            raise
        for width in widths:
            for kind in kinds:
                path = out / f"{item.name}{'' if width == 'text' else f'-{width}'}.{kind}"
                if kind == "gif" and item.animate is not None:
                    replace_file(path, rendered_animation(item.animate(data, width)))
                else:
                    save(item.figure(data, size, width), path, item.facts(size, seed))
                tell(f"wrote {path}")
    return 0


def simulate(flags: dict[str, Any]) -> int:
    """``emergence simulate``."""
    values = resolve(flags, names("problem", "noise", "schedule", "simulation"))
    problem = build_problem(values)
    run = _checked_run(problem, values, flags)
    place, found = results_of(flags, values, run.directions)
    if not found:
        found["simulate"] = _simulate(run, place.directory, values, flags)
        if flags["check_step"]:
            found["step_check"] = _step_check(found["simulate"], values["workers"])
        place.save(found)
    result = found["simulate"]
    document, card = result.as_dict(), str(result)
    if "step_check" in found:
        document["step_check"] = found["step_check"].as_dict()
        card += f"\n{found['step_check']}"
    tables = [columns_text(result.columns(kind)) for kind in ("times", "curves")]
    _finish(flags, place.directory, "simulate", document, card, *tables)
    _clear_checkpoints(place.directory, "simulate")
    return 0


def compare(flags: dict[str, Any]) -> int:
    """``emergence compare``."""
    values = resolve(flags, names("problem", "noise", "schedule", "simulation", "compare"))
    from ..compare import overlay
    from ..compare.comparison import TABLE, comparison_rows
    from ..problem.checks import positive_number

    positive_number("tolerance", values["tolerance"])
    problem = build_problem(values)
    run = _checked_run(problem, values, flags)
    page_file = None if flags["report"] is None else prepare_file("--report", flags["report"], flags["out"])
    place, found = results_of(flags, values, run.directions)
    if not found:
        result = _simulate(run, place.directory, values, flags)
        with progress(result.seeds, "predict", "seeds") as report:
            found["compare"] = overlay(problem, result, tolerance=values["tolerance"], progress=report)
        if flags["check_step"]:
            found["step_check"] = _step_check(result, values["workers"])
        place.save(found)
    comparison, step_check = found["compare"], None
    document, card = comparison.as_dict(), str(comparison)
    if "step_check" in found:
        document["step_check"], step_check = found["step_check"].as_dict(), str(found["step_check"])
        card += f"\n{step_check}"
    table = csv_text(TABLE, comparison_rows(comparison))
    _finish(flags, place.directory, "compare", document, card, table, columns_text(comparison.columns("curves")))
    if place.directory is not None:
        _pictures(comparison, place.directory)
    if page_file is not None:
        from .report import page

        facts = {"command": flags["command_line"], "created": place.created(), "csv": table, "step_check": step_check}
        write_text(page_file, page(comparison, settings=values, **facts))
        tell(f"wrote {page_file}")
    _clear_checkpoints(place.directory, "compare", "overlay")
    return 1 if flags["strict"] and comparison.agreement.verdict != "agree" else 0


def _checked_run(problem: Problem, values: dict[str, Any], flags: dict[str, Any]) -> Run:
    """The run, and everything else that can be wrong with the request."""
    from ..problem.checks import positive_integer, positive_number

    positive_number("checkpoint_seconds", values["checkpoint_seconds"])
    if values["workers"] is not None:
        positive_integer("workers", values["workers"])
    if flags["resume"] and not flags.get("out"):
        raise ValueError("--resume needs the --out of the run to go on with")
    run = build_run(problem, values)
    if flags["check_step"] and run.sampler.name != "leap":
        raise ValueError(f"--check-step checks the leap sampler, but this run uses {run.sampler.name}")
    return run


def _simulate(run: Run, out: Path | None, values: dict[str, Any], flags: dict[str, Any]) -> Simulation:
    from ..simulate import execute
    from ..simulate.checkpoint import files

    try:
        with progress(run.samples * run.seeds, "SGD", "samples") as report:
            return execute(
                run, workers=values["workers"], out=out, resume=flags["resume"],
                checkpoint_seconds=values["checkpoint_seconds"], progress=report,
            )  # fmt: skip
    except KeyboardInterrupt:  # when the bar is gone
        if out is not None and files(out):
            tell(f"checkpoints written to {out}; the same command with --resume goes on from there")
        raise


def _step_check(result: Simulation, workers: int | None) -> StepCheck:
    """Run the leap sampler again with half the step and twice the virtual batch."""
    from ..compare import check_step
    from ..simulate import Leap, execute

    run = result.run
    assert isinstance(run.sampler, Leap)
    finer = replace(run, sampler=run.sampler.finer(), directions=result.directions, seed=run.seed + 1)
    with progress(run.samples * run.seeds, "half step", "samples") as report:
        return check_step(result, execute(finer, workers=workers, progress=report))


def _clear_checkpoints(out: Path | None, *results: str) -> None:
    from ..simulate.checkpoint import clear

    if out is not None:
        clear(out, *results)


def _pictures(comparison: Comparison, out: Path) -> None:
    from ..figures.overlay import data_of, draw
    from ..figures.style import save

    simulation = comparison.simulation
    facts = {
        "Title": "Theory over simulation",
        "problem": str(comparison.problem.as_dict()),
        "seed": str(simulation.run.seed),
        "version": simulation.version,
    }
    data = data_of(comparison)
    for kind in ("png", "pdf"):
        save(draw(data), out / f"overlay.{kind}", facts)
        tell(f"wrote {out / f'overlay.{kind}'}")


def _directory(flags: dict[str, Any]) -> Path | None:
    return None if flags["out"] is None else prepare_directory(flags["out"])


def _finish(
    flags: dict[str, Any], out: Path | None, name: str, document: dict[str, Any], card: str, table: str,
    curves: str | None = None,
) -> None:  # fmt: skip
    """Print the document or the card; write both and the tables to ``--out``."""
    text = json_text(document)
    if out is not None:
        files = {f"{name}.json": text + "\n", f"{name}.csv": table, f"{name}.txt": card + "\n"}
        if curves is not None:
            files[f"{name}_curves.csv"] = curves
        for file, content in files.items():
            write_text(out / file, content)
            tell(f"wrote {out / file}")
    show(text if flags["json"] else card)
