"""What the pages say is so: their blocks run, what they name exists, the arrows of the house point one way."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import re
import runpy
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import emergence
from emergence.cli import main
from emergence.cli.entry import build_parser
from emergence.figures import NAMES

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "figures/gallery/README.md")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("problem", "theory", "simulate", "compare", "figures", "cli")
MAY_IMPORT = {
    "problem": set(), "theory": {"problem"}, "simulate": {"problem"}, "compare": {"problem", "theory", "simulate"},
    "figures": {"problem", "theory", "simulate", "compare"}, "cli": set(PACKAGES) - {"cli"},
}  # fmt: skip
SMALL_PROBLEM = ["--P", "2", "--d", "20", "--m", "4"]
SMALL_RUN = [*SMALL_PROBLEM, "--samples", "200", "--seeds", "2"]
SMALL_LAW = [*SMALL_PROBLEM, "--init-scale", "0.1"]
SMALL = {
    "law": SMALL_LAW,
    "step-size": SMALL_LAW,
    "width": ["--P", "2", "--d", "20", "--init-scale", "0.1"],
    "predict": SMALL_PROBLEM,
    "simulate": SMALL_RUN,
    "compare": SMALL_RUN,
    "check": ["--claims", "one.toml"],
    "sweep": ["--workers", "1"],
}
CLAIM = """
[[claim]]
name = "the loss falls as a power of flow time"
quantity = "flow_time"
formula = "(1 - 2*beta)/beta"
beta = 0.8
P = 2000
m = 8000
d = 1_000_000
seeds = 32
quick = true
"""


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text(page), re.M | re.S)


def lines(page: str) -> list[list[str]]:
    """The words of every command in the ``sh`` blocks of a page."""
    joined = "".join(blocks(page, "sh")).replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


COMMANDS = [(page, words) for page in PAGES for words in lines(page)]


def cases(program: str, *, drawing: bool = False) -> list:
    """The arguments of every command of a program; those that draw named figures apart."""
    chosen = [(page, words[1:]) for page, words in COMMANDS if words[0] == program]
    return [
        pytest.param(words, id=f"{page}: {shlex.join(words)}")
        for page, words in chosen
        if drawing == (words[0] == "figures" and not set(words).isdisjoint(NAMES))
    ]


def test_every_page_has_commands_of_known_programs() -> None:
    assert {words[0] for _, words in COMMANDS} == {"emergence", "make", "pip", "python"}
    assert {page for page, _ in COMMANDS} == set(PAGES)


@pytest.mark.parametrize("words", cases("emergence"))
def test_commands_run(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.toml").write_text(CLAIM, encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    assert main([*words, *SMALL.get(words[0], [])]) == 0  # later flags win: the same command, small


def test_the_gallery_shows_every_figure_by_the_command_that_makes_it() -> None:
    drawn = [case.values[0] for case in cases("emergence", drawing=True)]
    assert {words[1] for words in drawn} == set(NAMES)
    for words in drawn:
        build_parser().parse_args(words)  # what it computes is tested with the figures


@pytest.mark.parametrize("words", cases("make"))
def test_targets_are_in_the_makefile(words: list[str]) -> None:
    (target,) = words
    assert re.search(rf"^{target}:", text("Makefile"), re.M)


@pytest.mark.parametrize("words", cases("pip"))
def test_extras_exist(words: list[str]) -> None:
    command, what = words
    path, extras = re.fullmatch(r"(\.)(?:\[(.*)\])?", what).groups(default="")
    assert (command, path) == ("install", ".")
    assert set(filter(None, extras.split(","))) <= set(PROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize("words", cases("python"))
def test_scripts_exist(words: list[str]) -> None:
    assert (ROOT / words[0]).is_file()


@pytest.mark.parametrize(
    "block", [pytest.param(block, id=f"{page} {i}") for page in PAGES for i, block in enumerate(blocks(page, "python"))]
)
def test_python_runs_and_ends_in_agreement(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "<block>", "exec"), {"__name__": "__main__"})
    assert "verdict: agree" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def module(source: Path) -> str:
    return ".".join(("emergence", *source.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


EXAMPLES = [module(source) for source in sources() if ">>>" in source.read_text(encoding="utf-8")]


def test_there_are_examples_in_docstrings() -> None:
    assert len(EXAMPLES) >= 4  # activation, problem, Hermite expansion, transition law


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings(name: str) -> None:
    done = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert done.attempted > 0
    assert done.failed == 0


def flags_of_all_commands() -> set[str]:
    parser = build_parser()
    (commands,) = (action.choices for action in parser._actions if action.choices)
    return {flag for command in (parser, *commands.values()) for flag in command._option_string_actions}


@pytest.mark.parametrize("page", ["README.md", "figures/gallery/README.md"])
def test_flags_in_prose_exist(page: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", text(page), flags=re.M | re.S)
    assert set(re.findall(r"(?<![-\w])--[a-z][a-z-]*", prose)) <= flags_of_all_commands()


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_links_and_named_files_exist(page: str) -> None:
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\(([^)#:]+)\)", text(page)):
        assert (folder / link).exists(), link
    for name in re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.[a-z]+)?)`", text(page)):
        assert (ROOT / name).exists() or name == "results/", name


def test_the_table_of_folders_is_complete() -> None:
    rows = re.findall(r"^\| `(\w+)` \| .* \|$", text("README.md").split("| folder |")[1], re.M)
    assert tuple(rows) == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_arrows_point_one_way(package: str) -> None:
    for source in sorted((ROOT / package).rglob("*.py")):
        name = module(source)
        base = name if source.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                head = importlib.util.resolve_name("." * node.level + (node.module or ""), base) if node.level else None
                found = [f"{head or node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            ours = {parts[1] for parts in (item.split(".") for item in found) if parts[0] == "emergence"}
            assert ours & set(PACKAGES) <= MAY_IMPORT[package] | {package}, f"{source}:{node.lineno}"


@pytest.mark.parametrize("script", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.name)
def test_benchmarks_speak_the_interface(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("OPENBLAS", "OMP", "MKL"):  # what the script sets goes with this test
        monkeypatch.setenv(f"{library}_NUM_THREADS", "1")
    names = runpy.run_path(str(script))
    if "timed" in names:
        assert names["timed"](emergence.Direct("numpy"), names["problem"](20, 4, 2), work=1, batch=2) > 0


def test_oldest_versions_are_the_lower_bounds() -> None:
    pinned = re.findall(r"^(\w+)==([\d.]+)$", text("tests/oldest.txt"), re.M)
    bounds = dict(dependency.split(">=") for dependency in PROJECT["project"]["dependencies"])
    assert bounds.keys() <= dict(pinned).keys()
    for name, version in pinned:
        if name in bounds:
            assert re.fullmatch(rf"{re.escape(bounds[name])}(\.0)*", version), name


def test_citation_is_of_this_version() -> None:
    assert re.search(r"^version: (.*)$", text("CITATION.cff"), re.M)[1] == emergence.__version__
