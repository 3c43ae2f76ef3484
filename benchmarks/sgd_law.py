"""The law of SGD at a finite step size beside runs of a sampler of this package, all from random starts.

    python benchmarks/sgd_law.py --P 4 --m 16 --d 256 --share 0.3 --label-noise 1 --samples 1e7
    python benchmarks/sgd_law.py --method leap --P 32 --m 64 --d 4096 --share 0.5 --samples 3e8

Ratio: medians of alignment times over predicted ones, geometric mean over the directions that half of the runs and half
of the law's starts align within the run; its standard error is over resampled runs.  Coverage: share of the times of
the directions that half of the law's starts align, and of all runs, that lie inside the predicted 5–95 % band; what is
later than the run is inside where the band is not over by then.  Its standard error is over runs, whose directions are
not independent.  The length of the runs is a number of samples, not taken from the law.

Loss: mean over the runs, over the law's, when so many directions are learned by the runs' mean, ± standard error; and
the exponent of a straight line between one and half of the directions learned, beside the law's in the same window.
"""

from __future__ import annotations

import argparse
import os
import time

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence import Activation, Leap, Problem, Reduced, SgdLaw, Simulation, Teacher, sgd, sgd_law
from emergence.compare import fit_exponent
from emergence.compare.step_sweep import learned
from emergence.theory.gradient_noise import ceiling

SAMPLERS = {"reduced": Reduced(), "leap": Leap()}
RESAMPLES, RECORDS = 400, 200


def centre(times: np.ndarray, expected: np.ndarray) -> float:
    """Mean logarithm of medians (S, P) over predicted ones (P,), where both are."""
    medians = np.median(times, axis=0)
    both = np.isfinite(medians) & np.isfinite(expected)
    return float(np.mean(np.log(medians[both] / expected[both])))


def losses(run: Simulation, law: SgdLaw, lived: np.ndarray) -> str:
    """The lines about the loss; none where half of the directions are not learned."""
    times, half = np.geomspace(run.times[1], run.times[-1], RECORDS), run.problem.P // 2
    if half < 2:
        return ""
    rows = np.array(
        [np.exp(np.interp(np.log(times), np.log(run.times[1:]), np.log(row[1:]))) for row in run.loss[lived]]
    )
    mean, expected = rows.mean(axis=0), law.loss_at(times)
    try:
        window = learned(run.problem, times, mean, 1, half)
    except ValueError:
        return ""
    ratios = []
    for q in 2 ** np.arange(int(np.log2(half)) + 1):
        at = np.searchsorted(times, learned(run.problem, times, mean, 1, int(q))[1])
        error = rows[:, at].std(ddof=1) / np.sqrt(len(rows))
        ratios.append(f"{mean[at] / expected[at]:.3f} ± {error / expected[at]:.3f} (q = {q})")
    ours, other = (fit_exponent(times, table, tail="none", window=window) for table in (rows, expected[None]))
    return (
        f"  loss over the law's: {', '.join(ratios)}\n"
        f"  exponent {ours.exponent:.3f} ± {ours.standard_error:.3f}, law {other.exponent:.3f}\n"
    )


def main() -> None:
    """Run one problem and print what is found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--activation", default="h4")
    parser.add_argument("--high-pass", type=int, default=0)
    parser.add_argument("--P", type=int, default=4)
    parser.add_argument("--m", type=int, default=16)
    parser.add_argument("--d", type=int, default=256)
    parser.add_argument("--beta", type=float, default=0.8)
    parser.add_argument("--share", type=float, default=0.5, help="step size / batch, of the ceiling")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--label-noise", type=float, default=0.0)
    parser.add_argument("--method", choices=list(SAMPLERS), default="reduced")
    parser.add_argument("--runs", type=int, default=160)
    parser.add_argument("--samples", type=float, default=1e7, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    sigma = Activation(flags.activation, flags.high_pass)
    problem = Problem(sigma, Teacher.power_law(flags.P, flags.beta), d=flags.d, m=flags.m)
    eta = flags.share * flags.batch * ceiling(problem)
    began = time.process_time()
    run = sgd(
        problem, eta, int(flags.samples) // flags.batch * flags.batch, batch=flags.batch, label_noise=flags.label_noise,
        seeds=flags.runs, seed=flags.seed, sampler=SAMPLERS[flags.method], records=RECORDS,
    )  # fmt: skip
    took = time.process_time() - began
    law = sgd_law(problem, eta, batch=flags.batch, label_noise=flags.label_noise, t_max=run.t_end)
    low, expected, high = law.quantiles("alignment", [0.05, 0.5, 0.95])
    lived = np.array([one is None for one in run.divergence])
    times = run.alignment[lived]
    stream = np.random.default_rng(0)
    draws = [centre(times[stream.integers(0, len(times), len(times))], expected) for _ in range(RESAMPLES)]
    known = np.isfinite(expected)
    inside = ((times >= low) & ((times <= high) | (np.isinf(times) & ~(high < run.t_end))))[:, known]
    ratio = np.exp(centre(times, expected))
    print(
        f"{flags.activation}, P = {flags.P}, β = {flags.beta:g}, d = {flags.d}, m = {flags.m}, {flags.share:g} of the "
        f"ceiling, batch {flags.batch}, label noise {flags.label_noise:g}, {flags.method}, {flags.runs} runs of "
        f"{flags.samples:.3g} samples\n"
        f"  directions compared {int((np.isfinite(np.median(times, axis=0)) & known).sum())} of {known.sum()}, "
        f"aligned in the runs {np.isfinite(times).mean():.3f}, by the law {np.isfinite(law.alignment).mean():.3f}\n"
        f"  ratio of medians {ratio:.3f} ± {ratio * np.std(draws):.3f}, coverage {inside.mean():.3f} ± "
        f"{inside.mean(axis=1).std(ddof=1) / np.sqrt(len(times)):.3f}\n"
        f"{losses(run, law, lived)}"
        f"  diverged {int((~lived).sum())}, expected {flags.runs * (1 - law.survival[-1]):.2g}; "
        f"{took:.0f} s of processor time"
    )


if __name__ == "__main__":
    main()
