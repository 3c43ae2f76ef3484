"""The gradient flow at P = m = 1024 with its full right-hand side, by exponential Runge–Kutta steps.

    python benchmarks/full_flow.py                   # h4, d = 2048, β = 0.8, to three quarters recovered: half an hour
    python benchmarks/full_flow.py --P 128           # beside the flow by DOP853, too: a minute

Krogstad's method of order 4 with the diagonal rates of norms and directions (``simulate.samplers.leap``), products in
single precision, the state in double; shares no step with ``theory.diagonal_flow``.  A run is kept every five minutes
under ``--state`` and goes on from there.  Alignment times are written to ``--out``, by default nothing is; those of the
first command are ``tests/full_flow.txt``.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

from emergence import Activation, Problem, Teacher, flow
from emergence.problem import seed_stream
from emergence.problem.events import ALIGNED, RECOVERED
from emergence.problem.population_loss import velocity

TOLERANCE = 2e-5  # of a step, as a share of FLOOR + |r| for every overlap with the teacher, and of RADIAL in ln n
FLOOR, RADIAL = 0.03, 3.0
KEEP_EVERY = 300.0  # seconds


def weights(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """φ_1, φ_2, φ_3 of exponential integrators at z ≤ 0: φ_0 = e^z, φ_{j+1} = (φ_j − 1/j!)/z."""
    small, safe = np.abs(z) < 0.1, np.where(np.abs(z) < 0.1, 1.0, z)
    last, factorial = np.exp(safe), 1.0
    closed, series = [], []
    for j in (1, 2, 3):
        last = (last - 1 / factorial) / safe
        factorial *= j
        closed.append(last)
        terms = [1 / float(np.prod(np.arange(1, i + j + 1, dtype=float))) for i in range(9)]
        series.append(np.polynomial.polynomial.polyval(np.where(small, z, 0.0), terms))
    one, two, three = (np.where(small, s, c) for s, c in zip(series, closed, strict=True))
    return one, two, three


class FullFlow:
    """(ln n, v̄) of all students, its first passages and its steps."""

    def __init__(self, problem: Problem, rows: np.ndarray) -> None:
        self.problem, self.rows, self.t, self.sides = problem, rows.copy(), 0.0, 0
        self.log_n = np.full(problem.m, 2 * np.log(problem.init_scale))
        self.h = 0.3 / (problem.activation.slope_second_moment * float(problem.a.max()))
        self.first = np.full((2, problem.P), np.inf)
        self._slope = self._velocity(self.log_n, self.rows)

    def _velocity(self, log_n: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.sides += 1
        seen = rows.astype(np.float32)
        seen /= np.sqrt(np.einsum("kd,kd->k", seen, seen))[:, None]
        F, tangent = velocity(self.problem, np.exp(log_n), seen)
        return 4 * F, tangent

    def _rates(self) -> tuple[np.ndarray, np.ndarray]:
        """Λ and λ of every student, of its own norm at most, as in leap."""
        sigma, a, n = self.problem.activation, self.problem.a, np.exp(self.log_n)
        overlaps = self.rows[:, : self.problem.P]
        growth = 4 * (sigma.phi(overlaps) @ a) - self._slope[0]
        turn = (sigma.phi_slope(overlaps) * overlaps) @ a
        return np.clip(growth, 0, 4 * sigma.second_moment * n), np.clip(turn, 0, sigma.slope_second_moment * n)

    def step(self) -> None:
        """One step, taken again until its error is small."""
        rates = self._rates()
        y, P = (self.log_n, self.rows), self.problem.P
        while True:
            h = self.h
            full = [weights(-rate * h) for rate in rates]
            half = [weights(-rate * h / 2) for rate in rates]

            def column(values: np.ndarray, part: int) -> np.ndarray:
                return values if part == 0 else values[:, None].astype(np.float32)

            def rest(move: list[np.ndarray], slope: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
                """What is not the linear part, less that of the start: f(y + move) + Λ move − f(y)."""
                return [
                    s + column(rates[i], i) * x - self._slope[i]
                    for i, (s, x) in enumerate(zip(slope, move, strict=True))
                ]

            def moved(move: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
                return self._velocity(y[0] + move[0], y[1] + move[1])

            f = self._slope
            two = [column(h / 2 * half[i][0], i) * f[i] for i in (0, 1)]
            n2 = rest(two, moved(two))
            three = [two[i] + column(h * half[i][1], i) * n2[i] for i in (0, 1)]
            n3 = rest(three, moved(three))
            four = [column(h * full[i][0], i) * f[i] + column(2 * h * full[i][1], i) * n3[i] for i in (0, 1)]
            n4 = rest(four, moved(four))
            move = [
                column(h * full[i][0], i) * f[i]
                + column(h * (2 * full[i][1] - 4 * full[i][2]), i) * (n2[i] + n3[i])
                + column(h * (4 * full[i][2] - full[i][1]), i) * n4[i]
                for i in (0, 1)
            ]
            new = self.log_n + move[0], self.rows + move[1]
            slope = self._velocity(*new)
            # the embedded rule of order 3 gives the last stage and the slope at the end other weights
            n5 = rest(move, slope)
            wrong = [column(0.6 * h * (4 * full[i][2] - full[i][1]), i) * (n4[i] - n5[i]) for i in (0, 1)]
            scale = FLOOR + np.abs(self.rows[:, :P])
            error = max(float(np.abs(wrong[0]).max()) / RADIAL, float(np.abs(wrong[1][:, :P] / scale).max()))
            error /= TOLERANCE
            self.h = h * min(2.0, max(0.2, 0.9 * max(error, 1e-6) ** -0.25))
            if error < 1:
                break
        self._passages(h, new, slope)
        self.t += h
        self.log_n, self.rows, self._slope = *new, slope

    def _passages(self, h: float, new: tuple[np.ndarray, np.ndarray], slope: tuple[np.ndarray, np.ndarray]) -> None:
        """First passages in this step, on the cubic through both ends."""
        P, a = self.problem.P, self.problem.a
        ends = []
        for (log_n, rows), (growth, tangent) in (((self.log_n, self.rows), self._slope), (new, slope)):
            r, n = rows[:, :P], np.exp(log_n)
            ends.append((r, tangent[:, :P], n @ r**2, n @ (growth[:, None] * r**2 + 2 * r * tangent[:, :P])))
        (r0, t0, s0, u0), (r1, t1, s1, u1) = ends
        over = (r1**2 >= ALIGNED) & np.isinf(self.first[0])
        for k, p in np.argwhere(over):
            sign = np.sign(r1[k, p])
            values = sign * np.array([r0[k, p], h * t0[k, p], r1[k, p], h * t1[k, p]])
            self.first[0, p] = min(self.first[0, p], self.t + h * passage(*values, ALIGNED**0.5))
        for p in np.flatnonzero((s1 >= RECOVERED * a) & np.isinf(self.first[1])):
            self.first[1, p] = self.t + h * passage(s0[p], h * u0[p], s1[p], h * u1[p], RECOVERED * a[p])


def passage(left: float, rise: float, right: float, fall: float, level: float) -> float:
    """First fraction of a step at which the cubic with these ends and slopes reaches ``level``."""
    if left >= level:
        return 0.0
    cubic = [left - level, rise, 3 * (right - left) - 2 * rise - fall, rise + fall - 2 * (right - left)]
    roots = np.polynomial.polynomial.polyroots(cubic)
    real = roots.real[(np.abs(roots.imag) < 1e-9) & (roots.real >= 0) & (roots.real <= 1)]
    return float(real.min()) if real.size else 1.0


def run(problem: Problem, rows: np.ndarray, until: int, state: Path | None) -> FullFlow:
    """To ``until`` directions recovered."""
    full = FullFlow(problem, rows)
    if state is not None and state.exists():
        with np.load(state) as saved:
            full.log_n, full.rows, full.first = saved["log_n"], saved["rows"], saved["first"]
            full.t, full.h, full.sides = float(saved["t"]), float(saved["h"]), int(saved["sides"])
            full._slope = full._velocity(full.log_n, full.rows)
    kept = time.monotonic()
    while np.isfinite(full.first[1]).sum() < until:
        full.step()
        if time.monotonic() - kept > KEEP_EVERY:
            kept = time.monotonic()
            print(f"t = {full.t:.1f}, {full.sides} sides, {np.isfinite(full.first[1]).sum()} recovered", flush=True)
            if state is not None:
                part = state.with_suffix(".part.npz")
                np.savez(part, log_n=full.log_n, rows=full.rows, first=full.first, t=full.t, h=full.h, sides=full.sides)
                part.replace(state)
    return full


def difference(one: np.ndarray, other: np.ndarray) -> str:
    """Largest and median relative difference where both are finite."""
    both = np.isfinite(one) & np.isfinite(other)
    error = np.abs(one[both] / other[both] - 1)
    return f"{error.max():.1e} largest, {np.median(error):.1e} median of {both.sum()}"


def main() -> None:
    """Run, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--P", type=int, default=1024, help="directions, and students")
    parser.add_argument("--state", type=Path, help="where the run is kept, .npz")
    parser.add_argument("--out", type=Path, help="where alignment times go")
    flags = parser.parse_args()
    problem = Problem(Activation("h4"), Teacher.power_law(flags.P, 0.8), d=2048, m=flags.P)
    rows = problem.initial_coordinates(seed_stream(0, 0, 0))
    started = time.process_time()
    full = run(problem, rows, 3 * flags.P // 4, flags.state)
    print(f"t = {full.t:.1f}, {full.sides} right-hand sides, {time.process_time() - started:.1f} s")
    quick = flow(problem, rows, t_max=full.t, method="diagonal")
    times = full.first[0]
    print(f"direction by direction: alignment differs by {difference(quick.alignment, times)}")
    with np.errstate(invalid="ignore"):
        wrong = np.abs(quick.alignment / times - 1)
    beyond = np.flatnonzero(wrong > quick.bound)
    print(f"beyond the bound: {beyond.size} of {np.isfinite(wrong).sum()}: {(beyond + 1).tolist()}")
    if flags.P <= 128:
        exact = flow(problem, rows, t_max=full.t, method="exact")
        print(
            f"DOP853: alignment differs by {difference(exact.alignment, times)}, {exact.evaluations} right-hand sides"
        )
    if flags.out is not None:
        what = f"Alignment times of the directions to t = {full.t:.1f} (inf: not by then), benchmarks/full_flow.py."
        np.savetxt(flags.out, times, fmt="%.8g", header=what)


if __name__ == "__main__":
    main()
