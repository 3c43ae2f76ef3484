"""Whatever is typed or handed in: an exit code, whole files or none, and one line where it is refused."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from fuzzing import KINDS, Wrong, fed, feed
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("kind", KINDS)
def test_no_input_breaks_the_command(kind: str) -> None:
    @given(dice=st.randoms(use_true_random=False))
    @settings(max_examples=12, database=None)
    def one(dice: random.Random) -> None:
        with tempfile.TemporaryDirectory() as directory:
            fed(KINDS[kind](dice, Path(directory)), Path(directory))

    one()


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("kind", KINDS)
def test_no_input_of_ten_thousand_breaks_the_command(kind: str, part: int) -> None:
    counts = Counter(feed(kind, number) for number in range(1000 * part, 1000 * (part + 1)))
    assert counts["2 refused"] and sum(counts.values()) == 1000


@pytest.mark.parametrize(
    ("program", "fault"),
    [
        ("raise KeyError", "KeyError"),
        ("import warnings; warnings.warn('x', RuntimeWarning)", "RuntimeWarning"),
        ("Path('a.part').touch()", "left a.part"),
        ("Path('a.json').write_text('[NaN]')", "NaN is not JSON"),
        ("Path('a').touch(); raise ValueError('no')", "refused, but"),
        ("import os; os.system('true')", "os.system"),
        ("print('half'); raise ValueError('no')", "refused with 'half"),
        ("return 7", "exit code 7"),
        ("import time; time.sleep(9)", "more than 0.1 s"),
    ],
)
def test_the_fuzzer_sees_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, fault: str
) -> None:
    body = f"def hermite(flags):\n    {program}\n    return 0\n"
    space: dict[str, object] = {"Path": Path}
    exec(body, space)
    monkeypatch.setattr("emergence.cli.commands.hermite", space["hermite"])
    with pytest.raises(Wrong, match=fault.replace("[", r"\[")):
        fed(["hermite", "h4"], tmp_path, seconds=0.01 if "sleep" in program else 20)


def test_the_fuzzer_sees_a_refusal_that_took_long(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("fuzzing.time.process_time", itertools.count(0.0, 21.0).__next__)
    with pytest.raises(Wrong, match=r"refused after 21\.0 s"):
        fed(["hermite", "x +"], tmp_path)
