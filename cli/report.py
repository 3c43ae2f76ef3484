"""A comparison as one page: verdict, pictures, tables, numbers and what it takes to make it again.

The page is a single file that opens from disk: styles, script, pictures (inline SVG) and numbers (a ``data:``
address) are in it, and its content policy forbids every request.  The picture is there twice, for wide and for
narrow screens; the one that is not shown is not read out either.  Tables are sorted by the buttons in their
heads, numbers by value, with empty cells last in both directions; without the script they are plain tables.
All text that comes from outside passes ``html.escape``.
"""

from __future__ import annotations

import base64
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from html import escape
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from .._version import __version__
from ..compare.comparison import Comparison, comparison_rows, tested_errors
from ..compare.statistics import middle
from ..compare.texts import estimate_text
from ..problem.events import EVENTS
from ..theory.prediction import LEVELS

SIGNS = {"agree": "✓", "disagree": "✗", "inconclusive": "?"}

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a;
  background: #fff; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
.verdict { border-left: .5rem solid #595959; padding: .5rem 1rem; background: #f2f2f2; }
.verdict.agree { border-color: #00614a; } .verdict.disagree { border-color: #a83f00; }
.verdict strong { font-size: 1.25rem; } .warning { border-left: .5rem solid #a83f00; padding: .25rem 1rem; }
figure { margin: 1rem 0; } figure svg { width: 100%; height: auto; } .narrow { display: none; }
figcaption, .note { color: #404040; font-size: .9rem; }
.box { overflow: auto; max-height: 30rem; border: 1px solid #bbb; margin-bottom: 1.5rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
th[scope=row], .text { text-align: left; } thead th { position: sticky; top: 0; background: #f2f2f2; }
th button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; padding: .35rem 0;
  cursor: pointer; } th button::after { content: " ↕"; color: #595959; }
th[aria-sort=ascending] button::after { content: " ↑"; } th[aria-sort=descending] button::after { content: " ↓"; }
a { color: #004f7d; } :focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f2f2f2; padding: .75rem; }
@media (max-width: 40rem) { body { padding: .6rem; } .wide { display: none; } .narrow { display: block; } }
@media print { body { max-width: none; padding: 0; font-size: 9pt; } .box { overflow: visible; max-height: none;
  border: 0; } .wide { display: block; } .narrow, .download { display: none; } th button::after { content: ""; }
  thead th { position: static; } thead button { display: contents; }
  tr, figure, .verdict { break-inside: avoid; } h2, h3 { break-after: avoid; } }
"""

_SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.closest("th"), body = head.closest("table").tBodies[0], column = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const numeric = head.dataset.kind === "number";
  const key = value => numeric && value ? Number(value) : value;
  const rows = Array.from(body.rows, row => [key(row.cells[column].dataset.value), row]);
  rows.sort(([a], [b]) => a === b ? 0 : a === "" ? 1 : b === "" ? -1 : (a < b ? -1 : 1) * (up ? 1 : -1));
  body.append(...rows.map(([, row]) => row));
});
"""


def page(
    comparison: Comparison, *, command: str, settings: dict[str, Any], table: str, step_check: str | None = None
) -> str:
    """The page of a comparison as HTML.

    Parameters
    ----------
    command
        The command line that makes the page again.
    settings
        Every setting of the run by name, given or not.
    table
        The numbers as CSV, for the download.
    step_check
        What ``compare.check_step`` found, where it was asked.
    """
    agreement, problem, run = comparison.agreement, comparison.problem, comparison.simulation
    title = f"Theory and SGD: {problem.activation.name}, d = {problem.d}, P = {problem.P}, m = {problem.m}"
    verdict = agreement.verdict
    warning = "" if run.warning is None else f'<p class="warning"><strong>Warning:</strong> {escape(run.warning)}</p>'
    check = "" if step_check is None else f"<h2>Step check</h2><pre>{escape(step_check)}</pre>"
    csv = base64.b64encode(table.encode()).decode()
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>{escape(verdict)} — {escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<div class="verdict {verdict}"><strong>{SIGNS[verdict]} Verdict: {escape(verdict)}</strong>
<p>{escape(agreement.reason)}</p></div>
{warning}
<p>Transition times of {run.seeds} runs of online SGD ({escape(run.run.sampler.name)} sampler, step size
{escape(run.run.step_size.text)}, batch {run.run.batch}, {run.run.samples:.3g} samples a run) beside predictions
from the same initial directions. Times are flow times, sums of step sizes; {int(run.diverged.sum())} of {run.seeds}
runs diverged.</p>
<h2>Pictures</h2>
<figure>
{_pictures(comparison)}
<figcaption>{_caption(comparison)}</figcaption>
</figure>
<h2>Agreement</h2>
{_agreement(comparison)}
<h2>Transitions</h2>
<p class="note">Directions are counted from 1 here and from 0 in the CSV. An empty cell: not reached, or not
predicted. Relative errors are against the flow, of the transitions that it predicts within the time simulated.</p>
{_by_direction(comparison)}
{_every_transition(comparison)}
<p class="download"><a download="compare.csv" href="data:text/csv;charset=utf-8;base64,{csv}">Download every transition
as CSV</a></p>
{check}
<h2>Making it again</h2>
<pre>{escape(command)}</pre>
{_table("Settings", ["setting", "value"], [[k, v] for k, v in _texts(settings).items()], text=2)}
{_table("Versions", ["package", "version"], [[k, v] for k, v in versions().items()], text=2)}
</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that make the numbers."""
    found = {"python": platform.python_version()}
    for name in ("numpy", "scipy", "sympy", "numba", "torch"):
        with suppress(PackageNotFoundError):  # the last two are extras
            found[name] = version(name)
    return found | {"sgd-emergence": __version__}


def _texts(settings: dict[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else str(value) for name, value in sorted(settings.items())}


def _pictures(comparison: Comparison) -> str:
    from ..figures.overlay import data_of, draw

    data = data_of(comparison)
    title = f"Theory over simulation, {comparison.problem.activation.name}: {comparison.agreement.verdict}"
    described = (
        "Learned strengths and population loss against flow time, and measured against predicted transition times; "
        f"{comparison.agreement.reason}."
    )
    return "\n".join(
        f'<div class="{name}">{inline_svg(draw(data, width), name, title, described)}</div>'
        for name, width in (("wide", "text"), ("narrow", "column"))
    )


def _caption(comparison: Comparison) -> str:
    """What the picture shows."""
    law, first = comparison.law, "Strengths and loss of the first seed, gradient flow as lines and SGD as points"
    if law is None:
        return (
            f"{first}, and predicted against measured transition times of every seed; the grey wedge is the tolerance, "
            "points on the upper edge were not reached. No bands of the law of SGD: "
            f"{escape(comparison.agreement.law_absent)}."
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


def _table(caption: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], *, text: int) -> str:
    """A sortable table; the first ``text`` columns are words, the others numbers."""
    head = "".join(
        f'<th scope="col" aria-sort="none" data-kind="{"text" if j < text else "number"}"'
        f'{" class=text" if j < text else ""}><button type="button">{escape(name)}</button></th>'
        for j, name in enumerate(heads)
    )
    body = "\n".join(
        "<tr>" + "".join(_cell(value, j, j < text) for j, value in enumerate(row)) + "</tr>" for row in rows
    )
    name = "table-" + "-".join(re.findall(r"\w+", caption.lower())[:4])
    return (
        f'<h3 id="{name}">{escape(caption)}</h3>\n<div class="box" tabindex="0" role="region" aria-labelledby="{name}">'
        f'<table aria-labelledby="{name}">\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
    )


def _cell(value: Any, column: int, text: bool) -> str:
    if isinstance(value, str):
        shown = key = value
    elif not np.isfinite(value):
        shown = key = ""
    else:
        shown, key = f"{value:.4g}" if isinstance(value, float) else str(value), repr(value)
    kind = " class=text" if text else ""
    tag, scope = ("th", ' scope="row"') if column == 0 else ("td", "")
    return f'<{tag}{scope}{kind} data-value="{escape(key)}">{escape(shown)}</{tag}>'


def _agreement(comparison: Comparison) -> str:
    agreement = comparison.agreement
    rows = [
        [level.replace("_", " "), *(estimate_text(agreement.errors[level][event]) for event in EVENTS)]
        for level in LEVELS
    ]
    counts = [f"{agreement.pairs[e] - agreement.unreached[e]} of {agreement.pairs[e]}" for e in EVENTS]
    rows.append(["reached, of those predicted by the flow", *counts])
    caption = "Median over seeds of the relative error, measured / predicted − 1, and 95 % interval"
    return _table(caption, ["theory", *EVENTS], rows, text=3)


def _by_direction(comparison: Comparison) -> str:
    """Medians over seeds, with unreached transitions later than every time."""
    run, problem, rows = comparison.simulation, comparison.problem, []
    for event in EVENTS:
        measured = run.first_passages(event)
        errors = tested_errors(comparison.predictions, run, "flow", event)
        for p in range(problem.P):
            times = [middle([getattr(item, event)[level][p] for item in comparison.predictions]) for level in LEVELS]
            tested = errors[~np.isnan(errors[:, p]), p]
            error = middle(tested) if tested.size else np.nan
            reached = int(np.isfinite(measured[:, p]).sum())
            rows.append([event, p + 1, float(problem.a[p]), *times, middle(measured[:, p]), reached, error])
    heads = ["event", "direction", "strength", *(level.replace("_", " ") for level in LEVELS), "measured", "reached",
             "relative error"]  # fmt: skip
    return _table(f"Median flow times over {run.seeds} seeds", heads, rows, text=1)


def _every_transition(comparison: Comparison) -> str:
    rows = [[event, i + 1, p + 1, *times] for i, p, _, event, *times in comparison_rows(comparison)]
    heads = ["event", "seed", "direction", *(level.replace("_", " ") for level in LEVELS), "measured", "relative error"]
    return _table("Every transition", heads, rows, text=1)
