"""A run is a checked, frozen description; any executor computes it, to the same numbers."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import NUMBA

import emergence
from emergence.problem import Activation, Piecewise, PowerDecay, Problem, Teacher
from emergence.simulate import Auto, Direct, Leap, Reduced, Run, Simulation, execute, execution
from emergence.simulate.checkpoint import Checkpoint, CheckpointError
from emergence.simulate.drive import Interrupted
from emergence.simulate.tasks import Board, perform

COMPILED = pytest.mark.skipif(not NUMBA, reason="no numba")
SAMPLERS = [Direct("numpy"), Leap(virtual=4), pytest.param(Direct("compiled"), marks=COMPILED),
            pytest.param(Reduced(), marks=COMPILED)]  # fmt: skip


def problem(**change: Any) -> Problem:
    sizes: dict[str, Any] = {"d": 20, "m": 4, "init_scale": 0.05} | change
    return Problem(Activation("h4"), Teacher([3, 1]), **sizes)


def run(sampler: Any = "auto", **change: Any) -> Run:
    settings: dict[str, Any] = {"seeds": 3, "records": 4, "sampler": sampler} | change
    return Run(problem(), settings.pop("step_size", 1e-4), settings.pop("samples", 600), **settings)


# --- the description ------------------------------------------------------------------------------

TEXTS = [
    run(Direct("numpy"), batch=3, label_noise=0.5, spacing="log", seed=7),
    run(Leap(8, 0.2), step_size=PowerDecay(1e-4, 100, 0.5)),
    run(Leap(macro_samples=9), step_size=Piecewise([(0, 1e-4), (50, 1e-5)])),
    Run(Problem(Activation("abs(x)", 4), Teacher.power_law(3, 1 / 3), 64, 8), 1e-3, 10, sampler=Leap()),
]


def test_a_direct_run_that_cannot_be_compiled_says_why() -> None:
    assert run(Direct(), batch=3).engine_reason == "compiled takes batch 1, not 3"
    steep = Problem(Activation("1/(1 + exp(-200*x)) - 1/2"), Teacher([3, 1]), d=20, m=4)
    assert Run(steep, 1e-4, 10, sampler=Direct()).engine_reason.startswith("compiled computes σ in plain doubles")
    others = [run(Direct("numpy")), run(Leap(), batch=3)]
    if NUMBA:
        others += [run(Direct()), run(Reduced(), batch=3)]
    assert {made.engine_reason for made in others} == {""}


@pytest.mark.parametrize("made", TEXTS, ids=range(len(TEXTS)))
def test_the_text_makes_the_run_again(made: Run) -> None:
    names = {name: getattr(emergence, name) for name in emergence.__all__}
    again = eval(repr(made), names)
    assert again == made and hash(again) == hash(made) and again.identity() == made.identity()


def test_given_directions_are_part_of_the_run() -> None:
    rows = np.eye(4, 20)
    one, other = run(Direct("numpy"), directions=rows), run(Direct("numpy"), directions=rows[::-1])
    assert one == run(Direct("numpy"), directions=rows.copy()) != other
    rows[0, 0] = 9  # what a run holds is its own
    assert one.starts()[0, 0, 0] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.ones((3, 20)), r"must have shape \(m, d\) = \(4, 20\), but has \(3, 20\)"),
        (np.stack([np.eye(4, 20), 0 * np.eye(4, 20), np.eye(4, 20)]), "row 0 of `directions` is zero"),
        (np.where(np.eye(4, 20) > 0, np.inf, 1), "`directions` must be finite"),
        (np.full((4, 20), "a"), "`directions` must be an array of numbers"),
        ([[1.0, 2.0], [1.0]], "`directions` must be an array of numbers"),
        (3.0, r"but has \(\)"),
    ],
)
def test_directions_are_checked_as_the_run_is_made(rows: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(Leap(), directions=rows)


def test_a_run_can_be_varied() -> None:
    one = run(Leap())
    finer = dataclasses.replace(one, sampler=Leap().finer(), seed=1)
    assert (finer.sampler, finer.seed, finer.seeds) == (Leap(128, 0.05), 1, 3) and finer != one
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.seed = 2  # type: ignore[misc]


def test_a_simulation_equals_itself_made_again_and_nothing_else() -> None:
    one, again, other = (execute(run(Leap(4), seed=seed)) for seed in (0, 0, 1))
    assert one == again and one.wall_time != again.wall_time
    assert one != other and one != 3 and one.run == run(Leap(4))


@pytest.mark.parametrize(
    ("sampler", "word"),
    [("leap", "`sampler` must be"), (None, "`sampler` must be"), (3, "`sampler` must be"), (Auto("numpy"), None)],
)
def test_what_is_no_sampler_is_refused(sampler: Any, word: str | None) -> None:
    if word is None:
        assert run(sampler).sampler == Direct("numpy")
    else:
        with pytest.raises(ValueError, match=word):
            run(sampler)


@COMPILED
def test_auto_takes_the_cheapest_that_will_do_and_says_why() -> None:
    """Operations a sample: direct m d, reduced m (P + 4 m); both out of reach beyond 3e13 in all."""

    def taken(d: int, samples: int) -> tuple[str, str]:
        made = Run(problem(d=d), 1e-9, samples, sampler="auto")
        return made.sampler.name, made.reason

    assert taken(17, 1000)[0] == "direct" and taken(19, 1000)[0] == "reduced"  # P + 4 m = 18
    assert "P + 4 m = 18" in taken(19, 1000)[1]
    reach = 3e13 / (4 * 18)
    assert taken(100, int(0.99 * reach))[0] == "reduced" and taken(100, int(1.01 * reach))[0] == "leap"
    assert "out of reach" in taken(100, int(1.01 * reach))[1]
    reach = 3e13 / (4 * 6)  # d = P + m: direct is the only exact one, and leap has all of R^d
    assert taken(6, int(0.99 * reach))[0] == "direct" and taken(6, int(1.01 * reach))[0] == "leap"


def test_sizes_that_cannot_be_held_are_refused_before_they_are_made() -> None:
    with pytest.raises(ValueError, match="fewer `records` or `seeds`"):
        run(Leap(), samples=10**12, records=10**5, seeds=100_000)


@pytest.mark.parametrize("spacing", ["log", "linear"])
def test_more_records_than_steps_are_one_a_step(spacing: str) -> None:
    made = run(Direct("numpy"), samples=9, records=2**62, spacing=spacing)
    assert made.recorded().tolist() == list(range(10))


# --- where it is computed -------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_any_executor_gives_the_same_numbers(sampler: Any) -> None:
    alone = execute(run(sampler), workers=1)
    with ThreadPoolExecutor(2) as threads:
        assert execute(run(sampler), executor=threads) == alone
    assert execute(run(sampler), executor=Backwards()) == alone


class Backwards(Executor):
    """Computes what it was given in reverse order, at the time of the last submission but not before."""

    def __init__(self, expected: int = 3) -> None:
        self.expected, self.held = expected, []  # type: ignore[var-annotated]

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.held.append((future, function, arguments, keywords))
        if len(self.held) == (self.expected if self.expected else 1):
            for each, call, positional, named in reversed(self.held):
                each.set_result(call(*positional, **named))
        return future


def test_progress_on_a_foreign_executor_is_a_finished_seed_at_a_time() -> None:
    seen: list[int] = []
    with ThreadPoolExecutor(1) as threads:
        execute(run(Leap(4)), executor=threads, progress=seen.append)
    assert sum(seen) == 3 * 600 and all(count % 600 == 0 for count in seen)


def test_numpy_seeds_advance_together_on_as_many_stacks_as_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [execution._groups(run(Direct("numpy"), seeds=5), workers) for workers in (1, 2, 9)] == [
        [[0, 1, 2, 3, 4]], [[0, 1, 2], [3, 4]], [[0], [1], [2], [3], [4]],
    ]  # fmt: skip
    assert execution._groups(run(Leap(), seeds=3), 1) == [[0], [1], [2]]


def test_one_of_executor_and_workers() -> None:
    with pytest.raises(ValueError, match="one of `executor` and `workers`"):
        execute(run(Leap()), executor=Backwards(), workers=2)


def _unsendable(s: np.ndarray) -> np.ndarray:
    return np.full(np.shape(s), 1e-4)


def test_a_command_that_ends_at_once_leaves_no_warning_of_its_processes() -> None:
    pytest.importorskip("loky")
    lines = (
        "import os; from emergence.simulate.workers import processes; processes(2).submit(int).result(); os._exit(3)"
    )
    ended = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (3, "")


def test_a_callable_step_size_works_with_workers_or_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("loky")
    monkeypatch.setattr(execution, "PATIENCE", 0.0)
    local = lambda s: _unsendable(s)  # noqa: E731  (a lambda on purpose: pickle has no name for it)
    one = execute(run(Leap(4, macro_samples=3), step_size=local), workers=1)
    two = execute(run(Leap(4, macro_samples=3), step_size=local), workers=2)
    np.testing.assert_array_equal(one.overlaps, two.overlaps)
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes,
        pytest.raises(ValueError, match="the step-size callable cannot be sent"),
    ):
        execute(run(Leap(4), step_size=local), executor=processes)


def test_an_error_in_one_seed_is_raised_and_stops_the_others() -> None:
    made: list[Run] = []

    def bad(s: np.ndarray) -> np.ndarray:
        if made and np.max(s) > 300:
            raise RuntimeError("no such step")
        return np.full(np.shape(s), 1e-4)

    made.append(Run(problem(), bad, 100_000, seeds=2, records=1, sampler=Direct("numpy")))
    with pytest.raises(RuntimeError, match="no such step"):
        execute(made[0], workers=1)


def test_an_interrupt_is_heard_while_a_sampler_is_being_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Preparing may take seconds (compilation) and holds nothing to save: the caller does not wait for it."""
    released = threading.Event()

    def slow(self: Run, starts: np.ndarray, indices: list[int]) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        released.wait(60)
        raise RuntimeError("over")

    monkeypatch.setattr(Run, "begin", slow)
    try:
        with pytest.raises(KeyboardInterrupt):
            execute(run(Leap(4)), workers=1)
        assert not released.is_set(), "it came back before the preparation was over"
    finally:
        released.set()


# --- checkpoints ----------------------------------------------------------------------------------


def kept(tmp_path: Path, **change: Any) -> tuple[Run, Simulation]:
    made = run(Leap(4), **change)
    return made, execute(made, out=tmp_path)


def test_a_finished_run_resumed_gives_its_result_without_work(tmp_path: Path) -> None:
    made, first = kept(tmp_path)
    with pytest.raises(CheckpointError, match="finished or not; resume it, or remove the file"):
        execute(made, out=tmp_path)
    done: list[int] = []
    assert execute(made, out=tmp_path, resume=True, progress=done.append) == first
    assert sum(done) == 3 * 600  # as read from the checkpoints


def test_a_checkpoint_of_another_accuracy_is_refused_by_name(tmp_path: Path) -> None:
    kept(tmp_path)
    with pytest.raises(CheckpointError, match="belongs to another run: its sampler is"):
        execute(run(Leap(8)), out=tmp_path, resume=True)


def test_exchanged_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    made, _ = kept(tmp_path)
    one, other = tmp_path / "checkpoint-0000.npz", tmp_path / "checkpoint-0002.npz"
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b)
    other.write_bytes(a)
    with pytest.raises(CheckpointError, match=r"checkpoint-0000\.npz holds seed 2"):
        execute(made, out=tmp_path, resume=True)
    assert one.read_bytes() == b


def test_a_checkpoint_is_a_plain_archive_that_says_what_it_is(tmp_path: Path) -> None:
    _made, _ = kept(tmp_path)
    with np.load(tmp_path / "checkpoint-0001.npz", allow_pickle=False) as archive:
        assert '"seed": 0' in str(archive["identity"]) and '"indices": [1]' in str(archive["identity"])
        assert archive["measured.passages"].shape == (2, 1, 2)


@pytest.mark.parametrize("workers", [(1, 2), (3, 2)])
def test_a_stack_is_resumed_as_it_was_divided(workers: tuple[int, int], tmp_path: Path) -> None:
    """Whatever the workers of the two attempts: the files say which seeds advanced together."""
    made, stop = run(Direct("numpy"), samples=600, seeds=4), [0]

    def interrupt(count: int) -> None:
        stop[0] += count
        if stop[0] > 600:
            os.kill(os.getpid(), signal.SIGINT)

    with contextlib.suppress(KeyboardInterrupt):
        execute(made, out=tmp_path, workers=workers[0], progress=interrupt, checkpoint_seconds=1e-6)
    assert execute(made, out=tmp_path, workers=workers[1], resume=True) == execute(made, workers=1)


def test_a_task_that_begins_after_the_end_writes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Told to stop while it prepares, nobody waits for it, and the directory may be somebody else's by then."""
    made, board = run(Direct("numpy"), samples=3000, seeds=2), Board(1)
    begin = Run.begin

    def late(self: Run, *arguments: Any) -> Any:
        board.stop()
        return begin(self, *arguments)

    monkeypatch.setattr(Run, "begin", late)
    checkpoint = Checkpoint(tmp_path / "checkpoint-0000.npz", made.identity(), [0, 1], 1e-6)
    with pytest.raises(Interrupted):
        perform(made, [0, 1], made.starts()[[0, 1]], checkpoint, board, 0)
    assert not list(tmp_path.iterdir())


def test_files_of_the_user_are_left_alone(tmp_path: Path) -> None:
    from emergence.simulate.checkpoint import clear

    mine = [tmp_path / name for name in ("checkpoint-notes.part", "checkpoint-1.npz", "checkpoint-0000.npz.bak")]
    for path in mine:
        path.write_text("mine")
    _made, first = kept(tmp_path)
    clear(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(mine)
    assert math.isclose(first.t_end, 0.06)


@COMPILED
def test_the_rate_leaves_out_preparation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of a result starts when the first task is ready to step, whatever it took to get there."""
    ready: list[float] = []

    def begin(self: Run, starts: np.ndarray, indices: list[int], real: Any = Run.begin) -> Any:
        stack = real(self, starts, indices)
        ready.append(time.perf_counter())
        return stack

    monkeypatch.setattr(Run, "begin", begin)
    result = execute(run(Reduced()), workers=1)
    assert result.wall_time <= time.perf_counter() - ready[0]
    assert result.samples_per_second == pytest.approx(3 * 600 / result.wall_time)
