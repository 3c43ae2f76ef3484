"""Sweeps over step sizes: which are out, in what unit, and beside which law."""

from __future__ import annotations

import numpy as np
import pytest

from emergence.compare import Experiment, step_sweep
from emergence.compare.step_sweep import learned, step_sizes_of, sweep
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
