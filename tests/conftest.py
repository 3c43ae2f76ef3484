"""Settings of the whole suite, and results that several files look at."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

for _library in ("OPENBLAS", "OMP", "MKL"):  # before NumPy: where cores are shared, small products with several
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")  # threads take up to eighty times as long as with one
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # or every process that a test starts would compile all sources

import matplotlib
import numpy as np
import pytest
from hypothesis import settings
from matplotlib import font_manager  # noqa: F401  (reads the list of fonts, or makes it, before caches are a test's own)

from emergence.cli import main
from emergence.compare import Comparison, overlay, step_sweep
from emergence.compare.runs import SAMPLERS
from emergence.problem import Activation, Problem, Teacher
from emergence.simulate import Direct, Divergence, Leap, Simulation, execution, sgd
from emergence.theory import LEVELS, Prediction, predict, sample_curves, step_advice
from emergence.theory.sample_curves import step_size_lattice

matplotlib.use("Agg")
if threading.current_thread() is threading.main_thread():  # a job in the background is started deaf to interrupts
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")

NUMBA = importlib.util.find_spec("numba") is not None
TORCH = importlib.util.find_spec("torch") is not None
ENGINES = ["numpy", pytest.param("compiled", marks=pytest.mark.skipif(not NUMBA, reason="no numba"))]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine in turn; the compiled one only where numba is installed."""
    return str(request.param)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the data of figures that the user keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_processes() -> Iterator[None]:
    """No run starts processes, unless a test is about them: the workers of the suite have all cores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "PATIENCE", math.inf)
        yield


@pytest.fixture(scope="module")
def coarse_leap() -> Iterator[None]:
    """Experiments by leap in longer macro-steps, cut by fewer records, for files that ask what is made of the runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_sweep, "RECORDS", 60)
        patch.setitem(SAMPLERS, "leap", Leap(16, accuracy=0.2))
        yield


@pytest.fixture
def few_step_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fourth step size of the lattice, down from the largest, for those who do not ask which is best."""
    for module in (sample_curves, step_advice):
        monkeypatch.setattr(module, "step_size_lattice", lambda *facts: step_size_lattice(*facts)[::-4][::-1])


@pytest.fixture(autouse=True)
def _figures_closed() -> Iterator[None]:
    """No test leaves a figure behind (matplotlib warns after 20, and warnings are errors)."""
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def tilted_directions(problem: Problem, seeds: int, seed: int = 0) -> np.ndarray:
    """Rows (S, m, d), random but for student p, which starts at overlap 0.40 … 0.48 with direction p.

    Alignment is then early (1/(8 a s_0) ≈ 1/a), so that a short run at a step size small enough
    for noise not to matter shows whole transitions.
    """
    rng = np.random.default_rng([seed, 24])
    rows = rng.standard_normal((seeds, problem.m, problem.d))
    rows /= np.linalg.norm(rows, axis=2, keepdims=True)
    for p in range(problem.P):
        rest = rows[:, p] - rows[:, p, p, None] * np.eye(problem.d)[p]
        rest /= np.linalg.norm(rest, axis=1, keepdims=True)
        overlap = rng.uniform(0.40, 0.48, (seeds, 1))
        rows[:, p] = overlap * np.eye(problem.d)[p] + np.sqrt(1 - overlap**2) * rest
    return rows


@pytest.fixture(scope="session")
def small_problem() -> Problem:
    """h_4, d = 24, P = 2, m = 6, strengths 0.78 and 0.63: every transition within flow time 3.5."""
    return Problem(Activation("h4"), Teacher.power_law(2, beta=0.3), d=24, m=6, init_scale=0.1)


@pytest.fixture(scope="session")
def small_simulation(small_problem: Problem) -> Simulation:
    """Nine seeds (so that the interval may leave out the extremes) at a step size where noise is a few per cent."""
    if not NUMBA:
        pytest.skip("minutes without numba")
    directions = tilted_directions(small_problem, seeds=9)
    return sgd(small_problem, 5e-6, 700_000, seeds=9, directions=directions, records=100)


@pytest.fixture(scope="session")
def small_comparison(small_problem: Problem, small_simulation: Simulation) -> Comparison:
    """Theory beside the nine seeds."""
    return overlay(small_problem, small_simulation)


class Outcome(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Stdout as one JSON document and nothing else: strict (no NaN), one line."""
        assert self.out.count("\n") == 1 and self.out.endswith("\n")

        def refuse(name: str) -> None:
            raise AssertionError(f"{name} is not JSON")

        return json.loads(self.out, parse_constant=refuse)


class Cli:
    """``cli("predict", "--d", "12")`` runs the command in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *arguments: str) -> Outcome:
        self.capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return Outcome(code, *self.capsys.readouterr())

    def json(self, *arguments: str) -> Any:
        outcome = self(*arguments, "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.err == "", "progress only on a terminal"
        return outcome.document


def stored(name: str) -> set[str]:
    """The files of a stored result."""
    return {f"{name}.result.json", f"{name}.result.npz"}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


Make = Callable[..., Comparison]
HORIZON = 4.0  # of ``tiny``


@pytest.fixture(scope="session")
def tiny() -> tuple[Problem, Simulation]:
    """Nine seeds, P = 2, flow time 4; what the runs do is replaced below."""
    problem = Problem(Activation("h4"), Teacher([2.0, 1.0]), d=3, m=2)
    return problem, sgd(problem, 0.4, 10, seeds=9, records=10, sampler=Direct("numpy"), seed=2)


@pytest.fixture
def make(tiny: tuple[Problem, Simulation], monkeypatch: pytest.MonkeyPatch) -> Make:
    """``make(measured, predicted)``: both (S, 2) for alignment and recovery alike, or a dict by event."""
    problem, base = tiny
    prediction = predict(problem, base.directions[0], t_min=base.t_end, t_max=base.t_end, times=base.times)

    def table(values: Any, event: str) -> np.ndarray:
        return np.array(values[event] if isinstance(values, dict) else values, dtype=float)

    def run(
        measured: Any, predicted: Any, diverged: tuple[int, ...] = (), horizon: float = HORIZON, **settings: Any
    ) -> Comparison:
        seeds = len(table(measured, "alignment"))
        simulation = dataclasses.replace(
            base,
            **{
                name: np.resize(getattr(base, name), (seeds, *getattr(base, name).shape[1:]))
                for name in ("directions", "loss", "overlaps", "norms")
            },
            times=base.times * (horizon / HORIZON),
            alignment=table(measured, "alignment"),
            recovery=table(measured, "recovery"),
            divergence=tuple(Divergence(3, 1e4) if i in diverged else None for i in range(seeds)),
        )  # fmt: skip
        queue = iter(range(seeds))

        def predicted_by_hand(*_: Any, **__: Any) -> Prediction:
            i = next(queue)
            times = {event: {level: table(predicted, event)[i] for level in LEVELS} for event in measured_events}
            return dataclasses.replace(prediction, alignment=times["alignment"], recovery=times["recovery"])

        measured_events = ("alignment", "recovery")
        monkeypatch.setattr(importlib.import_module("emergence.compare.comparison"), "predict", predicted_by_hand)
        return overlay(problem, simulation, **settings)

    return run
