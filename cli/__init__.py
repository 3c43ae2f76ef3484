"""The command line ``emergence``."""

from .entry import main

__all__ = ["main"]
