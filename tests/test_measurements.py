"""Simulated experiments: SGD beside the finite law of its own starts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emergence.compare import Experiment, Measured, measure, measurements
from emergence.theory import finite_law

LEAP = {"method": "leap", "beta": 0.8, "seeds": 6, "d": 512}


def assert_like_its_law(measured: Measured) -> None:
    """The law knows where each start's steps are: at points on a plateau, most of them, the loss agrees."""
    inside = (measured.x >= measured.window[0]) & (measured.x <= measured.window[1])
    mean = measured.same[:, inside].mean(axis=0)
    off = np.abs(measured.rows[:, inside] - measured.same[:, inside]) / mean
    start = np.abs(measured.same[:, inside] - measured.many[:, inside].mean(axis=0)) / mean
    # half of the scatter of the starts: a curve of other starts has √2 of it
    assert inside.sum() >= 3 and np.mean(off) < 0.5 * np.mean(start)


def test_samples_at_one_step_size_follow_the_law_of_their_starts() -> None:
    experiment = Experiment("samples_fixed_step", P=8, m=16, step_size=1e-3, **LEAP)
    measured = measure(experiment, 0)
    assert measured.rows.shape == measured.same.shape == (6, measured.x.size) and len(measured.many) > 1000
    assert_like_its_law(measured)


@pytest.mark.slow
def test_samples_at_the_step_size_of_the_horizon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "HORIZONS", 3)
    experiment = Experiment("samples_horizon_step", P=16, m=24, step_size=1e-3, **LEAP)
    measured = measure(experiment, 0)
    law, due = finite_law(experiment.problem, draws=2000, seed=7), np.array([1, 3, 9])  # 2, 4 and 10 counted from 1
    # n = 1.2 T/η at η = 1e-3 η_p, η_p = 4 I c² a s_0/(d φ(1) φ'(1)) = 2 a s_0/d for h_4, to leading order in s_0;
    # 0.1: that order, 0.03 at s_0 ≈ 0.02, and the medians over 2000 draws
    overlap = np.median(law.overlaps, axis=0)[due]
    expected = 1.2 * np.median(law.recovery, axis=0)[due] / (1e-3 * 2 * experiment.problem.a[due] * overlap**2 / 512)
    np.testing.assert_allclose(measured.x, expected, rtol=0.1)
    assert_like_its_law(measured)


def test_width_follows_the_law_of_its_starts() -> None:
    experiment = Experiment("width", P=8, m=8, widths=(1, 2, 3), **LEAP)
    measured = measure(experiment, 0)
    np.testing.assert_array_equal(measured.x, [1.5, 2.5, 3.5])
    assert_like_its_law(measured)


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
