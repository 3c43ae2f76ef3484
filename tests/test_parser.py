"""The text language: what it reads, what it refuses and how it says so, and that nothing can hurt it."""

from __future__ import annotations

import builtins
import string
import time
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
from emergence.problem.numeric import mpmath_function
from emergence.problem.parser import FUNCTIONS, MAX_CHARACTERS, MAX_HERMITE, parse, x

POINTS = np.array([-2.3, -0.7, 0.4, 1.9])

# text → the same function in NumPy
READ: dict[str, Callable[[np.ndarray], Any]] = {
    "x": lambda z: z,
    "pi*x": lambda z: np.pi * z,
    " x\t+ 1 ": lambda z: z + 1,
    "\n x \n": lambda z: z,
    "-x": lambda z: -z,
    "+x": lambda z: z,
    "--x": lambda z: z,
    "2": lambda z: 2,
    "2.": lambda z: 2,
    ".5": lambda z: 0.5,
    "1e2": lambda z: 100,
    "1E-2": lambda z: 0.01,
    "2.5e+1": lambda z: 25,
    "1 - 2 - 3": lambda z: -4,
    "8/4/2": lambda z: 1,
    "2*3 + 4": lambda z: 10,
    "2 + 3*4": lambda z: 14,
    "2*(3 + 4)": lambda z: 14,
    "-x**2": lambda z: -(z**2),
    "(-x)**2": lambda z: z**2,
    "2**3**2": lambda z: 512,
    "x**-0 + 1": lambda z: 2,
    "(1 + x**2)**-2": lambda z: (1 + z**2) ** -2,
    "x**(1 + 1)": lambda z: z**2,
    "x**4.0": lambda z: z**4,
    "-x/-2": lambda z: z / 2,
    "abs(x)": np.abs,
    "sign(x)": np.sign,
    "Heaviside(x)": lambda z: np.heaviside(z, 0.5),
    "max(x, 1)": lambda z: np.maximum(z, 1),
    "min(x, 1)": lambda z: np.minimum(z, 1),
    "relu(x)": lambda z: np.maximum(z, 0),
    "exp(x)": np.exp,
    "log(1 + x**2)": lambda z: np.log1p(z**2),
    "sqrt(x**2)": np.abs,
    "sqrt(1 + x**2)": lambda z: np.hypot(1, z),
    "sin(x)": np.sin,
    "cos(x)": np.cos,
    "tan(sin(x))": lambda z: np.tan(np.sin(z)),
    "tan(sin(x)/9 + pi/3)": lambda z: np.tan(np.sin(z) / 9 + np.pi / 3),
    "sinh(x)": np.sinh,
    "cosh(x)": np.cosh,
    "tanh(x)": np.tanh,
    "erf(x)": lambda z: np.array([float(mpmath.erf(v)) for v in z]),
    "sigmoid(x)": lambda z: 1 / (1 + np.exp(-z)),
    "softplus(x)": lambda z: np.log1p(np.exp(z)),
    "gelu(x)": lambda z: z * np.array([float(mpmath.ncdf(v)) for v in z]),
    "exp(x*log(2))": lambda z: 2**z,
    "exp(pi*log(abs(x)))": lambda z: np.abs(z) ** np.pi,
    "cos(10**30)*x": lambda z: np.cos(1e30) * z,  # an integer beyond 64 bits
    "h0": lambda z: 1,
    "h1": lambda z: z,
    "h2": lambda z: (z**2 - 1) / np.sqrt(2),
    "h3 - h1*h2": lambda z: (z**3 - 3 * z) / np.sqrt(6) - z * (z**2 - 1) / np.sqrt(2),
    "relu(relu(x))": lambda z: np.maximum(z, 0),
}


@pytest.mark.parametrize("text", READ)
def test_text_means_what_numpy_computes(text: str) -> None:
    values = Activation(text)(POINTS)
    expected = np.broadcast_to(READ[text](POINTS), POINTS.shape)
    assert values == pytest.approx(expected, rel=1e-13, abs=1e-15)  # a dozen roundings


def test_every_function_has_a_row() -> None:
    assert all(any(f"{name}(" in text for text in READ) for name in FUNCTIONS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", Rational(1, 10)),
        ("1e-3", Rational(1, 1000)),
        ("1.50", Rational(3, 2)),
        ("3/7", Rational(3, 7)),
        ("10**20 + 1", sympy.Integer(10**20 + 1)),
        ("sqrt(2)**2", sympy.Integer(2)),
        ("pi", sympy.pi),
        ("h4 + h6/2", h(4, x) + h(6, x) / 2),
        ("x*x/x", x),
        ("sqrt(x**2)", sympy.Abs(x)),
        ("abs(-3*x)", 3 * sympy.Abs(x)),
        ("max(x, max(1, x))", sympy.Max(1, x)),
        ("relu(x)", sympy.Max(0, x)),
    ],
)
def test_numbers_are_exact_and_short_forms_merge(text: str, expected: sympy.Expr) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("k", range(MAX_HERMITE + 1))
def test_shorthand_is_the_normalised_polynomial(k: int) -> None:
    assert parse(f"h{k}") == h(k, x)
    assert Activation(f"h{k}")(POINTS) == pytest.approx(hermite_value(k, POINTS), rel=1e-13, abs=1e-13)


# text → what the one-sentence message must name
REFUSED: list[tuple[Any, str]] = [
    ("", "empty"),
    (" \t\n", "empty"),
    (None, "NoneType"),
    (4, "int"),
    (b"x", "bytes"),
    (["x"], "list"),
    ("y", "'y'"),
    ("X", "'X'"),
    ("e", "'e'"),
    ("inf", "'inf'"),
    ("nan", "'nan'"),
    ("h", "'h'"),
    ("h41", "'h41'"),
    ("h04", "'h04'"),
    ("h-1", "'h'"),
    ("h4(x)", "'h4'"),
    ("h99999999999999999999", "'h99999999999999999999'"),
    ("abs", "write abs(…)"),
    ("abs + 1", "write abs(…)"),
    ("exp(gamma(x))", "'gamma'"),
    ("floor(x)", "'floor'"),
    ("abs()", "abs takes 1 argument"),
    ("abs(x, x)", "abs takes 1 argument"),
    ("max(x)", "max takes 2 arguments"),
    ("min(x, 1, 2)", "min takes 2 arguments"),
    ("max(" + ",".join(["x"] * 200) + ")", "max takes 2 arguments"),
    ("abs(x=1)", "'abs(x=1)'"),
    ("abs(*x)", "'abs(*x)'"),
    ("abs(**x)", "'abs(**x)'"),
    ("Heaviside(x, 1)", "Heaviside takes 1 argument"),
    ("(abs)(x)(x)", "'(abs)(x)(x)'"),
    ("x(1)", "'x'"),
    ("pi(x)", "'pi'"),
    ("x.real", "'x.real'"),
    ("x.__class__", "'x.__class__'"),
    ("x[0]", "'x[0]'"),
    ("[x]", "'[x]'"),
    ("{x}", "'{x}'"),
    ("{x: 1}", "'{x: 1}'"),
    ("x,", "not allowed"),
    ("(x, 1)", "'(x, 1)'"),
    ("lambda: x", "'lambda: x'"),
    ("x if x else 1", "'x if x else 1'"),
    ("[x for x in x]", "'[x for x in x]'"),
    ("x and x", "'x and x'"),
    ("not x", "'not x'"),
    ("x < 1", "'x < 1'"),
    ("x == 1", "'x == 1'"),
    ("~x", "'~x'"),
    ("x // 2", "'x // 2'"),
    ("x % 2", "'x % 2'"),
    ("x @ x", "'x @ x'"),
    ("x << 2", "'x << 2'"),
    ("x | 1", "'x | 1'"),
    ("x ^ 2", "write **"),
    ("(y := x)", "'y := x'"),
    ("y = x", "cannot read"),
    ("x; x", "cannot read"),
    ("import os", "cannot read"),
    ("await x", "'await x'"),
    ("x y", "cannot read"),
    ("2x", "cannot read"),
    ("x +", "cannot read"),
    ("* x", "cannot read"),
    ("(x", "cannot read"),
    ("x)", "cannot read"),
    ("x(", "cannot read"),
    ("x\\", "cannot read"),
    ("x # note", "'#'"),
    ("x\ny", "'\\n'"),
    ("x\x00", "'\\x00'"),
    ("\x00", "'\\x00'"),
    ("x\x7f", "'\\x7f'"),
    ("x²", "'²'"),
    ("π*x", "'π'"),
    ("σ", "'σ'"),
    ("ｘ", "'ｘ'"),  # full width: Python itself would read it as x
    ("h４", "'４'"),
    ("x − 1", "'−'"),
    ("x\u200b", "'\\u200b'"),
    ("\ud800", "'\\ud800'"),
    ("True", "'True'"),
    ("None*x", "'None'"),
    ("...", "'...'"),
    ("'x'", "not a number"),
    ("b'x'", "not a number"),
    ("f'{x}'", "not allowed"),
    ("1j*x", "'1j'"),
    ("0x10", "'0x10'"),
    ("0b1", "'0b1'"),
    ("0o7", "'0o7'"),
    ("1_000", "'1_000'"),
    ("007", "cannot read"),
    ("1e400", "'1e400'"),
    ("1e-400", "'1e-400'"),
    ("1e999999999", "'1e999999999'"),
    ("1" + "0" * 400, "too large"),
    ("1e300*1e300", "too large"),
    ("2**40**1*2**1e3", "'2**1e3'"),
    ("x**41", "'x**41'"),
    ("x**-41", "'x**-41'"),
    ("x**0.5", "'x**0.5'"),
    ("x**(1/2)", "'x**(1/2)'"),
    ("x**x", "'x**x'"),
    ("2**x", "'2**x'"),
    ("x**pi", "'x**pi'"),
    ("9**9**9**9", "'9**9**9'"),
    ("(x**40)**40", "degree"),
    ("x**40*x**41", "'x**41'"),
    ("x**40*x**40*x", "degree"),
    ("h40*h40*x", "degree"),
    ("(1 + x**2)**-40/(1 + x**2)", "degree"),
    ("((cos(x)**40)**40)**2", "power"),
    ("1/0", "'1/0' divides by zero"),
    ("x/0", "'x/0' divides by zero"),
    ("1/(x - x)", "divides by zero"),
    ("0**-1", "divides by zero"),
    ("(x - x)**-2", "divides by zero"),
    ("log(0)", "'log(0)'"),
    ("log(-1)", "'log(-1)'"),
    ("sqrt(-1)", "'sqrt(-1)'"),
    ("tan(pi/2)", "'tan(pi/2)'"),
    ("sqrt(1 - exp(1))*x", "1 - E"),
    ("__import__('os').system('true')", "not allowed"),
    ("__import__('os')", "'__import__'"),
    ("eval('x')", "'eval'"),
    ("exp.__globals__", "not allowed"),
    ("(" * 31 + "x" + ")" * 31, "nested deeper than 30"),
    ("abs(" * 31 + "x" + ")" * 31, "nested deeper than 30"),
    ("-" * 31 + "x", "nested deeper than 30"),
    ("+" * 499 + "x", "nested deeper than 30"),
    ("x**" * 40 + "1", "nested deeper than 30"),
    ("(" * 250 + ")" * 250, "nested deeper than 30"),
    ("gelu(" * 8 + "x" + ")" * 8, "terms"),
    ("softplus(" * 12 + "x" + ")" * 12, "terms"),
    ("cos(pi/" * 20 + "7" + ")" * 20, "constant"),
    ("sinh(1e8)*x + abs(sinh(1e8))", "too large"),
    ("x" * (MAX_CHARACTERS + 1), "501 characters"),
]


@pytest.mark.parametrize(("text", "fragment"), REFUSED, ids=lambda value: ascii(value)[:40])
def test_anything_else_is_refused_by_name(text: Any, fragment: str) -> None:
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
        "-" * 30 + "x",
        "+".join(["x"] * 250),  # long is not deep
        "*".join(["x"] * 80),
        "x**40",
        "(1 + abs(x))**-40",
        "x**40*x**40/1e60",
        "h40*h40",
        "(cos(x)**40)**40",
        "1e300/1e300*x",
        "2**40**1*x",
        "softplus(" * 6 + "x" + ")" * 6,
    ],
    ids=lambda text: text[:30],
)
def test_limits_themselves_are_allowed(text: str) -> None:
    assert np.isfinite(Activation(text)(POINTS)).all()


def join(operator: str, piece: str, count: int) -> str:
    """``piece`` for k = 1 … count joined, but never beyond the character limit."""
    out = piece.replace("@", "1")
    for k in range(2, count + 1):
        longer = f"{out}{operator}{piece.replace('@', str(k))}"
        if len(longer) > MAX_CHARACTERS:
            return out
        out = longer
    return out


def nest(piece: str, core: str = "x", times: int = 29) -> str:
    """``piece`` with @ replaced by itself, never beyond the character limit."""
    out = core
    for _ in range(times):
        longer = piece.replace("@", out)
        if len(longer) > MAX_CHARACTERS:
            return out
        out = longer
    return out


NASTY = [
    "9**9**9**9",
    *(nest(f"{name}(@)") for name in FUNCTIONS if name not in ("max", "min")),
    nest("sqrt(sigmoid(@))", times=14),
    nest("log(sigmoid(@))", times=14),
    nest("softplus(cos(@))", times=14),
    nest("max(@, x*2)"),
    nest("max(abs(@), min(x, @))"),
    nest("max(@, -(@))"),
    nest("abs(abs(x) - @)"),
    nest("(@)*(@ + 1)"),
    nest("sin(@)*cos(@)"),
    nest("1/(1 + (@)**2)"),
    nest("sqrt(2 + @)", "2"),
    nest("cos(pi/(@))", "7"),
    nest("(@)**40", "cos(x)"),
    nest("(@)**40", "1 + sqrt(2)"),
    nest("(@ + 1)**40", "sin(x)"),
    nest("tan(@) + x"),
    join("+", "h@", 40),
    join("*", "h@", 12),
    join("*", "sin(@*x)", 60),
    join("/", "sin(h@)", 40),
    join("/", "cosh(h@)", 40),
    join("+", "tan(h@)", 40),
    join("+", "softplus(h@)", 40),
    join("*", "(x - @)", 80),
    join("*", "abs(x - @)", 60),
    join("+", "1/(x - @)", 60),
    join("-", "abs(x - @)", 60),
    join("*", "exp(x/@)", 60),
    "((x + 1)**2 + 1)**40",
    "(sin(x) + cos(x))**40",
    "((tanh(x) + x)**3 + h3)**9",
    "((sin(x)**40 + 1)**40 + 1)**40",
    "exp(exp(exp(exp(100))))",
    "max(exp(exp(100)), 1)",
    "abs(x - exp(exp(exp(3))))",
    "sin(exp(x**2/4))",
    "exp(exp(exp((x/53)**40)) - 8)",
    "sin(1e300*x)",
    "sign(sin(10000*x))",
    "abs(sin(1000*x))",
    "1/(sqrt(2) + sqrt(3) - sqrt(5 + 2*sqrt(6)))",
    "max(sin(1)**2 + cos(1)**2, 1)*x",
    "softplus(gelu(sinh(1e8)))",
    "sqrt(" + "1234567" * 40 + ")*x",
    "log(" + "1234567" * 40 + ")*x",
    "cos(pi/" + "9" * 300 + ")*x",
    "sin(pi*12345/65537)*x",
    "x*" + "9" * 480,
    # found by random search: each took SymPy from five seconds to minutes
    "(max(x,tanh((sin((sin((h40*1e-3)))**-1)+((0.1+min((x*-x),pi))/softplus(relu((h3+x)))))))*1/3)",
    "sigmoid((2-(tanh(((((x)**-2*tanh(2))*((h3*1/3))**2)-cos((tanh(h40))**-2)))/((gelu((Heaviside(h2)-(2/h3)))"
    "*((pi*(h3*x))/softplus((x)**-1)))+gelu(1e-3)))))",
    "exp(min((tanh(-x)*min((min(sigmoid((x)**-1),sqrt((10)**40))+(cos(h3)*((0.1+1)*1e-3))),(((sqrt(1e-3)+softplus(x))"
    "*Heaviside((x/3/7))))**-2)),(gelu(erf(max(exp((x+x)),sigmoid(min(0.1,1)))))+0.1)))",
    "gelu((sqrt((((x*x))**4*softplus((h40+h3)))))**3)",
]


@pytest.mark.parametrize("text", NASTY, ids=lambda text: text[:40])
def test_no_text_takes_long(text: str) -> None:
    """Two seconds are promised; 5 s of processor time leave room for a slow machine (most take 0.1 s)."""
    assert len(text) <= MAX_CHARACTERS
    start = time.process_time()
    try:
        sigma = Activation(text)
        _ = sigma.irregularity, sigma.parity, sigma.information_exponent, sigma.name
    except ValueError as refusal:
        assert str(refusal)
    assert time.process_time() - start < 5


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
@settings(max_examples=300)
def test_any_text_is_read_or_refused(text: str) -> None:
    reads_or_refuses(text)


TOKENS = [
    *FUNCTIONS, *("(x)", "(", ")", ",", "x", "h3", "h40", "pi", "1", "0", "2.5", "1e3", "1e400"),
    *("-", "+", "*", "/", "**"),
    *(" ", "\t", ".", "[", "]", ":", "=", "<", "~", "'", "lambda", "if", "else", "not", "\\", "\n", "#", "_", "é"),
]  # fmt: skip


@given(st.lists(st.sampled_from(TOKENS), max_size=40))
@settings(max_examples=400)
def test_any_run_of_tokens_is_read_or_refused(tokens: list[str]) -> None:
    reads_or_refuses("".join(tokens))


@given(st.sampled_from(list(READ)), st.integers(0, 40), st.sampled_from([*string.printable, "\x00", "²", "ｘ"]))
@settings(max_examples=300)
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
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
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
