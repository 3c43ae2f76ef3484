"""Claims about exponents and transition constants, written in TOML.

    [[claim]]
    name = "the loss falls as a power of flow time, beta = 0.8"
    quantity = "flow_time"              # what is measured, see ``compare.experiments``
    formula = "(1 - 2*beta)/beta"       # in beta and k (information exponent)
    method = "finite_law"               # how: finite_law, flow, reduced or leap
    beta = 0.8                          # and the sizes: activation, P, m, d, seeds, …
    allowance = 0.02                    # how far theory at finite size may be from the formula
    detects = 0.1                       # an error of the formula that must be found, see ``compare.suite``

A formula is read by Python's grammar and admits numbers, the names above, ``+ - * / **``,
``log`` and ``sqrt``; nothing is executed.  The formula of ``alignment`` and ``recovery_delay`` is a
flow time, in a, s0, n0 (initial squared overlap and norm), c, I = k/2, beta and k.
"""

from __future__ import annotations

import ast
import math
import operator
import tomllib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..problem import Activation, Problem, Teacher
from ..problem.checks import positive_integer, positive_number
from ..theory.exponent_table import exponents
from ..theory.greedy_chain import greedy_refusal

EXPONENTS = (
    "flow_time", "samples_fixed_step", "samples_horizon_step", "width", "compute_width_time",
    "dimension_time", "dimension_samples",
)  # fmt: skip
MEASURABLE: dict[str, tuple[str, ...]] = {
    "flow_time": ("finite_law", "flow", "leap"),
    "samples_fixed_step": ("leap",),
    "samples_horizon_step": ("finite_law", "leap"),
    "width": ("finite_law", "leap"),
    "compute_width_time": ("finite_law", "flow", "leap"),
    "dimension_time": ("finite_law", "flow", "leap"),
    "dimension_samples": ("finite_law", "reduced", "leap"),
    "alignment": ("flow", "reduced", "leap"),
    "recovery_delay": ("flow", "reduced", "leap"),
}
RESOURCE = {
    "width": "widths", "compute_width_time": "widths",
    "dimension_time": "dimensions", "dimension_samples": "dimensions",
}  # fmt: skip
NOISY = ("samples_fixed_step", "samples_horizon_step", "dimension_samples", "alignment", "recovery_delay")
NAMES = {"exponent": ("beta", "k"), "constant": ("beta", "k", "a", "s0", "n0", "c", "I")}

_OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[float], float]] = {"log": math.log, "sqrt": math.sqrt}


@dataclass(frozen=True)
class Claim:
    """One claim with everything that its measurement needs.

    Attributes
    ----------
    name, quantity, formula, method
        As in the file's docstring.
    activation, beta, P, m, d, init_scale
        The problem.
    widths, dimensions, sizes
        Numbers of students (``width``, ``compute_width_time``), input dimensions (``dimension_*``); with
        ``sizes`` the exponent is measured at each of these P (m and widths in proportion) and extrapolated
        in 1/ln P to infinity, which takes out corrections by logarithms.
    step_size
        As a fraction of the drift-dominated step size, default 0.05; only where noise has a part.
    seeds
        Independent starts.
    finite_size
        Predict the formula plus the shift that the finite law has at this size.
    quick
        Belongs to the quick suite.
    allowance, detects
        In units of the exponent, or of the logarithm of the ratio of times.

    Raises
    ------
    ValueError
        Anything that is not usable, in one line that names the claim.
    """

    name: str
    quantity: str
    formula: str
    method: str = "finite_law"
    activation: str = "h4"
    beta: float = 1.0
    P: int = 1
    m: int = 8
    d: int = 4096
    init_scale: float = 1e-3
    widths: tuple[int, ...] = ()
    dimensions: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    step_size: float | None = None
    seeds: int = 12
    finite_size: bool = False
    quick: bool = False
    allowance: float = 0.02
    detects: float = 0.1
    problem: Problem = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            for text in ("name", "quantity", "formula", "method", "activation"):
                value = getattr(self, text)
                if not isinstance(value, str) or not value.strip() or not value.isprintable():
                    raise ValueError(f"`{text}` must be a text of one line, but is {value!r}")
            if self.quantity not in MEASURABLE:
                raise ValueError(f"`quantity` must be one of {', '.join(MEASURABLE)}, but is {self.quantity!r}")
            if self.method not in MEASURABLE[self.quantity]:
                known = ", ".join(MEASURABLE[self.quantity])
                raise ValueError(f"{self.quantity} is measured by {known}, not by {self.method!r}")
            positive_integer("seeds", self.seeds)
            for number in ("allowance", "detects"):
                positive_number(number, getattr(self, number))
            noisy = self.quantity in NOISY and self.method in ("leap", "reduced")
            if noisy:
                positive_number("step_size", self.noise)
            elif self.step_size is not None:
                raise ValueError(f"`step_size` has no part in {self.quantity} by {self.method}")
            for switch in ("finite_size", "quick"):
                if not isinstance(getattr(self, switch), bool):
                    raise ValueError(f"`{switch}` must be true or false, but is {getattr(self, switch)!r}")
            for name in ("widths", "dimensions", "sizes"):
                values = getattr(self, name)
                if not isinstance(values, tuple):
                    raise ValueError(f"`{name}` must be a list of whole numbers, but is {values!r}")
                values = tuple(positive_integer(name, value) for value in values)
                if list(values) != sorted(set(values)):
                    raise ValueError(f"`{name}` must ascend, but are {list(values)}")
                object.__setattr__(self, name, values)
            resource = RESOURCE.get(self.quantity)
            for name in ("widths", "dimensions"):
                if getattr(self, name) and name != resource:
                    raise ValueError(f"`{name}` have no part in {self.quantity}")
            if resource is not None and len(getattr(self, resource)) < 3:
                raise ValueError(f"{self.quantity} needs at least three `{resource}`")
            if self.sizes and (self.method != "finite_law" or len(self.sizes) < 2):
                raise ValueError("`sizes` are two or more, for finite_law")
            if self.seeds < 6:
                raise ValueError(f"an interval over seeds needs at least 6, but `seeds` is {self.seeds}")
            problem = Problem(
                Activation(self.activation), Teacher.power_law(self.P, self.beta), self.d, self.m, self.init_scale
            )
            refusal = greedy_refusal(problem.activation)
            if refusal is not None:
                raise ValueError(refusal)
            if min(self.dimensions, default=self.d) < self.P:
                raise ValueError(f"`dimensions` must be at least P = {self.P}, but are {list(self.dimensions)}")
            if self.quantity == "width" and self.widths[0] + 0.5 >= self.P / 2:
                raise ValueError(f"the law in the width holds below P/2 = {self.P / 2:g}, but no `widths` are there")
            if self.quantity == "samples_horizon_step" and self.method == "leap" and self.P < 16:
                raise ValueError(f"runs of eight lengths, a direction each, need P ≥ 16, but `P` is {self.P}")
            if self.quantity == "samples_horizon_step" and self.m < self.P:
                raise ValueError(f"every direction needs a student, so `m` must be at least P = {self.P}")
            object.__setattr__(self, "problem", problem)
            self.predicted(a=0.5, s0=0.01, n0=self.init_scale**2)
            if self.finite_size:
                self._check_finite_size()
        except ValueError as error:
            raise ValueError(f"claim {self.name!r}: {error}") from None
        for P in self.sizes:
            self.at(P)

    @property
    def kind(self) -> str:
        """``"exponent"`` or ``"constant"``."""
        return "exponent" if self.quantity in EXPONENTS else "constant"

    def _check_finite_size(self) -> None:
        if self.method == "finite_law":
            raise ValueError("`finite_size` compares a simulation with the finite law, not the law with itself")
        if self.kind == "constant":
            raise ValueError("`finite_size` is for exponents")
        if self.derived is None:
            raise ValueError(f"no power law of {self.quantity} is known here, so `finite_size` has no shift to give")

    @property
    def noise(self) -> float:
        """``step_size`` or its default."""
        return 0.05 if self.step_size is None else self.step_size

    @property
    def derived(self) -> float | None:
        """The exponent that theory derives, whatever the formula says; None where there is no power law."""
        return exponents(self.beta, self.problem.activation.information_exponent)[self.quantity].value

    def at(self, P: int) -> Claim:
        """The claim at P directions, students and widths in proportion."""
        share = P / self.P
        widths = tuple(sorted({max(1, round(m * share)) for m in self.widths}))
        return replace(self, P=P, m=max(1, round(self.m * share)), widths=widths, sizes=())

    def predicted(self, **more: float) -> float:
        """The formula's number; a constant needs a, s0 and n0."""
        k = self.problem.activation.information_exponent or 0
        coefficients = self.problem.activation.coefficients
        names = {"beta": self.beta, "k": float(k), "I": k / 2, "c": float(coefficients[k])} | more
        return evaluate(self.formula, {name: names[name] for name in NAMES[self.kind]})

    def settings(self) -> dict[str, Any]:
        """What decides the measurement (not the formula or the verdict), JSON-ready."""
        judged = ("name", "formula", "quick", "allowance", "detects", "finite_size", "problem")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in judged}


def read_claims(path: Path | None = None) -> list[Claim]:
    """Claims of a TOML file; the suite that ships with the package where None.

    Raises
    ------
    ValueError
        Not readable, not TOML, or a claim that is not usable; ``OSError`` where there is no file.
    """
    source = files(__package__) / "claims.toml" if path is None else path
    try:
        document = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not TOML: {error}") from None
    tables = document.get("claim")
    if set(document) != {"claim"} or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ValueError(f"{path} must hold [[claim]] tables and nothing else")
    known = {f.name for f in fields(Claim) if f.init}
    claims = []
    for i, table in enumerate(tables):
        strange = sorted(set(table) - known)
        if strange:
            raise ValueError(f"claim {table.get('name', i + 1)!r}: unknown key {strange[0]!r}")
        missing = [name for name in ("name", "quantity", "formula") if name not in table]
        if missing:
            raise ValueError(f"claim {table.get('name', i + 1)!r}: `{missing[0]}` is missing")
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in table.items()}
        claims.append(Claim(**values))
    names = [claim.name for claim in claims]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two claims are called {twice!r}")
    return claims


def evaluate(formula: str, names: Mapping[str, float]) -> float:
    """The number a formula states.

    Raises
    ------
    ValueError
        Not a formula in these names, or not a finite number.
    """

    def value(node: ast.expr, depth: int = 0) -> float:
        if depth > 50:
            raise ValueError("it is nested too deeply")
        match node:
            case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
                return float(number)
            case ast.Name(id=name) if name in names:
                return float(names[name])
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                out = _OPERATORS[type(op)](value(left, depth + 1), value(right, depth + 1))
                if isinstance(out, complex):
                    raise ValueError("it is not a real number")
                return out
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(operand, depth + 1))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](value(argument, depth + 1))
        raise ValueError(f"{ast.unparse(node)!r} is not allowed; write numbers, {', '.join(names)}, log and sqrt")

    if len(formula) > 500:
        raise ValueError(f"a formula has at most 500 characters, but this has {len(formula)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's own about a doubtful grammar, such as 1or 2
            tree = ast.parse(formula.strip(), mode="eval")
        out = value(tree.body)
        if not math.isfinite(out):
            raise OverflowError
    except OverflowError:
        raise ValueError(f"cannot read the formula {formula!r}: it is not a finite number") from None
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"cannot read the formula {formula!r}: {reason}") from None
    return out
