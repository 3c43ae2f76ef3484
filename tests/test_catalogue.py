"""The catalogue of figures and the command that makes them."""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest

from emergence.cli import main
from emergence.figures.catalogue import NAMES, recipe
from emergence.figures.fingerprint import numbers_source
from emergence.figures.style import WIDTHS


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_keeps_the_contract(name: str) -> None:
    item = recipe(name)
    assert set(item.sizes) == set(item.seconds) == {"full", "quick"}
    json.dumps(item.sizes)  # decides the data, so it must be sayable
    header = importlib.import_module(f"emergence.figures.{name}").__doc__
    assert f"emergence figures {name}" in str(header)  # it states its command
    assert (Path(__file__).parents[1] / "figures" / "gallery" / f"{name}.png").exists()


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
    again = ["figures", "spectra", "--quick", "--width", "column", "--format", "png", "--out", str(tmp_path / "a")]
    words = [*again[:-3], "png,svg,pdf", "--out"]
    assert main([*words, str(tmp_path / "a")]) == 0
    data = next((tmp_path / "a" / "data").glob("spectra-quick-*.npz"))
    stamp = data.stat().st_mtime_ns
    assert main(again) == 0
    assert data.stat().st_mtime_ns == stamp
    assert main([*words, str(tmp_path / "b")]) == 0
    for kind in ("png", "svg", "pdf"):
        assert (tmp_path / "a" / f"spectra.{kind}").read_bytes() == (tmp_path / "b" / f"spectra.{kind}").read_bytes()
    capsys.readouterr()


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
