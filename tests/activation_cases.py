"""Activations with exact answers: values and slopes by hand, parity, k*, c_k, E σ², E σ'², φ.

Notation: Z ~ N(0, 1), density g, Q = P(Z > 1) and g_1 = g(1).  Where the values come from:

* *Hermite*: the coefficients stand in the text, ``E σ² = Σ c_k²`` and ``E σ'² = Σ k c_k²``;
* *moments*: ``E Z^{2n} = (2n − 1)!!`` and ``E |Z|^p = 2^{p/2} Γ((p + 1)/2)/√π``;
* *parts*: ``c_k = E[σ^{(j)} h_{k−j}] √((k − j)!/k!)`` (Stein), jumps of σ^{(j)} as point masses;
* *half line*: ``∫_1^∞ (1, z, z², z³, z⁴) g = (Q, g_1, g_1 + Q, 3 g_1, 4 g_1 + 3 Q)``;
* *exponential*: ``E e^{tZ + αZ²} = e^{t²/(2(1 − 2α))}/√(1 − 2α)`` and its derivatives in t and α;
* *arcsine*: ``E[sign(X) sign(Y)] = (2/π) arcsin s`` for correlation s (Sheppard 1899); integrating φ''
  once or twice gives the arc-cosine kernels (Cho and Saul 2009);
* *Laplace*: ``1/(1 + z²) = ∫_0^∞ e^{−t(1 + z²)} dt``, then *exponential*;
* *Fourier*: ``sin z/z = ∫_0^1 cos(tz) dt``, then *exponential*.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from math import asin, erf, erfc, exp, factorial, gamma, log, pi, sqrt

import numpy as np
import scipy.special

Function = Callable[[np.ndarray], np.ndarray]

TAGS = {
    "polynomial": "a finite Hermite series",
    "smooth": "analytic on the whole line",
    "kink": "the slope jumps",
    "jump": "σ itself jumps: no weak derivative",
    "rough": "the slope is infinite at a point",
    "irregular": "Problem must refuse it even when centred",
    "removable": "0/0 at a point where σ is smooth",
    "shifted": "a break away from 0",
    "growing": "grows exponentially",
    "high": "of degree 20 or more: monomials would cancel",
    "tiny": "a component near the threshold below which it counts as zero",
    "constant": "nothing to learn",
}
g_1 = exp(-0.5) / sqrt(2 * pi)
Q = erfc(1 / sqrt(2)) / 2


@dataclass(frozen=True)
class Case:
    """One activation.

    ``sigma`` and ``slope`` are written by hand (slope: almost everywhere), ``breaks`` are the points
    where they are not smooth, ``coefficients[k]`` is c_k, ``phi`` and ``phi_slope`` are closed forms.
    ``None`` means that no closed form is known; an infinite ``slope_second_moment`` is ``math.inf``.
    """

    name: str
    text: str
    tags: tuple[str, ...]
    source: str
    sigma: Function
    slope: Function
    parity: str | None
    k_star: int | None
    coefficients: dict[int, float]
    second_moment: float | None = None
    slope_second_moment: float | None = None
    breaks: tuple[float, ...] = ()
    phi: Function | None = None
    phi_slope: Function | None = None

    @property
    def is_regular(self) -> bool:
        """May a Problem use it, once centred?"""
        return not {"irregular", "constant"} & set(self.tags)


def double_factorial(n: int) -> int:
    return math.prod(range(n, 0, -2))


def absolute_moment(p: float) -> float:
    """E |Z|^p."""
    return 2 ** (p / 2) * gamma((p + 1) / 2) / sqrt(pi)


def he(k: int) -> Function:
    """h_k by NumPy's Clenshaw sum, not by the package's recurrence."""
    return lambda z: np.polynomial.hermite_e.hermeval(z, [0.0] * k + [1.0]) / sqrt(factorial(k))


def he_slope(k: int) -> Function:
    return lambda z: sqrt(k) * he(k - 1)(z)


def series(coefficients: dict[int, float]) -> tuple[Function, Function]:
    """φ and φ' of a finite Hermite series."""
    return (
        lambda s: sum((c**2 * s**k for k, c in coefficients.items()), np.zeros_like(s)),
        lambda s: sum((k * c**2 * s ** (k - 1) for k, c in coefficients.items() if k), np.zeros_like(s)),
    )


def polynomial(
    name: str,
    text: str,
    coefficients: dict[int, float],
    sigma: Function,
    slope: Function,
    *more_tags: str,
    parity: str | None,
) -> Case:
    """A case of source *Hermite*: everything follows from the coefficients."""
    phi, phi_slope = series(coefficients)
    return Case(
        name, text, ("polynomial", "smooth", *more_tags), "Hermite", sigma, slope, parity,
        k_star=min((k for k in coefficients if k), default=None),
        coefficients=coefficients,
        second_moment=sum(c**2 for c in coefficients.values()),
        slope_second_moment=sum(k * c**2 for k, c in coefficients.items()),
        phi=phi, phi_slope=phi_slope,
    )  # fmt: skip


def abs_phi(s: np.ndarray) -> np.ndarray:
    return 2 / pi * (np.sqrt(1 - s**2) + s * np.arcsin(s))


def abs_phi_slope(s: np.ndarray) -> np.ndarray:
    return 2 / pi * np.arcsin(s)


def leaky(slope_right: float, slope_left: float) -> tuple[Function, Function]:
    """φ and φ' of ``(r + l)/2 |z| + (r − l)/2 z``."""
    even, odd = ((slope_right - slope_left) / 2) ** 2, ((slope_right + slope_left) / 2) ** 2
    return (lambda s: even * abs_phi(s) + odd * s), (lambda s: even * abs_phi_slope(s) + odd)


def step(z: np.ndarray) -> np.ndarray:
    return np.where(z > 0, 1.0, 0.0)


def density(z: np.ndarray) -> np.ndarray:
    return np.exp(-(z**2) / 2) / sqrt(2 * pi)


def logistic(z: np.ndarray) -> np.ndarray:
    return scipy.special.expit(z)


CASES: list[Case] = [
    polynomial("h1", "h1", {1: 1.0}, lambda z: z, np.ones_like, parity="odd"),
    polynomial("h4", "h4", {4: 1.0}, he(4), he_slope(4), parity="even"),
    polynomial(
        "paper's mixture", "h4 + h6/2", {4: 1.0, 6: 0.5},
        lambda z: he(4)(z) + he(6)(z) / 2, lambda z: 2 * he(3)(z) + sqrt(6) / 2 * he(5)(z), parity="even",
    ),
    polynomial(
        "odd mixture", "-2*h5 + h3", {3: 1.0, 5: -2.0},
        lambda z: he(3)(z) - 2 * he(5)(z), lambda z: sqrt(3) * he(2)(z) - 2 * sqrt(5) * he(4)(z), parity="odd",
    ),
    polynomial(
        "mixed parity", "1/2 - x/4 + h2*3", {0: 0.5, 1: -0.25, 2: 3.0},
        lambda z: 0.5 - z / 4 + 3 * he(2)(z), lambda z: -0.25 + 3 * sqrt(2) * z, parity=None,
    ),
    polynomial(  # He_2 He_3 = He_5 + 6 He_3 + 6 He_1
        "product of two", "h2*h3", {1: sqrt(3), 3: 3 * sqrt(2), 5: sqrt(10)},
        lambda z: he(2)(z) * he(3)(z), lambda z: sqrt(2) * z * he(3)(z) + sqrt(3) * he(2)(z) ** 2, parity="odd",
    ),
    polynomial("h40", "h40", {40: 1.0}, he(40), he_slope(40), "high", parity="even"),
    polynomial(  # E[Z^2n h_2j] = (2n)! / (2^(n−j) (n−j)! √(2j)!)
        "x^20", "x**20",
        {2 * j: factorial(20) / (2 ** (10 - j) * factorial(10 - j) * sqrt(factorial(2 * j))) for j in range(11)},
        lambda z: z**20, lambda z: 20 * z**19, "high", parity="even",
    ),
    polynomial(
        "small odd part", "h4 + 1e-6*h3", {3: 1e-6, 4: 1.0},
        lambda z: he(4)(z) + 1e-6 * he(3)(z), lambda z: 2 * he(3)(z) + 1e-6 * sqrt(3) * he(2)(z),
        "tiny", parity=None,
    ),
    polynomial("three", "3", {0: 3.0}, lambda z: np.full_like(z, 3.0), np.zeros_like, "constant", parity="even"),
    Case(
        "abs", "abs(x)", ("kink",), "moments; arcsine", np.abs, np.sign, "even", 2,
        {0: sqrt(2 / pi), 1: 0.0, 2: 1 / sqrt(pi), 3: 0.0, 4: -1 / sqrt(12 * pi)}, 1.0, 1.0, (0.0,),
        abs_phi, abs_phi_slope,
    ),
    Case(
        "relu", "relu(x)", ("kink",), "half of abs plus half of x", lambda z: np.maximum(z, 0), step, None, 1,
        {0: 1 / sqrt(2 * pi), 1: 0.5, 2: 1 / sqrt(4 * pi), 3: 0.0, 4: -1 / sqrt(48 * pi)}, 0.5, 0.5, (0.0,),
        *leaky(1.0, 0.0),
    ),
    Case(
        "signed square", "x*abs(x)", ("kink",), "moments; arcsine", lambda z: z * np.abs(z), lambda z: 2 * np.abs(z),
        "odd", 1, {0: 0.0, 1: sqrt(8 / pi), 2: 0.0, 3: 2 / sqrt(3 * pi)}, 3.0, 4.0, (0.0,),
        lambda s: 2 / pi * (3 * s * np.sqrt(1 - s**2) + (1 + 2 * s**2) * np.arcsin(s)), lambda s: 4 * abs_phi(s),
    ),
    Case(
        "hard tanh", "min(max(x, -1), 1)", ("kink", "shifted"), "half line; parts", lambda z: np.clip(z, -1, 1),
        lambda z: np.where(np.abs(z) < 1, 1.0, 0.0), "odd", 1,
        {0: 0.0, 1: 1 - 2 * Q, 2: 0.0, 3: -2 * g_1 / sqrt(6)}, 1 - 2 * g_1, 1 - 2 * Q, (-1.0, 1.0),
    ),
    Case(
        "gated parabola", "(x**2 - 1)*Heaviside(x - 1)", ("kink", "shifted"), "half line; parts",
        lambda z: np.where(z > 1, z**2 - 1, 0), lambda z: np.where(z > 1, 2 * z, 0), None, 1,
        {0: g_1, 1: 2 * g_1, 2: sqrt(2) * (g_1 + Q)}, 2 * (g_1 + Q), 4 * (g_1 + Q), (1.0,),
    ),
    Case(
        "W", "abs(x**2 - 1)", ("kink", "shifted"), "half line", lambda z: np.abs(z**2 - 1),
        lambda z: 2 * z * np.sign(z**2 - 1), "even", 2, {0: 4 * g_1, 1: 0.0, 2: (8 * (g_1 + Q) - 2) / sqrt(2)},
        2.0, 4.0, (-1.0, 1.0),
    ),
    Case(
        "shifted abs as a root", "sqrt(x**2 - 2*x + 1)", ("kink", "shifted"), "moments; parts",
        lambda z: np.abs(z - 1), lambda z: np.sign(z - 1), None, 1,
        {0: 1 + 2 * g_1 - 2 * Q, 1: 2 * Q - 1, 2: sqrt(2) * g_1}, 2.0, 1.0, (1.0,),
    ),
    Case(
        "three-halves power", "abs(x)*sqrt(abs(x))", ("kink", "rough"), "moments", lambda z: np.abs(z) ** 1.5,
        lambda z: 1.5 * np.sign(z) * np.sqrt(np.abs(z)), "even", 2,
        {0: absolute_moment(1.5), 1: 0.0, 2: (absolute_moment(3.5) - absolute_moment(1.5)) / sqrt(2)},
        absolute_moment(3), 2.25 * absolute_moment(1), (0.0,),
    ),
    Case(
        "cosine", "cos(2*x)", ("smooth",), "exponential", lambda z: np.cos(2 * z), lambda z: -2 * np.sin(2 * z),
        "even", 2, {2 * j: (-4) ** j * exp(-2) / sqrt(factorial(2 * j)) for j in range(6)} | {1: 0.0, 3: 0.0},
        (1 + exp(-8)) / 2, 2 * (1 - exp(-8)), (),
        lambda s: exp(-4) * np.cosh(4 * s), lambda s: 4 * exp(-4) * np.sinh(4 * s),
    ),
    Case(
        "exponential", "exp(x)", ("smooth", "growing"), "exponential", np.exp, np.exp, None, 1,
        {k: exp(0.5) / sqrt(factorial(k)) for k in range(8)}, exp(2), exp(2), (),
        lambda s: np.exp(1 + s), lambda s: np.exp(1 + s),
    ),
    Case(
        "hyperbolic sine", "sinh(x/2)", ("smooth", "growing"), "exponential", lambda z: np.sinh(z / 2),
        lambda z: np.cosh(z / 2) / 2, "odd", 1, {0: 0.0, 1: exp(1 / 8) / 2, 2: 0.0, 3: exp(1 / 8) / sqrt(384)},
        (exp(0.5) - 1) / 2, (exp(0.5) + 1) / 8, (),
        lambda s: exp(0.25) * np.sinh(s / 4), lambda s: exp(0.25) * np.cosh(s / 4) / 4,
    ),
    Case(
        "growing Gaussian", "exp(x**2/8)", ("smooth", "growing"), "exponential", lambda z: np.exp(z**2 / 8),
        lambda z: z / 4 * np.exp(z**2 / 8), "even", 2, {0: 2 / sqrt(3), 1: 0.0, 2: sqrt(2) / (3 * sqrt(3))},
        sqrt(2), sqrt(2) / 8, (),
        lambda s: 4 / np.sqrt(9 - s**2), lambda s: 4 * s * (9 - s**2) ** -1.5,
    ),
    Case(
        "bell", "exp(-x**2)", ("smooth",), "exponential", lambda z: np.exp(-(z**2)),
        lambda z: -2 * z * np.exp(-(z**2)), "even", 2, {0: 1 / sqrt(3), 1: 0.0, 2: -sqrt(2) / (3 * sqrt(3))},
        1 / sqrt(5), 4 * 5**-1.5, (), lambda s: 1 / np.sqrt(9 - 4 * s**2), lambda s: 4 * s * (9 - 4 * s**2) ** -1.5,
    ),
    Case(
        "error function", "erf(x)", ("smooth",), "arcsine", scipy.special.erf,
        lambda z: 2 / sqrt(pi) * np.exp(-(z**2)), "odd", 1, {0: 0.0, 1: 2 / sqrt(3 * pi), 2: 0.0},
        2 / pi * asin(2 / 3), 4 / (pi * sqrt(5)), (),
        lambda s: 2 / pi * np.arcsin(2 * s / 3), lambda s: 4 / pi / np.sqrt(9 - 4 * s**2),
    ),
    Case(
        "gelu", "gelu(x)", ("smooth",), "parts", lambda z: z * scipy.special.ndtr(z),
        lambda z: scipy.special.ndtr(z) + z * density(z), None, 1,
        {0: 1 / sqrt(4 * pi), 1: 0.5, 2: 3 / (4 * sqrt(2 * pi)), 3: 0.0},
        1 / 3 + 1 / (2 * pi * sqrt(3)), 1 / 3 + 2 / (3 * pi * sqrt(3)),
    ),
    Case(
        "tanh", "tanh(x)", ("smooth",), "parity only", np.tanh, lambda z: 1 / np.cosh(z) ** 2, "odd", 1,
        {0: 0.0, 2: 0.0, 4: 0.0},
    ),
    Case(
        "sigmoid", "sigmoid(x)", ("smooth",), "σ − 1/2 is odd", logistic, lambda z: logistic(z) * logistic(-z), None,
        1, {0: 0.5, 2: 0.0, 4: 0.0},
    ),
    Case(  # σ'' = sigmoid' is even, so c_3 = 0 = c_5
        "softplus", "softplus(x)", ("smooth",), "σ − x/2 is even", lambda z: np.logaddexp(0, z), logistic, None, 1,
        {1: 0.5, 3: 0.0, 5: 0.0},
    ),
    Case(
        "Lorentzian", "1/(1 + x**2)", ("smooth",), "Laplace", lambda z: 1 / (1 + z**2),
        lambda z: -2 * z / (1 + z**2) ** 2, "even", 2, {0: sqrt(pi * exp(1) / 2) * erfc(1 / sqrt(2)), 1: 0.0}, 0.5,
    ),
    Case(
        "hyperbola", "sqrt(1 + x**2)", ("smooth",), "moments; Laplace", lambda z: np.hypot(1, z),
        lambda z: z / np.hypot(1, z), "even", 2, {1: 0.0, 3: 0.0}, 2.0, 1 - sqrt(pi * exp(1) / 2) * erfc(1 / sqrt(2)),
    ),
    Case(
        "cardinal sine", "sin(x)/x", ("smooth", "removable"), "Fourier", lambda z: np.sinc(z / pi),
        lambda z: (np.cos(z) - np.sinc(z / pi)) / z, "even", 2, {0: sqrt(pi / 2) * erf(1 / sqrt(2)), 1: 0.0},
        sqrt(pi / 2) * erf(sqrt(2)) - (1 - exp(-2)) / 2,
    ),
    Case(
        "tangent of sine", "tan(sin(x))", ("smooth",), "parity only", lambda z: np.tan(np.sin(z)),
        lambda z: np.cos(z) / np.cos(np.sin(z)) ** 2, "odd", 1, {0: 0.0, 2: 0.0},
    ),
    Case(
        "sign", "sign(x)", ("jump", "irregular"), "arcsine", np.sign, np.zeros_like, "odd", 1,
        {0: 0.0, 1: sqrt(2 / pi), 2: 0.0, 3: -1 / sqrt(3 * pi)}, 1.0, 0.0, (0.0,),
    ),
    Case(
        "step", "Heaviside(x)", ("jump", "irregular"), "half of sign plus 1/2", step, np.zeros_like, None, 1,
        {0: 0.5, 1: 1 / sqrt(2 * pi), 2: 0.0, 3: -1 / sqrt(12 * pi)}, 0.5, 0.0, (0.0,),
    ),
    Case(
        "square root of abs", "sqrt(abs(x))", ("rough", "irregular"), "moments", lambda z: np.sqrt(np.abs(z)),
        lambda z: np.sign(z) / (2 * np.sqrt(np.abs(z))), "even", 2,
        {0: absolute_moment(0.5), 1: 0.0, 2: (absolute_moment(2.5) - absolute_moment(0.5)) / sqrt(2)},
        absolute_moment(1), math.inf, (0.0,),
    ),
    Case(  # d/dp of E |Z|^p at 0, once and twice: ψ(1/2) = −γ − 2 ln 2, ψ'(1/2) = π²/2
        "logarithm", "log(abs(x))", ("rough", "irregular"), "moments; parts", lambda z: np.log(np.abs(z)),
        lambda z: 1 / z, "even", 2, {0: -(np.euler_gamma + log(2)) / 2, 1: 0.0, 2: 1 / sqrt(2)},
        pi**2 / 8 + (np.euler_gamma + log(2)) ** 2 / 4, math.inf, (0.0,),
    ),
]  # fmt: skip

REGULAR = [case for case in CASES if case.is_regular]

# No exact answers, but something that has tripped derivatives, break points or quadrature: text → what.
COMPOSED = {
    "abs(log(1 + abs(x)))": "a kink inside a kink",
    "abs(sin(3*x))*x": "a row of kinks, one of which the factor smooths",
    "max(max(x, abs(x)), x*sign(x))": "three arguments tie on a half line",
    "max(x**2 - 1, x*abs(x) - 1)": "two tie on a half line",
    "min(x**2, min(3, 2 + x))": "three arguments, nested",
    "relu(x)*sqrt(relu(x))": "0/0 in the slope of the flat half",
    "min(1e-3, exp((1 - x)**40))": "the losing branch overflows",
    "softplus(log(2 + sin(x)))": "functions of functions",
    "sigmoid(h3)*h2": "a product with polynomials",
    "(2 + cos(x))**-3": "a negative power",
    "x/sqrt(1 + x**2)": "a ratio with a root",
    "x**2*abs(x)**3/(1 + x**4)": "powers of abs",
    "exp(pi*log(abs(x)))/3": "SymPy makes a power of it",
    "tan(sin(x)/9 + pi/3)": "SymPy knows identities of tan",
    "cosh(x/3)/(1 + sinh(x/4)**2)": "a ratio of hyperbolic functions",
    "Heaviside(x - 1)*exp(-1/(x - 1))": "smooth: 0 times an overflow on the left",
    "h2*h3*h4 - 4*h9": "polynomials of several degrees share one recurrence",
    "erf(x)**40*erf(x)**31": "a power beyond those taken by squaring",
}
