"""Killed at any moment, gone on from there: the numbers are those of an undisturbed run, bit for bit.

The command runs in a forked copy of this process, in which everything is imported and compiled, so that hundreds of
kills are affordable; ``tests/test_checkpoint.py`` kills real processes.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import NUMBA

from emergence import load
from emergence.cli import main

KILLS = 67  # for each sampler
SHARED = ["simulate", "--d", "20", "--m", "4", "--P", "2", "--step-size", "1e-4", "--seeds", "2", "--workers", "1"]
RUNS = {
    "direct": ["--engine", "numpy", "--samples", "600"],
    "reduced": ["--samples", "30000"],
    "leap": ["--samples", "4000", "--macro-samples", "200"],
}


def started(words: list[str], log: Path) -> int:
    """The command in a copy of this process, which is about to begin with it; its id."""
    sys.stdout.flush()
    ready, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        os.read(ready, 1)  # a kill before is none of the command
        os.close(ready)
        return child
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(handle, number)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        sys.argv = ["emergence", *words]
        os.write(writing, b".")
        os._exit(main())
    except BaseException as error:
        os.write(2, repr(error).encode())
    finally:
        os._exit(99)


def ended(child: int, wait: float) -> int | None:
    """The exit status of a child that ended within so many seconds."""
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    return None


def document(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    del found["samples_per_second"]
    return found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("method", RUNS)
def test_killed_at_any_moment(method: str, tmp_path: Path) -> None:
    if method == "reduced" and not NUMBA:
        pytest.skip("no numba")
    words = [*SHARED, "--method", method, *RUNS[method], "--checkpoint-seconds", "0.02"]
    assert main([*words, "--out", str(tmp_path / "warm")]) == 0  # imports and compiles
    child, began = started([*words, "--out", str(tmp_path / "whole")], tmp_path / "log"), time.monotonic()
    assert ended(child, 60) == 0, (tmp_path / "log").read_text()
    whole, lasted = document(tmp_path / "whole" / "simulate.json"), time.monotonic() - began
    dice, kills, resumed, number = random.Random(method), Counter[str](), 0, 0
    while sum(kills.values()) < KILLS:
        out, number = tmp_path / f"run{number}", number + 1
        for _ in range(6):
            saved = out.exists() and any(out.glob("checkpoint-*.npz"))
            child = started([*words, "--out", str(out), "--resume"], tmp_path / "log")
            code = ended(child, dice.uniform(0, 1.2 * lasted))
            if code is not None:
                break
            how = dice.choice((signal.SIGKILL, signal.SIGINT, signal.SIGTERM))
            os.kill(child, how)
            code = ended(child, 60)
            log = (tmp_path / "log").read_text()
            assert code in (-how, {signal.SIGINT: 130, signal.SIGTERM: 143}.get(how, 0), 0), (code, log)
            assert "Traceback" not in log and (code != 130 or "emergence: interrupted" in log), log
            kills[how.name] += code != 0
            resumed += saved
        else:
            child = started([*words, "--out", str(out), "--resume"], tmp_path / "log")
            code = ended(child, 60)
        assert code == 0, (tmp_path / "log").read_text()
        assert document(out / "simulate.json") == whole
        assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
        assert load(out) == load(tmp_path / "whole")
    print(f"{method}: {dict(kills)} in {number} runs, {resumed} of them with checkpoints to go on from")
    assert resumed > KILLS // 4
