"""The direct sampler in PyTorch: the step of the NumPy engine, on any device, in single precision or double.

What a step adds is compared with NumPy's on the same samples; that the samples have their law, by moments of steps.
Here on the CPU, where every operation is the one that a GPU is asked for.
"""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.random import SeedSequence
from scipy.stats import norm
from test_samplers import ETA, N0, R0, D, exact_step

from emergence.problem import Activation, Problem, Teacher
from emergence.problem.numeric import torch_functions
from emergence.problem.population_loss import velocity
from emergence.simulate import Auto, Direct, Run, execution, sgd
from emergence.simulate.samplers import direct_torch
from emergence.simulate.samplers.direct import DirectStack
from emergence.simulate.samplers.direct_torch import TorchStack
from emergence.simulate.samplers.normals import NumpyNormals

torch = pytest.importorskip("torch")
ALARM = 1e-9  # false-alarm rate of every statistical assertion below
Z = float(norm.isf(ALARM / 2))
CPU = Direct("torch", "cpu")
SMALL = Problem(Activation("h4"), Teacher.power_law(2, 0.5), d=12, m=3, init_scale=0.6)
ROUNDING = {"single": 2.0**-24, "double": 2.0**-53}
# 24 students and samples with |u| < 5: sums of B terms that cancel, h_4 and its slope with condition numbers below 30
TOLERANCE = {precision: 1e3 * unit for precision, unit in ROUNDING.items()}
TEXTS = [
    ("h4", 0), ("h4 + h6/2", 0), ("x**5 - 2*x", 2), ("abs(x)", 3), ("cos(x)*h4", 1), ("relu(x)", 1), ("tanh(x)**3", 0),
    ("max(x, x**2) + min(1, x)", 2), ("x*Heaviside(x - 1)", 0), ("exp(-x**2/2)", 1), ("log(1 + x**2)", 1), ("x", 0),
    ("sqrt(abs(x))**3", 1), ("sqrt(2 + x**2) + exp(pi*log(1 + abs(x)))/99", 1), ("tan(sin(x)/2)", 0),
    ("sinh(x/2) + cosh(x/2)", 1),
    ("erf(x)", 0), ("sigmoid(x)", 1), ("softplus(x)", 1), ("gelu(x)", 1), ("sign(x)*x**2", 0), ("h3/(1 + x**4)", 0),
]  # fmt: skip


def setting(problem: Problem, batch: int, precision: str = "single", **more: Any) -> Run:
    return Run(problem, ETA, 10**9 * batch, batch=batch, sampler=Direct("torch", "cpu", precision), **more)


def begun(run: Run, students: np.ndarray, seed: int = 1) -> TorchStack:
    """The sampler of ``run`` with students (S, m, d)."""
    stack = run.sampler.begin(run, students, SeedSequence(seed).spawn(len(students)))
    assert isinstance(stack, TorchStack)
    return stack


def given(stack: TorchStack, samples: np.ndarray, noise: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let it draw these samples (B, d) and label noises (B,) in every step; how many it asks for at a time."""
    asked: list[int] = []

    def draw(rows: int, _: object) -> tuple[Any, Any]:
        at = sum(asked) % len(samples)
        asked.append(rows)
        dtype = stack._here["dtype"]
        return tuple(torch.tensor(part[at : at + rows], dtype=dtype) for part in (samples, noise))

    monkeypatch.setattr(stack, "_draw", draw)
    return asked


@pytest.mark.parametrize("precision", ROUNDING)
@pytest.mark.parametrize(("text", "cut"), TEXTS)
def test_activations_on_tensors_are_those_of_numpy(text: str, cut: int, precision: str) -> None:
    sigma = Activation(text, cut)
    grid = np.append(np.linspace(-5, 5, 81), -0.0)  # exact in both precisions; kinks included
    points = torch.tensor(grid, dtype=getattr(torch, direct_torch.PRECISIONS[precision]))
    both, held = torch_functions(*direct_torch._expressions(sigma))
    for got, expected in zip(both(points), (sigma(grid), sigma.derivative(grid)), strict=True):
        assert got.dtype == points.dtype and got.shape == points.shape
        # terms of a recurrence or a series may cancel, down from their size at the far end
        size = 1 + np.array([np.abs(expected[np.abs(grid) <= abs(u)]).max() for u in grid])
        assert np.max(np.abs(got.double().numpy() - expected) / size) < 100 * ROUNDING[precision]
    assert held > 1


@pytest.mark.parametrize("precision", ROUNDING)
@pytest.mark.parametrize(("text", "cut"), [("h4", 0), ("h4 + h6/2", 0), ("abs(x)", 3), ("tanh(x)**3", 0)])
def test_a_step_on_given_samples_is_that_of_numpy(
    text: str, cut: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two seeds, label noise; students of different lengths."""
    problem = Problem(Activation(text, cut), Teacher.power_law(3, 0.5), d=20, m=6, init_scale=0.7)
    rng = np.random.default_rng(0)
    start = rng.uniform(0.1, 0.9, (2, 6, 1)) * np.stack([problem.initial_directions(seed) for seed in range(2)])
    samples, noise = rng.standard_normal((50, 20)), rng.standard_normal(50)
    run = setting(problem, 50, precision, label_noise=0.7)
    reference = DirectStack(run, start, [NumpyNormals(SeedSequence(i)) for i in range(2)])
    reference._x[:], reference._noise[:] = samples, noise
    reference._step(0.01)
    stack = begun(run, start)
    given(stack, samples, 0.7 * noise, monkeypatch)
    for V in stack._students:
        stack._step(V, None, 0.01)
    moves = reference.students() - start
    assert np.abs(stack.students() - start - moves).max() < TOLERANCE[precision] * np.abs(moves).max()


@pytest.mark.parametrize("precision", ROUNDING)
def test_pieces_of_a_batch_make_the_same_step(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = 0.6 * SMALL.initial_directions(0)[None]
    rng = np.random.default_rng(1)
    samples, noise = rng.standard_normal((100, 12)), rng.standard_normal(100)
    run = setting(SMALL, 100, precision, label_noise=0.5)
    moves, asked = [], []
    for limit in (direct_torch.PIECE_BYTES, 2**12):
        monkeypatch.setattr(direct_torch, "PIECE_BYTES", limit)
        stack = begun(run, start)
        asked.append(given(stack, samples, noise, monkeypatch))
        stack.advance(1)
        moves.append(stack.students() - start)
    (whole,), pieces = asked
    assert whole == sum(pieces) == 100 and len(pieces) > 3 and pieces[-1] < pieces[0] == max(pieces)
    assert np.abs(moves[1] - moves[0]).max() < TOLERANCE[precision] * np.abs(moves[0]).max()


def test_what_is_drawn_is_as_long_as_asked_and_new_every_time() -> None:
    run = setting(SMALL, 8, label_noise=0.5)
    stack = begun(run, np.stack([0.6 * SMALL.initial_directions(0)] * 2))
    draws = [stack._draw(8, generator) for generator in (*stack._generators, *stack._generators)]
    assert all(x.shape == (8, 12) and noise.shape == (8,) for x, noise in draws)
    assert len({float(x[0, 0]) for x, _ in draws} | {float(noise[0]) for _, noise in draws}) == 8
    large, noise = stack._draw(10**5, stack._generators[0])
    # n = 10⁵: sample variances of normals scatter by √(2/n)
    assert abs(float(large[:, 3].var()) - 1) < Z * math.sqrt(2e-5)
    assert abs(float(noise.var()) / 0.25 - 1) < Z * math.sqrt(2e-5)


@pytest.mark.parametrize(("batch", "label_noise"), [(1, 0.0), (4, 0.7)])
def test_one_step_moments(batch: int, label_noise: float) -> None:
    """Exact mean and variance of the overlap's increment and mean of ‖U‖²'s: z-tests, n = 10,000 seeds, alarm 1e-9."""
    problem, count = Problem(Activation("h4"), Teacher([1.0]), d=D, m=1, init_scale=math.sqrt(N0)), 10_000
    start = np.zeros((count, 1, D))
    start[:, 0, :2] = math.sqrt(N0) * np.array([R0, math.sqrt(1 - R0**2)])
    stack, exact = begun(setting(problem, batch, label_noise=label_noise), start), exact_step(batch, label_noise)
    stack.advance(1)
    v = stack.students()[:, 0]
    across, beside = v[:, 0] - start[0, 0, 0], np.sum(v[:, 1:] ** 2, axis=1) - start[0, 0, 1] ** 2
    assert abs(across.mean() - exact["mean"]) < Z * math.sqrt(exact["variance"] / count)
    squares = (across - exact["mean"]) ** 2
    # heavy tails: the sample's own fourth moment makes the bar
    assert abs(squares.mean() - exact["variance"]) < Z * squares.std() / math.sqrt(count)
    assert abs(beside.mean() - exact["beside"]) < Z * beside.std() / math.sqrt(count)


def test_a_step_of_several_students_has_the_law_of_numpy() -> None:
    """Mean against −η ∇L, E ΔV ΔVᵀ against NumPy's: z-tests, n = 4000 seeds, alarm 1e-9.

    P = 2, m = 3, B = 32, label noise.  sin(2x) is bounded: its gradients have all moments.
    """
    problem = replace(SMALL, activation=Activation("sin(2*x)"))
    start = np.stack([0.6 * problem.initial_directions(0)] * 4000)
    run = setting(problem, 32, label_noise=0.7)
    n, unit = np.full(3, 0.36), start[0] / 0.6
    F, tangent = velocity(problem, n, unit)
    expected = ETA * 0.6 * (2 * F[:, None] * unit + tangent)
    upper, seconds = np.triu_indices(3), []
    numpy_stack = DirectStack(run, start, [NumpyNormals(stream) for stream in SeedSequence(2).spawn(4000)])
    for stack in (begun(run, start), numpy_stack):
        stack.advance(1)
        moves = stack.students() - start
        z = (moves.mean(axis=0) - expected) / (moves.std(axis=0) / math.sqrt(4000))
        assert np.abs(z).max() < Z
        seconds.append((moves @ moves.transpose(0, 2, 1))[:, *upper])
    ours, other = (s.mean(axis=0) for s in seconds)
    error = np.hypot(*(s.std(axis=0) / math.sqrt(4000) for s in seconds))
    assert (np.abs(ours - other) < Z * error).all()
    own = upper[0] == upper[1]
    assert (error[own] < 0.05 * other[own]).all(), "sharp enough to see a noise that is ten per cent too strong"


def test_steps_below_single_precision_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """2000 steps of some 1e-9 of a student each, as far as one that is 2000 times as long."""
    start = 0.6 * SMALL.initial_directions(0)[None]
    samples = np.random.default_rng(1).standard_normal((8, 12))
    moves = []
    for eta, steps in ((1e-9, 2000), (2e-6, 1)):
        run = Run(SMALL, eta, 8 * steps, batch=8, sampler=CPU)
        stack = begun(run, start)
        given(stack, samples, np.zeros(8), monkeypatch)
        stack.advance(steps)
        moves.append(stack.students() - start)
    assert np.abs(moves[1]).max() < 2000 * 2.0**-25 * np.abs(start).max(), "premise: lost in single precision"
    # rounding of the unit rows, 6e-8 with a condition number of some ten, and curvature, some 1e-5 of the move
    assert np.abs(moves[0] - moves[1]).max() < 1e-4 * np.abs(moves[1]).max()


def test_the_step_size_follows_its_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    start = 0.6 * SMALL.initial_directions(0)[None]
    run = Run(SMALL, lambda s: np.where(s == 3, 1e-3, 1e-300), 8 * 8, batch=8, sampler=CPU)
    stack = begun(run, start)
    moved = [bool(np.abs(stack.advance(1) and stack.students() - start).max() > 0) for _ in range(3)]
    stack.advance(2)
    assert moved == [False] * 3 and np.abs(stack.students() - start).max() > 1e-6


@pytest.mark.parametrize("step_size", [1e3, 1e155, 1e280])
def test_overflow_is_quiet_data(step_size: float) -> None:
    run = sgd(SMALL, step_size, 3000, seeds=3, records=4, sampler=CPU)
    assert run.diverged.all() and run.loss_check is None
    assert all(event is not None and event.step <= 3 and np.isfinite(event.norm) for event in run.divergence)


def test_the_other_seeds_go_on_when_one_diverges() -> None:
    """Bit for bit: seeds share nothing but the device."""
    problem = Problem(Activation("h4"), Teacher([2.0, 1.0]), d=6, m=3, init_scale=0.3)
    settings: dict[str, Any] = {"records": 40, "sampler": CPU}
    runs = (sgd(problem, 0.01, 400, seeds=3, seed=seed, **settings) for seed in range(5, 100))
    many = next(run for run in runs if run.diverged[:-1].any() and not run.diverged[-1])
    alone = many.run.begin(many.directions[[2]], [2])
    alone.advance(400)
    (V,) = alone.students()
    np.testing.assert_array_equal(np.sqrt(np.einsum("kd,kd->k", V, V)), many.norms[2, -1])


def test_result_and_identity_say_engine_device_and_precision() -> None:
    run = sgd(SMALL, 1e-4, 320, batch=32, seeds=2, records=4, sampler=CPU)
    document = run.as_dict()
    assert [document[key] for key in ("engine", "device", "dtype")] == ["torch", "cpu", "float32"]
    assert "engine torch on cpu, float32:" in str(run)
    assert run.run.identity()["sampler"] == {"engine": "torch", "device": "cpu", "precision": "single"}
    other = sgd(SMALL, 1e-4, 320, batch=32, records=4, sampler=Direct("torch", "cpu", "double"))
    plain = sgd(SMALL, 1e-4, 32, sampler=Direct("numpy")).as_dict()
    assert (other.as_dict()["dtype"], plain["device"], plain["dtype"]) == ("float64", "cpu", "float64")


def test_a_batch_of_any_size_is_one_task_of_all_seeds() -> None:
    wide = Problem(Activation("h4"), Teacher.power_law(4, 1.0), d=2048, m=8)
    run = Run(wide, 1e-4, 10**7, batch=10**7, seeds=3, sampler=CPU)
    assert execution._groups(run, 8) == [[0, 1, 2]]
    with pytest.raises(ValueError, match="does not fit in memory"):
        Run(wide, 1e-4, 10**7, batch=10**7, sampler=Direct("numpy"))


def test_auto_never_takes_it() -> None:
    for batch in (1, 4096):
        assert Run(SMALL, 1e-4, 10 * batch, batch=batch).sampler.engine in ("numpy", "compiled")
    with pytest.raises(ValueError, match="engine torch is of the direct sampler alone"):
        Auto("torch")


def test_the_device_is_cuda_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda found=found: found)
        assert Direct("torch").ready(SMALL, 8) == Direct("torch", device, "single")
    with pytest.raises(ValueError, match="`device` is cuda, but PyTorch finds none here"):
        Run(SMALL, 1e-4, 8, sampler=Direct("torch", "cuda"))


def test_the_torch_engine_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs PyTorch; install sgd-emergence\[gpu\]"):
        sgd(SMALL, 1e-4, 10, sampler=Direct("torch"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("torch", "gpu"), "`device` must be one of cpu, cuda, but is 'gpu'"),
        (("torch", None, "half"), "`precision` must be one of single, double, but is 'half'"),
        (("numpy", "cpu"), "`device` is a setting of engine torch alone, but `engine` is 'numpy'"),
        (("auto", None, "single"), "`precision` is a setting of engine torch alone, but `engine` is 'auto'"),
    ],
)
def test_settings_that_are_none_are_refused(settings: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        Direct(*settings)
    assert str(caught.value) == message
