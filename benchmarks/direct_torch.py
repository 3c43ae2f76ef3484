"""The direct sampler on large mini-batches: engine torch against engine numpy, and the paper's size on a GPU.

    python benchmarks/direct_torch.py [--P 64] [--m 64] [--d 512] [--batch 4096]    # samples a second of both engines
    python benchmarks/direct_torch.py --paper 540 [--share 0.3] [--out paper.npz]   # that many seconds of SGD

The first takes the best of some repetitions, each by wall clock, NumPy and PyTorch's CPU on one core.  The second is
h4, β = 0.8, P = m = 1024, d = 2048 at B = 65,536 unless said otherwise, at a share of the ceiling of the step size
(``theory.gradient_noise``) times B, but no more than a tenth of 2/λ, where λ = 4 a_1 max(φ(1), φ'(1)/4) is the
fastest rate at which what is learned relaxes.  Loss and number of recovered directions against samples are written
after every record, so that a run that is ended early leaves what it has.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence import Activation, Direct, Problem, Run, Teacher
from emergence.problem.population_loss import loss_of_students
from emergence.theory.gradient_noise import ceiling

REPEATS = 5
SPACING = 1.05  # ratio of the steps of successive records


def setting(problem: Problem, step_size: float, batch: int, sampler: Direct) -> Run:
    """A run without an end."""
    return Run(problem, step_size, 10**12 * batch, batch=batch, records=1, sampler=sampler)


def speed(problem: Problem, batch: int, sampler: Direct) -> float:
    """Samples a second, the best of ``REPEATS`` times half a second or one step."""
    run = setting(problem, 1e-9, batch, sampler)
    stack = run.begin(run.starts(), [0])
    stack.advance(1)
    best = 0.0
    for _ in range(REPEATS):
        started, steps = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - started) < 0.5 or not steps:
            steps += stack.advance(1)
        best = max(best, steps * batch / elapsed)
    return best


def paper(problem: Problem, batch: int, share: float, seconds: float, sampler: Direct, out: Path) -> None:
    """SGD for so many seconds, its loss against samples in ``out``."""
    sigma, top = problem.activation, ceiling(problem)
    stable = 0.2 / (4 * problem.a.max() * max(sigma.second_moment, sigma.slope_second_moment / 4))
    eta = min(share * top * batch, stable)
    run = setting(problem, eta, batch, sampler)
    stack = run.begin(run.starts(), [0])
    print(f"{run.sampler}: ceiling {top:.3g} a sample, step size {eta:.3g} = {eta / batch / top:.2f} of it", flush=True)
    started, steps, rows = time.perf_counter(), 0, []
    while True:
        (V,) = stack.students()
        recovered = np.sum((V[:, : problem.P] ** 2).sum(axis=0) >= problem.a / 2)
        rows.append(
            (steps * batch, steps * eta, loss_of_students(problem, V), recovered, time.perf_counter() - started)
        )
        np.savez(
            out, samples=[row[0] for row in rows], time=[row[1] for row in rows], loss=[row[2] for row in rows],
            recovered=[row[3] for row in rows], seconds=[row[4] for row in rows], step_size=eta, batch=batch,
            ceiling=top, a=problem.a, d=problem.d, m=problem.m, sampler=str(run.sampler),
        )  # fmt: skip
        print("{:.3g} samples, t = {:.4g}: loss {:.4g}, {} recovered, {:.0f} s".format(*rows[-1]), flush=True)
        if time.perf_counter() - started > seconds or not np.isfinite(rows[-1][2]):
            return
        steps += stack.advance(max(1, int((SPACING - 1) * steps)))


def main() -> None:
    """One of the two."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--paper", type=float, metavar="SECONDS", help="the paper's size for that long")
    for name in ("P", "m", "d", "batch"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--beta", type=float, default=0.8)
    parser.add_argument("--share", type=float, default=0.3, help="of the ceiling of the step size")
    parser.add_argument("--device", help="cpu or cuda; cuda where there is one")
    parser.add_argument("--out", type=Path, default=Path("paper.npz"))
    flags = parser.parse_args()
    usual = (64, 64, 512, 4096) if flags.paper is None else (1024, 1024, 2048, 65_536)
    given = (flags.P, flags.m, flags.d, flags.batch)
    P, m, d, batch = (size if own is None else own for own, size in zip(given, usual, strict=True))
    problem = Problem(Activation("h4"), Teacher.power_law(P, flags.beta), d=d, m=m)
    ours = Direct("torch", flags.device).ready(problem, batch)
    if flags.paper is not None:
        paper(problem, batch, flags.share, flags.paper, ours, flags.out)
        return
    fast, slow = speed(problem, batch, ours), speed(problem, batch, Direct("numpy"))
    print(f"h4, P = {P}, m = {m}, d = {d}, batch {batch}, samples a second:")
    print(f"  torch on {ours.device}, {ours.dtype}  {fast:.3g}  ({fast / slow:.2f} × numpy)")
    print(f"  numpy, float64          {slow:.3g}")


if __name__ == "__main__":
    main()
