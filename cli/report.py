"""A comparison as one page: verdict, pictures, tables, numbers and what it takes to make it again.

The page is a single file that opens from disk: style (``page.css``), script (``page.js``), pictures (inline SVG) and
numbers (a ``data:`` address) are in it, and its content policy forbids every request.  The picture is there twice, for
wide and for narrow screens; the one that is not shown is not read out either.  Without the script its tables
(``comparison_tables``) are plain ones.  All text that comes from outside passes ``html.escape``.
"""

from __future__ import annotations

import base64
import platform
import re
from contextlib import suppress
from datetime import UTC, datetime
from html import escape
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import numpy as np

from .._version import __version__
from ..compare.comparison import Comparison
from ..problem.divergence import RISK
from .comparison_tables import by_direction, counts, errors, every_transition, law, loss, note, step_size
from .tables import table
from .typography import duration, number, prose, typeset

SIGNS = {"agree": "✓", "disagree": "✗", "inconclusive": "?"}


def page(
    comparison: Comparison,
    *,
    command: str,
    settings: dict[str, Any],
    csv: str,
    created: str,
    step_check: str | None = None,
) -> str:
    """The page of a comparison as HTML.

    Parameters
    ----------
    command
        The command line that makes the page again.
    settings
        Every setting of the run by name, given or not.
    csv
        Every transition as CSV, for the download.
    created
        When the comparison was made, ISO 8601 with a time zone.
    step_check
        What ``compare.check_step`` found, where it was asked.
    """
    problem, verdict = comparison.problem, comparison.agreement.verdict
    title = f"Theory and SGD: {problem.activation.label}, d = {problem.d}, P = {problem.P}, m = {problem.m}"
    check = "" if step_check is None else _section("Step check", f"<pre>{prose(step_check)}</pre>")
    address = f"data:text/csv;charset=utf-8;base64,{base64.b64encode(csv.encode()).decode()}"
    download = (
        f'<p class="download"><a download="compare.csv" href="{address}">Download every transition as CSV</a></p>'
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{escape(verdict)} — {escape(title)}</title>
<style>{_part("page.css")}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="note">{_made(comparison, created)}</p>
</header>
<main>
{_verdict(comparison)}
{_warnings(comparison)}
{_section("The runs", _facts(comparison))}
{_section("Pictures", f"<figure>{_pictures(comparison)}<figcaption>{_caption(comparison)}</figcaption></figure>")}
{_section("Agreement", *(part(comparison) for part in (errors, law, counts, loss)))}
{_section("Step size", step_size(comparison))}
{_section("Transitions", *(part(comparison) for part in (note, by_direction, every_transition)), download)}
{check}
{_section("Making it again", f"<pre>{escape(command)}</pre>", _pairs("Settings", "setting", _texts(settings)),
    _pairs("Versions that made this page", "package", versions()))}
</main>
<footer><p>Made with sgd-emergence {escape(__version__)}.</p></footer>
<script>{_part("page.js")}</script>
</body>
</html>
"""  # fmt: skip


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the numbers."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "scipy", "sympy", "numba", "torch"):
        with suppress(PackageNotFoundError):  # the last two are extras
            found[name] = version(name)
    return found | {"sgd-emergence": __version__}


def _part(name: str) -> str:
    """A file beside this one, as it stands in the page."""
    return "\n" + files(__package__).joinpath(name).read_text(encoding="utf-8")


def _section(head: str, *parts: str) -> str:
    name = head.lower().replace(" ", "-")
    inside = "\n".join(part for part in parts if part)
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(head)}</h2>\n{inside}\n</section>'


def _texts(settings: dict[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in sorted(settings.items())}


def _pairs(caption: str, name: str, values: dict[str, str]) -> str:
    """What is to be typed again, so that it stands as it is typed."""
    return table(caption, [name, "value"], list(values.items()), words=[name, "value"], look="plain")


def _made(comparison: Comparison, created: str) -> str:
    when = datetime.fromisoformat(created).astimezone(UTC)
    predicted = sum(prediction.wall_time for prediction in comparison.predictions)
    return (
        f'Made on <time datetime="{when.isoformat()}">{when:%Y-%m-%d, %H:%M} UTC</time>. Run time: simulation '
        f"{duration(comparison.simulation.wall_time)} (since it was last started), predictions {duration(predicted)}."
    )


def _verdict(comparison: Comparison) -> str:
    agreement, missing = comparison.agreement, comparison.settled_by
    settled = ""
    if missing is not None:
        fixed = "" if missing.seeds is None else (
            " Fix the number before running: intervals of runs that go on until there is a verdict are no 95 % ones."
        )  # fmt: skip
        settled = f"\n<p><strong>What would settle it:</strong> {prose(missing.text)}.{fixed}</p>"
    return (
        f'<section class="verdict {agreement.verdict}" aria-labelledby="verdict">\n<h2 id="verdict">'
        f"{SIGNS[agreement.verdict]} Verdict: {escape(agreement.verdict)}</h2>\n<p>{prose(agreement.reason)}.</p>"
        f"{settled}\n</section>"
    )


def _warnings(comparison: Comparison) -> str:
    run, found = comparison.simulation, []
    if run.warning is not None:
        found.append(run.warning)
    past = np.isfinite(run.valid_until)
    if past.any():
        found.append(
            f"{int(past.sum())} of {run.seeds} runs are beyond the reach of direct SGD, which would have diverged with "
            f"a probability above {RISK} from flow time {number(run.valid_until.min())} on (estimated)."
        )
    return "\n".join(f'<p class="warning"><strong>Warning:</strong> {prose(text)}</p>' for text in found)


def _facts(comparison: Comparison) -> str:
    run, problem, scale = comparison.simulation.run, comparison.problem, comparison.noise_scale
    simulation = comparison.simulation
    constant = run.step_size.text == f"constant({run.step_size.initial!r})"
    schedule = "" if constant else f" at first, {escape(run.step_size.text)}"
    starts = "random" if run.directions is None else "given"
    noise = f", label noise {number(run.label_noise)}" if run.label_noise else ""
    runs = "one run" if run.seeds == 1 else f"{run.seeds} runs"
    facts = {
        "Compared": "transition times of SGD and those predicted from the same initial directions, as flow times "
        "(sums of step sizes)",
        "SGD": f"{runs} from {starts} initial directions, {int(simulation.diverged.sum())} diverged",
        "Sampler": f"{escape(run.sampler.name)} ({prose(run.reason)})",
        "Length": f"flow time {number(simulation.t_end)}, {number(run.samples)} samples a run in batches of {run.batch}"
        + noise,
        "Step size": f"η = {number(scale.step_size)}{schedule}",
        "η / critical step size": f"{number(scale.over_typical, '.3g')} (median over runs and directions)",
        "η / ceiling": number(scale.over_ceiling, ".3g"),
        "Gradient noise": "matters"
        if scale.noisy
        else "plays little part"
        if np.isfinite(scale.quiet)
        else "no student is expected to learn a direction",
        "Teacher": "one direction"
        if problem.P == 1
        else f"{problem.P} directions, strengths {number(problem.a.max())} to {number(problem.a.min())}",
    }
    return "<dl>\n" + "\n".join(f"<dt>{escape(name)}</dt><dd>{text}</dd>" for name, text in facts.items()) + "\n</dl>"


def _pictures(comparison: Comparison) -> str:
    from ..figures.overlay import data_of, draw

    data = data_of(comparison)
    title = f"Theory over simulation, {comparison.problem.activation.label}: {comparison.agreement.verdict}"
    times = "measured against predicted transition times" if comparison.law is None else (
        "measured transition times on the bands of the law of SGD"
    )  # fmt: skip
    described = (
        f"Learned strengths and population loss against flow time, and {times}; "
        f"{typeset(comparison.agreement.reason)}. The tables have the numbers."
    )
    return "\n".join(
        f'<div class="picture {name}">{inline_svg(draw(data, width), name, title, described)}</div>'
        for name, width in (("wide", "text"), ("narrow", "column"))
    )


def _caption(comparison: Comparison) -> str:
    """What the picture shows."""
    law, first = comparison.law, "Strengths and loss of the first seed, gradient flow as lines and SGD as points"
    if law is None:
        return (
            f"{first}, and predicted against measured transition times of every seed; the grey wedge is the tolerance, "
            "points on the upper edge were not reached. No bands of the law of SGD: "
            f"{prose(comparison.agreement.law_absent)}."
        )
    over = "noise from the given start" if law.start == "given" else "random starts and noise"
    return (
        f"{first}; yellow, the law of SGD at this step size over {over}: 10–90 % and mean of the loss behind the "
        "10–90 % of the seeds, and 5–95 %, quartiles and median of the transition times of each direction, beside the "
        "measured ones of the seeds that did not diverge; points on the upper edge were not reached."
    )


def inline_svg(figure: Any, prefix: str, title: str, described: str) -> str:
    """A figure as an ``<svg>`` element with a title and a description; every id in it begins with ``prefix``."""
    from ..figures.style import rendered

    text = rendered(figure, "svg", {}).decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = text.replace("url(#", f"url(#{prefix}-")
    label = f'role="img" aria-labelledby="{prefix}-title {prefix}-description"'
    names = (
        f'<title id="{prefix}-title">{escape(title)}</title><desc id="{prefix}-description">{escape(described)}</desc>'
    )
    return re.sub(r"<svg([^>]*)>", lambda match: f"<svg{match[1]} {label}>{names}", text, count=1)
