"""Activations whose Hermite coefficients are known, each with its source.

Notation: φ, Φ density and distribution function of N(0, 1); He_k = √k! h_k.  Sources of the values:

* *triple*: ``E[h_a h_b h_c] = √(a! b! c!)/((s−a)! (s−b)! (s−c)!)``, 2s = a + b + c (Szegő, problem 15);
* *generating function*: ``E[f(Z) e^{tZ − t²/2}] = Σ_k t^k E[f He_k]/k!``, for f = e^{αx² + βx + γ} equal
  to ``s e^{γ + s²(β+t)²/2 − t²/2}``, s² = 1/(1 − 2α);
* *parts*: ``E[f He_k] = E[f' He_{k−1}]`` with jumps of f and f' as point masses, so that a point mass
  at y counts φ(y) He_{k−1}(y);
* *symmetry*: coefficients of the other parity vanish;
* *completed square*: E[e^{iZ}; Z > 1] = e^{−½} P(Z + i > 1), with the complex error function;
* *moments*: elementary integrals of z^n φ over an interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy
from sympy import Rational, cos, erf, erfi, exp, factorial, pi, sin, sqrt

TAGS = {
    "polynomial": "a finite series",
    "piecewise": "breaks at finitely many points",
    "jump": "discontinuous: c_k falls slowly and gradient descent cannot use it",
    "exponential": "exp, sinh or cosh of a linear function",
    "trigonometric": "sin or cos of a linear function",
    "gaussian": "exp of a quadratic function",
    "product": "a product of different families",
    "shifted": "not centred at 0",
    "irrational": "break points are irrational",
    "nested": "a broken function of a broken function",
    "cut": "components of low degree removed",
    "large": "very large or very small coefficients, or many digits that cancel",
    "numerical": "no closed form: values carry error bars",
    "singular": "σ or its slope blows up at a point",
    "removable": "0/0 at a point where σ is smooth",
    "periodic breaks": "breaks at infinitely many points",
    "steep": "changes within a small fraction of 1",
}
Constant = Any  # SymPy expression or int
x = sympy.Symbol("x")
half, third = Rational(1, 2), Rational(1, 3)


@dataclass(frozen=True)
class HermiteCase:
    """``exact[k]`` is c_k; ``k_star`` and ``parity`` are those after the cut.

    ``breaks`` are the points at which a quadrature must stop: σ is not smooth there, or steep.
    """

    name: str
    text: str
    tags: frozenset[str]
    source: str
    k_star: int | None
    parity: str | None
    exact: dict[int, sympy.Expr]
    second_moment: sympy.Expr | None
    cut: int
    breaks: tuple[Constant, ...]

    @property
    def is_exact(self) -> bool:
        return "numerical" not in self.tags


def he(k: int, y: Constant) -> sympy.Expr:
    """He_k(y), unnormalised."""
    previous, current = sympy.Integer(0), sympy.Integer(1)
    for j in range(k):
        previous, current = current, sympy.expand(y * current - j * previous)
    return current


def density(y: Constant) -> sympy.Expr:
    return exp(-half * y**2) / sqrt(2 * pi)


def distribution(y: Constant) -> sympy.Expr:
    return half * (1 + erf(y / sqrt(2)))


def triple(a: int, b: int, c: int) -> sympy.Expr:
    s, odd = divmod(a + b + c, 2)
    if odd or s < max(a, b, c):
        return sympy.Integer(0)
    return sqrt(factorial(a) * factorial(b) * factorial(c)) / (factorial(s - a) * factorial(s - b) * factorial(s - c))


def power(n: int, *degrees: int) -> dict[int, Constant]:
    """E[Z^n h_k]."""
    return {
        k: 0
        if k > n or (n - k) % 2
        else factorial(n) / (2 ** ((n - k) // 2) * factorial((n - k) // 2) * sqrt(factorial(k)))
        for k in degrees
    }


def bump(alpha: Constant, beta: Constant, gamma: Constant, *degrees: int) -> dict[int, Constant]:
    """E[exp(αZ² + βZ + γ) h_k], by the generating function."""
    variance = 1 / (1 - 2 * sympy.sympify(alpha))
    out = {}
    for k in degrees:
        series = sum(
            (variance * beta) ** (k - 2 * j) * ((variance - 1) / 2) ** j / (factorial(k - 2 * j) * factorial(j))
            for j in range(k // 2 + 1)
        )
        out[k] = sqrt(variance) * exp(gamma + half * variance * beta**2) * sqrt(factorial(k)) * series
    return out


def wave(omega: Constant, odd: int, *degrees: int) -> dict[int, Constant]:
    """E[cos(ωZ) h_k], or E[sin(ωZ) h_k] for ``odd`` = 1."""
    size = exp(-half * omega**2)
    return {k: (-1) ** (k // 2) * omega**k * size / sqrt(factorial(k)) * int(k % 2 == odd) for k in degrees}


def masses(order: int, weights: dict[Constant, Constant], *degrees: int) -> dict[int, Constant]:
    """E[f h_k] where the ``order``-th derivative of f is a sum of point masses, k ≥ order."""
    return {k: sum(w * density(y) * he(k - order, y) for y, w in weights.items()) / sqrt(factorial(k)) for k in degrees}


def added(*tables: dict[int, Constant]) -> dict[int, Constant]:
    return {k: sum(t[k] for t in tables) for k in tables[0]}


def _case(
    name: str,
    text: str,
    tags: str,
    source: str,
    result: tuple[int | None, str | None],
    exact: dict[int, Constant],
    second_moment: Constant = None,
    cut: int = 0,
    breaks: tuple[Constant, ...] = (0,),
) -> HermiteCase:
    values = {k: sympy.sympify(value) for k, value in exact.items()}
    second = None if second_moment is None else sympy.sympify(second_moment)
    return HermiteCase(name, text, frozenset(tags.split(", ")), source, *result, values, second, cut, breaks)


EVEN, ODD = "even", "odd"
PARTS, DEFINITION, SERIES = "parts", "definition", "generating function"
MOMENT = "E|Z|^p = 2^(p/2) Γ((p+1)/2)/√π"
low, high = (1 - sqrt(5)) / 2, (1 + sqrt(5)) / 2
log_mean = -(sympy.EulerGamma + sympy.log(2)) / 2
root_mean = 2 ** Rational(1, 4) * sympy.gamma(Rational(3, 4)) / sqrt(pi)  # E|Z|^½
pole_mean = 2 ** -Rational(3, 16) * sympy.gamma(Rational(5, 16)) / sqrt(pi)  # E|Z|^−⅜
pole_square = 2 ** -Rational(3, 8) * sympy.gamma(Rational(1, 8)) / sqrt(pi)  # E|Z|^−¾
sinc_mean = sqrt(pi / 2) * erf(1 / sqrt(2))
square = {k: triple(4, 4, k) + 2 * triple(4, 6, k) + triple(6, 6, k) for k in (0, 2, 4, 7, 12, 14)}
wave10 = {
    k: sum(triple(10, k, m) * wave(Rational(3, 7), 0, m)[m] for m in range(abs(10 - k), 11 + k))
    for k in (0, 1, 2, 6, 15)
}
golden = added(masses(2, {low: 2 * sqrt(5), high: 2 * sqrt(5)}, 3, 4, 9), masses(3, {low: -4, high: 4}, 3, 4, 9))
shifted_abs = {0: 2 * density(pi) + pi * (2 * distribution(pi) - 1), 1: 1 - 2 * distribution(pi)}
two_sided = {0: 2 * exp(half) * distribution(-1), 2: sqrt(2) * exp(half) * (distribution(-1) - density(1))}
folded = {0: 4 * density(1), 1: 0, 2: (2 - 4 * erf(1 / sqrt(2)) + 8 * density(1)) / sqrt(2)}
w_shape = {0: -sqrt(2 / pi) - 1 + 2 * erf(1 / sqrt(2)) + 4 * density(1)}
cos_squared = {0: half + exp(-2) * cos(2) / 2, 1: -exp(-2) * sin(2), 2: -sqrt(2) * exp(-2) * cos(2)}
growing = {0: exp(-3 * half) * sin(2), 1: exp(-3 * half) * (sin(2) + 2 * cos(2))}

periods = tuple(pi * j for j in range(-60, 61))
steep = (0, *(side * Rational(1, 2**j) for side in (-1, 1) for j in range(8)))
h6_zeros = tuple(sympy.Poly(x**6 - 15 * x**4 + 45 * x**2 - 15).nroots(n=60))

CASES = [
    _case("constant", "3", "polynomial", DEFINITION, (None, EVEN), {0: 3, 1: 0, 2: 0}, 9),
    _case("h4", "h4", "polynomial", DEFINITION, (4, EVEN), {0: 0, 2: 0, 4: 1, 6: 0}, 1),
    _case("h39 and h40", "h40 - h39", "polynomial, large", DEFINITION, (39, None), {0: 0, 2: 0}, 2),
    _case("x^40", "x**40", "polynomial, large", "moments", (2, EVEN), power(40, 0, 1, 2, 12, 20), power(80, 0)[0]),
    _case("square of h4 + h6", "(h4+h6)**2", "polynomial, large", "triple", (2, EVEN), square),
    _case("irrational factors", "pi*h3/7 + x*pi**2", "polynomial", DEFINITION, (1, ODD), {1: pi**2, 3: pi / 7}),
    _case("abs", "abs(x)", "piecewise", PARTS, (2, EVEN), {0: sqrt(2 / pi), 1: 0} | masses(2, {0: 2}, 2, 3, 4, 20), 1),
    _case(
        "shifted abs",
        "abs(x - pi)",
        "piecewise, shifted, irrational",
        PARTS,
        (1, None),
        shifted_abs | masses(2, {pi: 2}, 2, 5, 9),
        1 + pi**2,
        breaks=(pi,),
    ),
    _case(
        "relu",
        "relu(x)",
        "piecewise",
        PARTS,
        (1, None),
        {0: 1 / sqrt(2 * pi), 1: half} | masses(2, {0: 1}, 2, 3, 8),
        half,
    ),
    _case(
        "ramp from -1",
        "max(x, -1)",
        "piecewise, shifted",
        PARTS,
        (1, None),
        {0: density(1) - distribution(-1), 1: distribution(1)} | masses(2, {-1: 1}, 2, 3, 4, 11, 20),
        breaks=(-1,),
    ),
    _case("sign", "sign(x)", "piecewise, jump", PARTS, (1, ODD), masses(1, {0: 2}, 1, 2, 3, 17), 1),
    _case("step", "Heaviside(x)", "piecewise, jump", PARTS, (1, None), {0: half} | masses(1, {0: 1}, 1, 2, 3), half),
    _case(
        "cut parabola",
        "x**2*Heaviside(x - 1/2)",
        "piecewise, jump, shifted",
        "moments",
        (1, None),
        {0: distribution(-half) + half * density(half), 1: (half**2 + 2) * density(half)},
        breaks=(half,),
    ),
    _case("folded parabola", "abs(x**2 - 1)", "piecewise", "moments", (2, EVEN), folded, 2, breaks=(-1, 1)),
    _case(
        "golden parabola",
        "abs(x**2 - x - 1)",
        "piecewise, shifted, irrational",
        PARTS,
        (1, None),
        golden,
        3,
        breaks=(low, high),
    ),
    _case(
        "W shape",
        "abs(abs(x) - 1)",
        "piecewise, nested",
        "moments, parts",
        (2, EVEN),
        w_shape | masses(2, {-1: 2, 0: -2, 1: 2}, 2, 8),
        breaks=(-1, 0, 1),
    ),
    _case("exponential", "exp(x/2)", "exponential", SERIES, (1, None), bump(0, half, 0, 0, 1, 2, 7, 20), exp(half)),
    _case("sinh", "sinh(x)", "exponential", SERIES, (1, ODD), bump(0, 1, 0, 1, 3, 9)),
    _case(
        "two-sided exponential",
        "exp(-abs(x))",
        "exponential, piecewise",
        "moments",
        (2, EVEN),
        two_sided,
        2 * exp(2) * distribution(-2),
    ),
    _case(
        "cosine",
        "cos(3*x/2)",
        "trigonometric",
        SERIES,
        (2, EVEN),
        wave(3 * half, 0, 0, 1, 2, 4, 20),
        (1 + exp(-9 * half)) / 2,
    ),
    _case("fast cosine", "cos(50*x)", "trigonometric, large", SERIES, (2, EVEN), wave(50, 0, 0, 2)),
    _case("slow cosine", "cos(x/100)", "trigonometric, large", SERIES, (2, EVEN), wave(Rational(1, 100), 0, 0, 2, 20)),
    _case("shifted cosine, squared", "cos(x + 1)**2", "trigonometric, shifted", SERIES, (1, None), cos_squared),
    _case("growing sine", "exp(x)*sin(2*x)", "exponential, trigonometric, product", SERIES, (1, None), growing),
    _case("cosine times h10", "cos(3*x/7)*h10", "trigonometric, product, large", "triple", (2, EVEN), wave10),
    _case(
        "abs times cosine",
        "abs(x)*cos(x)",
        "piecewise, trigonometric, product",
        "parts, Dawson's integral",
        (2, EVEN),
        {0: sqrt(2 / pi) - exp(-half) * erfi(1 / sqrt(2))},
    ),
    _case(
        "sine of abs",
        "sin(abs(x))",
        "piecewise, trigonometric, nested",
        "Dawson's integral",
        (2, EVEN),
        {0: exp(-half) * erfi(1 / sqrt(2))},
        (1 - exp(-2)) / 2,
    ),
    _case(
        "cut cosine",
        "Heaviside(x - 1)*cos(x)",
        "piecewise, jump, trigonometric, product, shifted",
        "completed square",
        (1, None),
        {0: exp(-half) * (2 - erf((1 + sympy.I) / sqrt(2)) - erf((1 - sympy.I) / sqrt(2))) / 4},
        breaks=(1,),
    ),
    _case(
        "sum of families",
        "abs(abs(x) - 1)/3 + cos(x + 1) + exp(-x**2) + h4*sinh(x/2)",
        "piecewise, nested, trigonometric, gaussian, exponential, product, shifted",
        "",
        (1, None),
        {},
        breaks=(-1, 0, 1),
    ),
    _case(
        "shifted bump",
        "exp(-(x - 1)**2)",
        "gaussian, shifted",
        SERIES,
        (1, None),
        bump(-1, 2, -1, 0, 1, 2, 3, 12),
        sqrt(5) * exp(-Rational(2, 5)) / 5,
    ),
    _case("rising", "exp(x**2/5)", "gaussian", SERIES, (2, EVEN), bump(Rational(1, 5), 0, 0, 0, 2, 10), sqrt(5)),
    _case("half a hat", "h2*exp(-x**2)*cosh(x)*Heaviside(x)", "gaussian, product, piecewise, jump", "", (1, None), {}),
    _case(
        "abs without low degrees",
        "abs(x)",
        "piecewise, cut",
        PARTS,
        (4, EVEN),
        {0: 0, 2: 0, 4: -1 / sqrt(12 * pi)},
        1 - 3 / pi,
        cut=3,
    ),
    _case(
        "even after the cut", "x**2 + x", "polynomial, cut", DEFINITION, (2, EVEN), {0: 0, 1: 0, 2: sqrt(2)}, 2, cut=2
    ),
    _case("nothing after the cut", "h2 + x", "polynomial, cut", DEFINITION, (None, EVEN), {1: 0, 2: 0}, 0, cut=5),
    _case("deep cut", "cos(x)", "trigonometric, cut", DEFINITION, (64, EVEN), {0: 0, 20: 0}, cut=63),
    _case("tanh", "tanh(x)", "numerical", "symmetry", (1, ODD), {0: 0, 2: 0}),
    _case("log cosh, cut", "log(cosh(x)) + x/3", "numerical, cut", "symmetry", (4, EVEN), {0: 0, 1: 0, 3: 0}, cut=3),
    _case("gelu", "gelu(x)", "numerical", PARTS, (1, None), {0: 1 / (2 * sqrt(pi)), 1: half}),
    _case(
        "narrow peak",
        "1/(1 + 10000*(x - 1/3)**2)",
        "numerical, steep, shifted",
        "",
        (1, None),
        {},
        breaks=tuple(third + y / 2 for y in steep),
    ),
    _case(
        "root of abs",
        "sqrt(abs(x))",
        "numerical, singular",
        MOMENT,
        (2, EVEN),
        {0: root_mean, 1: 0, 2: root_mean / (2 * sqrt(2))},
        sqrt(2 / pi),
    ),
    _case(
        "pole",
        "1/sqrt(sqrt(abs(x)))/sqrt(sqrt(sqrt(abs(x))))",
        "numerical, singular",
        MOMENT,
        (2, EVEN),
        {0: pole_mean, 2: -3 * pole_mean / (8 * sqrt(2))},
        pole_square,
    ),
    _case(
        "log of abs",
        "log(abs(x))",
        "numerical, singular",
        "E|Z|^p, twice differentiated at p = 0; parts",
        (2, EVEN),
        {0: log_mean, 1: 0, 2: 1 / sqrt(2)},
        pi**2 / 8 + log_mean**2,
    ),
    _case("shifted log", "log(abs(x - 1/3))", "numerical, singular, shifted", "", (1, None), {}, breaks=(third,)),
    _case(
        "sinc",
        "sin(x)/x",
        "numerical, removable",
        "sin(x)/x = ∫_0^1 cos(tx) dt",
        (2, EVEN),
        {0: sinc_mean, 2: -(sinc_mean - exp(-half)) / sqrt(2)},
    ),
    _case("folded sine", "abs(sin(x))", "numerical, periodic breaks", "symmetry", (2, EVEN), {1: 0}, breaks=periods),
    _case(
        "square wave",
        "sign(sin(3*x))",
        "numerical, jump, periodic breaks",
        "E σ² = 1",
        (1, ODD),
        {0: 0},
        1,
        breaks=tuple(y / 3 for y in periods),
    ),
    _case("folded h6", "abs(h6)", "numerical, piecewise, irrational", "E h_6² = 1", (2, EVEN), {}, 1, breaks=h6_zeros),
    _case(
        "cubic kink",
        "abs(x**3 - 2)",
        "numerical, piecewise, irrational",
        "moments",
        (1, None),
        {},
        19,
        breaks=(2**third,),
    ),
]
