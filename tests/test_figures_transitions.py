"""The figures of emergence and of transition times: their arrays, their artists, room for text, bytes."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from figure_texts import LAYOUTS, assert_readable
from matplotlib.figure import Figure
from matplotlib.text import Text

from emergence.figures import emergence, overlay, transition_times
from emergence.figures.catalogue import Data, recipe
from emergence.figures.style import SLIDE, WIDTHS, save
from emergence.figures.watched_run import LONGEST
from emergence.problem import Activation, Problem, Teacher
from emergence.problem.seeds import DIRECTIONS, seed_stream
from emergence.theory import finite_law

TINY = {
    "emergence": {"activation": "h4", "beta": 1.0, "P": 2, "m": 8, "d": 128, "draws": 20},
    "transition_times": {"problems": 4, "P": 2, "dimension": 100, "step_size": 1e-3},
    "overlay": {
        "sampler": "leap",
        "activation": "h4",
        "P": 2,
        "beta": 1.0,
        "d": 64,
        "m": 4,
        "step_size": 1e-8,
        "samples": 10**9,
        "seeds": 2,
    },
}


@cache
def data(name: str) -> Data:
    return recipe(name).compute(TINY[name], 0)


def drawn(name: str, width: str = "text") -> Figure:
    return recipe(name).draw(data(name), width)


# --- data -----------------------------------------------------------------------------------------


def test_emergence_holds_one_run_and_the_law() -> None:
    found = data("emergence")
    problem = Problem(Activation("h4"), Teacher.power_law(2, beta=1.0), d=128, m=8)
    rows = finite_law(problem, draws=20, seed=0).loss_at(found["grid"])
    # 1e-12: the same sums of the same numbers
    np.testing.assert_allclose(found["expected"], rows.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found["band"], np.quantile(rows, [0.1, 0.9], axis=0), rtol=1e-12)
    assert float(found["asymptotic"]) == -1.0, "(1 − 2β)/β at β = 1"
    # 1e-5: nothing is learned at the start of the axis; ½ φ(1) Σ a² = ½ up to n_0 = 1e-6 of each student
    assert found["loss"][0] == pytest.approx(0.5, rel=1e-5)
    for p, T in enumerate(found["predicted"]):
        crossing = np.interp(0.5, found["strengths"][:, p], found["times"])
        # 0.25: the decoupled time of a start with few students (competition), and a record's distance
        assert crossing == pytest.approx(T, rel=0.25), p
    assert np.isnan(found["fitted"]).all() or found["fitted"][1] <= found["fitted"][0] <= found["fitted"][2]


def test_steps_are_as_wide_as_they_are_in_time() -> None:
    """The strength is logistic: from 10 to 90 % it takes ln 81/(4 a φ(1)), whatever the distance of the looks."""
    found = data("emergence")
    for a, x in zip(Teacher.power_law(2, beta=1.0).a, found["strengths"].T, strict=True):
        inside = (x > 0.1) & (x < 0.9)
        assert inside.sum() >= 5
        edge = int(np.argmax(x >= 0.9)) + 1
        low, high = np.interp([0.1, 0.9], x[:edge], found["times"][:edge])
        # 0.1: r² is not yet 1 when the strength passes 10 %, and the macro-steps are to a tenth
        assert high - low == pytest.approx(np.log(81) / (4 * a), rel=0.1)
    shown = found["times"][found["times"] >= found["grid"][0]]
    gaps = np.diff(shown) / shown[:-1]
    assert gaps.max() <= LONGEST * (1 + 1e-9)  # a line's width on the axis


def test_transition_times_are_ratios_of_their_own_times() -> None:
    found = data("transition_times")
    N = found["measured"].size
    assert found["predicted"].shape == found["ratio"].shape == (3, N) and N >= 8
    tested = ~np.isnan(found["ratio"])
    np.testing.assert_array_equal(tested, ~np.isnan(found["predicted"]))
    quotient = np.broadcast_to(found["measured"], tested.shape)[tested] / found["predicted"][tested]
    # 1e-12: the ratio is 1 + (measured/predicted − 1)
    np.testing.assert_allclose(found["ratio"][tested], quotient, rtol=1e-12)
    for level, event in itertools.product(range(3), range(2)):
        values = np.sort(found["ratio"][level, tested[level] & (found["event"] == event)])
        at = [values[int(np.ceil(q * len(values))) - 1] for q in (0.1, 0.5, 0.9)]
        assert at == [found[name][level, event] for name in ("low", "median", "high")]
    # 0.15: gradient noise of a few per cent at this step size, over some ten transitions
    assert found["median"][2] == pytest.approx([1, 1], abs=0.15)


def test_random_problems_are_within_their_bounds_and_reproducible() -> None:
    activation, sizes = Activation("h6"), {"P": 6, "dimension": 1500}
    first, again = (
        [transition_times._problem(activation, sizes, np.random.default_rng(5)) for _ in range(3)] for _ in range(2)
    )
    assert first == again
    rng = np.random.default_rng(6)
    for problem in (transition_times._problem(activation, sizes, rng) for _ in range(50)):
        assert problem.P <= 4 and problem.m >= 8 and 3 * problem.P <= problem.m <= max(8, 5 * problem.P)
        assert problem.P + problem.m + 40 <= problem.d <= 110


def test_overlay_of_the_catalogue_compares_its_own_problem() -> None:
    found = data("overlay")
    assert found["measured"].shape == found["predicted"].shape == (2, 2, 2)
    assert found["window"][1] == pytest.approx(10.0, rel=1e-9)  # 1e-9: rounding of η · samples
    problem = Problem(Activation("h4"), Teacher.power_law(2, 1.0), d=64, m=4)
    rows = problem.initial_directions(seed_stream(0, 0, DIRECTIONS))[:, :2]  # of the first seed
    best = int(np.argmax(problem.a * rows**2)) % 2  # of h_4: the largest a r² is assigned first
    s0, a = np.max(rows[:, best] ** 2), problem.a[best]
    # from alignment the norm grows at the rate 4a, with K = ⅛ for h_4: ∫ (1[s ≥ ½] − s²)/(8 s² (1 − s)) ds
    recovered = 1 / (8 * a * s0) + np.log(a / problem.init_scale**2) / (4 * a) + 1 / (8 * a)
    # 1e-9: rounding of the change to P + m coordinates
    assert found["closed_form"][best] == pytest.approx(recovered, rel=1e-9)


# --- looks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", LAYOUTS)
@pytest.mark.parametrize("name", ["emergence", "transition_times"])
def test_size_scales_labels_and_room(name: str, width: str) -> None:
    figure = drawn(name, width)
    assert figure.get_figwidth() == WIDTHS[width]
    assert all(axis.get_xscale() == "log" for axis in figure.axes)
    scales = {"emergence": ["linear", "log"], "transition_times": ["log", *["linear"] * 3]}[name]
    assert sorted(axis.get_yscale() for axis in figure.axes) == sorted(scales)
    assert any("flow time" in axis.get_xlabel() for axis in figure.axes)
    texts = assert_readable(figure)
    size = 8 * (SLIDE if width == "slide" else 1)
    assert {text.get_fontsize() for text, _ in texts} <= {size, 7 / 8 * size}, "text, and that of legends"


def test_emergence_draws_every_direction_of_its_run() -> None:
    found = data("emergence")
    top, bottom = drawn("emergence").axes
    *steps, dots = top.lines
    assert len(steps) == 2
    for p, step in enumerate(steps):
        np.testing.assert_array_equal(step.get_data(), (found["times"], found["strengths"][:, p]))
    np.testing.assert_array_equal(dots.get_xdata(), found["predicted"])
    mean, run = bottom.lines[:2]
    np.testing.assert_array_equal(mean.get_ydata(), found["expected"])
    np.testing.assert_array_equal(run.get_ydata(), found["loss"])
    assert "SGD (leap), $h_{4}$, $P=2$, $d=128$, $m=8$" in drawn("emergence").get_suptitle()
    assert "gradient flow" not in "".join(text.get_text() for text in drawn("emergence").findobj(Text)), "it is SGD"


def test_emergence_draws_the_fit_whose_exponent_it_prints() -> None:
    changed = {"fitted": np.array([-0.5, -0.6, -0.4]), "fit_law": np.array([3.0, 80.0]), "window": np.array([5.0, 40])}
    fit = emergence.draw(data("emergence") | changed).axes[1].lines[2]
    t, y = fit.get_data()
    assert (t[0], t[-1]) == pytest.approx((5, 40))
    # 1e-12: the same powers
    np.testing.assert_allclose(y, emergence.RAISED * 3.0 * (t**-0.5 - 80.0**-0.5), rtol=1e-12)
    assert f"{emergence.RAISED:g} times" in str(fit.get_label())


@pytest.mark.parametrize(
    ("fitted", "expected"), [((-0.98, -1.0, -0.96), "[−1.00, −0.96]"), ((np.nan,) * 3, "not measur")]
)
def test_an_exponent_has_its_interval_or_is_not_given(fitted: tuple[float, ...], expected: str) -> None:
    figure = emergence.draw(data("emergence") | {"fitted": np.array(fitted)}, "column")
    assert expected in figure.axes[1].get_title(loc="left").replace("$", "")


def test_transition_times_draw_what_is_tested_and_put_the_rest_on_the_edge() -> None:
    found = {name: values.copy() for name, values in data("transition_times").items()}
    found["measured"][0], found["ratio"][:, 0] = np.inf, np.inf
    found["predicted"][:, 0] = found["predicted"][2, 0]
    axes = {str(axis.get_label()): axis for axis in transition_times.draw(found, "text").axes}
    points = [line for line in axes["times"].lines if line.get_marker() != "None"]
    assert sum(len(line.get_xdata()) for line in points) == (~np.isnan(found["ratio"][2])).sum()
    heights = np.concatenate([line.get_ydata() for line in points])
    assert np.isfinite(heights).all() and heights.max() < axes["times"].get_ylim()[1]
    for level, name in enumerate(("closed_form", "decoupled", "flow")):
        ratio = found["ratio"][level][~np.isnan(found["ratio"][level])]
        drawn_ = np.concatenate([line.get_ydata() for line in axes[name].lines if line.get_marker() != "None"])
        np.testing.assert_array_equal(np.sort(drawn_), np.sort(np.clip(ratio, *transition_times.EDGES)))
        title = axes[name].get_title(loc="left")
        beyond = ((ratio < transition_times.EDGES[0]) | (ratio > transition_times.EDGES[1])).sum()
        assert f"{ratio.size} pairs, {beyond} beyond the edges" in title and beyond >= 1
        assert all(f"median {found['median'][level, j]:.3f}, " in title for j in range(2))


def test_slides_have_larger_text_than_pages() -> None:
    page, slide = (overlay.draw(data("overlay"), width) for width in ("text", "slide"))
    sizes, larger = (
        {(t.get_text(), t.get_fontsize()) for t in one.findobj(Text) if "=" in t.get_text() or " " in t.get_text()}
        for one in (page, slide)
    )
    assert len(sizes) >= 8, "titles, axis labels and legends"
    assert larger == {(text, SLIDE * size) for text, size in sizes}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("emergence", "png"), ("transition_times", "svg")])
def test_files_are_the_same_twice(name: str, kind: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.{kind}" for i in range(2)]
    for path in paths:
        save(drawn(name), path, {"seed": "0"})
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes() and 10_000 < len(content) < 1_000_000
