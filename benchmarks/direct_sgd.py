"""The law of SGD at a finite step size beside direct runs that share no code with it (``tests/direct_sgd.toml``).

    python benchmarks/direct_sgd.py           # the table of theory/README.md, from the runs that are kept
    python benchmarks/direct_sgd.py --jobs    # the same runs as input of direct_sgd.cu, to be made again on a GPU:
                                              # nvcc -O3 -arch=sm_90 -o direct_sgd benchmarks/direct_sgd.cu
                                              # python benchmarks/direct_sgd.py --jobs | ./direct_sgd passages.txt

Ratio: medians of direct alignment times over predicted ones, geometric mean over directions; its error is that of
medians of so many runs with the law's own quartiles.  Coverage: share of times inside the predicted 5–95 % band,
interpolated between the quantiles that are kept.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from emergence import Activation, Problem, Teacher, sgd_law
from emergence.theory.gradient_noise import ceiling

KEPT = Path(__file__).parents[1] / "tests" / "direct_sgd.toml"
LEVELS = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
CODES = {"h4": 4, "h6": 6, "cos(2*x)": 2}


def problem_of(run: dict[str, Any]) -> Problem:
    """The problem of one table of the file."""
    sigma = Activation(run["activation"], run["high_pass"])
    return Problem(sigma, Teacher.power_law(run["P"], run["beta"]), d=run["d"], m=run["m"])


def job(run: dict[str, Any], *, start: int, init_scale: float) -> str:
    """One line of input of ``direct_sgd.cu``."""
    name = "|".join(str(run[key]) for key in ("activation", "P", "d", "m", "step_size", "label_noise", "batch"))
    head = [name.replace(" ", ""), CODES[run["activation"]], run["d"], run["P"], run["m"], run["batch"], start]
    strengths = problem_of(run).a.tolist()
    return " ".join(
        map(str, [*head, run["step_size"], run["label_noise"], init_scale, run["steps"], run["runs"], *strengths])
    )


def line(run: dict[str, Any]) -> str:
    """One row of the table."""
    problem = problem_of(run)
    law = sgd_law(problem, run["step_size"], batch=run["batch"], label_noise=run["label_noise"])
    measured, alive = np.array(run["alignment"]), run["runs"] - run["lost"]
    logs = np.log(measured[2] / law.quantiles("alignment", [0.5])[0])
    spread = np.log(law.quantiles("alignment", [0.75])[0] / law.quantiles("alignment", [0.25])[0]) / 1.35
    error = 1.25 * float(np.mean(spread)) / np.sqrt(alive * problem.P)
    below = np.mean(law.alignment[None] <= measured[:, None], axis=1)  # of the law, at the runs' quantiles
    inside = np.mean([np.interp(0.95, b, LEVELS) - np.interp(0.05, b, LEVELS) for b in below.T])
    share = run["step_size"] / run["batch"] / ceiling(problem)
    cells = [
        run["activation"], problem.P, run["beta"], problem.d, problem.m, f"{share:.2g}", run["batch"],
        run["label_noise"], f"{np.exp(logs.mean()):.2f} ± {error:.2f}", f"{inside:.2f}",
        f"{run['lost']}, {run['runs'] * (1 - law.survival[-1]):.2g} of {run['runs']}",
    ]  # fmt: skip
    return " | ".join(f"{cell!s:>9}" for cell in cells)


def main() -> None:
    """Print the table or the jobs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", action="store_true", help="print the runs as input of direct_sgd.cu")
    kept = tomllib.loads(KEPT.read_text(encoding="utf-8"))
    if parser.parse_args().jobs:
        for run in kept["run"]:
            print(job(run, start=0, init_scale=1e-3))
        for row in kept["learned"]["rows"]:
            one = dict(zip(kept["learned"]["columns"], row, strict=True))
            one |= {"P": 1, "beta": 1.0, "m": 1, "batch": 1, "steps": 2_000_000, "runs": 400}
            print(job(one, start=1, init_scale=1.0))
        return
    print(
        "σ, P, β, d, m, step size over ceiling, batch, label noise, ratio of medians, coverage, diverged and expected"
    )
    for run in kept["run"]:
        print(line(run), flush=True)


if __name__ == "__main__":
    main()
