"""The command line: the JSON that outside checks rely on, exit codes, files, and every refusal.

Most runs are in this process (``emergence.cli``); a few are real ones.
"""

from __future__ import annotations

import csv
import errno
import json
import math
import os
import subprocess
import sys
import warnings
from functools import wraps
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import sympy
from conftest import TORCH, Cli, Outcome, stored
from PIL import Image

from emergence import load, provenance, simulate
from emergence.cli import commands
from emergence.cli.flags import integer
from emergence.problem import Activation, Problem, Teacher
from emergence.problem.seeds import DIRECTIONS, seed_stream

SMALL = ["--d", "12", "--P", "2", "--m", "4", "--init-scale", "0.1"]
SHORT = ["--samples", "2e3", "--step-size", "1e-4", "--records", "5", "--engine", "numpy"]
LEVELS = {"closed_form", "decoupled", "flow"}


@pytest.fixture
def tilted(tmp_path: Path) -> str:
    """Directions for ``SMALL``: student p starts at overlap 0.6 with direction p, the others at none."""
    rows = 0.8 * np.eye(12)[2:6]
    rows[[0, 1], [0, 1]] = 0.6
    np.save(tmp_path / "tilted.npy", rows)
    return str(tmp_path / "tilted.npy")


def is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def is_times(values: Any, P: int) -> bool:
    return len(values) == P and all(value is None or (is_number(value) and value >= 0) for value in values)


# --- hermite --------------------------------------------------------------------------------------


def test_hermite_document(cli: Cli) -> None:
    document = cli.json("hermite", "h4 + h6/2 + abs(x)")
    coefficients = document["coefficients"]
    assert [item["k"] for item in coefficients] == list(range(21)), "zeros included, to degree 20"
    for item in coefficients:
        assert set(item) == {"k", "exact", "value", "error"}
        assert isinstance(item["exact"], str) and item["error"] == 0.0
        # 1e-15: the value is the exact one, rounded
        assert float(sympy.sympify(item["exact"])) == pytest.approx(item["value"], rel=1e-15, abs=1e-18)
    assert coefficients[4]["value"] == pytest.approx(1 - 1 / math.sqrt(12 * math.pi), rel=1e-15)
    assert coefficients[3] == {"k": 3, "exact": "0", "value": 0.0, "error": 0.0}
    assert document["information_exponent"] == 2 and document["parity"] == "even"


def test_hermite_of_other_activations(cli: Cli) -> None:
    numerical = cli.json("hermite", "tanh(x)**2", "--max-degree", "6")
    assert len(numerical["coefficients"]) == 7
    second = numerical["coefficients"][2]
    assert second["exact"] is None and 0 < second["error"] < 1e-12
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    expected = weights @ (np.tanh(nodes) ** 2 * (nodes**2 - 1)) / math.sqrt(4 * math.pi)
    assert second["value"] == pytest.approx(expected, abs=1e-6)  # tanh has poles at ±iπ/2: slow quadrature
    assert cli.json("hermite", "x**3 - 3*x", "--max-degree", "3")["parity"] == "odd"
    assert cli.json("hermite", "exp(x)", "--max-degree", "2")["parity"] is None
    constant = cli.json("hermite", "7", "--max-degree", "2")
    assert constant["information_exponent"] is None
    assert [item["value"] for item in constant["coefficients"]] == [7.0, 0.0, 0.0]
    passed = cli.json("hermite", "abs(x)", "--high-pass", "3")
    assert passed["information_exponent"] == 4
    assert [item["value"] for item in passed["coefficients"][:4]] == [0, 0, 0, 0]


@pytest.mark.parametrize("text", ["-x**2", "-h4", " h4 "])
def test_expressions_may_begin_with_a_minus(cli: Cli, text: str) -> None:
    assert cli("hermite", text, "--max-degree", "4").code == 0
    assert cli.json("hermite", "--json", text, "--max-degree", "4")["information_exponent"] in (2, 4)


# --- predict --------------------------------------------------------------------------------------


def check_predict(document: Any, P: int, m: int) -> None:
    assert {
        "problem", "alignment", "recovery", "student", "status", "late", "strengths", "t_end", "flow_final_loss",
        "flow_method", "flow_bound",
    } <= set(document)  # fmt: skip
    for event in ("alignment", "recovery"):
        assert set(document[event]) == LEVELS
        assert all(is_times(times, P) for times in document[event].values())
    assert len(document["student"]) == len(document["status"]) == len(document["strengths"]) == P
    assert len(document["late"]) == P and all(0 <= p <= 1 for p in document["late"] if p is not None)
    assert all(k is None or (isinstance(k, int) and 0 <= k < m) for k in document["student"])
    assert set(document["status"]) <= {"learned", "not_by_horizon", "never"}
    for status, time_ in zip(document["status"], document["recovery"]["flow"], strict=True):
        assert (status == "learned") == (time_ is not None)
    assert is_number(document["t_end"]) and is_number(document["flow_final_loss"])


def test_predict_document(cli: Cli) -> None:
    document = cli.json("predict", *SMALL, "--seed", "1")
    check_predict(document, P=2, m=4)
    assert document["status"] == ["learned", "learned"]
    assert document["t_end"] >= max(document["recovery"]["flow"])
    problem = document["problem"]
    assert (problem["activation"], problem["d"], problem["m"], problem["P"]) == ("h4", 12, 4, 2)
    assert problem["init_scale"] == 0.1 and problem["beta"] == 1.0
    np.testing.assert_allclose(problem["strengths"], [2 / math.sqrt(5), 1 / math.sqrt(5)], rtol=1e-15)
    rows = Problem(Activation("h4"), Teacher.power_law(2, 1.0), 12, 4).initial_directions(seed_stream(1, 0, DIRECTIONS))
    for p, k in enumerate(document["student"]):
        closed = 1 / (8 * problem["strengths"][p] * rows[k, p] ** 2)
        assert document["alignment"]["closed_form"][p] == pytest.approx(closed, rel=1e-12)  # T = 1/(8 a s_0)


def test_predict_horizon_and_nulls(cli: Cli) -> None:
    early = cli.json("predict", *SMALL, "--t-max", "0.01")
    check_predict(early, P=2, m=4)
    assert early["t_end"] == pytest.approx(0.01, rel=1e-12)
    assert early["status"] == ["not_by_horizon"] * 2 and early["recovery"]["flow"] == [None, None]
    weak = cli.json("predict", "--strengths", "1,0", "--d", "12", "--m", "4")
    assert weak["status"][1] == "never" and weak["student"][1] is None
    assert all(weak["recovery"][level][1] is None for level in LEVELS)
    odd = cli.json("predict", *SMALL, "--activation", "h3", "--t-max", "1")
    assert odd["alignment"]["closed_form"] == [None, None]
    assert "even" in odd["notes"]["closed_form"]


def test_predict_from_given_directions(cli: Cli, tilted: str) -> None:
    document = cli.json("predict", *SMALL, "--directions", tilted)
    assert document["student"] == [0, 1], "student p starts near direction p"
    rows = np.load(tilted)
    np.save(tilted, 7.0 * rows[::-1])  # other lengths, other order
    other = cli.json("predict", *SMALL, "--directions", tilted)
    assert other["student"] == [3, 2]
    # 1e-6: the sum over students runs in another order; solver at rtol 1e-7
    np.testing.assert_allclose(other["recovery"]["flow"], document["recovery"]["flow"], rtol=1e-6)


def test_quantiles_over_random_inits(cli: Cli) -> None:
    document = cli.json("predict", *SMALL, "--quantiles", "0.25,0.5")
    check_predict(document, P=2, m=4)
    assert "quantiles" in document


def test_predict_at_a_finite_step_size(cli: Cli) -> None:
    words = ["predict", *SMALL, "--step-size", "1e-5"]
    document = cli.json(*words)
    check_predict(document, P=2, m=4)
    sgd = document["sgd"]
    assert sgd["levels"] == [0.05, 0.25, 0.5, 0.75, 0.95] and sgd["start"] == "random" and sgd["valid"] is True
    for event in ("alignment", "recovery"):
        assert len(sgd[event]) == 5 and all(is_times(row, 2) for row in sgd[event])
    assert len(sgd["learned_probability"]) == 2 and isinstance(sgd["reason"], str) and is_number(sgd["t_max"])
    given = cli.json(*words, "--quantiles", "0.5", "--t-max", "7", "--batch", "2", "--label-noise", "0.5")["sgd"]
    assert (given["levels"], given["t_max"], given["batch"], given["label_noise"]) == ([0.5], 7.0, 2, 0.5)
    assert "first passage" in cli(*words).out and "sgd" not in cli.json("predict", *SMALL)
    assert sgd["schedule"] == "constant(1e-05)"
    falling = cli.json(*words, "--t-max", "7", "--schedule", "power:1e4:0.5")["sgd"]
    assert falling["schedule"] == "power(1e-05, 10000.0, 0.5)" and falling["t_max"] == 7.0


def test_a_schedule_of_predict_is_read_before_any_work(cli: Cli) -> None:
    without = cli("predict", *SMALL, "--schedule", "power:1e4:0.5")
    unread = cli("predict", *SMALL, "--step-size", "1e-5", "--schedule", "cosine")
    assert (without.code, unread.code, without.out, unread.out) == (2, 2, "", "")
    assert "needs a `step_size`" in without.err and "cannot read the schedule" in unread.err
    for words in (("--batch", "2"), ("--label-noise", "1")):
        assert "need a `step_size`" in cli("predict", *SMALL, *words).err


@pytest.mark.parametrize(("method", "words"), [("foo", "must be one of"), ("diagonal", "does not hold")])
def test_a_flow_method_is_refused_before_anything_is_written(cli: Cli, tmp_path: Path, method: str, words: str) -> None:
    outcome = cli("predict", *SMALL, "--flow-method", method, "--out", str(tmp_path / "out"))
    assert outcome.code == 2 and words in outcome.err and not (tmp_path / "out").exists()


def test_predict_says_why_there_is_no_law_of_sgd(cli: Cli) -> None:
    sgd = cli.json("predict", *SMALL, "--activation", "h3", "--step-size", "1e-5")["sgd"]
    assert sgd["valid"] is False and "even activation" in sgd["reason"] and sgd["learned_probability"] == [None, None]
    above = cli.json("predict", *SMALL, "--step-size", "1e-3", "--t-max", "5")["sgd"]
    assert above["valid"] is False and "of the ceiling" in above["reason"]


def test_predict_from_given_directions_at_a_finite_step_size(cli: Cli, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", np.random.default_rng(1).standard_normal((4, 24)))
    words = ["--directions", str(tmp_path / "rows.npy"), "--step-size", "1e-5", "--d", "24"]
    assert cli.json("predict", *SMALL, *words)["sgd"]["start"] == "given"


# --- laws, step sizes -----------------------------------------------------------------------------


@pytest.mark.usefixtures("few_step_sizes")
@pytest.mark.parametrize(
    ("words", "choice"),
    [
        (["flow_time"], set()),
        (["samples_fixed_step", "--step-size", "1e-5", "--label-noise", "0.5", "--batch", "2"], set()),
        (["samples_fixed_step", "--step-size", "1e-4", "--schedule", "power:1e6:0.5"], set()),
        (["samples_best_step", "--P", "1", "--m", "2"], {"step_size"}),
        (["samples_horizon_step", "--draws", "30"], {"step_size"}),
        (["width"], set()),
        (["compute_width_time"], {"width"}),
        (["compute_width_samples"], {"width", "step_size"}),
        (["compute_width_samples_best_step", "--P", "1", "--m", "1"], {"width", "step_size"}),
        (["dimension_time", "--dimensions", "32,64"], set()),
        (["dimension_samples"], set()),
    ],
)
def test_law_documents(cli: Cli, tmp_path: Path, words: list[str], choice: set[str]) -> None:
    out = tmp_path / "out"
    document = json.loads(cli("law", *SMALL, *words, "--quantiles", "0.25,0.75", "--json", "--out", str(out)).out)
    assert {"resource", "x", "value", "quantiles", "bands", "choice"} <= set(document)
    assert document["resource"] == words[0] and document["quantiles"] == [0.25, 0.75]
    size = len(document["x"])
    assert size > 1 and len(document["value"]) == size and [len(band) for band in document["bands"]] == [size] * 2
    assert set(document["choice"]) == choice and all(len(chosen) == size for chosen in document["choice"].values())
    assert all(low is None or high is None or low <= high for low, high in zip(*document["bands"], strict=True))
    assert {path.name for path in out.iterdir()} == {"law.json", "law.csv", "law.txt", *stored("law")}
    assert len((out / "law.csv").read_text().splitlines()) == size + 1
    curve = load(out).as_dict()
    assert json.loads(commands.json_text(curve)) == {key: document[key] for key in curve}


def test_width_document(cli: Cli, tmp_path: Path) -> None:
    words = ["width", "--P", "2", "--d", "24", "--init-scale", "0.1", "--t-max", "9", "--probability", "0.7"]
    document = json.loads(cli(*words, "--learn", "1", "--json", "--out", str(tmp_path)).out)
    assert document["learn"] == 1 and document["t_max"] == 9 and document["probability"] == 0.7
    assert document["problem"]["m"] == document["tried"] == document["m"] > 1
    assert document["reached"] >= 0.7 > document["below"] and document["valid"] and document["step_size"] is None
    assert {path.name for path in tmp_path.iterdir()} == {"width.json", "width.csv", "width.txt", *stored("width")}
    assert load(tmp_path).as_dict().items() <= document.items()
    lines = (tmp_path / "width.csv").read_text().splitlines()
    assert lines[0] == "m,probability,error" and [int(line.split(",")[0]) for line in lines[1:]] == [
        document["m"] - 1, document["m"],
    ]  # fmt: skip
    assert cli.json(*words, "--t-max", "0.1")["m"] is None  # none suffices: an answer, not an error
    assert cli(*words, "--flow-method", "exact").code == 2  # it follows the students by themselves


@pytest.mark.usefixtures("few_step_sizes")
def test_step_size_document(cli: Cli, tmp_path: Path) -> None:
    words = ["step-size", *SMALL, "--P", "1", "--m", "2", "--learn", "1", "--quantiles", "0.5,0.9"]
    document = json.loads(cli(*words, "--json", "--out", str(tmp_path)).out)
    found = {rule: one.as_dict() for rule, one in load(tmp_path).items()}
    assert json.loads(commands.json_text(found)) == {rule: document[rule] for rule in found}
    assert document["learn"] == 1
    for rule in ("best", "sufficient"):
        found = document[rule]
        assert found["step_size"] > 0 and found["levels"] == [0.5, 0.9] and len(found["samples"]) == 2
        assert 0 <= found["divergence_probability"] <= 1 and isinstance(found["valid"], bool)
    assert document["best"]["divergence_probability"] <= 0.1


# --- exponents ------------------------------------------------------------------------------------


def test_exponents_document(cli: Cli) -> None:
    document = cli.json("exponents", "--beta", "0.8", "--information-exponent", "4")
    assert set(document) == {"exponents"}
    assert {name: entry["value"] for name, entry in document["exponents"].items()} == {
        "flow_time": -0.75, "steps": -0.75, "samples_fixed_step": -0.75, "samples_horizon_step": -0.375, "width": -0.6,
        "compute_width_time": -1 / 3, "compute_width_samples": -3 / 13, "samples_best_step": -0.6,
        "compute_width_samples_best_step": -0.3, "dimension_time": 1.0, "dimension_samples": 3.0,
    }  # fmt: skip
    assert all(set(entry) == {"formula", "value", "assumes"} for entry in document["exponents"].values())
    assert document["exponents"]["flow_time"]["formula"] == "(1 - 2*beta)/beta"
    assert document["exponents"]["dimension_time"]["formula"] == "k/2 - 1"
    assert document["exponents"]["samples_best_step"]["formula"] == "1 - 2*beta"
    noisy = cli.json("exponents", "--beta", "0.8", "--label-noise", "0.1")["exponents"]
    assert (noisy["samples_best_step"]["value"], noisy["compute_width_samples_best_step"]["value"]) == (-0.375, -3 / 13)


@pytest.mark.parametrize("words", [[], ["--beta", "0.5"], ["--beta", "0"], ["--information-exponent", "2"]])
def test_exponents_give_a_reason_with_every_null(cli: Cli, words: list[str]) -> None:
    entries = cli.json("exponents", *words)["exponents"].values()
    assert any(entry["value"] is None for entry in entries)
    assert all(("reason" in entry) == (entry["value"] is None) for entry in entries)
    assert all(isinstance(entry["formula"], str) and isinstance(entry["assumes"], str) for entry in entries)


def test_exponents_as_text_and_latex(cli: Cli) -> None:
    text = cli("exponents", "--beta", "0.8")
    assert (text.code, text.err) == (0, "") and "(1 - 2*beta)/(beta + 1)" in text.out and "-0.333333" in text.out
    table = cli("exponents", "--beta", "0.8", "--latex")
    assert (table.code, table.err) == (0, "") and r"$- \frac{1}{3}$" in table.out
    assert table.out.startswith(r"\begin{tabular}") and table.out.endswith("\\end{tabular}\n")


# --- simulate -------------------------------------------------------------------------------------


def check_simulate(document: Any, seeds: int, P: int) -> None:
    assert {
        "alignment", "recovery", "diverged", "samples", "step_size", "samples_per_second", "engine", "final_loss",
    } <= set(document)  # fmt: skip
    for event in ("alignment", "recovery"):
        assert len(document[event]) == seeds and all(is_times(times, P) for times in document[event])
    assert len(document["diverged"]) == len(document["final_loss"]) == seeds
    assert all(isinstance(item, bool) for item in document["diverged"])
    assert all(is_number(loss) or dead for loss, dead in zip(document["final_loss"], document["diverged"], strict=True))
    assert isinstance(document["samples"], int) and is_number(document["step_size"])
    assert document["samples_per_second"] > 0 and isinstance(document["engine"], str)


def test_simulate_document(cli: Cli) -> None:
    document = cli.json("simulate", *SMALL, *SHORT, "--seeds", "3", "--seed", "5")
    check_simulate(document, seeds=3, P=2)
    assert (document["samples"], document["step_size"], document["engine"]) == (2000, 1e-4, "numpy")
    assert document["diverged"] == [False] * 3
    again = cli.json("simulate", *SMALL, *SHORT, "--seeds", "2", "--seed", "5")
    for key in ("alignment", "recovery"):
        assert again[key] == document[key][:2], "seed i does not depend on how many run"
    # 1e-10: stacks of 2 and 3 may round differently
    np.testing.assert_allclose(again["final_loss"], document["final_loss"][:2], rtol=1e-10)
    assert len(cli.json("simulate", *SMALL, *SHORT)["diverged"]) == 1, "one seed unless told"


@pytest.mark.skipif(not TORCH, reason="no torch")
def test_simulate_on_a_device(cli: Cli) -> None:
    on = ["--method", "direct", "--engine", "torch", "--device", "cpu", "--batch", "50"]
    document = cli.json("simulate", *SMALL, *SHORT, *on)
    check_simulate(document, seeds=1, P=2)
    assert [document[key] for key in ("engine", "device", "dtype")] == ["torch", "cpu", "float32"]


def test_simulate_learned_at_the_start_and_given_directions(cli: Cli, tmp_path: Path) -> None:
    np.save(tmp_path / "axes.npy", np.eye(12)[:4])
    document = cli.json(
        "simulate", *SMALL, *SHORT, "--seeds", "2", "--init-scale", "0.9", "--directions", str(tmp_path / "axes.npy")
    )
    assert document["alignment"] == document["recovery"] == [[0.0, 0.0]] * 2


def test_diverged_seeds_are_said_and_null(cli: Cli) -> None:
    arguments = ["simulate", *SMALL, *SHORT, "--step-size", "1e4", "--seeds", "2"]
    document = cli.json(*arguments)
    check_simulate(document, seeds=2, P=2)
    assert document["diverged"] == [True, True] and document["final_loss"] == [None, None]
    card = cli(*arguments)
    assert card.code == 0 and "2 of 2 diverged" in card.out and "try a smaller step size" in card.out


@pytest.mark.parametrize(("text", "value"), [("6e6", 6_000_000), ("1.5e3", 1500), ("12", 12), ("-3", -3), ("2E0", 2)])
def test_whole_numbers(text: str, value: int) -> None:
    assert integer(text) == value


# --- compare --------------------------------------------------------------------------------------


def check_compare(document: Any, seeds: int, P: int, m: int) -> None:
    assert set(document) == {"predict", "simulate", "agreement"}
    assert len(document["predict"]) == seeds
    for entry in document["predict"]:
        check_predict(entry, P, m)
    check_simulate(document["simulate"], seeds, P)
    agreement = document["agreement"]
    for event in ("alignment", "recovery"):
        error = agreement[f"{event}_relative_error"]
        assert {"median", "interval"} <= set(error) and len(error["interval"]) == 2
    assert agreement["verdict"] in ("agree", "disagree", "inconclusive")
    assert isinstance(agreement["reason"], str) and agreement["reason"]


def test_compare_document_holds_the_other_two(cli: Cli, tmp_path: Path) -> None:
    """Entry i of each belongs to the same seed and initial directions."""
    document = cli.json("compare", *SMALL, *SHORT, "--seeds", "3", "--seed", "4")
    check_compare(document, seeds=3, P=2, m=4)
    simulate = cli.json("simulate", *SMALL, *SHORT, "--seeds", "3", "--seed", "4")
    for key in ("alignment", "recovery", "diverged", "final_loss", "samples", "step_size", "engine"):
        assert document["simulate"][key] == simulate[key], key
    problem = Problem(Activation("h4"), Teacher.power_law(2, 1.0), 12, 4)
    for i, entry in enumerate(document["predict"]):
        np.save(tmp_path / "rows.npy", problem.initial_directions(seed_stream(4, i, DIRECTIONS)))
        start = ["--seed", "4"] if i == 0 else ["--directions", str(tmp_path / "rows.npy")]
        alone = cli.json("predict", *SMALL, *start)
        for key in ("problem", "student", "status"):
            assert entry[key] == alone[key]
        for event in ("alignment", "recovery"):
            for level in LEVELS:
                # 1e-6: another first step where the horizon differs; solver at rtol 1e-7
                np.testing.assert_allclose(entry[event][level], alone[event][level], rtol=1e-6)


def test_strict_turns_the_verdict_into_the_exit_code(cli: Cli, tilted: str) -> None:
    flags = [*SMALL, "--directions", tilted, "--samples", "12e3", "--step-size", "5e-4", "--seeds", "6"]
    flags += ["--records", "5"]
    agreeing = cli("compare", *flags, "--tolerance", "9", "--strict", "--json")
    check_compare(agreeing.document, seeds=6, P=2, m=4)
    assert (agreeing.code, agreeing.document["agreement"]["verdict"]) == (0, "agree")
    unsure = cli("compare", *flags, "--tolerance", "1e-6", "--strict", "--json")
    assert unsure.code == 1 and unsure.document["agreement"]["verdict"] in ("inconclusive", "disagree")
    short = [*flags, "--seeds", "1", "--samples", "100"]
    assert (cli("compare", *short).code, cli("compare", *short, "--strict").code) == (0, 1)


def test_compare_needs_no_tolerance(cli: Cli) -> None:
    assert cli.json("compare", *SMALL, *SHORT, "--seeds", "1")["agreement"]["tolerance"] == 0.1


# --- config ---------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(text: str) -> list[str]:
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return ["--config", str(path)]

    return write


def test_config_states_flags_in_either_spelling(cli: Cli, config: Any) -> None:
    text = 'd = 12\nP = 2\nm = 4\ninit-scale = 0.1\nengine = "numpy"\n'
    one = cli.json("simulate", *config(text + "step-size = 1e-4\nsamples = 2000\nrecords = 5\nseeds = 2\n"))
    two = cli.json("simulate", *config(text + "step_size = 1e-4\nsamples = 2e3\nrecords = 5\nseeds = 2\n"))
    three = cli.json("simulate", *SMALL, *SHORT, "--seeds", "2")
    for document in (one, two, three):
        document.pop("samples_per_second")
    assert one == two == three


def test_the_command_line_wins_over_the_config(cli: Cli, config: Any) -> None:
    flags = config("d = 12\nm = 4\nP = 2\ninit_scale = 1\nseed = 3\nt-max = 0.5\n")
    problem = cli.json("predict", *flags, "--d", "9", "--init-scale", "0.2")["problem"]
    assert (problem["d"], problem["m"], problem["init_scale"]) == (9, 4, 0.2)


def test_config_reaches_flags_with_defaults_of_their_own(cli: Cli, config: Any) -> None:
    assert cli.json("predict", *SMALL, *config("t-max = 0.25"))["t_end"] == pytest.approx(0.25, rel=1e-12)
    assert "quantiles" in cli.json("predict", *SMALL, *config("quantiles = [0.5]"))
    compared = cli.json("compare", *SMALL, *SHORT, "--seeds", "1", *config("tolerance = 0.3"))
    assert compared["agreement"]["tolerance"] == 0.3


def test_one_config_serves_every_command(cli: Cli, config: Any) -> None:
    flags = config("d = 12\nP = 2\nm = 4\nsamples = 100\nstep-size = 1e-4\ntolerance = 0.2\nt-max = 0.1\nseeds = 1\n")
    for command in ("predict", "simulate", "compare"):
        cli.json(command, *flags)


@pytest.mark.parametrize(
    ("text", "words", "strengths"),
    [
        ("strengths = [3, 4]", [], [0.6, 0.8]),
        ("strengths = [3, 4]", ["--P", "1"], [1.0]),
        ("strengths = [3, 4]", ["--beta", "0", "--P", "4"], [0.5] * 4),
        ("strengths = [3, 4]", ["--strengths", "1"], [1.0]),
        ("P = 7\nbeta = 2.0", ["--strengths", "4,3"], [0.8, 0.6]),
        ("P = 1\nbeta = 2", [], [1.0]),
        ("beta = 0", ["--P", "4"], [0.5] * 4),
    ],
)
def test_strengths_displace_beta_and_P_of_weaker_sources(
    cli: Cli, config: Any, text: str, words: list[str], strengths: list[float]
) -> None:
    document = cli.json("predict", "--d", "12", "--m", "4", "--t-max", "0.01", *config(text), *words)
    np.testing.assert_allclose(document["problem"]["strengths"], strengths, rtol=1e-15)


BAD_CONFIGS = [
    ("colour = 3", "unknown key 'colour'"),
    ("init--scale = 3", "unknown key 'init--scale'"),
    ("[problem]\nd = 12", "unknown key 'problem'"),
    ("d = '12'", "the config key 'd' must be of type int, but is '12'"),
    ("d = 12.5", "the config key 'd' must be of type int, but is 12.5"),
    ("d = true", "the config key 'd' must be of type int, but is True"),
    ("d = [12]", "must be of type int"),
    ("beta = '1'", "the config key 'beta' must be of type float, but is '1'"),
    ("beta = nan", "`beta` must be a number between 0 and 100, but is nan"),
    ("activation = 4", "must be of type str"),
    ("strengths = 3", "must be a list of numbers"),
    ("strengths = ['a']", "must be a list of numbers"),
    ("strengths = [1, 1]\nP = 2", "leave out --beta and --P"),
    ("step-size = 1e-4\nstep_size = 1e-4", "stands twice"),
    ("d = 12\nd = 12", "is not valid TOML"),
    ("d = ", "is not valid TOML"),
    ("d = -1", "`d` must be a positive integer, but is -1"),
    (f"beta = {10**400}", "holds a whole number of more than 64 bits (key 'beta')"),
    (f"strengths = [1, {-(2**63) - 1}]", "holds a whole number of more than 64 bits (key 1)"),
    (f"d = {'9' * 5000}", "is not valid TOML: Exceeds the limit"),
    (f"d = {2**63 - 1}", "`d` must be at most 2**53"),
    ("strengths = " + 2000 * "[", "is nested too deep"),
    ("d." + 2000 * "a." + "b = 1", "is nested too deep"),
    ("samples = 1e400", "must be of type int, but is inf"),
    ("t-max = -1", "`t_max` must be a positive number, but is -1.0"),
]


@pytest.mark.parametrize(("text", "message"), BAD_CONFIGS)
def test_bad_configs_are_refused(cli: Cli, config: Any, tmp_path: Path, text: str, message: str) -> None:
    command = "predict" if "t-max" in text else "simulate"
    outcome = cli(command, *config(text), "--out", str(tmp_path / "out"))
    assert_refused(outcome, message, tmp_path / "out")


# --- files ----------------------------------------------------------------------------------------


def test_out_holds_document_card_table_and_pictures(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "results"
    arguments = ["compare", *SMALL, *SHORT, "--seeds", "2", "--seed", "6", "--out", str(out)]
    outcome = cli(*arguments, "--json")
    assert outcome.code == 0
    names = {"compare.json", "compare.csv", "compare_curves.csv", "compare.txt", "overlay.png", "overlay.pdf"}
    names |= stored("compare")
    assert {path.name for path in out.iterdir()} == names, "and no temporary files"
    assert {line.removeprefix("wrote ") for line in outcome.err.splitlines()} == {str(out / name) for name in names}
    assert json.loads((out / "compare.json").read_text()) == outcome.document
    with (out / "compare.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2, "events × seeds × directions"
    for row in rows:
        entry = outcome.document["predict"][int(row["seed"])][row["event"]]
        for level in LEVELS:
            assert (float(row[level]) if row[level] else None) == entry[level][int(row["p"])]
        measured = outcome.document["simulate"][row["event"]][int(row["seed"])][int(row["p"])]
        assert (float(row["measured"]) if row["measured"] else None) == measured
    with Image.open(out / "overlay.png") as image:
        assert image.info["seed"] == "6" and image.info["version"] == outcome.document["simulate"]["version"]
        assert "'d': 12" in image.info["problem"]
    assert (out / "overlay.pdf").read_bytes().startswith(b"%PDF")
    assert "verdict" in (out / "compare.txt").read_text()


@pytest.mark.parametrize(
    ("command", "columns"),
    [
        (["hermite", "h4", "--max-degree", "4"], {"k", "exact", "value", "error"}),
        (["predict", *SMALL], {"p", "a_p", "student", "status", "alignment_flow", "recovery_closed_form"}),
        (["simulate", *SMALL, *SHORT], {"seed", "p", "alignment", "recovery", "diverged"}),
        (["exponents", "--beta", "0.8"], {"name", "formula", "value", "assumes", "reason"}),
        (["exponents", "--latex"], {"name", "formula", "value", "assumes", "reason"}),
    ],
)
def test_out_of_the_other_commands(cli: Cli, tmp_path: Path, command: list[str], columns: set[str]) -> None:
    outcome = cli(*command, "--out", str(tmp_path / "out"))
    assert outcome.code == 0
    name = command[0]
    names = {f"{name}.{kind}" for kind in ("json", "csv", "txt")}
    if name in ("predict", "simulate"):
        names |= {f"{name}_curves.csv", *stored(name)}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    json.loads((tmp_path / "out" / f"{name}.json").read_text())
    assert (tmp_path / "out" / f"{name}.txt").read_text() == outcome.out, "the card is what is printed"
    header = (tmp_path / "out" / f"{name}.csv").read_text().splitlines()[0].split(",")
    assert columns <= set(header)


# --- refusals -------------------------------------------------------------------------------------


def assert_refused(outcome: Outcome, message: str, out: Path) -> None:
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("emergence: error: ") and outcome.err.endswith("\n")
    assert outcome.err.count("\n") == 1, "one line"
    assert message in outcome.err
    assert not out.exists(), "nothing written"


PROBLEMS = [
    (["--activation", "foo(x)"], "foo"),
    (["--activation", "__import__('os')"], "__import__"),
    (["--activation", "9**9**9**9"], ""),
    (["--activation", "x +"], ""),
    (["--activation", ""], ""),
    (["--activation", "1/x"], "infinite"),
    (["--activation", "abs(x)"], "a high-pass of 1"),
    (["--activation", "sign(x)"], "no weak derivative"),
    (["--activation", "3"], ""),
    (["--high-pass", "-1"], "`high_pass`"),
    (["--high-pass", "65"], "`high_pass`"),
    (["--d", "3"], "`d` must be at least P = 8, but is 3"),
    (["--d", "-64"], "`d` must be a positive integer, but is -64"),
    (["--d", "6.5"], "argument --d: '6.5' is not a whole number"),
    (["--d", "many"], "argument --d: 'many' is not a whole number"),
    (["--m", "0"], "`m` must be a positive integer, but is 0"),
    (["--P", "0"], "`P` must be a positive integer, but is 0"),
    (["--beta", "nan"], "argument --beta: 'nan' is not a finite number"),
    (["--beta", "inf"], "argument --beta: 'inf' is not a finite number"),
    (["--beta", "-1"], "`beta` must be a number between 0 and 100, but is -1.0"),
    (["--strengths", "1,nan"], "'nan' is not a finite number"),
    (["--strengths", "1,-1"], "`strengths` must not be negative, but holds -1"),
    (["--strengths", "0,0"], "`strengths` must not all be zero"),
    (["--strengths", "1,,2"], "'' is not a number"),
    (["--strengths", "1,1", "--P", "2"], "leave out --beta and --P"),
    (["--init-scale", "0"], "`init_scale` must be a positive number, but is 0.0"),
    (["--init-scale", "1e-200"], "`init_scale` must lie between"),
    (["--seed", "-1"], "`seed` must be a non-negative integer, but is -1"),
    (["--seed", "1.5"], "'1.5' is not a whole number"),
    (["--m", "1e9", "--d", "1e9"], "do not fit in memory"),
    (["--activation", "h3", "--P", "3", "--m", "1e5", "--d", "4"], "memory, and the gradient flow is the exact one"),
    (["--P", "3", "--m", "1e5", "--d", "4", "--flow-method", "exact"], "is the exact one (as asked)"),
    (["--colour", "red"], "--colour"),
    (["--directions", "nowhere.npy"], "cannot read the directions nowhere.npy: No such file"),
    (["--config", "nowhere.toml"], "cannot read the config nowhere.toml: No such file"),
]
RUNS = [
    (["--step-size", "-1e-4"], "`step_size` must be a positive number, but is -0.0001"),
    (["--step-size", "0"], "`step_size` must be a positive number, but is 0.0"),
    (["--step-size", "nan"], "'nan' is not a finite number"),
    (["--samples", "0"], "`samples` must be a positive integer, but is 0"),
    (["--samples", "1.5"], "'1.5' is not a whole number"),
    (["--samples", "1e30"], "'1e30' is not a whole number"),
    (["--samples", "101", "--batch", "2"], "`samples` must be a multiple of the batch 2, but is 101"),
    (["--batch", "0"], "`batch` must be a positive integer, but is 0"),
    (["--seeds", "0"], "`seeds` must be a positive integer, but is 0"),
    (["--seeds", "1e12"], "do not fit in memory"),
    (["--records", "-5"], "`records` must be a positive integer, but is -5"),
    (["--spacing", "cubic"], "`spacing` must be one of log, linear, but is 'cubic'"),
    (["--engine", "gpu"], "`engine` must be one of"),
    (["--engine", "torch"], "engine torch is of the direct sampler alone"),
    (["--method", "leap", "--engine", "torch"], "engine torch is of the direct sampler alone"),
    (["--device", "cpu"], "--device is of engine torch alone"),
    (["--method", "direct", "--device", "cpu"], "`device` is a setting of engine torch alone, but `engine` is 'auto'"),
    (["--method", "direct", "--engine", "torch", "--device", "gpu"], "`device` must be one of cpu, cuda"),
    (["--workers", "0"], "`workers` must be a positive integer, but is 0"),
    (["--step-size", "1e300"], "`step_size` must lie between 1e-280 and 1e+280, but is 1e+300"),
    (["--records", "1e8"], "`records` must be at most 999999, but is 100000000"),
    (["--schedule", "power:1e-9:1"], "`horizon` must be at least 1e-06 steps, but is 1e-09"),
    (
        ["--P", "3", "--m", "1e5", "--d", "4", "--samples", "9"],
        "the overlaps of m = 100000 students with each other, m × m numbers",
    ),
]
REFUSED = [
    *((["predict", *flags], message) for flags, message in PROBLEMS),
    *((["simulate", *flags], message) for flags, message in RUNS),
    *((["compare", *flags], message) for flags, message in [PROBLEMS[11], RUNS[0], RUNS[6]]),
    (["compare", "--tolerance", "0"], "`tolerance` must be a positive number, but is 0.0"),
    (["compare", "--tolerance", "-0.1"], "`tolerance` must be a positive number, but is -0.1"),
    (["predict", "--t-max", "0"], "`t_max` must be a positive number, but is 0.0"),
    (["predict", "--t-max", "inf"], "'inf' is not a finite number"),
    (["predict", "--quantiles", "0.5,1.5"], "quantile"),
    (["predict", "--quantiles", "a"], "'a' is not a number"),
    (["predict", "--samples", "10"], "--samples"),
    (["predict", "--step-size", "0"], "`step_size` must be a positive number, but is 0.0"),
    (["predict", "--step-size", "1e-5", "--batch", "0"], "`batch` must be a positive integer, but is 0"),
    (["predict", "--step-size", "1e-5", "--label-noise", "-1"], "`label_noise` must be a non-negative number"),
    (["predict", "--step-size", "1e-5", "--quantiles", "1"], "quantiles"),
    (["exponents", "--label-noise", "-1"], "`label_noise` must be a non-negative number, but is -1.0"),
    (["law", "bogus"], "RESOURCE must be one of flow_time"),
    (["law", "flow_time", "--step-size", "1e-5"], "`step_size` has no part in flow_time"),
    (["law", "samples_best_step", "--step-size", "1e-5"], "`step_size` has no part in samples_best_step"),
    (["law", "samples_fixed_step"], "samples_fixed_step needs a step size"),
    (["law", "samples_fixed_step", "--schedule", "power:1e6:1"], "`schedule` needs a `step_size`"),
    (["law", "samples_best_step", "--draws", "5"], "`draws` has no part in samples_best_step"),
    (["law", "samples_best_step", "--activation", "h3"], "even activation"),
    (["law", "flow_time", "--activation", "h2"], "information exponent"),
    (["law", "flow_time", "--dimensions", "32,64"], "`dimensions` has no part in flow_time"),
    (["law", "dimension_time", "--dimensions", "32.5,64"], "`dimensions` must be whole numbers"),
    (["law", "dimension_time", "--dimensions", "64,32"], "`dimensions` must be ascending"),
    (["law", "flow_time", "--quantiles", "0"], "`quantiles` must lie strictly between 0 and 1"),
    (["step-size", "--learn", "9"], "`learn` must be at most the 8 directions of positive strength, but is 9"),
    (["step-size", "--learn", "0"], "`learn` must be a positive integer, but is 0"),
    (["step-size", "--step-size", "1e-5"], "--step-size has no part in step-size"),
    (["step-size", "--activation", "h2"], "even activation"),
    (["width"], "width needs the flow time by which to learn, --t-max"),
    (["width", "--t-max", "0"], "`t_max` must be a positive number, but is 0.0"),
    (["width", "--t-max", "9", "--m", "3"], "--m has no part in width"),
    (["width", "--t-max", "9", "--learn", "9"], "`learn` must be at most the 8 directions"),
    (["width", "--t-max", "9", "--probability", "1"], "`probability` must lie strictly between 0 and 1, but is 1"),
    (["width", "--t-max", "9", "--batch", "2"], "--batch and --label-noise have a part in width with --step-size only"),
    (["width", "--t-max", "9", "--step-size", "0"], "`step_size` must be a positive number, but is 0.0"),
    (["width", "--t-max", "9", "--activation", "h2"], "information exponent 2"),
    (["exponents", "--beta", "-0.1"], "`beta` must be a non-negative number, but is -0.1"),
    (["exponents", "--beta", "inf"], "argument --beta: 'inf' is not a finite number"),
    (["exponents", "--information-exponent", "0"], "`information_exponent` must be a positive integer, but is 0"),
    (["exponents", "--information-exponent", "2.5"], "'2.5' is not a whole number"),
    (["exponents", "--d", "12"], "--d"),
    (["simulate", "--strict"], "--strict"),
    (["simulate", "--schedule", "piecewise:inf=1e-9"], "steps are whole numbers"),
    (["simulate", "--schedule", "piecewise:1.7=1e-9"], "steps are whole numbers"),
    (["predict", "--d", "9500000000000000000"], "`d` must be at most 2**53"),
    (["hermite", "foo(x)"], "foo"),
    (["hermite", "__import__('os').system('true')"], "__import__"),
    (["hermite", "x.real"], ""),
    (["hermite", "h41"], ""),
    (["hermite", "x" + "+x" * 300], "at most 500"),
    (["hermite", "log(x)"], "undefined"),
    (["hermite", "exp(x**2)"], "infinite"),
    (["hermite", "h4", "--max-degree", "-1"], "max"),
    (["hermite", "h4", "--max-degree", "1e9"], "max"),
    (["hermite", "h4", "--high-pass", "99"], "`high_pass`"),
    (["hermite", "h4", "h6"], "unrecognized"),
    (["hermite"], "EXPR"),
]


@pytest.mark.parametrize("json_flag", [[], ["--json"]], ids=["card", "json"])
@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[" ".join(words)[:60] for words, _ in REFUSED])
def test_bad_input_is_refused(
    cli: Cli, tmp_path: Path, arguments: list[str], message: str, json_flag: list[str]
) -> None:
    outcome = cli(*arguments, "--out", str(tmp_path / "out"), *json_flag)
    assert_refused(outcome, message, tmp_path / "out")


def test_latex_and_json_exclude_each_other(cli: Cli, tmp_path: Path) -> None:
    outcome = cli("exponents", "--latex", "--json", "--out", str(tmp_path / "out"))
    assert_refused(outcome, "--latex and --json exclude each other", tmp_path / "out")


@pytest.mark.parametrize("arguments", [[], ["--json"], ["frobnicate"], ["--out", "x"]])
def test_a_command_is_needed(cli: Cli, arguments: list[str]) -> None:
    outcome = cli(*arguments)
    assert (outcome.code, outcome.out) == (2, "") and outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["hermite", "h4", "--out=--"], ["check", "--claims=--"], ["predict", "--config=--"], ["simulate", "--P=--"]],
)
def test_two_dashes_are_no_value(cli: Cli, arguments: list[str]) -> None:
    flag = arguments[-1].removesuffix("=--")
    assert cli(*arguments) == (2, "", f"emergence: error: argument {flag}: expected one argument\n")


def test_an_empty_config_is_no_config(cli: Cli) -> None:
    assert cli("predict", "--config=") == (2, "", "emergence: error: cannot read the config : Is a directory\n")


class Trap:
    """Unpickling this would leave a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_strengths_and_directions_are_read_from_files(cli: Cli, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((4, 12))
    np.save(tmp_path / "rows.npy", rows)
    np.savetxt(tmp_path / "rows.CSV", rows, delimiter=",", header="of students", fmt="%.17g")
    np.save(tmp_path / "row.npy", np.array([[4, 3]]))
    (tmp_path / "column.csv").write_text("# a\n4.0\n3.0\n")
    (tmp_path / "run.toml").write_text(f"strengths = '{tmp_path}/row.npy'\n")
    words = ["predict", "--d", "12", "--m", "4", "--init-scale", "0.1", "--t-max", "1"]
    wanted = cli.json(*words, "--strengths", "4,3", "--directions", str(tmp_path / "rows.npy"))
    for strengths in (["--strengths", str(tmp_path / "row.npy")], ["--config", str(tmp_path / "run.toml")]):
        assert cli.json(*words, *strengths, "--directions", str(tmp_path / "rows.npy")) == wanted
    files = ["--strengths", str(tmp_path / "column.csv"), "--directions", str(tmp_path / "rows.CSV")]
    assert cli(*words, *files, "--out", str(tmp_path / "out"), "--json").document == wanted
    found = provenance(tmp_path / "out")
    assert "--strengths column.csv --d 12" in found.command and found.settings["strengths"] == [4, 3]
    for name, content, message in [
        ("a.csv", "", "the strengths {} are not a plain table of numbers separated by commas"),
        ("a.csv", "4;3", "the strengths {} are not a plain table of numbers"),
        ("a.csv", "4,3\n1", "the strengths {} are not a plain table of numbers"),
        ("a.csv", "4,3\n1,2", "the strengths {} must be one row or one column, but have shape (2, 2)"),
        ("a.csv", "4,nan", "`strengths` must be finite"),
        ("a.npy", "4,3", "the strengths {} are not a plain .npy array of numbers"),
    ]:
        (tmp_path / name).write_text(content)
        outcome = cli(*words, "--strengths", str(tmp_path / name), "--out", str(tmp_path / "new"))
        assert_refused(outcome, message.format(tmp_path / name), tmp_path / "new")
    for name in ("nowhere.csv", "nowhere.npy"):
        message = f"cannot read the strengths {name}: No such file"
        assert_refused(cli(*words, "--strengths", name), message, tmp_path / "new")


@pytest.mark.parametrize("command", ["predict", "simulate", "compare"])
def test_bad_directions_are_refused(cli: Cli, tmp_path: Path, command: str) -> None:
    good = np.random.default_rng(0).standard_normal((4, 12))
    trap = np.empty(1, dtype=object)
    trap[0] = Trap(tmp_path / "sprung")
    path = tmp_path / "rows.npy"
    for rows, message in [
        (good[:3], "`directions` must have shape (m, d) = (4, 12), but has (3, 12)"),
        (good.T, "but has (12, 4)"),
        (good.ravel(), "but has (48,)"),
        (np.stack([good, good]), "but has (2, 4, 12)"),
        (np.where(good > 1, np.nan, good), "`directions` must be finite"),
        (good * [[0], [1], [1], [1]], "row 0 of `directions` is zero"),
        (good + 1j, "not a plain .npy array of numbers"),
        (np.full((4, 12), "a"), "not a plain .npy array of numbers"),
        (trap, "not a plain .npy array of numbers"),
    ]:
        np.save(path, rows, allow_pickle=True)
        assert_refused(
            cli(command, *SMALL, "--directions", str(path), "--out", str(tmp_path / "out")), message, tmp_path / "out"
        )
    for content in (b"", b"\x80\x04N.", b"1 2 3\n", path.read_bytes()[:-9]):
        path.write_bytes(content)
        outcome = cli(command, *SMALL, "--directions", str(path), "--out", str(tmp_path / "out"))
        assert_refused(outcome, "not a plain .npy array of numbers", tmp_path / "out")
    np.savez(tmp_path / "rows.npz", good)
    outcome = cli(command, *SMALL, "--directions", str(tmp_path / "rows.npz"), "--out", str(tmp_path / "out"))
    assert_refused(outcome, "not a plain .npy array of numbers", tmp_path / "out")
    outcome = cli(command, *SMALL, "--directions", str(tmp_path), "--out", str(tmp_path / "out"))
    assert_refused(outcome, "cannot read the directions", tmp_path / "out")
    assert not (tmp_path / "sprung").exists(), "pickled content was never run"


@pytest.mark.parametrize(
    "command",
    [["hermite", "h4"], ["predict", *SMALL], ["exponents"], ["simulate", *SMALL, *SHORT], ["compare", *SMALL, *SHORT]],
    ids=lambda words: words[0],
)
def test_an_unwritable_out_is_refused_before_any_work(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("work was started")

    monkeypatch.setattr(commands, "_simulate", never)
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "below", Path("/proc/nowhere/out")):
        outcome = cli(*command, "--out", str(out))
        assert (outcome.code, outcome.out) == (2, "")
        assert f"cannot write to --out {out}" in outcome.err and outcome.err.count("\n") == 1
    assert file.read_text() == "mine" and list(tmp_path.iterdir()) == [file]


def test_interruption(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "predict", interrupted)
    assert cli("predict") == (130, "", "emergence: interrupted\n")
    monkeypatch.setattr("emergence.cli.entry.build_parser", lambda: interrupted(None))
    assert cli("predict") == (130, "", "emergence: interrupted\n"), "before anything is read"


def test_a_warning_is_one_line_on_stderr(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def warned(_: Any) -> int:
        with warnings.catch_warnings(action="always"):
            warnings.warn("take care", RuntimeWarning, stacklevel=1)
        return 0

    monkeypatch.setattr(commands, "predict", warned)
    assert cli("predict") == (0, "", "emergence: warning: take care\n")


def test_an_interrupted_run_says_whether_there_are_checkpoints(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @wraps(simulate.execute)
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(simulate, "execute", interrupted)
    words = ["simulate", *SMALL, *SHORT, "--out", str(tmp_path)]
    (tmp_path / "checkpoint-notes.npz").write_text("mine")
    assert cli(*words) == (130, "", "emergence: interrupted\n")
    (tmp_path / "checkpoint-0000.npz").write_text("as if from a run")
    assert cli(*words).err.splitlines() == [
        f"checkpoints written to {tmp_path}; the same command with --resume goes on from there",
        "emergence: interrupted",
    ]


# --- check -----------------------------------------------------------------------------------------

BEST = 'name = "b"\nquantity = "samples_best_step"\nformula = "-0.5"\nmethod = "leap"\n'
LOSS = 'name = "loss"\nquantity = "flow_time"\nformula = "(1 - 2*beta)/beta"\n'
SMALL_LAW = LOSS + "beta = 1.0\nP = 300\nm = 1200\nd = 100_000\nseeds = 24\nallowance = 0.05\ndetects = 0.3\n"
WIDTH = 'name = "w"\nquantity = "width"\nformula = "1 - 2*beta"\nP = 40\nwidths = [2, 4, 8]\n'
DIMENSION = 'name = "d"\nquantity = "dimension_time"\nformula = "1"\ndimensions = [64, 128, 256]\n'


def claims_file(tmp_path: Path, *tables: str) -> str:
    (tmp_path / "claims.toml").write_text("".join(f"[[claim]]\n{table}\n" for table in tables), encoding="utf-8")
    return str(tmp_path / "claims.toml")


def test_check_writes_its_reports_and_says_the_verdict_by_its_exit_code(cli: Cli, tmp_path: Path) -> None:
    wrong = SMALL_LAW.replace('"loss"', '"<wrong> & low"').replace("/beta", "/beta + 0.3")
    vague = SMALL_LAW.replace('"loss"', '"vague"').replace("detects = 0.3", "detects = 0.06")
    json_file, junit, out = (tmp_path / name for name in ("report.json", "report.xml", "kept"))
    flags = ["--json", str(json_file), "--junit", str(junit), "--out", str(out)]
    for code, tables in ((0, [SMALL_LAW + "quick = true"]), (3, [SMALL_LAW, vague]), (1, [SMALL_LAW, vague, wrong])):
        outcome = cli("check", "--claims", claims_file(tmp_path, *tables), *flags)
        assert outcome.code == code, outcome
        document = json.loads(json_file.read_text())
        assert [claim["verdict"] for claim in document["claims"]] == ["upheld", "inconclusive", "refuted"][
            : len(tables)
        ]
        assert document["exit_code"] == code and document["seed"] == 0
        refuted, inconclusive = int(code == 1), int(code > 0)
        summary = f"1 upheld, {refuted} refuted, {inconclusive} inconclusive in "
        assert "      upheld  loss\n" in outcome.out and outcome.out.splitlines()[-1].startswith(summary)
        suite = ElementTree.parse(junit).getroot()
        counts = [suite.get(key) for key in ("tests", "failures", "errors")]
        assert counts == [str(len(tables)), str(refuted), str(inconclusive)]
    assert suite[2].get("name") == "<wrong> & low"
    assert len(list(out.iterdir())) == 1, "three claims on one measurement"


def test_junit_is_well_formed_whatever_the_name_of_a_file(cli: Cli, tmp_path: Path) -> None:
    out, junit = tmp_path / "\x1b[31m\ufffe", tmp_path / "report.xml"
    words = ["check", "--claims", claims_file(tmp_path, SMALL_LAW), "--out", str(out), "--junit", str(junit)]
    assert cli(*words).code == 0
    (kept,) = out.iterdir()
    kept.write_bytes(b"damaged")
    assert cli(*words).code == 3
    (error,) = ElementTree.parse(junit).getroot().iter("error")
    assert f"{tmp_path}/\ufffd[31m\ufffd/{kept.name} is damaged" in error.get("message", "")


BAD_CLAIMS = [
    ("", "must hold [[claim]] tables and nothing else"),
    ("[[claim]]\nname = ", "is not valid TOML"),
    ("a = " + 2000 * "[", "is nested too deep"),
    ([LOSS + f"sizes = [64, {10**400}]"], "holds a whole number of more than 64 bits (key 1)"),
    ([LOSS + f"sizes = [64, {2**63 - 1}]"], "`P` must be at most"),
    ("[claim]\n" + LOSS, "must hold [[claim]] tables"),
    ("beta = 1\n[[claim]]\n" + LOSS, "must hold [[claim]] tables"),
    ("claim = []", "there is no claim to check"),
    ("claim = [1]", "must hold [[claim]] tables"),
    (["quantity = 'width'"], "claim 1: `name` is missing"),
    (['name = "a"\nquantity = "width"'], "claim 'a': `formula` is missing"),
    ([LOSS, LOSS], "two claims are called 'loss'"),
    ([LOSS + "colour = 3"], "claim 'loss': unknown key 'colour'"),
    ([LOSS + "problem = 3"], "unknown key 'problem'"),
    ([LOSS + "gamma = 3"], "claim 'loss': unknown key 'gamma' (keys: quantity, method, activation, beta, "),
    ([LOSS + "seed = 3"], "unknown key 'seed'; did you mean seeds? (keys: "),
    ([LOSS.replace('"loss"', "3")], "`name` must be a text of one line, but is 3"),
    ([LOSS.replace("loss", "a\\u0007")], "`name` must be a text of one line"),
    ([LOSS.replace("flow_time", "floor_time")], "`quantity` must be one of flow_time, "),
    ([LOSS.replace('"flow_time"', "[1]")], "`quantity` must be a text"),
    ([LOSS + 'method = "reduced"'], "flow_time is measured by finite_law, flow, leap, not by 'reduced'"),
    ([LOSS.replace("(1 - 2*beta)/beta", "beta + a")], "'a' is not allowed; write numbers, beta, k, log and sqrt"),
    ([LOSS.replace("(1 - 2*beta)/beta", "9**9**9**9")], "it is not a finite number"),
    ([LOSS.replace("(1 - 2*beta)/beta", "1or 2")], "not allowed"),
    ([LOSS + "seeds = 5"], "an interval over seeds needs at least 6, but `seeds` is 5"),
    ([LOSS + "seeds = 12.0"], "`seeds` must be a positive integer, but is 12.0"),
    ([LOSS + "seeds = true"], "`seeds` must be a positive integer, but is True"),
    ([LOSS + "beta = true"], "`beta`"),
    ([LOSS + "beta = nan"], "`beta`"),
    ([LOSS + "P = '4'"], "`P` must be a positive integer, but is '4'"),
    ([LOSS + "P = 40\nd = 30"], "`d` must be at least P = 40, but is 30"),
    ([LOSS + "allowance = 0"], "`allowance` must be a positive number, but is 0"),
    ([LOSS + "detects = inf"], "`detects` must be a positive number, but is inf"),
    ([LOSS + "quick = 1"], "`quick` must be true or false, but is 1"),
    ([LOSS + 'activation = "h2"'], "information exponent ≥ 3, but it is 2"),
    ([LOSS + 'activation = "foo(x)"'], "foo"),
    ([LOSS + "widths = [1, 2, 3]"], "`widths` have no part in flow_time"),
    (
        [BEST.replace("best", "horizon").replace("leap", "finite_law") + "P = 16\nm = 8"],
        "every direction needs a student, so `m` must be at least P = 16",
    ),
    ([LOSS + "step_size = 0.1"], "`step_size` has no part in flow_time by finite_law"),
    ([BEST.replace("best", "fixed") + "step_size = 0"], "`step_size` must be a positive number, but is 0"),
    ([BEST.replace("best", "horizon")], "samples_horizon_step is measured by finite_law, not by 'leap'"),
    ([BEST + "P = 3"], "so `P` must be at least 4, but is 3"),
    ([BEST + "step_size = 0.1"], "`step_size` has no part in samples_best_step by leap"),
    ([BEST + "step_sizes = [0.1]"], "one of at least two `step_sizes`"),
    ([BEST + "step_sizes = 0.1"], "`step_sizes` must be a list of numbers, but is 0.1"),
    ([BEST + "step_sizes = [0.1, 'x']"], "`step_sizes` must be a positive number, but is 'x'"),
    ([BEST + "step_sizes = [0.2, 0.1]"], "`step_sizes` must ascend up to 0.9, but are [0.2, 0.1]"),
    ([BEST + "step_sizes = [0.2, 0.95]"], "`step_sizes` must ascend up to 0.9, but are [0.2, 0.95]"),
    ([BEST + "label_noise = -1"], "`label_noise`"),
    ([LOSS + "label_noise = 0.5"], "`label_noise` has no part in flow_time"),
    ([LOSS + "batch = 2"], "`batch` has no part in flow_time"),
    ([BEST + "batch = 0"], "`batch` must be a positive integer, but is 0"),
    ([LOSS + "step_sizes = [0.1, 0.2]"], "`step_sizes` have no part in flow_time"),
    ([LOSS + "sizes = [100]"], "`sizes` are two or more, for finite_law"),
    ([LOSS + "P = 10\nd = 50\nsizes = [10, 100]"], "`d` must be at least P = 100, but is 50"),
    ([LOSS + "finite_size = true"], "not the law with itself"),
    ([LOSS + 'method = "leap"\nbeta = 0.4\nfinite_size = true'], "no power law of flow_time is known here"),
    ([WIDTH.replace("[2, 4, 8]", "4")], "`widths` must be a list of whole numbers, but is 4"),
    ([WIDTH.replace("[2, 4, 8]", "[2, 8, 4]")], "`widths` must ascend, but are [2, 8, 4]"),
    ([WIDTH.replace("[2, 4, 8]", "[2, 4.0, 8]")], "`widths` must be a positive integer, but is 4.0"),
    ([WIDTH.replace("[2, 4, 8]", "[2, 4]")], "width needs at least three `widths`"),
    ([WIDTH.replace("[2, 4, 8]", "[20, 21, 22]")], "below P/2 = 20, but no `widths` are there"),
    ([DIMENSION + "P = 100"], "`dimensions` must be at least P = 100, but are [64, 128, 256]"),
    (['name = "a"\nquantity = "alignment"\nformula = "1/s0"\nmethod = "flow"\nfinite_size = true'], "for exponents"),
    (
        ['name = "a"\nquantity = "alignment"\nformula = "1/s0"\nmethod = "finite_law"'],
        "measured by flow, reduced, leap, not by",
    ),
]


@pytest.mark.parametrize(("content", "message"), BAD_CLAIMS)
def test_bad_claims_are_refused(cli: Cli, tmp_path: Path, content: str | list[str], message: str) -> None:
    path = claims_file(tmp_path, *content) if isinstance(content, list) else str(tmp_path / "claims.toml")
    if isinstance(content, str):
        Path(path).write_text(content, encoding="utf-8")
    out = tmp_path / "out"
    flags = ["--out", str(out), "--json", str(tmp_path / "a.json"), "--junit", str(tmp_path / "a.xml")]
    assert_refused(cli("check", "--claims", path, *flags), message, out)
    assert [file.name for file in tmp_path.iterdir()] == ["claims.toml"]


def test_bad_files_of_check_are_refused_before_any_work(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b'[[claim]]\nname = "\xe9"')
    claims, out = claims_file(tmp_path, SMALL_LAW), tmp_path / "out"
    for words, message in (
        (["--claims", str(tmp_path / "latin.toml")], "is not valid TOML"),
        (["--claims", str(tmp_path / "nowhere.toml")], "nowhere.toml"),
        (["--claims", str(tmp_path)], "directory"),
        (["--json", str(tmp_path / "nowhere" / "a.json")], "cannot write to --json"),
        (["--junit", str(tmp_path)], "cannot write to --junit"),
        (["--json", ""], "cannot write to --json"),
        (["--json", str(tmp_path / "a"), "--junit", str(tmp_path / "a")], "--json and --junit name the same file"),
        (["--seed", "-1"], "`seed` must be a non-negative integer, but is -1"),
        (["--quick"], "there is no claim to check that is marked quick"),
    ):
        assert_refused(cli("check", "--claims", claims, "--out", str(out), *words), message, out)


# --- real processes -------------------------------------------------------------------------------


def spawned(*words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False, **settings)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["hermite", "--help"],
        ["exponents", "--help"],
        ["compare", "--beta", "nan"],
        ["predict", "--beta", "nan"],
        [],
    ],
)
def test_help_and_usage_errors_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom emergence.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: print(end.code)\n"
        "print(sorted({'numpy', 'scipy', 'sympy', 'matplotlib', 'numba', 'mpmath'} & set(sys.modules)))"
    )
    done = spawned("-c", code, *arguments)
    assert done.stdout.splitlines()[-1] == "[]", done
    assert done.stdout.splitlines()[-2] == ("0" if "--help" in arguments else "2")
    assert done.stderr == "" if "--help" in arguments else done.stderr.count("\n") == 1


def test_help_lists_the_flags_of_the_contract(cli: Cli) -> None:
    text = cli("compare", "--help").out
    for flag in (
        "activation", "high-pass", "beta", "P", "strengths", "d", "m", "init-scale", "seed", "directions", "config",
        "step-size", "samples", "batch", "seeds", "records", "json", "out", "strict",
    ):  # fmt: skip
        assert f"--{flag}" in text
    for command in ("predict", "law", "step-size", "width", "simulate"):
        text = cli(command, "--help").out
        assert "{default}" not in text and "first P coordinate axes" in " ".join(text.split()), command
    top = cli("--help")
    assert top.code == 0 and all(word in top.out for word in ("hermite", "predict", "exponents", "simulate", "compare"))


def test_a_real_process(tmp_path: Path) -> None:
    done = spawned("-m", "emergence", "hermite", "h4", "--max-degree", "4", "--json")
    assert done.returncode == 0 and done.stderr == ""
    assert [item["value"] for item in json.loads(done.stdout)["coefficients"]] == [0, 0, 0, 0, 1]
    refused = spawned("-m", "emergence", "hermite", "h99", "--out", str(tmp_path / "out"))
    assert refused.returncode == 2 and refused.stdout == "" and refused.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    version = spawned("-m", "emergence", "--version")
    assert version.returncode == 0 and version.stdout.strip()


def test_a_reader_that_goes_away_is_no_error() -> None:
    words = [sys.executable, "-m", "emergence", "--version"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


def redirected(to: str, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """The command with its streams as the shell is told."""
    command = ["sh", "-c", f'exec "$@" {to}', "sh", sys.executable, "-m", "emergence", *words]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, env=os.environ | environment)


VAGUE = SMALL_LAW.replace("detects = 0.3", "detects = 0.06")  # inconclusive: exit code 3


def test_a_terminal_of_another_encoding(tmp_path: Path) -> None:
    done = redirected("", "hermite", "h4", "--out", str(tmp_path / "σ"), PYTHONIOENCODING="cp1252")
    assert done.returncode == 0 and done.stdout.startswith(b"? = h4\n"), done
    assert (tmp_path / "σ" / "hermite.txt").read_text(encoding="utf-8").startswith("σ = h4\n")
    assert done.stderr.count(b"wrote ") == 3


def test_a_check_on_a_terminal_of_another_encoding(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "a.xml"]
    claims = claims_file(tmp_path, VAGUE.replace("loss", "β"))
    done = redirected(
        "", "check", "--claims", claims, "--json", str(files[0]), "--junit", str(files[1]), PYTHONIOENCODING="ascii"
    )
    assert done.returncode == 3 and b"inconclusive  ?" in done.stdout, done
    assert json.loads(files[0].read_text())["claims"][0]["name"] == "β"
    assert ElementTree.parse(files[1]).getroot()[0].get("name") == "β"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["hermite", "h4"]])
def test_a_full_stdout_is_an_error_in_one_line(words: list[str]) -> None:
    done = redirected(">/dev/full", *words)
    assert done.returncode == 2 and done.stderr.startswith(b"emergence: error: cannot write to stdout: "), done
    assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_stdout_costs_no_file(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "a.xml"]
    words = ["check", "--claims", claims_file(tmp_path, VAGUE), "--json", str(files[0]), "--junit", str(files[1])]
    done = redirected(">/dev/full", *words)
    assert done.returncode == 2 and b"cannot write to stdout" in done.stderr.splitlines()[-1], done
    assert all(file.stat().st_size for file in files)


def test_a_reader_that_goes_away_costs_neither_file_nor_exit_code(tmp_path: Path) -> None:
    words = ["check", "--claims", claims_file(tmp_path, VAGUE), "--json", str(tmp_path / "a.json")]
    with subprocess.Popen(
        [sys.executable, "-m", "emergence", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == f"wrote {tmp_path / 'a.json'}\n"
        assert process.wait(60) == 3


def test_a_closed_stderr_costs_no_result(tmp_path: Path) -> None:
    done = redirected("2>&-", "hermite", "h4", "--json", "--out", str(tmp_path))
    assert done.returncode == 0 and json.loads(done.stdout)["information_exponent"] == 4
    assert json.loads((tmp_path / "hermite.json").read_text()) == json.loads(done.stdout)
    assert redirected("2>&-", "hermite", "h4", "h6").returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [["hermite", "h99"], ["hermite", "h4", "h6"]], ids=["command", "parser"])
def test_an_error_that_nobody_can_read_is_one(words: list[str]) -> None:
    assert redirected("2>/dev/full", *words).returncode == 2


def test_a_closed_stdout_is_an_error() -> None:
    done = redirected(">&-", "--version")
    assert done.returncode == 2 and done.stderr.startswith(b"emergence: error: cannot write to stdout: "), done


# --- help that helps ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["hermite", "predict", "law", "step-size", "width", "exponents", "figures", "check"]
)
def test_every_command_has_help(cli: Cli, command: str) -> None:
    outcome = cli(command, "--help")
    assert outcome.code == 0 and outcome.out.startswith(f"usage: emergence {command}") and "{" not in outcome.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulte"], "did you mean simulate?"),
        (["simulate", "--sampels", "3"], "unrecognized arguments: --sampels 3; did you mean --samples?"),
        (["simulate", "--seeds=3", "--sampels=3"], "--sampels=3; did you mean --samples?"),
        (["hermite", "sigmiod(x)"], "unknown function 'sigmiod' in the activation; did you mean sigmoid?"),
        (["simulate", "--schedule", "power:10"], "write power:HORIZON:POWER, the horizon in steps"),
        (["simulate", "--schedule", "power:ten:1"], "'ten' is not a number"),
        (["simulate", "--schedule", "piecewise:10"], "write piecewise:STEP=ETA,STEP=ETA,…"),
        (["simulate", "--seed", "1e39"], "'1e39' is not a whole number of at most 128 bits"),
        (["simulate", "--samples", "1e99999999"], "is not a whole number of at most 64 bits"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(cli: Cli, arguments: list[str], message: str) -> None:
    outcome = cli(*arguments)
    assert (outcome.code, outcome.out) == (2, "") and message in outcome.err and outcome.err.count("\n") == 1


def test_misspelt_keys_are_answered_too(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("step-sise = 1e-3")
    assert "did you mean step_size?" in cli("predict", "--config", str(tmp_path / "c.toml")).err
    assert "did you mean allowance?" in cli("check", "--claims", claims_file(tmp_path, LOSS + "allowence = 1")).err


def test_a_seed_of_128_bits(cli: Cli) -> None:
    words, seed = ["simulate", *SMALL, *SHORT], 2**128 - 1
    one, other = (cli.json(*words, "--seed", str(s)) for s in (seed, seed - 2**64))
    assert one["seed"] == seed and one["loss"] != other["loss"]


def test_completion(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert "sgd-emergence[completion]" in cli("--completion", "bash").err
    monkeypatch.undo()
    pytest.importorskip("shtab")
    assert "step-size" in cli("--completion", "bash").out
    assert "must be one of" in cli("--completion", "cmd").err


def test_a_config_with_a_byte_order_mark_or_without_end(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfd = 3\nP = 8")
    assert "`d` must be at least P = 8, but is 3" in cli("predict", "--config", str(tmp_path / "c.toml")).err
    if Path("/dev/zero").exists():
        assert "has more than 10000000 bytes" in cli("predict", "--config", "/dev/zero").err


@pytest.mark.parametrize(
    ("words", "file"),
    [(["hermite", "h4"], "hermite.json"), (["simulate", *SMALL, *SHORT, "--workers", "1"], "checkpoint-0000.npz")],
)
def test_a_full_disk_is_said_with_the_name_of_the_file(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], file: str
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = cli(*words, "--out", str(tmp_path))
    assert outcome == (2, "", f"emergence: error: cannot write {tmp_path / file}: No space left on device\n")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_is_heard_however_a_library_takes_it(tmp_path: Path) -> None:
    """Dropped while an object is finalised, turned into another error, or before anything of ours is imported."""
    start = "import os, signal, sys\nsys.argv = ['emergence', 'hermite', 'h4']\n"
    send = "os.kill(os.getpid(), signal.SIGINT)"
    finalised = (
        f"class Last:\n    def __del__(self): {send}; [0 for _ in range(9)]\n"
        "del_ = lambda flags: Last() and __import__('time').sleep(5) or 0\n"
    )
    patched = "from emergence.cli import commands, main\ncommands.hermite = del_\nmain()"
    turned = (
        f"def del_(flags):\n    try: {send}\n    except KeyboardInterrupt: raise ImportError('initialization failed')\n"
    )
    first = (
        "import importlib.abc\nclass First(importlib.abc.MetaPathFinder):\n"
        f"    def find_spec(self, name, *_):\n        if name == 'emergence.cli.entry': {send}\n"
        "sys.meta_path.insert(0, First())\nfrom emergence.cli import main\nmain()"
    )
    for body in (finalised + patched, turned + patched, first):
        done = spawned("-c", start + body)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "emergence: interrupted\n"), body


def test_sigterm_is_an_interrupt_by_another_name() -> None:
    body = (
        "import os, signal, sys\nfrom emergence.cli import commands, main\nsys.argv[1:] = ['hermite', 'h4']\n"
        "commands.hermite = lambda flags: os.kill(os.getpid(), signal.SIGTERM)\nmain()"
    )
    done = spawned("-c", body)
    assert (done.returncode, done.stdout, done.stderr) == (143, "", "emergence: terminated\n")
