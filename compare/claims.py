"""Claims about exponents and transition constants, written in TOML.

    [[claim]]
    name = "the loss falls as a power of flow time, beta = 0.8"
    quantity = "flow_time"              # what is measured, see ``compare.experiments``
    formula = "(1 - 2*beta)/beta"       # in beta and k (information exponent)
    method = "finite_law"               # how: finite_law, flow, reduced or leap
    beta = 0.8                          # and the sizes: activation, P, m, d, seeds, …
    allowance = 0.02                    # how far theory at finite size may be from the formula
    detects = 0.1                       # smallest error that must be found with probability 0.99

A formula is read by Python's grammar and admits numbers, the names above, ``+ - * / **``,
``log`` and ``sqrt``; nothing is executed.  The formula of ``alignment`` and ``recovery_delay`` is a
flow time, in a, s0, n0 (initial squared overlap and norm), c, I, beta and k.
"""

from __future__ import annotations

import ast
import math
import operator
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from problem import Activation, Problem, Teacher
from problem.checks import positive_integer, positive_number

EXPONENTS = (
    "flow_time", "samples_fixed_step", "samples_horizon_step", "width", "compute_width_time",
    "dimension_time", "dimension_samples",
)  # fmt: skip
CONSTANTS = ("alignment", "recovery_delay")
METHODS = ("finite_law", "flow", "reduced", "leap")
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
        η where the quantity is at a fixed one; elsewhere as a fraction of the drift-dominated step size.
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
    step_size: float = 0.05
    seeds: int = 12
    finite_size: bool = False
    quick: bool = False
    allowance: float = 0.02
    detects: float = 0.1
    problem: Problem = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            for text in ("name", "quantity", "formula", "method", "activation"):
                if not isinstance(getattr(self, text), str) or not getattr(self, text).strip():
                    raise ValueError(f"`{text}` must be a text")
            if self.quantity not in MEASURABLE:
                raise ValueError(f"`quantity` must be one of {', '.join(MEASURABLE)}, but is {self.quantity!r}")
            if self.method not in MEASURABLE[self.quantity]:
                known = ", ".join(MEASURABLE[self.quantity])
                raise ValueError(f"{self.quantity} is measured by {known}, not by {self.method!r}")
            positive_integer("seeds", self.seeds)
            for number in ("allowance", "detects", "step_size"):
                positive_number(number, getattr(self, number))
            for switch in ("finite_size", "quick"):
                if not isinstance(getattr(self, switch), bool):
                    raise ValueError(f"`{switch}` must be true or false")
            for name in ("widths", "dimensions", "sizes"):
                values = tuple(positive_integer(name, value) for value in getattr(self, name))
                if list(values) != sorted(set(values)):
                    raise ValueError(f"`{name}` must ascend")
                object.__setattr__(self, name, values)
            needed = {"width": "widths", "compute_width_time": "widths", "dimension_time": "dimensions"}
            needed["dimension_samples"] = "dimensions"
            missing = needed.get(self.quantity)
            if missing is not None and len(getattr(self, missing)) < 3:
                raise ValueError(f"{self.quantity} needs at least three `{missing}`")
            if self.sizes and (self.method != "finite_law" or len(self.sizes) < 2):
                raise ValueError("`sizes` are two or more, for finite_law")
            if self.finite_size and self.method == "finite_law":
                raise ValueError("`finite_size` compares a simulation with the finite law, not the law with itself")
            if self.seeds < 6:
                raise ValueError(f"an interval over seeds needs at least 6, but `seeds` is {self.seeds}")
            problem = Problem(
                Activation(self.activation), Teacher.power_law(self.P, self.beta), self.d, self.m, self.init_scale
            )
            object.__setattr__(self, "problem", problem)
            self.predicted(a=0.5, s0=0.01, n0=self.init_scale**2)
        except (TypeError, ValueError) as error:
            raise ValueError(f"claim {self.name!r}: {error}") from None

    @property
    def kind(self) -> str:
        """``"exponent"`` or ``"constant"``."""
        return "exponent" if self.quantity in EXPONENTS else "constant"

    def predicted(self, **more: float) -> float:
        """The formula's number; a constant needs a, s0 and n0."""
        k = self.problem.activation.information_exponent or 0
        coefficients = self.problem.activation.coefficients
        names = {"beta": self.beta, "k": float(k), "I": k / 2, "c": float(coefficients[k])} | more
        return evaluate(self.formula, {name: names[name] for name in NAMES[self.kind]})

    def settings(self) -> dict[str, Any]:
        """What decides the measurement (not the formula or the verdict), JSON-ready."""
        judged = ["name", "quick", "allowance", "detects", "finite_size", "problem"]
        if self.kind == "exponent":
            judged.append("formula")  # a constant is measured in units of its formula
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in judged}


def read_claims(path: Path | None = None) -> list[Claim]:
    """Claims of a TOML file; the suite that ships with the package where None.

    Raises
    ------
    ValueError
        Not readable, not TOML, or a claim that is not usable; ``OSError`` where there is no file.
    """
    text = (files("compare") / "claims.toml").read_text() if path is None else Path(path).read_text(encoding="utf-8")
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
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
        claims.append(Claim(**{name: tuple(v) if isinstance(v, list) else v for name, v in table.items()}))
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
                return names[name]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(left, depth + 1), value(right, depth + 1))
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
                return _OPERATORS[type(op)](value(operand, depth + 1))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
                return _FUNCTIONS[name](value(argument, depth + 1))
        raise ValueError(f"{ast.unparse(node)!r} is not allowed; write numbers, {', '.join(names)}, log and sqrt")

    if len(formula) > 500:
        raise ValueError(f"a formula has at most 500 characters, but this has {len(formula)}")
    try:
        out = value(ast.parse(formula.strip(), mode="eval").body)
        if isinstance(out, complex) or not math.isfinite(out):
            raise ValueError("it is not a finite number")
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ValueError(f"cannot read the formula {formula!r}: {reason}") from None
    return out
