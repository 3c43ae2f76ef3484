"""The text that decides a figure's numbers: ``compute`` and whatever of its file it uses, and nothing of ``draw``.

A file's top-level statements are parsed; from ``compute`` on, every name that a statement mentions and the file
defines is followed, into other files of this folder too.  The statements found are written out again by Python's own
unparser, so that comments, docstrings and line breaks do not count.  Other packages' code is not followed:
``problem.files.code_digest`` stands for it.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=64)
def numbers_source(source: str, start: str = "compute") -> str:
    """The statements that ``start`` depends on, in the file's order, those of other files of the folder before."""
    found: dict[tuple[str, int, str], str] = {}
    _follow("", source, start, found)
    return "\n".join(found[key] for key in sorted(found))


def _follow(name: str, source: str, start: str, found: dict[tuple[str, int, str], str]) -> None:
    """Add the statements that ``start`` of a file depends on, by the file's name and their place in it."""
    statements = ast.parse(source).body
    defined: dict[str, list[int]] = {}
    for i, statement in enumerate(statements):
        for bound in _bound(statement):
            defined.setdefault(bound, []).append(i)
    pending, seen = [start], set[str]()
    while pending:
        wanted = pending.pop()
        if wanted in seen:
            continue
        seen.add(wanted)
        for i in defined.get(wanted, []):
            statement = statements[i]
            if (name, i, "") in found or (name, i, wanted) in found:  # followed before, from another name
                continue
            if isinstance(statement, ast.ImportFrom):  # of several names the one that is wanted
                alias = next(one for one in statement.names if wanted == (one.asname or one.name))
                found[name, i, wanted] = ast.unparse(ast.ImportFrom(statement.module, [alias], statement.level))
                if statement.level == 1 and statement.module:
                    there = Path(__file__).with_name(f"{statement.module}.py").read_text(encoding="utf-8")
                    _follow(statement.module, there, alias.name, found)
                continue
            found[name, i, ""] = ast.unparse(_undocumented(statement))
            pending += [node.id for node in ast.walk(statement) if isinstance(node, ast.Name)]


def _undocumented(statement: ast.stmt) -> ast.stmt:
    """A statement without docstrings."""
    for each in ast.walk(statement):
        if isinstance(each, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(each) is not None:
            each.body = each.body[1:] or [ast.Pass()]
    return statement


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a top-level statement defines."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [(alias.asname or alias.name).split(".")[0] for alias in names]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
