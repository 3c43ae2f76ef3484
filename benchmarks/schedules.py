"""What a step-size schedule gains over the best constant step size, by the law of SGD and by runs.

    python benchmarks/schedules.py [--P 16] [--m 64] [--d 1024] [--beta 0.8] [--label-noise 0] [--seeds 24]

For several numbers of samples: the least expected loss by a constant step size, by a decay η (1 + s/horizon)^−power
and by one drop to η/4, each the best of its lattice that survives; then runs by leap with the best constant and
the best schedule of the largest number, as long as that, on seeds of their own.
"""

from __future__ import annotations

import argparse
import os
from itertools import product

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence import Activation, Constant, Leap, Piecewise, PowerDecay, Problem, Teacher, sgd, sgd_law
from emergence.problem import Schedule
from emergence.theory.gradient_noise import ceiling
from emergence.theory.sample_curves import lost

SHARES = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9)  # of the ceiling, at the start
HORIZONS = (0.03, 0.1, 0.3)  # of the samples
POWERS = (0.5, 1.0)
DROPS = (0.5, 0.75, 0.9)  # of the samples


def main() -> None:
    """Predict, then run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, value in (("P", 16), ("m", 64), ("d", 1024), ("seeds", 24)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--beta", type=float, default=0.8)
    parser.add_argument("--label-noise", type=float, default=0.0)
    parser.add_argument("--samples", type=float, nargs="+", default=[2e7, 6e7])
    flags = parser.parse_args()
    problem = Problem(Activation("h4"), Teacher.power_law(flags.P, flags.beta), d=flags.d, m=flags.m)
    top, noise = ceiling(problem), flags.label_noise
    for n in flags.samples:
        found: dict[str, list[tuple[float, Schedule]]] = {"constant": [], "decay": [], "drop": []}
        for share in SHARES:
            eta = share * top
            found["constant"].append((read(problem, Constant(eta), n, noise), Constant(eta)))
            for part, power in product(HORIZONS, POWERS):
                decay = PowerDecay(eta, part * n, power)
                found["decay"].append((read(problem, decay, n, noise), decay))
            for part in DROPS:
                drop = Piecewise([(0, eta), (int(part * n), eta / 4)])
                found["drop"].append((read(problem, drop, n, noise), drop))
        best = {name: min(rows, key=lambda row: row[0]) for name, rows in found.items()}
        print(f"{n:.3g} samples, label noise {noise:g}, ceiling {top:.3g}:")
        for name, (loss, schedule) in best.items():
            print(f"  {name:>9} {loss:.4g}  ({loss / best['constant'][0]:.3f} of the constant)  {schedule.text}")
    schedules = {"constant": best["constant"][1], "schedule": min(best["decay"], best["drop"], key=lambda r: r[0])[1]}
    means = {}
    for i, (name, schedule) in enumerate(schedules.items()):
        runs = sgd(problem, schedule, int(n), seeds=flags.seeds, sampler=Leap(), label_noise=noise, seed=100 + i)
        logs = np.log(runs.loss[~runs.diverged, -1])
        means[name] = logs.mean(), logs.std(ddof=1) / np.sqrt(logs.size)
        print(
            f"  runs, {name}: geometric mean of the loss {np.exp(means[name][0]):.4g} ± {means[name][1]:.0%}, "
            f"{int(runs.diverged.sum())} of {flags.seeds} diverged; {schedule.text}"
        )
    gain = np.exp(means["schedule"][0] - means["constant"][0])
    print(f"  measured gain {gain:.3f} ± {gain * np.hypot(means['schedule'][1], means['constant'][1]):.3f}")


def read(problem: Problem, schedule: Schedule, samples: float, noise: float) -> float:
    """Expected loss after the samples; inf where runs of that length are lost."""
    end = float(schedule.flow_time(np.array([int(samples)]))[0])
    law = sgd_law(problem, schedule, label_noise=noise, t_max=end, draws=200)
    return np.inf if lost(law, np.array([samples]))[0] else float(law.loss[-1])


if __name__ == "__main__":
    main()
