"""Calibration of the late directions: full flows from random starts beside ``theory.late_directions``.

    python benchmarks/late_directions.py [--starts N]

For every problem and start it integrates the gradient flow to twice the predicted time and notes which directions
align more than 25 % late.  The problems of the first table give the three constants: the shares of false alarms and
of misses, half an observation added to either, and the 95 % point of the model's error in ln T.  The others, which had
no part in that, test the constants in the code.
"""

from __future__ import annotations

import argparse
import os

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence import Activation, Problem, Teacher, flow
from emergence.problem.seeds import DIRECTIONS, seed_stream
from emergence.theory import decoupled
from emergence.theory.greedy_selection import assign, student_overlaps
from emergence.theory.late_directions import BEYOND, FALSE, LATE, MISSED, SPREAD, competing_times, probability_of

SEED = 7
FIT = {  # activation, high-pass, P, m, d, beta, init scale
    "h4, P = 8, m = 16, d = 512, β = 1": ("h4", 0, 8, 16, 512, 1.0, 1e-3),
    "h4, P = 8, m = 64, d = 512, β = 0.8": ("h4", 0, 8, 64, 512, 0.8, 1e-3),
    "h4, P = 4, m = 8, d = 128, β = 0": ("h4", 0, 4, 8, 128, 0.0, 1e-3),
    "h4, P = 6, m = 9, d = 64, β = 1.3": ("h4", 0, 6, 9, 64, 1.3, 1e-3),
    "h6, P = 4, m = 12, d = 64, β = 0.5": ("h6", 0, 4, 12, 64, 0.5, 1e-3),
}
HELD_OUT = {
    "h4, P = 8, m = 16, d = 1024, β = 0.8": ("h4", 0, 8, 16, 1024, 0.8, 1e-3),
    "h4, P = 12, m = 24, d = 256, β = 0.6": ("h4", 0, 12, 24, 256, 0.6, 1e-3),
    "h4, P = 4, m = 16, d = 64, β = 0.3, init scale 0.03": ("h4", 0, 4, 16, 64, 0.3, 3e-2),
    "h4 + h6/2, P = 6, m = 12, d = 256, β = 0.4": ("h4 + h6/2", 0, 6, 12, 256, 0.4, 1e-3),
    "cos(2x) from degree 4, P = 5, m = 10, d = 128, β = 1": ("cos(2*x)", 4, 5, 10, 128, 1.0, 1e-3),
    "h6, P = 3, m = 9, d = 32, β = 1": ("h6", 0, 3, 9, 32, 1.0, 1e-3),
    "h3, P = 4, m = 12, d = 64, β = 0.5": ("h3", 0, 4, 12, 64, 0.5, 1e-3),
}


def times(case: tuple[str, int, int, int, int, float, float], starts: int) -> tuple[np.ndarray, np.ndarray]:
    """ln of the model's and of the flow's alignment time over the predicted one, for every direction predicted."""
    text, cut, P, m, d, beta, scale = case
    problem = Problem(Activation(text, cut), Teacher.power_law(P, beta), d=d, m=m, init_scale=scale)
    model, exact = [], []
    for i in range(starts):
        rows = problem.initial_coordinates(seed_stream(SEED, i, DIRECTIONS))
        overlaps = rows[:, :P]
        start = student_overlaps(assign(problem.activation, problem.a, overlaps), overlaps)
        alone = decoupled.alignment_time(problem.activation, problem.a, start)
        there = np.isfinite(alone) & (alone > 0)
        horizon = BEYOND * float(alone[there].max())
        solution = flow(problem, rows, t_max=horizon, until=there, rtol=1e-5)
        model.append(np.log(competing_times(problem, overlaps[None], horizon)[0][0] / alone)[there])
        exact.append(np.log(solution.alignment / alone)[there])
    return np.concatenate(model), np.concatenate(exact)


def table(
    cases: dict[str, tuple[str, int, int, int, int, float, float]], starts: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Print the counts of every problem; all of x, which are late, and the errors of ln T where both are finite."""
    found: list[tuple[np.ndarray, ...]] = []
    print("| problem | directions | late | said to be | both | error of ln T: median, 99 % |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, case in cases.items():
        x, exact = times(case, starts)
        late, said, both = exact > np.log1p(LATE), x > np.log1p(LATE), np.isfinite(x) & np.isfinite(exact)
        error = np.abs(x[both] - exact[both])
        middle, far = np.quantile(error, [0.5, 0.99])
        counts = f"{late.size} | {late.sum()} | {said.sum()} | {(late & said).sum()}"
        print(f"| {name} | {counts} | {middle:.1g}, {far:.1g} |", flush=True)
        found.append((x, late, error))
    x, late, error = (np.concatenate(column) for column in zip(*found, strict=True))
    return x, late, error


def main() -> None:
    """Fit, and test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--starts", type=int, default=80, help="random starts of each problem (default 80)")
    starts = parser.parse_args().starts
    x, late, error = table(FIT, starts)
    said = x > np.log1p(LATE)
    false, missed = (
        (np.sum(wrong) + 0.5) / (np.sum(of) + 1) for wrong, of in ((said & ~late, ~late), (late & ~said, late))
    )
    spread = np.quantile(error, 0.95)
    print(f"\nFALSE {false:.2g}, MISSED {missed:.2g}, SPREAD {spread:.2g}; in the code {FALSE}, {MISSED}, {SPREAD}\n")
    x, late, _ = table(HELD_OUT, starts)
    p = probability_of(x)
    print("\n| stated probability of being late | directions | mean stated | share late |\n|---|---|---|---|")
    for low, high in ((0, 0.01), (0.01, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 0.98), (0.98, 1)):
        here = (p >= low) & (p < high)
        if here.any():
            print(f"| {low} … {high} | {here.sum()} | {p[here].mean():.3g} | {late[here].mean():.3g} |")
    brier = float(np.mean((p - late) ** 2))
    print(f"\nBrier score {brier:.2g} (of the share late alone {float(late.mean() * (1 - late.mean())):.2g})")


if __name__ == "__main__":
    main()
