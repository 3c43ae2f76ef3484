"""Closed forms of c_k = E[σ(Z) h_k(Z)] and E[σ(Z)²], Z ~ N(0, 1), for piecewise elementary σ.

The line is cut where an argument of ``abs``, ``sign``, ``Heaviside``, ``max`` or ``min`` changes
sign (rational points, roots of quadratics); on each piece σ becomes a finite sum of
``const · x^n · exp(αx² + βx)``, β complex where there are sines.  With γ the standard normal
density, ``w = exp(αx² + βx) γ``, ``s² = 1/(1 − 2α)`` and ``w' = (β − x/s²) w``, integration by
parts of ``He_{k+1} = x He_k − k He_{k−1}`` gives for ``g_k(y) = ∫_{−∞}^y w He_k dx``

    g_{k+1} = s²β g_k + k(s² − 1) g_{k−1} − s² w(y) He_k(y),
    g_0 = C (1 + erf((y − s²β)/(s√2)))/2,        C = s exp(s²β²/2),

so ``g_k = A_k g_0 + B_k w(y)`` with A_k free of y.  Powers of x follow from
``∫ x f He_k = ∫ f He_{k+1} + k ∫ f He_{k−1}``.  Written with the jumps ``Δ_j`` of the factors of w
at the cuts y_j (left minus right), all pieces together are

    √k! c_k = C A_k[(first + last)/2] + Σ_j { C erf(·)/2 A_k[Δ_j] + w(y_j) B_k[Δ_j] }:

one error function and one exponential for each cut, and no term where σ does not break.
Arithmetic is exact: rational combinations of SymPy constants.

Derived here; for the recurrences compare Abramowitz & Stegun, 7.2 and 26.2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Any

import mpmath
import sympy

from problem.hermite_polynomials import h
from problem.parser import x

MAX_PIECES = 64
MAX_TERMS = 400  # of σ on one piece; E σ² multiplies every pair of them
MAX_FACTORED_DEGREE = 12
MAX_DIGITS = 2000  # a sum of constants that cancels this far is zero
_BROKEN = (sympy.Abs, sympy.sign, sympy.Heaviside, sympy.Max, sympy.Min)
_BY_EXPONENTIALS: dict[type, tuple[Any, Any, Any]] = {  # f(u) = (p exp(ru) + q exp(−ru)): r, p, q
    sympy.exp: (sympy.Integer(1), sympy.Integer(1), sympy.Integer(0)),
    sympy.cosh: (sympy.Integer(1), sympy.Rational(1, 2), sympy.Rational(1, 2)),
    sympy.sinh: (sympy.Integer(1), sympy.Rational(1, 2), sympy.Rational(-1, 2)),
    sympy.cos: (sympy.I, sympy.Rational(1, 2), sympy.Rational(1, 2)),
    sympy.sin: (sympy.I, -sympy.I / 2, sympy.I / 2),
}


class NoClosedForm(Exception):  # noqa: N818  (a signal to take the other route, not a failure)
    """σ is outside the class above, or too large for it."""


class Number:
    """Exact constant: rational combination of products of SymPy constants (``√6``, ``π``, ``e^{1/2}``)."""

    __slots__ = ("terms",)

    def __init__(self, terms: dict[sympy.Expr, Fraction] | None = None) -> None:
        self.terms = terms or {}

    @classmethod
    def of(cls, constant: sympy.Expr | int) -> Number:
        return cls(dict(_terms(sympy.sympify(constant))))

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: Number) -> Number:
        if not other.terms or not self.terms:
            return self if self.terms else other
        terms = dict(self.terms)
        for constant, ratio in other.terms.items():
            terms[constant] = terms.get(constant, Fraction(0)) + ratio
            if not terms[constant]:
                del terms[constant]
        return Number(terms)

    def __mul__(self, other: Number | Fraction | int) -> Number:
        if not isinstance(other, Number):
            return Number({c: ratio * other for c, ratio in self.terms.items()} if other else None)
        terms: dict[sympy.Expr, Fraction] = {}
        for left, p in self.terms.items():
            for right, q in other.terms.items():
                for constant, ratio in _product(left, right):
                    terms[constant] = terms.get(constant, Fraction(0)) + p * q * ratio
        return Number({constant: ratio for constant, ratio in terms.items() if ratio})

    def expr(self) -> sympy.Expr:
        return sympy.Add(*(sympy.Rational(q.numerator, q.denominator) * c for c, q in self.terms.items()))

    def real(self) -> Number:
        """The same constant without the imaginary unit."""
        parts = [Number(), Number()]
        for constant, ratio in self.terms.items():
            split = constant.as_real_imag() if constant.has(sympy.I) else (constant, sympy.Integer(0))
            parts = [part + Number.of(s) * ratio for part, s in zip(parts, split, strict=True)]
        if parts[1]:
            raise NoClosedForm("an imaginary part did not cancel")
        return parts[0]

    def value(self, digits: int = 40) -> Any:
        """mpmath number with ``digits`` correct digits, whatever cancels."""
        working = digits + 20
        while self.terms and working < MAX_DIGITS:
            with mpmath.workdps(working):
                summands = [_evaluated(c, working) * q.numerator / q.denominator for c, q in self.terms.items()]
                total, largest = mpmath.fsum(summands), max(abs(s) for s in summands)
                if abs(total) > largest * mpmath.mpf(10) ** (digits + 5 - working):
                    return total
            working *= 2
        return mpmath.mpf(0)


def _terms(constant: sympy.Expr) -> Iterable[tuple[sympy.Expr, Fraction]]:
    for term in sympy.Add.make_args(sympy.expand_mul(sympy.expand_multinomial(constant))):
        ratio, rest = term.as_coeff_Mul(rational=True)
        if ratio:
            yield rest, Fraction(int(ratio.p), int(ratio.q))


@lru_cache(maxsize=20_000)
def _product(left: sympy.Expr, right: sympy.Expr) -> tuple[tuple[sympy.Expr, Fraction], ...]:
    return tuple(_terms(left * right))


@lru_cache(maxsize=5_000)
def _evaluated(constant: sympy.Expr, digits: int) -> Any:
    return mpmath.mpmathify(constant.evalf(digits))


# A function on one piece: {(n, α, β): const} for Σ const · x^n · exp(αx² + βx).
_Key = tuple[int, Fraction, sympy.Expr]
_Function = dict[_Key, Number]
_ONE: _Key = (0, Fraction(0), sympy.Integer(0))


def _plus(*functions: _Function) -> _Function:
    total: _Function = {}
    for function in functions:
        for key, constant in function.items():
            total[key] = total.get(key, Number()) + constant
    return {key: constant for key, constant in total.items() if constant}


def _scaled(function: _Function, factor: Number | Fraction | int) -> _Function:
    return {key: constant * factor for key, constant in function.items()}


def _times(left: _Function, right: _Function) -> _Function:
    total: _Function = {}
    for (n, alpha, beta), u in left.items():
        for (m, alpha2, beta2), v in right.items():
            key = n + m, alpha + alpha2, sympy.expand(beta + beta2) if beta and beta2 else beta + beta2
            total[key] = total.get(key, Number()) + u * v
    total = {key: constant for key, constant in total.items() if constant}
    if sum(len(constant.terms) for constant in total.values()) > MAX_TERMS:
        raise NoClosedForm("too many terms")
    return total


def _function(expression: sympy.Expr) -> _Function:
    """Unbroken ``expression`` as a sum of x^n exp(αx² + βx)."""
    if not expression.has(x):
        constant = Number.of(expression)
        return {_ONE: constant} if constant else {}
    if expression == x:
        return {(1, *_ONE[1:]): Number.of(1)}
    if expression.is_Add:
        return _plus(*map(_function, expression.args))
    if expression.is_Mul or (expression.is_Pow and expression.exp.is_Integer and expression.exp > 0):
        factors = expression.args if expression.is_Mul else [expression.base] * int(expression.exp)
        factors = [_function(f) for f in factors] if expression.is_Mul else [_function(factors[0])] * len(factors)
        total = factors[0]
        for factor in factors[1:]:
            total = _times(total, factor)
        return total
    if isinstance(expression, h):
        k, argument = int(expression.args[0]), _function(expression.args[1])
        previous, current = {}, {_ONE: Number.of(1)}
        for j in range(k):
            previous, current = current, _plus(_times(argument, current), _scaled(previous, -j))
        return _scaled(current, Number.of(1 / sympy.sqrt(sympy.factorial(k))))
    if type(expression) in _BY_EXPONENTIALS:
        rate, up, down = _BY_EXPONENTIALS[type(expression)]
        exponent = _polynomial(expression.args[0])
        return _plus(*(_scaled(_exponential(exponent, r), Number.of(p)) for r, p in ((rate, up), (-rate, down)) if p))
    raise NoClosedForm(f"{expression} has no exact Hermite coefficients here")


def _polynomial(expression: sympy.Expr) -> list[Number]:
    """Coefficients of a polynomial in x, constant first."""
    function = _function(expression)
    if any(key[1:] != _ONE[1:] for key in function):
        raise NoClosedForm(f"{expression} is not a polynomial")
    return [function.get((n, *_ONE[1:]), Number()) for n in range(max((key[0] for key in function), default=0) + 1)]


def _exponential(exponent: list[Number], rate: sympy.Expr) -> _Function:
    constant, beta, alpha, *rest = (sympy.expand(rate * c.expr()) for c in [*exponent, Number(), Number()])
    if any(rest) or not alpha.is_Rational:
        raise NoClosedForm("an exponent is not quadratic with a rational leading coefficient")
    return {(0, Fraction(int(alpha.p), int(alpha.q)), beta): Number.of(sympy.exp(constant))}


@dataclass(frozen=True)
class ClosedForm:
    """Exact ``c_0, c_1, …`` and E σ²; a polynomial's coefficients are all there.

    ``cuts`` are the points (ascending SymPy constants) at which σ breaks.
    """

    coefficients: tuple[Number, ...]
    second_moment: Number
    cuts: tuple[sympy.Expr, ...]
    is_polynomial: bool


def closed_form(expression: sympy.Expr, degree: int) -> ClosedForm:
    """Exact ``c_k`` for k = 0 … degree at least, and E σ².

    Raises
    ------
    NoClosedForm
        ``expression`` is outside the class in the module's docstring, or too large for it.
    """
    sigma = pieces(expression)
    is_polynomial = not sigma.cuts and all(key[1:] == _ONE[1:] for key in sigma.functions[0])
    if is_polynomial:
        degree = max(degree, *(key[0] for key in sigma.functions[0]), 0)
    coefficients = [u * Number.of(1 / sympy.sqrt(sympy.factorial(k))) for k, u in enumerate(integrals(sigma, degree))]
    if is_polynomial:
        second = sum((c * c for c in coefficients), Number())
    else:
        squares = Pieces(sigma.cuts, [_times(f, f) for f in sigma.functions])
        second = integrals(squares, 0)[0]
    return ClosedForm(tuple(coefficients), second, tuple(sigma.cuts), is_polynomial)


@dataclass(frozen=True)
class Pieces:
    """σ cut at ``cuts`` (ascending SymPy constants); ``functions`` has one entry more."""

    cuts: list[sympy.Expr]
    functions: list[_Function]


def pieces(expression: sympy.Expr) -> Pieces:
    """``expression`` without abs, sign, Heaviside, max, min, on each interval where it is smooth."""
    cuts, functions = [], []
    queue = [(-sympy.oo, sympy.oo, expression)]
    while queue:
        low, high, whole = queue.pop()
        broken = [u for u in whole.atoms(*_BROKEN) if not any(a.has(*_BROKEN) for a in u.args)]
        if broken:
            points = _sorted(r for u in broken for r in _roots(u) if low < r < high)
            sections = list(pairwise([low, *points, high]))
            for a, b in reversed(sections):
                inside = sympy.Rational(str(_between(a, b)))
                queue.append((a, b, whole.xreplace({u: _branch(u, inside) for u in broken})))
        else:
            functions.append(_function(whole))
            cuts.append(high)
        if len(queue) + len(cuts) > MAX_PIECES:
            raise NoClosedForm("too many pieces")
    return Pieces(cuts[:-1], functions)


def _switches(node: sympy.Expr) -> list[sympy.Expr]:
    """Expressions at whose zeros the branch of ``node`` changes."""
    if isinstance(node, sympy.Max | sympy.Min):
        return [u - v for u, v in combinations(node.args, 2)]
    return [node.args[0]]


def _branch(node: sympy.Expr, point: sympy.Rational) -> sympy.Expr:
    """The smooth expression that ``node`` equals around ``point``."""
    arguments = node.args if isinstance(node, sympy.Max | sympy.Min) else node.args[:1]
    at = [mpmath.mpmathify(a.subs(x, point).doit().evalf(30)) for a in arguments]
    if isinstance(node, sympy.Max):
        return arguments[at.index(max(at))]
    if isinstance(node, sympy.Min):
        return arguments[at.index(min(at))]
    side = 1 if at[0] > 0 else -1
    if isinstance(node, sympy.Abs):
        return side * arguments[0]
    return sympy.Integer(side) if isinstance(node, sympy.sign) else sympy.Integer(side > 0)


def _roots(node: sympy.Expr) -> list[sympy.Expr]:
    """Exact real points at which the branch of ``node`` changes."""
    found: list[sympy.Expr] = []
    for switch in _switches(node):
        coefficients = [c.expr() for c in _polynomial(switch)]
        if len(coefficients) == 1:
            continue
        monic = [sympy.expand(c / coefficients[-1]) for c in coefficients]
        factors = [monic]
        if len(monic) > 2 and all(c.is_Rational for c in monic):
            if len(monic) > MAX_FACTORED_DEGREE + 1:
                raise NoClosedForm(f"the degree of {switch} is too high")
            factored = sympy.Poly(monic[::-1], x, domain="QQ").factor_list()[1]
            factors = [f.monic().all_coeffs()[::-1] for f, _ in factored]
        for factor in factors:
            if len(factor) == 2:
                found.append(-factor[0])
            elif len(factor) == 3:
                half, square = -factor[1] / 2, sympy.expand(factor[1] ** 2 / 4 - factor[0])
                if square >= 0:
                    found += [sympy.expand(half + side * sympy.sqrt(square)) for side in (-1, 1)]
            elif not all(c.is_Rational for c in factor) or sympy.Poly(factor[::-1], x).count_roots():
                raise NoClosedForm(f"the zeros of {switch} are not roots of quadratics")
    return found


def _sorted(points: Iterable[sympy.Expr]) -> list[sympy.Expr]:
    ordered = sorted(set(points), key=lambda p: p.evalf(40))
    return ordered[:1] + [b for a, b in pairwise(ordered) if (b - a).evalf(40) > 1e-30]


def _between(low: sympy.Expr, high: sympy.Expr) -> sympy.Float:
    if low == -sympy.oo or high == sympy.oo:
        return (high - 1 if high != sympy.oo else low + 1 if low != -sympy.oo else sympy.Integer(0)).evalf(30)
    return ((low + high) / 2).evalf(30)


def integrals(sigma: Pieces, degree: int) -> list[Number]:
    """``∫ σ He_k γ dx`` for k = 0 … degree (not yet divided by √k!)."""
    jumps = [_plus(left, _scaled(right, -1)) for left, right in pairwise(sigma.functions)]
    ends = _scaled(_plus(sigma.functions[0], sigma.functions[-1]), Fraction(1, 2))
    totals = [Number() for _ in range(degree + 1)]
    for alpha, beta in {key[1:] for function in (ends, *jumps) for key in function}:
        if alpha >= Fraction(1, 2):
            raise NoClosedForm("an exponential outgrows the Gaussian on a bounded piece")
        variance, rate = 1 / (1 - 2 * alpha), Number.of(beta)
        spread = sympy.sqrt(sympy.Rational(variance.numerator, variance.denominator))
        mass = Number.of(spread * sympy.exp((rate * rate * (variance / 2)).expr()))
        top = degree + max(key[0] for function in (ends, *jumps) for key in function if key[1:] == (alpha, beta))
        plain = _recurrence(variance, rate, Number.of(1), [Number()] * top)
        _accumulate(totals, _polynomial_part(ends, alpha, beta), plain, mass)
        for cut, jump in zip(sigma.cuts, jumps, strict=True):
            factor = _polynomial_part(jump, alpha, beta)
            if factor:
                point = Number.of(cut)
                edge = [c * -variance for c in _hermites(point, top)]
                density = (point * point * (alpha - Fraction(1, 2)) + point * rate).expr()
                argument = Number.of((point + rate * -variance).expr() / (sympy.sqrt(2) * spread))
                _accumulate(totals, factor, plain, mass * _erf(argument) * Fraction(1, 2))
                boundary = _recurrence(variance, rate, Number(), edge)
                _accumulate(totals, factor, boundary, Number.of(sympy.exp(density) / sympy.sqrt(2 * sympy.pi)))
    return [total.real() for total in totals]


def _polynomial_part(function: _Function, alpha: Fraction, beta: sympy.Expr) -> dict[int, Number]:
    return {n: constant for (n, *rest), constant in function.items() if rest == [alpha, beta]}


def _hermites(point: Number, count: int) -> list[Number]:
    """He_0, …, He_{count−1} at ``point``."""
    out = [Number.of(1), point]
    for k in range(1, count - 1):
        out.append(point * out[k] + out[k - 1] * -k)
    return out[:count]


def _recurrence(variance: Fraction, rate: Number, first: Number, source: list[Number]) -> list[Number]:
    """g_{k+1} = s²β g_k + k(s² − 1) g_{k−1} + source_k from g_0 = ``first``."""
    drift, out = rate * variance, [first]
    for k, term in enumerate(source):
        earlier = out[k - 1] * (k * (variance - 1)) if k else Number()
        out.append(drift * out[k] + earlier + term)
    return out


def _erf(argument: Number) -> Number:
    imaginary = [constant.has(sympy.I) for constant in argument.terms]
    if not any(imaginary):
        return Number.of(sympy.erf(argument.expr()))
    if not all(imaginary):
        raise NoClosedForm("an error function of a complex number")
    return Number.of(sympy.I * sympy.erfi(sympy.expand(argument.expr() / sympy.I)))


def _accumulate(totals: list[Number], factor: dict[int, Number], g: list[Number], scale: Number) -> None:
    """``totals_k += scale · ∫ (Σ_n factor_n x^n) w He_k`` where ``g_k = ∫ w He_k``; Horner in x."""
    if not factor or not scale:
        return
    highest = max(factor)
    current = [Number()] * (len(totals) + highest)
    for n in range(highest, -1, -1):
        length = len(totals) + n
        if n < highest:
            current = [current[k + 1] + (current[k - 1] * k if k else Number()) for k in range(length)]
        if n in factor:
            current = [value + factor[n] * g[k] for k, value in enumerate(current[:length])]
    for k, value in enumerate(current):
        totals[k] = totals[k] + scale * value
