"""The pages of the manual as programs: fenced blocks, their commands, and what they say that they print."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; ``file`` is the caption of a listing, which names the file that it is."""

    line: int
    language: str
    file: str | None
    text: str

    @property
    def slow(self) -> bool:
        """Does it begin with ``# about 10 s``?"""
        return self.text.startswith("# about ")

    def commands(self) -> list[tuple[list[str], int]]:
        """The words of every command with the exit code that its comment states, 0 where it states none."""
        if self.language == "yaml":
            script = "\n".join(re.findall(r"\brun: (.*)", self.text))
        else:
            script = self.text.replace("\\\n", " ") if self.language == "sh" else ""
        found = []
        for line in script.splitlines():
            code = re.search(r"# exit code (\d)$", line)
            if words := shlex.split(line, comments=True):
                found.append((words, int(code[1]) if code else 0))
        return found


def blocks(page: str) -> list[Block]:
    """Blocks of a language; a listing in a directive has its file's name as caption."""
    fence = r"^```(?:\{code-block\} )?(\w+)\n(?::caption: (\S+)\n\n?)?(.*?)^```$"
    whole = text(page)
    return [
        Block(whole.count("\n", 0, found.start()) + 1, found[1], found[2], found[3])
        for found in re.finditer(fence, whole, re.M | re.S)
    ]


NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")


def assert_prints(printed: str, shown: str) -> None:
    """Is that what is printed?  ``…`` stands for anything, blanks are blanks.

    Numbers may differ by 2 %, or by one in their last decimal: libraries sum in another order from version to version.
    """
    tolerances: list[tuple[float, float]] = []

    def loosened(number: re.Match[str]) -> str:
        digits = number[0].replace("−", "-")
        mantissa, _, exponent = digits.partition("e")
        decimals = len(mantissa.partition(".")[2])
        last = 1.01 * 10.0 ** (int(exponent or 0) - decimals) if decimals else 0.0
        tolerances.append((float(digits), max(0.02 * abs(float(digits)), last)))
        return "\0"

    pattern = re.escape(NUMBER.sub(loosened, " ".join(shown.split())))
    for escaped, meant in (("\0", f"({NUMBER.pattern})"), (" ", r"\s+"), ("…", ".*?")):
        pattern = pattern.replace(re.escape(escaped), meant)
    found = re.fullmatch(pattern, printed.strip(), re.S)
    assert found, f"not what is printed:\n{printed}"
    for got, (wanted, tolerance) in zip(found.groups(), tolerances, strict=True):
        assert abs(float(got.replace("−", "-")) - wanted) <= tolerance, f"{got} is shown as {wanted}:\n{printed}"
