"""One import name: whatever lies beside a user's script, and whatever the folder is called."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import emergence

ROOT = Path(__file__).parents[1]
PACKAGES = ("problem", "theory", "simulate", "compare", "figures", "cli")
SCRIPT = """
import emergence
from emergence.compare import overlay
from emergence.problem import Problem
from emergence.simulate import sgd
import emergence.theory, emergence.figures, emergence.cli
print(emergence.__version__, sgd.__module__, overlay.__module__)
"""


def spawned(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture
def littered(tmp_path: Path) -> Path:
    """A folder with files, folders and packages of every name that the house uses."""
    for name in (*PACKAGES, "tests", "samplers", "run", "flags"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a file beside the script was imported')\n")
        (tmp_path / name).mkdir()
    for name in PACKAGES[:3]:
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a folder beside the script was imported')\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


@pytest.mark.parametrize("how", ["script", "command", "module"])
def test_nothing_beside_a_script_is_in_the_way(how: str, littered: Path) -> None:
    if how == "module":
        done = spawned(littered, "-m", "emergence", "--version")
    else:
        done = spawned(littered, *(["script.py"] if how == "script" else ["-c", SCRIPT]))
    assert done.returncode == 0 and done.stdout.startswith(emergence.__version__), done.stderr


@pytest.mark.parametrize("name", PACKAGES)
def test_the_stray_spelling_fails_instead_of_loading_a_second_copy(name: str) -> None:
    done = spawned(ROOT, "-c", f"import {name}")
    assert done.returncode == 1 and "attempted relative import beyond top-level package" in done.stderr


def test_the_face_holds_what_it_names() -> None:
    for name in emergence.__all__:
        assert getattr(emergence, name) is not None, name
    assert set(emergence.__all__) <= set(dir(emergence))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = emergence.nonsense


def test_importing_the_face_imports_nothing_heavy() -> None:
    code = "import emergence, sys; print(sorted({'numpy', 'scipy', 'sympy', 'matplotlib'} & set(sys.modules)))"
    assert spawned(ROOT, "-c", code).stdout == "[]\n"


def test_no_module_has_the_name_of_a_function_that_its_package_exports() -> None:
    for package in PACKAGES:
        module = __import__(f"emergence.{package}", fromlist=["__all__"])
        for name in getattr(module, "__all__", []):
            value = getattr(module, name)
            hidden = (ROOT / package / f"{name}.py").exists() and callable(value)
            assert not hidden, f"{package}.{name}"


@pytest.mark.slow
def test_the_wheel_holds_one_package_with_types_and_claims(tmp_path: Path) -> None:
    done = spawned(ROOT, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT))
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"emergence"}
    for wanted in (
        "py.typed",
        "compare/claims.toml",
        "cli/page.css",
        "cli/page.js",
        "simulate/samplers/leap.py",
        "cli/entry.py",
        "_version.py",
    ):
        assert f"emergence/{wanted}" in names
    sources = {f"emergence/{p.relative_to(ROOT)}" for package in PACKAGES for p in (ROOT / package).rglob("*.py")}
    assert sources <= set(names), "every module is in it"
