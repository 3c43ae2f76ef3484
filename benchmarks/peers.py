"""The gradient flow of the overlaps, by this package and by what one would write instead, on one core.

    pip install . diffrax
    python benchmarks/peers.py [--P P] [--m M] [--d D] [--points N] [--peers NAME …]

h4, β = 0.8, σ_0 = 1e-3, to three quarters of the directions recovered, every solver at relative tolerance 1e-7 and in a
process of its own.  Prints seconds (what was imported or compiled before apart), memory, and the largest error of the
times at which a strength Σ_k n_k r_kp² passes half of a_p, against DOP853 at 1e-11.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from emergence import Activation, Problem, Teacher, flow

RTOL = 1e-7
PEERS = ("diagonal", "exact", "RK45", "DOP853", "LSODA", "diffrax")


def right_side(xp, m: int, P: int, a):  # type: ignore[no-untyped-def]
    """dy/dt of y = (ln n, v̄) for h4, as one writes it down: φ(q) = q⁴."""

    def side(t, y, *_):  # type: ignore[no-untyped-def]
        n, V = xp.exp(y[:m]), y[m:].reshape(m, -1)
        r, q = V[:, :P], V @ V.T
        F = r**4 @ a - q**4 @ n
        G = -(4 * q**3 * n) @ V
        G = xp.concatenate([G[:, :P] + 4 * r**3 * a, G[:, P:]], axis=1)
        G = G - xp.sum(G * V, axis=1)[:, None] * V
        return xp.concatenate([4 * F, G.reshape(-1)])

    return side


def recoveries(times: np.ndarray, states: np.ndarray, m: int, a: np.ndarray) -> np.ndarray:
    """When each strength passes a_p/2, by a cubic spline of the points around; inf where it does not."""
    n = np.exp(states[:, :m])
    r = states[:, m:].reshape(len(states), m, -1)[:, :, : a.size]
    strengths = np.einsum("tk,tkp->tp", n, r**2)
    found = np.full(a.size, np.inf)
    for p in range(a.size):
        above = np.flatnonzero(strengths[:, p] >= a[p] / 2)
        if above.size and above[0] > 0:
            i = above[0]
            near = slice(max(i - 5, 0), i + 5)
            curve = CubicSpline(times[near], strengths[near, p] - a[p] / 2)
            found[p] = brentq(curve, times[i - 1], times[i])
    return found


def solve(peer: str, problem: Problem, rows: np.ndarray, t_max: float, points: int) -> tuple[np.ndarray, float, float]:
    """Recovery times, seconds before (compilation), and seconds; ``points`` are kept where a solver knows no events."""
    m, P, a = problem.m, problem.P, problem.a
    started = time.process_time()
    if peer in ("diagonal", "exact"):
        return flow(problem, rows, t_max=t_max, method=peer).recovery, 0.0, time.process_time() - started
    start = np.concatenate([np.full(m, 2 * np.log(problem.init_scale)), rows.ravel()])
    times = np.linspace(0, t_max, points)
    if peer == "diffrax":
        import diffrax
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        term = diffrax.ODETerm(right_side(jnp, m, P, jnp.asarray(a)))
        solver, control = diffrax.Dopri8(), diffrax.PIDController(rtol=RTOL, atol=1e-3 * RTOL)

        @jax.jit
        def run(y, end):  # type: ignore[no-untyped-def]
            saved = diffrax.SaveAt(ts=jnp.linspace(0, end, points))
            return diffrax.diffeqsolve(
                term, solver, 0.0, end, 0.01, y, saveat=saved, stepsize_controller=control, max_steps=1_000_000
            ).ys

        run(jnp.asarray(start), 1e-3).block_until_ready()
        compiled = time.process_time()
        states = np.asarray(run(jnp.asarray(start), t_max))
        return recoveries(times, states, m, a), compiled - started, time.process_time() - compiled
    from scipy.integrate import solve_ivp

    tolerance, name = (1e-11, "DOP853") if peer == "reference" else (RTOL, peer)
    found = solve_ivp(
        right_side(np, m, P, a), (0, t_max), start, method=name, t_eval=times, rtol=tolerance, atol=1e-3 * tolerance
    )
    return recoveries(times, found.y.T, m, a), 0.0, time.process_time() - started


def main() -> None:
    """One line a peer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name, default in (("P", 32), ("m", 32), ("d", 512)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--points", type=int, default=20_000, help="times kept by solvers that know no events")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    problem = Problem(Activation("h4"), Teacher.power_law(flags.P, 0.8), d=flags.d, m=flags.m)
    rows = problem.initial_coordinates(0)
    t_max = 1.01 * float(np.sort(flow(problem, rows, t_max=1e6).recovery)[3 * flags.P // 4 - 1])
    if flags.only:
        times, before, seconds = solve(flags.only, problem, rows, t_max, flags.points)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        print(json.dumps([np.where(np.isfinite(times), times, -1).tolist(), before, seconds, memory]))
        return
    print(f"P = {flags.P}, m = {flags.m}, d = {flags.d}, t = {t_max:.0f}")
    reference = np.array([])
    for peer in ("reference", *flags.peers):
        same = (f"--{k}={getattr(flags, k)}" for k in ("P", "m", "d", "points"))
        words = [sys.executable, __file__, "--only", peer, *same]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            print(f"{peer:10} {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
            continue
        times, before, seconds, memory = json.loads(done.stdout.splitlines()[-1])
        found = np.array(times)
        if peer == "reference":
            reference = found
        both = (found > 0) & (reference > 0)
        error = np.abs(found[both] / reference[both] - 1).max() if both.any() else np.nan
        print(f"{peer:10} {seconds:8.2f} s, {before:6.2f} s before, {memory:6.0f} MiB, largest error {error:.1e}")


if __name__ == "__main__":
    main()
