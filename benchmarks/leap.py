"""Leap against the gradient flow: 10¹² samples at d = 1024, P = 16, m = 64 on one core.

    python benchmarks/leap.py

Prints seconds and the median over directions of |T_leap/T_flow − 1|; then the
medians over 40 seeds against half the step and twice the virtual batch.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence import Activation, Leap, Problem, Run, Teacher, execute, flow
from emergence.compare import check_step
from emergence.problem import seed_stream


def main() -> None:
    """Run both parts."""
    problem = Problem(Activation("h4"), Teacher.power_law(16, 1.0), d=1024, m=64)
    rows = problem.initial_directions(seed_stream(0, 0, 0))
    exact = flow(problem, rows, t_max=3000, until=np.full(16, True))
    started = time.perf_counter()
    leaped = execute(Run(problem, 1e-9, 10**12, directions=rows, sampler=Leap()), workers=1)
    seconds = time.perf_counter() - started
    error = np.abs(leaped.alignment[0] / exact.alignment - 1)
    print(f"1e12 samples in {seconds:.2f} s; alignment error median {np.median(error):.4f}, largest {error.max():.4f}")

    small = Problem(Activation("h4"), Teacher.power_law(2, 1.0), d=128, m=8)
    run = Run(small, 1e-6, 10**8, seeds=40, sampler=Leap())
    coarse = execute(run)
    finer = replace(run, sampler=Leap().finer(), directions=coarse.directions, seed=run.seed + 1)
    fine = execute(finer)  # the same starts, noise of its own
    print(check_step(coarse, fine))
    for p in range(2):
        a, b = coarse.alignment[:, p], fine.alignment[:, p]
        spread = 1.2533 * (np.quantile(b, 0.75) - np.quantile(b, 0.25)) / 1.349 / np.sqrt(40)
        gap = (np.median(a) - np.median(b)) / (np.sqrt(2) * spread)
        print(f"  p = {p + 1}: median {np.median(a):.4g} against {np.median(b):.4g}: {gap:+.2f} standard errors")


if __name__ == "__main__":
    main()
