"""Claims about exponents and transition constants, written in TOML.

    [[claim]]
    name = "the loss falls as a power of flow time, beta = 0.8"
    quantity = "flow_time"              # what is measured, see ``compare.experiment``
    formula = "(1 - 2*beta)/beta"       # in beta and k (information exponent)
    method = "finite_law"               # how: finite_law, sgd_law, flow, reduced or leap
    beta = 0.8

A claim is an experiment and what a formula says of it.  The keys of the experiment (``quantity``, ``method``,
``activation``, ``beta``, ``P``, ``m``, ``d``, ``init_scale``, ``widths``, ``dimensions``, ``sizes``, ``step_size``,
``step_sizes``, ``batch``, ``label_noise``, ``seeds``) and those of the judgement (``finite_size``, ``allowance``,
``detects``, ``quick``) stand side by side; whatever is left out is chosen for the quantity and the method
(``compare.default_sizes``).

Sensible sizes.  An exponent wants P as large as can be paid for, 6 to 64 seeds, and an allowance of what finite size
takes.  On two free cores the defaults take

    finite_law   P = 4000 and 64 starts (width: P = 20000, dimensions to 65536): one to five seconds;
                 compute_width_time, two sizes extrapolated: half a minute
    flow         one direction, 12 to 24 starts: seconds; flow_time at P = 12: half a minute; the envelope minutes
    sgd_law      P = 4000: a minute; dimensions to 2^26: seconds
    leap         P = 16 … 32, 32 … 96 starts, compared with the law at that size: minutes
    reduced      one direction at d = 48 … 96, eight at d = 64, exact in law: up to minutes

A formula admits numbers, the names above, ``+ - * / **``, ``log`` and ``sqrt``; nothing is executed.  The formula
of ``alignment`` and ``recovery_delay`` is a flow time, in a, s0, n0 (initial squared overlap and norm), c, I = k/2,
beta and k.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

from .._suggestion import suggestion
from ..problem.checks import positive_number
from ..problem.toml_file import read_toml
from ..theory.exponent_table import exponents
from .default_sizes import DEFAULTS
from .experiment import LAWS, UNSET, Experiment
from .formula import evaluate

NAMES = {"exponent": ("beta", "k"), "constant": ("beta", "k", "a", "s0", "n0", "c", "I")}


@dataclass(frozen=True)
class Claim:
    """A formula for what an experiment measures; what is not given is the default of the quantity and the method.

    Attributes
    ----------
    name, formula
        As in the file's docstring.
    experiment
        What is measured.
    finite_size
        Predict the formula plus the shift that the law (the finite law, or at the best step size that of SGD) has
        at this size; False where a law itself is measured or no power law is derived.
    allowance
        How far theory at finite size may be from the formula, see ``compare.verdicts``.
    detects
        An error of the formula that must be found, in units of the exponent, or of the logarithm of the ratio of
        times; likewise ``allowance``.
    quick
        Belongs to the quick suite.

    Raises
    ------
    ValueError
        Anything that is not usable, in one line that names the claim.
    """

    name: str
    formula: str
    experiment: Experiment
    finite_size: bool = UNSET
    allowance: float = UNSET
    detects: float = UNSET
    quick: bool = False

    def __post_init__(self) -> None:
        default = DEFAULTS[self.experiment.quantity, self.experiment.method]
        chosen: dict[str, Any] = {"finite_size": default.finite_size and self.derived is not None}
        chosen |= {"allowance": default.allowance, "detects": default.detects}
        for name, value in chosen.items():
            if getattr(self, name) is UNSET:
                object.__setattr__(self, name, value)
        try:
            for text in ("name", "formula"):
                value = getattr(self, text)
                if not isinstance(value, str) or not value.strip() or not value.isprintable():
                    raise ValueError(f"`{text}` must be a text of one line, but is {value!r}")
            for number in ("allowance", "detects"):
                positive_number(number, getattr(self, number))
            for switch in ("finite_size", "quick"):
                if not isinstance(getattr(self, switch), bool):
                    raise ValueError(f"`{switch}` must be true or false, but is {getattr(self, switch)!r}")
            self.predicted(a=0.5, s0=0.01, n0=self.experiment.init_scale**2)
            if self.finite_size:
                self._check_finite_size()
        except ValueError as error:
            raise ValueError(f"claim {self.name!r}: {error}") from None

    def _check_finite_size(self) -> None:
        if self.experiment.method in LAWS:
            raise ValueError("`finite_size` compares a simulation with a law, not the law with itself")
        if self.experiment.kind == "constant":
            raise ValueError("`finite_size` is for exponents")
        if self.derived is None:
            quantity = self.experiment.quantity
            raise ValueError(f"no power law of {quantity} is known here, so `finite_size` has no shift to give")

    @property
    def derived(self) -> float | None:
        """The exponent that theory derives, whatever the formula says; None where there is no power law."""
        k, noisy = self.experiment.problem.activation.information_exponent, self.experiment.label_noise > 0
        known = exponents(self.experiment.beta, k, label_noise=noisy)
        return known[self.experiment.quantity].value if self.experiment.quantity in known else None

    def predicted(self, **more: float) -> float:
        """The formula's number; a constant needs a, s0 and n0."""
        activation = self.experiment.problem.activation
        k = activation.information_exponent or 0
        names = {"beta": self.experiment.beta, "k": float(k), "I": k / 2, "c": float(activation.coefficients[k])} | more
        return evaluate(self.formula, {name: names[name] for name in NAMES[self.experiment.kind]})


MEASURED = tuple(f.name for f in fields(Experiment) if f.init)
JUDGED = tuple(f.name for f in fields(Claim) if f.name != "experiment")


def read_claims(path: Path | None = None) -> list[Claim]:
    """Claims of a TOML file; the suite that ships with the package where None.

    Raises
    ------
    ValueError
        A file that ``read_toml`` refuses, or a claim that is not usable.
    """
    document = read_toml(files(__package__) / "claims.toml" if path is None else path, str(path))
    tables = document.get("claim")
    if set(document) != {"claim"} or not isinstance(tables, list) or not all(isinstance(t, dict) for t in tables):
        raise ValueError(f"{path} must hold [[claim]] tables and nothing else")
    claims = [_claim(table, table.get("name", i + 1)) for i, table in enumerate(tables)]
    names = [claim.name for claim in claims]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two claims are called {twice!r}")
    return claims


def _claim(table: dict[str, Any], name: Any) -> Claim:
    """The claim of one table; errors name it."""
    strange = sorted(set(table) - set(MEASURED) - set(JUDGED))
    if strange:
        keys = (*MEASURED, *JUDGED)
        meant = suggestion(strange[0], keys)
        raise ValueError(f"claim {name!r}: unknown key {strange[0]!r}{meant} (keys: {', '.join(keys)})")
    missing = [key for key in ("name", "quantity", "formula") if key not in table]
    if missing:
        raise ValueError(f"claim {name!r}: `{missing[0]}` is missing")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    try:
        experiment = Experiment(**{key: values[key] for key in MEASURED if key in values})
    except ValueError as error:
        raise ValueError(f"claim {name!r}: {error}") from None
    return Claim(experiment=experiment, **{key: values[key] for key in JUDGED if key in values})
