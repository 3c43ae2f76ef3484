"""Sizes that cannot fit in memory are refused before anything is computed, allocated or written."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Cli

from emergence import Activation, compare, simulate, theory
from emergence.figures.catalogue import recipe
from emergence.theory import random_init

MOST = 32 * 2**20  # bytes: interpreter, messages; no array of the sizes below
HUGE = 10**12  # students, starts, …

WORDS = [
    *(f"hermite {rest}" for rest in ("h4 --max-degree 1e12", "h4 --high-pass 1e12", f"h{HUGE}", f"x**{HUGE}")),
    *(f"{name} --P 1e12 --d 1e13" for name in ("predict", "law flow_time", "step-size", "width --t-max 9", "simulate")),
    "predict --m 1e12", "predict --m 20001 --d 1e9", "predict --m 30000 --d 1e9 --flow-method exact",
    "predict --m 1e12 --quantiles 0.5", "predict --d 1e16", "predict --quantiles 0.5,1e300",
    "predict --P 30000 --m 15000 --d 1e6", "predict --P 2 --d 4 --m 1e9 --flow-method diagonal",
    "law flow_time --draws 1e12", "law compute_width_time --draws 1e6", "law dimension_time --draws 1e15",
    "law dimension_time --dimensions 1e300", "law dimension_samples --dimensions 64,1e17",
    "step-size --learn 1e12", "width --t-max 9 --learn 1e12",
    *(
        f"{name} {rest}"
        for name in ("simulate", "compare")
        for rest in (
            "--m 1e12", "--m 25000 --d 1e9", "--seeds 1e12", "--records 1e12 --samples 1e13", "--samples 1e19",
            "--batch 1e12 --samples 1e13", "--virtual 1e12", "--d 1e15 --method direct", "--seeds 1e5 --records 1e5",
        )
    ),
]  # fmt: skip
TABLES = [  # of more directions than a table over draws or records can have
    *(f"{name} --m 4" for name in ("predict", "predict --quantiles 0.5", "law flow_time", "law samples_best_step")),
    "step-size", "width --t-max 9",
]  # fmt: skip
GRIDS = [
    {"quantity": "predict", "m": HUGE}, {"quantity": "predict", "m": 20_001, "d": 10**9},

    {"quantity": "law", "resource": "flow_time", "draws": HUGE}, {"quantity": "simulate", "seeds": HUGE},
    {"quantity": "law", "resource": "dimension_time", "dimensions": [1e300]}, {"quantity": "compare", "records": HUGE},
    {"quantity": "compare", "virtual": HUGE},
]  # fmt: skip
CLAIMS = [
    *({"quantity": "flow_time", **more} for more in ({"seeds": HUGE}, {"P": HUGE}, {"d": 2**60})),
    *({"quantity": "flow_time", "method": "leap", **more} for more in ({"m": HUGE}, {"seeds": 150_000})),
    {"quantity": "width", "method": "flow", "widths": [1, 2, 3, HUGE]}, {"quantity": "width", "sizes": [10, HUGE]},
    {"quantity": "dimension_time", "dimensions": [16, 64, 2**60]},
    {"quantity": "samples_best_step", "method": "leap", "batch": HUGE},
    {"quantity": "dimension_samples", "method": "leap", "m": 30_000},
]  # fmt: skip
FIGURES = [
    *(f"{name} --set {key}={HUGE}" for name in ("emergence", "overlay") for key in ("P", "m")),
    f"emergence --set draws={HUGE}", f"overlay --set seeds={HUGE}", f"overlaps --set frames={HUGE}",
    f"spectra --set degree={HUGE}", f"spectra --set degree={10**5}",
    f"samplers --set seeds={HUGE}", f"samplers --set d={HUGE}", f"samplers --set cost_m={HUGE}",
    f"width_scaling --set run.widths=[1,2,4,6,12,{HUGE}]", f"transition_times --set problems={HUGE}",
    f"compute_frontier --set seeds={10**6}", f"phase_diagram --set m={10**6}",
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def ready() -> Iterator[None]:
    """What every command imports, and what it measures of σ once in a process, is no allocation of a size."""
    assert compare and simulate and theory
    assert Activation("h4").parity == "even"
    for words in FIGURES:
        recipe(words.split()[0])
    yield


def assert_refused(cli: Cli, directory: Path, *words: str) -> None:
    before = sorted(directory.rglob("*"))
    tracemalloc.start()
    try:
        outcome = cli(*words)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (outcome.code, outcome.out) == (2, ""), outcome
    last = outcome.err.splitlines()[-1]
    assert last.startswith("emergence: error: ") and "Unable to allocate" not in last
    assert outcome.err.count("\n") == 1 or words[0] == "figures", "pictures say what is computed"
    assert sorted(directory.rglob("*")) == before
    assert peak < MOST, f"{peak / 2**20:.0f} MiB"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("words", WORDS)
def test_commands(cli: Cli, here: Path, words: str) -> None:
    assert_refused(cli, here, *words.split(), "--out", "out")


@pytest.mark.parametrize("words", TABLES)
def test_tables(cli: Cli, here: Path, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a smaller limit: a teacher that passes the true one takes a second to make while allocations are traced."""
    monkeypatch.setattr(random_init, "MAX_TABLE", 10**6)
    assert_refused(
        cli, here, *words.split(), "--P", "1001", "--d", "2000", "--draws" if "flow_time" in words else "--out", "1000"
    )


@pytest.mark.parametrize("quantity", ["predict", "sgd-law", "law"])
def test_tables_of_points(cli: Cli, here: Path, quantity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_init, "MAX_TABLE", 10**6)
    resource = 'resource = "samples_best_step"' if quantity == "law" else ""
    Path("grid.toml").write_text(
        f'[fixed]\nquantity = "{quantity}"\nP = 1001\nd = 2000\nm = 4\nstep-size = 1e-5\n{resource}'
    )
    assert_refused(cli, here, "sweep", "grid.toml", "--out", "out")


@pytest.mark.parametrize("settings", GRIDS, ids=str)
def test_points_of_a_sweep(cli: Cli, here: Path, settings: dict[str, object]) -> None:
    Path("grid.toml").write_text("[fixed]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
    assert_refused(cli, here, "sweep", "grid.toml", "--out", "out", "--csv", "table.csv")


def test_many_points_of_a_sweep(cli: Cli, here: Path) -> None:
    axes = ("seed", "d", "m", "samples", "batch", "records", "seeds")
    Path("grid.toml").write_text("[vary]\n" + "".join(f"{name} = {list(range(1, 30))}\n" for name in axes))
    assert_refused(cli, here, "sweep", "grid.toml", "--out", "out")


@pytest.mark.parametrize("settings", CLAIMS, ids=str)
def test_claims(cli: Cli, here: Path, settings: dict[str, object]) -> None:
    table = {"name": "large", "formula": "1"} | settings
    Path("claims.toml").write_text("[[claim]]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items()))
    assert_refused(cli, here, "check", "--claims", "claims.toml", "--out", "out", "--json", "report.json")


@pytest.mark.parametrize("words", FIGURES)
def test_figures(cli: Cli, here: Path, words: str) -> None:
    assert_refused(cli, here, "figures", *words.split(), "--quick", "--out", "out", "--cache", "cache")
