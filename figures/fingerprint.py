"""The text that decides a figure's numbers: ``compute`` and whatever of its file it uses, and nothing of ``draw``.

A file's top-level statements are parsed; from ``compute`` on, every name that a statement mentions and the file
defines is followed.  The statements found are written out again by Python's own unparser, so that comments and line
breaks do not count.  Other packages' code is not followed: ``problem.files.code_digest`` stands for it.
"""

from __future__ import annotations

import ast


def numbers_source(source: str, start: str = "compute") -> str:
    """The statements of a file that ``start`` depends on, in the file's order."""
    statements = ast.parse(source).body
    defined: dict[str, list[int]] = {}
    for i, statement in enumerate(statements):
        for name in _bound(statement):
            defined.setdefault(name, []).append(i)
    needed: set[int] = set()
    pending = [start]
    while pending:
        for i in defined.pop(pending.pop(), []):
            needed.add(i)
            pending += [node.id for node in ast.walk(statements[i]) if isinstance(node, ast.Name)]
    return "\n".join(ast.unparse(statements[i]) for i in sorted(needed))


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a top-level statement defines."""
    match statement:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return [(alias.asname or alias.name).split(".")[0] for alias in names]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
