"""Interrupted runs lose nothing and change nothing."""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import NUMBA, TORCH, Cli, Outcome

from emergence.problem import Activation, Constant, Piecewise, PowerDecay, Problem, Teacher
from emergence.simulate import Direct, Leap, Reduced, Simulation, checkpoint, execution, sgd
from emergence.simulate.checkpoint import CheckpointError, Store

COMPILED = pytest.mark.skipif(not NUMBA, reason="no numba")
WITH_TORCH = pytest.mark.skipif(not TORCH, reason="no torch")
RUNS: dict[str, Any] = {
    "direct numpy": {"sampler": Direct("numpy"), "samples": 1_500, "batch": 2},
    "direct compiled": {"sampler": Direct("compiled"), "samples": 9_000, "label_noise": 0.1},
    "direct torch": {"sampler": Direct("torch", "cpu"), "samples": 6_000, "batch": 8, "label_noise": 0.1},
    "reduced": {"sampler": Reduced(), "samples": 9_000, "label_noise": 0.1},
    "reduced batch": {"sampler": Reduced(), "samples": 12_000, "batch": 4},
    "leap": {"sampler": Leap(virtual=8, macro_samples=100), "samples": 6_000},
    "leap, three dimensions beside": {"sampler": Leap(virtual=8, macro_samples=100), "samples": 6_000, "d": 9},
    "leap in all of R^d": {"sampler": Leap(virtual=8, macro_samples=100), "samples": 6_000, "d": 5},
}
CASES = [
    pytest.param(
        run, id=name,
        marks=COMPILED if "compiled" in name or "reduced" in name else WITH_TORCH if "torch" in name else (),
    )
    for name, run in RUNS.items()
]  # fmt: skip


def problem(d: int = 20) -> Problem:
    return Problem(Activation("h4"), Teacher.power_law(2, 1.0), d=d, m=4, init_scale=0.05)


def simulate(run: dict[str, Any], **more: Any) -> Simulation:
    schedule, settings = PowerDecay(2e-4, 10_000, 0.5), {"d": 20, "seeds": 2, "records": 10, **run, **more}
    return sgd(problem(settings.pop("d")), schedule, **settings)


class Stop:
    """Interrupts after so many samples, as Ctrl-C would."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            self.left = 10**18
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("run", CASES)
def test_resumed_run_is_bit_for_bit_the_uninterrupted_one(run: dict[str, Any], tmp_path: Path) -> None:
    whole = simulate(run)
    for after in (run["samples"] // 3, run["samples"]):
        try:
            simulate(run, out=tmp_path, resume=True, progress=Stop(after), workers=1)
        except KeyboardInterrupt:
            assert list(tmp_path.glob("checkpoint-*.npz"))
    assert_same(simulate(run, out=tmp_path, resume=True), whole)


def assert_same(one: Simulation, other: Simulation) -> None:
    for name in ("loss", "overlaps", "norms", "alignment", "recovery"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("run", CASES)
def test_workers_and_records_do_not_change_the_path(run: dict[str, Any]) -> None:
    one, two = simulate(run, workers=1), simulate(run, workers=2)
    np.testing.assert_array_equal(one.overlaps, two.overlaps)
    if run["sampler"].name != "leap":  # a record ends a macro-step
        dense = simulate(run, records=33)
        np.testing.assert_array_equal(one.overlaps[:, -1], dense.overlaps[:, -1])
        np.testing.assert_array_equal(one.recovery, dense.recovery)


def test_resume_without_checkpoint_starts_afresh(tmp_path: Path) -> None:
    run = RUNS["direct numpy"]
    np.testing.assert_array_equal(simulate(run).loss, simulate(run, out=tmp_path, resume=True).loss)


def test_finished_work_is_not_overwritten(tmp_path: Path) -> None:
    simulate(RUNS["direct numpy"], out=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="finished or not; resume it"):
        simulate(RUNS["direct numpy"], out=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"batch": 4}, "batch"),
        ({"samples": 1_502}, "samples"),
        ({"seed": 1}, "seed"),
        ({"sampler": Leap(), "batch": 1}, "method|batch"),
        ({"label_noise": 0.5}, "label_noise"),
        ({"directions": np.eye(4, 20)}, "directions"),
    ],
)
def test_foreign_checkpoint_is_refused_by_name(change: dict[str, Any], word: str, tmp_path: Path) -> None:
    simulate(RUNS["direct numpy"], out=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match=f"belongs to another run: its ({word}) is"):
        simulate(RUNS["direct numpy"], out=tmp_path, resume=True, **change)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_checkpoint_of_another_layout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "LAYOUT", 1)
        simulate(RUNS["direct numpy"], out=tmp_path)
    with pytest.raises(CheckpointError, match=r"checkpoint-0000\.npz was written by other code"):
        simulate(RUNS["direct numpy"], out=tmp_path, resume=True)


@WITH_TORCH
def test_checkpoint_of_another_precision_is_refused(tmp_path: Path) -> None:
    simulate(RUNS["direct torch"], out=tmp_path)
    with pytest.raises(CheckpointError, match=r"belongs to another run: its sampler is .*'single'"):
        simulate(RUNS["direct torch"], out=tmp_path, resume=True, sampler=Direct("torch", "cpu", "double"))


def of_another_number(path: Path) -> bytes:
    """A whole archive, but for one number in it."""
    with np.load(path) as archive:
        members = dict(archive)
    members["measured.loss"][0, 0] *= 1 + 1e-15
    out = io.BytesIO()
    np.savez(out, **members)
    return out.getvalue()


@pytest.mark.parametrize("damage", ["truncate", "flip", "number", "empty", "text"])
def test_damaged_checkpoint_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    simulate(RUNS["direct numpy"], out=tmp_path)
    path = min(tmp_path.glob("checkpoint-*.npz"))
    data = path.read_bytes()
    broken = {
        "truncate": data[:-100],
        "flip": data[:500] + bytes([data[500] ^ 1]) + data[501:],
        "number": of_another_number(path),
        "empty": b"",
        "text": b"hello\n",
    }[damage]
    path.write_bytes(broken)
    with pytest.raises(CheckpointError, match=path.name):
        simulate(RUNS["direct numpy"], out=tmp_path, resume=True)
    assert path.read_bytes() == broken


def test_a_directory_is_made_and_means_the_same_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(Path("one/two"), {}, resume=False)  # workers may have been started in another working directory
    store.release()
    assert store.directory == tmp_path / "one" / "two" and store.directory.is_dir()


def test_second_process_on_one_directory_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, {}, resume=False)
    try:
        with pytest.raises(CheckpointError, match="another process is running"):
            simulate(RUNS["direct numpy"], out=tmp_path)
    finally:
        store.release()
    simulate(RUNS["direct numpy"], out=tmp_path)


WORDS = [
    "simulate", "--json", "--method", "direct", "--engine", "numpy", "--d", "20", "--m", "4", "--P", "2",
    "--step-size", "1e-4", "--samples", "2500", "--seeds", "2", "--checkpoint-seconds", "0.05", "--workers", "1",
]  # fmt: skip
# The command, but a checkpoint once written it goes no further until a file is there, however fast it is by then.
HELD = """
import sys, time
from pathlib import Path
from emergence.cli import main
from emergence.simulate.checkpoint import Checkpoint

def held(self, arrays, save=Checkpoint.save):
    save(self, arrays)
    while not Path(sys.argv[1]).exists():
        time.sleep(0.01)

Checkpoint.save = held
sys.exit(main(sys.argv[2:]))
"""


def document(outcome: Outcome) -> dict[str, Any]:
    assert outcome.code == 0, outcome
    out: dict[str, Any] = outcome.document
    del out["samples_per_second"]
    return out


@pytest.mark.parametrize("how", [pytest.param(signal.SIGKILL, marks=pytest.mark.slow), signal.SIGINT])
def test_killed_command_resumes_where_it_was(how: signal.Signals, cli: Cli, tmp_path: Path) -> None:
    out, go = tmp_path / "run", tmp_path / "go"
    command = [sys.executable, "-c", HELD, str(go), *WORDS, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(out.glob("checkpoint-*.npz")) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(how)
    go.touch()
    _, words = process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -how), words
    if how == signal.SIGINT:
        assert "--resume" in words
    assert not (out / "simulate.json").exists()
    assert document(cli(*WORDS, "--out", str(out), "--resume")) == document(cli(*WORDS))
    assert not list(out.glob("checkpoint-*"))
    assert (out / "simulate.json").exists()


LEAP = RUNS["leap"] | {"seeds": 4, "samples": 20_000, "checkpoint_seconds": 0.05}


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes from the start, however short the run."""
    monkeypatch.setattr(execution, "PATIENCE", 0.0)


@pytest.mark.usefixtures("apart")
def test_processes_change_nothing(tmp_path: Path) -> None:
    alone = simulate(LEAP, workers=1)
    done: list[int] = []
    # the thread of this process is held up, so that the others' process surely does some of the work
    spread = simulate(LEAP, workers=2, out=tmp_path, progress=lambda count: (done.append(count), time.sleep(1e-4)))
    assert sum(done) == 4 * 20_000
    assert_same(spread, alone)


@pytest.mark.usefixtures("apart")
def test_interrupted_processes_save_and_resume(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        simulate(LEAP, workers=2, out=tmp_path, progress=Stop(30_000))
    assert list(tmp_path.glob("checkpoint-*.npz"))
    assert_same(simulate(LEAP, workers=2, out=tmp_path, resume=True), simulate(LEAP, workers=1))


class _Killer:
    """A step size that ends the process it is computed in, unless that is the one that made it."""

    def __init__(self) -> None:
        self.home = os.getpid()

    def __call__(self, s: np.ndarray) -> np.ndarray:
        if os.getpid() != self.home:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.full(np.shape(s), 1e-4)


@pytest.mark.usefixtures("apart")
@pytest.mark.skipif(importlib.util.find_spec("loky") is None, reason="no loky")
def test_dead_worker_is_reported() -> None:
    run = LEAP | {"samples": 10**6}  # long enough here for the other process to begin
    with pytest.raises(ChildProcessError, match="a worker process died"):
        sgd(problem(), _Killer(), workers=2, records=10, **run)


def test_schedules_can_be_sent_to_a_process() -> None:
    steps = np.array([0, 5, 20, 1000])
    for schedule in (Constant(1e-3), PowerDecay(1e-3, 100, 1.0), Piecewise([(0, 1e-3), (10, 1e-4)])):
        copy = pickle.loads(pickle.dumps(schedule))
        assert copy.text == schedule.text
        assert np.array_equal(copy.rate(steps), schedule.rate(steps))
        assert np.array_equal(copy.sums(steps, 2), schedule.sums(steps, 2))


@pytest.mark.parametrize("name", ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EBADF", "EAGAIN", "EACCES"])
def test_a_file_system_without_locks_is_no_other_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(*_: Any) -> None:
        raise OSError(getattr(errno, name), "as if")

    monkeypatch.setattr(fcntl, "flock", flock)
    if name in ("EAGAIN", "EACCES"):
        with pytest.raises(CheckpointError, match="another process is running"):
            Store(tmp_path, {}, resume=False)
        return
    with pytest.warns(RuntimeWarning, match=r"a file system without locks \(as if\)"):
        Store(tmp_path, {}, resume=False).release()
