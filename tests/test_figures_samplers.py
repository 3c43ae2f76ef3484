"""The phase diagram, the samplers and the spectra: their numbers, artists and files."""

from __future__ import annotations

import importlib
import itertools
import math
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import NUMBA
from figure_texts import LAYOUTS, assert_readable
from matplotlib.collections import QuadMesh
from scipy.stats import beta, ks_2samp

from emergence._types import Array
from emergence.figures import phase_diagram, samplers, spectra
from emergence.figures.catalogue import recipe
from emergence.figures.samplers import critical_distance, ks_distance
from emergence.figures.style import WIDTHS, save
from emergence.simulate.danger import SAFE, largest_kick

Data = dict[str, Array]
TINY: dict[str, dict[str, Any]] = {
    "phase_diagram": {"activation": "h4", "m": 4, "dimensions": [128, 2048], "ratios": [0.02, 1.0, 100.0], "seeds": 3},
    "samplers": {
        "d": 20, "m": 2, "step_size": 3e-4, "flow_time": 1.5, "seeds": 12, "dimensions": [64, 10**6], "cost_P": 2,
        "cost_m": 4, "cost_d": 64, "cost_flow_time": 4.0, "samples": [10**7, 10**12], "cost_seeds": 2,
    },
    "spectra": {"activations": ["relu(x)", "tanh(x)", "abs(x)", "h4"], "degree": 6},
}  # fmt: skip
NAMES = list(TINY)


def module(name: str) -> ModuleType:
    return importlib.import_module(f"emergence.figures.{name}")


@cache
def computed(name: str) -> Data:
    if name == "samplers" and not NUMBA:
        pytest.skip("no numba")
    data: Data = module(name).compute(TINY[name], 3)
    return data


# --- numbers --------------------------------------------------------------------------------------


def test_phase_diagram_scales() -> None:
    data = computed("phase_diagram")
    # 0.05: η_p = 4 I c² a s_0 / (d φ(1) φ'(1)) = 2 s_0/d for h_4; the best of 4 has Φ-quantile ½(1 + 2^{−1/4})
    # of |z| = 1.40 as d → ∞, s_0 = 1.97/d, with corrections of order 1/d
    threshold = phase_diagram._scales(TINY["phase_diagram"], 2048)[1]
    assert threshold * 2048**2 == pytest.approx(2 * 1.97, rel=0.05)
    problem, threshold, _ = phase_diagram._scales(TINY["phase_diagram"], int(data["edge_d"][0]))
    flow_time = 5 / (8 * 0.5 * threshold * problem.d)
    danger = data["edge_danger"][0] * threshold
    kick = largest_kick(problem, danger, 1, 3 * flow_time / danger)
    assert kick == pytest.approx(SAFE, rel=0.02)  # 1/(8 s_0) is a few per cent off; κ feels its logarithm
    run = data["kick"] <= phase_diagram.UNSEEN
    assert ((data["tested"] > 0) == run).all(), "only where leap has something to say"
    for smaller, larger in itertools.pairwise(("followed", "aligned", "tested")):
        assert (data[smaller] <= data[larger]).all()
    assert data["tested"].max() <= 3
    assert data["followed"][1, 0] == data["tested"][1, 0], "far below η_p noise plays no part"


def test_fractions_have_exact_intervals() -> None:
    found = phase_diagram._intervals(np.array([[3, 1]]), np.array([[4, 0]]))
    # 1e-6: binomtest's root finder; the bounds are quantiles of beta laws (Clopper & Pearson 1934)
    np.testing.assert_allclose(found[:, 0, 0], [beta.ppf(0.025, 3, 2), beta.ppf(0.975, 4, 1)], rtol=1e-6)
    assert np.isnan(found[:, 0, 1]).all(), "none was tested"


def test_distances_and_their_critical_value() -> None:
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, 30))
    assert ks_distance(one, other) == pytest.approx(ks_2samp(one, other).statistic, abs=1e-12)  # rounding
    assert ks_distance(np.array([1, math.inf]), np.array([1, 2.0])) == 0.5
    for n in (12, 100):
        k = round(n * critical_distance(n, 0.01))
        shifted = [ks_2samp(np.arange(n), np.arange(n) + j - 0.5, method="exact").pvalue for j in (k, k - 1)]
        assert shifted[0] <= 0.01 < shifted[1], "least distance that is significant, by SciPy's exact law"
    assert critical_distance(2, 0.01) == math.inf


def test_samplers_counts() -> None:
    data, sizes = computed("samplers"), TINY["samplers"]
    m, P = sizes["cost_m"], sizes["cost_P"]
    np.testing.assert_array_equal(data["per_sample"][0], (2 * m + 1) * data["d"])
    block = 32  # max(32, m) samples a block at batch 1
    width = P + m + block
    adds = block * m * 2 * width + sum(2 * (width - P - i) for i in range(m) for _ in range(i, m))
    reduced = data["per_sample"][1]
    assert (reduced == reduced[0]).all(), "free of d"
    normals = reduced[0] - adds / block
    assert width + 1 <= normals <= 2 * (width + 1) + 4096 / block  # whole chunks of the generator
    assert data["alignment"].shape == (3, 12) and (data["alignment"][:, 1:] >= data["alignment"][:, :-1]).all()
    for distance, other in zip(data["distance"], data["alignment"][1:], strict=True):
        finite = [np.where(np.isfinite(x), x, 1e9) for x in (data["alignment"][0], other)]
        assert distance == pytest.approx(ks_2samp(*finite).statistic, abs=1e-12)  # rounding
    assert data["macro_steps"].max() < 10**5, "free of the number of samples"
    np.testing.assert_array_equal(data["per_run"][0], (2 * m + 1) * sizes["cost_d"] * data["samples"])
    ratio = data["leap_run"] / data["macro_steps"]
    assert np.ptp(ratio) < 1e-9 * ratio.max(), "a fixed price a macro-step, up to rounding"


def test_spectra_are_the_exact_coefficients() -> None:
    data = computed("spectra")
    relu = data["coefficients"][0]
    # relu: c_0 = 1/√(2π), c_1 = ½, c_2 = 1/(2√π), E[σ²] = ½; 1e-12: rounding
    np.testing.assert_allclose(relu[:4], [1 / math.sqrt(2 * math.pi), 0.5, 0.5 / math.sqrt(math.pi), 0], atol=1e-12)
    assert data["scale"][0] == pytest.approx(math.sqrt(0.5), rel=1e-12)
    assert data["exponent"].tolist() == [1, 1, 2, 4]


@pytest.mark.parametrize("name", ["phase_diagram", "spectra"])
def test_the_same_seed_gives_the_same_data(name: str) -> None:
    again = module(name).compute(TINY[name], 3)
    assert set(again) == set(computed(name))
    for key, value in again.items():
        np.testing.assert_array_equal(value, computed(name)[key], err_msg=key)


# --- artists --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_size_and_room_for_text(name: str, width: str) -> None:
    figure = recipe(name).figure(computed(name), "quick", width)
    assert figure.get_figwidth() == WIDTHS[width]
    counts = {text for axis in figure.axes for text in axis.texts if "/" in text.get_text()}  # on contours, on a ground
    assert len(assert_readable(figure, slack=1, crowded=counts)) > 12  # pixel: hinting at the edge of the page


def test_phase_diagram_artists() -> None:
    data = computed("phase_diagram")
    figure = phase_diagram.draw(data)
    plane, fractions = figure.axes[:2]
    assert (plane.get_xscale(), plane.get_yscale()) == ("log", "log")
    assert "dimension" in plane.get_xlabel() and "step size" in plane.get_ylabel()
    (mesh,) = (item for item in plane.collections if isinstance(item, QuadMesh))
    shown = np.ma.masked_invalid(mesh.get_array()).reshape(3, 2).T
    assert (shown.mask == (data["tested"] == 0)).all()
    np.testing.assert_array_equal(shown.compressed(), (data["followed"] / np.maximum(data["tested"], 1))[~shown.mask])
    corners = mesh.get_coordinates()
    assert np.ptp(corners[:, :, 0], axis=0).max() == np.ptp(corners[:, :, 1], axis=1).max() == 0, "a rectangle"
    counts = [f"{k}/{n}" for k, n in zip(data["followed"].ravel(), data["tested"].ravel(), strict=True) if n]
    assert [text.get_text() for text in plane.texts] == counts
    lines = {str(line.get_label()): line.get_ydata() for line in plane.lines}
    assert (lines[r"$\eta_p$: drift = noise"] == 1).all()
    np.testing.assert_array_equal(lines[r"$\kappa=1/4$: single samples"], data["edge_danger"])
    np.testing.assert_array_equal(lines["ceiling"], data["edge_ceiling"])
    assert "SGD (leap), $h_{4}$, $P=1$, $m=4$, 3 seeds a cell" in figure.get_suptitle()
    for bars, d, kick, of in zip(fractions.containers, data["d"], data["kick"], data["tested"], strict=True):
        assert bars.get_label() == f"$d={d}$"
        assert len(bars.lines[0].get_xdata()) == ((kick <= SAFE) & (of > 0)).sum(), "each dimension by itself"


def test_samplers_artists() -> None:
    figure = samplers.draw(computed("samplers"))
    laws, sample, run = figure.axes
    for line, times in zip(laws.lines, computed("samplers")["alignment"], strict=True):
        reached = np.isfinite(times).sum()
        x, y = line.get_data()
        levels = y[np.searchsorted(x, times[:reached], side="right") - 1]
        np.testing.assert_array_equal(levels, np.arange(1, reached + 1) / len(times))
        assert reached > 2 and y[-1] == reached / len(times)
    assert [axis.get_xscale() for axis in (laws, sample, run)] == ["linear", "log", "log"]
    names = [{text.get_text() for text in axis.texts} for axis in (sample, run)]
    assert names == [{"direct", "reduced"}, {"direct", "reduced", "leap"}]
    assert "12" in laws.get_ylabel() and len(figure.legends) == 1


def test_spectra_artists() -> None:
    data = computed("spectra")
    for axis, row, scale in zip(spectra.draw(data).axes, data["coefficients"], data["scale"], strict=False):
        heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height() for bar in axis.patches}
        expected = {k: abs(c) / scale for k, c in enumerate(row) if abs(c) > 1e-9}
        assert heights == pytest.approx(expected, rel=1e-12)  # the same quotients


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), list(itertools.product(NAMES, ["png", "svg"])))
def test_files_are_reproducible(tmp_path: Path, name: str, kind: str) -> None:
    paths = [tmp_path / f"{i}.{kind}" for i in range(2)]
    for path in paths:
        save(module(name).draw(computed(name), "column"), path, {"Title": "t"})
    assert paths[0].read_bytes() == paths[1].read_bytes() and paths[0].stat().st_size > 5000
