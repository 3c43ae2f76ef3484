"""Speed of every sampler, all in one run: µs a sample, and ratios to plain loops and to the limit.

    python benchmarks/samplers.py                # needs the extras fast and gpu; about a minute
    python benchmarks/samplers.py --repeats 1    # a look

Baselines, written as a user would: a PyTorch autograd loop, a NumPy loop, a compiled loop that
draws with NumPy's generator.  The limit is the time for the normals alone plus the time for the
floating-point work alone.  Every number is the best of several repetitions of CPU time on one
core (``time.process_time``), so that other work on the machine matters little.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np
from numpy.random import SeedSequence

from emergence import Activation, Direct, Problem, Reduced, Run, Teacher
from emergence.simulate.samplers import Sampler
from emergence.simulate.samplers.normals import FastNormals
from emergence.simulate.samplers.scalar import kernels_of

ETA = 1e-7  # a step size at which nothing happens
H4 = Activation("h4")
REPEATS = 7


def best(work: Callable[[], object], samples: int) -> float:
    """Least CPU time of ``work`` in µs a sample."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times) / samples * 1e6


def problem(d: int, m: int, P: int) -> Problem:
    """h_4, β = 1."""
    return Problem(H4, Teacher.power_law(P, 1.0), d=d, m=m)


def rows(of: Problem, whole: bool = True) -> np.ndarray:
    """Initial unit rows; their coordinates, drawn without the rows, where d of them are not needed."""
    return (of.initial_directions if whole else of.initial_coordinates)(0)


def timed(sampler: Sampler, of: Problem, work: int, batch: int = 1) -> float:
    """A sampler's µs a sample, over about ``work`` multiplications."""
    run = Run(of, ETA, 10**15 * batch, batch=batch, records=1, sampler=sampler)
    stack = run.sampler.begin(run, of.init_scale * rows(of, sampler.whole)[None], [SeedSequence(1)])
    width = of.d if sampler.whole else of.P + 3 * of.m
    count = max(20, work // (width * of.m * batch))
    return best(lambda: stack.advance(count), count * batch)


def direct(d: int, m: int, P: int) -> float:
    """Compiled direct sampler."""
    return timed(Direct("compiled"), problem(d, m, P), 20_000_000)


def batched(d: int, m: int, P: int, batch: int) -> float:
    """Mini-batches through BLAS."""
    return timed(Direct("numpy"), problem(d, m, P), 20_000_000, batch)


def reduced(d: int, m: int, P: int, batch: int = 1) -> float:
    """Reduced sampler."""
    return timed(Reduced(), problem(d, m, P), 50_000_000, batch)


def normals_alone(d: int) -> float:
    """Our normals, d a sample."""
    source, out = FastNormals(SeedSequence(1)), np.empty((64, d))
    return best(lambda: [source.fill(out) for _ in range(50)], 64 * 50)


def numpy_normals(d: int) -> float:
    """NumPy's default generator, d normals a sample."""
    generator, out = np.random.default_rng(1), np.empty((64, d))
    return best(lambda: [generator.standard_normal(out=out) for _ in range(20)], 64 * 20)


def flops_alone(d: int, m: int, P: int) -> float:
    """The kernel on samples that are already there."""
    of = problem(d, m, P)
    V = of.init_scale * rows(of)
    n, (c, b), old = np.sum(V**2, axis=1), np.zeros((2, m)), np.zeros(d)
    X = np.random.default_rng(1).standard_normal((32, d))
    etas, noise, kernels = np.full(32, ETA), np.zeros(32), kernels_of(H4)
    arguments = V, n, c, b, old, X, etas, noise, of.a, kernels.sigma, kernels.slope
    return best(lambda: [kernels.single(*arguments) for _ in range(50)], 32 * 50)


def h4(u: np.ndarray) -> np.ndarray:
    """σ of the baselines."""
    return (u**4 - 6 * u**2 + 3) / math.sqrt(24)


def numpy_loop(d: int, m: int, P: int) -> float:
    """The literal algorithm as a NumPy loop."""
    a, rng = Teacher.power_law(P, 1.0).a, np.random.default_rng(1)
    V = 1e-3 * rows(problem(d, m, P))

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
    V = 1e-3 * rows(problem(d, m, P))

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
    """A PyTorch autograd loop; None without the extra ``gpu``."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    a = torch.tensor(Teacher.power_law(P, 1.0).a, dtype=torch.float32)
    V = torch.tensor(1e-3 * rows(problem(d, m, P)), dtype=torch.float32, requires_grad=True)
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

    return best(work, 300)


def main() -> None:
    """Print the tables."""
    global REPEATS
    parser = argparse.ArgumentParser(description="Speed of every sampler, in µs a sample.")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="repetitions of which the best counts (default 7)")
    REPEATS = parser.parse_args().repeats
    d, m, P = 1000, 16, 8
    print(f"d = {d}, m = {m}, P = {P}, batch 1, h4; µs a sample, one core, best of {REPEATS}")
    limit, ours = numpy_normals(d), direct(d, m, P)
    table: list[tuple[str, float | None]] = [
        ("PyTorch autograd loop, float32", torch_loop(d, m, P)),
        ("plain NumPy loop", numpy_loop(d, m, P)),
        ("NumPy's generator alone: d normals", limit),
        ("plain numba loop, NumPy's generator", compiled_loop(d, m, P)),
        ("direct", ours),
        ("direct, batch 64 (BLAS)", batched(d, m, P, 64)),
        ("reduced", reduced(d, m, P)),
    ]
    for name, value in table:
        if value is None:
            print(f"  {name:<36} needs the extra gpu")
        else:
            print(f"  {name:<36} {value:9.3f}   {ours / value:8.3g} × direct, {limit / value:8.3g} × NumPy's normals")
    parts = normals_alone(d), flops_alone(d, m, P)
    print(f"  direct: {ours:.3f} = {ours / sum(parts):.2f} × (normals {parts[0]:.3f} + flops {parts[1]:.3f})")
    print("\nµs a sample against d, m, P (reduced also at batch 8)")
    print(f"  {'m':>4} {'P':>4} {'d':>9} {'direct':>10} {'reduced':>10} {'ratio':>8} {'batch 8':>9}")
    for m, P in ((16, 8), (64, 16), (128, 64)):
        for d in (1000, 10_000, 1_000_000):
            exact = direct(d, m, P) if d * m <= 1_280_000 else math.nan
            fast, eight = reduced(d, m, P), reduced(d, m, P, 8)
            print(f"  {m:>4} {P:>4} {d:>9} {exact:>10.3f} {fast:>10.3f} {exact / fast:>8.1f} {eight:>9.3f}")


if __name__ == "__main__":
    main()
