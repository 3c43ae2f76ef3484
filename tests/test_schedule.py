"""Step-size schedules: rates, sums, text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from emergence.problem import Activation, Constant, Piecewise, PowerDecay, Problem, Schedule, Teacher, parse_schedule
from emergence.problem.schedule import as_schedule
from emergence.simulate import Direct, Leap, Run, sgd

SCHEDULES = {
    "constant": Constant(0.3),
    "power 1/2": PowerDecay(0.3, 50, 0.5),
    "power 1": PowerDecay(0.3, 50, 1.0),
    "power 2": PowerDecay(0.3, 50, 2.0),
    "power 4": PowerDecay(0.3, 50, 4.0),
    "short power 1/2": PowerDecay(0.3, 0.4, 0.5),
    "short power 1": PowerDecay(0.3, 0.5, 1.0),
    "short power 4": PowerDecay(0.3, 1e-6, 4.0),
    "piecewise": Piecewise([(0, 0.3), (7, 0.1), (40, 0.02)]),
    "callable": as_schedule(lambda s: 0.3 / (1 + s)),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("power", [1, 2])
def test_sums_are_sums(name: str, power: int) -> None:
    schedule = SCHEDULES[name]
    steps = np.array([0, 1, 2, 7, 8, 39, 41, 1000])
    literal = np.array([np.sum(schedule.rate(np.arange(s)) ** power) for s in steps])
    # the next correction beyond step 64 is (g + 5)!/(g − 1)! 31/967680/(horizon + 64)⁶, g = exponent × power ≤ 8, of a
    # term that is (1 + 64/horizon)^−g of the first: 1e-11 at horizon 50 and g = 8; the rest is rounding
    np.testing.assert_allclose(schedule.sums(steps, power), literal, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(schedule.flow_time(steps), schedule.sums(steps, 1))


@pytest.mark.parametrize("schedule", [Constant(1e200), PowerDecay(1e200, 0.4, 0.5), Piecewise([(0, 1e-3), (5, 1e200)])])
def test_a_square_beyond_doubles_is_infinite(schedule: Schedule) -> None:
    with np.errstate(over="ignore"):
        assert schedule.sums(np.array([4, 7]), 2)[1] == np.inf
        assert np.isfinite(schedule.sums(np.array([4, 7]), 1)).all()
        assert schedule.sums(np.array([4]), 2)[0] == (4e-6 if isinstance(schedule, Piecewise) else np.inf)


@pytest.mark.parametrize("bad", [1e281, 1e-281])
def test_step_sizes_whose_sums_are_no_numbers(bad: float) -> None:
    for make in (Constant, lambda eta: PowerDecay(eta, 10, 1), lambda eta: Piecewise([(0, eta)])):
        with pytest.raises(ValueError, match="`step_size` must lie between 1e-280 and 1e"):
            make(bad)


@pytest.mark.parametrize("name", ["constant", "power 1/2", "piecewise"])
def test_the_repr_makes_the_schedule_again(name: str) -> None:
    names = {"Constant": Constant, "PowerDecay": PowerDecay, "Piecewise": Piecewise}
    assert eval(repr(SCHEDULES[name]), names) == SCHEDULES[name]


def test_texts() -> None:
    assert parse_schedule("constant", 0.1).text == Constant(0.1).text
    assert parse_schedule("power:1000:0.5", 0.1).text == PowerDecay(0.1, 1000, 0.5).text
    assert (
        parse_schedule("piecewise:1e3=0.05,5000=0.01", 0.1).text
        == Piecewise([(0, 0.1), (1000, 0.05), (5000, 0.01)]).text
    )


BAD = ["", "linear", "power", "power:1", "power:a:b", "power:10:-1", "piecewise:", "piecewise:5", "constant:3"]
BAD += ["power:1e-7:1", "piecewise:5=0.1,5=0.2", "piecewise:5=-1", "piecewise:0=0.2"]


@pytest.mark.parametrize("text", BAD)
def test_bad_texts(text: str) -> None:
    with pytest.raises(ValueError, match="schedule"):
        parse_schedule(text, 0.1)


@pytest.mark.parametrize(
    "bad", [lambda s: s * 0.0, lambda s: "fast", lambda s: [1.0, 2.0], lambda s: np.full(len(s), np.nan)]
)
def test_bad_callables(bad) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="callable"):
        as_schedule(bad)


PROBLEM = Problem(Activation("h4"), Teacher.power_law(2, 1.0), d=8, m=3, init_scale=0.1)


@pytest.mark.parametrize(
    ("bad", "samples"),
    [
        (lambda s: 1e-5 * (1 - s / 1000.0), 2000),
        (lambda s: 1e-5 * (1 - s / 1000.0), 1001),  # 0 at the last step
        (lambda s: math.sqrt(1000 - s) if s < 1000 else "none", 2000),
        (lambda s: math.sqrt(1e3 - s), 10**12),
        (lambda s: np.where(s < 10**15, 1e-9, np.inf), 9 * 10**18),
        (lambda s: np.full(4, 1e-5), 100),
    ],
)
def test_a_callable_is_tried_along_the_run_before_any_work(bad, samples: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="a step-size callable must map"):
        Run(PROBLEM, bad, samples, sampler=Leap())


def test_a_callable_may_end_with_the_run_and_no_step_is_taken_past_a_rate_that_is_none() -> None:
    ends = lambda s: 1e-5 * (1 - s / 1000.0)  # noqa: E731
    assert sgd(PROBLEM, ends, 1000, records=2, sampler=Direct("numpy")).times[-1] == pytest.approx(1e-5 * 500.5)
    hidden = lambda s: np.where(s == 4321, -1e-5, 1e-5)  # noqa: E731  (between two looks)
    with pytest.raises(ValueError, match="a step-size callable must map"):
        sgd(PROBLEM, hidden, 5000, records=2, sampler=Direct("numpy"))


@pytest.mark.parametrize("step", [2.9, "7", True, math.inf, math.nan, None, 1j, 2**1030], ids=lambda s: str(s)[:5])
def test_steps_of_pieces_are_whole_numbers(step) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="steps are whole numbers, but one is"):
        Piecewise([(0, 1e-5), (step, 1e-6)])
    assert Piecewise([(0.0, 1e-5), (1e6, 1e-6), (np.int64(10**7), 1e-7)]).pieces[1:] == ((10**6, 1e-6), (10**7, 1e-7))


@pytest.mark.parametrize("pieces", [[1, 2], [(0, 1e-5, 3)], 7, "0:1", [None]])
def test_pieces_are_pairs(pieces) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="is made of pairs of a step and a step size"):
        Piecewise(pieces)


@pytest.mark.parametrize("name", ["power 1/2", "piecewise", "callable"])
def test_runs_use_the_rate_of_each_step(name: str) -> None:
    """Engines agree and records carry the flow time; scaled so that nothing explodes."""
    base = SCHEDULES[name]
    schedule = as_schedule(lambda s: 1e-3 * base.rate(s))
    out = sgd(PROBLEM, schedule, 100, records=100, sampler=Direct("numpy"))
    np.testing.assert_allclose(out.times, 1e-3 * base.sums(np.arange(101), 1), rtol=1e-11)  # as above


@pytest.mark.parametrize("one", [lambda s: 0.1 if s < 3 else 0.05, lambda s: math.exp(-s / 9), lambda s: 0.1])
def test_a_callable_may_take_one_step(one) -> None:  # type: ignore[no-untyped-def]
    each, steps = as_schedule(one), np.array([0, 2, 3, 7])
    whole = as_schedule(lambda s: np.array([one(int(step)) for step in s]))
    np.testing.assert_array_equal(each.rate(steps), whole.rate(steps))
    np.testing.assert_array_equal(each.sums(steps, 2), whole.sums(steps, 2))
    assert each.initial == one(0)
