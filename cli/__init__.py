"""The command line ``emergence``.

Next to nothing is imported before ``main`` runs, so that an interrupt counts from the first moment on.
"""

from __future__ import annotations

from .. import _version as _home  # noqa: F401  (this folder is no package by itself)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code, or raises ``SystemExit`` with it where the command line ends the matter."""
    try:
        from .entry import run

        return run(arguments)
    except KeyboardInterrupt as heard:
        from .terminal import farewell

        return farewell(heard, ours=arguments is None)
