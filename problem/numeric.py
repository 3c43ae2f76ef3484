"""Symbolic activation to fast functions of NumPy arrays, PyTorch tensors or mpmath numbers.

An expression becomes a list of steps, each an operation on the results of earlier steps, with
equal parts computed once; ``h(k, x)`` for several k shares one run of the recurrence (see
``problem.hermite_polynomials``).  No code is generated, and constants follow NumPy's rules, so that
overflow is ∞ and never an exception.  Where the outcome is not finite it is computed again by ``problem.signed_logs``,
because what overflows on the way need not in the end.  Where a factor ``Heaviside`` is 0 the product is 0, also when
another factor overflows.  Roots clip their argument at 0, because
``sqrt(x**2 - 2*x + 1)`` rounds to the root of −1e-17.  Whether σ is defined at all is settled before,
in ``problem.regularity``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache, partial, reduce
from typing import Any

import mpmath
import numpy as np
import scipy.special
import sympy
from numpy.typing import ArrayLike

from .._types import Array
from . import signed_logs
from .hermite_polynomials import h
from .parser import power, simplified, size, x
from .signed_logs import Signed

_CHUNK = 2**22  # numbers held at once while a long array is evaluated
_SHORT = 100  # nodes up to which slopes are simplified
_HUGE = 1e15  # exp(±1e15) is as good as ∞ or 0, and mpmath would take minutes over exp(exp(1e6))


@dataclass(frozen=True)
class _Arithmetic:
    """How to compute with one kind of numbers.

    ``functions`` by SymPy class name; ``number(node)`` gives a function without arguments that
    returns the constant; ``root(u)`` is √u; ``sqrt(k)`` is the root of an integer.
    """

    functions: dict[str, Callable[..., Any]]
    number: Callable[[sympy.Expr], Callable[[], Any]]
    root: Callable[[Any], Any]
    sqrt: Callable[[int], Any]

    def power(self, p: int, q: int, u: Any) -> Any:
        """``u^{p/q}``."""
        if p < 0:
            return 1 / self.power(-p, q, u)
        if q == 1:
            return u if p == 1 else u * u if p == 2 else self.functions["integer power"](u, p)
        if q == 2:
            return self.power(p, 1, self.root(u))
        return self.functions["power"](u, p, q)

    def recurrence(self, k: int, u: Any, one_below: Any, two_below: Any) -> Any:
        """``h_k(u)`` from ``h_{k−1}`` and ``h_{k−2}``."""
        return (u * one_below - self.sqrt(k - 1) * two_below) / self.sqrt(k)


_Step = tuple[Callable[..., Any], tuple[int, ...]]


def _steps(expression: sympy.Expr, using: _Arithmetic) -> list[_Step]:
    """``expression`` as operations on the results of earlier steps; step 0 is x itself."""
    steps: list[_Step] = [(lambda: None, ())]
    place: dict[Hashable, int] = {x: 0}

    def emit(key: Hashable, operation: Callable[..., Any], *operands: int) -> int:
        place[key] = len(steps)
        steps.append((operation, operands))
        return place[key]

    def power(base: sympy.Expr, exponent: sympy.Rational) -> int:
        key = (base, exponent)
        if key in place:
            return place[key]
        return emit(key, partial(using.power, int(exponent.p), int(exponent.q)), visit(base))

    def hermite(k: int, u: sympy.Expr) -> int:
        if k < 2:
            return visit(u) if k else visit(sympy.Integer(1))
        key = ("h", k, u)
        if key in place:
            return place[key]
        below = hermite(k - 1, u), hermite(k - 2, u)
        return emit(key, partial(using.recurrence, k), visit(u), *below)

    def product(node: sympy.Expr) -> int:
        below = [u for u in node.args if u.is_Pow and u.exp.is_Rational and u.exp < 0]
        above = [u for u in node.args if u not in below] or [sympy.Integer(1)]
        out = emit((node, "above"), using.functions["Mul"], *(visit(u) for u in above))
        if below:
            factors = [power(u.base, -u.exp) for u in below]
            denominator = emit((node, "below"), using.functions["Mul"], *factors)
            out = emit((node, "ratio"), operator.truediv, out, denominator)
        switches = [visit(u) for u in above if isinstance(u, sympy.Heaviside)]
        return emit(node, using.functions["switched"], out, *switches) if switches else out

    def visit(node: sympy.Expr) -> int:
        if node in place:
            return place[node]
        if not node.free_symbols and not node.is_Pow and (type(node).__name__ not in using.functions):
            return emit(node, using.number(node))
        if isinstance(node, h):
            return hermite(int(node.args[0]), node.args[1])
        if node.is_Pow and node.exp.is_Rational:
            return power(node.base, node.exp)
        if node.is_Pow:  # SymPy turns exp(pi*log(abs(x))) into abs(x)**pi
            return emit(node, using.functions["general power"], visit(node.base), visit(node.exp))
        if node.is_Mul:
            return product(node)
        operation = using.functions.get(type(node).__name__)
        if operation is None:
            raise ValueError(f"{node} cannot be evaluated")
        arguments = node.args[:1] if isinstance(node, sympy.Heaviside) else node.args
        return emit(node, operation, *(visit(u) for u in arguments))

    last = visit(expression)
    if last != len(steps) - 1:
        emit("result", lambda u: u, last)
    return steps


def _run(steps: list[_Step], point: Any) -> Any:
    values = [point]
    for operation, operands in steps[1:]:
        values.append(operation(*[values[i] for i in operands]))
    return values[-1]


def _integer_power(u: Any, p: int) -> Any:
    """``u^p`` by squaring: ten times faster than NumPy's ``**``, and as exact up to p ~ 40."""
    if p > 64:
        return u**p
    out = None
    while True:
        if p & 1:
            out = u if out is None else out * u
        p >>= 1
        if not p:
            return out
        u = u * u


def _double(node: sympy.Expr) -> Callable[[], Any]:
    value = np.float64(node.evalf(20))  # ∞ where it overflows
    return lambda: value


_NUMPY = _Arithmetic(
    functions={
        "Add": lambda *u: reduce(operator.add, u),
        "Mul": lambda *u: reduce(operator.mul, u),
        "Max": lambda *u: reduce(np.maximum, u),
        "Min": lambda *u: reduce(np.minimum, u),
        "switched": lambda value, *switches: np.where(reduce(operator.mul, switches) == 0, 0.0, value),
        "integer power": _integer_power,
        "power": lambda u, p, q: np.power(np.maximum(u, 0.0), p / q),
        "general power": np.power,
        "Abs": np.abs,
        "sign": np.sign,
        "Heaviside": lambda u: np.heaviside(u, 0.5),
        "exp": np.exp,
        "log": np.log,
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "tanh": np.tanh,
        "erf": scipy.special.erf,
    },
    number=_double,
    root=lambda u: np.sqrt(np.maximum(u, 0.0)),
    sqrt=lambda k: k**0.5,
)


_SIGNED = _Arithmetic(
    functions=_NUMPY.functions
    | {
        "Max": lambda *u: reduce(signed_logs.larger, u),
        "Min": lambda *u: reduce(signed_logs.smaller, u),
        "switched": lambda value, *switches: signed_logs.where(
            reduce(operator.mul, switches).sign == 0, Signed(0.0, -np.inf), value
        ),
        "power": lambda u, p, q: signed_logs.power(u, p / q),
        "general power": lambda u, v: signed_logs.exp(signed_logs.log(u) * v),
        "Abs": lambda u: Signed(np.abs(u.sign), u.log),
        "sign": lambda u: Signed.of(u.sign),
        "Heaviside": lambda u: Signed.of(np.heaviside(u.sign, 0.5)),
        "exp": signed_logs.exp,
        "log": signed_logs.log,
        "sinh": signed_logs.sinh,
        "cosh": signed_logs.cosh,
        **{f: signed_logs.plain(_NUMPY.functions[f]) for f in ("sin", "cos", "tan", "tanh", "erf")},
    },
    number=lambda node: lambda: Signed.of(_double(node)()),
    root=lambda u: signed_logs.power(u, 0.5),
    sqrt=lambda k: Signed.of(k**0.5),
)


@lru_cache(maxsize=1)
def _torch() -> _Arithmetic:
    """Of tensors; constants are double and without dimensions, so that tensors keep their device and precision."""
    import torch

    def number(node: sympy.Expr) -> Callable[[], Any]:
        value = torch.tensor(float(node.evalf(20)), dtype=torch.float64)  # ∞ where it overflows
        return lambda: value

    return _Arithmetic(
        functions={
            "Add": _NUMPY.functions["Add"],
            "Mul": _NUMPY.functions["Mul"],
            "Tuple": lambda *u: u,
            "Max": lambda *u: reduce(torch.maximum, u),
            "Min": lambda *u: reduce(torch.minimum, u),
            "switched": lambda value, *switches: torch.where(reduce(operator.mul, switches) == 0, 0.0, value),
            "integer power": _integer_power,
            "power": lambda u, p, q: torch.clamp(u, min=0.0) ** (p / q),
            "general power": torch.pow,
            "Heaviside": lambda u: (1 + torch.sign(u)) / 2,
            "Abs": torch.abs,
            "sign": torch.sign,
            **{f: getattr(torch, f) for f in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf")},
        },
        number=number,
        root=lambda u: torch.sqrt(torch.clamp(u, min=0.0)),
        sqrt=lambda k: k**0.5,
    )


@lru_cache(maxsize=4096)
def _extended(node: sympy.Expr, precision: int) -> Any:
    with mpmath.workprec(precision + 10):
        value = node.evalf(mpmath.mp.dps)._to_mpmath(mpmath.mp.prec)
    return +value


def _mpmath_number(node: sympy.Expr) -> Callable[[], Any]:
    return lambda: _extended(node, mpmath.mp.prec)


_MPMATH = _Arithmetic(
    functions={
        "Add": lambda *u: reduce(operator.add, u),
        "Mul": lambda *u: reduce(operator.mul, u),
        "Max": max,
        "Min": min,
        "switched": lambda value, *switches: value if all(switches) else mpmath.mpf(0),
        "integer power": operator.pow,
        "power": lambda u, p, q: u ** (mpmath.mpf(p) / q),
        "general power": operator.pow,
        "Abs": abs,
        "sign": mpmath.sign,
        "Heaviside": lambda u: (1 + mpmath.sign(u)) / 2,
        **{f: getattr(mpmath, f) for f in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh", "erf")},
    },
    number=_mpmath_number,
    root=lambda u: mpmath.sqrt(u),
    sqrt=lambda k: _extended(sympy.sqrt(k), mpmath.mp.prec),
)


def _capped(function: Callable[[Any], Any], above: Any, below: Any) -> Callable[[Any], Any]:
    """``function`` with its limits beyond |u| = 1e15."""
    return lambda u: (above if u > 0 else below) if abs(u) > _HUGE else function(u)


_MPMATH_TAIL = _Arithmetic(
    functions=_MPMATH.functions
    | {
        "exp": _capped(mpmath.exp, mpmath.inf, mpmath.mpf(0)),
        "sinh": _capped(mpmath.sinh, mpmath.inf, -mpmath.inf),
        "cosh": _capped(mpmath.cosh, mpmath.inf, mpmath.inf),
        "tanh": _capped(mpmath.tanh, mpmath.mpf(1), mpmath.mpf(-1)),
        "erf": _capped(mpmath.erf, mpmath.mpf(1), mpmath.mpf(-1)),
        **{f: _capped(getattr(mpmath, f), mpmath.mpf(1), mpmath.mpf(1)) for f in ("sin", "cos", "tan")},
    },
    number=_mpmath_number,
    root=lambda u: mpmath.sqrt(max(u, 0)),
    sqrt=_MPMATH.sqrt,
)


def numpy_function(expression: sympy.Expr) -> Callable[[ArrayLike], Array]:
    """Vectorised float64 function of ``x``; a value that overflows is inf, silently."""
    steps, careful = _steps(expression, _NUMPY), cache(lambda: _steps(expression, _SIGNED))  # few need the second
    chunk = min(16384, max(256, _CHUNK // len(steps)))

    def evaluate(points: ArrayLike) -> Array:
        points = np.asarray(points, dtype=float)
        flat = points.ravel()
        values = np.empty_like(flat)
        with np.errstate(all="ignore"):
            for start in range(0, len(flat), chunk):
                part, out = flat[start : start + chunk], values[start : start + chunk]
                out[:] = _run(steps, part)
                lost = ~np.isfinite(out)
                if lost.any():
                    lost &= np.isfinite(part)
                    out[lost] = _run(careful(), Signed.of(part[lost])).value()
        return values.reshape(points.shape)

    return evaluate


def overflows(expression: sympy.Expr) -> bool:
    """Does a value on |x| ≤ 12 (a normal is outside once in 1e32) need more than plain double arithmetic?"""
    steps, points = _steps(expression, _NUMPY), np.linspace(-12, 12, 4801)
    with np.errstate(all="ignore"):
        lost = ~np.isfinite(np.broadcast_to(_run(steps, points), points.shape))
    return bool(np.isfinite(numpy_function(expression)(points[lost])).any())


def torch_functions(*expressions: sympy.Expr) -> tuple[Callable[[Any], tuple[Any, ...]], int]:
    """Functions of one tensor, evaluated together on its device and in its precision; and how many that size it holds.

    Equal parts of the expressions are computed once, as those of σ and σ' often are.  Needs the extra ``gpu``.
    """
    import torch

    steps = _steps(sympy.Tuple(*expressions), _torch())
    return lambda points: tuple(torch.broadcast_to(u.to(points), points.shape) for u in _run(steps, points)), len(steps)


def mpmath_function(expression: sympy.Expr) -> Callable[[Any], Any]:
    """Function of one mpmath number at the working precision of the caller."""
    steps = _steps(expression, _MPMATH)
    return lambda point: mpmath.mpmathify(_run(steps, mpmath.mpmathify(point)))


def tail_size(expression: sympy.Expr) -> Callable[[float], Any]:
    """|σ| at one large number as an mpmath number (∞ beyond its range, nan where there is none).

    Sines of arguments beyond 1e15 count as 1.
    """
    steps = _steps(expression, _MPMATH_TAIL)

    def size(point: float) -> Any:
        try:
            return abs(mpmath.mpmathify(_run(steps, mpmath.mpf(point))))
        except (ArithmeticError, TypeError, ValueError):
            return mpmath.nan

    return size


_OUTER_SLOPES: dict[type[sympy.Expr], Callable[[sympy.Expr, sympy.Expr], sympy.Expr]] = {
    sympy.Abs: lambda f, u: simplified(sympy.sign, u),
    sympy.exp: lambda f, u: f,
    sympy.log: lambda f, u: power(u, sympy.Integer(-1)),
    sympy.sin: lambda f, u: simplified(sympy.cos, u),
    sympy.cos: lambda f, u: -simplified(sympy.sin, u),
    sympy.tan: lambda f, u: 1 + f**2,
    sympy.sinh: lambda f, u: simplified(sympy.cosh, u),
    sympy.cosh: lambda f, u: simplified(sympy.sinh, u),
    sympy.tanh: lambda f, u: 1 - f**2,
    sympy.erf: lambda f, u: 2 / sympy.sqrt(sympy.pi) * simplified(sympy.exp, -power(u, sympy.Integer(2))),
    h: lambda f, u: f.fdiff(),
}  # of f = f(u), by u


def almost_everywhere_derivative(expression: sympy.Expr) -> sympy.Expr:
    """dσ/dx wherever it exists: jumps contribute nothing (``sign`` has derivative 0).

    Not ``sympy.diff``, which leaves ``Derivative(re(…))`` behind where it cannot prove an argument
    real, and counts a slope 3/2 times where three arguments of ``Max`` tie on an interval.
    """
    slope, arguments = almost_everywhere_derivative, expression.args
    if not expression.has(x):
        return sympy.Integer(0)
    if expression == x:
        return sympy.Integer(1)
    if isinstance(expression, sympy.sign | sympy.Heaviside):
        return sympy.Integer(0)
    if expression.is_Add:
        return _sum(slope(u) for u in arguments)
    if isinstance(expression, sympy.Max | sympy.Min):  # fold: 1{u wins} u' + 1{rest wins} rest'
        out, rest = slope(arguments[-1]), arguments[-1]
        for u in arguments[-2::-1]:
            winner, loser = (u, rest) if isinstance(expression, sympy.Max) else (rest, u)
            out = _sum([_times(slope(u), _ahead(winner, loser)), _times(out, _ahead(loser, winner))])
            rest = expression.func(u, rest, evaluate=False)
        return out
    if expression.is_Mul:
        return _sum(_times(slope(u), *arguments[:i], *arguments[i + 1 :]) for i, u in enumerate(arguments))
    if expression.is_Pow:
        base, n = arguments
        return _times(slope(base), n, power(base, n - 1))
    u = arguments[-1]
    return _times(slope(u), _OUTER_SLOPES[type(expression)](expression, u))


def _times(slope: sympy.Expr, *factors: sympy.Expr) -> sympy.Expr:
    if slope == 0:
        return slope
    return sympy.Mul(slope, *factors, evaluate=size(slope) + sum(size(u) for u in factors) <= _SHORT)


def _sum(terms: Iterable[sympy.Expr]) -> sympy.Expr:
    present = [u for u in terms if u != 0]
    return sympy.Add(*present, evaluate=sum(size(u) for u in present) <= _SHORT)


def _ahead(u: sympy.Expr, v: sympy.Expr) -> sympy.Expr:
    """1 where u > v and 1/2 where they tie; the two orders sum to 1 also in floating point."""
    if size(u) + size(v) <= _SHORT and len((u - v).as_ordered_terms()) <= 2:
        return simplified(sympy.Heaviside, u - v, sympy.Rational(1, 2))
    return sympy.Heaviside(sympy.Add(u, -v, evaluate=False), sympy.Rational(1, 2), evaluate=False)
