"""What ``--out`` holds: the whole result, of one run at a time, computed once."""

from __future__ import annotations

import csv
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli, Outcome, stored

from emergence import Comparison, Prediction, PredictPoint, SgdLaw, Simulation, load, provenance
from emergence.cli import commands
from emergence.compare import StepCheck
from emergence.compare import stored as storage
from emergence.theory import InitQuantiles

SMALL = ["--d", "12", "--P", "2", "--m", "4", "--init-scale", "0.1"]
RUN = [*SMALL, "--samples", "200", "--step-size", "1e-4", "--records", "5", "--engine", "numpy", "--seeds", "2"]
LEAP = [*RUN, "--method", "leap", "--engine", "auto", "--check-step"]
PREDICT = ["predict", *SMALL, "--t-max", "1"]


def never(*_: Any, **__: Any) -> None:
    raise AssertionError("work was started")


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir()}


def table(path: Path) -> dict[str, np.ndarray]:
    """The columns of a table of numbers."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def assert_refused(outcome: Outcome, *words: str) -> None:
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("emergence: error: ") and outcome.err.count("\n") == 1
    assert all(word in outcome.err for word in words), outcome.err


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (
            [*PREDICT, "--step-size", "1e-4", "--quantiles", "0.5"],
            {"": Prediction, "_sgd_law": SgdLaw, "_quantiles": InitQuantiles},
        ),
        (["simulate", *LEAP], {"": Simulation, "_step_check": StepCheck}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_result_of_a_command_is_read_back(cli: Cli, tmp_path: Path, words: list[str], kinds: dict) -> None:
    document = json.loads(cli(*words, "--json", "--out", str(tmp_path)).out)
    found = {end: load(tmp_path / (words[0] + end)) for end in kinds}
    assert {end: type(result) for end, result in found.items()} == kinds
    assert {path.name for path in tmp_path.glob("*.result.*")} == {f for end in kinds for f in stored(words[0] + end)}
    own = json.loads(commands.json_text(found[""].as_dict()))
    assert own == {key: document[key] for key in own}, "the same numbers"


def test_a_staircase_is_drawn_again_from_what_out_holds(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_pictures", lambda *_: None)
    assert cli("compare", *RUN, "--out", str(tmp_path)).code == 0
    comparison = load(tmp_path)
    assert isinstance(comparison, Comparison)
    simulation, flows = comparison.simulation, [prediction.flow for prediction in comparison.predictions]
    assert simulation.overlaps.shape == (2, 6, 4, 2) and simulation.norms.shape == (2, 6, 4)
    curves = table(tmp_path / "compare_curves.csv")
    np.testing.assert_array_equal(curves["time"].reshape(2, 6), [simulation.times] * 2)
    np.testing.assert_array_equal(curves["samples"][:6], [0, 40, 80, 120, 160, 200])
    np.testing.assert_array_equal(curves["loss"].reshape(2, 6), simulation.loss)
    np.testing.assert_array_equal(curves["seed"], np.repeat([0, 1], 6))
    for p in range(2):
        np.testing.assert_array_equal(curves[f"strength_{p}"].reshape(2, 6), simulation.strengths[:, :, p])
        for i, flow in enumerate(flows):
            np.testing.assert_array_equal(
                curves[f"flow_strength_{p}"][6 * i : 6 * i + 6], flow.strengths_at(simulation.times)[:, p]
            )
    np.testing.assert_array_equal(curves["flow_loss"][:6], flows[0].loss_at(simulation.times))


def test_curves_of_predict_and_simulate(cli: Cli, tmp_path: Path) -> None:
    assert cli(*PREDICT, "--out", str(tmp_path)).code == cli("simulate", *RUN, "--out", str(tmp_path)).code == 0
    flow, simulation = load(tmp_path / "predict").flow, load(tmp_path / "simulate")
    curves = table(tmp_path / "predict_curves.csv")
    np.testing.assert_array_equal(np.column_stack([curves[x] for x in ("time", "loss")]).T, [flow.times, flow.loss])
    np.testing.assert_array_equal(np.column_stack([curves[f"strength_{p}"] for p in range(2)]), flow.strengths)
    curves = table(tmp_path / "simulate_curves.csv")
    np.testing.assert_array_equal(curves["loss"].reshape(2, 6), simulation.loss)
    assert list(curves) == ["seed", "time", "samples", "loss", "strength_0", "strength_1"]


def test_stored_results_say_where_they_come_from_and_name_no_folder(cli: Cli, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.eye(4, 12))
    (tmp_path / "run.toml").write_text("label_noise = 0.25\n")
    words = [
        "simulate",
        *RUN,
        "--direct",
        str(tmp_path / "rows.npy"),
        "--config",
        str(tmp_path / "run.toml"),
        "--workers",
        "1",
    ]
    assert cli(*words, "--out", str(tmp_path / "out")).code == 0
    found = provenance(tmp_path / "out")
    assert found.command == (
        "emergence simulate --P 2 --d 12 --m 4 --init-scale 0.1 --directions rows.npy --config run.toml "
        "--step-size 0.0001 --samples 200 --seeds 2 --records 5 --engine numpy"
    )
    assert found.settings is not None and found.settings["label_noise"] == 0.25
    digest = hashlib.sha256(struct.pack("<48d", *np.eye(4, 12).ravel())).hexdigest()
    point = PredictPoint(load(tmp_path / "out").problem, directions=np.asfortranarray(np.eye(4, 12)))
    assert found.settings["directions"] == load(tmp_path / "out").run.directions_digest == digest
    assert point.settings()["directions"] == digest, "one digest everywhere, of rows in whatever order in memory"
    text = (tmp_path / "out" / "simulate.result.json").read_text()
    assert str(tmp_path) not in text and "workers" not in text
    np.testing.assert_array_equal(load(tmp_path / "out").run.directions, np.eye(4, 12))


CHANGES = {"predict": ["--t-max", "2"], "simulate": ["--seed", "1"]}
FIRST = {"predict": PREDICT, "simulate": ["simulate", *RUN]}


@pytest.mark.parametrize("name", CHANGES)
def test_the_results_of_another_run_are_left_alone(
    cli: Cli, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*FIRST[name], "--out", str(tmp_path)]
    assert cli(*words).code == 0
    before = contents(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(commands, "_simulate", never)
        patch.setattr("emergence.theory.predict", never)
        refusal = [f"--out {tmp_path} holds the results of another run: `", " is ", "; --overwrite replaces them"]
        assert_refused(cli(*words, *CHANGES[name]), *refusal)
        if name != "predict":
            assert_refused(cli(*words, *CHANGES[name], "--resume"), *refusal)
    assert contents(tmp_path) == before
    assert cli(*words, *CHANGES[name], "--overwrite").code == 0
    assert contents(tmp_path).keys() == before.keys()
    assert cli(*words, *CHANGES[name]).code == 0, "the same run may be made again"
    assert_refused(cli(*words), *refusal)


def test_overwrite_needs_something_to_replace(cli: Cli) -> None:
    assert_refused(cli(*PREDICT, "--overwrite"), "--overwrite needs the --out")


@pytest.mark.parametrize("name", ["simulate", "compare"])
def test_a_finished_run_is_returned_at_once(
    cli: Cli, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_pictures", lambda *_: None)
    words = [name, *LEAP, "--out", str(tmp_path), "--json"]
    whole = cli(*words)
    before = contents(tmp_path)
    (tmp_path / f"{name}.csv").unlink()
    with monkeypatch.context() as patch:
        for work in (f"{commands.__name__}._simulate", f"{commands.__name__}._step_check", "emergence.compare.overlay"):
            patch.setattr(work, never)
        again = cli(*words, "--resume", "--workers", "1")
    assert again.code == 0 and again.out == whole.out
    assert f"{tmp_path} holds the results of this run, finished 20" in again.err.splitlines()[0]
    assert contents(tmp_path) == before
    if name == "simulate":
        assert cli(*words, "--seed", "1", "--resume", "--overwrite").code == 0
        assert load(tmp_path / name).run.seed == 1
    else:
        assert_refused(cli(*words, "--tolerance", "0.2"), "`tolerance` is 0.1, not 0.2")


def test_results_of_other_sources_are_of_another_run(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [*PREDICT, "--out", str(tmp_path)]
    monkeypatch.setattr(storage, "code_digest", lambda: "0")
    assert cli(*words).code == 0
    monkeypatch.undo()
    assert_refused(cli(*words), "it is of other sources of this package")


def test_damaged_results_are_refused_by_name(cli: Cli, tmp_path: Path) -> None:
    words = ["simulate", *RUN, "--out", str(tmp_path), "--resume"]
    assert cli(*words).code == 0
    for name in ("simulate.result.npz", "simulate.result.json"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-100])
        assert_refused(cli(*words), str(path), "; --overwrite replaces them")
    assert cli(*words, "--overwrite").code == 0
    assert load(tmp_path).seeds == 2


def test_an_interrupted_run_costs_no_other_result(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["simulate", *RUN, "--out", str(tmp_path)]
    assert cli(*words).code == 0
    before = contents(tmp_path)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("emergence.simulate.execute", interrupted)
        assert cli(*words, "--overwrite", "--seed", "1").code == 130
    assert contents(tmp_path) == before
    with monkeypatch.context() as patch:  # ended when the result is stored, the documents are not
        patch.setattr(commands, "_finish", interrupted)
        assert cli(*words, "--overwrite", "--seed", "1").code == 130
    assert load(tmp_path).run.seed == 1
    monkeypatch.setattr(commands, "_simulate", never)
    assert cli(*words, "--seed", "1", "--resume").code == 0
    assert contents(tmp_path).keys() == before.keys(), "no checkpoint stays"
    assert json.loads((tmp_path / "simulate.json").read_text())["seed"] == 1


def test_the_result_of_a_command_is_stored_when_all_others_are(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(_: Any, path: Path, save: Any = storage.save, **more: Any) -> None:
        if path.name == "predict":
            raise KeyboardInterrupt
        save(_, path, **more)

    monkeypatch.setattr("emergence.compare.save", ended)
    assert cli(*PREDICT, "--quantiles", "0.5", "--out", str(tmp_path)).code == 130
    assert {path.name for path in tmp_path.iterdir()} == stored("predict_quantiles")


def test_files_of_the_user_are_left_alone_and_nothing_of_an_earlier_run_stays(cli: Cli, tmp_path: Path) -> None:
    words = [*PREDICT, "--out", str(tmp_path), "--overwrite"]
    assert cli(*words, "--quantiles", "0.5").code == 0
    mine = {"predict_mine.result.json", "predict_mine.result.npz", "notes.txt", "simulate.result.txt"}
    for name in mine:
        (tmp_path / name).write_text("mine")
    assert (tmp_path / "predict_quantiles.result.json").exists()
    assert cli(*words).code == 0
    assert {path.name for path in tmp_path.iterdir() if path.read_bytes() == b"mine"} == mine
    assert not list(tmp_path.glob("predict_quantiles*"))
