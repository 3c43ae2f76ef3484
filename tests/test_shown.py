"""Results as tables, data frames, labelled arrays, pictures and cards: the same numbers, named."""

from __future__ import annotations

import importlib.util
import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emergence import (
    Activation,
    Direct,
    Leap,
    Problem,
    Run,
    Teacher,
    execute,
    flow,
    overlay,
    plot,
    predict,
    resource_curves,
    save,
    transition_law,
)
from emergence.cli.report import page
from emergence.figures.captions import run_facts, run_text
from emergence.figures.overlay import data_of
from emergence.figures.style import WIDTHS
from emergence.problem.cards import Card
from emergence.problem.tables import Tabulated
from emergence.theory.finite_size_law import finite_law, law_of_starts

PROBLEM = Problem(Activation("h4"), Teacher([0.8, 0.6, 0.0]), d=9, m=4, init_scale=0.1)
WITH_DATA = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("xarray", "pandas")), reason="no xarray or pandas"
)
ROWS = np.eye(4, 9) * 0.6 + np.eye(4, 9, k=3) * 0.8


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    law = law_of_starts(PROBLEM, np.stack([ROWS, PROBLEM.initial_directions(0)]))
    run = Run(PROBLEM, 1e-3, 2000, batch=2, seeds=2, records=40, sampler=Direct("numpy"), directions=ROWS)
    simulation = execute(run, workers=1)
    comparison = overlay(PROBLEM, simulation)
    assert comparison.calibration is not None
    return {
        "simulation": simulation,
        "comparison": comparison,
        "prediction": predict(PROBLEM, ROWS, t_max=4.0),
        "flow": flow(PROBLEM, ROWS, t_max=4.0),
        "sgd_law": comparison.calibration.law,
        "finite_law": law,
        "curve": resource_curves.compute_width_time(law),
        "dimensions": resource_curves.dimension_time(replace(law, starts=0), [16, 32]),
    }


def test_every_table_has_columns_of_one_length(results: dict[str, Any]) -> None:
    sizes = {
        (name, kind): {column.shape for column in result.columns(kind).values()}
        for name, result in results.items()
        for kind in ("times", "curves")
        if (name, kind) not in {("finite_law", "curves"), ("curve", "times"), ("dimensions", "times")}
    }
    flows, draws = results["flow"].times.size, len(results["sgd_law"].alignment)
    assert sizes == {
        ("simulation", "times"): {(2 * 3,)}, ("simulation", "curves"): {(2 * 41,)},
        ("comparison", "times"): {(2 * 2 * 3,)}, ("comparison", "curves"): {(2 * 41,)},
        ("prediction", "times"): {(3,)}, ("prediction", "curves"): {(results["prediction"].flow.times.size,)},
        ("flow", "times"): {(3,)}, ("flow", "curves"): {(flows,)},
        ("sgd_law", "times"): {(draws * 3,)}, ("sgd_law", "curves"): {(results["sgd_law"].times.size,)},
        ("finite_law", "times"): {(2 * 3,)}, ("curve", "curves"): {(results["curve"].x.size,)},
        ("dimensions", "curves"): {(2,)},
    }  # fmt: skip


def test_rows_hold_what_their_names_say(results: dict[str, Any]) -> None:
    simulation, comparison, law = results["simulation"], results["comparison"], results["sgd_law"]
    times, curves = simulation.columns("times"), simulation.columns("curves")
    np.testing.assert_array_equal(
        times["recovery"][(times["seed"] == 1) & (times["p"] == 2)], simulation.recovery[1, 2]
    )
    row = (curves["seed"] == 1) & (curves["time"] == simulation.times[3])
    assert curves["loss"][row] == simulation.loss[1, 3] and curves["strength_1"][row] == simulation.strengths[1, 3, 1]
    np.testing.assert_array_equal(curves["samples"][:5], [0, 50, 100, 150, 200])
    both = comparison.columns("curves")
    row = (both["seed"] == 1) & (both["time"] == simulation.times[4])
    assert both["flow_strength_0"][row] == comparison.predictions[1].flow.strengths_at(simulation.times)[4, 0]
    assert both["loss"][row] == simulation.loss[1, 4] != both["flow_loss"][row]
    draws = law.columns("times")
    np.testing.assert_array_equal(draws["alignment"][(draws["draw"] == 3) & (draws["p"] == 0)], law.alignment[3, 0])
    assert list(results["curve"].columns()) == ["x", "value", "q0.5", "width"]


def test_a_table_that_there_is_not_is_refused(results: dict[str, Any]) -> None:
    for result in results.values():
        assert isinstance(result, Tabulated)
        with pytest.raises(ValueError, match=r"`kind` must be one of .*, but is 'norms'"):
            result.columns("norms")


def test_a_missing_extra_is_named(results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"`to_dataframe` needs pandas; install sgd-emergence\[data\]"):
        results["curve"].to_dataframe()
    with pytest.raises(ImportError, match=r"`to_xarray` needs xarray; install sgd-emergence\[data\]"):
        results["simulation"].to_xarray()


@WITH_DATA
def test_data_frames(results: dict[str, Any]) -> None:
    frame = results["simulation"].to_dataframe("curves")
    assert (
        list(frame) == ["seed", "time", "samples", "loss", "strength_0", "strength_1", "strength_2"]
        and len(frame) == 82
    )
    np.testing.assert_array_equal(frame.groupby("time")["loss"].mean(), results["simulation"].loss.mean(axis=0))
    assert set(results["prediction"].to_dataframe().status) <= {"learned", "not_by_horizon", "never"}
    assert list(results["curve"].to_dataframe()) == ["x", "value", "q0.5", "width"]


@WITH_DATA
def test_labelled_arrays(results: dict[str, Any]) -> None:
    run = results["simulation"]
    data = run.to_xarray()
    assert dict(data.sizes) == {"seed": 2, "time": 41, "student": 4, "direction": 3}
    assert data.overlap.dims == ("seed", "time", "student", "direction") and data.norm.dims == (
        "seed",
        "time",
        "student",
    )
    np.testing.assert_array_equal(data.overlap.sel(seed=1, direction=1).isel(time=2), run.overlaps[1, 2, :, 1])
    strength = (data.norm**2 * data.overlap**2).sum("student")
    np.testing.assert_allclose(
        strength.transpose(*data.strength.dims), data.strength, rtol=1e-12
    )  # another order of sums
    assert all(data[name].attrs["units"] and data[name].attrs["long_name"] for name in (*data, *data.coords))
    assert data.time.attrs["units"] == data.recovery.attrs["units"] == "flow time" and data.attrs["d"] == 9
    assert all(isinstance(value, str | int | float) for value in data.attrs.values()), "as netCDF has them"
    leap = execute(Run(PROBLEM, 1e-3, 200, seeds=1, sampler=Leap(), seed=2**70), workers=1).to_xarray()
    assert leap.attrs["method"] == "leap" and leap.valid_until.shape == (1,)


# --- pictures and cards ---------------------------------------------------------------------------------------------


def curves(axis: Any) -> list[np.ndarray]:
    """Heights of the lines in a panel."""
    return [np.asarray(line.get_ydata()) for line in axis.lines if len(line.get_ydata()) > 1]


def test_paths_of_a_simulation_and_of_the_flow(results: dict[str, Any]) -> None:
    simulation = results["simulation"]
    steps, losses = plot(simulation).axes
    for i, row in enumerate(curves(losses)):
        np.testing.assert_array_equal(row, simulation.loss[i, 1:])
    drawn = curves(steps)
    assert len(drawn) == 2 * 2, "seeds × directions that have a strength"
    np.testing.assert_array_equal(drawn[1], simulation.strengths[1, 1:, 0] / 0.8)
    assert steps.get_title(loc="left") == "SGD, 2 seeds" and steps.get_xlabel().startswith("flow time")
    found = results["flow"]
    steps, losses = plot(found, width="column").axes
    np.testing.assert_array_equal(curves(losses)[0], found.loss[1:])
    assert {text.get_text() for text in steps.texts} == {"1", "2"}, "named where they recover"
    first = plot(results["prediction"]).axes[0]
    marks = [line.get_xdata()[0] for line in first.lines if line.get_marker() == "v"]
    closed = results["prediction"].alignment["closed_form"]
    assert sorted(marks) == sorted(t for t in closed if first.get_xlim()[0] < t < first.get_xlim()[1])
    assert first.get_legend() is not None
    alone = results["prediction"].alignment | {"closed_form": np.full(3, np.inf)}
    assert plot(replace(results["prediction"], alignment=alone)).axes[0].get_legend() is None


def test_a_high_pass_and_label_noise_are_said_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    sigma = Activation("h4 + h6/2", 5)
    assert (sigma.name, sigma.label, Activation("cos(x)").label) == ("h4 + h6/2", "h4 + h6/2 from degree 5", "cos(x)")
    problem = Problem(sigma, Teacher([1.0]), d=9, m=2)
    run = Run(problem, 1e-4, 8, batch=2, label_noise=0.5, seeds=2, records=2, sampler=Direct("numpy"))
    comparison = overlay(problem, execute(run, workers=1))
    for card in (comparison, comparison.predictions[0], finite_law(problem, draws=2), transition_law(sigma)):
        assert sigma.label in str(card).splitlines()[0]
    assert "batch 2, label noise 0.5, flow time" in str(comparison)
    assert "engine numpy (compiled takes batch 1, not 2), float64" in str(comparison)
    assert "0 of 2 diverged (later than every time); median final loss 0." in str(comparison)
    heading = run_text(data_of(comparison))
    assert "$h_{4} + h_{6}/2$ from degree 5," in heading and "$B=2$, label noise 0.5, 2 seeds" in heading
    monkeypatch.setattr("emergence.cli.report.inline_svg", lambda figure, name, title, described: title)
    report = page(comparison, command="", settings={}, csv="", created="2026-01-01T00:00:00+00:00")
    assert report.count(f"{sigma.label}, d = 9") == 2 and report.count(f"simulation, {sigma.label}: ") == 2
    quiet = run_facts(Run(PROBLEM, 1e-4, 8, sampler=Direct("numpy")))
    assert set(quiet) == {
        f"run_{name}" for name in ("sampler", "step_size", "batch", "seeds", "activation", "P", "d", "m")
    }
    assert quiet["run_activation"] == "h4" and "noise" not in str(
        execute(Run(PROBLEM, 1e-4, 8, sampler=Direct("numpy")), workers=1)
    )


def test_laws_and_curves(results: dict[str, Any]) -> None:
    law = results["sgd_law"]
    loss, times = plot(law).axes
    np.testing.assert_array_equal(curves(loss)[0], law.loss[law.times > 0])
    middle = np.minimum(law.quantiles("recovery", [0.5])[0, :2], law.t_max)
    np.testing.assert_array_equal(curves(times)[1], middle)
    curve = results["curve"]
    value, width = plot(curve).axes
    np.testing.assert_array_equal(curves(value)[0], curve.value)
    np.testing.assert_array_equal(curves(width)[0], curve.choice["width"])
    assert width.get_ylabel() == "best width" and value.get_xlabel() == "compute width time"
    (only,) = plot(results["finite_law"]).axes
    np.testing.assert_array_equal(curves(only)[0], resource_curves.flow_time(results["finite_law"]).value)
    (only,) = plot(results["dimensions"]).axes
    assert only.get_ylabel() == "time" and only.get_xlabel() == "dimension"


def test_a_comparison_is_its_overlay(results: dict[str, Any]) -> None:
    axes = plot(results["comparison"]).axes
    assert {axis.get_ylabel() for axis in axes} >= {"population loss"} and len(axes) == 3


@pytest.mark.parametrize("width", WIDTHS)
def test_a_notebook_shows_the_picture_without_a_backend(results: dict[str, Any], width: str) -> None:
    with Image.open(io.BytesIO(plot(results["flow"], width=width)._repr_png_())) as image:
        assert image.format == "PNG" and image.width == round(200 * WIDTHS[width])


def test_what_has_no_picture_is_refused(results: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"`result` must be a comparison, .* or curve, but is Activation\('h4'\)"):
        plot(PROBLEM.activation)
    with pytest.raises(ValueError, match=r"`width` must be one of column, text, slide, but is 'page'"):
        plot(results["flow"], width="page")


def test_cards_in_a_notebook(results: dict[str, Any]) -> None:
    for result in (*results.values(), transition_law(PROBLEM.activation)):
        assert isinstance(result, Card)
        page = result._repr_html_()
        assert page.startswith("<pre") and page.endswith("</pre>") and str(result).split("\n")[-1].split("<")[0] in page
    odd = predict(Problem(Activation("h4*(1 + 0*Heaviside(x))"), PROBLEM.teacher, 9, 4), ROWS, t_max=0.1)
    assert "<b>prediction for h4*(1" in odd._repr_html_()


NOTEBOOK = [
    "import emergence, sys; result = emergence.load('one'); result",
    "emergence.plot(result)",
    "assert 'matplotlib.pyplot' not in sys.modules; emergence.plot(result.flow).savefig('flow.svg')",
]


@pytest.mark.slow
@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("nbclient", "ipykernel")), reason="no nbclient or ipykernel"
)
@pytest.mark.filterwarnings("default")  # of the notebook's own libraries
def test_a_notebook(results: dict[str, Any], tmp_path: Path) -> None:
    import nbclient
    import nbformat

    save(results["prediction"], tmp_path / "one")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in NOTEBOOK])
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    card, picture, nothing = (cell.outputs for cell in notebook.cells)
    assert card[0].data["text/html"] == results["prediction"]._repr_html_()
    assert picture[0].data["image/png"] and not nothing and (tmp_path / "flow.svg").exists()
