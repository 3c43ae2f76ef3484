"""Sweeps of SGD over step sizes beside the law of SGD: samples at the best of them (``compare.step_sweep``).

    python benchmarks/sample_sweeps.py --label-noise 1

Leap, m = 4 P students, runs of one length at every step size.  The best step size is found for one half of the seeds
and read on the other.  Prints where each step size is out, the local exponent between one and half of the directions
learned, or as many as are, ± its standard error over seeds, and the number of samples to given shares of the initial
loss ± its standard error, each beside the law's at the best of the same step sizes.
"""

from __future__ import annotations

import argparse
import os
import time

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence.compare import Experiment, fit_exponent
from emergence.compare.step_sweep import Sweep, learned, sweep

LEVELS = (0.3, 0.2, 0.1, 0.05)
RESAMPLES = 400


def samples_to(x: np.ndarray, loss: np.ndarray, level: float) -> float:
    """The first x at which the loss has fallen to a level, between points by their logarithms; NaN if it does not."""
    below = np.flatnonzero(loss <= level)
    if not below.size or below[0] == 0:
        return np.nan
    i = below[0]
    share = np.log(loss[i - 1] / level) / np.log(loss[i - 1] / loss[i])
    return float(x[i - 1] * (x[i] / x[i - 1]) ** share)


def best_share(experiment: Experiment, found: Sweep, at: float) -> float:
    """Of the step sizes, that of least mean loss at a number of samples."""
    means = found.means()[:, np.argmin(np.abs(found.x - at))]
    return experiment.step_sizes[int(np.argmin(means))]


def report(experiment: Experiment, found: Sweep) -> None:
    """Print the exponents and the numbers of samples."""
    problem, x, rows = experiment.problem, found.x, found.best()
    expected, _, choice = found.expected()
    for share, mean in zip(experiment.step_sizes, found.means(), strict=True):
        out = np.isinf(mean)
        text = f"out from {x[np.argmax(out)]:.3g} samples" if out.any() else "in to the end"
        print(f"  {share:.3g} of the ceiling: {text}")
    last = problem.P // 2
    while last > 1:
        try:
            window = learned(problem, x, rows.mean(axis=0), 1, last)
        except ValueError:
            last -= 1
            continue
        fits = [fit_exponent(x, table, tail="none", window=window) for table in (rows, expected[None])]
        print(
            f"  exponent between 1 and {last} learned, {window[0]:.3g} to {window[1]:.3g} samples: "
            f"{fits[0].exponent:.3f} ± {fits[0].standard_error:.3f}, law {fits[1].exponent:.3f}"
        )
        break
    start = 0.5 * problem.activation.second_moment * float(np.sum(problem.a**2))
    stream = np.random.default_rng(0)
    resamples = rows[stream.integers(0, len(rows), (RESAMPLES, len(rows)))].mean(axis=1)
    for level in LEVELS:
        measured, law = (samples_to(x, loss, level * start) for loss in (rows.mean(axis=0), expected))
        if np.isnan([measured, law]).any():
            print(f"  loss {level:g}: not reached")
            continue
        error = np.nanstd(np.log([samples_to(x, row, level * start) for row in resamples]))
        error *= np.sqrt(len(rows) / (len(rows) - 1))
        chosen = np.interp(law, x, choice["step_size"]) / found.laws[-1].step_size * experiment.step_sizes[-1]
        print(
            f"  loss {level:g}: {measured:.3g} samples at {best_share(experiment, found, measured):.2g} of the "
            f"ceiling, law {law:.3g} at {chosen:.2g}; ratio {measured / law:.3f} ± {error * measured / law:.3f}"
        )


def main() -> None:
    """One sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--P", type=int, default=16)
    parser.add_argument("--beta", type=float, default=0.8)
    parser.add_argument("--d", type=int, default=1024)
    parser.add_argument("--label-noise", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--samples", type=float, default=2e8, help="of each run")
    parser.add_argument(
        "--step-sizes", type=float, nargs="+", default=[0.08, 0.16, 0.32, 0.64, 0.9], help="of the ceiling, ascending"
    )
    flags = parser.parse_args()
    experiment = Experiment(
        "samples_best_step", "leap", P=flags.P, beta=flags.beta, d=flags.d, seeds=flags.seeds, batch=flags.batch,
        label_noise=flags.label_noise, step_sizes=tuple(flags.step_sizes),
    )  # fmt: skip
    print(
        f"P = {flags.P}, β = {flags.beta:g}, d = {flags.d}, label noise {flags.label_noise:g}, batch {flags.batch}, "
        f"{flags.seeds} seeds, {flags.samples:.3g} samples"
    )
    started = time.perf_counter()
    report(experiment, sweep(experiment, flags.samples, seed=0))
    print(f"  {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
