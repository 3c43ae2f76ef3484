"""Stored results come back equal, and whatever is damaged, altered or foreign is refused by name in one line."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import emergence
from emergence import (
    Activation,
    Direct,
    Leap,
    Piecewise,
    PowerDecay,
    Problem,
    Reduced,
    Run,
    Simulation,
    Teacher,
    compare,
    load,
    problem,
    provenance,
    save,
    simulate,
    theory,
)
from emergence.compare.stored import CODEC
from emergence.problem.files import array_digest

PROBLEM = Problem(Activation("h4"), Teacher.power_law(2, 0.5), d=9, m=3, init_scale=0.05)
CUT = replace(PROBLEM, activation=Activation("abs(x)", 3))
RUN = Run(
    PROBLEM, PowerDecay(2e-3, 1000, 0.5), 300, seeds=2, seed=2**80, records=5, label_noise=0.1, sampler=Direct("numpy"),
    directions=PROBLEM.initial_directions(1),
)  # fmt: skip
NOT_STORED = {"Auto", "Custom", "TransitionLaw"}  # a sampler still to be settled, a function, formulas
NOT_STORED |= {"Sweep", "ComparePoint", "LawPoint", "PredictPoint", "SgdLawPoint", "SimulatePoint"}  # it is a directory


def assert_same(one: Any, other: Any, where: str = "it") -> None:
    """Equal in every field, bit for bit; NaN equals NaN, and a NumPy scalar the number that it is."""
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and one.shape == other.shape, where
        assert array_digest({"": one}) == array_digest({"": other}), where
    elif dataclasses.is_dataclass(one):
        assert type(one) is type(other), where
        for field in dataclasses.fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key, value in one.items():
            assert_same(value, other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert type(one) is type(other) and len(one) == len(other), where
        for i, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_same(left, right, f"{where}.{i}")
    else:
        assert one == other or (one != one and other != other), where


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate.execute(RUN)


@pytest.fixture(scope="module")
def results(simulation: Simulation) -> dict[str, Any]:
    """One of everything that the public verbs return and that can be stored."""
    blown = simulate.sgd(PROBLEM, 3.0, 50, seeds=2, sampler=Direct("numpy"))  # diverges
    leapt = simulate.sgd(PROBLEM, Piecewise([(0, 1e-4), (500, 1e-5)]), 1000, seeds=2, sampler=Leap(macro_samples=100))
    finer = replace(leapt.run, sampler=leapt.run.sampler.finer(), directions=leapt.directions, seed=1)
    comparison = compare.overlay(PROBLEM, simulation)
    assert comparison.calibration is not None
    finite = theory.finite_size_law.law_of_starts(PROBLEM, PROBLEM.initial_directions(0)[None])
    x, loss = np.geomspace(1, 100, 30), np.geomspace(1, 0.01, 30)
    experiment = compare.Experiment("alignment", "flow", P=1, m=1, d=8, seeds=6)
    claim = compare.Claim("aligned when it should be", "1/(8*a*s0)", experiment)
    verdict = compare.Verdict(
        claim, -1.0, np.nan, 0.1, (np.nan, np.inf), 0.2, np.nan, (1.0, np.inf), "inconclusive", "ρ < ½", 0.5
    )
    return {
        "Simulation": simulation,
        "diverged": blown,
        "leap": leapt,
        "Run": RUN,
        "Reduced": Reduced(),
        "StepCheck": compare.check_step(leapt, simulate.execute(finer)),
        "Comparison": comparison,
        "NoiseScale": comparison.noise_scale,
        "Settling": comparison.settled_by,
        "Prediction": theory.predict(CUT, CUT.initial_directions(0), t_max=0.1),
        "Flow": theory.flow(PROBLEM, PROBLEM.initial_directions(0), t_max=1.0),
        "SgdLaw": comparison.calibration.law,
        "FiniteLaw": finite,
        "random starts": replace(finite, starts=5),
        "Curve": theory.resource_curves.flow_time(finite),
        "curve with a choice": replace(theory.resource_curves.flow_time(finite), choice={"width": np.arange(3)}),
        "InitQuantiles": theory.init_quantiles(PROBLEM, draws=20),
        "StepSize": {
            "best": theory.StepSize("best", 1e-4, 1e-2, (0.5,), np.array([np.inf]), np.ones(1), 0.0, True, "")
        },
        "RequiredWidth": theory.required_width(PROBLEM, 1, 40.0, draws=20),
        "ExponentFit": compare.fit_exponent(x, np.tile(loss, (6, 1))),
        "LocalExponents": compare.local_exponents(x, loss),
        "MedianEstimate": compare.median_estimate([1.0, np.inf, 2.0]),
        "Experiment": experiment,
        "Measured": compare.measure(experiment, 0),
        "Claim": [claim],
        "Verdict": verdict,
        "Report": compare.Report((verdict,), 0, 1.5),
    }


def classes_of(value: Any) -> set[str]:
    """Names of all dataclasses in a value."""
    if dataclasses.is_dataclass(value):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return {type(value).__name__}.union(*map(classes_of, parts))
    if isinstance(value, dict):
        return set().union(*map(classes_of, value.values()))
    return set().union(*map(classes_of, value)) if isinstance(value, list | tuple) else set()


def test_every_result_comes_back_equal(results: dict[str, Any], tmp_path: Path) -> None:
    for name, result in results.items():
        save(result, tmp_path / name)
        assert_same(result, load(tmp_path / name), name)
        assert provenance(tmp_path / name).kind == type(result).__name__


def test_every_class_that_the_packages_name_is_tried(results: dict[str, Any]) -> None:
    packages = (problem, simulate, theory, compare)
    named = {
        name for package in packages for name in package.__all__ if dataclasses.is_dataclass(getattr(package, name))
    }
    assert named - {"Provenance"} <= classes_of(results) | NOT_STORED
    assert set(CODEC.kinds) == classes_of(results) | {"Custom"}


def test_the_simulation_that_comes_back_is_the_same_one(simulation: Simulation, tmp_path: Path) -> None:
    save(simulation, tmp_path / "one")
    again = load(tmp_path / "one")
    assert again == simulation and str(again) == str(simulation) and again.as_dict() == simulation.as_dict()
    assert simulate.execute(again.run) == simulation


VALUES: dict[str, Any] = {
    "numbers": [0, -1, 2**1022, 0.1, 1e-320, -0.0, np.inf, -np.inf, np.nan, np.float32(0.1), np.int8(3), np.True_],
    "texts": ["", "ρ < ½", "\ud800", "a\nb", '{"float": "inf"}'],
    "containers": ([], (), {}, [(), ([],)], {"a": {"b": None}, "float": "inf", "class": "Flow", "ü/..": (True,)}),
    "arrays": {
        "a.b": np.arange(3), "a": {"b": np.zeros((0, 3))}, "scalar": np.array(1.5), "text": np.array(["ü", ""]),
        "order": np.asfortranarray(np.eye(3)), "view": np.arange(9)[::-2], "big": np.arange(3, dtype=">i2"),
        "odd": np.array([np.nan, -0.0, np.inf]), "../x": np.ones(1), "..%2F": np.ones(2), "truth": np.array([True]),
    },
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_every_value_comes_back_equal(name: str, tmp_path: Path) -> None:
    save(VALUES[name], tmp_path / "one")
    assert_same(VALUES[name], load(tmp_path / "one"))
    assert {path.name for path in tmp_path.iterdir()} == {"one.result.json", "one.result.npz"}


def test_what_is_one_object_stays_one(tmp_path: Path) -> None:
    save([PROBLEM, {"again": PROBLEM, "equal": replace(PROBLEM)}], tmp_path / "one")
    first, rest = load(tmp_path / "one")
    assert rest["again"] is first and rest["equal"] is not first and rest["equal"] == first


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            Run(PROBLEM, lambda s: 1e-3 + 0 * s, 10),
            "step size .*lambda.* is a Python function, which cannot be stored; w",
        ),
        ({"law": theory.transition_law(Activation("h4"))}, "law is of type TransitionLaw, which cannot be stored"),
        ([np.array([None])], "0 is of type ndarray"),
        (np.ma.masked_array([1.0], [True]), "this is of type MaskedArray"),
        ({1: 2}, "type dict"),
        ({"": 2}, "type dict"),
        (10**400, "type int"),
        ({"digest": np.ones(1)}, "cannot be called 'digest'"),
        (1j, "type complex"),
    ],
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(value: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        save(value, tmp_path / "new" / "one")
    assert not list(tmp_path.iterdir())


def test_a_stored_result_is_replaced_when_asked_alone(tmp_path: Path) -> None:
    save(1, tmp_path / "one")
    for name in ("one", "one.result.json", "one.result.npz"):
        with pytest.raises(FileExistsError, match=r"one\.result\.json exists; `overwrite=True` replaces it"):
            save(2, tmp_path / name)
    assert load(tmp_path / "one") == load(tmp_path / "one.result.npz") == 1
    (tmp_path / "one.result.json").unlink()  # as if it had been ended there
    with pytest.raises(FileExistsError, match=r"one\.result\.npz exists"):
        save(2, tmp_path / "one")
    save(2, tmp_path / "one", overwrite=True)
    assert load(tmp_path / "one.result.json") == 2


def test_an_end_between_the_two_files_leaves_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(np.ones(1), tmp_path / "one")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(compare.stored, "replace_file", full)
    with pytest.raises(OSError, match="No space"):
        save(np.ones(2), tmp_path / "one", overwrite=True)
    assert not (tmp_path / "one.result.json").exists()
    with pytest.raises(ValueError, match=r"cannot read .*one\.result\.json: No such file"):
        load(tmp_path / "one")


def test_a_directory_is_the_only_result_in_it(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(ValueError, match="holds no result"):
        load(tmp_path)
    save(1, tmp_path / "one")
    assert load(tmp_path) == load(str(tmp_path)) == 1 and provenance(tmp_path).kind == "int"
    save(2, tmp_path / "two.5")
    assert load(tmp_path / "two.5") == 2
    with pytest.raises(ValueError, match=r"holds several results, one, two\.5: name one"):
        load(tmp_path)
    with pytest.raises(ValueError, match="is a directory"):
        save(3, tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="a result needs a name"):
        save(3, "")


def test_provenance_is_of_no_machine(tmp_path: Path) -> None:
    save(RUN, tmp_path / "one", command="emergence simulate --d 9", settings={"d": 9})
    found = provenance(tmp_path / "one")
    assert (found.version, found.command, found.settings) == (
        emergence.__version__,
        "emergence simulate --d 9",
        {"d": 9},
    )
    assert re.fullmatch(r"Run of version .*, stored \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00, by emergence .*", str(found))
    text = (tmp_path / "one.result.json").read_text()
    assert str(Path.home()) not in text and str(tmp_path) not in text and "pid" not in text


# --- damage ---------------------------------------------------------------------------------------------------------


def sidecar_of(path: Path) -> dict[str, Any]:
    return json.loads(path.with_name("one.result.json").read_text())


def rewritten(path: Path, document: dict[str, Any], *, digest: bool = True) -> None:
    """Another sidecar, by default with the digest that belongs to it."""
    if digest:
        rest = {key: value for key, value in document.items() if key != "digest"}
        document = {**rest, "digest": hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}
    path.with_name("one.result.json").write_text(json.dumps(document))


def change_number(path: Path) -> None:
    text = path.with_name("one.result.json").read_text()
    changed = text.replace('"samples": 300', '"samples": 301')
    assert changed != text
    path.with_name("one.result.json").write_text(changed)


def change_head(**values: Any) -> Callable[[Path], None]:
    return lambda path: rewritten(path, sidecar_of(path) | values, digest="digest" not in values)


def change_array(path: Path) -> None:
    """Another loss in an archive that is right in itself."""
    with np.load(path.with_name("one.result.npz")) as saved:
        arrays = {name: saved[name] for name in saved.files}
    arrays["loss"] = arrays["loss"] + 1e-16
    del arrays["digest"]
    arrays["digest"] = np.array(array_digest(arrays))
    np.savez(path.with_name("one.result.npz"), **arrays)


def change_members(path: Path) -> None:
    with np.load(path.with_name("one.result.npz")) as saved:
        arrays = {name: saved[name] for name in saved.files}
    arrays["losses"] = arrays.pop("loss")
    np.savez(path.with_name("one.result.npz"), **arrays)


def replaced(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.with_name(f"one.result.{name}").write_bytes(content), None)[1]


def part(name: str, share: float) -> Callable[[Path], None]:
    def cut(path: Path) -> None:
        content = path.with_name(f"one.result.{name}").read_bytes()
        path.with_name(f"one.result.{name}").write_bytes(content[: int(share * len(content))])

    return cut


def encrypted(path: Path) -> None:
    """The flag of an encrypted member, in both of its headers."""
    archive = path.with_name("one.result.npz")
    content = bytearray(archive.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(mark)
        content[start + at] |= 1
    archive.write_bytes(content)


def pickled(path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, loss=np.array([{"a": 1}], dtype=object))
    path.with_name("one.result.npz").write_bytes(buffer.getvalue())


def shaped(shape: str) -> Callable[[Path], None]:
    """An archive that is right but for the shape that its array claims."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()

    def change(path: Path) -> None:
        with zipfile.ZipFile(path.with_name("one.result.npz"), "w") as archive:
            archive.writestr("loss.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)

    return change


def other_npz(path: Path) -> None:
    save(np.ones(3), path.with_name("other"))
    shutil.move(path.with_name("other.result.npz"), path.with_name("one.result.npz"))


def without(name: str) -> Callable[[Path], None]:
    return lambda path: path.with_name(f"one.result.{name}").unlink()


def nested(depth: int) -> bytes:
    return b'{"a": ' + b"[" * depth + b"]" * depth + b"}"


def value(document: Any) -> Callable[[Path], None]:
    return change_head(value=document)


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no sidecar": (without("json"), r"json: No such file"),
    "no arrays": (without("npz"), r"npz: No such file"),
    "empty sidecar": (replaced("json", b""), r"json: Expecting value"),
    "empty arrays": (replaced("npz", b""), r"npz is damaged"),
    "half a sidecar": (part("json", 0.5), r"json: "),
    "half the arrays": (part("npz", 0.5), r"npz is damaged"),
    "no text": (replaced("json", b"\xff\xfe{}"), r"json: 'utf-8' codec"),
    "no object": (replaced("json", b"[1]"), r"json: it is no stored result"),
    "another document": (replaced("json", b'{"problem": 1}'), r"json: it is no stored result"),
    "nested": (replaced("json", nested(2000)), r"json: it is (nested too deep|no stored result)"),
    "nested deeper": (replaced("json", nested(200_000)), r"json: it is nested too deep"),
    "a nested value": (value(json.loads("[" * 900 + "]" * 900)), r"json: it is nested too deep"),
    "a long number": (replaced("json", b'{"a": 1' + b"0" * 400 + b"}"), r"json: it holds a whole number of 401 digits"),
    "a large number": (replaced("json", b'{"a": 1e400}'), r"json: it holds 1e400, which is no number"),
    "no number": (replaced("json", b'{"a": NaN}'), r"json: it holds NaN, which is no number"),
    "a changed number": (change_number, r"json: its content does not match its digest"),
    "no digest": (change_head(digest=None), r"json: its content does not match its digest"),
    "another date": (lambda path: rewritten(path, sidecar_of(path) | {"created": ""}, digest=False), "its digest"),
    "one key more": (change_head(more=1), r"json: its content does not match its digest"),
    "newer": (change_head(schema=2), r"json: its schema is 2, this version \(.*\) reads 1"),
    "another format": (change_head(format="pictures"), r"json: it is no stored result"),
    "changed arrays": (change_array, r"npz is damaged: it is not of one\.result\.json, or was altered"),
    "other members": (change_members, r"npz is damaged: its content does not match its digest"),
    "arrays of another": (other_npz, r"npz is damaged: it is not of one\.result\.json"),
    "encrypted": (encrypted, r"npz is damaged: .*encrypted"),
    "pickled": (pickled, r"npz is damaged: .*allow_pickle=False"),
    "more than there is memory": (shaped("(10000000000000000,)"), r"npz is damaged: Unable to allocate"),
    "more than can be counted": (shaped(f"({10**30},)"), r"npz is damaged: Python int too large"),
    "a shape that is none": (shaped("(" * 300 + ")" * 300), r"npz is damaged"),
    "a lone array": (replaced("npz", b"\x93NUMPY"), r"npz is damaged"),
    "a folder": (lambda path: (without("npz")(path), path.with_name("one.result.npz").mkdir())[0], r"npz: Is a direc"),
    "an unknown class": (value({"class": "Popen", "fields": {}}), r"json: it is of type 'Popen', which is not known"),
    "a function": (value({"class": "Custom", "fields": {"function": "f"}}), r"json: a step-size callable must map"),
    "other fields": (value({"class": "Leap", "fields": {"speed": 1}}), r"json: it is no Leap of this version"),
    "other fields of a run": (value({"class": "Run", "fields": {"seed": 1}}), r"json: it is no Run of this version"),
    "no value": (value({"class": "Leap", "fields": {"virtual": -1}}), r"json: `virtual`"),
    "no array": (value({"array": "gain"}), r"json: it is not of a form that is stored"),
    "no float": (value([{"float": "1"}]), r"json: 0 is not of a form that is stored"),
    "no object before": (value({"object": ""}), r"json: it is not of a form that is stored"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_by_name(name: str, simulation: Simulation, tmp_path: Path) -> None:
    change, words = DAMAGE[name]
    save(simulation, tmp_path / "one")
    change(tmp_path / "one")
    with pytest.raises(ValueError, match=words) as caught:
        load(tmp_path / "one")
    assert "one.result." in str(caught.value) and "\n" not in str(caught.value)


def test_no_flipped_bit_changes_a_number(simulation: Simulation, tmp_path: Path) -> None:
    """Refused by name, or, where the bit means nothing (a date in the archive), equal."""
    save(simulation, tmp_path / "one")
    refused = 0
    for name in ("one.result.json", "one.result.npz"):
        content = (tmp_path / name).read_bytes()
        for i in range(0, len(content), max(1, len(content) // 150)):
            (tmp_path / name).write_bytes(content[:i] + bytes([content[i] ^ (1 << i % 8)]) + content[i + 1 :])
            try:
                assert_same(simulation, load(tmp_path / "one"))
            except ValueError as error:
                assert name in str(error) and "\n" not in str(error)
                refused += 1
        (tmp_path / name).write_bytes(content)
    assert refused > 250


def test_loading_needs_no_extra(simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that this machine could not compute is read all the same."""
    run = object.__new__(Run)
    for field in dataclasses.fields(Run):
        object.__setattr__(run, field.name, getattr(RUN, field.name))
    object.__setattr__(run, "sampler", Reduced())
    save(replace(simulation, run=run), tmp_path / "one")
    monkeypatch.setattr(simulate.samplers.reduced, "numba_available", lambda: False)
    with pytest.raises(ImportError, match="numba"):
        replace(run)
    assert load(tmp_path / "one").run.sampler == Reduced()
