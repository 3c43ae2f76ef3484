"""The text language: what it reads, what it refuses and how it says so, and that nothing can hurt it."""

from __future__ import annotations

import builtins
import string
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sympy import Rational

from emergence.problem import Activation
from emergence.problem.hermite_polynomials import h, hermite_value
from emergence.problem.numeric import mpmath_function, tail_size
from emergence.problem.parser import FUNCTIONS, MAX_CHARACTERS, MAX_HERMITE, parse, x

POINTS = np.array([-2.3, -0.7, 0.4, 1.9])

# text → why it is easy to get wrong, and the same function in NumPy
READ: dict[str, tuple[str, Callable[[np.ndarray], Any]]] = {
    " \n x\t+ 1 ": ("blanks", lambda z: z + 1),
    "--x": ("signs", lambda z: z),
    "2.*.5 + 1E-2*2.5e+1": ("forms of a number", lambda z: 1.25),
    "1 - 2 - 3": ("leans left", lambda z: -4),
    "8/4/2 + 3*4": ("leans left; precedence", lambda z: 13),
    "2*(3 + 4)": ("parentheses", lambda z: 14),
    "-x**2": ("the power binds first", lambda z: -(z**2)),
    "2**3**2": ("leans right", lambda z: 512),
    "x**-0 + 1": ("a power of zero", lambda z: 2),
    "(1 + x**2)**-2": ("a negative power", lambda z: (1 + z**2) ** -2),
    "x**(1 + 1.0)": ("a power that is computed, an integer as a decimal", lambda z: z**2),
    "x**40*(x/3)**39*3**39": ("the highest degree but one, powers merged", lambda z: z**79),
    "pi*abs(x)": ("the only constant", lambda z: np.pi * np.abs(z)),
    "sign(x)": ("a jump", np.sign),
    "Heaviside(x)": ("a jump", lambda z: np.heaviside(z, 0.5)),
    "max(x, min(x**2, 1))": ("two arguments, nested", lambda z: np.maximum(z, np.minimum(z**2, 1))),
    "relu(relu(x))": ("simplified away", lambda z: np.maximum(z, 0)),
    "exp(x)": ("a function", np.exp),
    "log(1 + x**2)": ("a domain", lambda z: np.log1p(z**2)),
    "sqrt(x**2)": ("a domain; simplified", np.abs),
    "sin(x)": ("a function", np.sin),
    "cos(x)": ("a function", np.cos),
    "tan(sin(x)/9 + pi/3)": ("SymPy has identities", lambda z: np.tan(np.sin(z) / 9 + np.pi / 3)),
    "sinh(x)": ("a function", np.sinh),
    "cosh(x)": ("a function", np.cosh),
    "tanh(x)": ("a function", np.tanh),
    "erf(x)": ("a function", lambda z: np.array([float(mpmath.erf(v)) for v in z])),
    "sigmoid(x)": ("written with tanh", lambda z: 1 / (1 + np.exp(-z))),
    "softplus(x)": ("written with max", lambda z: np.log1p(np.exp(z))),
    "gelu(x)": ("written with erf", lambda z: z * np.array([float(mpmath.ncdf(v)) for v in z])),
    "exp(x*log(2))": ("a power of 2", lambda z: 2**z),
    "exp(pi*log(abs(x)))": ("SymPy makes a power of it", lambda z: np.abs(z) ** np.pi),
    "cos(10**30)*x": ("an integer beyond 64 bits", lambda z: np.cos(1e30) * z),
    "h3 - h1*h2 + h0": ("products of polynomials", lambda z: (z**3 - 3 * z) / 6**0.5 - z * (z**2 - 1) / 2**0.5 + 1),
}


@pytest.mark.parametrize("text", READ, ids=ascii)
def test_text_means_what_numpy_computes(text: str) -> None:
    values = Activation(text)(POINTS)
    expected = np.broadcast_to(READ[text][1](POINTS), POINTS.shape)
    assert values == pytest.approx(expected, rel=1e-13, abs=1e-15)  # a dozen roundings


def test_every_function_has_a_row() -> None:
    assert all(any(f"{name}(" in text for text in READ) for name in FUNCTIONS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1 + 1e-3", Rational(101, 1000)),  # not the nearest double
        ("10**20 + 1", sympy.Integer(10**20 + 1)),
        ("sqrt(2)**2", sympy.Integer(2)),
        ("h4 + h6/2", h(4, x) + h(6, x) / 2),
        ("x*x/x", x),
        ("abs(-3*x)", 3 * sympy.Abs(x)),
        ("max(x, max(1, x))", sympy.Max(1, x)),
    ],
)
def test_numbers_are_exact_and_short_forms_merge(text: str, expected: sympy.Expr) -> None:
    assert parse(text) == expected


def test_shorthand_is_the_normalised_polynomial() -> None:
    assert all(parse(f"h{k}") == h(k, x) for k in range(MAX_HERMITE + 1))
    for k in (2, 3, 17, 40):
        assert Activation(f"h{k}")(POINTS) == pytest.approx(hermite_value(k, POINTS), rel=1e-13, abs=1e-13)


# text → what the one-sentence message must name
REFUSED: dict[str, list[tuple[Any, str]]] = {
    "nothing there, or no text": [(" \t\n", "empty"), (None, "NoneType"), (4, "int"), (x, "Symbol")],
    "unknown names": [("y", "'y'"), ("X", "'X'"), ("inf", "'inf'"), ("floor(x)", "'floor'")],
    "h of another degree": [("h", "'h'"), ("h41", "'h41'"), ("h04", "'h04'"), ("h-1", "'h'"), ("h4(x)", "'h4'")],
    "arguments": [
        ("abs + 1", "write abs(…)"),
        ("abs()", "abs takes 1 argument"),
        ("max(x)", "max takes 2 arguments"),
        ("Heaviside(x, 1)", "Heaviside takes 1 argument"),
        ("abs(x=1)", "'abs(x=1)'"),
        ("abs(*x)", "'abs(*x)'"),
        ("(abs)(x)(x)", "'(abs)(x)(x)'"),
        ("pi(x)", "'pi'"),
    ],
    "Python beyond arithmetic": [
        ("x.__class__", "'x.__class__'"),
        ("x[0]", "'x[0]'"),
        ("x,", "not allowed"),
        ("{x: 1}", "'{x: 1}'"),
        ("lambda: x", "'lambda: x'"),
        ("x if x else 1", "'x if x else 1'"),
        ("[x for x in x]", "'[x for x in x]'"),
        ("x < 1", "'x < 1'"),
        ("~x", "'~x'"),
        ("x // 2", "'x // 2'"),
        ("x ^ 2", "write **"),
        ("(y := x)", "'y := x'"),
        ("__import__('os').system('true')", "not allowed"),
        ("eval('x')", "'eval'"),
    ],
    "no expression": [("y = x", "cannot read"), ("2x", "cannot read"), ("(x", "cannot read"), ("x\\", "cannot read")],
    "characters": [
        ("x # note", "'#'"),
        ("x\ny", "'\\n'"),
        ("x\x00", "'\\x00'"),
        ("x²", "'²'"),
        ("ｘ", "'ｘ'"),  # full width: Python itself would read it as x
        ("x\u200b", "'\\u200b'"),
        ("\ud800", "'\\ud800'"),
    ],
    "constants that are no plain numbers": [
        ("True", "'True'"),
        ("...", "'...'"),
        ("'x'", "not a number"),
        ("1j*x", "'1j'"),
        ("0x10", "'0x10'"),
        ("1_000", "'1_000'"),
        ("007", "cannot read"),
    ],
    "numbers beyond a double": [
        ("1e400", "'1e400'"),
        ("1e-400", "'1e-400'"),
        ("1e999999999", "'1e999999999'"),  # before it is built
        ("1" + "0" * 400, "too large"),
        ("1e300*1e300", "too large"),
        ("sinh(1e8)*x + abs(sinh(1e8))", "too large"),
        ("max(exp(exp(exp(100))), 1)", "too large"),
    ],
    "powers": [
        ("x**41", "'x**41'"),
        ("x**-41", "'x**-41'"),
        ("x**(1/2)", "'x**(1/2)'"),
        ("2**x", "'2**x'"),
        ("9**9**9**9", "'9**9**9'"),
        ("(x**40)**40", "degree"),
        ("x**40*x**40*x", "degree"),
        ("h40*h40*x", "degree"),
        ("(1 + x**2)**-40/(1 + x**2)", "degree"),
        ("((cos(x)**40)**40)**2", "power"),
    ],
    "zero and undefined constants": [
        ("x/0", "'x/0' divides by zero"),
        ("1/(x - x)", "divides by zero"),
        ("(x - x)**-2", "divides by zero"),
        ("log(0)", "'log(0)'"),
        ("sqrt(-1)", "'sqrt(-1)'"),
        ("tan(pi/2)", "'tan(pi/2)'"),
        ("sqrt(1 - exp(1))*x", "1 - E"),
    ],
    "size": [
        ("(" * 31 + "x" + ")" * 31, "nested deeper than 30"),
        ("-" * 31 + "x", "nested deeper than 30"),
        ("x**" * 40 + "1", "nested deeper than 30"),
        ("gelu(" * 8 + "x" + ")" * 8, "terms"),
        ("cos(pi/" * 20 + "7" + ")" * 20, "constant"),
        ("x" * (MAX_CHARACTERS + 1), "501 characters"),
    ],
}


@pytest.mark.parametrize("why", REFUSED)
def test_anything_else_is_refused_by_name(why: str) -> None:
    for text, fragment in REFUSED[why]:
        with pytest.raises(ValueError) as refusal:
            Activation(text)
        message = str(refusal.value)
        assert fragment in message
        assert message.count("\n") == 0 and not message.endswith("."), "one sentence, one line"


@pytest.mark.parametrize(
    "text",
    [
        "x" + " " * (MAX_CHARACTERS - 3) + "+1",
        "(" * 30 + "x" + ")" * 30,
        "abs(" * 30 + "x" + ")" * 30,
        "+".join(["x"] * 250),  # long is not deep
        "(1 + abs(x))**-40",
        "h40*h40",
        "(cos(x)**40)**40",
        "1e300/1e300*x",
        "softplus(" * 6 + "x" + ")" * 6,
    ],
    ids=lambda text: text[:30],
)
def test_limits_themselves_are_allowed(text: str) -> None:
    assert np.isfinite(Activation(text)(POINTS)).all()


# No text takes long: what could is refused before any work, or left as it stands.


def test_sympy_leaves_long_expressions_as_they_stand() -> None:
    """It can take minutes over them.  Short ones are simplified (above)."""
    long, hyperbolic = "x + h3/7 + pi*x**2 + 5*cos(x) + sin(3*x)", "x + h3/7 + pi*x**2 + 5*cosh(x) + sinh(3*x)"
    assert parse(f"abs(-({long}))").args == (-parse(long),)
    assert parse(f"exp(log(1 + ({long})**2))").func is sympy.exp
    assert parse(f"({long}) + ({long})") == 2 * parse(long), "sums of others are easy"
    assert parse(f"({hyperbolic}) + ({hyperbolic})").args == (parse(hyperbolic), parse(hyperbolic))
    assert parse(f"({hyperbolic})*({hyperbolic})").args == (parse(hyperbolic), parse(hyperbolic))


@pytest.mark.parametrize(
    ("text", "size"), [("exp(exp(x))", mpmath.inf), ("exp(-exp(x))", 0), ("sin(exp(x))", 1), ("tanh(exp(x))", 1)]
)
def test_huge_arguments_count_as_infinite(text: str, size: Any) -> None:
    """mpmath would take minutes over the digits of exp(10^400)."""
    assert tail_size(parse(text))(1e3) == size


NASTY = {
    "poles without end": "/".join(f"sin(h{k})" for k in range(1, 41)),
    "breaks in every scan cell": "sign(sin(10000*x))",
    "a tower of powers": "((sin(x)**40 + 1)**40 + 1)**40",
    "digits": "sin(pi*12345/65537)*x + sqrt(" + "1234567" * 40 + ")",
    "a constant that is 0/0 for SymPy only": "1/(sqrt(2) + sqrt(3) - sqrt(5 + 2*sqrt(6)))",
    "a tail that looks harmless up to 53": "exp(exp(exp((x/53)**40)) - 8)",
    "found by random search": "gelu((sqrt((((x*x))**4*softplus((h40+h3)))))**3)",
    "found by random search, hyperbolic": (
        "sigmoid((2-(tanh(((((x)**-2*tanh(2))*((h3*1/3))**2)-cos((tanh(h40))**-2)))/((gelu((Heaviside(h2)-(2/h3)))"
        "*((pi*(h3*x))/softplus((x)**-1)))+gelu(1e-3)))))"
    ),
}


@pytest.mark.parametrize("why", NASTY)
def test_nasty_texts_are_taken_or_refused(why: str) -> None:
    """Each took SymPy or the scan for break points minutes once; a limit in the code ends it at once now."""
    try:
        sigma = Activation(NASTY[why])
        assert np.isfinite(sigma.second_moment)
        _ = sigma.irregularity, sigma.parity, sigma.information_exponent
    except ValueError as refusal:
        assert str(refusal)


def test_nothing_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("code was run")

    for text in ("__import__('os').abort()", "eval('1')", "exec('1')", "(lambda: exit())()", "x.__class__.__mro__"):
        with monkeypatch.context() as patch, pytest.raises(ValueError):
            patch.setattr(builtins, "eval", forbidden)
            patch.setattr(builtins, "exec", forbidden)
            parse(text)
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "eval", forbidden)
        patch.setattr(builtins, "exec", forbidden)
        sigma = parse("h4 + abs(x)/2")
    assert sigma == h(4, x) + sympy.Abs(x) / 2


def test_values_come_without_generated_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("code was generated")

    monkeypatch.setattr(sympy, "lambdify", forbidden)
    monkeypatch.setattr(sympy, "sympify", forbidden)
    assert Activation("softplus(x)*h4 + x/3")(0.0) == pytest.approx(np.log(2) * 3 / np.sqrt(24))


def reads_or_refuses(text: str) -> None:
    try:
        assert isinstance(parse(text), sympy.Expr)
    except ValueError as refusal:
        assert str(refusal) and "\n" not in str(refusal)


@given(st.text(max_size=60))
@settings(max_examples=60)
def test_any_text_is_read_or_refused(text: str) -> None:
    reads_or_refuses(text)


TOKENS = [
    *FUNCTIONS, *("(x)", "(", ")", ",", "x", "h3", "h40", "pi", "1", "0", "2.5", "1e3", "1e400"),
    *("-", "+", "*", "/", "**"),
    *(" ", "\t", ".", "[", "]", ":", "=", "<", "~", "'", "lambda", "if", "else", "not", "\\", "\n", "#", "_", "é"),
]  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS), max_size=40))
@settings(max_examples=200)
def test_any_run_of_tokens_is_read_or_refused(tokens: list[str]) -> None:
    reads_or_refuses("".join(tokens))


@given(st.sampled_from(list(READ)), st.integers(0, 40), st.sampled_from([*string.printable, "\x00", "²", "ｘ"]))
@settings(max_examples=150)
def test_a_slip_of_the_pen_is_read_or_refused(text: str, place: int, slip: str) -> None:
    place = min(place, len(text))
    reads_or_refuses(text[:place] + slip + text[place:])
    reads_or_refuses(text[:place] + text[place + 1 :])


# Random expressions with their meaning in extended precision, built side by side.

Meaning = Callable[[Any], Any]
Pair = tuple[str, Meaning]


def leaf() -> st.SearchStrategy[Pair]:
    number = st.integers(1, 20).map(lambda n: (f"{n}/8", lambda z: mpmath.mpf(n) / 8))
    hermite = st.integers(2, 6).map(lambda k: (f"h{k}", lambda z: hermite_value(k, z, mpmath.sqrt)))
    return st.one_of(st.just(("x", lambda z: z)), number, hermite)  # no pi: SymPy knows that sign(sin(pi)) is 0


ONE: dict[str, Meaning] = {
    "-(@)": lambda u: -u,
    "(@)**2": lambda u: u**2,
    "abs(@)": abs,
    "sign(@)": mpmath.sign,
    "Heaviside(@)": lambda u: (1 + mpmath.sign(u)) / 2,
    "relu(@)": lambda u: max(u, 0),
    "exp(-abs(@))": lambda u: mpmath.exp(-abs(u)),
    "log(1 + abs(@))": lambda u: mpmath.log(1 + abs(u)),
    "sqrt(abs(@))": lambda u: mpmath.sqrt(abs(u)),
    "sin(@)": mpmath.sin,
    "cos(@)": mpmath.cos,
    "tanh(@)": mpmath.tanh,
    "erf(@)": mpmath.erf,
    "sigmoid(@)": lambda u: (1 + mpmath.tanh(u / 2)) / 2,
    "softplus(@)": lambda u: max(u, 0) + mpmath.log1p(mpmath.exp(-abs(u))),
    "gelu(@)": lambda u: u * (1 + mpmath.erf(u / mpmath.sqrt(2))) / 2,
    "1/(1 + (@)**2)": lambda u: 1 / (1 + u**2),
}
TWO: dict[str, Callable[[Any, Any], Any]] = {
    "(@) + (&)": lambda u, v: u + v,
    "(@) - (&)": lambda u, v: u - v,
    "(@)*(&)": lambda u, v: u * v,
    "(@)/(2 + abs(&))": lambda u, v: u / (2 + abs(v)),
    "max(@, &)": max,
    "min(@, &)": min,
}


def grown(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    def one(name: str, part: Pair) -> Pair:
        return name.replace("@", part[0]), lambda z: ONE[name](part[1](z))

    def two(name: str, left: Pair, right: Pair) -> Pair:
        text = "".join({"@": left[0], "&": right[0]}.get(c, c) for c in name)
        return text, lambda z: TWO[name](left[1](z), right[1](z))

    return st.one_of(
        st.builds(one, st.sampled_from(list(ONE)), inner),
        st.builds(two, st.sampled_from(list(TWO)), inner, inner),
    )


EXPRESSIONS = st.recursive(leaf(), grown, max_leaves=8)


@given(EXPRESSIONS)
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
def test_random_expressions_keep_their_meaning(pair: Pair) -> None:
    """Simplification, break at most the last of 60 digits; 30 are asked for."""
    text, meaning = pair
    assume(len(text) <= MAX_CHARACTERS)
    try:
        function = mpmath_function(parse(text))
    except ValueError as refusal:
        assume("degree" not in str(refusal) and "terms" not in str(refusal) and "too large" not in str(refusal))
        raise
    with mpmath.workdps(60):
        for point in map(mpmath.mpf, ("-2.3", "-0.71", "0.4", "1.9")):
            expected = meaning(point)
            assert abs(function(point) - expected) <= mpmath.mpf(10) ** -30 * (1 + abs(expected)), text
