"""What ``--out`` holds: results as ``emergence.load`` reads them, beside documents and tables, each of one run.

A command called ``predict`` stores its result under that name, what else it found (the law of SGD, …) as
``predict_sgd_law`` and the like, and writes it last: with it, all are there.  The results of another run (other
settings, another version) are left alone unless ``--overwrite`` is given, and so are files of other names always.
"""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .output import prepare_directory
from .terminal import tell

ASIDE = {  # where results go, what is printed, and how a run is computed: no part of what comes out
    "checkpoint_seconds", "command_line", "csv", "dask", "json", "latex", "out", "overwrite", "report", "resume",
    "stated", "strict", "table", "version", "workers",
}  # fmt: skip
BESIDE = {  # what commands may find beside their result
    "predict": ("quantiles", "sgd_law"), "simulate": ("step_check",), "compare": ("step_check",),
}  # fmt: skip
FILES = ("config", "directions", "grid", "strengths")  # settings that name a file, or may


def stated(parser: argparse.ArgumentParser, flags: dict[str, Any]) -> str:
    """The command line in full words, without what says where: files by their names alone, no output."""
    words = ["emergence", flags["command"]]
    (commands,) = (action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    for action in commands[flags["command"]]._actions:
        value = flags.get(action.dest)
        if action.dest in ASIDE or value is None or value == action.default:
            continue
        if action.dest in FILES and isinstance(value, str):
            value = Path(value).name
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value).strip()
        words += [*action.option_strings[:1], *([] if action.nargs == 0 else [text])]
    return shlex.join(words)


@dataclass(frozen=True)
class Results:
    """Where a command leaves its results; nowhere without ``--out``.

    Attributes
    ----------
    directory
        That of ``--out``, which exists and can be written to.
    name
        Of the command in names of files.
    stated, settings
        The command line, and everything that decides what comes out, JSON-ready.
    """

    directory: Path | None
    name: str
    stated: str
    settings: dict[str, Any]

    def save(self, results: dict[str, Any]) -> None:
        """Store results: that of the command under its name, others of theirs beside it."""
        if self.directory is None:
            return
        from ..compare import save
        from ..compare.stored import ARRAYS, SIDECAR

        for name in (self.name, *BESIDE.get(self.name, ())):  # first what says that all are there
            for suffix in (SIDECAR, ARRAYS):
                Path(f"{self._path(name)}{suffix}").unlink(missing_ok=True)
        for name in sorted(results, key=lambda name: name == self.name):
            path = self._path(name)
            save(results[name], path, overwrite=True, command=self.stated, settings=self.settings)
            for suffix in (ARRAYS, SIDECAR):
                tell(f"wrote {path}{suffix}")

    def load(self) -> dict[str, Any]:
        """What ``save`` stored."""
        from ..compare import load
        from ..compare.stored import is_stored

        names = (self.name, *BESIDE.get(self.name, ()))
        return {name: load(self._path(name)) for name in names if name == self.name or is_stored(self._path(name))}

    def created(self) -> str:
        """When the result was stored, ISO 8601; now where it is not."""
        if self.directory is None:
            return datetime.now(UTC).isoformat(timespec="seconds")
        from ..compare import provenance

        return provenance(self._path(self.name)).created

    def _path(self, name: str) -> Path:
        """Where a result is stored."""
        assert self.directory is not None
        return self.directory / (name if name == self.name else f"{self.name}_{name}")


def results_of(flags: dict[str, Any], values: dict[str, Any], directions: Any = None) -> tuple[Results, dict[str, Any]]:
    """Where the results go, and, with ``--resume``, those of this run that are there.

    Parameters
    ----------
    values
        Settings as resolved; ``directions`` the array that is meant where they name a file.

    Raises
    ------
    ValueError
        The directory cannot be written to, or holds the results of another run, or damaged ones.
    """
    from ..problem.files import rows_digest

    resume, overwrite = flags.get("resume", False), flags["overwrite"]
    name = flags["command"].replace("_", "-")
    if flags["out"] is None:
        if overwrite:
            raise ValueError("--overwrite needs the --out of the results to replace")
        return Results(None, name, flags["stated"], {}), {}
    settings = {key: value for key, value in (flags | values).items() if key not in ASIDE | {"config", "directions"}}
    if directions is not None:
        settings["directions"] = rows_digest(directions)
    settings = json.loads(json.dumps(settings, sort_keys=True))
    place = Results(prepare_directory(flags["out"]), name, flags["stated"], settings)
    try:
        difference, when = _difference(place)
        if difference:
            raise ValueError(f"--out {flags['out']} holds the results of another run: {difference}")
        if when and resume:
            found = place.load()
            tell(f"{flags['out']} holds the results of this run, finished {when}: they are returned")
            return place, found
    except ValueError as error:
        if not overwrite:
            raise ValueError(f"{error}; --overwrite replaces them") from None
    return place, {}


def _difference(place: Results) -> tuple[str, str]:
    """How the run whose result is stored differs from this one, and when it was stored; both empty without one."""
    from .._version import __version__
    from ..compare import provenance
    from ..compare.stored import SIDECAR
    from ..problem.files import code_digest

    assert place.directory is not None
    if not (place.directory / f"{place.name}{SIDECAR}").exists():
        return "", ""
    found = provenance(place.directory / place.name)
    theirs = found.settings or {}
    for key in dict.fromkeys((*place.settings, *theirs)):
        if theirs.get(key) != place.settings.get(key):
            return f"`{key}` is {_shortened(theirs.get(key))}, not {_shortened(place.settings.get(key))}", ""
    if (found.version, found.code) != (__version__, code_digest()):
        return f"it is of other sources of this package, of version {found.version}", ""
    return "", found.created


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
