"""The catalogue of figures and the command that makes them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from emergence.cli import main
from emergence.figures.catalogue import NAMES, recipe
from emergence.figures.style import WIDTHS


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_keeps_the_contract(name: str) -> None:
    item = recipe(name)
    assert set(item.sizes) == set(item.seconds) == {"full", "quick"}
    json.dumps(item.sizes)  # decides the data, so it must be sayable
    assert "emergence figures " + name in item.source  # the header states its command
    assert (Path(__file__).parents[1] / "figures" / "gallery" / f"{name}.png").exists()


def test_key_changes_with_everything_that_decides_the_data() -> None:
    item = recipe("spectra")
    keys = {item.key(size, seed) for size in ("full", "quick") for seed in (0, 1)}
    assert len(keys) == 4
    assert item.key("full", 0) == recipe("spectra").key("full", 0)


def test_figures_are_made_once_and_with_the_same_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["figures", "spectra", "--quick", "--format", "png,svg,pdf", "--width", "column", "--out"]
    assert main([*words, str(tmp_path / "a")]) == 0
    data = next((tmp_path / "a" / "data").glob("spectra-quick-*.npz"))
    stamp = data.stat().st_mtime_ns
    assert main([*words, str(tmp_path / "a")]) == 0
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
