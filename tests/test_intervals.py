"""Every interval covers what it says: by counting all cases where that can be done, else at a stated false-alarm rate.

The interval of a median is counted in ``test_compare``, fits of staircases are simulated in ``test_exponent_fit``.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from emergence.compare import check_step, fit_exponent, median_estimate, verdicts
from emergence.compare.statistics import CONFIDENCE, seed_mean
from emergence.compare.texts import estimate_text, interval_text, number_text
from emergence.compare.verdicts import judgement
from emergence.problem import Activation, Problem, Teacher
from emergence.problem.events import middle
from emergence.simulate import Direct, Simulation, sgd
from emergence.theory.random_init import _interval

GRID = np.geomspace(1, 100, 40)
# Two-sided quantiles of Student's t, from printed tables: (seeds, level)
STUDENT = {(2, 0.95): 12.706, (6, 0.95): 2.571, (6, 0.99): 4.032, (12, 0.95): 2.201, (31, 0.90): 1.697}


def scattered(seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Exponents of as many seeds about −1, close enough together for a fit to be linear in them, and their curves."""
    exponents = -1 + 1e-3 * np.random.default_rng(seeds).standard_normal(seeds)
    return exponents, GRID ** exponents[:, None]


@pytest.mark.parametrize("seeds", [2, 6, 12])
def test_the_standard_error_of_a_mean_exponent_is_that_of_a_mean(seeds: int) -> None:
    """s/√S with s from S − 1: the mean of the curves has the mean exponent, but for their scatter squared, 1e-6."""
    exponents, rows = scattered(seeds)
    fit = fit_exponent(GRID, rows, tail="none", resamples=40_000)
    # 40 000 resamples know a deviation to 1/√80 000; 6.2 of those. A factor √(12/11) is 4.4 %
    assert fit.standard_error == pytest.approx(exponents.std(ddof=1) / math.sqrt(seeds), rel=6.2 / math.sqrt(80_000))


@pytest.mark.parametrize(("seeds", "level"), STUDENT)
def test_half_widths_are_students(seeds: int, level: float) -> None:
    fit = fit_exponent(GRID, scattered(seeds)[1], tail="none", resamples=100, level=level)
    expected = pytest.approx(STUDENT[seeds, level], abs=6e-4)  # printed to three digits
    assert (fit.high - fit.low) / 2 / fit.standard_error == expected
    assert (fit.high + fit.low) / 2 == pytest.approx(fit.exponent, abs=1e-12)  # rounding
    if level == 0.95:
        low, high = judgement(0.0, 0.3, 1.0, seeds, allowance=1, detects=1).interval
        assert ((high - low) / 2, (high + low) / 2) == (expected, pytest.approx(0.3, abs=1e-12))


@pytest.mark.parametrize("seeds", [seeds for seeds, level in STUDENT if level == 0.95])
def test_a_mean_over_seeds_has_students_interval_in_floats(seeds: int) -> None:
    values = scattered(seeds)[0]
    found = seed_mean(values)
    low, high = found.interval
    error = values.std(ddof=1) / math.sqrt(seeds)
    assert ((high - low) / 2 / error, (high + low) / 2) == (
        pytest.approx(STUDENT[seeds, 0.95], abs=6e-4), pytest.approx(found.mean)  # printed to three digits
    )  # fmt: skip
    assert {type(number) for number in (found.mean, low, high)} == {float}


def test_a_control_adds_the_scatter_of_its_many_starts() -> None:
    """Measured like the law from the same starts: what is left is s/√D of the D many, in squares."""
    exponents, many = scattered(31)
    fit = fit_exponent(GRID, scattered(12)[1], tail="none", control=(scattered(12)[1], many))
    # 200 resamples: 6.2/√400 of it
    assert fit.standard_error == pytest.approx(exponents.std(ddof=1) / math.sqrt(31), rel=6.2 / 20)


def test_scatter_of_the_seeds_and_of_the_many_starts_add_in_squares() -> None:
    """Twelve seeds whose law has no scatter, and twelve starts of the law with as much: √2 of either."""
    exponents, rows = scattered(12)
    fit = fit_exponent(GRID, rows, tail="none", control=(np.tile(GRID**-1.0, (12, 1)), rows), resamples=10_000)
    expected = math.sqrt(2) * exponents.std(ddof=1) / math.sqrt(12)
    # the starts' half of the square is known to 6.2/√400, the seeds' to 6.2/√20 000; √½ would be 29 % off
    assert fit.standard_error == pytest.approx(expected, rel=6.2 / 20 / 2 + 6.2 / math.sqrt(20_000) / 2)


@pytest.mark.parametrize("n", [20, 33, 100, 1000])
@pytest.mark.parametrize("q", [Fraction(1, 20), Fraction(1, 4), Fraction(1, 2), Fraction(9, 10)])
def test_intervals_of_quantiles_are_the_narrowest_that_cover(n: int, q: Fraction) -> None:
    """X_(i) ≤ quantile < X_(j) where i … j − 1 of n values lie below it: binomial tails in whole numbers."""
    (((low,), (high,)),) = _interval(np.arange(1.0, n + 1)[:, None], np.array([float(q)]))  # the k-th smallest is k
    i, j = int(low), n + 1 if math.isinf(high) else int(high)
    mass = [math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(n + 1)]
    tail = Fraction(1, 40)
    assert sum(mass[:i]) < tail <= sum(mass[: i + 1]), "below"
    assert sum(mass[j:]) <= tail < sum(mass[j - 1 :]), "above"


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    """Nine seeds, P = 2: a run of ten steps to which every transition time is given."""
    problem = Problem(Activation("h4"), Teacher([2.0, 1.0]), d=3, m=2)
    run = sgd(problem, 0.4, 10, seeds=9, records=1, sampler=Direct("numpy"))
    times = np.random.default_rng(0).uniform(1, 2, (9, 2))
    return dataclasses.replace(run, alignment=times, recovery=times + 1)


def test_a_step_check_of_unbiased_runs_fails_as_seldom_as_stated(simulation: Simulation) -> None:
    """Nine seeds, P = 2: each difference is ± 3 % with probability ½; all 2⁹ patterns of one direction, counted."""
    S, P, failed = simulation.seeds, simulation.problem.P, 0
    for pattern in itertools.product((0.97, 1.03), repeat=S):
        times = simulation.alignment * np.stack([pattern, np.ones(S)], axis=1)
        failed += check_step(dataclasses.replace(simulation, alignment=times), simulation).stands is False
    assert failed > 0, "it can fail"
    # of 2 P intervals one at most, at a rate of 0.05
    assert 2 * P * Fraction(failed, 2**S) <= 1 - Fraction(CONFIDENCE).limit_denominator(100)


def test_a_step_check_needs_seeds_for_all_its_intervals(simulation: Simulation) -> None:
    """P = 2: 2 · 2^{−n} ≤ 0.05/4 from n = 8 on, although a single median needs six."""
    names = ("alignment", "recovery", "directions", "loss", "overlaps", "norms", "divergence")
    for seeds in range(2, 10):
        run = dataclasses.replace(simulation, **{name: getattr(simulation, name)[:seeds] for name in names})
        assert check_step(run, run).stands == (True if seeds >= 8 else None)


@pytest.mark.parametrize(("bias", "stands"), [(0.019, True), (-0.019, True), (0.021, False), (-0.021, False)])
def test_a_step_check_allows_a_bias_of_two_per_cent(simulation: Simulation, bias: float, stands: bool) -> None:
    late = dataclasses.replace(simulation, recovery=simulation.recovery * (1 + bias * np.array([0, 1])))
    assert check_step(late, simulation).stands is stands


def test_a_step_check_counts_what_one_run_alone_reached(simulation: Simulation) -> None:
    unreached = dataclasses.replace(simulation, recovery=simulation.recovery * [1, math.inf])
    assert check_step(unreached, unreached).stands is True and check_step(unreached, unreached).resolution == 0
    later, earlier = check_step(unreached, simulation), check_step(simulation, unreached)
    assert later.stands is earlier.stands is False and later.resolution == earlier.resolution == math.inf
    assert (later.recovery[1].median, earlier.recovery[1].median) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 3], 2), ([1, math.inf], math.inf), ([math.inf, 2, 1], 2), ([-math.inf, 0], -math.inf)]
)
def test_the_middle_of_an_even_number_is_their_mean(values: list[float], expected: float) -> None:
    assert middle(values) == median_estimate(values).median == expected


def test_what_was_not_measured_is_a_dash() -> None:
    assert number_text(math.nan, ".3f") == estimate_text(median_estimate([])) == "—"
    assert interval_text((math.nan, 1.0), ".1f") == interval_text((1.0, math.nan), ".1f") == "—"
    assert (number_text(math.inf, ".3f"), interval_text((-1, 2), "+.1f")) == ("inf", "[-1.0, +2.0]")
    assert estimate_text(median_estimate([0.5])) == "+0.500 [+0.500, +0.500]"
    assert "nan" not in str(fit_exponent(GRID, np.ones((1, 40))))


def test_a_claim_is_refuted_beyond_students_quantile_and_finds_that_and_its_power(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twelve seeds, e = 1: printed t of 11 degrees is 2.201 at 0.05 two-sided and 1.796 at 0.95 one-sided."""
    monkeypatch.setattr(verdicts, "ALARM", 0.05)
    monkeypatch.setattr(verdicts, "POWER", 0.95)
    for off, verdict in ((2.200, "upheld"), (2.202, "refuted"), (-2.200, "upheld"), (-2.202, "refuted")):
        ruling = judgement(7.0, 7.0 + off * 1.0 + math.copysign(0.5, off), 1.0, 12, allowance=0.5, detects=10)
        assert ruling.verdict == verdict, off
        assert ruling.finds == pytest.approx(abs(off) + 0.5 + 0.5 + 2.201 + 1.796, abs=1.1e-3)  # printed digits
    for detects, verdict in ((4.49, "inconclusive"), (4.51, "upheld")):
        assert judgement(0.0, 0.0, 1.0, 12, allowance=0.5, detects=detects).verdict == verdict  # 0.5 + 2.201 + 1.796


def test_the_sensitivity_is_the_shift_by_a_tenth_of_the_log_range() -> None:
    """ln L = −γ u − κ u² in u = ln x: a line over a window has the slope −γ − 2κ of its middle, which moves by half of
    what one end does; both ends together leave it."""
    x = np.geomspace(1, 100, 96)  # a tenth of 95 steps takes ten points
    bend, length = 0.01, math.log(100)
    fit = fit_exponent(x, x ** -(0.5 + bend * np.log(x)) * np.ones((6, 1)), tail="none")
    assert fit.sensitivity == pytest.approx(2 * bend * length * 10 / 95 / 2, rel=1e-9)  # exact parabolas
    assert fit.exponent == pytest.approx(-0.5 - 2 * bend * length / 2, rel=1e-9)


def test_a_rising_curve_is_no_law_of_a_loss() -> None:
    fit = fit_exponent(GRID, (2 - GRID**-0.5) * np.ones((6, 1)), window=(1, 100))
    assert fit.verdict == "inconclusive" and "did not settle" in fit.reason and math.isnan(fit.exponent)
