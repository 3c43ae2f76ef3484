"""Error bounds of the flow direction by direction on random problems, beside the full right-hand side.

    python benchmarks/flow_bounds.py [--few N] [--many N] [--seed SEED]

Random even σ, P, m, d down to P + 2, β in 0.2 … 1.5 and starts up to the largest that are allowed; the exact flow at
rtol 1e-8.  Prints every problem with a time that is beyond its bound, and at the end how many times were compared, how
many were beyond, how many were wrong by more than 0.5 % and how many of these not flagged, and quantiles of the error
and of error over bound.
"""

from __future__ import annotations

import argparse
import os

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence import Activation, Problem, Teacher, flow
from emergence.problem import seed_stream
from emergence.theory.diagonal_flow import diagonal_refusal
from emergence.theory.flow_result import DOUBTFUL

ACTIVATIONS = (("h4", 0), ("h6", 0), ("0.8*h4 + 0.6*h6", 0), ("h4", 0), ("cos(2*x)", 4), ("abs(x)", 4))
LONG = ("h6", "0.8*h4 + 0.6*h6", "cos(2*x)")  # horizons of eight times d/a_P
SMALL = ("h6", "cos(2*x)")  # dimensions at which the exact flow ends within seconds


def drawn(rng: np.random.Generator, many: bool) -> tuple[Problem, np.ndarray, float]:
    """A problem, a start and a horizon."""
    while True:
        sigma, cut = ACTIVATIONS[rng.integers(len(ACTIVATIONS))]
        if many:
            P = int(rng.integers(24, 40))
            m, top = int(rng.integers(P // 2, 2 * P)), 64 if sigma in SMALL else 400
        else:
            P = int(rng.integers(2, 16))
            m, top = int(rng.integers(max(2, P // 2), 3 * P)), 40 if sigma in SMALL else 140
        d, beta = int(rng.integers(P + 2, top)), float(rng.uniform(0.2, 1.5))
        init_scale, seed = float(10 ** rng.uniform(-4, -2.2)), int(rng.integers(10**6))
        problem = Problem(Activation(sigma, cut), Teacher.power_law(P, beta), d=d, m=m, init_scale=init_scale)
        if diagonal_refusal(problem) is None:
            rows = problem.initial_coordinates(seed_stream(seed, 0, 0))
            return problem, rows, (8 if sigma in LONG else 1) * d / float(problem.a.min())


def main() -> None:
    """Draw, compare, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--few", type=int, default=160, help="problems of 2 … 15 directions")
    parser.add_argument("--many", type=int, default=33, help="problems of 24 … 39 directions")
    parser.add_argument("--seed", type=int, default=101)
    flags = parser.parse_args()
    errors, bounds = [np.zeros(0)], [np.zeros(0)]
    for many, count in ((False, flags.few), (True, flags.many)):
        rng = np.random.default_rng(flags.seed + many)
        for _ in range(count):
            problem, rows, t_max = drawn(rng, many)
            quick = flow(problem, rows, t_max=t_max, method="diagonal")
            exact = flow(problem, rows, t_max=t_max, method="exact", rtol=1e-8).alignment
            both = np.isfinite(quick.alignment) & np.isfinite(exact) & (exact > 0)
            error, bound = np.abs(quick.alignment[both] / exact[both] - 1), quick.bound[both]
            errors.append(error)
            bounds.append(bound)
            if (error > bound).any():
                over = ", ".join(f"{e:.1e} for {b:.1e}" for e, b in zip(error, bound, strict=True) if e > b)
                print(f"{problem}: {over}", flush=True)
    error, bound = np.concatenate(errors), np.concatenate(bounds)
    wrong = error > DOUBTFUL
    print(
        f"{error.size} times, {(error > bound).sum()} beyond their bound; wrong by more than {DOUBTFUL:.1%}: "
        f"{wrong.sum()}, not flagged {(wrong & (bound <= DOUBTFUL)).sum()}"
    )
    for name, values in (("error", error), ("bound", bound), ("error / bound", error / bound)):
        print(f"{name}: {' '.join(f'{q:.1e}' for q in np.quantile(values, [0.5, 0.9, 0.99, 1]))} (50, 90, 99, 100 %)")


if __name__ == "__main__":
    main()
