"""Every result has a picture that shows its numbers, and a card in a notebook."""

from __future__ import annotations

import importlib.util
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from emergence import (
    Activation,
    Direct,
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
    sgd_law,
    transition_law,
)
from emergence.figures.style import WIDTHS
from emergence.problem.cards import Card
from emergence.theory.finite_size_law import law_of_starts

PROBLEM = Problem(Activation("h4"), Teacher([0.8, 0.6, 0.0]), d=9, m=4, init_scale=0.1)
ROWS = np.eye(4, 9) * 0.6 + np.eye(4, 9, k=3) * 0.8


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    law = law_of_starts(PROBLEM, np.stack([ROWS, PROBLEM.initial_directions(0)]))
    run = Run(PROBLEM, 1e-3, 2000, seeds=2, records=40, sampler=Direct("numpy"), directions=ROWS)
    return {
        "simulation": execute(run, workers=1),
        "prediction": predict(PROBLEM, ROWS, t_max=4.0),
        "flow": flow(PROBLEM, ROWS, t_max=4.0),
        "sgd_law": sgd_law(PROBLEM, 1e-4, draws=8, t_max=5.0),
        "finite_law": law,
        "curve": resource_curves.compute_width_time(law),
        "dimensions": resource_curves.dimension_time(replace(law, starts=0), [16, 32]),
    }


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
    axes = plot(overlay(PROBLEM, results["simulation"])).axes
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
