"""Sharpness, overlaps, calibration and schedules at tiny sizes: their numbers, artists, room for text."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from figure_texts import LAYOUTS, assert_readable
from matplotlib.figure import Figure
from PIL import Image

from emergence.cli import main
from emergence.figures import calibration, schedules
from emergence.figures.catalogue import Data, recipe
from emergence.figures.settings import problem_of
from emergence.figures.style import SLIDE, WIDTHS
from emergence.problem import Teacher
from emergence.problem.seeds import DIRECTIONS, seed_stream
from emergence.theory import finite_law

TINY: dict[str, dict[str, Any]] = {
    "sharpness": {"activation": "h4", "beta": 1.0, "P": 3, "m": 9, "d": 128, "draws": 50},
    "overlaps": {"activation": "h4", "beta": 1.0, "P": 3, "m": 6, "d": 96, "frames": 8},
    "calibration": {"sampler": "leap", "activation": "h4", "beta": 1.0, "P": 2, "m": 6, "d": 64, "step_size": 0.2,
                    "length": 2.0, "seeds": 6},
    "schedules": {"beta": 0.8, "P": 2, "m": 6, "d": 64, "label_noise": 0.0, "samples": [1e5, 2e5], "draws": 20,
                  "shares": [0.2, 0.5], "horizons": [0.3], "powers": [1.0], "drops": [0.5], "seeds": 3},
}  # fmt: skip


@cache
def data(name: str) -> Data:
    recipe(name).check(TINY[name])
    return recipe(name).compute(TINY[name], 0)


def drawn(name: str, width: str = "text") -> Figure:
    return recipe(name).draw(data(name), width)


@pytest.mark.parametrize("width", LAYOUTS)
@pytest.mark.parametrize("name", TINY)
def test_size_and_room_for_text(name: str, width: str) -> None:
    figure = drawn(name, width)
    assert figure.get_figwidth() == WIDTHS[width]
    assert "SGD (leap)" in figure.get_suptitle() and "seed" in figure.get_suptitle()
    assert len(assert_readable(figure, slack=1)) > 12  # pixel: hinting at the edge of the page


@pytest.mark.parametrize("name", TINY)
def test_lines_and_markers_grow_with_the_width(name: str) -> None:
    page, slide = ([line for axis in drawn(name, width).axes for line in axis.lines] for width in ("text", "slide"))
    for small, large in zip(page, slide, strict=True):
        for size in ("get_linewidth", "get_markersize", "get_markeredgewidth"):
            assert getattr(large, size)() == pytest.approx(SLIDE * getattr(small, size)()), (small.get_label(), size)


def test_strengths_collapse_on_one_logistic() -> None:
    found = data("sharpness")
    for z, strength in zip(found["z"], found["strength"], strict=True):
        z, strength = z[np.isfinite(z)], strength[np.isfinite(z)]
        assert np.interp(0, z, strength) == pytest.approx(0.5, abs=1e-3)  # T_p is interpolated between the same looks
        # 0.06: the overlap is not 1 yet when the norm passes one half, at a T of few growth times
        np.testing.assert_allclose(strength, 1 / (1 + np.exp(-z)), atol=0.06)
    # 0.1: macro-steps to a tenth, and the same
    np.testing.assert_allclose(found["rate"], 1, atol=0.1)
    np.testing.assert_allclose(found["measured"], found["predicted"], rtol=0.25)  # few students: competition
    law = finite_law(problem_of(TINY["sharpness"]), draws=50, seed=0).recovery
    np.testing.assert_array_equal(found["law"][1], np.quantile(law, 0.5, axis=0, method="inverted_cdf"))
    assert found["fit"][1] <= found["fit"][0] <= found["fit"][2]


def test_sharpness_draws_the_collapse_beside_the_logistic() -> None:
    collapse, times = drawn("sharpness").axes
    *curves, logistic = collapse.lines
    for curve, z, strength in zip(curves, data("sharpness")["z"], data("sharpness")["strength"], strict=True):
        np.testing.assert_array_equal(curve.get_data(), (z, strength))
    z, y = logistic.get_data()
    np.testing.assert_allclose(np.log(y / (1 - y)), z, atol=1e-9)  # rounding
    assert (times.get_xscale(), times.get_yscale()) == ("log", "log")
    stated = times.get_title(loc="left").replace("−", "-")
    assert f"{data('sharpness')['fit'][0]:.3f} [" in stated and "asymptote 1" in stated


def test_students_are_sorted_by_what_greedy_selection_gives_them() -> None:
    found, problem = data("overlaps"), problem_of(TINY["overlaps"])
    start = problem.initial_coordinates(seed_stream(0, 0, DIRECTIONS))[:, :3]
    rows = np.abs(found["overlaps"][0])
    np.testing.assert_allclose(np.sort(rows, axis=0), np.sort(np.abs(start), axis=0), rtol=1e-9)  # a permutation
    free, closed = set(range(6)), set()
    while len(closed) < 3:  # greedy selection by hand: the largest a_p r² of free students and open directions
        scores = Teacher.power_law(3, 1.0).a * start**2
        k, p = max(((k, p) for k in free for p in set(range(3)) - closed), key=lambda pair: scores[pair])
        np.testing.assert_allclose(rows[p], np.abs(start[k]), rtol=1e-9)
        free.remove(k)
        closed.add(p)
    assert (np.diff(found["times"]) >= 0).all() and found["times"][0] == 0
    first, middle, last = found["stills"]
    assert first == 0 <= middle <= last == len(found["times"]) - 1
    learned = (found["share"] >= 0.5).sum(axis=1)
    assert learned[0] == 0 and learned[middle] >= 1


def test_heat_maps_are_the_overlaps_and_the_film_shows_all_frames(tmp_path: Path) -> None:
    found = data("overlaps")
    for axis, frame in zip(drawn("overlaps").axes[:3], found["stills"], strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), found["overlaps"][frame])
        assert f"{(found['share'][frame] >= 0.5).sum()} of 3 recovered" in axis.get_title(loc="left")
        assert axis.images[0].get_clim() == (0, 1)
    sets = [word for key, value in TINY["overlaps"].items() for word in ("--set", f"{key}={value}")]
    words = ["figures", "overlaps", *sets, "--format", "gif", "--out", str(tmp_path), "--cache", str(tmp_path)]
    assert main(words) == 0
    with Image.open(tmp_path / "overlaps.gif") as film:
        assert film.n_frames > 1 and film.format == "GIF"


def test_calibration_holds_the_law_and_the_runs() -> None:
    found = data("calibration")
    assert found["drawn"].shape[::2] == (2, 2) and found["measured"].shape == (2, 6 - int(found["diverged"]), 2)
    # every value of the PIT is in a bin, spread over 1e-9 at least
    np.testing.assert_allclose(found["histogram"].sum(axis=1), found["measured"][0].size, rtol=1e-7)
    assert ((found["pit"] > -1) & (found["pit"] < 2)).all()
    axes = {str(axis.get_label()): axis for axis in drawn("calibration").axes}
    points = [line for line in axes["times"].lines if line.get_marker() != "None"]
    high = axes["times"].get_ylim()[1]
    for line, (p, j) in zip(points, itertools.product(range(2), range(2)), strict=True):
        np.testing.assert_allclose(line.get_ydata(), np.minimum(found["measured"][j, :, p], high / 1.15), rtol=1e-12)
    for j, event in enumerate(("alignment", "recovery")):
        np.testing.assert_array_equal(axes[event].patches[-1].get_data().values, found["histogram"][j])
        assert f"{found['pit'][j, 0]:.3f}" in axes[event].get_title(loc="left")
    assert calibration.check(TINY["calibration"]) is None


def test_schedules_are_the_best_of_their_kind_and_the_gain_a_ratio() -> None:
    found, sizes = data("schedules"), TINY["schedules"]
    problem = schedules._problem(sizes)
    top = schedules.ceiling(problem)
    losses = [schedules._loss(problem, schedules.Constant(share * top), 2e5, sizes, 0) for share in sizes["shares"]]
    assert found["loss"][0, 1] == pytest.approx(2 * min(losses), rel=1e-12)  # ½ φ(1) Σ a² = ½
    one, other = np.array([0.1, 0.3, 0.2]), np.array([0.4, 0.6, 0.5])
    value, low, high = schedules._ratio(one, other)
    # Welch with equal variances and sizes is Student with 4 degrees: t = 2.776, error 0.1 √(2/3)
    assert value == pytest.approx(np.exp(-0.3)) and np.log(high / low) == pytest.approx(2 * 2.7764 * 0.0816, rel=1e-3)
    gains = drawn("schedules").axes[1]
    drops = next(line for line in gains.lines if "drop" in str(line.get_label()))
    np.testing.assert_array_equal(drops.get_ydata(), found["loss"][2] / found["loss"][0])
