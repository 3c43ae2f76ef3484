"""Leap against the gradient flow: 10¹² samples at d = 1024, P = 16, m = 64 on one core.

    python benchmarks/leap.py
    python benchmarks/leap.py --share 0.1
    python benchmarks/leap.py --flow
    python benchmarks/leap.py --scarce
    python benchmarks/leap.py --virtual

Prints seconds and the median over directions of |T_leap/T_flow − 1|; then the
medians over 40 seeds against half the step and twice the virtual batch.  With ``--share`` one run of SGD at P = m =
1024, d = 2048, β = 0.8 and that share of the ceiling of the step size, to where the law of SGD has three quarters of
the directions recovered; prints minutes, memory, and learned directions over time beside the law's.  With ``--flow``
a run of that size next to without noise beside the full gradient flow from the same start (``tests/full_flow.txt``).
With ``--scarce`` the directions that are learned where there are as few students as directions and noise matters,
P = m = 16, d = 64, 0.2 and 0.5 of the ceiling, by leap and by the exact reduced sampler.  With ``--virtual`` the first
alignment at 0.64 of the ceiling by the number of virtual samples, over the law's: the geometric mean of times, what
is later than the run counted as its end on both sides, ± standard error over the runs; and the same of the exact
reduced sampler.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from dataclasses import replace
from pathlib import Path

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence import Activation, Leap, Problem, Reduced, Run, Teacher, execute, flow
from emergence.compare import check_step
from emergence.problem import seed_stream
from emergence.theory import sgd_law
from emergence.theory.gradient_noise import ceiling


def scale(share: float) -> None:
    """SGD with its noise at the size of the paper's figure."""
    problem = Problem(Activation("h4"), Teacher.power_law(1024, 0.8), d=2048, m=1024)
    eta = share * ceiling(problem)
    law = sgd_law(problem, eta, t_max=30_000.0)
    learned = np.array([(law.recovery <= t).mean() for t in law.times])
    horizon = float(law.times[np.argmax(learned >= 0.75)])
    started = time.process_time()
    run = execute(Run(problem, eta, int(horizon / eta), sampler=Leap(), records=50), workers=1)
    minutes = (time.process_time() - started) / 60
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{share:g} of the ceiling, t = {horizon:.0f}: {minutes:.1f} minutes of processor time, {memory:.2f} GiB")
    print(f"{'t':>8} {'SGD':>6} {'law':>7} {'±':>5}")
    for t in np.geomspace(horizon / 100, horizon, 9):
        counts = (law.recovery <= t).sum(axis=1)
        print(f"{t:8.0f} {(run.recovery[0] <= t).sum():6d} {counts.mean():7.1f} {counts.std():5.1f}")


def beside_flow(until: float = 14_000.0) -> None:
    """Leap at P = m = 1024 with next to no noise, beside the gradient flow with its full right-hand side."""
    kept = np.loadtxt(Path(__file__).parents[1] / "tests" / "full_flow.txt")
    problem, eta = Problem(Activation("h4"), Teacher.power_law(1024, 0.8), d=2048, m=1024), 1e-11
    rows, started = problem.initial_directions(seed_stream(0, 0, 0)), time.process_time()
    run = execute(Run(problem, eta, int(until / eta), directions=rows, sampler=Leap(), records=2), workers=1)
    minutes = (time.process_time() - started) / 60
    ours, flow = run.alignment[0], np.where(kept <= until, kept, np.inf)
    both = np.isfinite(ours) & np.isfinite(flow)
    middle, most, last = np.quantile(np.abs(ours[both] / flow[both] - 1), [0.5, 0.9, 0.99])
    print(
        f"{minutes:.1f} minutes; aligned {np.isfinite(ours).sum()}, flow {np.isfinite(flow).sum()}, both {both.sum()}; "
        f"times differ by {middle:.2%} in the median, {most:.2%} at 90 %, {last:.2%} at 99 %"
    )


def scarce() -> None:
    """Learned directions where students run out."""
    problem = Problem(Activation("h4"), Teacher.power_law(16, 0.8), d=64, m=16)
    samplers: dict[Leap | Reduced, int] = {Leap(): 300, Reduced(): 40}
    for share, until in ((0.2, 600), (0.5, 900)):
        eta = share * ceiling(problem)
        for sampler, seeds in samplers.items():
            began = time.process_time()
            run = execute(Run(problem, eta, int(until / eta), seeds=seeds, sampler=sampler, records=2), workers=1)
            counts = np.isfinite(run.recovery).sum(axis=1)[~run.diverged]
            print(
                f"{share:g} of the ceiling, {sampler}: {counts.mean():.2f} ± "
                f"{counts.std(ddof=1) / len(counts) ** 0.5:.2f} of 16, {run.diverged.sum()} diverged, "
                f"{(time.process_time() - began) / seeds:.2f} s a run",
                flush=True,
            )


def first_alignment() -> None:
    """How late the strongest direction is, where noise rules."""
    sizes: tuple[tuple[int, int, int, int, dict[Leap | Reduced, int]], ...] = (
        (32, 32, 512, 1_900_000, {Leap(V): 1500 for V in (16, 32, 64, 128)} | {Leap(16, 0.05): 1500}),
        (4, 8, 256, 1_000_000, {Leap(16): 4000, Leap(): 4000, Reduced(): 1400}),
    )
    for P, m, d, samples, samplers in sizes:
        problem = Problem(Activation("h4"), Teacher.power_law(P, 0.8), d=d, m=m)
        eta = 0.64 * ceiling(problem)
        end = samples * eta
        expected = np.log(np.minimum(sgd_law(problem, eta, t_max=end, draws=20_000).alignment[:, 0], end)).mean()
        for sampler, seeds in samplers.items():
            began = time.process_time()
            run = execute(Run(problem, eta, samples, seeds=seeds, sampler=sampler, records=2), workers=1)
            late = np.log(np.minimum(run.alignment[:, 0], end)) - expected
            ratio, error = np.exp(late.mean()), late.std(ddof=1) / np.sqrt(seeds)
            print(
                f"P = {P}, m = {m}, d = {d}, {sampler}: {ratio:.3f} ± {error:.3f} of the law's, "
                f"{(time.process_time() - began) / seeds * 1e3:.0f} ms a run",
                flush=True,
            )


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float)
    parser.add_argument("--flow", action="store_true")
    parser.add_argument("--scarce", action="store_true")
    parser.add_argument("--virtual", action="store_true")
    flags = parser.parse_args()
    if flags.virtual:
        first_alignment()
    elif flags.flow:
        beside_flow()
    elif flags.scarce:
        scarce()
    elif flags.share is not None:
        scale(flags.share)
    else:
        small()


def small() -> None:
    """10¹² samples, and the step check."""
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
