"""Formulas in text: read by Python's grammar, evaluated by hand, nothing executed.

Admitted are numbers, given names, ``+ - * / **``, ``log`` and ``sqrt``.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Mapping

_OPERATORS: dict[type, Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: operator.pow, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[float], float]] = {"log": math.log, "sqrt": math.sqrt}


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
