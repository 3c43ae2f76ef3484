"""``emergence sweep``: the points of a grid, on this machine or on a Dask cluster, and one table of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from .grid import read_grid
from .output import columns_text, json_text, prepare_directory, prepare_file, write_text
from .progress import sweep_progress
from .terminal import show, tell

TABLES = ("points", "times", "curves")
PATIENCE = 10  # seconds for a scheduler to answer


def sweep(flags: dict[str, Any]) -> int:
    """``emergence sweep GRID.toml``."""
    from ..problem.checks import positive_integer

    workers, dask = flags["workers"], flags["dask"]
    if workers is not None:
        positive_integer("workers", workers)
        if dask is not None:
            raise ValueError("--workers are of this machine; those of --dask are started where they are to run")
    if flags["table"] not in TABLES:
        raise ValueError(f"--table must be one of {', '.join(TABLES)}, but is {flags['table']!r}")
    grid = read_grid(flags["grid"])
    table = None if flags["csv"] is None else prepare_file("--csv", flags["csv"])
    from ..compare import sweep as compute
    from ..compare.sweeps.result import listed

    out, told = "", [0, 0, 0]
    try:
        with _executor(dask) as executor, sweep_progress() as report:
            out = str(prepare_directory(flags["out"]))

            def progress(*counts: int) -> None:
                told[:] = counts
                if report is not None:
                    report(*counts)

            found = compute(
                grid.points, out, executor=executor, workers=workers, progress=progress, command=flags["stated"]
            )
    except KeyboardInterrupt:  # when the bar is gone
        if out:
            tell(f"{told[0]} of {told[2]} missing points are now in {out}; the same command goes on")
        raise
    if table is not None:
        write_text(table, columns_text(found.columns(flags["table"])))
        tell(f"wrote {table}")
    if flags["json"]:
        left_out = [{"point": label, "reason": reason} for label, reason in grid.refused]
        show(json_text(found.as_dict() | {"left_out": left_out}))
    else:
        show("\n".join([str(found), *listed("left out", grid.refused)]))
    return 1 if found.failed else 0


@contextmanager
def _executor(address: str | None) -> Iterator[Executor | None]:
    """The workers of a Dask cluster; None where there is no address."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("--dask needs distributed; install sgd-emergence[cluster]") from None
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot reach a Dask scheduler at --dask {address}: {error}") from None
    with client:
        if not client.nthreads():
            tell("the Dask cluster has no workers yet: points wait for them")
        yield client.get_executor()
