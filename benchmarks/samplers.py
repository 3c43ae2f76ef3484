"""Speed of every sampler, all in one run: µs a sample, and ratios to plain loops and to the limit.

    python benchmarks/samplers.py            # needs the extras fast and bench

Baselines, written as a user would: a PyTorch autograd loop, a NumPy loop, a compiled loop that
draws with NumPy's generator.  The limit is the time for the normals alone plus the time for the
floating-point work alone.  Every figure is the best of several repetitions of CPU time on one
core (``time.process_time``), so that other work on the machine matters little.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np
from numpy.random import SeedSequence

from emergence.problem import Activation, Problem, Teacher
from emergence.simulate.samplers import sgd_step as kernels
from emergence.simulate.samplers.direct import DirectRun, DirectStack
from emergence.simulate.samplers.normals import FastNormals
from emergence.simulate.samplers.reduced import ReducedRun
from emergence.simulate.samplers.stack import Setting
from emergence.simulate.schedule import constant

ETA = 1e-7
H4 = Activation("h4")


def best(work: Callable[[], object], samples: int, repeats: int = 7) -> float:
    """Least CPU time of ``work`` in µs a sample."""
    work()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times) / samples * 1e6


def setting(d: int, m: int, P: int, dtype: str = "float64", batch: int = 1) -> Setting:
    """h_4, β = 1, a step size at which nothing happens."""
    return Setting(Problem(H4, Teacher.power_law(P, 1.0), d=d, m=m), constant(ETA), batch, 0.0, dtype)


def start(of: Setting, reduced: bool = False) -> np.ndarray:
    """Initial students of norm 1e-3."""
    problem = of.problem
    if reduced and problem.d * problem.m > 10**7:
        rows = np.random.default_rng(0).standard_normal((problem.m, problem.P + problem.m))
        return 1e-3 * rows / np.linalg.norm(rows, axis=1, keepdims=True)
    rows = problem.initial_directions(0)
    return 1e-3 * (problem.coordinates(rows) if reduced else rows)


def direct(d: int, m: int, P: int, dtype: str = "float64") -> float:
    """Compiled direct sampler."""
    of = setting(d, m, P, dtype)
    run = DirectRun.seeded(of, start(of), SeedSequence(1))
    count = max(200, 20_000_000 // (d * m))
    return best(lambda: run.advance(count), count)


def batched(d: int, m: int, P: int, batch: int, dtype: str = "float64") -> float:
    """Mini-batches through BLAS."""
    of = setting(d, m, P, dtype, batch)
    stack = DirectStack.seeded(of, start(of)[None], [SeedSequence(1)])
    count = max(20, 20_000_000 // (d * m * batch))
    return best(lambda: stack.advance(count), count * batch)


def reduced(d: int, m: int, P: int, batch: int = 1) -> float:
    """Reduced sampler."""
    of = setting(d, m, P, batch=batch)
    run = ReducedRun(of, start(of, reduced=True), SeedSequence(1))
    count = max(500, 50_000_000 // (m * (P + 3 * m) * batch))
    return best(lambda: run.advance(count), count * batch)


def normals_alone(d: int, dtype: str) -> float:
    """Our normals, d a sample."""
    source, out = FastNormals(SeedSequence(1), dtype), np.empty((64, d), dtype)
    return best(lambda: [source.fill(out) for _ in range(50)], 64 * 50)


def numpy_normals(d: int, dtype: str) -> float:
    """NumPy's default generator, d normals a sample."""
    generator, out = np.random.default_rng(1), np.empty((64, d), dtype)
    return best(lambda: [generator.standard_normal(out=out, dtype=out.dtype.type) for _ in range(20)], 64 * 20)


def flops_alone(d: int, m: int, P: int, dtype: str) -> float:
    """The kernel on samples that are already there."""
    of = setting(d, m, P, dtype)
    V = start(of).astype(dtype)
    n, (c, b), old = np.sum(V.astype(float) ** 2, axis=1), np.zeros((2, m), dtype), np.zeros(d, dtype)
    X = np.random.default_rng(1).standard_normal((32, d)).astype(dtype)
    etas, noise, run = np.full(32, ETA), np.zeros(32), kernels.single(H4)
    zero = V.dtype.type(0)
    return best(lambda: [run(V, n, c, b, old, X, etas, noise, of.problem.a, zero) for _ in range(50)], 32 * 50)


def h4(u: np.ndarray) -> np.ndarray:
    """σ of the baselines."""
    return (u**4 - 6 * u**2 + 3) / math.sqrt(24)


def numpy_loop(d: int, m: int, P: int) -> float:
    """The literal algorithm as a NumPy loop."""
    a, rng = Teacher.power_law(P, 1.0).a, np.random.default_rng(1)
    V = start(setting(d, m, P)).copy()

    def work() -> None:
        for _ in range(500):
            x = rng.standard_normal(d)
            norm = np.linalg.norm(V, axis=1)
            u = V @ x / norm
            slope = (4 * u**3 - 12 * u) / math.sqrt(24)
            delta = norm**2 @ h4(u) - a @ h4(x[:P])
            inner = 2 * h4(u) - slope * u
            V[:] -= ETA * delta * (inner[:, None] * V + (norm * slope)[:, None] * x)

    return best(work, 500)


def compiled_loop(d: int, m: int, P: int) -> float:
    """The literal algorithm as a plain numba loop with NumPy's generator."""
    import numba

    a, rng = Teacher.power_law(P, 1.0).a, np.random.default_rng(1)
    V = start(setting(d, m, P)).copy()

    @numba.njit(fastmath=True)
    def work(V, a, rng, steps):  # type: ignore[no-untyped-def]
        m, d = V.shape
        x, u, norm = np.empty(d), np.empty(m), np.empty(m)
        for _ in range(steps):
            for j in range(d):
                x[j] = rng.standard_normal()
            delta = 0.0
            for p in range(a.size):
                delta -= a[p] * (x[p] ** 4 - 6 * x[p] ** 2 + 3) / math.sqrt(24)
            for k in range(m):
                dot = square = 0.0
                for j in range(d):
                    dot += V[k, j] * x[j]
                    square += V[k, j] * V[k, j]
                norm[k] = math.sqrt(square)
                u[k] = dot / norm[k]
                delta += square * (u[k] ** 4 - 6 * u[k] ** 2 + 3) / math.sqrt(24)
            for k in range(m):
                value = (u[k] ** 4 - 6 * u[k] ** 2 + 3) / math.sqrt(24)
                slope = (4 * u[k] ** 3 - 12 * u[k]) / math.sqrt(24)
                inner, outer = ETA * delta * (2 * value - slope * u[k]), ETA * delta * norm[k] * slope
                for j in range(d):
                    V[k, j] -= inner * V[k, j] + outer * x[j]

    return best(lambda: work(V, a, rng, 2000), 2000)


def torch_loop(d: int, m: int, P: int) -> float | None:
    """A PyTorch autograd loop; None without the extra ``bench``."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    a = torch.tensor(Teacher.power_law(P, 1.0).a, dtype=torch.float32)
    V = torch.tensor(start(setting(d, m, P)), dtype=torch.float32, requires_grad=True)
    optimiser = torch.optim.SGD([V], lr=ETA)

    def sigma(u):  # type: ignore[no-untyped-def]
        return (u**4 - 6 * u**2 + 3) / math.sqrt(24)

    def work() -> None:
        for _ in range(300):
            x = torch.randn(d)
            norm = V.norm(dim=1)
            student = (norm**2 * sigma(V @ x / norm)).sum()
            loss = 0.5 * (student - (a * sigma(x[:P])).sum()) ** 2
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return best(work, 300, repeats=5)


def main() -> None:
    """Print the tables."""
    d, m, P = 1000, 16, 8
    print(f"d = {d}, m = {m}, P = {P}, batch 1, h4; µs a sample, one core, best of 7")
    limit32 = numpy_normals(d, "float32")
    ours = {dtype: direct(d, m, P, dtype) for dtype in ("float64", "float32")}
    rows: list[tuple[str, float | None]] = [
        ("PyTorch autograd loop, float32", torch_loop(d, m, P)),
        ("plain NumPy loop, float64", numpy_loop(d, m, P)),
        ("plain numba loop, NumPy's generator", compiled_loop(d, m, P)),
        ("NumPy's generator alone, float32", limit32),
        ("direct, float64", ours["float64"]),
        ("direct, float32", ours["float32"]),
        ("direct, float64, batch 64 (BLAS)", batched(d, m, P, 64)),
        ("reduced", reduced(d, m, P)),
    ]
    for name, value in rows:
        if value is None:
            print(f"  {name:<38} needs the extra bench")
        else:
            ratio = f"{ours['float64'] / value:8.3g} × direct float64, {limit32 / value:8.3g} × NumPy's normals"
            print(f"  {name:<38} {value:9.3f}   {ratio}")
    for dtype, value in ours.items():
        parts = normals_alone(d, dtype), flops_alone(d, m, P, dtype)
        share = value / sum(parts)
        print(f"  direct {dtype}: {value:.3f} = {share:.2f} × (normals {parts[0]:.3f} + flops {parts[1]:.3f})")
    print("\nµs a sample against d, m, P (reduced also at batch 8)")
    print(f"  {'m':>4} {'P':>4} {'d':>9} {'direct':>10} {'reduced':>10} {'ratio':>8} {'batch 8':>9}")
    for m, P in ((16, 8), (64, 16), (128, 64)):
        for d in (1000, 10_000, 1_000_000):
            exact = direct(d, m, P) if d * m <= 1_280_000 else math.nan
            fast, eight = reduced(d, m, P), reduced(d, m, P, 8)
            print(f"  {m:>4} {P:>4} {d:>9} {exact:>10.3f} {fast:>10.3f} {exact / fast:>8.1f} {eight:>9.3f}")


if __name__ == "__main__":
    main()
