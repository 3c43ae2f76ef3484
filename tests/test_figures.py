"""The overlay picture, looked at through its artists: data, scales, labels, sizes, room for text."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import tilted_directions
from figure_texts import LAYOUTS, assert_readable
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from PIL import Image

from emergence.compare import Comparison, overlay
from emergence.figures import overlay as picture
from emergence.figures.overlay import LAW, SHOWN, data_of
from emergence.figures.style import WIDTHS, save, series
from emergence.problem import Activation, Problem, Teacher
from emergence.problem.seeds import DIRECTIONS, seed_stream
from emergence.simulate import Direct, Divergence, Leap, Simulation, sgd
from emergence.theory.gradient_noise import ceiling

FACTS = {"Title": "Theory over simulation", "problem": "{'activation': 'h4', 'd': 24}", "seed": "7", "version": "1.2.3"}


def draw(comparison: Comparison, width: str = "text") -> Figure:
    """The picture as ``emergence compare`` makes it."""
    return picture.draw(data_of(comparison), width)


# --- comparisons to draw --------------------------------------------------------------------------


def with_runs(comparison: Comparison, **fields: object) -> Comparison:
    return dataclasses.replace(comparison, simulation=dataclasses.replace(comparison.simulation, **fields))


def sliced(comparison: Comparison, seeds: int) -> Comparison:
    """The first ``seeds`` seeds alone."""
    names = ("directions", "loss", "overlaps", "norms", "alignment", "recovery", "divergence")
    run = dataclasses.replace(
        comparison.simulation, **{name: getattr(comparison.simulation, name)[:seeds] for name in names}
    )
    return overlay(comparison.problem, run)


def with_unreached(comparison: Comparison) -> Comparison:
    """Direction 2 is reached by no seed."""
    return with_runs(
        comparison,
        alignment=comparison.simulation.alignment * [1, math.inf],
        recovery=comparison.simulation.recovery * [1, math.inf],
    )


def with_divergence(comparison: Comparison, seeds: tuple[int, ...]) -> Comparison:
    """The seeds given blew up halfway."""
    run: Simulation = comparison.simulation
    half = len(run.times) // 2
    loss, overlaps, norms = run.loss.copy(), run.overlaps.copy(), run.norms.copy()
    for seed in seeds:
        for record in (loss, overlaps, norms):
            record[seed, half:] = np.nan
    divergence = tuple(Divergence(half, 2e3) if i in seeds else None for i in range(run.seeds))
    return with_runs(comparison, loss=loss, overlaps=overlaps, norms=norms, divergence=divergence)


@pytest.fixture(scope="module")
def many_directions() -> Comparison:
    """P = 9, more than are drawn one by one; one of strength zero."""
    teacher = Teacher([9, 8, 7, 6, 5, 4, 3, 2, 0])
    problem = Problem(Activation("h4"), teacher, d=20, m=10, init_scale=0.1)
    directions = tilted_directions(problem, seeds=2)
    return overlay(problem, sgd(problem, 1e-2, 20 * 800, batch=20, seeds=2, directions=directions, records=40))


@pytest.fixture(scope="module", params=["random", "given"])
def noisy(request: pytest.FixtureRequest) -> Comparison:
    """At three tenths of the ceiling of the step size, so that the verdict is about the law; one run diverged."""
    problem = Problem(Activation("h4"), Teacher.power_law(2, 0.8), d=256, m=8)
    eta = 0.3 * ceiling(problem)
    start = None if request.param == "random" else problem.initial_directions(seed_stream(0, 0, DIRECTIONS))
    run = sgd(problem, eta, int(40 / eta), seeds=6, directions=start, sampler=Leap(virtual=2, accuracy=0.3), records=40)
    comparison = overlay(problem, run)
    assert comparison.agreement.against == "sgd" and comparison.law is not None
    return with_divergence(comparison, (1,))


def panels(figure: Figure) -> dict[str, Axes]:
    return {str(axis.get_label()): axis for axis in figure.axes}


def legend_texts(axis: Axes) -> list[str]:
    return [text.get_text() for legend in axis.findobj(Legend) for text in legend.get_texts()]


def lines(axis: Axes, style: str, marker: bool) -> list[Line2D]:
    """Lines in the panel of the wanted kind (``-``-like or points)."""
    found = [line for line in axis.lines if (line.get_marker() not in ("None", "", None)) == marker]
    return [line for line in found if (line.get_linestyle() == "None") == (style == "none")]


# --- data -----------------------------------------------------------------------------------------


def test_strengths_are_those_of_the_first_seed(small_comparison: Comparison) -> None:
    axis = panels(draw(small_comparison))["steps"]
    run, solution, a = (
        small_comparison.simulation,
        small_comparison.predictions[0].flow,
        small_comparison.problem.a,
    )
    start, end = axis.get_xlim()
    assert end == run.t_end
    theory = lines(axis, "solid", marker=False)
    points = [line for line in lines(axis, "none", marker=True) if len(line.get_xdata()) > 1]
    assert len(theory) == len(points) == 2
    for p in range(2):
        t, y = theory[p].get_data()
        assert t[0] == pytest.approx(start) and t[-1] == pytest.approx(end) and len(t) >= 200
        np.testing.assert_array_equal(y, solution.strengths_at(t)[:, p] / a[p])
        inside = run.times >= start
        np.testing.assert_array_equal(points[p].get_xdata(), run.times[inside])
        np.testing.assert_array_equal(points[p].get_ydata(), run.strengths[0, inside, p] / a[p])
        assert to_rgb(theory[p].get_color()) == to_rgb(str(points[p].get_markeredgecolor()))
    assert y.max() > 0.75, "the transition is on the picture"


def test_closed_form_recovery_is_marked_at_one_half_and_steps_are_numbered(small_comparison: Comparison) -> None:
    """Like with like: where a strength is one half, not where a student is aligned."""
    axis = panels(draw(small_comparison))["steps"]
    prediction = small_comparison.predictions[0]
    start, end = axis.get_xlim()
    expected = [(t, 0.5) for t in prediction.recovery["closed_form"] if start < t < end]
    ticks = [line for line in axis.lines if len(line.get_xdata()) == 1]
    assert expected and [line.get_xydata()[0].tolist() for line in ticks] == [list(each) for each in expected]
    numbers = {text.get_text(): text.get_position() for text in axis.texts}
    assert {label: at[0] for label, at in numbers.items()} == {
        str(p + 1): prediction.flow.recovery[p] for p in range(2) if prediction.flow.recovery[p] < end
    }
    assert all(height > 1.05 for _, height in numbers.values()), "above the curves, which end at 1"


def test_losses_are_those_of_the_comparison(small_comparison: Comparison) -> None:
    axis = panels(draw(small_comparison))["loss"]
    run, solution = small_comparison.simulation, small_comparison.predictions[0].flow
    start, end = axis.get_xlim()
    (curve,) = lines(axis, "solid", marker=False)
    np.testing.assert_array_equal(curve.get_ydata(), solution.loss_at(curve.get_xdata()))
    (points,) = lines(axis, "none", marker=True)
    inside = run.times >= start
    np.testing.assert_array_equal(points.get_xdata(), run.times[inside])
    np.testing.assert_array_equal(points.get_ydata(), run.loss[0, inside])
    (band,) = (item for item in axis.collections if isinstance(item, PolyCollection))
    corners = band.get_paths()[0].vertices
    low, high = np.quantile(run.loss[:, inside], [0.1, 0.9], axis=0)
    for t, edges in zip(run.times[inside][[0, 20, -1]], np.stack([low, high], axis=1)[[0, 20, -1]], strict=True):
        drawn = np.unique(corners[corners[:, 0] == t][:, 1])
        # 1e-12: the same quantiles of the same numbers
        np.testing.assert_allclose([drawn.min(), drawn.max()], edges, rtol=1e-12)
    assert end == run.t_end


def test_predicted_against_measured_times(small_comparison: Comparison) -> None:
    axis = panels(draw(small_comparison))["times"]
    run = small_comparison.simulation
    points = lines(axis, "none", marker=True)
    expected = []
    for p, event in itertools.product(range(2), ("alignment", "recovery")):
        predicted = np.array([getattr(item.flow, event)[p] for item in small_comparison.predictions])
        tested = (predicted > 0) & (predicted <= run.t_end)
        expected.append((predicted[tested], getattr(run, event)[tested, p]))
    assert len(points) == len(expected) == 4
    reached = 0
    for line, (predicted, measured) in zip(points, expected, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), predicted)
        finite = np.isfinite(measured)
        np.testing.assert_array_equal(np.asarray(line.get_ydata())[finite], measured[finite])
        reached += int(finite.sum())
    assert reached >= 30
    faces = [to_rgb(str(line.get_markerfacecolor())) for line in points]
    assert faces[1] == faces[3] == to_rgb("white") and to_rgb("white") not in (faces[0], faces[2])
    (diagonal,) = lines(axis, "solid", marker=False)
    np.testing.assert_array_equal(*diagonal.get_data())
    (wedge,) = (item for item in axis.collections if isinstance(item, PolyCollection))
    t, y = wedge.get_paths()[0].vertices.T
    tolerance = small_comparison.agreement.tolerance
    # 1e-12: rounding of t (1 ± tolerance)
    assert (y / t).min() == pytest.approx(1 - tolerance, rel=1e-12)
    assert (y / t).max() == pytest.approx(1 + tolerance, rel=1e-12)
    assert axis.get_xlim() == axis.get_ylim() and axis.get_aspect() == 1


def test_the_verdict_has_its_errors_and_the_runs_their_names(small_comparison: Comparison) -> None:
    figure = draw(small_comparison)
    title = panels(figure)["times"].get_title(loc="left")
    for event in ("alignment", "recovery"):
        found = small_comparison.agreement.errors["flow"][event]
        low, high = (f"{100 * end:+.1f}".replace("-", "−") for end in found.interval)
        assert f"{event} {100 * found.median:+.1f} % [{low}, {high}]".replace(" -", " −") in title
    stated = figure.get_suptitle()
    for part in ("SGD (direct)", "$h_{4}$", "$P=2$", "$d=24$", "$m=6$", r"$\eta=5\cdot 10^{-6}$", "9 seeds"):
        assert part in stated


@pytest.mark.parametrize("change", [with_unreached, lambda c: with_divergence(c, tuple(range(9)))])
def test_unreached_times_lie_on_the_upper_edge(
    small_comparison: Comparison, change: Callable[[Comparison], Comparison]
) -> None:
    changed = change(small_comparison)
    axis = panels(draw(changed))["times"]
    low, high = axis.get_ylim()
    tested = sum((~np.isnan(values)).sum() for values in data_of(changed)["predicted"])
    never = np.isinf(data_of(changed)["measured"]).sum()
    assert f"above: not reached ({never} of {tested})" in legend_texts(axis)
    (end,) = (line for line in axis.lines if line.get_ydata()[0] == line.get_ydata()[-1] == changed.simulation.t_end)
    assert str(end.get_linestyle()) == "--"
    unreached = lines(axis, "none", marker=True)[2:]
    assert sum(len(line.get_xdata()) for line in unreached) >= 9
    for line in unreached:
        assert np.isfinite(line.get_ydata()).all()
        height = np.log(np.asarray(line.get_ydata()) / low) / np.log(high / low)
        assert (height > 0.95).all() and (height <= 1).all(), "within the upper 5 % of the panel"
        assert (line.get_ydata() > changed.simulation.t_end).all(), "later than anything measured"


def test_the_band_leaves_diverged_seeds_out(small_comparison: Comparison) -> None:
    changed = with_divergence(small_comparison, (0, 3))
    axis = panels(draw(changed))["loss"]
    (band,) = (item for item in axis.collections if isinstance(item, PolyCollection))
    assert np.isfinite(band.get_paths()[0].vertices).all()
    legend = axis.get_legend()
    assert legend is not None
    assert any("7 seeds" in text.get_text() for text in legend.get_texts())


def test_only_some_of_many_directions_are_drawn(many_directions: Comparison) -> None:
    figure = draw(many_directions)
    theory = lines(panels(figure)["steps"], "solid", marker=False)
    assert len(theory) <= SHOWN < many_directions.problem.P
    named = [int(m.group(1)) for text in legend_texts(panels(figure)["times"]) if (m := re.search(r"p=(\d+)", text))]
    assert named[0] == 1 and named[-1] == 8, "from the strongest to the weakest that can be learned"
    assert len(named) == len(theory)


def test_runs_with_nothing_to_show_are_drawn_too(small_comparison: Comparison) -> None:
    """No transition in the time simulated; all transitions at time zero; a single record."""
    problem = small_comparison.problem
    short = sgd(problem, 1e-6, 8, seeds=2, records=1, sampler=Direct("numpy"))
    learned = dataclasses.replace(problem, init_scale=0.9)
    rows = np.eye(problem.d)[: problem.m]
    for run in (short, sgd(learned, 1e-6, 8, seeds=2, directions=rows, records=1, sampler=Direct("numpy"))):
        comparison = overlay(run.problem, run)
        axes = panels(draw(comparison))
        assert sum(len(line.get_xdata()) for line in lines(axes["times"], "none", marker=True)) == 0
        assert "inconclusive" in axes["times"].get_title(loc="left")


def test_bands_of_the_law_of_sgd_lie_behind_those_of_the_runs(noisy: Comparison) -> None:
    law, run, figure = noisy.law, noisy.simulation, draw(noisy)
    assert law is not None
    axis = panels(figure)["loss"]
    theory, measured = (item for item in axis.collections if isinstance(item, PolyCollection))
    assert to_rgb(theory.get_facecolor()[0][:3]) == to_rgb(LAW)
    inside = law.times >= axis.get_xlim()[0]
    (mean,) = (line for line in axis.lines if line.get_label() == "its mean")
    np.testing.assert_array_equal(mean.get_data(), (law.times[inside], law.loss[inside]))
    low, high = np.quantile(law.rows, [0.1, 0.9], axis=0)
    corners = theory.get_paths()[0].vertices
    for i in np.flatnonzero(inside)[[0, 40, -1]]:
        drawn = corners[corners[:, 0] == law.times[i]][:, 1]
        # 1e-12: the same quantiles of the same numbers
        np.testing.assert_allclose([drawn.min(), drawn.max()], [low[i], high[i]], rtol=1e-12)
    assert np.isfinite(measured.get_paths()[0].vertices).all()

    axis = panels(figure)["times"]
    _, high = axis.get_ylim()
    assert len(axis.patches) == 8 and axis.get_xscale() == "linear" and axis.get_yscale() == "log"
    points, medians = lines(axis, "none", marker=True), lines(axis, "solid", marker=False)
    for k, (p, event) in enumerate(itertools.product(range(2), ("alignment", "recovery"))):
        drawn = np.quantile(getattr(law, event)[:, p], [0.05, 0.95, 0.25, 0.75, 0.5], method="inverted_cdf")
        ends = [[box.get_y(), box.get_y() + box.get_height()] for box in axis.patches[2 * k : 2 * k + 2]]
        # 1e-12: a bar is kept as its foot and height
        np.testing.assert_allclose(np.ravel(ends), np.minimum(drawn[:4], high), rtol=1e-12)
        np.testing.assert_array_equal(medians[k].get_ydata(), drawn[4])
        times = getattr(run, event)[[0, 2, 3, 4, 5], p]
        np.testing.assert_array_equal(points[k].get_ydata(), np.minimum(times, high / 1.08))
        box = axis.patches[2 * k]
        assert (points[k].get_xdata() > box.get_x()).all()
        assert (points[k].get_xdata() < box.get_x() + box.get_width()).all()
    assert noisy.agreement.verdict in axis.get_title(loc="left")
    legend = axis.get_legend()
    assert legend is not None and f"{law.start} start, 5–95 %" in legend.get_texts()[0].get_text()
    assert "its median" in legend_texts(axis)


def test_legends_hold_what_is_drawn(small_comparison: Comparison) -> None:
    data, steps = data_of(small_comparison), ["gradient flow", "SGD"]
    both = panels(picture.draw(data))
    assert legend_texts(both["steps"]) == [*steps, "closed form of ½"]
    assert {"alignment", "recovery"} < set(legend_texts(both["times"]))
    data["closed_form"], data["predicted"][1] = np.full(2, np.inf), np.nan
    less = panels(picture.draw(data))
    assert legend_texts(less["steps"]) == steps
    assert "alignment" in legend_texts(less["times"]) and "recovery" not in legend_texts(less["times"])


def test_a_median_of_the_law_beyond_the_panel_is_in_no_legend(noisy: Comparison) -> None:
    data = data_of(noisy)
    data["law_quantiles"][2:] = np.inf
    texts = legend_texts(panels(picture.draw(data))["times"])
    assert "its quartiles" in texts and "its median" not in texts


def test_without_the_law_in_the_verdict_there_are_no_bands_of_it(
    small_comparison: Comparison, many_directions: Comparison
) -> None:
    """Of given starts, one a seed, there is no law; where noise plays no part it is not asked."""
    for comparison, reason in ((small_comparison, "little part"), (many_directions, "each seed was given its own")):
        assert comparison.law is None and reason in comparison.agreement.law_absent
        assert comparison.agreement.against == "flow"
        assert not any(name.startswith("law") for name in data_of(comparison))


# --- looks ----------------------------------------------------------------------------------------


def test_series_differ_in_colour_dash_and_marker() -> None:
    looks = [series(i) for i in range(SHOWN)]
    for key in ("color", "linestyle", "marker"):
        assert len({str(look[key]) for look in looks}) == SHOWN, key


@pytest.mark.parametrize("width", WIDTHS)
def test_size_scales_and_labels(small_comparison: Comparison, width: str) -> None:
    figure = draw(small_comparison, width)
    assert figure.get_figwidth() == WIDTHS[width]
    assert 0.4 <= figure.get_figheight() / figure.get_figwidth() <= 2.2
    axes = panels(figure)
    assert set(axes) == {"steps", "loss", "times"}
    scales = {name: (axis.get_xscale(), axis.get_yscale()) for name, axis in axes.items()}
    assert scales == {"steps": ("log", "linear"), "loss": ("log", "log"), "times": ("log", "log")}
    assert "strength" in axes["steps"].get_ylabel()
    assert "flow time" in axes["loss"].get_xlabel() and "loss" in axes["loss"].get_ylabel()
    assert "predicted" in axes["times"].get_xlabel() and "measured" in axes["times"].get_ylabel()
    assert small_comparison.agreement.verdict in axes["times"].get_title(loc="left")
    for axis in axes.values():
        assert axis.get_legend() is not None


VARIANTS: dict[str, Callable[[Comparison], Comparison]] = {
    "plain": lambda comparison: comparison,
    "one seed": lambda comparison: sliced(comparison, 1),
    "unreached": with_unreached,
    "first seed diverged": lambda comparison: with_divergence(comparison, (0,)),
    "all diverged": lambda comparison: with_divergence(comparison, tuple(range(9))),
}


@pytest.mark.parametrize(
    ("variant", "width"),
    [("plain", "slide"), *itertools.product([*VARIANTS, "many directions"], ["column", "text"])],
)
def test_no_text_is_clipped_or_overlaps(
    small_comparison: Comparison, many_directions: Comparison, variant: str, width: str
) -> None:
    comparison = many_directions if variant == "many directions" else VARIANTS[variant](small_comparison)
    figure = draw(comparison, width)
    assert len(assert_readable(figure)) > 20


@pytest.mark.parametrize("width", LAYOUTS)
def test_bands_leave_the_texts_free(noisy: Comparison, width: str) -> None:
    figure = draw(noisy, width)
    assert_readable(figure)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_files_are_reproducible_and_say_where_they_come_from(
    small_comparison: Comparison, tmp_path: Path, kind: str
) -> None:
    paths = [tmp_path / f"{name}.{kind}" for name in ("one", "two")]
    for path in paths:
        save(draw(small_comparison), path, FACTS)
    content = paths[0].read_bytes()
    assert content == paths[1].read_bytes() and len(content) > 10_000
    if kind == "png":
        with Image.open(paths[0]) as image:
            assert image.size[0] == pytest.approx(WIDTHS["text"] * 200, abs=1)  # 200 dots an inch
            assert {name: image.info[name] for name in FACTS} == FACTS
        return
    if kind == "pdf":
        assert content.startswith(b"%PDF") and b"CreationDate" not in content
        stated = content.decode("latin-1").replace("\\", "")
    else:
        root = ElementTree.fromstring(content)
        stated = "\n".join(element.text or "" for element in root.iter() if "description" in element.tag.lower())
        assert "<dc:date>" not in content.decode()
    for name in ("problem", "seed", "version"):
        assert f"{name}={FACTS[name]}" in stated
