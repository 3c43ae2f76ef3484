"""Sweeps over step sizes: which are out, in what unit, and beside which law."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emergence.compare import Experiment, fit_exponent, step_sweep
from emergence.compare.step_sweep import cross_validated, learned, resampled, step_sizes_of, sweep
from emergence.problem import Problem
from emergence.theory.gradient_noise import ceiling
from emergence.theory.sample_curves import lost

pytestmark = pytest.mark.usefixtures("coarse_leap")
SMALL = {"P": 4, "m": 8, "d": 128, "beta": 0.8, "seeds": 6}


def test_a_step_size_is_out_from_where_direct_sgd_would_be_lost() -> None:
    experiment = Experiment("samples_best_step", "leap", label_noise=1.0, step_sizes=(0.3, 0.9), **SMALL)
    found = sweep(experiment, 6e5, 0)
    out = np.isinf(found.losses)
    assert out.any() and (out == out[:, :1]).all(), "for all seeds or for none"
    for law, lines in zip(found.laws, out, strict=True):
        assert lines[0][lost(law, found.x)].all()
        assert law.t_max == 6e5 * law.step_size, "the law covers the run"
    assert not out[0].any() and np.isfinite(found.best()).all()


def test_past_the_end_of_the_last_step_size_the_best_is_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter((5e4, 2e4))
    monkeypatch.setattr(step_sweep, "lost", lambda law, x: x > next(ends))
    found = sweep(Experiment("samples_best_step", "leap", step_sizes=(0.3, 0.6), **SMALL), 1e5, 0)
    for losses, end in zip(found.losses, (5e4, 2e4), strict=True):
        assert (np.isinf(losses) == (found.x > end)).all()
    best, last = found.best(), np.searchsorted(found.x, 5e4) - 1
    assert np.isfinite(best).all() and (best[:, last:] == best[:, [last]]).all()


@pytest.mark.parametrize(("seeds", "lost_seeds", "is_out"), [(12, [5], False), (12, [5, 8], True), (6, [5], True)])
def test_a_step_size_is_out_where_more_than_a_tenth_of_its_runs_diverged(
    seeds: int, lost_seeds: list[int], is_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether one run that diverged takes a step size away must not depend on how many others there are."""

    def runs(problem: Problem, eta: float, samples: int, **_: Any) -> SimpleNamespace:
        at = np.geomspace(1, samples + 1, 200)
        fast = eta > 0.5 * ceiling(problem)
        loss = np.tile((1.0 if fast else 2.0) / at, (seeds, 1)) * np.arange(1, seeds + 1)[:, None]
        if fast:
            loss[np.ix_(lost_seeds, at > 2e3)] = np.nan
        return SimpleNamespace(times=at * eta, loss=loss)

    monkeypatch.setattr(step_sweep, "sgd", runs)
    settings = SMALL | {"seeds": seeds, "step_sizes": (0.3, 0.6)}
    found = sweep(Experiment("samples_best_step", "reduced", **settings), 1e5, 0)
    early, late, kept = found.x < 1.8e3, found.x > 2.1e3, np.delete(np.arange(seeds), lost_seeds)
    assert np.isinf(found.losses[1][:, late]).all() == is_out and np.isfinite(found.losses[:, :, early]).all()
    if is_out:
        assert np.isfinite(found.losses[0]).all() and len(found.best()) == seeds
        assert np.isinf(found.means()[1, late]).all()
    else:
        np.testing.assert_array_equal(found.best(), found.losses[1][kept])
        np.testing.assert_allclose(found.means()[1, late], found.losses[1][kept].mean(axis=0)[late], rtol=1e-12)


def test_samples_count_every_one_of_a_batch() -> None:
    """At eight times the step size and batch, the law against samples is the same, and so are the runs."""
    experiment = Experiment("samples_best_step", "leap", batch=8, step_sizes=(0.3, 0.6), **SMALL)
    np.testing.assert_allclose(
        step_sizes_of(experiment, experiment.problem), 8 * ceiling(experiment.problem) * np.array([0.3, 0.6])
    )
    found = sweep(experiment, 2e6, 0)
    mean, draws, choice = found.expected()
    assert (found.laws[0].batch, choice["step_size"][-1]) == (8, found.laws[1].step_size)
    # six runs of the spread of the law's own draws: six standard errors
    allowed = 6 * draws.std(axis=0) / np.sqrt(6) + 1e-3
    assert (np.abs(found.losses[1].mean(axis=0) - mean) < allowed).all() and mean[-1] < 0.1 * mean[0]


def test_the_window_is_where_directions_are_learned() -> None:
    problem = Experiment("samples_best_step", "leap", step_sizes=(0.3, 0.6), **SMALL).problem
    x, a = np.arange(1.0, 101.0), problem.a
    left = [0.5 * float(np.sum(a[q:] ** 2)) for q in range(5)]
    mean = np.interp(x, [1, 10, 10.5, 60, 60.5, 100], [left[0], left[0], left[1], left[1], left[2], left[2]]) * (
        1 - 1e-9
    )
    assert learned(problem, x, mean, 1, 2) == (11.0, 61.0)


def test_intervals_hold_the_choice_of_the_step_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three step sizes with curves of the same height and slopes of −0.7 … −0.9: what is chosen makes the exponent.

    Forty intervals at 95 % leave out four or more once in seven sets, eight or more in 1e-3 of them.
    """
    monkeypatch.setattr(step_sweep, "RESAMPLES", 100)
    x, stream = np.geomspace(1, 10, 16), np.random.default_rng(3)
    lines = (x / np.sqrt(10)) ** -np.array([0.7, 0.8, 0.9])[:, None, None]
    fits = []
    for i in range(40):
        height, wander = stream.standard_normal((3, 16, 1)), stream.standard_normal((3, 16, 16)).cumsum(axis=2)
        tables = lines * np.exp(0.4 * height + 0.025 * wander)
        rows, options = cross_validated(tables, "mean"), {"tail": "none", "window": (1.0, 10.0)}
        again = resampled(tables, "mean", i)
        fits.append([fit_exponent(x, rows, resampled=centres, **options) for centres in (None, again)])
    mean = np.mean([fit.exponent for fit, _ in fits])
    without, inside = np.sum([[fit.low <= mean <= fit.high for fit in both] for both in fits], axis=0)
    assert inside > 32 > without


def test_the_halves_of_the_seeds_stay_apart_in_a_resample() -> None:
    parity = (np.arange(8.0) % 2)[None, :, None]
    np.testing.assert_array_equal(resampled(parity, "mean", 0), 0.5)


def test_a_half_that_has_diverged_chooses_another_step_size_and_nobody_left_is_no_fit() -> None:
    x = np.geomspace(1, 10, 8)
    tables = np.stack([2 / x, 1 / x])[:, None] * np.ones((12, 1))
    tables[1, ::2] = np.nan
    rows = cross_validated(tables, "mean")
    assert (rows[1::2] == 2 / x).all() and np.isnan(rows[::2]).all(), "chosen by those that live, for those that do not"
    tables[:] = np.nan
    assert np.isinf(resampled(tables, "mean", 0)).all()
