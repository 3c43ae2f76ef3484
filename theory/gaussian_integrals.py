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

one error function and one exponential for each cut, and no term where σ does not break.  A wave
that breaks away from 0 brings error functions at conjugate complex points, ``erf(z) + erf(z̄)``.
Arithmetic is exact: rational combinations of SymPy constants.

Derived here; for the recurrences compare Abramowitz & Stegun, 7.2 and 26.2.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache, reduce
from itertools import combinations, pairwise
from typing import Any

import mpmath
import sympy

from ..problem.hermite_polynomials import h
from ..problem.parser import x

MAX_PIECES = 64
MAX_TERMS = 300  # of a factor in a product of functions
MAX_PRODUCTS = 40_000  # of terms: in one product of functions, and in σ² on all pieces
MAX_EDGES = 300  # of a cut and an exponential that breaks there
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


_Constant = tuple[int, sympy.Expr]  # (m, T) stands for √m T
_Terms = dict[_Constant, Fraction]


class NoClosedForm(Exception):  # noqa: N818  (a signal to take the other route, not a failure)
    """σ is outside the class above, or too large for it."""


class Number:
    """Exact constant ``Σ q √m T``: q rational, m a square-free integer, T a product of SymPy constants.

    T is 1, or made of π, exponentials, error functions, nested roots, the imaginary unit.
    """

    __slots__ = ("terms",)

    def __init__(self, terms: _Terms | None = None) -> None:
        self.terms = terms or {}

    @classmethod
    def of(cls, constant: sympy.Expr | int) -> Number:
        return cls(_collected(_terms(sympy.sympify(constant))))

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: Number) -> Number:
        if not other.terms or not self.terms:
            return self if self.terms else other
        return Number(_collected([*self.terms.items(), *other.terms.items()]))

    def __mul__(self, other: Number | Fraction | int) -> Number:
        if not isinstance(other, Number):
            return Number({key: ratio * other for key, ratio in self.terms.items()} if other else None)
        return Number(
            _collected(
                (key, p * q * ratio)
                for left, p in self.terms.items()
                for right, q in other.terms.items()
                for key, ratio in _product(left, right)
            )
        )

    def expr(self) -> sympy.Expr:
        terms = ((sympy.Rational(q.numerator, q.denominator), m, t) for (m, t), q in self.terms.items())
        return sympy.Add(*(sympy.Mul(ratio, sympy.sqrt(m), t) for ratio, m, t in terms))

    def real(self) -> Number:
        """The same constant with its imaginary parts cancelled: ``I`` is left only as erf(z) ± erf(z̄)."""
        if not any(t.has(sympy.I) for _, t in self.terms):
            return self
        parts = [(Number({(m, sympy.Integer(1)): q}), _real_and_imaginary(t)) for (m, t), q in self.terms.items()]
        re, im = (Number(_collected(item for q, part in parts for item in (part[i] * q).terms.items())) for i in (0, 1))
        if im:
            raise NoClosedForm("an imaginary part did not cancel")
        return re

    def value(self, digits: int = 40) -> Any:
        """mpmath number with ``digits`` correct digits, whatever cancels."""
        working = digits + 20
        while self.terms and working < MAX_DIGITS:
            with mpmath.workdps(working):
                summands = [
                    _evaluated(t, working) * mpmath.sqrt(m) * q.numerator / q.denominator
                    for (m, t), q in self.terms.items()
                ]
                total, largest = mpmath.re(mpmath.fsum(summands)), max(abs(s) for s in summands)
                if abs(total) > largest * mpmath.mpf(10) ** (digits + 5 - working):
                    return total
            working *= 2
        return mpmath.mpf(0)


def _collected(terms: Iterable[tuple[_Constant, Fraction]]) -> _Terms:
    total: _Terms = {}
    for key, ratio in terms:
        total[key] = total[key] + ratio if key in total else ratio
    return {key: ratio for key, ratio in total.items() if ratio}


def _terms(constant: sympy.Expr) -> Iterable[tuple[_Constant, Fraction]]:
    for term in sympy.Add.make_args(sympy.expand_mul(sympy.expand_multinomial(constant))):
        ratio, rest = term.as_coeff_Mul(rational=True)
        factors = sympy.Mul.make_args(rest)
        roots = [f for f in factors if f.is_Pow and f.base.is_Integer and f.exp == sympy.Rational(1, 2) and f.base > 0]
        others = sympy.Mul(*(f for f in factors if f not in roots))
        root = math.prod(int(f.base) for f in roots)
        if ratio:
            yield (root, others), Fraction(int(ratio.p), int(ratio.q))


@lru_cache(maxsize=5_000)
def _real_and_imaginary(constant: sympy.Expr) -> tuple[Number, Number]:
    re, im = Number.of(1), Number()
    for factor in sympy.Mul.make_args(constant):
        if isinstance(factor, sympy.erf) and factor.has(sympy.I):
            mirrored = sympy.erf(sympy.conjugate(factor.args[0]))
            u, v = (factor + mirrored) / 2, sympy.I * (mirrored - factor) / 2
        else:
            u, v = factor.as_real_imag() if factor.has(sympy.I) else (factor, sympy.Integer(0))
        a, b = Number.of(u), Number.of(v)
        re, im = re * a + im * b * -1, re * b + im * a
    return re, im


def _product(left: _Constant, right: _Constant) -> list[tuple[_Constant, Fraction]]:
    shared = math.gcd(left[0], right[0])  # √(ga) √(gb) = g √(ab)
    root = left[0] // shared * (right[0] // shared)
    if left[1] == 1 or right[1] == 1:
        return [((root, right[1] if left[1] == 1 else left[1]), Fraction(shared))]
    out = []
    for (m, constant), ratio in _transcendental_product(left[1], right[1]):
        again = math.gcd(m, root)
        out.append(((m // again * (root // again), constant), ratio * shared * again))
    return out


@lru_cache(maxsize=20_000)
def _transcendental_product(left: sympy.Expr, right: sympy.Expr) -> tuple[tuple[_Constant, Fraction], ...]:
    return tuple(_terms(left * right))


@lru_cache(maxsize=5_000)
def _evaluated(constant: sympy.Expr, digits: int) -> Any:
    return mpmath.mpmathify(constant.evalf(digits))


@cache
def _inverse_root_factorial(k: int) -> Number:
    return Number.of(1 / sympy.sqrt(sympy.factorial(k)))


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
    sizes = _size(left), _size(right)
    if max(sizes) > MAX_TERMS or sizes[0] * sizes[1] > MAX_PRODUCTS:
        raise NoClosedForm("too many terms")
    total: _Function = {}
    for (n, alpha, beta), u in left.items():
        for (m, alpha2, beta2), v in right.items():
            key = n + m, alpha + alpha2, sympy.expand(beta + beta2) if beta and beta2 else beta + beta2
            total[key] = total.get(key, Number()) + u * v
    return {key: constant for key, constant in total.items() if constant}


def _size(function: _Function) -> int:
    return sum(len(constant.terms) for constant in function.values())


def _function(expression: sympy.Expr) -> _Function:
    """Unbroken ``expression`` as a sum of x^n exp(αx² + βx)."""
    if not expression.has(x):
        constant = Number.of(expression)
        return {_ONE: constant} if constant else {}
    if expression == x:
        return {(1, *_ONE[1:]): Number.of(1)}
    if expression.is_Add:
        return _plus(*map(_function, expression.args))
    if expression.is_Mul:
        return reduce(_times, map(_function, expression.args))
    if expression.is_Pow and expression.exp.is_Integer and expression.exp > 0:
        return reduce(_times, [_function(expression.base)] * int(expression.exp))
    if isinstance(expression, h):
        k, argument = int(expression.args[0]), _function(expression.args[1])
        previous, current = {}, {_ONE: Number.of(1)}
        for j in range(k):
            previous, current = current, _plus(_times(argument, current), _scaled(previous, -j))
        return _scaled(current, _inverse_root_factorial(k))
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

    def mass_beyond(self, degree: int) -> Any:
        """``Σ_{k ≥ degree} c_k²`` to 20 digits at least, however much of E σ² cancels (mpmath number)."""
        digits = 40
        while digits < MAX_DIGITS:
            with mpmath.workdps(digits + 10):
                if self.is_polynomial:
                    return mpmath.fsum(c.value(digits) ** 2 for c in self.coefficients[degree:])
                second = self.second_moment.value(digits)
                rest = second - mpmath.fsum(c.value(digits) ** 2 for c in self.coefficients[:degree])
                if rest >= second * mpmath.mpf(10) ** (20 - digits):
                    return rest
            digits *= 2
        return mpmath.mpf(0)

    def mass_expression(self, degree: int) -> sympy.Expr:
        """``Σ_{k ≥ degree} c_k²`` as a SymPy expression."""
        if self.is_polynomial:
            return sympy.Add(*(sympy.expand(c.expr() ** 2) for c in self.coefficients[degree:]))
        return sympy.Add(self.second_moment.expr(), *(-(c.expr() ** 2) for c in self.coefficients[:degree]))


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
    coefficients = [u * _inverse_root_factorial(k) for k, u in enumerate(integrals(sigma, degree))]
    if is_polynomial:
        second = sum((c * c for c in coefficients), Number())
    else:
        if sum(_size(f) ** 2 for f in sigma.functions) > MAX_PRODUCTS:
            raise NoClosedForm("too many terms")
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
        broken.sort(key=sympy.default_sort_key)
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
    at = [mpmath.mpmathify(a.subs(x, point).evalf(30)) for a in arguments]
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
            if not coefficients[0] and isinstance(node, sympy.sign | sympy.Heaviside):
                raise NoClosedForm(f"{node} is taken at zero")
            continue
        monic = [sympy.expand(c / coefficients[-1]) for c in coefficients]
        factors = [monic]
        if len(monic) > 2 and all(c.is_Rational for c in monic):
            if len(monic) > MAX_FACTORED_DEGREE + 1:
                raise NoClosedForm(f"the degree of {switch} is too high")
            factored = sympy.Poly(monic[::-1], x, domain="QQ").factor_list()[1]
            factors = [f.monic().all_coeffs()[::-1] for f, _ in factored]
        found += [root for factor in factors for root in _zeros(factor)]
    return found


def _zeros(monic: list[sympy.Expr]) -> list[sympy.Expr]:
    """Real zeros of ``Σ monic[n] x^n`` by square roots alone."""
    if len(monic) == 2:
        return [-monic[0]]
    if not any(monic[1::2]):
        return [side * sympy.sqrt(y) for y in _zeros(monic[::2]) if y >= 0 for side in (-1, 1)]
    if len(monic) == 3:
        half, square = -monic[1] / 2, sympy.expand(monic[1] ** 2 / 4 - monic[0])
        return [sympy.expand(half + side * sympy.sqrt(square)) for side in (-1, 1)] if square >= 0 else []
    if all(c.is_Rational for c in monic) and not sympy.Poly(monic[::-1], x).count_roots():
        return []
    raise NoClosedForm("a break point is not a root of quadratics")


def _sorted(points: Iterable[sympy.Expr]) -> list[sympy.Expr]:
    ordered = sorted(dict.fromkeys(points), key=lambda p: p.evalf(40))
    return ordered[:1] + [b for a, b in pairwise(ordered) if (b - a).evalf(40) > 1e-30]


def _between(low: sympy.Expr, high: sympy.Expr) -> sympy.Float:
    if low == -sympy.oo or high == sympy.oo:
        return (high - 1 if high != sympy.oo else low + 1 if low != -sympy.oo else sympy.Integer(0)).evalf(30)
    return ((low + high) / 2).evalf(30)


def integrals(sigma: Pieces, degree: int) -> list[Number]:
    """``∫ σ He_k γ dx`` for k = 0 … degree (not yet divided by √k!)."""
    jumps = [_plus(left, _scaled(right, -1)) for left, right in pairwise(sigma.functions)]
    ends = _scaled(_plus(sigma.functions[0], sigma.functions[-1]), Fraction(1, 2))
    if sum(len({key[1:] for key in jump}) for jump in jumps) > MAX_EDGES:
        raise NoClosedForm("too many breaks")
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
                if len(point.terms) > 1 and any(m > 1 or t not in (1, sympy.I) for m, t in rate.terms):
                    raise NoClosedForm("powers of too many irrational constants")
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
    if argument and all(constant.has(sympy.I) for _, constant in argument.terms):
        return Number.of(sympy.I * sympy.erfi(sympy.expand(argument.expr() / sympy.I)))
    return Number.of(sympy.erf(argument.expr()))


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
