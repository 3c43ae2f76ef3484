"""Simulated experiments: SGD beside the finite law of its own starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emergence.compare import Experiment, Measured, measure
from emergence.compare.step_sweep import cross_validated
from emergence.theory import finite_law, sgd_law
from emergence.theory.gradient_noise import ceiling

pytestmark = pytest.mark.usefixtures("coarse_leap")
LEAP = {"method": "leap", "beta": 0.8, "seeds": 6, "d": 512}


def assert_like_its_law(measured: Measured) -> None:
    """The law knows where each start's steps are: at points on a plateau, most of them, the loss agrees."""
    inside = (measured.x >= measured.window[0]) & (measured.x <= measured.window[1])
    mean = measured.same[:, inside].mean(axis=0)
    off = np.abs(measured.rows[:, inside] - measured.same[:, inside]) / mean
    start = np.abs(measured.same[:, inside] - measured.many[:, inside].mean(axis=0)) / mean
    # half of the scatter of the starts: a curve of other starts has √2 of it
    assert inside.sum() >= 3 and np.mean(off) < 0.5 * np.mean(start)


@pytest.mark.slow
def test_samples_at_one_step_size_follow_the_law_of_their_starts() -> None:
    experiment = Experiment("samples_fixed_step", P=8, m=16, step_size=1e-3, **LEAP)
    measured = measure(experiment, 0)
    assert measured.rows.shape == measured.same.shape == (6, measured.x.size) and len(measured.many) > 1000
    assert_like_its_law(measured)


def test_no_run_is_read_at_a_choice_that_it_made_itself() -> None:
    """Pure noise: the least of many equal curves lies below their mean, the cross-validated one does not."""
    tables = np.random.default_rng(5).standard_exponential((30, 200, 12))
    for centre, expected, error in (("mean", 1.0, 1.0), ("median", np.log(2), 1.0)):
        middle = np.mean if centre == "mean" else np.median
        rows = np.hstack([cross_validated(tables[:, :, [t]], centre) for t in range(12)])
        # 12 columns of 200: six standard errors of the mean, or of the median (1/(2 f √n) with f = ½)
        assert abs(np.mean(middle(rows, axis=0)) - expected) < 6 * error / np.sqrt(rows.size)
        assert np.mean(middle(tables, axis=1).min(axis=0)) < expected - 6 * error / np.sqrt(rows.size)
    tables[7] *= 0.1 * 0.3 ** np.arange(12)
    np.testing.assert_array_equal(cross_validated(tables, "mean"), tables[7])
    tables[7, :, 8:] = np.inf  # a run may end before: what is worse later does not count
    np.testing.assert_array_equal(cross_validated(tables, "mean"), tables[7][:, [*range(8), *[7] * 4]])
    tables[7, [0, 3]] = np.nan  # runs that diverged: the others still choose what is best
    np.testing.assert_array_equal(cross_validated(tables, "mean"), tables[7][:, [*range(8), *[7] * 4]])


def test_the_best_step_size_is_found_and_its_curve_is_that_of_the_law_of_sgd() -> None:
    experiment = Experiment("samples_best_step", P=4, m=16, step_sizes=(0.1, 0.6), **LEAP)
    measured = measure(experiment, 0)
    assert measured.rows.shape == (6, measured.x.size) and len(measured.many) == 1 and not len(measured.same)
    inside = (measured.x >= measured.window[0]) & (measured.x <= measured.window[1])
    mean, law = measured.rows[:, inside].mean(axis=0), measured.many[0, inside]
    error = measured.rows[:, inside].std(axis=0, ddof=1) / np.sqrt(6)
    assert inside.sum() > 4 and np.mean(np.abs(mean - law) / error) < 3
    again = measured.resampled[np.isfinite(measured.resampled).all(axis=1)][:, inside]
    spread = again.std(axis=0)  # of means of six, with the choice of the step size
    assert len(again) > 990 and (np.abs(again.mean(axis=0) - mean) < spread).all() and (spread > 0.5 * error).all()
    # a tenth of the ceiling needs some five times the samples, and is never the best in the window
    slow = sgd_law(experiment.problem, 0.1 * ceiling(experiment.problem)).loss_at(
        measured.x * 0.1 * ceiling(experiment.problem)
    )
    assert (slow[inside] > 1.5 * mean).all()


def test_samples_against_dimension_are_the_least_over_step_sizes() -> None:
    experiment = Experiment(
        "dimension_samples", "sgd_law", m=4, dimensions=(256, 512, 1024), step_sizes=(0.05, 0.5), seeds=20
    )
    found = np.median(measure(experiment, 0).rows, axis=0)
    for d, samples in zip(experiment.dimensions, found, strict=True):
        problem = replace(experiment.problem, d=d)
        steps = ceiling(problem) * np.array(experiment.step_sizes)
        medians = [np.median(sgd_law(problem, eta).alignment[:, 0]) / eta for eta in steps]
        assert samples == pytest.approx(min(medians), rel=0.3)  # 20 of its draws: 1.25 · 0.9/√20


@pytest.mark.slow
def test_width_follows_the_law_of_its_starts() -> None:
    experiment = Experiment("width", P=8, m=8, widths=(1, 2, 3), **LEAP)
    measured = measure(experiment, 0)
    np.testing.assert_array_equal(measured.x, [1.5, 2.5, 3.5])
    assert_like_its_law(measured)


def test_width_is_counted_from_the_middle_of_the_last_direction_learned() -> None:
    """m + ½, where the sum over p > m starts."""
    experiment = Experiment("width", "finite_law", beta=0.8, P=30, m=30, d=1000, widths=(5, 10, 20), seeds=6)
    np.testing.assert_array_equal(measure(experiment, 0).x, [5.5, 10.5, 20.5])


def test_the_envelope_has_the_best_width_at_each_compute() -> None:
    experiment = Experiment(
        "compute_width_time", "finite_law", beta=0.8, P=30, m=60, d=1000, widths=(5, 20, 60), seeds=6
    )
    found = measure(experiment, 3)
    laws = [finite_law(replace(experiment.problem, m=m), draws=6, seed=3) for m in experiment.widths]
    means = [law.loss_at(found.x / m).mean(axis=0) for m, law in zip(experiment.widths, laws, strict=True)]
    np.testing.assert_allclose(found.rows.mean(axis=0), np.min(means, axis=0), rtol=1e-12)  # the same sums
    assert len(set(np.argmin(means, axis=0))) == 3, "premise: each width is the best somewhere"


def test_gradient_flow_comes_with_the_law_of_its_starts_and_of_many() -> None:
    experiment = Experiment("flow_time", "flow", beta=0.8, P=3, m=6, d=200, seeds=6)
    measured = measure(experiment, 0)
    law = finite_law(experiment.problem, draws=2000, seed=7)
    # n = 2000 and 10 000 draws: 6.2 standard errors of the difference of means
    error = law.loss_at(measured.x).std(axis=0) * np.sqrt(1 / 2000 + 1 / 10_000)
    assert (np.abs(measured.many.mean(axis=0) - law.loss_at(measured.x).mean(axis=0)) < 6.2 * error + 1e-4).all()
    assert len(measured.many) == 10_000 and len(measured.same) == 6
    first, last = (np.median(each) for each in (law.recovery.min(axis=1), law.recovery.max(axis=1)))
    assert measured.x[-1] == pytest.approx(1.5 * last, rel=0.2)  # medians of 2000: 6.2 · 1.25 · 0.6/√2000 = 0.1, twice
    assert measured.window[1] == pytest.approx(0.5 * last, rel=0.2)
    assert measured.window[0] == pytest.approx(first * (last / first) ** 0.2, rel=0.2)
