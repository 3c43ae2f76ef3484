"""Does a test fail when the code is wrong?  Runs the suite on small mutations of the sources.

    python tests/mutants.py [--only SUBSTRING] [--jobs N]

Each table of ``mutants.toml`` is one mutant: in ``file`` the text ``old`` (which must occur there exactly
once) becomes ``new``, and the files ``tests`` must then fail; ``note`` says what the mutation breaks.  A mutant
that no test can tell from the original says why in ``survives``.  Every mutant gets a fresh copy of the
checkout (files that git tracks, as they are now) in a temporary directory; first the tests must pass on the
original.  Mutants that hang for five minutes count as killed.  ``--only`` picks mutants in whose file, tests
or note SUBSTRING occurs.  Exit status 1: a mutant survived without a reason, or does not apply.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 300.0  # seconds for the tests of one mutant
FAILED = (1, 2)  # pytest's exit codes: a test failed, or could not even be collected


@dataclass(frozen=True)
class Mutant:
    """One row of the table."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    note: str
    survives: str = ""

    def defect(self) -> str:
        """Why the mutant does not apply to this checkout; empty if it does."""
        missing = [name for name in (self.file, *self.tests) if not (ROOT / name.split("::")[0]).is_file()]
        if missing:
            return f"no file {missing}"
        count = (ROOT / self.file).read_text(encoding="utf-8").count(self.old)
        return f"`old` occurs {count} times, not once" if count != 1 else "" if self.old != self.new else "no change"


def mutants() -> list[Mutant]:
    """All rows of the table."""
    rows = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))["mutant"]
    return [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in rows]


def copied(target: Path) -> None:
    """The files that git tracks, links as links, copied to ``target``."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in (name for name in listed.split("\0") if name and os.path.lexists(ROOT / name)):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target / name, follow_symlinks=False)


def run(tests: tuple[str, ...], mutant: Mutant | None = None) -> tuple[int, str]:
    """Exit code of pytest on a fresh copy, mutated or not, and the first test that failed."""
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as folder:
        root = Path(folder) / "checkout"
        copied(root)
        if mutant is not None:
            text = (root / mutant.file).read_text(encoding="utf-8")
            (root / mutant.file).write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "--tb=no", "-p", "no:cacheprovider", *tests]
        environment = os.environ | {"PYTHONPATH": str(root)}
        with (Path(folder) / "output").open("w+", encoding="utf-8") as output:  # a pipe could be held open
            process = subprocess.Popen(command, cwd=root, env=environment, stdout=output, start_new_session=True)
            try:
                code = process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return FAILED[0], f"hung for {TIMEOUT:.0f} s"
            output.seek(0)
            failed = [line.split(" - ")[0] for line in output if line.startswith(("FAILED", "ERROR"))]
    return code, failed[0].strip() if failed else ""


def verdict(mutant: Mutant) -> tuple[str, bool]:
    """A line of the report, and whether it is as it should be."""
    start, defect = time.monotonic(), mutant.defect()
    code, killer = (-1, defect) if defect else run(mutant.tests, mutant)
    word = {-1: "does not apply", 0: "survived"}.get(code, "killed" if code in FAILED else "no verdict")
    line = f"{word:<15}{time.monotonic() - start:5.0f} s  {mutant.file}: {mutant.note}  [{killer or mutant.survives}]"
    return line, word == "killed" or (word == "survived" and bool(mutant.survives))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default="", help="mutants in whose file, tests or note this occurs")
    parser.add_argument("--jobs", type=int, default=1, help="mutants at a time")
    options = parser.parse_args()
    chosen = [m for m in mutants() if any(options.only in part for part in (m.file, *m.tests, m.note))]
    if not chosen:
        parser.error(f"no mutant has {options.only!r} in its file, tests or note")
    code, failure = run(tuple({test: None for mutant in chosen for test in mutant.tests}))
    if code:
        parser.error(f"the tests fail without any mutation: {failure or f'exit code {code}'}")
    good = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for line, is_good in pool.map(verdict, chosen):
            print(line, flush=True)
            good += is_good
    print(f"{good} of {len(chosen)} mutants are killed, or known to survive")
    return int(good < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
