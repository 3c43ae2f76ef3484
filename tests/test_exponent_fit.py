"""Exponents of staircases with known laws: bias, coverage, refusals to measure, and units.

Staircases are drawn here: a_p ∝ p^{−β}, Σ a_p² = 1, T_p = ε/a_p with ε lognormal(0, ¼), L(t) = Σ_{T_p > t} a_p²; so
d ln L/d ln t = −(2β − 1)/β far from both ends, whatever the fit says.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, chi2
from scipy.stats import t as student

from emergence.compare.exponent_fit import fit_exponent, local_exponents

SIX = np.ones((6, 1))
GRID = np.geomspace(1, 100, 40)


def staircase(
    beta: float, P: int, seeds: int, *, points: int = 120, scatter: float = 0.25, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, float]:
    """Times (T,), losses (S, T) from the plateau to past the last step, and where the law ends."""
    stream = np.random.Generator(np.random.PCG64(seed))
    a = np.arange(1, P + 1.0) ** -beta
    a /= math.sqrt(a @ a)
    learned = np.exp(scatter * stream.standard_normal((seeds, P))) / a
    times = np.geomspace(0.3 / a[0], 1.5 / a[-1], points)
    losses = np.stack([np.bincount(np.searchsorted(times, row), a**2, points + 1) for row in learned])
    left = np.maximum(1 - np.cumsum(losses, axis=1)[:, :points], 0)
    left[left < 1e-12] = 0.0  # the sum of all steps is 1 to rounding
    return times, left, float((1 + 0.5 / P) ** beta / a[-1])


# Known laws


@pytest.mark.parametrize("gamma", [0.2, 0.7, 1.9, -1.2])
def test_pure_powers(gamma: float) -> None:
    fit = fit_exponent(GRID, 3 * GRID**-gamma * SIX, tail="none")
    assert fit.exponent == pytest.approx(-gamma, abs=1e-12)  # a line through exact points
    assert fit.amplitude == pytest.approx(3, rel=1e-12)  # likewise
    assert fit.low <= fit.exponent <= fit.high
    assert (fit.end, fit.points, fit.window, fit.verdict) == (math.inf, 40, (1.0, 100.0), "measured")


@pytest.mark.parametrize("gamma", [0.1, 0.33, 0.75, 1.5, 3.0])
@pytest.mark.parametrize("end", [150.0, 1e4])
@pytest.mark.parametrize("given", [True, False])
def test_the_law_itself(gamma: float, end: float, given: bool) -> None:
    curve = 7 * (GRID**-gamma - end**-gamma) * SIX
    fit = fit_exponent(GRID, curve, window=(1, 100), end=end if given else None)
    # the search settles γ to 1e-8, reweighting at a change of 1e-6
    assert fit.exponent == pytest.approx(-gamma, abs=1e-6)
    # x_end^{−γ} = 1e-12 of the loss (γ = 3, end 1e4) is what a search to 1e-8 cannot see
    assert fit.end == pytest.approx(end, rel=1e-4) or end**-gamma < 1e-10
    assert fit.amplitude == pytest.approx(7, rel=1e-5)  # (x_end/x)^{1e-8} of γ's error, times 1/γ
    assert fit.residual < 1e-5  # likewise
    assert fit.verdict == "measured"


def test_without_a_tail_the_fitted_end_is_infinite() -> None:
    fit = fit_exponent(GRID, GRID**-0.7 * SIX, window=(1, 100))
    assert fit.exponent == pytest.approx(-0.7, abs=1e-6)  # the search, as above
    assert fit.end > 1e6  # (1e6)^{−0.7} = 6e-5 of the first loss: far more than 1e-8 shows


# (β, P): standard deviation of γ for 20 seeds, x_end given and fitted, measured on 100 draws
SPREAD = {(0.65, 256): (0.021, 0.054), (0.65, 1024): (0.0091, 0.020)}
SPREAD |= {(0.8, 256): (0.016, 0.031), (0.8, 1024): (0.0067, 0.012)}
SPREAD |= {(1.0, 256): (0.014, 0.023), (1.0, 1024): (0.0065, 0.0098)}
SPREAD |= {(1.5, 256): (0.0083, 0.0103), (1.5, 1024): (0.0048, 0.0059)}


@pytest.mark.parametrize(("beta", "P"), list(SPREAD))
def test_staircases(beta: float, P: int) -> None:
    """n = 200 seeds; false alarm 1e-9 each: 6.2 standard errors beside the bias of 0.011 the module states."""
    times, losses, end = staircase(beta, P, 200)
    for known, spread in zip((end, None), SPREAD[beta, P], strict=True):
        fit = fit_exponent(times, losses, end=known, resamples=100)
        assert abs(fit.exponent + 2 - 1 / beta) < 0.011 + 6.2 * spread / math.sqrt(10)  # 200 = 10 × 20 seeds
        assert fit.verdict == "measured"
        assert fit.window[0] > 2.7 * times[losses.mean(axis=0) < 0.9][0] and fit.window[1] <= fit.end / 2
    assert fit.end == pytest.approx(end, rel=0.25)  # at most 11 % for 20 seeds: 6.2 × 0.11/√10


@pytest.mark.parametrize(("beta", "excess"), [(0.65, 0.25), (0.8, 0.14), (1.0, 0.06)])
def test_a_straight_line_is_far_off(beta: float, excess: float) -> None:
    """In the same window of the same curve the tail steepens the line; at P = 1024 still by this much of γ."""
    gamma = 2 - 1 / beta
    times, losses, end = staircase(beta, 1024, 100)
    fit = fit_exponent(times, losses, end=end, resamples=100)
    line = fit_exponent(times, losses, tail="none", window=fit.window, resamples=100)
    assert line.points == fit.points
    assert line.exponent < line.high < -gamma - excess  # and its interval knows nothing of that
    assert abs(fit.exponent + gamma) < 0.2 * excess


def test_width_counts_directions_from_one_half() -> None:
    p = np.arange(1, 1025.0)
    after = np.cumsum((p**-1.6)[::-1])[::-1][1:] * SIX  # m = 1 … 1023 directions learned
    width = p[:-1]
    fit = fit_exponent(width + 0.5, after, end=1024.5, window=(4, 900), resamples=100)
    assert fit.exponent == pytest.approx(-0.6, abs=5e-4)  # the midpoint rule errs by 1/(12 m²) at m = 4
    without = fit_exponent(width, after, end=1024, window=(4, 900), resamples=100)
    assert abs(without.exponent + 0.6) > 5e-3


# Intervals


@pytest.mark.parametrize("known", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_intervals_cover_and_are_no_wider_than_that_takes(known: bool) -> None:
    """n = 100 draws of 8 seeds, β = 1, P = 256, nominal 95 %; each assertion raises a false alarm below 1e-9."""
    n, fits = 100, []
    for seed in range(n):
        times, losses, end = staircase(1.0, 256, 8, points=60, seed=100 + seed)
        fits.append(fit_exponent(times, losses, end=end if known else None, resamples=100, seed=seed))
    covered = sum(fit.low <= -1 <= fit.high for fit in fits)
    assert covered > binom.ppf(1e-9, n, 0.9)  # 0.9: what bias and bootstrap of few seeds leave of 0.95
    spread = np.std([fit.exponent for fit in fits], ddof=1)
    ratio = np.mean([fit.standard_error for fit in fits]) / spread
    low, high = (math.sqrt((n - 1) / chi2.ppf(q, n - 1)) for q in (1 - 5e-10, 5e-10))
    assert 0.85 * low < ratio < 1.25 * high  # a bootstrap of 8 seeds may be off by that much in the mean


def test_steps_that_all_seeds_share_show_in_the_sensitivity_alone() -> None:
    times, losses, end = staircase(1.5, 1024, 20, scatter=0.0)
    fit = fit_exponent(times, losses, end=end)
    assert fit.high - fit.low < 1e-12  # twenty equal rows: rounding of their mean
    assert 1e-3 < abs(fit.exponent + 4 / 3) < 2 * fit.sensitivity + 5e-3


@pytest.mark.parametrize(("first", "last"), [(1.2, 1.0), (1.0, 1.2), (1.2, 1.2)])
def test_the_sensitivity_sees_either_end_of_the_window(first: float, last: float) -> None:
    """x^−1 but for the first or the last tenth of the logarithmic range, where it is 20 % higher."""
    x = np.geomspace(1, 1e3, 58)
    losses = np.where(x < 2, first, np.where(x > 500, last, 1.0)) / x
    fit = fit_exponent(x, losses[None], tail="none")
    slopes = [np.polyfit(np.log(x[i:j]), np.log(losses[i:j]), 1)[0] for i, j in ((6, 58), (0, 52), (6, 52))]
    assert fit.sensitivity == pytest.approx(max(abs(slope - fit.exponent) for slope in slopes), rel=1e-3)  # as fitted


def test_seed_and_level() -> None:
    times, losses, end = staircase(1.0, 256, 8)
    fits = [fit_exponent(times, losses, end=end, level=level, seed=3) for level in (0.5, 0.95, 0.999)]
    widths = [fit.high - fit.low for fit in fits]
    assert widths[0] < widths[1] < widths[2]
    assert fits[1] == fit_exponent(times, losses, end=end, seed=3) != fit_exponent(times, losses, end=end, seed=4)


# Control variates


def curves(stream: np.random.Generator, rows: int, gamma: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Powers whose exponents scatter by 0.1 with the start (rows, T), and the starts (rows, 1)."""
    start = 0.1 * stream.standard_normal((rows, 1))
    return GRID ** (-gamma - start), start


def test_the_law_itself_has_no_scatter_left() -> None:
    """Measured and law alike: what is left is the fit of the many starts, and its scatter."""
    stream = np.random.default_rng(0)
    law, many = curves(stream, 12)[0], curves(stream, 4000)[0]
    for tail, ends in (("none", {}), ("finite", {"window": (1, 100), "end": 1e6})):
        fit = fit_exponent(GRID, law, tail=tail, control=(law, many), **ends)
        alone = fit_exponent(GRID, many, tail=tail, **ends)
        assert fit.exponent == alone.exponent and (fit.window, fit.end) == (alone.window, alone.end)
        # the scatter of 4000 starts alone, from 200 resamples there and 1000 here: 6.2/√400 of it
        assert fit.standard_error == pytest.approx(alone.standard_error, rel=0.31)
        assert fit.standard_error < 0.1 * fit_exponent(GRID, law, tail=tail, **ends).standard_error  # √(12/4000)


def test_a_wrong_law_costs_width_and_no_bias() -> None:
    """Measured γ = 0.7 with a law of γ = 1.3, n = 40 sets of 12 seeds; each assertion is false below 1e-9.

    The line in ln–ln through a mean of x^{−γ−ε}, ε ~ N(0, 0.1²), curves by ε²: its slope over ln 100 is
    γ − 0.1² · ln(100)/2 for many seeds, and ln of a mean over 12 is off by a twelfth of that.
    """
    n, stream, off, covered = 40, np.random.default_rng(1), [], 0
    expected = -0.7 + 0.01 * math.log(100) / 2
    for seed in range(n):
        rows, start = curves(stream, 12, 0.7)
        many = curves(stream, 400, 1.3)[0]
        fit = fit_exponent(GRID, rows, tail="none", control=(GRID ** (-1.3 - start), many), resamples=200, seed=seed)
        off.append(fit.exponent - expected)
        covered += fit.low - 0.004 <= expected <= fit.high + 0.004
        assert fit.standard_error < 0.4 * 0.1 / math.sqrt(12)  # same scatter in both: √(1/400) is left of √(1/12)
    # 6.2 standard errors of the mean of n, beside a twelfth of the curvature
    assert abs(np.mean(off)) < 6.2 * np.std(off, ddof=1) / math.sqrt(n) + 0.002
    assert covered > binom.ppf(1e-9, n, 0.9)


def test_few_starts_of_the_law_widen_the_interval() -> None:
    """Coverage with as few starts of the law as seeds, n = 60; false alarm below 1e-9."""
    n, stream, covered, errors = 60, np.random.default_rng(2), 0, []
    for seed in range(n):
        law, many = curves(stream, 12)[0], curves(stream, 12)[0]
        fit = fit_exponent(GRID, law, tail="none", control=(law, many), resamples=100, seed=seed)
        covered += fit.low <= -1 + 0.01 * math.log(100) / 2 <= fit.high
        errors.append(fit.standard_error)
    assert covered > binom.ppf(1e-9, n, 0.9)  # 0.9: a bootstrap of twelve, as above
    assert 0.7 < np.mean(errors) / (0.1 / math.sqrt(12)) < 1.3  # mean of 60 with χ₁₁ scatter: 6.2 · 0.21/√60 = 0.17


@pytest.mark.parametrize(("decades", "share"), [(1.4, 0.2), (0.8, 0.7)])
def test_a_lag_behind_the_control_moves_the_exponent_by_less(decades: float, share: float) -> None:
    x = np.geomspace(0.5 * 10**-decades, 0.5, 40)
    law, lagging = (np.tile((x / late) ** -0.75 - 1, (6, 1)) for late in (1, 1.02))
    fit = fit_exponent(x, lagging, window=(x[0], x[-1]), control=(law, law), resamples=100)
    assert 0 < fit.exponent + 0.75 < share * 0.02 * 1.2  # 1.2: two figures of ``share``; γ falls, so −γ rises
    assert fit.exponent + 0.75 > 0.7 * share * 0.02
    assert fit.end == pytest.approx(1, rel=1e-3)  # the law's, by a search to 1e-4


def test_medians_with_a_control_take_what_was_never_reached() -> None:
    """T ∝ d^0.9 · start against the law d · start; the same seventh of the seeds is late in both."""
    d = np.array([128.0, 256, 512, 1024])
    stream = np.random.default_rng(3)
    start = np.exp(0.5 * stream.standard_normal((49, 4)))
    start[::7] = math.inf
    many = d * np.exp(0.5 * stream.standard_normal((4000, 4)))
    fit = fit_exponent(d, d**0.9 * start, tail="none", centre="median", control=(d * start, many))
    # medians of the same seeds differ by the factor d^0.1 alone; medians of 4000: 6.2 · 1.25 · 0.5/√4000/(ln 2 · √5)
    assert fit.exponent == pytest.approx(0.9, abs=0.04)
    assert fit.verdict == "measured"
    assert fit.standard_error < 0.25 * fit_exponent(d, d**0.9 * start, tail="none", centre="median").standard_error


def test_bad_controls_are_refused() -> None:
    rows = GRID**-0.5 * SIX
    for control, message in (
        ((rows[:5], rows), "must hold a row for each of 6 seeds first, but has 5"),
        ((rows[:, 1:], rows), r"`control` must be of shape \(S, 40\)"),
        ((rows, rows[:0]), "`control` must be of shape"),
        ((rows, -rows), "`control` must not be negative or NaN"),
        ((rows, np.full((6, 40), np.inf)), "`control` hold inf, which has no mean"),
        ((rows, 0 * rows), "must be positive in the window"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_exponent(GRID, rows, tail="none", control=control)


# Inconclusive


def test_given_resamples_are_the_scatter() -> None:
    rows, slopes = GRID ** np.full((12, 1), -0.75), np.random.default_rng(0).normal(-0.75, 0.03, 1000)
    fit = fit_exponent(GRID, rows, tail="none", resampled=GRID ** slopes[:, None])
    # halves of six seeds: resamples scatter by √(5/6) of what fresh seeds would
    assert fit.standard_error == pytest.approx(slopes.std() * math.sqrt(6 / 5), rel=1e-6)
    half = student.ppf(0.975, 11) * fit.standard_error
    assert (fit.low, fit.high) == (pytest.approx(-0.75 - half), pytest.approx(-0.75 + half))


def test_bad_resamples_are_refused() -> None:
    rows = GRID ** np.full((12, 1), -0.75)
    with pytest.raises(ValueError, match=r"`resampled` must be of shape \(S, 40\)"):
        fit_exponent(GRID, rows, tail="none", resampled=rows[:, 1:])
    with pytest.raises(ValueError, match="`resampled` and `control` exclude each other"):
        fit_exponent(GRID, rows, tail="none", resampled=rows, control=(rows, rows))


def test_what_the_data_cannot_tell_is_inconclusive() -> None:
    times, losses, end = staircase(1.0, 256, 20)
    for reason, fit in {
        "seeds": fit_exponent(times, losses[:5], end=end),
        "decades": fit_exponent(times, losses, end=end, window=(10, 20)),
        "points": fit_exponent(times[::25], losses[:, ::25], end=end),
        "interval": fit_exponent(times, losses, end=end, resolution=0.01),
        "search": fit_exponent(GRID, np.exp(-GRID / 3) * SIX, window=(1, 100), end=1e6),
        "no falling loss": fit_exponent(times[:30], np.ones((6, 30))),
        "shifts": fit_exponent(GRID, GRID ** -(0.5 + 0.9 * np.log10(GRID)) * SIX, tail="none", resolution=0.1),
    }.items():
        assert fit.verdict == "inconclusive"
        assert reason in fit.reason, (reason, str(fit))
    assert fit_exponent(*staircase(0.65, 16, 20)[:2]).verdict == "inconclusive"  # x_end/2 is 3 times the first step


def test_one_seed_gives_a_value_without_an_interval() -> None:
    times, losses, end = staircase(1.0, 1024, 1)
    fit = fit_exponent(times, losses[0], end=end)
    assert abs(fit.exponent + 1) < 6.2 * 0.0065 * math.sqrt(20) + 0.011  # SPREAD of one seed, as above
    assert math.isnan(fit.low) and math.isnan(fit.high) and math.isnan(fit.standard_error)
    assert fit.verdict == "inconclusive" and "1" in fit.reason


@pytest.mark.parametrize("curve", [1 - 0.5 * np.log10(GRID) / 1.1, 1 - 0.09 * GRID**0.5])
def test_no_power_law_is_not_measured_as_one(curve: np.ndarray) -> None:
    """β = ½ falls like a logarithm and β < ½ like 1 − (t/t_end)^g: γ = 0 and γ = −½."""
    noisy = curve * (1 + 1e-3 * np.random.default_rng(0).standard_normal((20, 40)))
    fit = fit_exponent(GRID, noisy, window=(1, 100))
    assert fit.verdict == "inconclusive" and "logarithm" in fit.reason


@pytest.mark.parametrize("tail", ["none", "finite"])
def test_a_curve_with_its_offset_left_in_is_not_measured(tail: str) -> None:
    x = np.geomspace(5e7, 2e10, 24)
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal((12, x.size)))
    left_in = fit_exponent(x, (1.7 + 400 * x**-0.34) * noise, tail=tail)
    assert left_in.high - left_in.low < 0.01 and left_in.sensitivity < 0.02, "narrow and steady"
    assert left_in.verdict == "inconclusive" and "what the scatter of the seeds explains" in left_in.reason
    same = fit_exponent(x, (1.7 + 400 * x**-0.34) * SIX[:, [0] * x.size], tail=tail)
    assert same.verdict == "inconclusive" and "scatter" in same.reason, "equal seeds explain nothing"
    plain = fit_exponent(x, 400 * x**-0.34 * noise, tail="none")
    assert plain.verdict == "measured" and plain.low < -0.34 < plain.high


# Medians, units, local slopes, bad input


def test_transitions_never_reached_count_as_late() -> None:
    """Median T ∝ d with a seventh of the seeds unreached, always another; n = 49 seeds, 6.2 standard errors."""
    d = np.array([128.0, 256, 512, 1024, 2048])
    times = d * np.exp(0.1 * np.random.default_rng(1).standard_normal((49, 5)))
    late = np.where((np.arange(49)[:, None] + np.arange(5)) % 7 == 0, np.inf, times)
    fit = fit_exponent(d, late, tail="none", centre="median")
    # medians of 49 scatter by 1.25 · 0.1/7; the slope over ln 2 · (−2 … 2) divides by ln 2 √10
    assert abs(fit.exponent - 1) < 6.2 * 1.25 * 0.1 / 7 / (math.log(2) * math.sqrt(10)) + 0.01
    assert fit.verdict == "measured"
    mostly = np.where(np.arange(5) == 4, np.inf, times)
    assert fit_exponent(d, mostly, tail="none", centre="median").points == 4
    with pytest.raises(ValueError, match="no mean"):
        fit_exponent(d, late, tail="none")


@pytest.mark.parametrize("known", [True, False])
def test_units_do_not_matter(known: bool) -> None:
    times, losses, end = staircase(0.8, 256, 8)
    once = fit_exponent(times, losses, end=end if known else None)
    again = fit_exponent(1e7 * times, 1e-5 * losses, end=1e7 * end if known else None)
    for name in ("exponent", "low", "high", "sensitivity", "residual"):  # the search stops at 1e-6 in any unit
        assert getattr(again, name) == pytest.approx(getattr(once, name), abs=5e-6)
    assert again.end == pytest.approx(1e7 * once.end, rel=1e-4)  # 1e-6 of γ, times ln of the range over γ
    assert again.amplitude == pytest.approx(once.amplitude * 1e-5 * 1e7**-once.exponent, rel=1e-3)  # ln 1e7 of it
    assert (again.points, again.verdict) == (once.points, once.verdict)


def test_the_grid_does_not_matter() -> None:
    t, losses, end = staircase(0.8, 256, 20, points=4000)
    even = np.unique(np.searchsorted(t, np.linspace(t[0], t[-1], 3000)).clip(max=3999))
    ends = {"window": (5.0, 60.0), "end": end, "resamples": 100}
    dense, linear = fit_exponent(t, losses, **ends), fit_exponent(t[even], losses[:, even], **ends)
    assert linear.exponent == pytest.approx(dense.exponent, abs=2e-3)  # a step of 0.04 in t at 5, where 1 % is 0.05


def test_local_exponents_steepen_towards_the_end() -> None:
    x = np.geomspace(1, 100, 81)
    slopes = local_exponents(x, x**-0.75 - 200**-0.75, window_decades=0.2)
    # −γ/(1 − (x/x_end)^γ) bends by its second derivative over a window of 0.2 decades, 2 % at its end
    np.testing.assert_allclose(slopes.slope, -0.75 / (1 - (slopes.x / 200) ** 0.75), rtol=0.02)
    np.testing.assert_allclose(slopes.high / slopes.low, 10**0.2, rtol=1e-9)  # eight steps of the grid
    np.testing.assert_allclose(local_exponents(x, 4 * x**0.3).slope, 0.3, rtol=1e-11)  # exact lines


def test_the_card_and_the_document() -> None:
    fit = fit_exponent(GRID, GRID**-0.5 * SIX, tail="none")
    assert str(fit).startswith("exponent -0.5000  [-0.5000, -0.5000]  (95%, 6 seeds)")
    assert fit.as_dict()["window"] == [1.0, 100.0] and len(fit.as_dict()) == 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": GRID[::-1]}, "`x` must be one row"),
        ({"x": GRID - 1}, "`x` must be one row"),
        ({"x": [], "losses": []}, "`x` must be one row"),
        ({"losses": np.ones((6, 39))}, r"of shape \(S, 40\), one row a seed, but is \(6, 39\)"),
        ({"losses": -np.ones((6, 40))}, "must not be negative or NaN"),
        ({"losses": np.full((6, 40), np.nan)}, "must not be negative or NaN"),
        ({"losses": np.zeros((6, 40)), "tail": "none"}, "must be positive in the window"),
        ({"tail": "infinite"}, "`tail` must be"),
        ({"centre": "mode"}, "`centre` must be"),
        ({"window": (10, 1)}, "`window` must be two positive numbers"),
        ({"window": (1, 50), "end": 40}, "`end` must lie beyond the window"),
        ({"end": -3}, "`end` must be a positive number, but is -3"),
        ({"tail": "none", "end": 200}, "`end` belongs to"),
        ({"level": 1}, "`level` must be below 1"),
        ({"resamples": 10}, "`resamples` must be at least 100, but is 10"),
        ({"resolution": 0}, "`resolution` must be a positive number"),
        ({"seed": -1}, "`seed` must be a non-negative integer"),
    ],
)
def test_bad_input_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_exponent(**({"x": GRID, "losses": GRID**-0.5 * SIX} | change))


def test_bad_input_to_local_exponents_is_refused() -> None:
    for loss, window, message in (
        (0 * GRID, 0.5, "positive numbers"),
        (GRID[1:], 0.5, "40 positive numbers, one for each x"),
        (GRID, 0.01, "three points"),
        (GRID, 3, "three points"),
        (GRID, -1, "`window_decades` must be a positive number, but is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            local_exponents(GRID, loss, window_decades=window)
