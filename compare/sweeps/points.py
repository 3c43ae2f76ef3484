"""Points of a sweep: what is asked of a problem, checked when it is made, computed wherever a worker takes it.

A point is known by what defines its numbers (``identity``): the problem, the run, the settings of the quantity, the
form in which results are stored, and the sources that compute it.  Of the package these are the folders that the
quantity is made in: whatever is changed there may change its numbers, and a table must not mix two versions of a
formula; a new picture, command, check or release alone makes nothing old.  The versions of libraries are no part of
it: the law of a number does not depend on them, its last bits may.  Nor is the sweep around a point, whose seeds are
its own.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from numpy.typing import ArrayLike

from ..._types import Array
from ...problem.checks import nonnegative_integer, nonnegative_number, positive_integer, positive_number
from ...problem.files import rows_digest, source_digest
from ...problem.problem import Problem
from ...problem.schedule import Constant, Schedule, StepSize, as_schedule
from ...problem.seeds import DIRECTIONS, seed_stream
from ...simulate import Run, Simulation, execute
from ...theory import Curve, Prediction, SgdLaw, predict, sgd_law
from ...theory.finite_step_law import sgd_law_refusal
from ...theory.gradient_flow import choose_method
from ...theory.laws import check_request, law_of
from ..comparison import TOLERANCE, Comparison, overlay
from ..stored import SCHEMA, storable

_THEORY = ("problem/*.py", "theory/*.py")
_SIMULATE = ("problem/*.py", "simulate/*.py", "simulate/samplers/*.py")
_COMPARE = ("calibration", "comparison", "loss_distance", "noise_scale", "settling", "statistics", "texts", "verdicts")
_OVERLAY = tuple(f"compare/{name}.py" for name in _COMPARE)


class Point(ABC):
    """One point: a quantity of a problem, with all its settings."""

    quantity: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What a table says of it: the settings, called as on the command line."""

    @abstractmethod
    def definition(self) -> dict[str, Any]:
        """What it is beside its quantity and the code, JSON-ready."""

    @abstractmethod
    def compute(self) -> Any:
        """The result."""

    @property
    def code(self) -> str:
        """A digest of the sources that compute it."""
        return source_digest(*self.sources)

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that defines its numbers, JSON-ready."""
        return {"quantity": self.quantity, "schema": SCHEMA, "code": self.code, **_as_json(self.definition())}

    @cached_property
    def name(self) -> str:
        """Its quantity and a hash of its identity: what its files are called."""
        digest = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()
        return f"{self.quantity}-{digest[:20]}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True, eq=False)
class PredictPoint(Point):
    """``predict``: transition times at three levels of theory.

    Parameters
    ----------
    problem
        What is learned, by whom.
    seed
        Of the initial directions, which are those of the first run of this seed.
    t_max, flow_method
        As of ``predict``.
    directions
        Initial unit rows (m, d) or coordinates instead of random ones.

    Raises
    ------
    ValueError
        What ``predict`` refuses.
    """

    problem: Problem
    seed: int = 0
    t_max: float | None = None
    flow_method: str = "auto"
    directions: Array | None = field(default=None, repr=False)
    quantity: ClassVar[str] = "predict"
    sources: ClassVar[tuple[str, ...]] = _THEORY

    def __post_init__(self) -> None:
        nonnegative_integer("seed", self.seed)
        choose_method(_checked_problem(self.problem), self.flow_method)
        if self.t_max is not None:
            positive_number("t_max", self.t_max)
        _check_rows(self, self.directions)

    def settings(self) -> dict[str, Any]:
        return _of_problem(self.problem) | _of_starts(self) | {"t_max": self.t_max, "flow_method": self.flow_method}

    def definition(self) -> dict[str, Any]:
        return {"problem": self.problem.as_dict(), **_of_starts(self), "t_max": self.t_max, "flow": self.flow_method}

    def compute(self) -> Prediction:
        rows = self.directions
        if rows is None:
            rows = self.problem.initial_coordinates(seed_stream(self.seed, 0, DIRECTIONS))
        return predict(self.problem, rows, t_max=self.t_max, flow_method=self.flow_method)


@dataclass(frozen=True, eq=False)
class SgdLawPoint(Point):
    """``sgd_law``: the law of SGD at a step size.

    Parameters
    ----------
    problem, step_size, batch, label_noise, t_max, seed
        As of ``sgd_law``.
    directions
        Initial unit rows (m, d) or coordinates; the law is over random ones where None.

    Raises
    ------
    ValueError
        What ``sgd_law`` refuses.
    """

    problem: Problem
    step_size: StepSize
    batch: int = 1
    label_noise: float = 0.0
    t_max: float | None = None
    seed: int = 0
    directions: Array | None = field(default=None, repr=False)
    quantity: ClassVar[str] = "sgd-law"
    sources: ClassVar[tuple[str, ...]] = _THEORY

    def __post_init__(self) -> None:
        refusal = sgd_law_refusal(_checked_problem(self.problem))
        if refusal is not None:
            raise ValueError(refusal)
        _check_noise(self.batch, self.label_noise)
        nonnegative_integer("seed", self.seed)
        if self.t_max is not None:
            positive_number("t_max", self.t_max)
        object.__setattr__(self, "step_size", storable(as_schedule(self.step_size)))
        _check_rows(self, self.directions)

    def _noise(self) -> dict[str, Any]:
        return {"batch": self.batch, "label_noise": self.label_noise}

    def settings(self) -> dict[str, Any]:
        found = _of_problem(self.problem) | _of_starts(self) | {"t_max": self.t_max}
        return found | _of_schedule(as_schedule(self.step_size)) | self._noise()

    def definition(self) -> dict[str, Any]:
        schedule = as_schedule(self.step_size).text
        starts = _of_starts(self) | {"t_max": self.t_max}
        return {"problem": self.problem.as_dict(), "schedule": schedule, **self._noise(), **starts}

    def compute(self) -> SgdLaw:
        return sgd_law(
            self.problem, self.step_size, **self._noise(), directions=self.directions, t_max=self.t_max, seed=self.seed
        )


@dataclass(frozen=True, eq=False)
class LawPoint(Point):
    """``emergence law``: the loss against a resource, or time or samples against the dimension.

    Parameters
    ----------
    problem
        What is learned, by whom.
    resource
        Its name, as ``emergence law`` knows it.
    quantiles
        Of the bands.
    seed
        Of the random starts and draws.
    given
        Of ``step_size`` (a number or a schedule), ``batch``, ``label_noise``, ``draws`` and ``dimensions`` those that
        have a part in it.

    Raises
    ------
    ValueError
        What ``emergence law`` refuses.
    """

    problem: Problem
    resource: str
    quantiles: Sequence[float] = (0.1, 0.5, 0.9)
    seed: int = 0
    given: dict[str, Any] = field(default_factory=dict)
    quantity: ClassVar[str] = "law"
    sources: ClassVar[tuple[str, ...]] = _THEORY

    def __post_init__(self) -> None:
        nonnegative_integer("seed", self.seed)
        object.__setattr__(self, "quantiles", tuple(float(q) for q in self.quantiles))
        if not all(0 < q < 1 for q in self.quantiles):
            raise ValueError(f"`quantiles` must lie strictly between 0 and 1, but are {list(self.quantiles)}")
        _check_noise(self.given.get("batch", 1), self.given.get("label_noise", 0.0))
        storable(as_schedule(self.given.get("step_size", 1.0)))
        check_request(self.resource, _checked_problem(self.problem), None, self.given)

    def settings(self) -> dict[str, Any]:
        asked = {"resource": self.resource, "quantiles": list(self.quantiles), "seed": self.seed}
        return _of_problem(self.problem) | asked | self._given()

    def definition(self) -> dict[str, Any]:
        return {"problem": self.problem.as_dict(), "given": self._given()} | {
            "resource": self.resource, "quantiles": self.quantiles, "seed": self.seed
        }  # fmt: skip

    def _given(self) -> dict[str, Any]:
        """What is given, a schedule in words."""
        step_size = self.given.get("step_size")
        return self.given | (_of_schedule(step_size) if isinstance(step_size, Schedule) else {})

    def compute(self) -> Curve:
        return law_of(
            self.resource, self.problem, directions=None, quantiles=self.quantiles, seed=self.seed, given=self.given
        )


@dataclass(frozen=True, eq=False)
class SimulatePoint(Point):
    """``execute``: the simulation of a run, all its seeds one after the other.

    Raises
    ------
    ValueError
        Its step size is a Python function, which cannot be stored.
    """

    run: Run
    quantity: ClassVar[str] = "simulate"
    sources: ClassVar[tuple[str, ...]] = _SIMULATE

    def __post_init__(self) -> None:
        if not isinstance(self.run, Run):
            raise ValueError(f"`run` must be a Run, but is {self.run!r}")
        storable(self.run.step_size)

    @property
    def problem(self) -> Problem:
        """What is learned, by whom."""
        return self.run.problem

    def settings(self) -> dict[str, Any]:
        run = self.run
        same = ("samples", "batch", "label_noise", "seeds", "seed", "records", "spacing")
        return {
            **_of_problem(run.problem), **_of_schedule(run.step_size), **{name: getattr(run, name) for name in same},
            "method": run.sampler.name, "engine": run.sampler.engine, "directions": run.directions_digest,
        }  # fmt: skip

    def definition(self) -> dict[str, Any]:
        found = self.run.identity()
        del found["version"]
        return found

    def compute(self) -> Simulation:
        return execute(self.run, workers=1)


@dataclass(frozen=True, eq=False)
class ComparePoint(SimulatePoint):
    """``overlay``: theory beside the simulation of a run, with a verdict.

    Parameters
    ----------
    run, tolerance
        What is simulated, and the largest error that agrees.

    Raises
    ------
    ValueError
        A tolerance that is not a positive number; a step size that is a Python function.
    """

    tolerance: float = TOLERANCE
    quantity: ClassVar[str] = "compare"
    sources: ClassVar[tuple[str, ...]] = (*_THEORY, *_SIMULATE[1:], *_OVERLAY)

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_number("tolerance", self.tolerance)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"tolerance": self.tolerance}

    def definition(self) -> dict[str, Any]:
        return super().definition() | {"tolerance": self.tolerance}

    def compute(self) -> Comparison:  # type: ignore[override]
        return overlay(self.problem, super().compute(), tolerance=self.tolerance)


def _checked_problem(problem: Problem) -> Problem:
    if not isinstance(problem, Problem):
        raise ValueError(f"`problem` must be a Problem, but is {problem!r}")
    return problem


def _check_noise(batch: Any, label_noise: Any) -> None:
    positive_integer("batch", batch)
    nonnegative_number("label_noise", label_noise)


def _check_rows(point: PredictPoint | SgdLawPoint, rows: ArrayLike | None) -> None:
    if rows is not None:
        object.__setattr__(point, "directions", point.problem.checked_directions(rows))


def _of_problem(problem: Problem) -> dict[str, Any]:
    """The settings of a problem: the strengths one by one only where no exponent states them."""
    found = problem.as_dict()
    strengths = found.pop("strengths")
    return found if problem.teacher.beta is not None else found | {"strengths": strengths}


def _of_schedule(schedule: Schedule) -> dict[str, Any]:
    text = "constant" if isinstance(schedule, Constant) else schedule.text
    return {"step_size": schedule.initial, "schedule": text}


def _of_starts(point: PredictPoint | SgdLawPoint) -> dict[str, Any]:
    return {"seed": point.seed, "directions": rows_digest(point.directions)}


def _as_json(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(document))
    return found
