"""Odd command lines, damaged files and expressions for the command ``emergence``, and what it may do with them.

    python tests/fuzzing.py [KIND …] [--count N] [--seed S]

feeds each kind of input N times to the command line in this process and prints how often each outcome came up.
``tests/test_fuzz.py`` does so in small.  Whatever comes in, ``fed`` asks of the command:

* exit code 0, 1, 2 or 3, and no exception, warning or endless loop;
* with code 2 one line on stderr, nothing on stdout, and no file made, changed or removed;
* otherwise whole files: strict JSON where the name says so, and nothing half-written;
* that no program was started, and that what a pickle would have done was not.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import signal
import string
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import numpy as np

from emergence.cli import main

Words = list[str]
PROBLEM = ["--P", "2", "--d", "8", "--m", "3"]
RUN = ["--samples", "40", "--step-size", "1e-3", "--records", "4", "--engine", "numpy"]
LAW = (
    '[[claim]]\nname = "c"\nquantity = "flow_time"\nformula = "(1 - 2*beta)/beta"\nmethod = "finite_law"\n'
    "beta = 1.0\nP = 40\nm = 80\nd = 1000\nseeds = 6\n"
)
CONFIG = (
    'activation = "h4"\nP = 2\nd = 8\nm = 3\nstep-size = 1e-3\nsamples = 40\nseeds = 2\nspacing = "log"\n'
    "quantiles = [0.25, 0.5]\nt_max = 3.0\n"
)
TEXTS = [  # each is the beginning of some valid expression
    "h4", "abs(x)", "h4 + h6/2", "x**3 - 3*x", "sign(x)*x**2", "exp(-x**2)*x", "tanh(x)", "relu(x) - x/2", "max(x, 1)",
    "sin(3*x)", "sqrt(abs(x))*x", "log(1 + x**2)*x", "gelu(x)", "erf(x)**3", "softplus(x)*h4", "x/(1 + x**2)",
]  # fmt: skip
SCRAPS = [
    "x", "h3", "h40", "h41", "1e400", "1e-400", "(", ")", ",", "**", "*", "/", "-", "+", "0", "2.5", "99", "pi", "abs(",
    "exp(", "log(", "tan(", "max(", "Heaviside(", "1/", "**-1", "**40", " ", "x.real",
    "__import__('os').system('true')", "lambda: 0", "[", "]", "{x}", "'", '"', "\\", "\n", "\x00", "é", "σ", "٣", "ｘ",
    "f\"{x}\"", ":=", "if", "e5", "j",
]  # fmt: skip
NUMBERS = [
    "0", "1", "2", "3", "5", "-1", "-0", "0.5", "1.5", "1e-3", "1e-320", "1e308", "1e400", "-1e400", "nan", "inf",
    "-inf", "", " ", "--", "-", "+", "1e", "0x10", "1_0", "٣", "1e18", "9e18", "1e19", "9" * 40, "1" + "0" * 400,
    "1,2", "x", "\x00", "é", "1e-9", "0.25,0.5", "0,1", "\udcff", "2e0", "1\n2", "%s", "{default}", "@x",
]  # fmt: skip
WORDS = [
    "constant", "power:10", "power:10:0.5", "power:0:1", "power:1e-6:4", "power:1e300:1", "piecewise:2=1e-3",
    "piecewise:0=1", "piecewise:1e18=1,3=2", "piecewise:2=1e400", "piecewise:", "power::", "auto", "direct",
    "reduced", "leap", "numpy", "compiled", "log", "linear", "exact", "diagonal", "cpu", "h4", "abs(x)", "tanh(x)",
    "h2", "flow_time", "width", "samples_best_step", "dimension_time", "spectra", "png", "svg", "column", "nowhere",
    ".", "/", "../x", "/dev/null",
]  # fmt: skip
FLAGS = [
    "activation", "high-pass", "beta", "P", "strengths", "d", "m", "init-scale", "seed", "directions", "t-max",
    "flow-method", "quantiles", "step-size", "batch", "label-noise", "samples", "seeds", "records", "spacing",
    "schedule", "method", "engine", "workers", "virtual", "accuracy", "macro-samples", "checkpoint-seconds",
    "tolerance", "max-degree", "learn", "draws", "dimensions", "probability", "information-exponent", "out", "report",
    "config", "claims", "junit", "format", "width", "colour", "help", "json", "latex", "strict", "resume",
    "check-step", "quick", "list", "all", "version", "",
]  # fmt: skip
BASES: list[Words] = [
    ["hermite", "h4"],
    ["exponents"],
    ["predict", *PROBLEM],
    ["law", "flow_time", *PROBLEM],
    ["step-size", *PROBLEM],
    ["width", *PROBLEM[:4], "--t-max", "3"],
    ["simulate", *PROBLEM, *RUN],
    ["compare", *PROBLEM, *RUN],
    ["figures", "--list"],
    ["check", "--quick", "--claims", "nowhere.toml"],
]


class Wrong(AssertionError):  # noqa: N818
    """What the command must not do."""


class Hang(BaseException):
    """The command took too long; no ``except Exception`` catches it."""


def odd_words(dice: random.Random) -> Words:
    """A command line: a small one with words added, changed, dropped or exchanged."""
    words = list(dice.choice(BASES))
    for _ in range(dice.choice((1, 1, 2, 3))):
        flag, value = f"--{dice.choice(FLAGS)}", dice.choice((NUMBERS, NUMBERS, WORDS, SCRAPS, TEXTS))
        change = dice.randrange(8)
        if change < 4:
            words += [flag, dice.choice(value)]
        elif change == 4:
            words += [f"{flag}={dice.choice(value)}"]
        elif change == 5:
            words[dice.randrange(1, len(words)) if len(words) > 1 else 0] = dice.choice(value)
        elif change == 6 and len(words) > 2:
            words.pop(dice.randrange(1, len(words)))
        else:
            words.insert(dice.randrange(len(words) + 1), dice.choice([flag, dice.choice(value)]))
    return words


def odd_expression(dice: random.Random) -> str:
    """A valid expression with a slip of the pen, or a heap of scraps."""
    if dice.random() < 0.3:
        return "".join(dice.choice(SCRAPS + TEXTS) for _ in range(dice.randrange(1, 12)))
    text = dice.choice(TEXTS)
    if dice.random() < 0.5:
        text = dice.choice(("({})*({})", "({}) + ({})", "({})/(2 + ({})**2)", "max({}, {})")).format(
            text, dice.choice(TEXTS)
        )
    for _ in range(dice.randrange(3)):
        place = dice.randrange(len(text) + 1)
        text = text[:place] + dice.choice([*SCRAPS, *string.digits]) + text[place + dice.randrange(2) :]
    return text


def damaged(content: bytes, dice: random.Random) -> bytes:
    """The content truncated, with bits flipped, bytes put in, a piece doubled or another beginning."""
    data = bytearray(content)
    for _ in range(dice.choice((1, 1, 1, 2, 5))):
        place, change = dice.randrange(len(data) + 1), dice.randrange(7)
        if change == 0:
            del data[place:]
        elif change < 3 and data:
            data[min(place, len(data) - 1)] ^= 1 << dice.randrange(8)
        elif change == 3:
            data[place:place] = bytes(dice.randrange(256) for _ in range(dice.randrange(1, 9)))
        elif change == 4:
            data[place:place] = data[place : place + dice.randrange(1, 200)]
        elif change == 5:
            data[:0] = dice.choice((b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"#", b"\x93NUMPY", b"PK\x03\x04"))
        else:
            del data[place : place + dice.randrange(1, 50)]
    return bytes(data)


def odd_toml(text: str, dice: random.Random) -> bytes:
    """A TOML document with damage, or with values of other kinds and sizes."""
    if dice.random() < 0.4:
        return damaged(text.encode(), dice)
    values = [
        "1", "-1", "0", "2.5", "nan", "inf", "-inf", "true", '""', '"h4"', '"x"', "[]", "[1, 2]", "[0.5, 'a']", "{}",
        "{a = 1}", "1e400", "1" + "0" * 400, str(2**63 - 1), str(2**62), "1979-05-27", "07:32:00", '"\\u0007"',
        "[" * 40 + "]" * 40, "0x7fffffffffffffff", '"a\\nb"', "'''\n'''", "1e-320", "[[1]]", str(10**18),
        '"power:10"', "[1, 2, 3, 4]",
    ]  # fmt: skip
    lines = text.splitlines()
    for _ in range(dice.choice((1, 1, 2, 3))):
        place = dice.randrange(len(lines))
        key = lines[place].split(" = ")[0]
        odd = f"{key} = {dice.choice(values)}"
        change = dice.randrange(4)
        if change < 2 and " = " in lines[place]:
            lines[place] = odd
        elif change == 2:
            lines.insert(place, f"{dice.choice([f.replace('-', '_') for f in FLAGS if f])} = {dice.choice(values)}")
        else:
            lines.append(dice.choice([odd, "[[claim]]", "[x]", "a.b.c = 1", f"{'a.' * 500}b = 1", "=", key]))
    return "\n".join(lines).encode()


# --- what is fed ----------------------------------------------------------------------------------


def _commands(dice: random.Random, directory: Path) -> Words:
    words = odd_words(dice)
    minutes = "--all" in words or ("check" in words and not any("nowhere" in word for word in words))
    return ["figures", "--list"] if minutes else words


def _expressions(dice: random.Random, directory: Path) -> Words:
    return ["hermite", "--max-degree", str(dice.randrange(5)), "--", odd_expression(dice)]


def _configs(dice: random.Random, directory: Path) -> Words:
    (directory / "c.toml").write_bytes(odd_toml(CONFIG, dice))
    command = dice.choice((["predict"], ["simulate", "--engine", "numpy"], ["law", "flow_time", "--draws", "20"]))
    return [
        *command,
        *(PROBLEM + ["--samples", "40"] * (command[0] == "simulate")),
        "--config",
        "c.toml",
        "--out",
        "out",
    ]


def _claims(dice: random.Random, directory: Path) -> Words:
    (directory / "c.toml").write_bytes(odd_toml(LAW, dice))
    return ["check", "--claims", "c.toml", "--json", "a.json", "--junit", "a.xml", "--out", "out"]


class _Trap:
    """Unpickling this makes a file."""

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (Path("sprung"),)


def _directions(dice: random.Random, directory: Path) -> Words:
    buffer = io.BytesIO()
    rows = np.random.default_rng(0).standard_normal((3, 8))
    rows = rows.astype(dice.choice(("f8", "f4", "f2", "g", "i4", "c8", ">f8", "?", "O")))
    if rows.dtype == object:
        rows[0, 0] = _Trap()
    dice.choice((np.save, np.save, np.savez))(buffer, rows)
    (directory / "rows.npy").write_bytes(damaged(buffer.getvalue(), dice))
    return ["simulate", *PROBLEM, *RUN, "--directions", "rows.npy", "--out", "out"]


def _checkpoints(dice: random.Random, directory: Path) -> Words:
    (directory / "out").mkdir()
    method = dice.choice(("direct", "leap"))
    (directory / "out" / "checkpoint-0000.npz").write_bytes(damaged(checkpoint(method), dice))
    return [*stopped(method), "--resume", "--out", "out"]


def stopped(method: str) -> Words:
    """The run that ``checkpoint`` is of."""
    return ["simulate", *PROBLEM, *RUN, "--method", method, "--workers", "1"]


@cache
def checkpoint(method: str) -> bytes:
    """The last checkpoint of a small run."""
    from emergence.cli import commands

    clear, commands._clear_checkpoints = commands._clear_checkpoints, lambda *_: None
    try:
        with tempfile.TemporaryDirectory() as directory, redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            main([*stopped(method), "--out", directory])
            return (Path(directory) / "checkpoint-0000.npz").read_bytes()
    finally:
        commands._clear_checkpoints = clear


KINDS: dict[str, Callable[[random.Random, Path], Words]] = {
    "commands": _commands,
    "expressions": _expressions,
    "configs": _configs,
    "claims": _claims,
    "directions": _directions,
    "checkpoints": _checkpoints,
}


# --- what may come out ----------------------------------------------------------------------------

_forbidden: list[str] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"):
        _forbidden.append(f"{event} {arguments!r}"[:200])


@cache
def _guarded() -> None:
    sys.addaudithook(_watch)


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise ``Hang`` after so much time, in the main thread."""

    def ring(*_: object) -> None:
        raise Hang(f"more than {seconds:g} s")

    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below, by name; of directories the name alone."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else b""
        for path in sorted(directory.rglob("*"))
    }


def refuse_constant(name: str) -> None:
    raise Wrong(f"{name} is not JSON")


def fed(words: Words, directory: Path, seconds: float = 20.0) -> str:
    """Run the command in ``directory``; how it went, in a few words.

    Work may last ten times ``seconds``, a refusal takes at most so much processor time.

    Raises
    ------
    Wrong
        Something that no input may bring about.
    """
    _guarded()
    _forbidden.clear()
    before, out, err, began = contents(directory), io.StringIO(), io.StringIO(), time.process_time()
    try:
        with (
            chdir(directory), redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings(action="error"),
            limited(10 * seconds),
        ):  # fmt: skip
            code = main(list(words))
    except SystemExit as end:
        code = end.code  # type: ignore[assignment]
    except (Exception, Hang) as error:
        raise Wrong(f"{words!r}: {type(error).__name__}: {error}") from error
    if _forbidden:
        raise Wrong(f"{words!r}: {_forbidden}")
    after = contents(directory)
    if "sprung" in after:
        raise Wrong(f"{words!r}: unpickled")
    if code == 2:
        lines = err.getvalue()
        if out.getvalue() or not lines.startswith("emergence: error: ") or lines.count("\n") != 1:
            raise Wrong(f"{words!r}: refused with {out.getvalue()[:200]!r} and {lines!r}")
        if after != before:
            raise Wrong(f"{words!r}: refused, but {sorted(set(after.items()) ^ set(before.items()))[:3]!r}")
        took = time.process_time() - began  # however busy the machine is
        if took > seconds and "no step size learns" not in lines:  # which takes work to know
            raise Wrong(f"{words!r}: refused after {took:.1f} s")
        return "2 refused"
    if code not in (0, 1, 3):
        raise Wrong(f"{words!r}: exit code {code!r}: {err.getvalue()[:300]}")
    for name, content in after.items():
        if name.endswith(".part"):
            raise Wrong(f"{words!r}: left {name}")
        if name.endswith(".json"):
            json.loads(content, parse_constant=refuse_constant)
    return {0: "0 done", 1: "1 refuted", 3: "3 inconclusive"}[code]


def feed(kind: str, number: int, seed: int = 0, seconds: float = 20.0) -> str:
    """Input ``number`` of a kind, fed."""
    with tempfile.TemporaryDirectory() as folder:
        words = KINDS[kind](random.Random(f"{kind} {seed} {number}"), Path(folder))
        return fed(words, Path(folder), seconds)


def report() -> int:
    """Feed what the command line asks for and count the outcomes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)} (default all)")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5.0, help="that a refusal may take")
    options = parser.parse_args()
    bad = 0
    for kind in options.kinds or KINDS:
        counts: Counter[str] = Counter()
        began = time.monotonic()
        for number in range(options.first, options.first + options.count):
            try:
                counts[feed(kind, number, options.seed, options.seconds)] += 1
            except Wrong as wrong:
                counts["wrong"] += 1
                print(f"{kind} {number}: {wrong}", flush=True)
        bad += counts["wrong"]
        print(f"{kind}: {dict(sorted(counts.items()))} in {time.monotonic() - began:.0f} s", flush=True)
    return int(bad > 0)


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(report())
