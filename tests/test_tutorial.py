"""The tutorial runs as it stands, is short, prints what its page shows, and leaves the figure that it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pages import assert_prints, blocks
from PIL import Image

from emergence.figures.style import WIDTHS

TUTORIAL = Path(__file__).parents[1] / "examples" / "tutorial.py"


def test_the_tutorial_is_short_and_has_cells() -> None:
    text = TUTORIAL.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    assert text.count("# %%") >= 4
    compile(text, str(TUTORIAL), "exec")


def test_the_tutorial_runs_and_checks_what_it_draws(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(TUTORIAL)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "verdict: agree" in done.stdout  # the tutorial itself asserts it: not an accident of the print
    assert_prints(done.stdout, " ".join(block.text for block in blocks("docs/tutorial.md") if block.language == "text"))
    assert [path.name for path in tmp_path.iterdir()] == ["tutorial.png"]
    with Image.open(tmp_path / "tutorial.png") as image:
        assert abs(image.size[0] - 200 * WIDTHS["text"]) <= 1  # 200 dots an inch, rounded to whole pixels
