"""Problem, teacher, seeds: validation in one sentence each, and the law of the initial directions."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from activation_cases import CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import SeedSequence

from emergence.problem import Activation, Problem, Teacher, seed_stream
from emergence.problem.checks import nonnegative_integer, positive_integer, positive_number
from emergence.problem.seeds import CHECK, DATA, DIRECTIONS, generator

H4 = Activation("h4")
THREE = Teacher.power_law(3, beta=1.0)
IRREGULAR = [case for case in CASES if not case.is_regular]


def problem(**changes: Any) -> Problem:
    return Problem(**({"activation": H4, "teacher": THREE, "d": 8, "m": 4} | changes))


# Which activations can be learned


@pytest.mark.parametrize("case", IRREGULAR, ids=[case.name for case in IRREGULAR])
def test_irregular_ones_are_refused_even_when_centred(case: Case) -> None:
    with pytest.raises(ValueError, match=r"cannot be trained|no Hermite component"):
        problem(activation=Activation(case.text).high_pass(1))


@pytest.mark.parametrize(
    "text", ["abs(x)", "x*sign(x)", "(x**2 - 1)*Heaviside(x - 1)", "abs(x)*sqrt(abs(x))", "exp(x)", "sin(x)/x"]
)
def test_kinks_growth_and_removable_points_are_fine_once_centred(text: str) -> None:
    assert problem(activation=Activation(text).high_pass(1)).activation.second_moment > 0


@pytest.mark.parametrize(
    ("text", "cut", "fragment"),
    [
        ("Heaviside(x)", 1, "jumps at x = 0"),
        ("log(abs(x - 1))", 1, "E[σ'²] is infinite"),
        ("x*sin(1/x)", 1, "E[σ'²] is infinite"),
        ("sin(1e10*x)", 0, "varies too fast"),  # none but noise
        ("min(1e-3, exp((1 - x)**40))", 1, "no Hermite component"),  # flat wherever a Gaussian goes
        ("sin(500*x)*tanh(1000*x)", 0, "too fast"),
        ("x + 1e-6", 0, "c_0"),
        (
            "abs(x)",
            0,
            "c_0 = 0.797885, which the norms would run off to fit; centre it: remove degree 0 by a high-pass of 1",
        ),
        ("3", 0, "no Hermite component"),
        ("h2", 3, "no Hermite component"),
    ],
)
def test_refused_activations_say_why(text: str, cut: int, fragment: str) -> None:
    with pytest.raises(ValueError) as refusal:
        problem(activation=Activation(text, cut))
    assert fragment in str(refusal.value) and "\n" not in str(refusal.value)


# Validation of everything else


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"activation": "h4"}, "`activation` must be an Activation, but is 'h4'"),
        ({"teacher": [1.0]}, "`teacher` must be a Teacher, but is [1.0]"),
        ({"d": 2}, "`d` must be at least P = 3, but is 2"),
        ({"d": 0}, "`d` must be a positive integer, but is 0"),
        ({"d": 8.0}, "`d` must be a positive integer, but is 8.0"),
        ({"d": True}, "`d` must be a positive integer, but is True"),
        ({"d": np.array([8])}, "`d` must be a positive integer, but is array([8])"),
        ({"m": -3}, "`m` must be a positive integer, but is -3"),
        ({"m": 1.5}, "`m` must be a positive integer, but is 1.5"),
        ({"init_scale": 0}, "`init_scale` must be a positive number, but is 0"),
        ({"init_scale": math.inf}, "`init_scale` must be a positive number, but is inf"),
        ({"init_scale": math.nan}, "`init_scale` must be a positive number, but is nan"),
        ({"init_scale": True}, "`init_scale` must be a positive number, but is True"),
        ({"init_scale": 1e-101}, "`init_scale` must lie between 1e-100 and 1000, but is 1e-101"),
        ({"init_scale": 1001}, "`init_scale` must lie between 1e-100 and 1000, but is 1001"),
    ],
    ids=repr,
)
def test_each_violation_has_its_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as refusal:
        problem(**changes)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("name", ["init_scale", "d", "m", "P", "beta", "strengths"])
def test_numbers_beyond_all_bounds(name: str) -> None:
    """Never an OverflowError or a MemoryError."""
    huge = 10**400
    if name == "m":
        with pytest.raises(ValueError, match="do not fit in memory"):
            problem(m=10**12).initial_directions(0)
        with pytest.raises(ValueError, match=r"`m` must be at most 2\*\*53"):
            problem(m=huge)
        return
    with pytest.raises(ValueError, match=f"`{name}`"):
        if name in ("init_scale", "d"):
            problem(**{name: huge})
        elif name == "strengths":
            Teacher([huge])
        else:
            Teacher.power_law(**({"P": 3, "beta": 1.0} | {name: huge}))


def test_limits_themselves_are_allowed() -> None:
    assert problem(d=3).d == 3
    assert problem(m=1, d=np.int64(5)).d == 5
    assert type(problem(m=np.int32(2)).m) is int
    assert problem(init_scale=np.float32(0.5)).init_scale == 0.5
    assert problem(init_scale=1).init_scale == 1.0
    assert Problem(H4, Teacher([2.0]), d=1, m=1).a == pytest.approx([1.0])


def test_frozen_hashable_picklable() -> None:
    one = problem()
    with pytest.raises(FrozenInstanceError):
        one.d = 9  # type: ignore[misc]
    assert one == problem() and hash(one) == hash(problem())
    assert one != problem(m=5) != problem(m=6)
    assert replace(one, m=5) == problem(m=5)
    with pytest.raises(ValueError, match="`m` must be"):
        replace(one, m=0)
    _ = one.activation(1.0), one.activation.phi(0.5)
    assert pickle.loads(pickle.dumps(one)) == one
    one.a[0] = 9.0  # a copy
    assert one.a == pytest.approx(THREE.a)


def test_statement_is_json_and_states_the_problem() -> None:
    centred = problem(activation=Activation("abs(x)").high_pass(3), d=16, init_scale=0.01)
    stated = json.loads(json.dumps(centred.as_dict()))
    teacher = Teacher.power_law(stated["P"], stated["beta"])
    again = Problem(
        Activation(stated["activation"], stated["high_pass"]), teacher, stated["d"], stated["m"], stated["init_scale"]
    )
    assert again == centred
    assert stated["strengths"] == pytest.approx(list(centred.a), rel=1e-15)
    assert problem(teacher=Teacher([1, 2])).as_dict()["beta"] is None


# Teacher


@given(st.integers(1, 300), st.floats(0, 20))
@settings(max_examples=30)
def test_power_law(P: int, beta: float) -> None:
    teacher = Teacher.power_law(P, beta)
    a = teacher.a
    assert a.shape == (P,) and teacher.P == P and teacher.beta == beta
    assert np.sum(a**2) == pytest.approx(1.0, rel=1e-14)
    assert np.all(np.diff(a) <= 0)
    # exp(−β ln p) keeps β ln p · 1e-16
    assert a / a[0] == pytest.approx(np.arange(1, P + 1) ** -beta, rel=1e-13)


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=20).filter(lambda a: max(a) > 0))
@settings(max_examples=40)
def test_strengths_are_normalised_whatever_their_scale(strengths: list[float]) -> None:
    teacher = Teacher(strengths)
    assert np.sum(teacher.a**2) == pytest.approx(1.0, rel=1e-14)
    scaled = np.array(strengths) / max(strengths)
    assert teacher.a == pytest.approx(scaled / np.linalg.norm(scaled), rel=1e-14)
    assert Teacher(np.array(strengths) / max(strengths)).a == pytest.approx(teacher.a, rel=1e-14)
    assert Teacher(teacher.strengths).a == pytest.approx(teacher.a, rel=1e-15)


def test_known_strengths() -> None:
    assert Teacher([3, 4]).a == pytest.approx([0.6, 0.8], rel=1e-15)
    assert Teacher([0, 5, 0]).a == pytest.approx([0, 1, 0])
    assert Teacher([5e-324, 5e-324]).a == pytest.approx([math.sqrt(0.5)] * 2)
    assert Teacher([1e308] * 4).a == pytest.approx([0.5] * 4)
    assert Teacher.power_law(1, 7.5).a == pytest.approx([1.0])
    assert Teacher.power_law(4, 0).a == pytest.approx([0.5] * 4)
    assert Teacher.power_law(2, 1).a == pytest.approx(np.array([2, 1]) / math.sqrt(5), rel=1e-15)
    assert Teacher.power_law(10, 100).a[9] == pytest.approx(1e-100, rel=1e-12)


@pytest.mark.parametrize(
    ("strengths", "fragment"),
    [
        ([], "at least one number"),
        ([[1.0, 2.0]], "shape (1, 2)"),
        (3.0, "shape ()"),
        ([math.nan, 1], "must be finite, but holds nan"),
        ([math.inf, 1], "must be finite, but holds inf"),
        ([1, -0.5], "must not be negative, but holds -0.5"),
        ([0.0, 0], "must not all be zero"),
        (["1", "2"], "list of numbers"),
        (np.array([1 + 0j]), "list of numbers"),
        ([1, [2]], "list of numbers"),
        (None, "shape ()"),
    ],
    ids=repr,
)
def test_bad_strengths(strengths: Any, fragment: str) -> None:
    with pytest.raises(ValueError) as refusal:
        Teacher(strengths)
    assert str(refusal.value).startswith("`strengths` must") and fragment in str(refusal.value)


@pytest.mark.parametrize("P", [0, 2.0, True, 10**9])
def test_bad_number_of_directions(P: Any) -> None:
    with pytest.raises(ValueError, match="`P` must be"):
        Teacher.power_law(P, 1.0)


@pytest.mark.parametrize("beta", [-0.1, 100.5, math.nan, "1", True, np.complex64(1)])
def test_bad_exponent(beta: Any) -> None:
    with pytest.raises(ValueError, match="`beta` must be a number between 0 and 100"):
        Teacher.power_law(3, beta)


def test_teachers_compare_and_print() -> None:
    assert Teacher.power_law(3, 1) == THREE and hash(Teacher.power_law(3, 1.0)) == hash(THREE)
    assert Teacher([1, 2]) == Teacher([2, 4]) != Teacher([2, 1])
    assert repr(THREE) == "Teacher.power_law(P=3, beta=1.0)" and eval(repr(THREE)) == THREE
    assert eval(repr(Teacher([3, 4]))).a == pytest.approx([0.6, 0.8])
    assert pickle.loads(pickle.dumps(THREE)) == THREE
    with pytest.raises(FrozenInstanceError):
        THREE.beta = 2.0  # type: ignore[misc]


# Initial directions


def test_directions_are_unit_rows_and_reproducible() -> None:
    one = problem(d=11, m=7)
    rows = one.initial_directions(3)
    assert rows.shape == (7, 11)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(7), rel=1e-15)
    assert np.array_equal(rows, one.initial_directions(3))
    assert np.array_equal(rows, one.initial_directions(np.int64(3)))
    assert np.array_equal(rows, one.initial_directions(SeedSequence(3)))
    assert np.array_equal(rows, one.initial_directions(generator(3)))
    assert not np.array_equal(rows, one.initial_directions(4))
    stream = generator(3)
    assert not np.array_equal(one.initial_directions(stream), one.initial_directions(stream)), "a generator moves on"
    flat = problem(teacher=Teacher([1.0]), d=1, m=5).initial_directions(0)
    assert np.abs(flat) == pytest.approx(np.ones((5, 1)))


@pytest.mark.parametrize("seed", [-1, 1.5, None, True, np.random.RandomState(0)])
def test_bad_seeds(seed: Any) -> None:
    with pytest.raises(ValueError, match="`seed` must be a non-negative integer"):
        problem().initial_directions(seed)


def test_too_many_directions_are_refused_before_any_work() -> None:
    with pytest.raises(ValueError, match="do not fit in memory"):
        problem(d=10**9, m=10**3).initial_directions(0)


N, D = 40_000, 12  # rows and dimensions of the statistical tests below


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.concatenate([problem(d=D, m=N // 40).initial_directions(seed) for seed in range(40)])


def test_overlaps_have_the_sphere_s_moments(rows: np.ndarray) -> None:
    """n = 40,000 rows, 12 coordinates: r, r² and r_i r_j within 6.5 standard errors, which
    a correct sampler leaves once in 8e-11 · (12 + 12 + 66) = 7e-9."""
    assert np.abs(rows.mean(axis=0)) == pytest.approx(np.zeros(D), abs=6.5 * math.sqrt(1 / (D * N)))
    spread = math.sqrt(2 * (D - 1) / (D**2 * (D + 2)))  # standard deviation of r², Beta(1/2, (d − 1)/2)
    assert (rows**2).mean(axis=0) == pytest.approx(np.full(D, 1 / D), abs=6.5 * spread / math.sqrt(N))
    cross = (rows.T @ rows / N)[np.triu_indices(D, 1)]
    assert np.abs(cross) == pytest.approx(0 * cross, abs=6.5 * math.sqrt(1 / (D * (D + 2) * N)))


def test_squared_overlaps_follow_the_beta_law(rows: np.ndarray) -> None:
    """Kolmogorov–Smirnov, n = 40,000 each: a coordinate, a generic direction, half the
    squared length; p > 1e-9, so a false alarm once in 3e8 runs."""
    direction = np.random.default_rng(5).standard_normal(D)
    generic = rows @ (direction / np.linalg.norm(direction))
    for sample, law in (
        (rows[:, 0] ** 2, scipy.stats.beta(0.5, (D - 1) / 2)),
        (generic**2, scipy.stats.beta(0.5, (D - 1) / 2)),
        (np.sum(rows[:, : D // 2] ** 2, axis=1), scipy.stats.beta(D / 4, D / 4)),
    ):
        assert scipy.stats.kstest(sample, law.cdf).pvalue > 1e-9


def test_rows_and_seeds_are_independent(rows: np.ndarray) -> None:
    """Inner products of neighbours and of rows 1,000 apart (another seed): n = 20,000 pairs each;
    mean 0, second moment 1/d and the Beta law, at 6.5 standard errors and p > 1e-9."""
    for partner in (np.roll(rows, 1, axis=0), np.roll(rows, 1000, axis=0)):
        inner = np.sum(rows * partner, axis=1)[::2]
        assert abs(inner.mean()) < 6.5 * math.sqrt(1 / (D * len(inner)))
        assert scipy.stats.kstest(inner**2, scipy.stats.beta(0.5, (D - 1) / 2).cdf).pvalue > 1e-9


# Given directions


def test_given_directions_are_normalised() -> None:
    one = problem(d=20)
    rows = np.random.default_rng(0).standard_normal((4, 20))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    for scale in (1e-300, 1e-3, 1.0, 7.0, 1e300):
        checked = one.checked_directions(scale * rows)
        assert checked == pytest.approx(unit, rel=1e-14)
    assert one.checked_directions(rows.tolist()) == pytest.approx(unit, rel=1e-15)
    assert one.checked_directions(np.eye(4, 20, dtype=int)).dtype == np.float64
    kept = rows.copy()
    one.checked_directions(rows)
    assert np.array_equal(kept, rows), "the caller's array is left alone"


@pytest.mark.parametrize(
    ("directions", "fragment"),
    [
        (np.ones((4, 19)), "shape (m, d) = (4, 20), but has (4, 19)"),
        (np.ones(20), "shape"),
        (1.0, "shape"),
        (np.full((4, 20), math.nan), "must be finite"),
        (np.diag([1, 1, 0, 1]) @ np.eye(4, 20), "row 2 of `directions` is zero"),
        (np.ones((4, 20), complex), "array of numbers"),
        ([[1] * 20, [1] * 19, [1] * 20, [1] * 20], "array of numbers"),
        (None, "shape"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else None,
)
def test_bad_given_directions(directions: Any, fragment: str) -> None:
    with pytest.raises(ValueError) as refusal:
        problem(d=20).checked_directions(directions)
    assert "`directions`" in str(refusal.value) and fragment in str(refusal.value)


@pytest.mark.parametrize("d", [3, 7, 8, 50])
def test_coordinates_keep_every_inner_product(d: int) -> None:
    one = problem(d=d)
    rows = one.initial_directions(1)
    short = one.coordinates(rows)
    assert short.shape == (4, min(d, 3 + 4))
    assert short[:, :3] == pytest.approx(rows[:, :3], abs=1e-15)  # overlaps with the teacher
    assert short @ short.T == pytest.approx(rows @ rows.T, abs=1e-14)
    assert np.array_equal(one.coordinates(short), short)
    assert one.checked_directions(short) == pytest.approx(short, abs=1e-15)


# Seeds and checks


def test_streams_are_reproducible_and_differ() -> None:
    draws = {
        (seed, index, purpose): generator(seed_stream(seed, index, purpose)).standard_normal(4).tobytes()
        for seed in (0, 1, 2**40)
        for index in (0, 1, 7)
        for purpose in (DIRECTIONS, DATA, CHECK)
    }
    assert len(set(draws.values())) == len(draws)
    assert draws[1, 7, DATA] == generator(seed_stream(1, 7, DATA)).standard_normal(4).tobytes()
    assert generator(seed_stream(1, 0, DATA)).standard_normal(4).tobytes() != generator(1).standard_normal(4).tobytes()


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1), (0, 1.0), (True, 0)])
def test_bad_streams(seed: Any, index: Any) -> None:
    with pytest.raises(ValueError, match=r"`(seed|index)` must be a non-negative integer"):
        seed_stream(seed, index, DATA)


def test_checks_return_plain_python_numbers() -> None:
    assert type(positive_integer("n", np.uint8(3))) is int
    assert type(nonnegative_integer("n", np.int64(0))) is int
    assert type(positive_number("x", np.float32(0.5))) is float
    assert positive_number("x", 10**300) == 1e300
