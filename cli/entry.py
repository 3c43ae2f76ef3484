"""The command ``emergence``: flags in, exit code out.

Exit codes: 0 done, 1 a strict comparison that does not agree, a refuted claim or a sweep with a point that failed,
2 bad input (one line on stderr, nothing written) or a stdout that takes no result, 3 an inconclusive claim, 130
interrupted, 143 by SIGTERM.  Heavy imports wait until a command runs.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from .._suggestion import suggestion
from .._version import __version__
from . import terminal
from .flags import add_settings, integer, number, numbers, seed
from .results import stated

TEACHER = (
    "The teacher's directions are the first P coordinate axes: the data is isotropic, so that any other orthonormal "
    "ones are these in other coordinates."
)


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        """The help, with the defaults that are in force; they are looked up where somebody asks."""
        for action in self._actions:
            if action.help is not None and "{default}" in action.help:
                from .settings import defaults

                value = defaults(self.prog.split()[-1].replace("-", "_"))[action.dest]
                text = "none" if value is None else value if isinstance(value, str) else f"{value:g}"
                action.help = action.help.format(default=text)
        return super().format_help()

    def _print_message(self, message: str, file: Any = None) -> None:
        (terminal.tell if file is sys.stderr else terminal.show)(message.removesuffix("\n"))

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The flags; one that is unknown is refused with the one that is most like it."""
        known, rest = self.parse_known_args(args, namespace)
        if rest:
            options = self._subparser(known.command)._option_string_actions
            flag = next((word for word in rest if word.startswith("--")), rest[0]).partition("=")[0]
            self.error(f"unrecognized arguments: {' '.join(rest)}{suggestion(flag, options)}")
        return known

    def _subparser(self, command: str | None) -> argparse.ArgumentParser:
        subparsers = next((one for one in self._actions if isinstance(one, argparse._SubParsersAction)), None)
        return self if subparsers is None or command is None else subparsers.choices[command]

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = ", ".join(map(str, action.choices))
            problem = f"invalid choice: {value!r} (choose from {known}){suggestion(str(value), action.choices)}"
            raise argparse.ArgumentError(action, problem)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"emergence: error: {' '.join(message.split())}\n")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="emergence",
        description="When SGD learns each feature of a two-layer network: theory beside simulation.",
        epilog="emergence COMMAND --help lists the flags of a command.",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument("--completion", metavar="SHELL", help="print the completions of bash, zsh or tcsh and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    hermite = commands.add_parser("hermite", help="Hermite coefficients, information exponent, parity")
    hermite.add_argument("expression", metavar="EXPR", help="activation, for example 'h4 + h6/2' or 'abs(x)'")
    hermite.add_argument("--max-degree", type=integer, default=20, metavar="K", help="list k = 0 … K (default 20)")
    hermite.add_argument("--high-pass", type=integer, default=0, metavar="K", help="remove degrees below K first")
    _add_output(hermite, stored=False)

    predict = commands.add_parser("predict", help="transition times: closed form, decoupled, gradient flow")
    _add_problem(predict)
    add_settings(predict, "predict")
    add_settings(predict, "flow")
    add_settings(predict, "quantiles")
    add_settings(predict, "noise", "law of SGD at a finite step size (with --step-size)")
    add_settings(predict, "schedule")
    predict.add_argument("--latex", action="store_true", help="print the transition law as LaTeX")
    _add_output(predict)

    exponents = commands.add_parser("exponents", help="scaling exponents of loss, time and samples, derived with SymPy")
    exponents.add_argument("--beta", type=number, metavar="B", help="strengths a_p ∝ p^−B (default: symbolic, above ½)")
    exponents.add_argument(
        "--information-exponent", type=integer, metavar="K", help="k* of the activation (default: symbolic, above 2)"
    )
    exponents.add_argument(
        "--label-noise", type=number, default=0.0, metavar="SD", help="laws at the best step size with noisy labels"
    )
    exponents.add_argument("--latex", action="store_true", help="print a LaTeX tabular")
    _add_output(exponents, stored=False)

    law = commands.add_parser("law", help="the expected loss against a resource, or time and samples against dimension")
    law.add_argument("resource", metavar="RESOURCE", help="one of: flow_time, samples_fixed_step, samples_best_step, …")
    _add_problem(law)
    add_settings(law, "quantiles")
    add_settings(law, "noise", "SGD")
    add_settings(law, "schedule")
    law.add_argument("--draws", type=integer, metavar="N", help="random starts of a law without noise (default 200)")
    law.add_argument("--dimensions", type=numbers, metavar="D,…", help="dimension_*: input dimensions")
    _add_output(law)

    step_size = commands.add_parser(
        "step-size", help="which step size learns with the fewest samples, and what it takes"
    )
    step_size.add_argument("--learn", type=integer, metavar="Q", help="strongest directions to learn (default all)")
    _add_problem(step_size)
    add_settings(step_size, "quantiles")
    add_settings(step_size, "noise", "SGD")
    _add_output(step_size)

    width = commands.add_parser("width", help="the smallest student that learns the strongest directions in time")
    width.add_argument("--learn", type=integer, metavar="Q", help="strongest directions to learn (default all)")
    width.add_argument("--probability", type=number, metavar="X", help="of learning all of them (default 0.9)")
    _add_problem(width)
    add_settings(width, "predict")
    add_settings(width, "noise", "SGD (with --step-size; else gradient flow)")
    _add_output(width)

    simulate = commands.add_parser("simulate", help="online SGD at finite d, measured transition times")
    _add_problem(simulate)
    _add_run(simulate)
    _add_output(simulate)

    compare = commands.add_parser("compare", help="theory and SGD from the same initial directions, with a verdict")
    _add_problem(compare)
    _add_run(compare)
    add_settings(compare, "compare")
    compare.add_argument("--strict", action="store_true", help="exit code 1 unless the verdict is 'agree'")
    compare.add_argument("--report", metavar="FILE.html", help="write the comparison here as one web page")
    _add_output(compare)

    sweep = commands.add_parser("sweep", help="many points, kept one by one: what is there is not computed again")
    sweep.add_argument("grid", metavar="GRID.toml", help="the points: what is fixed, what varies")
    sweep.add_argument("--out", metavar="DIR", default="results/sweep", help="where to (default results/sweep)")
    sweep.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    sweep.add_argument("--csv", metavar="FILE", help="write a table of all points here")
    sweep.add_argument("--table", metavar="KIND", default="points", help="points, times or curves (default points)")
    sweep.add_argument("--workers", type=integer, metavar="N", help="processes here (default one per core)")
    sweep.add_argument("--dask", metavar="ADDRESS", help="workers of the Dask scheduler at this address instead")

    figures = commands.add_parser("figures", help="the figures of the gallery, computed once and drawn at any width")
    figures.add_argument("names", nargs="*", metavar="NAME", help="which ones (--list shows them)")
    figures.add_argument("--all", action="store_true", help="all of them")
    figures.add_argument("--list", action="store_true", help="list the figures with their run times")
    figures.add_argument("--out", metavar="DIR", default="results/figures", help="where to (default results/figures)")
    figures.add_argument(
        "--format", default="pdf,png", metavar="KIND,…", help="pdf, png, svg (default pdf,png), or gif"
    )
    figures.add_argument("--width", default="text", metavar="WIDTH,…", help="column, text, slide: 3.4, 7, 11 inches")
    figures.add_argument(
        "--set", action="append", metavar="KEY=VALUE", help="a number of your own in the figure's, also run.P=12"
    )
    figures.add_argument("--config", metavar="FILE.toml", help="such settings from a file; the command line wins")
    figures.add_argument("--cache", metavar="DIR", help="where data are kept between calls (default ~/.cache/…)")
    figures.add_argument("--quick", action="store_true", help="previews at reduced sizes, all within five minutes")
    figures.add_argument("--seed", type=seed, default=0, help="seed of all random streams (default 0)")

    check = commands.add_parser("check", help="measure claims about exponents and constants; exit code 1 if refuted")
    check.add_argument("--claims", metavar="FILE.toml", help="claims to check (default: the suite of the package)")
    check.add_argument("--quick", action="store_true", help="only claims marked quick (under a minute)")
    check.add_argument("--seed", type=seed, default=0, help="seed of all random streams (default 0)")
    check.add_argument("--json", metavar="FILE", help="write the report here as JSON")
    check.add_argument("--junit", metavar="FILE", help="write the report here as JUnit XML")
    check.add_argument("--out", metavar="DIR", help="keep the measurements here; what is there is not measured again")
    return parser


def _add_problem(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "problem", "problem", TEACHER)
    parser.add_argument("--config", metavar="FILE.toml", help="read flags from a file; the command line wins")


def _add_run(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, "noise", "simulation")
    add_settings(parser, "schedule")
    add_settings(parser, "simulation")
    parser.add_argument("--resume", action="store_true", help="go on from what is in --out, finished or not")
    parser.add_argument("--check-step", action="store_true", help="leap: also run half the step, twice the batch")


def _add_output(parser: argparse.ArgumentParser, *, stored: bool = True) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument("--out", metavar="DIR", help="write the result and tables of it here, of compare pictures too")
    if stored:
        parser.add_argument("--overwrite", action="store_true", help="also over the results of another run in --out")


def run(arguments: Sequence[str] | None) -> int:
    """What ``emergence.cli.main`` does, but that an interrupt is raised.

    Where ``arguments`` is None the process is ours: SIGTERM, by which batch systems announce the end, is then an
    interrupt too, and one that a library drops is raised again.
    """
    terminal.prepare()
    if arguments is None:
        terminal.listen()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = terminal.warn
            return terminal.settled(_run(list(sys.argv[1:] if arguments is None else arguments)))
    except SystemExit as end:  # --help, or flags that argparse refuses
        sys.exit(terminal.settled(int(end.code or 0)))


def _run(words: list[str]) -> int:
    """The exit code of a command line."""
    parser = build_parser()
    for word in words:
        if word.startswith("--") and word.endswith("=--"):  # argparse would take the dashes away and give a list
            parser.error(f"argument {word[:-3]}: expected one argument")
    flags: dict[str, Any] = vars(parser.parse_args([_shielded(word) for word in words]))
    flags["command_line"] = shlex.join(["emergence", *words])
    if flags["version"]:
        terminal.show(__version__)
        return 0
    if flags["command"] is None and flags["completion"] is None:
        parser.error(
            "a command is needed: hermite, predict, exponents, law, step-size, width, simulate, compare, sweep, "
            "check or figures"
        )
    if flags["command"] is not None:
        flags["stated"] = stated(parser, flags)
        flags["command"] = flags["command"].replace("-", "_")  # from here on the name of its function
    for library in ("OPENBLAS", "OMP", "MKL"):  # runs are spread over threads; BLAS threads beside them
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")  # would only get in each other's way
    try:
        if flags["completion"] is not None:
            from .completion import completion

            terminal.show(completion(parser, flags["completion"]))
            return 0
        from . import commands

        return int(getattr(commands, flags["command"])(flags))
    except Exception as error:
        terminal.heed()
        if not isinstance(error, ValueError | ImportError | OSError | MemoryError):
            raise
        terminal.tell(f"emergence: error: {' '.join(str(error).split()) or type(error).__name__}")
        return 2


def _shielded(word: str) -> str:
    """Keep a word like ``-x**2`` or ``-1`` from being read as a flag: flags here have two dashes."""
    return f" {word}" if word.startswith("-") and not word.startswith("--") and word != "-h" else word
