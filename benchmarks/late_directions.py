"""Calibration of the late directions: full flows from random starts beside ``theory.late_directions``.

    python benchmarks/late_directions.py [--starts N]

For every problem and start it integrates the gradient flow to twice the predicted time and notes which directions
align more than 25 % late.  The problems of the first table fit the three constants (maximum likelihood, with half an
observation added to either kind of error); the others, which had no part in it, test the constants in the code.
"""

from __future__ import annotations

import argparse
import os

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

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
        model.append(np.log(competing_times(problem, overlaps, horizon)[0] / alone)[there])
        exact.append(np.log(solution.alignment / alone)[there])
    return np.concatenate(model), np.concatenate(exact)


def fitted(x: np.ndarray, late: np.ndarray) -> tuple[float, float, float]:
    """``FALSE``, ``MISSED`` and ``SPREAD`` of the largest likelihood."""

    def loss(free: np.ndarray) -> float:
        false, missed, spread = expit(free[0]), expit(free[1]), np.exp(free[2])
        p = false + (1 - false - missed) * expit((x - np.log1p(LATE)) / spread)
        p = np.clip(p, 1e-12, 1 - 1e-12)
        return -float(np.sum(np.log(np.where(late, p, 1 - p))) + 0.5 * np.log(false) + 0.5 * np.log(missed))

    found = minimize(loss, [-6.0, -4.0, -4.0], method="Nelder-Mead", options={"maxiter": 4000})
    return float(expit(found.x[0])), float(expit(found.x[1])), float(np.exp(found.x[2]))


def table(cases: dict[str, tuple[str, int, int, int, int, float, float]], starts: int) -> tuple[np.ndarray, np.ndarray]:
    """Print the counts of every problem; all of x, and which are late."""
    xs, lates = [], []
    print("| problem | directions | late | said | late and said | error of ln T: median, 99 % | P(late) > ½ of late |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name, case in cases.items():
        x, exact = times(case, starts)
        late, said = exact > np.log1p(LATE), x > np.log1p(LATE)
        both = np.isfinite(x) & np.isfinite(exact)
        error = np.quantile(np.abs(x[both] - exact[both]), [0.5, 0.99])
        caught = float((probability_of(x)[late] > 0.5).mean()) if late.any() else 1.0
        print(
            f"| {name} | {late.size} | {late.sum()} | {said.sum()} | {(late & said).sum()} | {error[0]:.1g}, "
            f"{error[1]:.1g} | {caught:.3f} |",
            flush=True,
        )
        xs.append(x)
        lates.append(late)
    return np.concatenate(xs), np.concatenate(lates)


def main() -> None:
    """Fit, and test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--starts", type=int, default=100, help="random starts of each problem (default 100)")
    starts = parser.parse_args().starts
    false, missed, spread = fitted(*table(FIT, starts))
    print(f"\nfitted: FALSE {false:.2g}, MISSED {missed:.2g}, SPREAD {spread:.2g}; in the code {FALSE}, {MISSED}, {SPREAD}\n")
    x, late = table(HELD_OUT, starts)
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
