"""Sweeps: points are kept one by one, the same whoever computes them; what goes wrong costs the point where it does."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Cli

import emergence
from emergence import (
    Activation,
    ComparePoint,
    Constant,
    Direct,
    Leap,
    PowerDecay,
    PredictPoint,
    Problem,
    Run,
    SgdLawPoint,
    SimulatePoint,
    Sweep,
    Teacher,
    load,
    provenance,
    sweep,
)
from emergence.cli.grid import read_grid
from emergence.cli.output import columns_text
from emergence.compare.statistics import MedianEstimate
from emergence.compare.sweeps import LawPoint, Point, execution
from emergence.compare.sweeps.brief import brief
from emergence.problem.events import EVENTS
from emergence.simulate import Divergence, workers
from emergence.simulate import run as run_module
from emergence.theory import Curve

ROOT = Path(__file__).parents[1]
GRID = str(ROOT / "examples" / "sweep.toml")
PROBLEM = Problem(Activation("h4"), Teacher.power_law(2, 0.3), d=16, m=4, init_scale=0.1)
RUN = Run(PROBLEM, 1e-3, 40, seeds=2, records=4, sampler=Direct("numpy"))
BLOWN = SimulatePoint(replace(RUN, step_size=Constant(30.0)))  # diverges
POINTS: list[Point] = [
    *(PredictPoint(PROBLEM, seed=seed, t_max=0.2) for seed in range(3)),
    BLOWN,
    *(SimulatePoint(replace(RUN, seed=seed)) for seed in range(3)),
]


class Spoilt(PredictPoint):
    """A point that raises what is in ``errors`` until that is empty."""

    errors: list[BaseException] = []  # noqa: RUF012

    def compute(self) -> Any:
        if self.errors:
            raise self.errors.pop()
        return super().compute()


@pytest.fixture
def spoilt() -> Iterator[Spoilt]:
    yield Spoilt(PROBLEM, seed=8, t_max=0.2)
    Spoilt.errors.clear()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """All points, one by one."""
    return sweep(POINTS, tmp_path_factory.mktemp("sweep") / "whole", workers=1)


def arrays(directory: Path) -> dict[str, bytes]:
    """The arrays of a directory, in which every result is whole and nothing else is."""
    names = sorted(path.name for path in directory.iterdir())
    found = {name: (directory / name).read_bytes() for name in names if name.endswith(".result.npz")}
    assert names == sorted([*found, *(name.replace(".npz", ".json") for name in found)])
    return found


def assert_same(found: Sweep, whole: Sweep) -> None:
    assert arrays(found.shelf.directory) == arrays(whole.shelf.directory)
    for kind in ("points", "times", "curves"):
        assert columns_text(found.columns(kind)) == columns_text(whole.columns(kind))


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Point]:
    """The points that are computed from now on."""
    found: list[Point] = []
    perform = execution.perform
    monkeypatch.setattr(execution, "perform", lambda point: (found.append(point), perform(point))[1])
    return found


# --- keeping and going on ---------------------------------------------------------------------------


def test_points_are_kept_as_results_that_say_what_they_are(whole: Sweep) -> None:
    for point in POINTS:
        path = whole.shelf.path(point)
        assert type(load(path)) is type(whole.result(point))
        assert provenance(path).settings == point.identity
    assert whole.points == tuple(POINTS) and whole.failed == () and whole.before == 0
    np.testing.assert_array_equal(whole.result(POINTS[0]).recovery["flow"], POINTS[0].compute().recovery["flow"])


def test_a_second_sweep_computes_nothing_and_a_larger_one_what_is_new(
    whole: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = counted(monkeypatch)
    again = sweep([*POINTS, POINTS[0]], whole.shelf.directory, workers=1)
    assert computed == [] and again.before == len(POINTS) and again.points == tuple(POINTS)
    sweep(POINTS[:2], tmp_path, workers=1)
    told: list[tuple[int, ...]] = []
    larger = sweep(POINTS[:4], tmp_path, workers=1, progress=lambda *counts: told.append(counts))
    assert computed == POINTS[:4] and larger.before == 2
    assert told == [(0, 0, 2), (1, 0, 2), (2, 0, 2)]


@pytest.mark.parametrize("order", [1, -1])
def test_threads_and_order_change_no_byte(whole: Sweep, tmp_path: Path, order: int) -> None:
    with ThreadPoolExecutor(3) as executor:
        sweep(POINTS[::order], tmp_path, executor=executor)
    assert_same(sweep(POINTS, tmp_path, workers=1), whole)


def test_an_interrupt_costs_what_is_in_flight(
    whole: Sweep, spoilt: Spoilt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Spoilt.errors.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        sweep([*POINTS[:3], spoilt, *POINTS[3:]], tmp_path, workers=1)
    assert len(arrays(tmp_path)) == 3
    computed = counted(monkeypatch)
    assert_same(sweep(POINTS, tmp_path, workers=1), whole)
    assert computed == POINTS[3:]


def test_an_interrupt_while_an_executor_works_cancels_what_waits(tmp_path: Path) -> None:
    class Waiting(Executor):
        """Ends the first task, holds the others."""

        futures: list[Future[Any]] = []  # noqa: RUF012

        def submit(self, fn: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
            self.futures.append(future := Future())
            if len(self.futures) == 1:
                future.set_result(fn(*arguments))
            return future

    def interrupt(done: int, *_: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(POINTS[:3], tmp_path, executor=Waiting(), progress=interrupt)
    assert [future.cancelled() for future in Waiting.futures] == [False, True, True]
    assert len(arrays(tmp_path)) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_comes_between_the_files_of_a_result_leaves_none(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace_file(path: Path, content: bytes) -> None:
        if path.suffix == ".json" and len(list(tmp_path.iterdir())) == 3:
            raise error
        path.write_bytes(content)

    monkeypatch.setattr("emergence.compare.stored.replace_file", replace_file)
    with pytest.raises(error):
        sweep(POINTS[:3], tmp_path, workers=1)
    assert len(arrays(tmp_path)) == 1


@pytest.mark.parametrize("suffix", [".result.json", ".result.npz"])
def test_half_a_result_is_none(whole: Sweep, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(POINTS[:2], tmp_path, workers=1)
    (tmp_path / f"{POINTS[1].name}{suffix}").unlink()
    computed = counted(monkeypatch)
    found = sweep(POINTS[:2], tmp_path, workers=1)
    assert computed == [POINTS[1]] and found.before == 1 and len(arrays(tmp_path)) == 2


@pytest.mark.parametrize("other", [True, False])
def test_a_sidecar_that_is_damaged_or_of_another_point_is_none(
    tmp_path: Path, other: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = POINTS[:2]
    sweep([one, two], tmp_path, workers=1)
    sidecar = tmp_path / f"{one.name}.result.json"
    if other:
        for suffix in ("json", "npz"):
            (tmp_path / f"{one.name}.result.{suffix}").write_bytes(
                (tmp_path / f"{two.name}.result.{suffix}").read_bytes()
            )
    else:
        sidecar.write_text(sidecar.read_text().replace("h4", "h6"))
    computed = counted(monkeypatch)
    assert sweep([one, two], tmp_path, workers=1).failed == () and computed == [one]
    assert provenance(tmp_path / one.name).settings == one.identity


def test_damaged_arrays_are_refused_by_name(tmp_path: Path) -> None:
    found = sweep(POINTS[:1], tmp_path, workers=1)
    path = tmp_path / f"{POINTS[0].name}.result.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=f"{path.name} is damaged.*; delete it"):
        found.columns("points")


# --- what goes wrong --------------------------------------------------------------------------------


def test_a_run_that_diverges_is_a_result(whole: Sweep) -> None:
    assert whole.result(BLOWN).diverged.all()
    table = whole.columns("points")
    np.testing.assert_array_equal(table["diverged"], [np.nan] * 3 + [2, 0, 0, 0])
    assert np.isnan(table["final_loss"][3]) and np.isfinite(np.delete(table["final_loss"], 3)).all()
    assert table["learned"][3] == 0


def test_a_point_that_fails_is_listed_and_tried_again(spoilt: Spoilt, tmp_path: Path) -> None:
    Spoilt.errors += [OSError("no room\n for it"), ValueError("it is bad")]
    points = [POINTS[0], spoilt, POINTS[1]]
    told: list[tuple[int, ...]] = []
    for reason, missing in (("it is bad", 3), ("OSError: no room for it", 1)):
        found = sweep(points, tmp_path, workers=1, progress=lambda *counts: told.append(counts))
        (failure,) = found.failed
        assert failure.point is spoilt and failure.reason == reason
        assert told[-1][1:] == (1, missing)
        assert str(found).splitlines()[1:] == ["  failed: predict, seed = 8", f"    {reason}"]
        assert len(arrays(tmp_path)) == 2 and found.columns("points")["seed"].tolist() == [0, 1]
    found = sweep(points, tmp_path, workers=1)
    assert found.failed == () and found.before == 2 and found.columns("points")["seed"].tolist() == [0, 8, 1]
    assert str(found) == f"sweep of 3 points in {tmp_path}: 3 stored, 2 of them before; 0 failed"


def test_the_card_lists_the_first_of_many_failures() -> None:
    failed = tuple(execution.Failure(PredictPoint(PROBLEM, seed=seed), "why") for seed in range(25))
    lines = str(Sweep(tuple(one.point for one in failed), execution.Shelf(Path("x")), failed, 0)).splitlines()
    assert len(lines) == 1 + 20 + 2 and lines[-3:] == ["  failed: predict, seed = 19", "  failed: 5 more", "    why"]


class Fragile(Executor):
    """Computes at once, and breaks at one point, as a pool of processes does whose worker dies."""

    deadly: Point

    def __init__(self) -> None:
        self.broken = False

    def submit(self, fn: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
        if self.broken:
            raise BrokenExecutor("broken")
        future: Future[Any] = Future()
        self.broken = arguments[0] == Fragile.deadly
        if self.broken:
            future.set_exception(BrokenExecutor("broken"))
        else:
            future.set_result(fn(*arguments))
        return future

    def shutdown(self, *_: Any, **__: Any) -> None:
        pass


def test_a_worker_that_dies_costs_the_point_that_kills_it(
    whole: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Fragile] = []

    def processes(count: int) -> Fragile:
        assert count == 2
        if not made or made[-1].broken:
            made.append(Fragile())
        return made[-1]

    Fragile.deadly = POINTS[2]
    monkeypatch.setattr(execution, "processes", processes)
    computed = counted(monkeypatch)
    found = sweep(POINTS, tmp_path, workers=2)
    (failure,) = found.failed
    assert failure.point is POINTS[2] and "worker process died" in failure.reason
    assert computed == [*POINTS[:2], *POINTS[4:], POINTS[3]], "the one beside it ran alone, after all others"
    Fragile.deadly = PredictPoint(PROBLEM, seed=100)
    assert_same(sweep(POINTS, tmp_path, workers=2), whole)


def test_an_executor_that_breaks_loses_what_it_had(whole: Sweep, tmp_path: Path) -> None:
    Fragile.deadly = POINTS[2]
    found = sweep(POINTS, tmp_path, executor=Fragile())
    assert [failure.point for failure in found.failed] == POINTS[2:]
    assert {failure.reason for failure in found.failed} == {
        "the executor broke, as one does whose worker dies, or was shut down"
    }
    assert_same(sweep(POINTS, tmp_path, workers=1), whole)


def test_a_task_that_an_executor_cannot_do_has_failed(tmp_path: Path) -> None:
    class Refusing(Fragile):
        def submit(self, fn: Any, /, *arguments: Any, **_: Any) -> Future[Any]:
            future: Future[Any] = Future()
            if arguments[0] is POINTS[0]:
                future.cancel()
                future.set_running_or_notify_cancel()
            else:
                future.set_exception(TypeError("cannot send it"))
            return future

    found = sweep(POINTS[:2], tmp_path, executor=Refusing())
    assert [one.reason for one in found.failed] == [
        "the executor gave it up, as one does that is shut down or cut off", "TypeError: cannot send it"
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_worker_with_other_sources_computes_nothing(tmp_path: Path) -> None:
    point = PredictPoint(PROBLEM, seed=3)
    vars(point)["identity"] = point.identity | {"code": "that of this process"}
    (failure,) = sweep([point], tmp_path, workers=1).failed
    assert failure.reason == f"the worker has other sources of this package, of version {emergence.__version__}"


def test_a_result_that_cannot_be_written_ends_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError, match="out"):
        sweep(POINTS[:2], tmp_path / "out", workers=1)


@pytest.mark.parametrize(
    ("points", "how", "message"),
    [
        ([], {}, "at least one point"),
        ([PROBLEM], {}, "must be points"),
        (POINTS, {"workers": 0}, "positive integer"),
        (POINTS, {"workers": 2, "executor": Fragile()}, "give one of"),
    ],
)
def test_bad_arguments(points: Any, how: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        sweep(points, tmp_path / "out", **how)
    assert not list(tmp_path.iterdir())


def test_workers_need_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "processes", lambda count: None)
    with pytest.raises(ImportError, match=r"sgd-emergence\[workers\]"):
        sweep(POINTS[:2], tmp_path, workers=2)
    assert sweep(POINTS[:2], tmp_path).failed == (), "by default what there is"


# --- what a point is --------------------------------------------------------------------------------


def changed(point: Point, **values: Any) -> Point:
    return replace(point, **values)  # type: ignore[type-var]


ROWS = PROBLEM.initial_directions(5)
ONE_OF_EACH: list[Point] = [
    PredictPoint(PROBLEM),
    SgdLawPoint(PROBLEM, 1e-3),
    LawPoint(PROBLEM, "flow_time"),
    SimulatePoint(RUN),
    ComparePoint(RUN),
]
OTHERS: list[Point] = [
    *(changed(point, problem=replace(PROBLEM, d=17)) for point in ONE_OF_EACH[:3]),
    *(changed(point, seed=1) for point in ONE_OF_EACH[:3]),
    *(changed(point, t_max=1.0) for point in ONE_OF_EACH[:2]),
    *(changed(point, directions=ROWS) for point in ONE_OF_EACH[:2]),
    *(changed(point, run=replace(RUN, seed=1)) for point in ONE_OF_EACH[3:]),
    *(changed(point, run=replace(RUN, step_size=PowerDecay(1e-3, 10, 1))) for point in ONE_OF_EACH[3:]),
    *(changed(point, run=replace(RUN, sampler=Leap())) for point in ONE_OF_EACH[3:]),
    changed(ONE_OF_EACH[0], flow_method="exact"),
    *(changed(ONE_OF_EACH[1], **{name: 2}) for name in ("batch", "label_noise", "step_size")),
    changed(ONE_OF_EACH[1], step_size=PowerDecay(1e-3, 10, 1)),
    changed(ONE_OF_EACH[2], resource="width"),
    changed(ONE_OF_EACH[2], quantiles=(0.5,)),
    changed(ONE_OF_EACH[2], given={"draws": 5}),
    changed(ONE_OF_EACH[4], tolerance=0.2),
]


def test_a_point_is_known_by_all_that_defines_it() -> None:
    names = [point.name for point in (*ONE_OF_EACH, *OTHERS)]
    assert len(set(names)) == len(names)
    problem = Problem(Activation("h4"), Teacher.power_law(2, 0.3), d=16, m=4, init_scale=0.1)
    assert PredictPoint(problem).name == ONE_OF_EACH[0].name and PredictPoint(problem) == ONE_OF_EACH[0]
    assert LawPoint(problem, "flow_time", [0.1, 0.5, 0.9]).name == ONE_OF_EACH[2].name
    for point in (*ONE_OF_EACH, *OTHERS):
        assert json.loads(json.dumps(point.identity)) == point.identity
        assert all(value is None or isinstance(value, str | int | float | list) for value in point.settings().values())


def test_a_point_keeps_to_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emergence.compare.sweeps.points.execute", lambda run, **how: (run, how))
    assert SimulatePoint(RUN).compute() == (RUN, {"workers": 1})


def test_the_release_is_no_part_of_a_point_and_its_sources_are(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [point.name for point in ONE_OF_EACH]
    monkeypatch.setattr(run_module, "__version__", "99")
    fresh = [replace(point) for point in ONE_OF_EACH]  # type: ignore[type-var]
    assert [point.name for point in fresh] == before
    monkeypatch.setattr("emergence.compare.sweeps.points.source_digest", lambda *patterns: " ".join(patterns))
    fresh = [replace(point) for point in ONE_OF_EACH]  # type: ignore[type-var]
    assert not set(before) & {point.name for point in fresh}
    for point in fresh:
        code = point.identity["code"]
        assert "problem/" in code
        assert ("simulate/" in code) == (point.quantity in ("simulate", "compare"))
        assert ("theory/" in code) == (point.quantity != "simulate")
        assert ("compare/" in code) == (point.quantity == "compare")


def test_the_sources_of_a_point_are_all_that_it_imports() -> None:
    """Of theory and simulation whole folders count, which the arrows close; of compare the files that overlay needs."""
    files = {pattern.split("/")[1] for pattern in ComparePoint.sources if pattern.startswith("compare/")}
    for name in files:
        tree = ast.parse((ROOT / "compare" / name).read_text(encoding="utf-8"))
        near = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
        assert {f"{module}.py" for module in near} <= files, name
    for package in ("problem", "theory", "simulate"):
        found = {path for pattern in ComparePoint.sources for path in ROOT.glob(pattern) if path.parts[-2] != "compare"}
        assert set((ROOT / package).rglob("*.py")) <= found


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PredictPoint("h4"), "must be a Problem"),
        (lambda: PredictPoint(PROBLEM, seed=-1), "`seed`"),
        (lambda: PredictPoint(PROBLEM, t_max=0.0), "`t_max`"),
        (lambda: PredictPoint(PROBLEM, flow_method="quick"), "`method`"),
        (lambda: PredictPoint(PROBLEM, directions=ROWS[:1]), "`directions`"),
        (lambda: SgdLawPoint(replace(PROBLEM, activation=Activation("h3")), 1e-3), "even activation"),
        (lambda: SgdLawPoint(PROBLEM, -1.0), "`step_size`"),
        (lambda: SgdLawPoint(PROBLEM, lambda s: 1e-3 + 0 * s), "Python function"),
        (lambda: SgdLawPoint(PROBLEM, 1e-3, batch=0), "`batch`"),
        (lambda: SgdLawPoint(PROBLEM, 1e-3, label_noise=-1), "`label_noise`"),
        (lambda: SgdLawPoint(PROBLEM, 1e-3, t_max=-1), "`t_max`"),
        (lambda: SgdLawPoint(PROBLEM, 1e-3, seed=0.5), "`seed`"),
        (lambda: LawPoint(PROBLEM, "luck"), "RESOURCE must be"),
        (lambda: LawPoint(PROBLEM, "flow_time", (1.0,)), "`quantiles`"),
        (lambda: LawPoint(PROBLEM, "flow_time", seed=-1), "`seed`"),
        (lambda: LawPoint(PROBLEM, "flow_time", given={"draws": 0}), "`draws`"),
        (lambda: LawPoint(PROBLEM, "flow_time", given={"batch": 2}), "no part in flow_time"),
        (lambda: LawPoint(PROBLEM, "samples_best_step", given={"batch": 0}), "`batch`"),
        (lambda: LawPoint(PROBLEM, "samples_fixed_step", given={"step_size": 0.0}), "`step_size`"),
        (
            lambda: LawPoint(PROBLEM, "samples_fixed_step", given={"step_size": lambda s: 1e-3 + 0 * s}),
            "Python function",
        ),
        (lambda: LawPoint(PROBLEM, "dimension_time", given={"dimensions": [16.5]}), "whole numbers"),
        (lambda: LawPoint(replace(PROBLEM, activation=Activation("h2")), "flow_time"), "information exponent"),
        (lambda: SimulatePoint(PROBLEM), "must be a Run"),
        (lambda: SimulatePoint(Run(PROBLEM, lambda s: 1e-3 + 0 * s, 40)), "Python function"),
        (lambda: ComparePoint(RUN, 0.0), "`tolerance`"),
    ],
)
def test_a_point_is_refused_before_any_work(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# --- tables -----------------------------------------------------------------------------------------


def test_tables_have_the_settings_before_the_numbers(whole: Sweep) -> None:
    table = whole.columns("points")
    assert list(table)[:3] == ["point", "quantity", "activation"] and table["point"].tolist() == [
        p.name for p in POINTS
    ]
    assert table["d"].dtype.kind == "i" and table["d"].tolist() == [16] * 7
    assert table["seed"].tolist() == [0, 1, 2, 0, 0, 1, 2]
    np.testing.assert_array_equal(table["step_size"], [np.nan] * 3 + [30.0, 1e-3, 1e-3, 1e-3])
    assert table["method"].tolist() == [None] * 3 + ["direct"] * 4
    times = whole.columns("times")
    assert len(times["p"]) == 3 * 2 + 4 * 2 * 2
    np.testing.assert_array_equal(times["run"][-4:], [0, 0, 1, 1])
    assert times["seed"][-4:].tolist() == [2] * 4
    last = whole.result(POINTS[-1])
    np.testing.assert_array_equal(times["alignment"][-4:], last.alignment.ravel())
    curves = whole.columns("curves")
    np.testing.assert_array_equal(curves["loss"][-10:], last.loss.ravel())
    np.testing.assert_array_equal(curves["samples_taken"][-5:], last.run.recorded())
    assert (curves["samples"][-5:] == 40).all()
    with pytest.raises(ValueError, match="`kind`"):
        whole.columns("rows")


def test_a_sweep_as_a_data_frame(whole: Sweep) -> None:
    pandas = pytest.importorskip("pandas")
    pandas.testing.assert_frame_equal(whole.to_dataframe(), pandas.DataFrame(whole.columns("points")))


def test_a_full_grid_as_a_dataset(spoilt: Spoilt, tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    made = {(d, seed): Spoilt(replace(PROBLEM, d=d), seed, t_max=0.2) for d in (17, 16) for seed in (5, 3, 4)}
    spoilt.errors.append(RuntimeError("lost"))
    points = [made[key] for key in ((17, 5), (16, 3), (16, 5), (17, 3), (17, 4), (16, 4))]
    found = sweep(points, tmp_path, workers=1)
    data = found.to_xarray()
    assert dict(data.sizes) == {"d": 2, "seed": 3} and data.d.values.tolist() == [17, 16]
    assert data.seed.values.tolist() == [5, 3, 4] and data.attrs["m"] == 4 and "directions" not in data.attrs
    assert [failure.point for failure in found.failed] == points[:1] and np.isnan(data.final_loss.sel(d=17, seed=5))
    for (d, seed), point in made.items():
        if point != points[0]:
            assert float(data.final_loss.sel(d=d, seed=seed)) == brief(found.result(point))["final_loss"]


def test_other_points_as_a_dataset(whole: Sweep) -> None:
    """Predictions and simulations have different settings, so that there is no grid."""
    pytest.importorskip("xarray")
    data, table = whole.to_xarray(), whole.columns("points")
    assert dict(data.sizes) == {"point": 7} and data.point.values.tolist() == [point.name for point in POINTS]
    for name in ("quantity", "seed", "learned", "final_loss", "samples", "diverged"):
        np.testing.assert_array_equal(data[name].values, table[name])
    assert {"quantity", "seed", "samples"} <= set(data.coords) and {"learned", "diverged"} <= set(data.data_vars)
    assert data.attrs["d"] == 16 and "samples" not in data.attrs


def test_a_dataset_needs_the_extra(whole: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"`to_xarray` needs xarray; install sgd-emergence\[data\]"):
        whole.to_xarray()


def test_lists_and_settings_that_only_some_have_fit_in_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, bands = np.array([1.0, 2.0]), np.ones((3, 2))
    curve = Curve("flow_time", x, bands, 3 / x, (0.1, 0.5, 0.9), bands, {"step_size": 1e-3 * x})
    monkeypatch.setattr(LawPoint, "compute", lambda _: curve)
    given = Problem(Activation("h4"), Teacher([3.0, 4.0]), d=16, m=4, init_scale=0.1)
    points = [PredictPoint(given, t_max=0.2), POINTS[0], LawPoint(PROBLEM, "flow_time", given={"draws": 3})]
    found = sweep(points, tmp_path, workers=1)
    table = found.columns("points")
    assert table["strengths"].tolist() == ["0.6,0.8", None, None] and table["quantiles"][2] == "0.1,0.5,0.9"
    np.testing.assert_array_equal(table["beta"], [np.nan, 0.3, 0.3])
    np.testing.assert_array_equal(table["draws"], [np.nan, np.nan, 3])
    assert set(found.columns("times")["quantity"]) == {"predict"}, "a curve has no times"
    assert set(found.columns("curves")["quantity"]) == {"predict", "law"}
    assert table["x_end"][2] == 2.0 and table["value_end"][2] == 1.5
    assert found.columns("curves")["best_step_size"][-2:].tolist() == [1e-3, 2e-3]


def test_a_comparison_in_brief() -> None:
    comparison = ComparePoint(RUN).compute()
    estimates = {event: MedianEstimate(i, (i - 1.0, i + 1.0), 0.95, 9) for i, event in enumerate(EVENTS)}
    errors = comparison.agreement.errors | {"flow": estimates}
    agreement = replace(comparison.agreement, errors=errors, verdict="disagree")
    row = brief(replace(comparison, agreement=agreement))
    assert [row["alignment_error"], row["alignment_error_low"], row["alignment_error_high"]] == [0, -1, 1]
    assert [row["recovery_error"], row["recovery_error_low"], row["recovery_error_high"]] == [1, 0, 2]
    assert (row["verdict"], row["against"]) == ("disagree", agreement.against)
    assert row["diverged"] == 0 and row["t_end"] == comparison.simulation.t_end
    with pytest.raises(TypeError):
        brief(None)


def test_a_simulation_in_brief_is_that_of_the_runs_that_did_not_diverge(whole: Sweep) -> None:
    one_of_two = replace(whole.result(POINTS[-1]), divergence=(Divergence(7, 1e9), None))
    row = brief(one_of_two)
    assert row["diverged"] == 1 and row["final_loss"] == one_of_two.loss[1, -1]


def test_the_law_of_sgd_in_brief() -> None:
    law = SgdLawPoint(PROBLEM, 1e-4, t_max=5.0).compute()
    row = brief(law)
    assert row["learned"] == pytest.approx(law.learned_probability.sum()) and row["t_end"] == 5.0
    assert row["final_loss"] == law.loss[-1] and row["valid"] == law.valid


# --- one BLAS thread --------------------------------------------------------------------------------


def test_the_limit_on_blas_lasts_until_the_last_thread_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[str] = []

    class Limits:
        def __init__(self, limit: int, user_api: str) -> None:
            limits.append(f"{user_api} {limit}")

        def restore_original_limits(self) -> None:
            limits.append("restored")

    monkeypatch.setitem(sys.modules, "threadpoolctl", types.SimpleNamespace(threadpool_limits=Limits))  # type: ignore[arg-type]
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with workers.one_blas_thread():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    with workers.one_blas_thread():
        thread.start()
        inside.wait(60)
    assert limits == ["blas 1"]
    leave.set()
    thread.join()
    assert limits == ["blas 1", "restored"]


# --- grids and the command --------------------------------------------------------------------------


@pytest.fixture
def grid(tmp_path: Path) -> Any:
    """Writes a grid and gives its name."""

    def write(text: str) -> str:
        path = tmp_path / "grid.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


SMALL = """
[fixed]
P = 2
m = 4
init-scale = 0.1
t-max = 0.2
"""
PREDICT = SMALL + 'quantity = "predict"\n'


def test_a_grid_is_every_combination_once(grid: Any) -> None:
    found = read_grid(
        grid(
            "[fixed]\nm = 4\ninit_scale = 0.1\nt-max = 0.2\nmethod = 'direct'\nengine = 'numpy'\nsamples = 4e1\n"
            "seeds = 2\nrecords = 4\n"
            "[vary]\nquantity = ['predict', 'simulate']\nstep-size = [1e-3, 1]\nseed = [0, 1]\n"
            "[[point]]\nd = 16\nP = 2\nbeta = 0.3\n[[point]]\nd = 20\nstrengths = [3, 4]\n"
        )
    )
    assert found.refused == [] and len(found.points) == 2 * (2 + 2 * 2), "the step size has no part in predict"
    assert found.points[0] == POINTS[0] and found.points[2:4] == [
        SimulatePoint(RUN),
        SimulatePoint(replace(RUN, seed=1)),
    ]
    assert found.points[-1].settings()["strengths"] == [0.6, 0.8] and found.points[-1].settings()["step_size"] == 1.0


def test_a_grid_of_laws_and_comparisons(grid: Any) -> None:
    found = read_grid(
        grid(
            "[fixed]\nP = 2\nm = 4\nd = 16\ninit-scale = 0.1\nquantiles = [0.5]\nsamples = 40\nmethod = 'leap'\n"
            "tolerance = 0.5\n"
            "[[point]]\nquantity = 'law'\nresource = 'flow_time'\ndraws = 5\n"
            "[[point]]\nquantity = 'law'\nresource = 'dimension_time'\ndimensions = [16, 32]\n"
            "[[point]]\nquantity = 'law'\nresource = 'samples_fixed_step'\nstep-size = 1e-3\nschedule = 'power:100:1'\n"
            "[[point]]\nquantity = 'sgd-law'\nstep-size = 1e-3\nschedule = 'power:100:1'\nbatch = 2\n"
            "[[point]]\nquantity = 'compare'\ntolerance = 0.2\nvirtual = 16\n"
        )
    ).points
    problem = replace(PROBLEM, teacher=Teacher.power_law(2, 1.0))
    run = Run(problem, 1e-8, 40, seeds=12, sampler=Leap(virtual=16))
    assert found == [
        LawPoint(problem, "flow_time", (0.5,), given={"draws": 5}),
        LawPoint(problem, "dimension_time", (0.5,), given={"dimensions": [16.0, 32.0]}),
        LawPoint(problem, "samples_fixed_step", (0.5,), given={"step_size": PowerDecay(1e-3, 100, 1)}),
        SgdLawPoint(problem, PowerDecay(1e-3, 100, 1), batch=2),
        ComparePoint(run, 0.2),
    ]
    assert found[2].settings()["schedule"] == found[3].settings()["schedule"] == "power(0.001, 100.0, 1.0)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("d = 16\n", "unknown key 'd'"),
        (PREDICT + "dd = 16\n", "unknown key 'dd' in [fixed]"),
        (PREDICT + "workers = 2\n", "unknown key 'workers'"),
        (PREDICT + "[vary]\nD = [16]\n", "unknown key 'D' in [vary]"),
        (PREDICT + "[[point]]\nwhy = 1\n", "unknown key 'why' in [[point]]"),
        (PREDICT + "t_max = 1\n", "the key 't_max' stands twice"),
        (PREDICT + "d = 'x'\n", "'d' in [fixed] of"),
        (PREDICT + "[vary]\nd = 16\n", "'d' in [vary]"),
        (PREDICT + "[vary]\nd = []\n", "must be a list of values"),
        (PREDICT + "[vary]\nd = [16, 'x']\n", "each value of 'd' in [vary]"),
        (PREDICT + "[vary]\nm = [2]\n", "`m` stands in [vary]"),
        (PREDICT + "[vary]\nd = [16]\n[[point]]\nd = 3\n", "`d` stands in [vary]"),
        (PREDICT + "[vary]\ntolerance = [0.1]\n", "`tolerance` has no part in predict"),
        (PREDICT + "[[point]]\ndraws = 3\n", "`draws` has no part in predict"),
        ("fixed = 3\n", "must be a table"),
        ("point = []\n", "points stand in [[point]]"),
        ("point = {d = 3}\n", "points stand in [[point]]"),
        ("refused = 'ignore'\n" + PREDICT, "`refused` must be stop or skip"),
        (SMALL, "`quantity` must be one of predict, simulate, compare, law, sgd-law in the grid"),
        (SMALL + "quantity = 'luck'\n", "but is luck"),
        (PREDICT + f"[vary]\nseed = {list(range(1001))}\nd = {list(range(2, 1002))}\n", "has 1001000 points"),
        (PREDICT + "[vary]\nd = [16, 1]\n", "the point d = 1 in the grid"),
        (PREDICT + "[vary]\nd = [16, 1]\nseed = [0, -1]\n", "(3 of 4 are refused)"),
        (PREDICT + "flow-method = 'quick'\n", "the point of [fixed]"),
        ("refused = 'skip'\n" + PREDICT + "d = 1\n", "the point of [fixed]"),
        ("[fixed", "is not valid TOML"),
    ],
)
def test_a_bad_grid_is_refused_in_a_line_and_nothing_is_written(
    text: str, message: str, grid: Any, tmp_path: Path, cli: Cli
) -> None:
    outcome = cli("sweep", grid(text), "--out", str(tmp_path / "out"), "--csv", str(tmp_path / "table.csv"))
    assert outcome.code == 2 and outcome.out == "" and outcome.err.count("\n") == 1
    assert outcome.err.startswith("emergence: error: ") and message in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["grid.toml"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--workers", "0"], "`workers`"),
        (["--workers", "2", "--dask", "tcp://here"], "--workers are of this machine"),
        (["--table", "rows"], "--table must be one of points, times, curves"),
        (["--csv", "nowhere/table.csv"], "cannot write to --csv"),
        (["--dask", "tcp://here"], "sgd-emergence[cluster]"),
    ],
)
def test_bad_flags(
    flags: list[str], message: str, grid: Any, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    outcome = cli("sweep", grid(PREDICT), "--out", str(tmp_path / "out"), *flags)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and message in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["grid.toml"]


def test_the_command_leaves_points_and_a_table(grid: Any, tmp_path: Path, cli: Cli) -> None:
    out, table = tmp_path / "out", tmp_path / "table.csv"
    path = grid("refused = 'skip'\n" + PREDICT + "[vary]\nd = [1, 16]\nseed = [0, 1]\n")
    words = ("sweep", path, "--out", str(out), "--csv", str(table), "--workers", "1")
    first = cli(*words)
    assert first.code == 0 and first.err == f"wrote {table}\n"
    card = first.out.splitlines()
    assert card[0] == f"sweep of 2 points in {out}: 2 stored, 0 of them before; 0 failed"
    assert card[1:] == [
        "  left out: d = 1, seed = 0", "  left out: d = 1, seed = 1", "    `d` must be at least P = 2, but is 1"
    ]  # fmt: skip
    rows = table.read_text().splitlines()
    assert rows[0].startswith("point,quantity,activation") and len(rows) == 3 and len(arrays(out)) == 2
    again = cli(*words, "--table", "times")
    assert "2 stored, 2 of them before" in again.out and len(table.read_text().splitlines()) == 1 + 2 * 2
    document = cli(*words, "--json").document
    assert [(row["status"], row["settings"]["seed"], row["reason"]) for row in document["points"]] == [
        ("stored", 0, None), ("stored", 1, None),
    ]  # fmt: skip
    assert document["points"][0]["outcome"] == brief(load(out / document["points"][0]["point"]))
    assert (document["failed"], document["before"]) == (0, 2)
    assert document["left_out"][0] == {"point": "d = 1, seed = 0", "reason": "`d` must be at least P = 2, but is 1"}
    sidecar = next(out.glob("*.json"))
    assert provenance(sidecar).command == "emergence sweep grid.toml", "as it can be given anywhere"


def test_failures_and_interrupts_on_the_command_line(
    grid: Any, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = grid(PREDICT + "d = 16\n[vary]\nseed = [0, 1, 2]\n"), tmp_path / "out"
    errors: list[BaseException] = [RuntimeError("lost"), KeyboardInterrupt()]
    perform = PredictPoint.compute

    def compute(point: PredictPoint) -> Any:
        if point.seed == 1 and errors:
            raise errors.pop()
        return perform(point)

    monkeypatch.setattr(PredictPoint, "compute", compute)
    words = ("sweep", path, "--out", str(out), "--workers", "1")
    outcome = cli(*words)
    assert outcome == (
        130, "", f"1 of 3 missing points are now in {out}; the same command goes on\nemergence: interrupted\n"
    )  # fmt: skip
    errors += [RuntimeError("lost")]
    row = cli(*words, "--json").document["points"][1]
    assert (row["status"], row["outcome"], row["reason"]) == ("failed", None, "RuntimeError: lost")
    outcome = cli(*words)
    assert outcome.code == 1 and outcome.out.splitlines()[-2:] == [
        "  failed: predict, seed = 1",
        "    RuntimeError: lost",
    ]
    assert cli(*words).code == 0


def test_the_workers_of_a_cluster(grid: Any, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for Dask's client; ``benchmarks/sweep_executors.py`` runs a sweep on Dask itself."""
    seen: list[Any] = []

    class Client:
        def __init__(self, address: str, timeout: float) -> None:
            if address == "tcp://nobody":
                raise OSError("Timed out\n after 10 s")
            seen.append(address)

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *_: Any) -> None:
            seen.append("closed")

        def nthreads(self) -> dict[str, int]:
            return {}

        def get_executor(self) -> Executor:
            seen.append("asked")
            return ThreadPoolExecutor(1)

    monkeypatch.setitem(sys.modules, "distributed", types.SimpleNamespace(Client=Client))  # type: ignore[arg-type]
    path, out = grid(PREDICT + "d = 16\n"), tmp_path / "out"
    outcome = cli("sweep", path, "--out", str(out), "--dask", "tcp://nobody")
    assert (
        outcome.code == 2 and outcome.err.endswith("--dask tcp://nobody: Timed out after 10 s\n") and not out.exists()
    )
    outcome = cli("sweep", path, "--out", str(out), "--dask", "tcp://here")
    assert outcome.code == 0 and outcome.err == "the Dask cluster has no workers yet: points wait for them\n"
    assert seen == ["tcp://here", "asked", "closed"] and len(arrays(out)) == 1


# --- the executors that there are -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["threads", "pool", "processes", "dask"])
def test_a_killed_worker_on_real_executors(kind: str) -> None:
    pytest.importorskip({"dask": "distributed", "processes": "loky"}.get(kind, "numpy"))
    script = str(ROOT / "benchmarks" / "sweep_executors.py")
    done = subprocess.run(
        [sys.executable, script, kind, "--points", "40"], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "the same bytes" in done.stdout and ("killed the worker" in done.stdout) == (kind != "threads")


@pytest.mark.slow
def test_an_interrupt_of_processes_leaves_whole_results(tmp_path: Path) -> None:
    pytest.importorskip("loky")
    text = PREDICT.replace("t-max = 0.2\n", "") + f"d = 16\n[vary]\nseed = {list(range(200))}\n"
    (tmp_path / "grid.toml").write_text(text, encoding="utf-8")
    words = [sys.executable, "-m", "emergence", "sweep", "grid.toml", "--out", "out", "--workers", "2"]
    process = subprocess.Popen(
        words, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    while process.poll() is None and len(list(tmp_path.glob("out/*.json"))) < 5:
        threading.Event().wait(0.05)
    process.send_signal(signal.SIGINT)
    _, heard = process.communicate(timeout=60)
    assert process.returncode == 130 and heard.splitlines()[-1] == "emergence: interrupted"
    for path in (tmp_path / "out").glob("*.json"):
        load(path)
    assert 5 <= len(arrays(tmp_path / "out")) < 200
