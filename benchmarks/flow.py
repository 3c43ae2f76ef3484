"""The gradient flow direction by direction against the one with the full right-hand side, on one core.

    python benchmarks/flow.py [--largest P]

h4, d = 2048, β = 0.8, σ_0 = 1e-3, P = m, to three quarters recovered.  Prints processor seconds and right-hand sides of
both, their ratio, and the largest and the median difference of alignment times; beyond P = 128 the exact flow takes
minutes to hours and is left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence import Activation, Flow, Problem, Teacher, flow
from emergence.problem import seed_stream

SIZES = (4, 16, 32, 64, 128, 256, 512, 1024)
EXACT = 128  # largest P of the exact flow


def measured(problem: Problem, rows: np.ndarray, t_max: float, method: str) -> tuple[Flow, float]:
    """The flow, and its processor seconds."""
    started = time.process_time()
    solution = flow(problem, rows, t_max=t_max, method=method)
    return solution, time.process_time() - started


def main() -> None:
    """One line a size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--largest", type=int, default=1024, help="largest P")
    sizes = [(P, P) for P in SIZES if parser.parse_args().largest >= P]
    if parser.parse_args().largest >= 1024:
        sizes.append((1024, 4096))
    for P, m in sizes:
        problem = Problem(Activation("h4"), Teacher.power_law(P, 0.8), d=2048, m=m)
        rows = problem.initial_coordinates(seed_stream(0, 0, 0))
        horizon = 40 * problem.d / float(problem.a.min())
        t_max = float(np.sort(flow(problem, rows, t_max=horizon / 40, method="diagonal").recovery)[3 * P // 4 - 1])
        if not np.isfinite(t_max):
            t_max = float(np.sort(flow(problem, rows, t_max=horizon, method="diagonal").recovery)[3 * P // 4 - 1])
        t_max *= 1.0001
        quick, seconds = measured(problem, rows, t_max, "diagonal")
        line = f"P = {P:4d}, m = {m:4d}, t = {t_max:6.0f}: diagonal {seconds:6.2f} s, {quick.evaluations} sides"
        bound = quick.bound[np.isfinite(quick.bound)]
        line += f", bound median {np.median(bound):.1e}, above 0.5 %: {quick.doubtful.size} of {bound.size}"
        if P <= EXACT:
            exact, longer = measured(problem, rows, t_max, "exact")
            both = np.isfinite(quick.alignment) & np.isfinite(exact.alignment)
            error = np.abs(quick.alignment[both] / exact.alignment[both] - 1)
            line += f"; exact {longer:6.2f} s, {exact.evaluations} sides, ratio {longer / seconds:.1f}"
            line += f"; difference {error.max():.1e} largest, {np.median(error):.1e} median"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{line}; peak memory {peak:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
