"""The catalogue of figures and the command that makes them."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emergence.cli import main
from emergence.figures.catalogue import NAMES, draw, recipe
from emergence.figures.fingerprint import numbers_source
from emergence.figures.settings import read_settings
from emergence.figures.style import WIDTHS


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_keeps_the_contract(name: str) -> None:
    item = recipe(name)
    assert set(item.sizes) == set(item.seconds) == {"full", "quick"}
    json.dumps(item.sizes)  # decides the data, so it must be sayable
    header = importlib.import_module(f"emergence.figures.{name}").__doc__
    assert f"emergence figures {name}" in str(header)  # it states its command
    for size in item.sizes:
        assert item.changed(size, {}).sizes == item.sizes  # its own sizes are none that it refuses


@pytest.mark.slow  # a new line in a shared file of drawings makes all pictures old, which breaks nothing
@pytest.mark.parametrize("name", NAMES)
def test_the_gallery_is_what_the_code_draws(name: str) -> None:
    """A picture says by which numbers and by which code of this folder it was made."""
    with Image.open(Path(__file__).parents[1] / "figures" / "gallery" / f"{name}.png") as image:
        facts = dict(image.info)
    expected = recipe(name).facts("full", 0)
    stale = f"draw it again: emergence figures {name} --format png --out figures/gallery"
    assert {key: facts.get(key) for key in ("problem", "code", "seed")} == {
        key: expected[key] for key in ("problem", "code", "seed")
    }, stale


def test_key_changes_with_everything_that_decides_the_data() -> None:
    item = recipe("spectra")
    keys = {json.dumps(item.facts_of_data(size, seed)) for size in ("full", "quick") for seed in (0, 1)}
    assert len(keys) == 4
    assert item.facts_of_data("full", 0) == recipe("spectra").facts_of_data("full", 0)


@pytest.mark.parametrize("name", NAMES)
def test_data_outlive_a_new_drawing_and_not_new_numbers(name: str) -> None:
    """Of every function of a figure's file: what ``compute`` reaches decides the data, what ``draw`` alone does not."""
    module = importlib.import_module(f"emergence.figures.{name}")
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    functions = {each.name: each for each in ast.parse(source).body if isinstance(each, ast.FunctionDef)}
    for function, each in functions.items():
        lines = source.splitlines(keepends=True)
        lines.insert(each.body[-1].end_lineno or 0, "    changed()\n")
        changed = numbers_source("".join(lines)) != numbers_source(source)
        calls = reached(module.compute, module)
        assert changed == (function in calls), function
    assert {"compute"} <= calls and "draw" not in calls
    assert numbers_source(source + "\n# a remark\n") == recipe(name).code
    assert numbers_source(re.sub(r'(def .*:\n    """)', r"\1Better: ", source)) == recipe(name).code, (
        "a text is no number"
    )


def reached(function: Callable[..., Any], module: ModuleType) -> set[str]:
    """Names of the module's functions that a function may call, by its compiled code."""
    found, pending = set(), [function]
    while pending:
        one = pending.pop()
        found.add(one.__name__)
        codes = [one.__code__]
        while codes:
            code = codes.pop()
            codes += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
            for name in code.co_names:
                other = getattr(module, name, None)
                if isinstance(other, FunctionType) and other.__module__ == module.__name__ and name not in found:
                    pending.append(other)
    return found


def test_constants_and_their_constants_decide_the_data() -> None:
    source = "A = 1\nB = A + 1\nC = 3\n\ndef compute(sizes, seed):\n    return B\n\ndef draw(data):\n    return C\n"
    assert numbers_source(source) == "A = 1\nB = A + 1\ndef compute(sizes, seed):\n    return B"
    assert numbers_source(source.replace("A = 1", "A = 2")) != numbers_source(source)
    assert numbers_source(source.replace("C = 3", "C = 4")) == numbers_source(source)


def test_figures_are_made_once_and_with_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One cache serves all outputs, all widths and all formats; the width is in the name unless it is the usual one."""
    cache = ["--cache", str(tmp_path / "cache")]
    words = ["figures", "spectra", "--quick", *cache, "--format", "png,svg,pdf"]
    assert main([*words, "--width", "column,text", "--out", str(tmp_path / "a")]) == 0
    (data,) = (tmp_path / "cache").glob("spectra-*.npz")
    stamp = data.stat().st_mtime_ns
    assert main([*words, "--width", "column", "--out", str(tmp_path / "b")]) == 0
    assert [data] == list((tmp_path / "cache").iterdir()) and data.stat().st_mtime_ns == stamp
    again = {f"spectra-column.{kind}" for kind in ("png", "svg", "pdf")}
    for out, names in (("a", again | {name.replace("-column", "") for name in again}), ("b", again)):
        assert {path.name for path in (tmp_path / out).iterdir()} == names
    for name in again:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert f"/Title ({recipe('spectra').summary})".encode() in (tmp_path / "a" / "spectra.pdf").read_bytes()
    capsys.readouterr()


def test_numbers_of_ones_own_reach_the_data_and_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.toml").write_text('activations = ["tanh(x)", "h4"]\ndegree = 9\n', encoding="utf-8")
    words = ["figures", "spectra", "--cache", str(tmp_path / "cache"), "--out", str(tmp_path), "--format", "png"]
    assert main([*words, "--config", str(tmp_path / "own.toml"), "--set", "degree=5"]) == 0
    with Image.open(tmp_path / "spectra.png") as image:
        assert json.loads(image.info["problem"]) == {"activations": ["tanh(x)", "h4"], "degree": 5}
    (data,) = (tmp_path / "cache").iterdir()
    with np.load(data) as found:
        assert found["coefficients"].shape == (2, 6)
    capsys.readouterr()
    figure = draw("spectra", activations="h4", degree=5, cache=tmp_path / "cache", width="column")
    assert figure.get_figwidth() == WIDTHS["column"]
    assert len([axis for axis in figure.axes if axis.get_title(loc="left")]) == 1


def test_settings_are_merged_into_tables_and_lists() -> None:
    found = recipe("time_scaling").changed("full", read_settings(None, ["beta=0.7", "run.P=12", "d = 5e5"]))
    known = recipe("time_scaling").sizes["full"]
    assert found.sizes["full"] == known | {"beta": [0.7], "d": 500_000, "run": known["run"] | {"P": 12}}
    assert recipe("overlay").changed("quick", {"activation": "h6"}).sizes["quick"]["activation"] == "h6"
    assert json.dumps(found.facts_of_data("full", 0)) != json.dumps(recipe("time_scaling").facts_of_data("full", 0))


@pytest.mark.parametrize(
    ("name", "own", "said"),
    [
        ("time_scaling", ["beta=0.5"], "`beta` must be above 1/2, but is 0.5"),
        ("emergence", ["beta=0.3"], "`beta` must be above 1/2"),
        ("compute_frontier", ["beta=0.5"], "`beta` must be above 1/2"),
        ("sgd_frontier", ["beta=0.5"], "`beta` must be above 1/2"),
        ("sgd_frontier", ["share=0.2"], "hold `share`"),
        ("sgd_frontier", ["step_sizes=[0.3, 0.95]"], "at most 0.9"),
        ("sgd_frontier", ["runs.seeds=3"], "at least 6"),
        ("sgd_frontier", ["runs.widths=[8, 24]"], "`runs.widths` must be among `widths`"),
        ("sgd_frontier", ["runs.samples=1e9"], "a positive number for each of 5 widths"),
        ("sgd_frontier", ["widths=[8, 4]"], "`widths` must be positive and ascend"),
        ("sgd_frontier", ["compute=1e9"], "`compute` must be at least that of the runs, 3.584e+11"),
        ("sample_scaling", ["beta=0.2"], "`beta` must be above 1/2"),
        ("width_scaling", ["beta=0.4"], "`beta` must be above 1/2"),
        ("time_scaling", ["bta=1"], "no setting 'bta'; it has beta, P, m, d, draws, run"),
        ("time_scaling", ["run.q=1"], "no setting 'run.q'; it has run.P, run.m, run.d, run.seeds"),
        ("time_scaling", ["run=1"], "`run` must be a table"),
        ("time_scaling", ["run.seeds=2"], "at least 6"),
        ("time_scaling", ["P"], "KEY=VALUE"),
        ("time_scaling", ["P=3", "P=4"], "twice"),
        ("time_scaling", ["P=1.5"], "`P` must be a positive whole number"),
        ("time_scaling", ["beta=inf"], "`beta` must be a number"),
        ("time_scaling", ["beta=[]"], "must not be empty"),
        ("emergence", ["d=4"], "`d` must be at least"),
        ("emergence", ["activation=tanh(x)"], "information exponent"),
        ("overlaps", ["activation=h2"], "exponent"),
        ("calibration", ["step_size=2"], "at most 0.9 of the ceiling"),
        ("schedules", ["shares=[0.5, 0.2]"], "ascend"),
        ("dimension", ["leap.seeds=3"], "at least 6"),
    ],
)
def test_numbers_that_the_theory_does_not_hold_for_are_refused_before_any_work(
    name: str, own: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [word for one in own for word in ("--set", one)]
    assert main(["figures", name, *sets, "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]) == 2
    captured = capsys.readouterr()
    assert said in captured.err and captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_preview_says_so(width: str, tmp_path: Path) -> None:
    item = recipe("spectra")
    data = item.data("quick", 0, tmp_path)
    assert not np.isnan(data["coefficients"]).any()
    for size, marked in (("quick", True), ("full", False)):
        figure = item.figure(data, size, width)
        assert any("preview" in text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))) == marked


def test_list_names_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["figures", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--all"),
        (["spectra", "--all"], "--all"),
        (["nothing"], "there is no figure 'nothing'"),
        (["spectra", "--format", "jpg"], "'jpg'"),
        (["spectra", "--format", "gif"], "does not move"),
        (["spectra", "--width", "text,"], "--width"),
        (["spectra", "--cache", " "], "--cache"),
        (["spectra", "--width", "wide"], "--width"),
        (["spectra", "--seed", "-1"], "seed"),
    ],
)
def test_bad_input(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["figures", *words, "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not out.exists()
