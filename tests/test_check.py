"""The claim checker: the suite that ships with it, the suite with every formula wrong, and the rule on drawn data.

A checker that upholds whatever it is given would pass the first test alone; so each claim that says that
it finds errors of 0.1 is judged again on the same measurement with the formula off by 0.1 (a constant: by 10 %,
ln 1.1 = 0.095) up and down, and must be refuted.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from emergence.cli.junit import junit_text
from emergence.cli.output import json_text
from emergence.compare import Claim, Experiment, Measured, Report, check, measurements, read_claims
from emergence.compare import claim as documentation
from emergence.compare import suite as checker
from emergence.compare import verdicts as rules
from emergence.compare.default_sizes import DEFAULTS
from emergence.compare.formula import evaluate

NONE = np.zeros((0, 0))
FOUR = Experiment("flow_time", "finite_law", beta=0.8, P=4, m=8, d=4096, seeds=12)
LAW = Claim("law", "(1 - 2*beta)/beta", FOUR)
ONE = Experiment("alignment", "flow", P=1, m=8, d=4096, seeds=12)
TIME = Claim("time", "1/(8*a*s0)", ONE, allowance=0.03, detects=0.095)
X = np.geomspace(1, 100, 10)

Stub = Callable[[Callable[[Experiment, int], Measured]], list[Experiment]]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    """``stub(f)`` measures by f(experiment, seed) and returns the list of experiments measured so far."""

    def install(measure: Callable[[Experiment, int], Measured]) -> list[Experiment]:
        measured: list[Experiment] = []
        monkeypatch.setattr(checker, "measure", lambda one, seed: measured.append(one) or measure(one, seed))
        return measured

    return install


def powers(*exponents: float, same: float | None = None, many: float | None = None) -> Measured:
    """Exact power laws, one a seed, read by a straight line."""
    rows = X ** np.array(exponents)[:, None]
    laws = [np.zeros((0, X.size)) if law is None else np.tile(X**law, (len(rows), 1)) for law in (same, many)]
    return Measured(X, rows, *laws, NONE, "none", "mean", (0.0, math.inf))


def times(ratios: np.ndarray) -> Measured:
    """Alignment times of ``TIME`` off its formula by the factors exp(ratios), one a seed."""
    s0 = np.geomspace(1e-3, 1e-2, ratios.size)[:, None]
    return Measured(np.ones(1), np.exp(ratios[:, None]) / (8 * s0), s0, NONE, NONE, "none", "mean", (0.0, math.inf))


# The suite, and the test of the checker


def wrong(claim: Claim) -> list[Claim]:
    changes = ("+ 0.1", "- 0.1") if claim.experiment.kind == "exponent" else ("* 1.1", "/ 1.1")
    return [replace(claim, formula=f"({claim.formula}) {change}") for change in changes]


def assert_errors_are_found(report: Report, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(checker, "measure", None)  # every wrong formula is judged on what is kept
    able = [v for v in report.verdicts if v.finds <= (0.1 if v.claim.experiment.kind == "exponent" else math.log(1.1))]
    for verdict in able:
        for claim in wrong(verdict.claim):
            assert checker.judge(claim, out=out).verdict == "refuted", claim
    return len(able)


def test_quick_claims_are_upheld_and_find_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of each quantity; flows take longest."""
    found = [claim for claim in read_claims() if claim.quick and claim.experiment.method != "flow"]
    quick = list({claim.experiment.quantity: claim for claim in reversed(found)}.values())
    report = check(quick, out=tmp_path)
    assert report.exit_code == 0 and {v.verdict for v in report.verdicts} == {"upheld"}, str(report)
    assert assert_errors_are_found(report, tmp_path, monkeypatch) == len(quick) >= 4  # every quick claim is that sharp


@pytest.mark.slow
def test_the_suite_upholds_its_claims_and_finds_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = check(read_claims(), out=tmp_path)
    assert report.exit_code == 0, str(report)
    assert assert_errors_are_found(report, tmp_path, monkeypatch) > len(report.verdicts) / 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_the_quick_suite_does_not_hang_on_its_seed(seed: int) -> None:
    report = check([claim for claim in read_claims() if claim.quick], seed=seed)
    assert report.exit_code == 0, str(report)


# The claim that the documentation shows, and the sizes that it leaves out


def documented(tmp_path: Path, was: str = "", now: str = "") -> Claim:
    """The example of the documentation as it stands, or with one text in it changed."""
    (example,) = re.findall(r"\n((?:    .*\n)+)", str(documentation.__doc__).split("A claim is an experiment")[0])
    assert was in example
    (tmp_path / "claims.toml").write_text(textwrap.dedent(example).replace(was, now), encoding="utf-8")
    (found,) = read_claims(tmp_path / "claims.toml")
    return found


def test_the_documented_claim_is_upheld_and_a_wrong_formula_in_it_refuted(tmp_path: Path) -> None:
    assert checker.judge(documented(tmp_path), out=tmp_path).verdict == "upheld"
    for change in ("+ 0.1", "- 0.1"):
        wrong = documented(tmp_path, "(1 - 2*beta)/beta", f"(1 - 2*beta)/beta {change}")
        assert checker.judge(wrong, out=tmp_path).verdict == "refuted"


DERIVED = {
    "flow_time": "(1 - 2*beta)/beta", "samples_fixed_step": "(1 - 2*beta)/beta",
    "samples_best_step": "1 - 2*beta", "samples_horizon_step": "(1 - 2*beta)/(2*beta)", "width": "1 - 2*beta",
    "compute_width_time": "(1 - 2*beta)/(1 + beta)", "dimension_time": "k/2 - 1", "dimension_samples": "k - 1",
    "alignment": "(1/s0 - 2 - log(s0/(1 - s0)))/(8*a)", "recovery_delay": "log(a/n0)/(4*a) + 1/(8*a)",
}  # fmt: skip
QUICK = [("width", "finite_law"), ("dimension_time", "finite_law"), ("alignment", "flow"),
         ("samples_horizon_step", "finite_law")]  # fmt: skip
SLOW = [pair for pair in DEFAULTS if pair not in QUICK]


@pytest.mark.parametrize(
    ("quantity", "method"), [*QUICK, *(pytest.param(*pair, marks=pytest.mark.slow) for pair in SLOW)]
)
def test_default_sizes_uphold_what_is_derived_and_refute_what_is_off_by_more(
    quantity: str, method: str, tmp_path: Path
) -> None:
    right = Claim("right", DERIVED[quantity], Experiment(quantity, method, beta=0.8))
    verdict = checker.judge(right, out=tmp_path)
    assert verdict.verdict == "upheld", verdict
    by = f"{right.detects}"
    for change in (f"+ {by}", f"- {by}") if right.experiment.kind == "exponent" else (f"* exp{by}", f"/ exp{by}"):
        change = change.replace(f"exp{by}", f"{math.exp(right.detects)!r}")
        wrong = replace(right, formula=f"({right.formula}) {change}")
        assert checker.judge(wrong, out=tmp_path).verdict == "refuted", wrong


# The rule


def test_a_true_claim_is_not_refuted(stub: Stub) -> None:
    """n = 500 × 12 seeds, e ≈ 0.0014: |mean| > 0.03 + 15 e has probability below 1e-12 each."""
    stub(lambda _, seed: times(0.005 * np.random.default_rng(seed).standard_normal(12)))
    verdicts = [checker.judge(TIME, seed=seed) for seed in range(500)]
    assert {v.verdict for v in verdicts} == {"upheld"}  # finds 0.03 + 18.5 e, below 0.095 for e < 0.0035: χ at 2.4


@pytest.mark.parametrize("sign", [1, -1])
def test_false_alarms_and_power_are_as_stated(stub: Stub, monkeypatch: pytest.MonkeyPatch, sign: int) -> None:
    """n = 500 each; counts outside the binomial's 5e-10 quantiles raise a false alarm below 1e-9.

    At the allowance's edge one of the two tails is left: ALARM/2.  An error of ``finds`` − |x̂ − x| = b + (t + u) e is
    refuted with probability 0.99, exactly so for normal rows about the true formula.
    """
    n, noise = 500, 0.004 * np.random.default_rng(0).standard_normal((500, 12))
    monkeypatch.setattr(rules, "ALARM", 0.1)
    stub(lambda _, seed: times(sign * TIME.allowance + noise[seed]))
    alarms = sum(checker.judge(TIME, seed=seed).verdict == "refuted" for seed in range(n))
    assert binom.ppf(5e-10, n, 0.05) <= alarms <= binom.isf(5e-10, n, 0.05)
    stub(lambda _, seed: times(noise[seed]))
    verdicts = [checker.judge(TIME, seed=seed) for seed in range(n)]
    stub(lambda _, seed: times(noise[seed] + sign * (verdicts[seed].finds - abs(verdicts[seed].measured))))
    found = sum(checker.judge(TIME, seed=seed).verdict == "refuted" for seed in range(n))
    assert binom.ppf(5e-10, n, 0.99) <= found <= binom.isf(5e-10, n, 0.99)


def test_a_formula_off_by_more_than_it_finds_is_refuted_either_way(stub: Stub) -> None:
    """Whatever finite size takes away: the law here is off by most of its allowance."""
    stub(lambda _, seed: powers(*(-0.75 + 0.018 + 0.0005 * np.arange(-6, 6))))
    verdict = checker.judge(LAW)
    assert verdict.verdict == "upheld" and verdict.finds < 0.1
    for change in (verdict.finds, -verdict.finds):
        assert checker.judge(replace(LAW, formula=f"-0.75 + {change!r}")).verdict == "refuted"


def test_a_constant_is_a_mean_over_seeds_with_the_error_of_a_mean(stub: Stub) -> None:
    ratios = np.linspace(-0.01, 0.02, 12)
    stub(lambda _, seed: times(ratios))
    verdict = checker.judge(TIME)
    assert verdict.measured == pytest.approx(0.005, abs=1e-12)  # rounding
    assert verdict.standard_error == pytest.approx(ratios.std(ddof=1) / math.sqrt(12), rel=1e-9)  # rounding


def test_rows_without_scatter_are_judged_by_the_allowance(stub: Stub) -> None:
    stub(lambda _, seed: times(np.full(12, 0.02)))
    verdict = checker.judge(TIME)
    assert (verdict.verdict, verdict.standard_error) == ("upheld", pytest.approx(0, abs=1e-15))  # rounding of a mean
    assert verdict.finds == pytest.approx(0.05, abs=1e-12)  # |x̂ − x| + b
    assert checker.judge(replace(TIME, formula="1.06/(8*a*s0)")).verdict == "refuted"


def test_finite_size_shifts_the_prediction_by_the_law(stub: Stub) -> None:
    claim = replace(LAW, experiment=replace(FOUR, method="leap"), finite_size=True, detects=0.2)
    for exponent, expected in ((-0.9, "upheld"), (-0.8, "refuted"), (-0.75, "refuted")):
        stub(lambda _, seed, exponent=exponent: powers(*[exponent] * 12, same=-0.9, many=-0.9))
        verdict = checker.judge(claim)
        assert verdict.predicted == pytest.approx(-0.9, abs=1e-12)  # exact lines: −0.75 + (−0.9 + 0.75)
        assert verdict.verdict == expected
    assert "shift at this size" in str(verdict)


def test_the_choice_of_the_step_size_is_in_the_interval(stub: Stub) -> None:
    again = X ** np.random.default_rng(0).normal(-0.75, 0.05, 1000)[:, None]
    claim = Claim("c", "-0.75", Experiment("samples_best_step", "leap"), finite_size=False)
    stub(lambda _, seed: replace(powers(*[-0.75] * 12), resampled=again))
    verdict = checker.judge(claim)
    assert verdict.standard_error == pytest.approx(0.05 * math.sqrt(6 / 5), rel=0.1)


def offset(left_in: float, *, same: bool) -> Measured:
    """A power law with scatter of 0.1 %, and an offset left in, measured beside the law without it or without a law."""
    noise = np.exp(0.001 * np.random.default_rng(0).standard_normal((12, X.size)))
    law = np.tile(X**-0.75, (12, 1)) if same else NONE
    return Measured(X, (X**-0.75 + left_in) * noise, law, law, NONE, "none", "mean", (0.0, math.inf))


@pytest.mark.parametrize("same", [False, True], ids=["alone", "beside the law"])
def test_a_curve_of_another_form_is_no_measurement(stub: Stub, same: bool) -> None:
    """An offset of a tenth of the smallest loss moves the exponent by less than the allowance of this claim."""
    claim = replace(LAW, experiment=replace(FOUR, method="leap" if same else FOUR.method), allowance=0.2, detects=0.5)
    claim = replace(claim, finite_size=False)
    stub(lambda _, seed: offset(0.0, same=same))
    assert checker.judge(claim).verdict == "upheld"
    stub(lambda _, seed: offset(0.3 * X[-1] ** -0.75, same=same))
    verdict = checker.judge(claim)
    assert verdict.verdict == "inconclusive" and "the curve is not of the fitted form" in verdict.reason


def test_sizes_are_extrapolated_in_the_inverse_logarithm(stub: Stub) -> None:
    measured = stub(lambda one, seed: powers(*[-0.75 - 0.5 / math.log(one.P)] * 12))
    verdict = checker.judge(replace(LAW, experiment=replace(FOUR, d=10_000, sizes=(100, 1000, 10_000))))
    assert verdict.measured == pytest.approx(-0.75, abs=1e-12)  # exact lines, an exact line in 1/ln P
    assert [(one.P, one.m, one.sizes) for one in measured] == [(100, 200, ()), (1000, 2000, ()), (10_000, 20_000, ())]


# Inconclusive, reports


def test_what_cannot_be_measured_is_inconclusive_and_the_rest_goes_on(stub: Stub) -> None:
    def measure(experiment: Experiment, seed: int) -> Measured:
        if experiment.quantity == "alignment":
            return times(np.zeros(12))
        if experiment.P == 5:
            raise ValueError("a run diverged")
        return powers(*np.linspace(-1.5, 0, 12)) if experiment.P == 6 else powers(*[-0.75] * 12)

    stub(measure)
    sizes = {"diverged": 5, "wide": 6, "law": 4}
    claims = {name: replace(LAW, name=name, experiment=replace(FOUR, P=P)) for name, P in sizes.items()}
    claims["negative"] = replace(TIME, name="negative", formula="a - s0 - 1")
    report = check([*claims.values()])
    assert [v.verdict for v in report.verdicts] == ["inconclusive", "inconclusive", "upheld", "inconclusive"]
    diverged, wide, _, negative = report.verdicts
    assert diverged.reason == "a run diverged" and math.isnan(diverged.measured)
    assert "an error of 0.1" in wide.reason and wide.finds > 0.1
    assert "the formula gives the time -0.00" in negative.reason
    assert report.exit_code == 3
    assert "nan" not in (str(report) + junit_text(report)).lower() and "measured — —" in str(diverged)
    refuted = check([*claims.values(), replace(LAW, name="law", formula="-1")])
    assert refuted.exit_code == 1 and check([claims["law"]]).exit_code == 0
    cases = ElementTree.fromstring(junit_text(refuted))
    assert (cases.attrib["tests"], cases.attrib["failures"], cases.attrib["errors"]) == ("5", "1", "3")
    assert [[child.tag for child in case] for case in cases] == [["error"], ["error"], [], ["error"], ["failure"]]
    assert cases[4][0].text == str(refuted.verdicts[4]) and cases[2].attrib["name"] == "law"
    document = json.loads(json_text(refuted.as_dict()), parse_constant=pytest.fail)
    assert document["exit_code"] == 1 and document["false_alarm_rate"] == pytest.approx(5e-8)  # five times 1e-8
    assert set(document) == {"claims", "exit_code", "false_alarm_rate", "seed", "version", "wall_time"}
    assert {"name", "formula", "predicted", "measured", "standard_error", "interval", "allowance", "verdict"} < set(
        document["claims"][0]
    )
    assert document["claims"][0]["measured"] is None and document["claims"][2]["measured"] == pytest.approx(-0.75)
    with pytest.raises(ValueError, match="`seed` must be a non-negative integer, but is -1"):
        check([LAW], seed=-1)


LOST = Experiment("dimension_time", "flow", P=2, m=1, dimensions=(8, 9, 10), seeds=6)


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (replace(TIME, experiment=replace(ONE, m=1, d=1)), "the formula gives the time 0.125, measured 0"),
        (replace(LAW, experiment=replace(FOUR, P=1, d=64)), "the window holds 0 points"),
        (
            Claim("two directions, one student", "1", LOST),
            "half of the runs at d = 8 did not learn the last direction",
        ),
    ],
)
def test_runs_that_measure_nothing_say_why(claim: Claim, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "LAW_DRAWS", 500)
    verdict = checker.judge(claim)
    assert verdict.verdict == "inconclusive" and reason in verdict.reason, verdict


# Kept measurements


def test_an_interrupted_check_goes_on_where_it_was(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claims, out = [LAW, replace(LAW, name="other", experiment=replace(FOUR, beta=1.0))], tmp_path / "new" / "folder"

    def interrupted(experiment: Experiment, seed: int) -> Measured:
        if experiment.beta == 1.0:
            raise KeyboardInterrupt
        return powers(*np.linspace(-0.76, -0.74, 12))

    stub(interrupted)
    with pytest.raises(KeyboardInterrupt):
        check(claims, out=out)
    assert [path.suffix for path in out.iterdir()] == [".npz"]
    measured = stub(lambda _, seed: powers(*np.linspace(-1.01, -0.99, 12)))
    report = check(claims, out=out)
    assert [one.beta for one in measured] == [1.0] and len(report.verdicts) == 2
    again = check([replace(c, name="renamed", formula=c.formula, allowance=0.03) for c in claims], out=out)
    assert [v.measured for v in again.verdicts] == [v.measured for v in report.verdicts] and len(measured) == 1
    for change in ({"P": 5}, {"seeds": 13}, {"d": 100}, {"beta": 0.9}):
        checker.judge(replace(LAW, experiment=replace(FOUR, **change)), out=out)
    checker.judge(LAW, seed=1, out=out)
    assert len(measured) == 6  # each of the five is another measurement

    def full(file: object, **arrays: np.ndarray) -> None:
        file.write(b"PK")  # type: ignore[attr-defined]
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez", full)
    kept = len(list(out.glob("*.npz")))
    with pytest.raises(OSError, match="no space"):
        checker.judge(replace(LAW, experiment=replace(FOUR, P=6)), out=out)
    assert len(list(out.glob("*.npz"))) == kept


@pytest.mark.parametrize("keep", [0, 10, 700, -30])
def test_a_damaged_measurement_is_refused_by_name_and_left_alone(stub: Stub, tmp_path: Path, keep: int) -> None:
    measured = stub(lambda _, seed: powers(*np.linspace(-0.76, -0.74, 12)))
    assert checker.judge(LAW, out=tmp_path).verdict == "upheld"
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    left = path.read_bytes()
    verdict = checker.judge(LAW, out=tmp_path)
    assert verdict.verdict == "inconclusive" and f"{path} is damaged; delete it" in verdict.reason
    assert path.read_bytes() == left and len(measured) == 1


# Formulas


@pytest.mark.parametrize(
    ("text", "value"),
    [("-k/2 + 1e-1", -1.9), ("2**-beta**2", 2**-0.25), ("log(sqrt(k)) - +3", math.log(2) - 3), (" 0x10 ", 16)],
)
def test_formulas(text: str, value: float) -> None:
    assert evaluate(text, {"beta": 0.5, "k": 4.0}) == pytest.approx(value, rel=1e-15)  # the same operations


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("9**9**9**9", "not a finite number"),
        ("1e999 - 1e999", "not a finite number"),
        ("9" * 400, "not a finite number"),
        ("k*" * 300 + "1", "at most 500 characters"),
        ("-" * 400 + "k", "nested too deeply"),
        ("(" * 249 + ")" * 249, "parenthes|syntax|nested"),
        ("1/(k - 4)", "zero"),
        ("(-1)**0.5", "not a real number"),
        ("log((-1)**beta)", "not a real number"),
        ("log(-1)", "math domain|positive"),
        ("log(1j)", "'1j' is not allowed"),
        ("True", "'True' is not allowed; write numbers, beta, k, log and sqrt"),
        ("__import__('os')", "not allowed"),
        ("k.real", "not allowed"),
        ("[k for k in (1, 2)]", "not allowed"),
        ("(lambda: 1)()", "not allowed"),
        ("k if k else 1", "not allowed"),
        ("log(k, 2)", "not allowed"),
        ("k // 2", "not allowed"),
        ("~k", "not allowed"),
        ("log", "'log' is not allowed"),
        ("a", "'a' is not allowed"),
        ("1or 2", "not allowed"),
        ("1; 2", "syntax"),
        ("k\0", "null"),
        ("", "syntax"),
    ],
)
def test_formulas_that_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"(?s)^(cannot read the formula|a formula has).*({reason})"):
        evaluate(text, {"beta": 0.5, "k": 4.0})


@given(st.lists(st.sampled_from([*"k()+-*/15.,0j_':[]=", "beta", "**", "9e9", "log(", "sqrt(", " if "])).map("".join))
def test_a_formula_is_a_number_or_refused(text: str) -> None:
    try:
        assert math.isfinite(evaluate(text, {"beta": 0.8, "k": 4.0}))
    except ValueError as error:
        assert "\n" not in str(error)
