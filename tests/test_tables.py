"""Results as columns, data frames and labelled arrays: the same numbers, named."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import numpy as np
import pytest

from emergence import Activation, Direct, Leap, Problem, Run, Teacher, execute, flow, overlay, predict, sgd_law
from emergence.problem.tables import Tabulated
from emergence.theory import resource_curves
from emergence.theory.finite_size_law import law_of_starts

PROBLEM = Problem(Activation("h4"), Teacher.power_law(2, 0.5), d=9, m=3, init_scale=0.05)
ROWS = PROBLEM.initial_directions(0)
WITH_DATA = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("xarray", "pandas")), reason="no xarray or pandas"
)


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    simulation = execute(Run(PROBLEM, 1e-3, 200, batch=2, seeds=3, records=4, sampler=Direct("numpy")), workers=1)
    law = law_of_starts(PROBLEM, np.stack([ROWS, -ROWS]))
    return {
        "simulation": simulation,
        "comparison": overlay(PROBLEM, simulation),
        "prediction": predict(PROBLEM, ROWS, t_max=1.0),
        "flow": flow(PROBLEM, ROWS, t_max=1.0),
        "sgd_law": sgd_law(PROBLEM, 1e-4, draws=4, t_max=1.0),
        "finite_law": law,
        "curve": resource_curves.flow_time(law),
    }


def test_every_table_has_columns_of_one_length(results: dict[str, Any]) -> None:
    sizes = {
        (name, kind): {column.shape for column in result.columns(kind).values()}
        for name, result in results.items()
        for kind in ("times", "curves")
        if (name, kind) not in {("finite_law", "curves"), ("curve", "times")}
    }
    flows = results["flow"].times.size
    assert sizes == {
        ("simulation", "times"): {(3 * 2,)}, ("simulation", "curves"): {(3 * 5,)},
        ("comparison", "times"): {(2 * 3 * 2,)}, ("comparison", "curves"): {(3 * 5,)},
        ("prediction", "times"): {(2,)}, ("prediction", "curves"): {(results["prediction"].flow.times.size,)},
        ("flow", "times"): {(2,)}, ("flow", "curves"): {(flows,)},
        ("sgd_law", "times"): {(4 * 2,)}, ("sgd_law", "curves"): {(results["sgd_law"].times.size,)},
        ("finite_law", "times"): {(2 * 2,)}, ("curve", "curves"): {(results["curve"].x.size,)},
    }  # fmt: skip


def test_rows_hold_what_their_names_say(results: dict[str, Any]) -> None:
    simulation, comparison, law = results["simulation"], results["comparison"], results["sgd_law"]
    times, curves = simulation.columns("times"), simulation.columns("curves")
    np.testing.assert_array_equal(
        times["recovery"][(times["seed"] == 2) & (times["p"] == 1)], simulation.recovery[2, 1]
    )
    row = (curves["seed"] == 1) & (curves["time"] == simulation.times[3])
    assert curves["loss"][row] == simulation.loss[1, 3] and curves["strength_1"][row] == simulation.strengths[1, 3, 1]
    np.testing.assert_array_equal(curves["samples"][:5], [0, 50, 100, 150, 200])
    both = comparison.columns("curves")
    row = (both["seed"] == 2) & (both["time"] == simulation.times[4])
    assert both["flow_strength_0"][row] == comparison.predictions[2].flow.strengths_at(simulation.times)[4, 0]
    assert both["loss"][row] == simulation.loss[2, 4] != both["flow_loss"][row]
    draws = law.columns("times")
    np.testing.assert_array_equal(draws["alignment"][(draws["draw"] == 3) & (draws["p"] == 0)], law.alignment[3, 0])
    assert list(results["curve"].columns()) == ["x", "value", "q0.5"]


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
    assert list(frame) == ["seed", "time", "samples", "loss", "strength_0", "strength_1"] and len(frame) == 15
    np.testing.assert_array_equal(frame.groupby("time")["loss"].mean(), results["simulation"].loss.mean(axis=0))
    assert set(results["prediction"].to_dataframe().status) <= {"learned", "not_by_horizon", "never"}
    assert list(results["curve"].to_dataframe()) == ["x", "value", "q0.5"]


@WITH_DATA
def test_labelled_arrays(results: dict[str, Any]) -> None:
    run = results["simulation"]
    data = run.to_xarray()
    assert dict(data.sizes) == {"seed": 3, "time": 5, "student": 3, "direction": 2}
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
