"""The page of a comparison: structure, numbers, escaping, files; and a real browser where there is one."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from emergence.cli import main, typography
from emergence.cli.report import inline_svg, page
from emergence.compare import Comparison, overlay, provenance
from emergence.compare.texts import estimate_text
from emergence.problem import Activation, PowerDecay, Problem, Teacher
from emergence.problem.events import EVENTS
from emergence.simulate import Direct, Divergence, Simulation, sgd

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TABLE = "seed,p\n0,0\n"
MADE = "2026-03-04T05:06:07+01:00"
VOID = {"meta", "link", "br", "input"}
SMALL = ["--d", "12", "--P", "2", "--m", "4", "--init-scale", "0.1", "--samples", "2e3", "--step-size", "1e-4"]
RUN = ["compare", *SMALL, "--records", "5", "--engine", "numpy", "--seeds", "2"]


class Page(HTMLParser):
    """Elements with their attributes, nesting checked; of tables, by their captions, the rows of texts and of keys."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[list[str]]] = []
        self.keys: list[list[list[str | None]]] = []
        self.captions: list[str] = []
        self.facts: dict[str, str] = {}
        self.words = ""
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.rows.append([])
            self.keys.append([])
        if tag == "caption":
            self.captions.append("")
        if tag == "tr":
            self.rows[-1].append([])
            self.keys[-1].append([])
        if tag in ("td", "th"):
            self.rows[-1][-1].append("")
            self.keys[-1][-1].append(dict(attrs).get("data-value"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.open and "tr" in self.open:
            self.rows[-1][-1][-1] += data
        if self.open and self.open[-1] == "caption":
            self.captions[-1] += data
        if self.open and self.open[-1] == "dt":
            self.facts[data] = ""
        if self.open and self.open[-1] == "dd":
            self.facts[list(self.facts)[-1]] += data

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the one table whose caption begins so, the heads first."""
        (found,) = (rows for name, rows in zip(self.captions, self.rows, strict=True) if name.startswith(caption))
        return found

    def sort_keys(self, caption: str) -> list[list[str | None]]:
        (found,) = (keys for name, keys in zip(self.captions, self.keys, strict=True) if name.startswith(caption))
        return found[1:]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def made(comparison: Comparison, **changes: object) -> str:
    inputs: dict[str, object] = {"command": "emergence compare", "settings": {"d": 24}, "csv": TABLE, "created": MADE}
    return page(comparison, **inputs | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def text(small_comparison: Comparison) -> str:
    return made(small_comparison)


@pytest.fixture(scope="module")
def found(text: str) -> Page:
    return Page(text)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages without their pictures, which are most of the work."""
    monkeypatch.setattr("emergence.cli.report._pictures", lambda _: "")


def test_structure_and_accessibility(text: str, found: Page, small_comparison: Comparison) -> None:
    assert text.startswith("<!DOCTYPE html>") and found.all("html") == [{"lang": "en"}]
    assert any(meta.get("name") == "viewport" for meta in found.all("meta"))
    assert [len(found.all(tag)) for tag in ("header", "main", "footer")] == [1, 1, 1]
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels)), "no level skipped"
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 20
    svgs = found.all("svg")
    assert len(svgs) == 2 and all(svg["role"] == "img" for svg in svgs)
    for _, attributes in found.elements:
        for name in attributes.get("aria-labelledby", "").split():
            assert name in ids, "a label that exists"
        for link in (attributes.get("xlink:href", ""), attributes.get("href", "")):
            assert not link.startswith("#") or link[1:] in ids
        clip = re.fullmatch(r"url\(#(.*)\)", attributes.get("clip-path", ""))
        assert clip is None or clip[1] in ids
    assert all("aria-labelledby" in one for tag in ("section", "svg") for one in found.all(tag))
    assert text.index("Verdict") < text.index("<svg"), "verdict first"
    assert typography.typeset(small_comparison.agreement.reason) in found.words
    assert "No bands of the law of SGD" in found.words and small_comparison.agreement.law_absent in found.words


def test_every_table_says_what_it_is_and_every_cell_what_it_holds(found: Page) -> None:
    """The label of a cell is the head of its column: what a card shows where the head is not seen."""
    assert len(found.captions) == len(found.rows) == len(found.all("table")) and all(found.captions)
    assert len(found.all("section")) > 5
    cells = iter([attributes for tag, attributes in found.elements if tag in ("th", "td")])
    for heads, *rows in found.rows:
        for _ in heads:
            assert next(cells)["scope"] == "col"
        for row in rows:
            assert len(row) == len(heads) and all(row)
            assert next(cells)["scope"] == "row"
            assert [next(cells)["data-label"] for _ in row[1:]] == heads[1:]


def test_columns_of_numbers_are_sorted_as_numbers(found: Page) -> None:
    """What is sorted by is a number, ASCII, and the number that is shown."""
    heads = iter([attributes for attributes in found.all("th") if attributes.get("scope") == "col"])
    for (names, *shown), (_, *keys) in zip(found.rows, found.keys, strict=True):
        for j, kind in enumerate([next(heads)["data-kind"] for _ in names]):
            for i, row in enumerate(keys):
                key, seen = row[j], shown[i][j]
                assert key is not None and key.isascii()
                if kind == "number" and key:
                    number = re.split(r" \[", ascii_number(seen))[0]
                    # half a unit of the last place shown, of three decimals or of four digits
                    assert float(number) == pytest.approx(float(key), abs=5.1e-4, rel=5.1e-4), names[j]
                assert kind == "text" or key or seen == "—"
                assert not re.search(r"-\d|\binf|\bnan", seen) or names[j] == "value", seen


def ascii_number(shown: str) -> str:
    """What ``typography`` shows, as Python reads it."""
    raised = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
    shown = re.sub(r"(?:([\d.]+)·)?10([⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+)", lambda m: f"{m[1] or 1}e{m[2].translate(raised)}", shown)
    return shown.replace("−", "-").replace("∞", "inf")


@pytest.mark.parametrize(
    ("value", "spec", "shown"),
    [(-0.5, "+.3f", "−0.500"), (math.inf, ".4g", "∞"), (-math.inf, ".4g", "−∞"), (math.nan, ".4g", "—"),
     (1e-8, ".4g", "10⁻⁸"), (-2.5e-7, ".4g", "−2.5·10⁻⁷"), (7e10, ".4g", "7·10¹⁰"), (0.0, ".4g", "0"),
     (1234.0, ".4g", "1234")],
)  # fmt: skip
def test_numbers_as_they_are_shown(value: float, spec: str, shown: str) -> None:
    assert typography.number(value, spec) == shown
    if not math.isnan(value):
        assert float(ascii_number(shown)) == value


def test_sentences_as_they_are_shown() -> None:
    written = "alignment -0.004 [-inf, +1e-05], h4-x2 is P-dependent in 5-95; inf or 3e+10, infinite"
    assert typography.typeset(written) == (
        "alignment −0.004 [−∞, +10⁻⁵], h4-x2 is P-dependent in 5-95; ∞ or 3·10¹⁰, infinite"
    )
    assert [typography.duration(x) for x in (0.04, 59.94, 81.3, 3600, 7530)] == [
        "0.0 s", "59.9 s", "1 min 21 s", "1 h 0 min", "2 h 5 min",
    ]  # fmt: skip


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_contrast_in_both_schemes(text: str, scheme: int) -> None:
    """4.5 for text, 3 for what else is seen (WCAG 2.2, 1.4.3 and 1.4.11)."""
    schemes = [dict(re.findall(r"--(\w+): (#\w{6});", block)) for block in re.findall(r":root \{([^}]*)\}", text)]
    light, dark = schemes
    assert set(light) == set(dark) and "prefers-color-scheme: dark" in text and "color-scheme: light dark" in text
    colours = {name: luminance(value) for name, value in schemes[scheme].items()}
    for ground in ("page", "panel"):
        for name in set(colours) - {"page", "panel", "line"}:
            ratio = (max(colours[name], colours[ground]) + 0.05) / (min(colours[name], colours[ground]) + 0.05)
            assert ratio >= (3 if name in ("good", "bad", "mark") else 4.5), (name, ground)
    assert "#" not in re.sub(
        r":root \{[^}]*\}|background: #ffffff", "", text[text.index("<style") : text.index("</style")]
    )


def test_when_it_was_made_and_how_long_it_took(found: Page, small_comparison: Comparison) -> None:
    (time,) = found.all("time")
    assert time["datetime"] == "2026-03-04T04:06:07+00:00" and "2026-03-04, 04:06 UTC" in found.words
    assert f"simulation {typography.duration(small_comparison.simulation.wall_time)}" in found.words


def test_nothing_is_fetched(text: str) -> None:
    found = Page(text)
    for tag, attributes in found.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(name, "data:")
            assert value.startswith(("data:", "#")), f"<{tag} {name}={value}>"
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    policy = next(m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "http" not in policy


def test_tables_hold_the_numbers(found: Page, small_comparison: Comparison) -> None:
    agreement, run = small_comparison.agreement, small_comparison.simulation
    errors = found.table("Median over seeds of the relative error")
    assert [row[:2] for row in errors[1:]] == [["closed form", "no"], ["decoupled", "no"], ["flow", "yes"]]
    assert errors[3][2] == typography.typeset(estimate_text(agreement.errors["flow"]["alignment"]))
    counts = {row[0]: row[1:] for row in found.table("Transitions")[1:]}
    assert counts["tested by the verdict"] == counts["predicted by the flow within the run"] == ["18", "18"]
    medians, every = found.table("Median flow times"), found.table("Every transition")
    assert len(every) - 1 == 2 * run.seeds * 2 and len(medians) - 1 == 2 * 2
    for row in every[1:]:
        event, i, p = row[0], int(row[1]) - 1, int(row[2]) - 1
        assert row[6] == f"{getattr(run, event)[i, p]:.4g}" and row[8] == "yes"
        flow = small_comparison.predictions[i].flow
        assert row[5] == f"{getattr(flow, event)[p]:.4g}"
    for row in medians[1:]:
        # 5e-4: the page shows four digits; nine seeds, so the median is one of them
        assert float(row[6]) == pytest.approx(np.median(getattr(run, row[0])[:, int(row[1]) - 1]), rel=5e-4)
        assert row[8:] == ["9", "0", "9"]
    scale = small_comparison.noise_scale
    assert [ascii_number(row[3]) for row in found.table("Critical step size")[1:]] == [
        f"{x:.4g}" for x in scale.over_critical
    ]
    assert found.facts["η / critical step size"].startswith(f"{scale.over_typical:.3g} ")


def test_the_loss_distance_is_explained(found: Page, small_comparison: Comparison) -> None:
    distance = small_comparison.agreement.loss_distance.median
    assert f"Loss distance {distance:.3g} " in found.words and f"a factor of {10**distance:.3g}:" in found.words
    assert "The verdict does not use it" in found.words
    assert f"would be at {small_comparison.shift_distance:.3g}." in found.words


@pytest.mark.usefixtures("quick")
def test_the_download_is_the_table(small_comparison: Comparison) -> None:
    table = 'seed,p,event\n0,1,"a,b"\n1,0,é\n'
    (link,) = (a for a in Page(made(small_comparison, csv=table)).all("a") if "download" in a)
    kind, content = link["href"].split(",", 1)
    assert kind == "data:text/csv;charset=utf-8;base64"
    assert base64.b64decode(content).decode() == table


def test_everything_from_outside_is_escaped(small_comparison: Comparison) -> None:
    evil = "<script>alert('x')</script>&\""
    agreement = dataclasses.replace(small_comparison.agreement, reason=evil)
    step_size = lambda s: np.full(np.shape(s), 1e-6)  # noqa: E731
    step_size.__qualname__ = evil  # what a schedule that is a callable is called
    described = dataclasses.replace(small_comparison.simulation.run, step_size=step_size)
    run = dataclasses.replace(small_comparison.simulation, warning=evil, run=described)
    changed = dataclasses.replace(small_comparison, agreement=agreement, simulation=run)
    text = made(changed, command=evil, settings={evil: evil}, step_check=evil)
    assert evil not in text and "<script>alert" not in text
    found = Page(text)
    assert len(found.all("script")) == 1
    assert found.words.count(evil) >= 6


@pytest.mark.usefixtures("quick")
def test_what_was_not_reached_and_what_was_not_predicted(small_comparison: Comparison) -> None:
    """Seed 1 diverged; the flow predicts no recovery of direction 2 for any seed, and SGD reaches it in all others."""
    run, late = small_comparison.simulation, np.array([1, math.inf])
    predictions = tuple(
        dataclasses.replace(one, recovery={level: times * late for level, times in one.recovery.items()})
        for one in small_comparison.predictions
    )
    changed = dataclasses.replace(
        small_comparison,
        simulation=dataclasses.replace(run, divergence=(Divergence(3, 1e4), *run.divergence[1:])),
        predictions=predictions,
    )
    found = Page(made(changed))
    assert changed.as_dict()["agreement"]["reached_unpredicted"] == {"alignment": 0, "recovery": 8}
    assert ["reached though not predicted", "0", "8"] in found.table("Transitions")
    assert ["tested by the verdict", "18", "9"] in found.table("Transitions")
    every = found.table("Every transition")[1:]
    for event, seed, p, _, _, flow, measured, error, tested in every:
        unpredicted = (event, p) == ("recovery", "2")
        assert (measured == "∞") == (seed == "1")
        assert (flow == "∞", error == "—", tested) == ((True, True, "no") if unpredicted else (False, False, "yes"))
        assert unpredicted or (error == "+∞") == (seed == "1")
    assert next(row for row in found.table("Median flow times") if row[:2] == ["recovery", "2"])[7:] == [
        "—", "8", "8", "0",
    ]  # fmt: skip
    assert found.facts["SGD"] == "9 runs from given initial directions, 1 diverged"
    keys = {"∞": "Infinity", "+∞": "Infinity", "—": ""}
    for row, sort_keys in zip(every, found.sort_keys("Every transition"), strict=True):
        assert all(key == keys[shown] for shown, key in zip(row, sort_keys, strict=True) if shown in keys)


TINY = Problem(Activation("h3"), Teacher([1.0]), d=6, m=2)  # odd: there is no law of SGD


def tiny(samples: int = 40, seeds: int = 1, **settings: Any) -> Simulation:
    return sgd(
        TINY, settings.pop("step_size", 1e-4), samples, seeds=seeds, records=5, sampler=Direct("numpy"), **settings
    )


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("simulation", "facts", "settled"),
    [
        (lambda: tiny(), {"SGD": "one run from random initial directions, 0 diverged", "Teacher": "one direction"},
         "runs to flow time"),
        (lambda: tiny(seeds=7, directions=np.eye(6)[2:4]),
         {"η / critical step size": "— (median over runs and directions)",
          "Gradient noise": "no student is expected to learn a direction"},
         "other starts or another problem"),
        (lambda: dataclasses.replace(tiny(seeds=7), divergence=(Divergence(3, 1e4),) * 7),
         {"SGD": "7 runs from random initial directions, 7 diverged"}, "a smaller step size"),
        (lambda: tiny(step_size=PowerDecay(1e-5, 10, 2.0), label_noise=0.5, batch=2),
         {"Step size": "η = 10⁻⁵ at first, power(1e-05, 10.0, 2.0)",
          "Length": "flow time 7.127·10⁻⁵, 40 samples a run in batches of 2, label noise 0.5"},
         "by another schedule"),
    ],
    ids=["one seed", "nothing is predicted", "all diverged", "schedule and label noise"],
)  # fmt: skip
def test_what_is_said_where_there_is_little_to_say(simulation: Any, facts: dict[str, str], settled: str) -> None:
    comparison = overlay(TINY, simulation())
    found = Page(made(comparison))
    assert comparison.agreement.verdict == "inconclusive" and "Verdict: inconclusive" in found.words
    assert facts.items() <= found.facts.items()
    assert comparison.settled_by is not None and settled in comparison.settled_by.text
    assert f"What would settle it: {typography.typeset(comparison.settled_by.text)}." in found.words
    assert not re.search(r"\b(nan|inf|None|NaN|Infinity)\b", found.words)
    tested = {row[0]: row[1:] for row in found.table("Transitions")}["tested by the verdict"]
    assert tested == [str(int(comparison.tested_pairs(event).sum())) for event in EVENTS]


def test_ids_of_a_figure_take_the_prefix(small_comparison: Comparison) -> None:
    from emergence.figures.overlay import data_of, draw

    data = data_of(small_comparison)
    one, other = (inline_svg(draw(data), name, "t", "d") for name in ("one", "other"))
    assert one.replace("one-", "other-") == other, "the same bytes but for the prefix"
    assert not set(re.findall(r'\bid="([^"]*)"', one)) & set(re.findall(r'\bid="([^"]*)"', other))


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "a report.html"
    words = [*RUN, "--out", str(tmp_path / "out"), "--report", str(target)]
    assert main(words) == 0
    assert f"wrote {target}" in capsys.readouterr().err
    found = Page(target.read_text(encoding="utf-8"))
    assert f"--report '{target}'" in found.words and "sgd-emergence" in found.words
    assert ["samples", "2000"] in found.table("Settings")
    assert found.all("time")[0]["datetime"] == provenance(tmp_path / "out").created
    law = found.table("Times within the law of SGD")
    assert [row[:3] for row in law[1:]] == [["mean PIT", "yes", "0.5"], ["share inside 5–95 %", "yes", "0.9"]]
    assert {row[1] for row in found.table("Median over seeds of the relative error")[1:]} == {"no"}
    assert "yellow, the law of SGD at this step size over random starts and noise" in found.words
    (link,) = (a for a in found.all("a") if "download" in a)
    table = base64.b64decode(link["href"].split(",", 1)[1]).decode()
    assert table == (tmp_path / "out" / "compare.csv").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a report.html", "out"], "no partial file"


def test_the_page_may_lie_in_the_directory_that_is_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("emergence.cli.commands._pictures", lambda *_: None)
    monkeypatch.setattr("emergence.cli.report._pictures", lambda _: "")
    assert main([*RUN, "--out", "new/out", "--report", "new/out/report.html"]) == 0
    assert capsys.readouterr().err.endswith("wrote new/out/report.html\n")
    assert main([*RUN, "--out", "other", "--report", "new/other/report.html"]) == 2 and not Path("other").exists()
    # made again from what is stored, it is the same page
    first = Path("new/out/report.html").read_text(encoding="utf-8")
    assert main([*RUN, "--out", "new/out", "--report", "new/out/report.html", "--resume"]) == 0
    assert Path("new/out/report.html").read_text(encoding="utf-8") == first.replace(
        "report.html", "report.html --resume"
    )


def test_make_compare_leaves_a_page_of_each_run_and_says_where() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    (recipe,) = re.findall(r"^compare:.*\n((?:\t.*\n)+)", makefile, re.M)
    *runs, last = recipe.splitlines()
    pages = [re.findall(r"--report (\S+)", run) for run in runs]
    assert len(pages) == 2 and all(len(found) == 1 and found[0] in last for found in pages)
    assert last.startswith("\t@echo")


@pytest.mark.parametrize("bad", ["", "missing/report.html", "."])
def test_a_bad_path_stops_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], bad: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("emergence.simulate.execution", lambda *_, **__: pytest.fail("work was done"))
    assert main([*RUN, "--out", "out", "--report", bad]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--report" in error
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_a_browser_sorts_without_errors_or_requests(text: str, tmp_path: Path) -> None:
    """A probe appended to the page sorts relative errors up and down and writes what it saw into the title.

    Two of its numbers are made infinite and none: ∞ is the largest, what is none comes last in both directions.
    """
    probe = """<script>
    const seen = [], tables = Array.from(document.querySelectorAll("table"));
    const table = tables.find(one => one.caption.textContent === "Every transition");
    const head = table.tHead.rows[0].cells[7];
    table.tBodies[0].rows[3].cells[7].dataset.value = "Infinity";
    table.tBodies[0].rows[5].cells[7].dataset.value = "";
    const values = () => Array.from(table.tBodies[0].rows, row => row.cells[7].dataset.value);
    for (const turn of [0, 1]) { head.querySelector("button").click();
      seen.push(head.getAttribute("aria-sort") + ":" + values().join(" ")); }
    seen.push("requests:" + performance.getEntriesByType("resource").length);
    seen.push("overflow:" + [document.documentElement, ...document.querySelectorAll(".box")].some(
      one => one.scrollWidth > one.clientWidth));
    const button = document.querySelector("th button"); button.focus();
    seen.push("focus:" + (document.activeElement === button));
    document.title = seen.join("|");
    </script></body>"""
    path = tmp_path / "page.html"
    path.write_text(text.replace("</body>", probe), encoding="utf-8")
    done = subprocess.run(
        [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'profile'}", "--window-size=390,800", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, done.stderr
    match = re.search(r"<title>([^<]*)</title>", done.stdout)
    assert match is not None
    up, down, requests, overflow, focus = match[1].split("|")
    for shown, name, sign in ((up, "ascending", 1), (down, "descending", -1)):
        state, content = shown.split(":")
        *numbers, last = [float(x) if x else None for x in content.split(" ")]
        assert state == name and len(numbers) >= 30 and last is None and numbers[-1 if sign > 0 else 0] == math.inf
        assert numbers == sorted(numbers, key=lambda x, sign=sign: sign * x)
    assert (requests, overflow, focus) == ("requests:0", "overflow:false", "focus:true")
