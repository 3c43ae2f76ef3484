"""The page of a comparison: structure, numbers, escaping, files; and a real browser where there is one."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from emergence.cli import main
from emergence.cli.report import inline_svg, page
from emergence.compare import Comparison
from emergence.compare.comparison import LEVELS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
TABLE = "seed,p\n0,0\n"
VOID = {"meta", "link", "br", "input"}
SMALL = ["--d", "12", "--P", "2", "--m", "4", "--init-scale", "0.1", "--samples", "2e3", "--step-size", "1e-4"]
RUN = ["compare", *SMALL, "--records", "5", "--engine", "numpy", "--seeds", "2"]


class Page(HTMLParser):
    """Elements with their attributes, nesting checked, and the rows of every table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.rows: list[list[list[str]]] = []
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
        if tag == "tr":
            self.rows[-1].append([])
        if tag in ("td", "th"):
            self.rows[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.words += data
        if self.open and "tr" in self.open:
            self.rows[-1][-1][-1] += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def made(comparison: Comparison, **changes: object) -> str:
    inputs: dict[str, object] = {"command": "emergence compare", "settings": {"d": 24}, "table": TABLE}
    return page(comparison, **inputs | changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def text(small_comparison: Comparison) -> str:
    return made(small_comparison)


def test_structure_and_accessibility(text: str, small_comparison: Comparison) -> None:
    found = Page(text)
    assert text.startswith("<!DOCTYPE html>") and found.all("html") == [{"lang": "en"}]
    assert any(meta.get("name") == "viewport" for meta in found.all("meta"))
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
    assert text.index("Verdict") < text.index("<svg"), "verdict first"
    assert small_comparison.agreement.reason in found.words
    assert "No bands of the law of SGD" in found.words and small_comparison.agreement.law_absent in found.words
    assert "@media print" in text and "@media (max-width" in text


def test_nothing_is_fetched(text: str) -> None:
    found = Page(text)
    for tag, attributes in found.elements:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            value = attributes.get(name, "data:")
            assert value.startswith(("data:", "#")), f"<{tag} {name}={value}>"
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    policy = next(m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'") and "http" not in policy


def test_tables_hold_the_numbers(text: str, small_comparison: Comparison) -> None:
    found = Page(text)
    for table in found.rows:
        assert len(table) > 1 and len({len(row) for row in table}) == 1
    agreement, medians, every = found.rows[:3]
    assert [row[0] for row in agreement[1:4]] == [level.replace("_", " ") for level in LEVELS]
    run = small_comparison.simulation
    assert len(every) - 1 == 2 * run.seeds * 2 and len(medians) - 1 == 2 * 2
    for row in every[1:]:
        event, i, p = row[0], int(row[1]) - 1, int(row[2]) - 1
        expected = getattr(run, event)[i, p]
        assert row[6] == (f"{expected:.4g}" if np.isfinite(expected) else "")
        flow = small_comparison.predictions[i].flow
        assert row[5] == f"{getattr(flow, event)[p]:.4g}"
    for row in medians[1:]:
        # 5e-4: the page shows four digits; nine seeds, so the median is one of them
        assert float(row[6]) == pytest.approx(np.median(getattr(run, row[0])[:, int(row[1]) - 1]), rel=5e-4)
    heads = [attributes for attributes in found.all("th") if attributes.get("scope") == "col"]
    assert heads and all(head["aria-sort"] == "none" for head in heads)
    assert len(found.all("button")) == len(heads)


def test_the_download_is_the_table(small_comparison: Comparison) -> None:
    table = 'seed,p,event\n0,1,"a,b"\n1,0,é\n'
    (link,) = (a for a in Page(made(small_comparison, table=table)).all("a") if "download" in a)
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


def test_diverged_runs_and_unreached_times_leave_empty_cells(small_comparison: Comparison) -> None:
    late = small_comparison.simulation.recovery * [1, np.inf]
    run = dataclasses.replace(small_comparison.simulation, recovery=late)
    every = Page(made(dataclasses.replace(small_comparison, simulation=run))).rows[2][1:]
    cells = [row[6] for row in every if row[0] == "recovery" and row[2] == "2"]
    assert len(cells) == 9 and set(cells) == {""}


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
    assert ["samples", "2000"] in found.rows[3]
    assert "yellow, the law of SGD at this step size over random starts and noise" in found.words
    (link,) = (a for a in found.all("a") if "download" in a)
    table = base64.b64decode(link["href"].split(",", 1)[1]).decode()
    assert table == (tmp_path / "out" / "compare.csv").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a report.html", "out"], "no partial file"


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
    """A probe appended to the page sorts a column up and down and writes what it saw into the title."""
    probe = """<script>
    const seen = [], table = document.querySelectorAll("table")[2], head = table.tHead.rows[0].cells[6];
    const values = () => Array.from(table.tBodies[0].rows, row => row.cells[6].dataset.value);
    for (const turn of [0, 1]) { head.querySelector("button").click();
      seen.push(head.getAttribute("aria-sort") + ":" + values().join(" ")); }
    seen.push("requests:" + performance.getEntriesByType("resource").length);
    seen.push("overflow:" + (document.documentElement.scrollWidth > innerWidth));
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
    up, down, requests, overflow = match[1].split("|")
    for shown, name, sign in ((up, "ascending", 1), (down, "descending", -1)):
        state, content = shown.split(":")
        numbers = [float(x) for x in content.split(" ") if x]
        assert state == name and len(numbers) >= 30
        assert numbers == sorted(numbers, key=lambda x, sign=sign: sign * x)
    assert requests == "requests:0" and overflow == "overflow:false"
