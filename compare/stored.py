"""Results on disk: ``save`` and ``load``, one form for all of them.

A stored result is a pair of files, ``NAME.result.npz`` with its arrays and ``NAME.result.json`` with everything else
(``problem.codec``) and where it comes from.  The second is written last, so that a pair is whole or absent; it has
digests of the arrays and of itself, so that no number changes unseen.  No pickle, and nothing of the machine: neither
paths nor names of hosts or users.

The object comes back equal to what was stored, on every machine, also without the extras that computed it.  Newer
forms (``schema``) are refused by older versions of the package.  What is no data is not stored: a step size that is a
Python function, and formulas (``transition_law`` and ``exponents`` derive them again).
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any

from .._types import Array
from .._version import __version__
from ..problem.activation import Activation
from ..problem.codec import Codec, Form
from ..problem.files import archive, array_digest, code_digest, read_archive, replace_file
from ..problem.problem import Problem
from ..problem.schedule import Constant, Custom, Piecewise, PowerDecay, Schedule
from ..problem.teacher import Teacher
from ..simulate import Direct, Divergence, Leap, LossCheck, Reduced, Run, Simulation
from ..theory import Curve, FiniteLaw, Flow, InitQuantiles, Prediction, RequiredWidth, SgdLaw, StepSize
from .calibration import Calibration
from .claim import Claim
from .comparison import Agreement, Comparison
from .experiment import Experiment
from .exponent_fit import ExponentFit, LocalExponents
from .measurements import Measured
from .noise_scale import NoiseScale
from .settling import Settling
from .statistics import MedianEstimate, SeedMean
from .step_check import StepCheck
from .suite import Report, Verdict

FORMAT, SCHEMA = "sgd-emergence result", 1
ARRAYS, SIDECAR = ".result.npz", ".result.json"
_DIGITS = 309  # of the largest double; no whole number in a result has more
_HEAD = ("format", "schema", "kind", "version", "code", "created", "command", "settings")


def _made_run(**values: Any) -> Run:
    """The run as it was, without asking whether this machine could compute it."""
    if set(values) != {field.name for field in fields(Run)}:
        raise TypeError("its fields are others")
    run = object.__new__(Run)
    for name, value in values.items():
        object.__setattr__(run, name, value)
    return run


def storable(schedule: Schedule) -> Schedule:
    """The schedule itself.

    Raises
    ------
    ValueError
        It is a Python function.
    """
    if isinstance(schedule, Custom):
        raise ValueError(
            f"the step size {schedule.text} is a Python function, which cannot be stored; "
            "write it as Constant, PowerDecay or Piecewise"
        )
    return schedule


CODEC = Codec(
    (
        Agreement, Calibration, Claim, Comparison, Constant, Curve, Direct, Divergence, Experiment, ExponentFit,
        FiniteLaw, Flow, InitQuantiles, Leap, LocalExponents, LossCheck, Measured, MedianEstimate, NoiseScale,
        Piecewise, PowerDecay, Prediction, Problem, Reduced, Report, RequiredWidth, SeedMean, Settling, SgdLaw,
        Simulation, StepCheck, StepSize, Verdict,
    ),
    {
        Activation: Form(lambda sigma: {"text": sigma.name, "cut": sigma.cut}, lru_cache(64, typed=True)(Activation)),
        Custom: Form(lambda schedule: vars(storable(schedule)), Custom),
        Run: Form(lambda run: {field.name: getattr(run, field.name) for field in fields(Run)}, _made_run),
        Teacher: Form(
            lambda teacher: {"strengths": teacher.a, "beta": teacher.beta},
            lambda strengths, beta: Teacher(strengths, _beta=beta),
        ),
    },
)  # fmt: skip


@dataclass(frozen=True)
class Provenance:
    """Where a stored result comes from.

    Attributes
    ----------
    kind
        Its class.
    version, code
        Of the package, and a digest of its sources.
    created
        When it was stored, UTC, ISO 8601.
    command, settings
        The command line that made it, and all settings that decide its numbers; None where it was made in Python.
    """

    kind: str
    version: str
    code: str
    created: str
    command: str | None
    settings: dict[str, Any] | None

    def __str__(self) -> str:
        made = f", by {self.command}" if self.command is not None else ""
        return f"{self.kind} of version {self.version}, stored {self.created}{made}"


def save(
    result: Any,
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
    command: str | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Store a result as ``path.result.npz`` and ``path.result.json``; ``load(path)`` gives it back.

    Parameters
    ----------
    result
        What a verb of the package returns, or a list, tuple or dictionary of such.
    overwrite
        Replace a result that is stored there.
    command, settings
        The command line that made it, and its settings, JSON-ready (see ``Provenance``).

    Raises
    ------
    ValueError
        It holds what cannot be stored, like a step size that is a Python function; nothing is written.
    FileExistsError
        There is one already.
    OSError
        It cannot be written.
    """
    if Path(path).is_dir():
        raise ValueError(f"a result needs a name in {path}, which is a directory")
    sidecar, members = _pair(path)
    if not overwrite:
        there = next((file for file in (sidecar, members) if file.exists()), None)
        if there is not None:
            raise FileExistsError(f"{there} exists; `overwrite=True` replaces it")
    value, arrays = CODEC.encode(result)
    document = {
        "format": FORMAT,
        "schema": SCHEMA,
        "kind": type(result).__name__,
        "version": __version__,
        "code": code_digest(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
        "settings": settings,
        "arrays": array_digest(arrays),
        "value": value,
    }
    text = json.dumps(document | {"digest": _digest(document)}, allow_nan=False, indent=1)
    content = archive(arrays, {"kind": document["kind"], "schema": SCHEMA})
    sidecar.parent.mkdir(parents=True, exist_ok=True)
    sidecar.unlink(missing_ok=True)  # from here to the end there is no result rather than half of one
    try:
        replace_file(members, content)
        replace_file(sidecar, (text + "\n").encode())
    except BaseException:  # an interrupt or a full disk between the two
        if not sidecar.exists():
            members.unlink(missing_ok=True)
        raise


def load(path: str | PathLike[str]) -> Any:
    """The result that ``save`` stored at ``path``; in a directory, as ``--out`` fills one, the only one there.

    Raises
    ------
    ValueError
        There is none, or it is damaged, altered, of something else, or of a newer version; the message names the file.
    """
    sidecar, members = _found(path)
    document = _read_sidecar(sidecar)
    try:
        arrays, _ = read_archive(members.read_bytes())
        if array_digest(arrays) != document["arrays"]:
            raise ValueError(f"it is not of {sidecar.name}, or was altered")
    except OSError as error:
        raise ValueError(f"cannot read {members}: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{members} is damaged: {error}") from None
    try:
        return _decoded(document["value"], arrays)
    except ValueError as error:
        raise ValueError(f"cannot read {sidecar}: {error}") from None


def provenance(path: str | PathLike[str]) -> Provenance:
    """Where the result stored at ``path`` comes from.

    Raises
    ------
    ValueError
        As ``load``, but for what is in the arrays.
    """
    document = _read_sidecar(_found(path)[0])
    return Provenance(*(document[name] for name in _HEAD[2:]))


def is_stored(path: str | PathLike[str]) -> bool:
    """Is there a result at ``path``, whole or not?"""
    return any(file.exists() for file in _pair(path))


def _pair(path: str | PathLike[str]) -> tuple[Path, Path]:
    """Sidecar and arrays of the result ``path``, which may be the name of either."""
    given = Path(path)
    name = given.name.removesuffix(SIDECAR).removesuffix(ARRAYS)
    if not name:
        raise ValueError(f"a result needs a name, but `path` is {str(path)!r}")
    return given.with_name(name + SIDECAR), given.with_name(name + ARRAYS)


def _found(path: str | PathLike[str]) -> tuple[Path, Path]:
    """The files of the result at ``path``; of the only one in a directory."""
    directory = Path(path)
    if not directory.is_dir() or (directory.name and is_stored(path)):
        return _pair(path)
    names = sorted(file.name.removesuffix(SIDECAR) for file in directory.glob("?*" + SIDECAR))
    if len(names) != 1:
        first = ", ".join(names[:5] + ["…"] * (len(names) > 5))
        several = f"holds several results, {first}: name one" if names else "holds no result"
        raise ValueError(f"{directory} {several}")
    return _pair(directory / names[0])


def _read_sidecar(path: Path) -> dict[str, Any]:
    """A sidecar whose digest is right."""
    try:
        text = path.read_bytes().decode()
        document = json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError("it is no stored result")
        if document.get("schema") != SCHEMA:
            newer = f"its schema is {document.get('schema')!r}, this version ({__version__}) reads {SCHEMA}"
            raise ValueError(newer)
        if set(document) != {*_HEAD, "arrays", "value", "digest"} or document.pop("digest") != _digest(document):
            raise ValueError("its content does not match its digest")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except RecursionError:
        raise ValueError(f"cannot read {path}: it is nested too deep") from None
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from None
    return document


def _decoded(value: Any, arrays: dict[str, Array]) -> Any:
    try:
        return CODEC.decode(value, arrays)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _digest(document: dict[str, Any]) -> str:
    """SHA-256 of a document, in whatever order and spacing it is written."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _whole(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError(f"it holds a whole number of {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds {text}, which is no number")
    return value
