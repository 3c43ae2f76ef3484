"""A sweep on any executor, a worker killed half-way: nothing is lost, little is done twice, the bytes are the same.

    python benchmarks/sweep_executors.py dask|processes|pool|threads [--points 1000] [--no-kill]
    mpiexec -n 3 python -m mpi4py.futures benchmarks/sweep_executors.py mpi [--points 1000]

``dask``: a local cluster of two processes (extra ``cluster``); ``processes``: two of the package's own; ``pool``: a
``ProcessPoolExecutor``, which breaks when one of its processes dies, so that a second sweep finishes; ``threads`` and
``mpi``: nobody is killed.  Every point says when it begins and ends, in a file beside the results.  Half of the points
are predictions, half are simulations.  Then the same points one by one in this process, and all files compared.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

for library in ("OPENBLAS", "OMP", "MKL"):
    os.environ[f"{library}_NUM_THREADS"] = "1"

from emergence import Activation, Direct, PredictPoint, Problem, Run, SimulatePoint, Sweep, Teacher, sweep
from emergence.cli.output import columns_text
from emergence.compare.sweeps import Point

WORKERS = 2
TIMES = ("created", "digest", "wall_time", "samples_per_second")  # of a sidecar, what two computations may differ in


def told(point: Point, compute: Callable[[], Any]) -> Any:
    """Compute, and write down when it begins and ends."""
    log = os.open(vars(point)["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"begin {point.name} {os.getpid()}\n".encode())
    result = compute()
    os.write(log, f"end {point.name} {os.getpid()}\n".encode())
    os.close(log)
    return result


class ToldPredict(PredictPoint):
    """A prediction that is written down."""

    def compute(self) -> Any:
        return told(self, super().compute)


class ToldSimulate(SimulatePoint):
    """A simulation that is written down."""

    def compute(self) -> Any:
        return told(self, super().compute)


def points(count: int, log: Path) -> list[Point]:
    """Small problems, two points each."""
    sigma, found = Activation("h4"), list[Point]()
    for i in range(count // 2):
        problem = Problem(sigma, Teacher.power_law(2, 0.3), d=16 + 4 * (i % 5), m=4, init_scale=0.1)
        run = Run(problem, 1e-3, 200, seeds=2, seed=i, records=10, sampler=Direct("numpy"))
        found += [ToldPredict(problem, seed=i, t_max=1.0), ToldSimulate(run)]
    for point in found:
        vars(point)["log"] = str(log)
    return found


@contextmanager
def executor_of(kind: str) -> Iterator[dict[str, Any]]:
    """How ``sweep`` is told of the executor."""
    if kind == "processes":
        yield {"workers": WORKERS}
    elif kind == "dask":
        from distributed import Client, LocalCluster

        with LocalCluster(WORKERS, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            yield {"executor": client.get_executor()}
    else:
        made: Executor
        if kind == "mpi":
            from mpi4py.futures import MPIPoolExecutor

            made = MPIPoolExecutor()
        else:
            made = ProcessPoolExecutor(WORKERS) if kind == "pool" else ThreadPoolExecutor(WORKERS)
        with made:
            yield {"executor": made}


class Killer:
    """Progress of a sweep that kills a worker at work when half of the points are stored."""

    def __init__(self, out: Path, log: Path, count: int, wanted: bool) -> None:
        self.out, self.log, self.half, self.stored = out, log, count // 2 if wanted else count + 1, set[str]()

    def __call__(self, done: int, failed: int, missing: int) -> None:
        if done < self.half or self.stored:
            return
        self.stored = {path.name.partition(".")[0] for path in self.out.glob("*.result.json")}
        at_work: dict[str, int] = {}
        while not at_work:
            for word, name, pid in map(str.split, self.log.read_text().splitlines()):
                at_work[name] = int(pid) if word == "begin" else 0
            at_work = {name: pid for name, pid in at_work.items() if pid}
        name, pid = at_work.popitem()
        os.kill(pid, signal.SIGKILL)
        print(f"killed the worker {pid}, at work on {name}, when {len(self.stored)} points were stored")


def durable(sidecar: Path) -> Any:
    """What a sidecar says, but for dates and durations."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key not in TIMES}
        return [without(item) for item in value] if isinstance(value, list) else value

    return without(json.loads(sidecar.read_bytes()))


def compared(one: Sweep, other: Sweep) -> None:
    """Refuse any difference."""
    left, right = (sorted(found.shelf.directory.glob("*")) for found in (one, other))
    assert [path.name for path in left] == [path.name for path in right], "other files"
    assert len(left) == 2 * len(one.points), "a partial file"
    for a, b in zip(left, right, strict=True):
        same = durable(a) == durable(b) if a.suffix == ".json" else a.read_bytes() == b.read_bytes()
        assert same, f"{a} and {b} differ"
    for kind in ("points", "times", "curves"):
        assert columns_text(one.columns(kind)) == columns_text(other.columns(kind)), f"the tables of {kind} differ"


def main() -> None:
    """Sweep, kill, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=("dask", "processes", "pool", "threads", "mpi"))
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--no-kill", action="store_true")
    flags = parser.parse_args()
    kills = flags.kind in ("dask", "processes", "pool") and not flags.no_kill
    with tempfile.TemporaryDirectory() as directory:
        out, serial, log = (Path(directory) / name for name in ("out", "serial", "log"))
        asked = points(flags.points, log)
        killer = Killer(out, log, len(asked), kills)
        began = time.perf_counter()
        with executor_of(flags.kind) as how:
            found = sweep(asked, out, **how, progress=killer)
        print(found)
        while found.failed:  # what a broken pool had not done
            with executor_of(flags.kind) as how:
                found = sweep(asked, out, **how)
            print(found)
        print(f"{time.perf_counter() - began:.0f} s")
        begun = Counter(line.split()[1] for line in log.read_text().splitlines() if line.startswith("begin"))
        twice = {name for name, count in begun.items() if count > 1}
        print(f"{len(begun)} points were begun, {len(twice)} of them twice: {', '.join(sorted(twice)) or 'none'}")
        assert not twice & killer.stored, "a stored point was computed again"
        began = time.perf_counter()
        alone = sweep(asked, serial, workers=1)
        print(f"one by one: {time.perf_counter() - began:.0f} s")
        compared(found, alone)
        print(f"{2 * len(asked)} files and three tables: the same bytes, but for dates and durations")


if __name__ == "__main__":
    sys.exit(main())
