"""Completion of commands and flags by the shell (extra ``completion``)."""

from __future__ import annotations

import argparse


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that makes ``shell`` complete the command line.

    Raises
    ------
    ImportError
        shtab is not installed; names the extra.
    ValueError
        A shell that it does not know.
    """
    try:
        import shtab
    except ImportError:
        raise ImportError("--completion needs shtab; install sgd-emergence[completion]") from None
    if shell not in shtab.SUPPORTED_SHELLS:
        raise ValueError(f"--completion must be one of {', '.join(shtab.SUPPORTED_SHELLS)}, but is {shell!r}")
    return str(shtab.complete(parser, shell))
