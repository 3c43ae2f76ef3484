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
from pages import ROOT, assert_prints, blocks, text

import emergence
from emergence.cli import main
from emergence.cli.entry import build_parser
from emergence.figures import NAMES

MANUAL = tuple(str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").rglob("*.md")))
TUTORIAL = "docs/tutorial.md"
PAGES = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md", "figures/gallery/README.md", *MANUAL)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("problem", "theory", "simulate", "compare", "figures", "cli")
MAY_IMPORT = {
    "problem": set(), "theory": {"problem"}, "simulate": {"problem"}, "compare": {"problem", "theory", "simulate"},
    "figures": {"problem", "theory", "simulate", "compare"}, "cli": set(PACKAGES) - {"cli"},
}  # fmt: skip
SMALL_PROBLEM = ["--P", "2", "--d", "20", "--m", "4"]
SMALL_RUN = [*SMALL_PROBLEM, "--samples", "200", "--seeds", "2"]
SMALL_LAW = ["--P", "1", "--d", "20", "--m", "2", "--init-scale", "0.1"]
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


COMMANDS = [(page, words) for page in PAGES for block in blocks(page) for words, _ in block.commands()]


def cases(program: str) -> list:
    """The arguments of every command of a program."""
    chosen = [(page, words[1:]) for page, words in COMMANDS if words[0] == program]
    return [pytest.param(words, id=f"{page}: {shlex.join(words)}") for page, words in chosen]


def makes_figures(words: list[str]) -> bool:
    """Does it make figures?  What they compute is tested with them."""
    return words[0] == "figures" and "--list" not in words


def test_every_page_has_commands_of_known_programs() -> None:
    assert {words[0] for _, words in COMMANDS} == {"emergence", "make", "pip", "python"}
    assert {page for page, _ in COMMANDS} >= set(PAGES) - set(MANUAL)


def run_page(page: str, slow: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the blocks of a page in order, in this folder: listings are written, scripts share their names.

    A ``text`` block is what the block before it prints.  Other commands run at a small size, slow blocks as they are.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    page_blocks = blocks(page)
    for block, after in zip(page_blocks, [*page_blocks[1:], None], strict=False):
        shown = after is not None and after.language == "text"
        if block.language == "text" or (block.slow and not slow):
            continue
        try:
            if block.file is not None:
                Path(block.file).parent.mkdir(parents=True, exist_ok=True)
                Path(block.file).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                exec(compile(block.text, f"<{page}:{block.line}>", "exec"), names)
            for words, code in block.commands():
                if words[0] != "emergence" or block.language == "yaml":
                    continue
                if makes_figures(words[1:]):
                    build_parser().parse_args(words[1:])
                    continue
                small = [] if shown or block.slow else SMALL.get(words[1], [])
                assert main([*words[1:], *small]) == code, words  # later flags win: the same command, small
            printed = capsys.readouterr().out
            if shown:
                assert_prints(printed, after.text)
        except BaseException as error:
            error.add_note(f"in the block at {page}:{block.line}")
            raise


@pytest.mark.parametrize("page", PAGES)
def test_what_is_shown_and_what_a_workflow_runs_stands_on_the_page(page: str) -> None:
    found = blocks(page)
    run = [words for block in found if block.language == "sh" for words, _ in block.commands()]
    for before, block in zip([None, *found], found, strict=False):
        if block.language == "text" and page != TUTORIAL:  # whose script has a test of its own
            assert before is not None and before.language in ("sh", "python"), f"{page}:{block.line}"
        if block.language == "yaml":
            ours = [words for words, _ in block.commands() if words[0] == "emergence"]
            assert ours and all(words in run for words in ours)


@pytest.mark.parametrize("page", PAGES)
def test_pages_run(
    page: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.chdir(tmp_path)
    if page == "README.md":  # which shows no output
        request.getfixturevalue("few_step_sizes")
    (tmp_path / "one.toml").write_text(CLAIM, encoding="utf-8")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    run_page(page, False, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(block.slow for block in blocks(page))])
def test_pages_run_whole(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    run_page(page, True, capsys)


@pytest.mark.parametrize(
    ("printed", "shown"),
    [("7 of 8", "7 of 9"), ("x 1.00", "y 1.00"), ("0.93", "0.91"), ("1e-3", "1e-4"), ("a\nb", "a"), ("—", "1")],
)
def test_what_is_not_printed_is_found(printed: str, shown: str) -> None:
    assert_prints(f"{printed}, 1.234e-05 in 3 s", f"{printed},  1.235e-05\nin … s")
    with pytest.raises(AssertionError):
        assert_prints(printed, shown)


def test_the_gallery_shows_every_figure_by_the_command_that_makes_it() -> None:
    drawn = [words[1:] for page, words in COMMANDS if page == "figures/gallery/README.md"]
    assert {words[1] for words in drawn} == set(NAMES)
    for words in drawn:
        build_parser().parse_args(words)


@pytest.mark.parametrize("words", cases("make"))
def test_targets_are_in_the_makefile(words: list[str]) -> None:
    (target,) = words
    assert re.search(rf"^{target}:", text("Makefile"), re.M)


@pytest.mark.parametrize("words", cases("pip"))
def test_extras_exist(words: list[str]) -> None:
    command, what = words
    path, extras = re.fullmatch(r"(\.|\./sgd-emergence)(?:\[(.*)\])?", what).groups(default="")
    assert command == "install" and path
    assert set(filter(None, extras.split(","))) <= set(PROJECT["project"]["optional-dependencies"])


@pytest.mark.parametrize("words", cases("python"))
def test_scripts_exist(words: list[str]) -> None:
    assert (ROOT / words[0]).is_file()


def test_the_script_of_the_front_page_ends_in_agreement() -> None:
    (script,) = (block.text for block in blocks("README.md") if block.language == "python")
    assert 'assert comparison.agreement.verdict == "agree"' in script


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


@pytest.mark.parametrize("page", ["README.md", "figures/gallery/README.md", *MANUAL])
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
