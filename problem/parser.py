"""Text to a symbolic activation, without ever running the text.

``parse("h4 + h6/2")`` reads numbers, ``x``, ``pi``, ``+ - * / **``, parentheses, the
functions in ``FUNCTIONS`` and the shorthand ``h0`` … ``h40`` for normalised probabilists'
Hermite polynomials.  Python's own grammar (the standard library's ``ast``) gives the tree;
the walk below admits listed nodes only and refuses anything else by quoting it.

Numbers become exact rationals (``0.1`` is 1/10), so that coefficients derived from a
text can be exact.  Limits keep every later step fast: 500 characters, powers that are
integers in −40 … 40, nesting to 30, polynomial degree to 80, 1000 terms after ``softplus`` and
``gelu`` are written out.  SymPy simplifies short arguments only (``abs(-x)`` is ``abs(x)``):
over long ones it can take minutes.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from functools import partial

import sympy

from .._suggestion import suggestion
from .hermite_polynomials import h

MAX_CHARACTERS = 500
MAX_POWER = 40
MAX_NESTING = 30
MAX_DEGREE = 80
MAX_HERMITE = 40
MAX_TOTAL_POWER = MAX_POWER**2  # of a power of a power
MAX_SIZE = 1000  # nodes of the expression: softplus and gelu use their argument twice
MAX_CONSTANT = 40  # nodes of a part without x
MAX_SIMPLIFIED = 12  # nodes of an argument of abs, max … up to which SymPy may simplify it
MAX_BITS = 1024  # of a numerator or denominator: beyond it a double overflows

x = sympy.Symbol("x", real=True)
_HALF = sympy.Rational(1, 2)


def simplified(function: Callable[..., sympy.Expr], *arguments: sympy.Expr) -> sympy.Expr:
    """``function`` of the arguments, simplified if they are short: SymPy can take minutes over long ones."""
    return function(*arguments, evaluate=sum(size(u) for u in arguments) <= MAX_SIMPLIFIED)


def power(u: sympy.Expr, n: sympy.Rational) -> sympy.Expr:
    """``u^n``, merged with powers in u, otherwise simplified if u is short."""
    if n == 0 or n == 1:
        return u if n else sympy.Integer(1)
    return sympy.Pow(u, n, evaluate=u.is_Pow or size(u) <= MAX_SIMPLIFIED)


def _add(*terms: sympy.Expr) -> sympy.Expr:
    return sympy.Add(*terms, evaluate=_is_easy(*terms))


def _multiply(*factors: sympy.Expr) -> sympy.Expr:
    return sympy.Mul(*factors, evaluate=_is_easy(*factors))


def _is_easy(*terms: sympy.Expr) -> bool:
    """Can SymPy sort and merge the terms at once?  Not where it tries to prove hyperbolic functions real."""
    is_short = sum(size(u) for u in terms) <= 2 * MAX_SIMPLIFIED
    return is_short or not any(u.has(sympy.sinh, sympy.cosh, sympy.tanh) for u in terms)


def _sigmoid(u: sympy.Expr) -> sympy.Expr:  # 1/(1 + exp(−u)), without overflow
    return _multiply(_add(sympy.Integer(1), simplified(sympy.tanh, _multiply(u, _HALF))), _HALF)


def _softplus(u: sympy.Expr) -> sympy.Expr:
    decay = simplified(sympy.exp, -simplified(sympy.Abs, u))
    return _add(simplified(sympy.Max, u, sympy.Integer(0)), simplified(sympy.log, 1 + decay))


def _gelu(u: sympy.Expr) -> sympy.Expr:
    return _multiply(u, 1 + simplified(sympy.erf, _multiply(u, 1 / sympy.sqrt(2))), _HALF)


def _tan(u: sympy.Expr) -> sympy.Expr:  # SymPy turns tan(x + pi/2) into −cot(x)
    return simplified(sympy.tan, u).replace(sympy.cot, lambda v: 1 / sympy.tan(v, evaluate=False))


FUNCTIONS: dict[str, tuple[int, Callable[..., sympy.Expr]]] = {
    "abs": (1, partial(simplified, sympy.Abs)),
    "sign": (1, partial(simplified, sympy.sign)),
    "Heaviside": (1, lambda u: simplified(sympy.Heaviside, u, _HALF)),
    "max": (2, partial(simplified, sympy.Max)),
    "min": (2, partial(simplified, sympy.Min)),
    "relu": (1, lambda u: simplified(sympy.Max, u, sympy.Integer(0))),
    "exp": (1, partial(simplified, sympy.exp)),
    "log": (1, partial(simplified, sympy.log)),
    "sqrt": (1, lambda u: power(u, _HALF)),
    "sin": (1, partial(simplified, sympy.sin)),
    "cos": (1, partial(simplified, sympy.cos)),
    "tan": (1, _tan),
    "sinh": (1, partial(simplified, sympy.sinh)),
    "cosh": (1, partial(simplified, sympy.cosh)),
    "tanh": (1, partial(simplified, sympy.tanh)),
    "erf": (1, partial(simplified, sympy.erf)),
    "sigmoid": (1, _sigmoid),
    "softplus": (1, _softplus),
    "gelu": (1, _gelu),
}

_OPERATORS: dict[type[ast.AST], Callable[[sympy.Expr, sympy.Expr], sympy.Expr]] = {
    ast.Add: _add,
    ast.Sub: lambda u, v: _add(u, -v),
    ast.Mult: _multiply,
}


def parse(text: str, domain: Callable[[str, sympy.Expr], None] | None = None) -> sympy.Expr:
    """The symbolic expression in ``x`` that ``text`` states.

    ``domain`` is called with the name and every argument of a function, before simplification can
    hide it (``exp(log(x))``, ``0*sqrt(x)``), and refuses it by raising.

    Raises
    ------
    ValueError
        One sentence that quotes the offending part.
    """
    if not isinstance(text, str):
        raise ValueError(f"an activation is a text such as 'h4' or 'abs(x)', but got {type(text).__name__}")
    text = text.strip()
    if not text:
        raise ValueError("the activation is empty; write for example h4 or abs(x)")
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"the activation has {len(text)} characters; at most {MAX_CHARACTERS} are read")
    strange = next((c for c in text if not (c.isascii() and (c.isprintable() or c == "\t")) or c == "#"), None)
    if strange is not None:
        raise ValueError(f"unexpected character {strange!r} in the activation")
    depth = 0
    for c in text:  # before the tree is built, so that no input can exhaust the stack
        depth += (c in "([{") - (c in ")]}")
        if depth > MAX_NESTING:
            raise ValueError(f"parentheses are nested deeper than {MAX_NESTING}")
    if "^" in text:
        raise ValueError("'^' is not a power here; write **")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(text, mode="eval")
    except (SyntaxError, SyntaxWarning, ValueError, RecursionError, MemoryError) as error:
        message = getattr(error, "msg", None) or str(error)
        raise ValueError(f"cannot read the activation {text!r}: {message}") from None
    return _Walk(text, domain).expression(tree.body, 0)


class _Walk:
    def __init__(self, text: str, domain: Callable[[str, sympy.Expr], None] | None) -> None:
        self.text = text
        self.domain = domain

    def quote(self, node: ast.AST) -> str:
        return repr(ast.get_source_segment(self.text, node) or type(node).__name__)

    def expression(self, node: ast.AST, depth: int) -> sympy.Expr:
        if depth > MAX_NESTING:
            raise ValueError(f"the expression is nested deeper than {MAX_NESTING} at {self.quote(node)}")
        if isinstance(node, ast.Constant):
            value = self.number(node)
        elif isinstance(node, ast.Name):
            value = self.name(node)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.UAdd | ast.USub):
            operand = self.expression(node.operand, depth + 1)
            value = -operand if isinstance(node.op, ast.USub) else operand
        elif isinstance(node, ast.BinOp):
            value = self.operation(node, depth)
        elif isinstance(node, ast.Call):
            value = self.call(node, depth)
        else:
            raise ValueError(f"{self.quote(node)} is not allowed in an activation")
        return self.bounded(node, value)

    def bounded(self, node: ast.AST, value: sympy.Expr) -> sympy.Expr:
        if size(value) > MAX_SIZE:
            raise ValueError(f"{self.quote(node)} grows to more than {MAX_SIZE} terms; simplify it")
        if size(value) > MAX_CONSTANT and not value.free_symbols:
            raise ValueError(f"the constant {self.quote(node)} has more than {MAX_CONSTANT} terms; simplify it")
        if value.has(sympy.nan, sympy.oo, -sympy.oo, sympy.zoo, sympy.I):
            raise ValueError(f"{self.quote(node)} is not a real number")
        for number in value.atoms(sympy.Rational):
            if max(int(number.p).bit_length(), int(number.q).bit_length()) > MAX_BITS:
                raise ValueError(f"a number in {self.quote(node)} is too large or too small")
        powers = [p for p in value.atoms(sympy.Pow) if p.exp.is_Rational]
        if any(abs(p.exp) > MAX_TOTAL_POWER for p in powers):
            raise ValueError(f"a power in {self.quote(node)} exceeds {MAX_TOTAL_POWER}")
        if max([degree(value), *(degree(p.base) * abs(p.exp) for p in powers)]) > MAX_DEGREE:
            raise ValueError(f"the polynomial degree of {self.quote(node)} exceeds {MAX_DEGREE}")
        return value

    def number(self, node: ast.Constant) -> sympy.Expr:
        source = ast.get_source_segment(self.text, node) or ""
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise ValueError(f"{self.quote(node)} is not a number")
        mantissa, _, exponent = source.lower().partition("e")
        if not all(c in "0123456789." for c in mantissa) or abs(int(exponent or 0)) > 300:
            raise ValueError(f"{self.quote(node)} is not a plain decimal number")
        return sympy.Rational(source)

    def name(self, node: ast.Name) -> sympy.Expr:
        name = node.id
        if name == "x":
            return x
        if name == "pi":
            return sympy.pi
        if name[:1] == "h" and name[1:].isdigit():
            k = int(name[1:])
            if k > MAX_HERMITE or name != f"h{k}":
                raise ValueError(f"{name!r} is not one of h0 … h{MAX_HERMITE}")
            return h(k, x)
        if name in FUNCTIONS:
            raise ValueError(f"{name!r} is a function; write {name}(…)")
        raise ValueError(f"unknown name {name!r} in the activation{suggestion(name, ['x', 'pi'])}")

    def operation(self, node: ast.BinOp, depth: int) -> sympy.Expr:
        chain = [node]  # a + b + c + … leans left: walk it in a loop, it is not nesting
        while isinstance(chain[-1].left, ast.BinOp):
            chain.append(chain[-1].left)
        value = self.expression(chain[-1].left, depth)
        for link in reversed(chain):
            value = self.bounded(
                link,
                self.combine(link, value, self.expression(link.right, depth + isinstance(link.op, ast.Pow))),
            )
        return value

    def combine(self, node: ast.BinOp, left: sympy.Expr, right: sympy.Expr) -> sympy.Expr:
        if isinstance(node.op, ast.Pow):
            if not right.is_Integer or abs(right) > MAX_POWER:
                raise ValueError(
                    f"the power in {self.quote(node)} must be an integer between -{MAX_POWER} and {MAX_POWER}"
                )
            if left == 0 and right < 0:
                raise ValueError(f"{self.quote(node)} divides by zero")
            if right > 0 and degree(left) * right > MAX_DEGREE:
                raise ValueError(f"the polynomial degree of {self.quote(node)} exceeds {MAX_DEGREE}")
            return power(left, right)
        if isinstance(node.op, ast.Div):
            if right == 0:
                raise ValueError(f"{self.quote(node)} divides by zero")
            return _multiply(left, power(right, sympy.Integer(-1)))
        operator = _OPERATORS.get(type(node.op))
        if operator is None:
            raise ValueError(f"the operator in {self.quote(node)} is not one of + - * / **")
        return operator(left, right)

    def call(self, node: ast.Call, depth: int) -> sympy.Expr:
        if not isinstance(node.func, ast.Name):
            raise ValueError(f"{self.quote(node)} is not allowed in an activation")
        name = node.func.id
        if name not in FUNCTIONS:
            raise ValueError(f"unknown function {name!r} in the activation{suggestion(name, FUNCTIONS)}")
        arity, function = FUNCTIONS[name]
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args) or len(node.args) != arity:
            raise ValueError(f"{name} takes {arity} argument{'s' * (arity > 1)}, but got {self.quote(node)}")
        arguments = [self.expression(a, depth + 1) for a in node.args]
        for argument in arguments:
            if self.domain is not None and not argument.is_Rational:
                self.domain(name, argument)
        return function(*arguments)


def size(expression: sympy.Expr) -> int:
    """Number of nodes of the expression tree, shared parts counted each time they occur."""
    known: dict[sympy.Basic, int] = {}

    def count(node: sympy.Basic) -> int:
        if node not in known:
            known[node] = 1 + sum(count(u) for u in node.args)
        return known[node]

    return count(expression)


def degree(expression: sympy.Expr) -> int:
    """Upper bound on the growth exponent of the polynomial parts of ``expression``."""
    if expression == x:
        return 1
    if isinstance(expression, h):
        return int(expression.args[0])
    if expression.is_Add or isinstance(expression, sympy.Max | sympy.Min):
        return max(degree(a) for a in expression.args)
    if expression.is_Mul:
        return sum(degree(a) for a in expression.args)
    if expression.is_Pow and expression.exp.is_Rational and expression.exp > 0:
        return int(sympy.ceiling(degree(expression.base) * expression.exp))
    if isinstance(expression, sympy.Abs):
        return degree(expression.args[0])
    return 0
