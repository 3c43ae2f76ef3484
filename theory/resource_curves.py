"""The expected loss of the finite law against every resource, with its constants and bands.

One function a resource, each returning a ``Curve`` over the draws of a ``theory.finite_size_law.FiniteLaw``:

    flow_time               L(t)
    samples_sufficient_step x = B t/η at step size η and batch B, directions above their threshold left out
    samples_horizon_step    x = t/η, the step size the best for each x by that rule
    width                   L after all time
    compute_width_time      x = m t, the best width for each x
    compute_width_samples   x = m n, the best width and step size for each x
    dimension_time          median T_p against d
    dimension_samples       median T_p/η_p against d

Noise enters through one rule, that of the paper's horizon; what SGD really needs is in ``theory.sample_curves``.
The rule knows no ceiling (``theory.gradient_noise``): where it asks for step sizes above that, as at small d, SGD
diverges and no run needs so few samples.  The curve's ``note`` says so.
At step size η a direction is learned only if the drift of its
student's initial overlap beats the shrinkage by gradient noise, η ≤ η_p
(``theory.critical_step_size``), and then at its flow time T_p.  That is sharp where
SGD is gradual: with the shrinkage Γ = (η/η_p) · 4 I c² a s_0^{I−1} kept in ṡ = 4 I c² a s^I − Γ s the
time is T_p · (−ln(1 − ε)/ε) at ε = η/η_p, so that T_p/η is least, 2.46 T_p/η_p, at ε = 0.72: read the
samples at the horizon's step size with that factor for their scale.  A batch B allows steps B times
larger, B times fewer: the same samples.

"Best" minimises the expected loss over widths, and over step sizes on a lattice of 20 a decade;
x, step sizes and flow times share the lattice, so that one pass over the directions serves all of
them.  A law of given starts has the widths up to its own, of the first m students of each, and its own
dimension alone.  Units: flow time, samples; compute counts students × either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array
from ..problem.checks import nonnegative_integer, positive_integer, positive_number
from ..problem.tables import Columns, Tabulated, checked_kind
from .critical_step_size import drift_dominated_step_size
from .finite_size_law import FiniteLaw, finite_law, law_of_starts
from .gradient_noise import ceiling

RATIO = 10 ** (1 / 20)  # of neighbouring points of the lattice


@dataclass(frozen=True, repr=False)
class Curve(Tabulated):
    """A quantity against a resource.

    Attributes
    ----------
    resource
        Name of the function that made it.
    x
        The resource, ascending, shape (X,).
    rows
        The quantity of each draw, shape (draws, X).
    value
        Mean loss over the draws; for ``dimension_*`` the median time or samples.  Shape (X,).
    quantiles, bands
        Levels (Q,) and the quantiles over the draws, shape (Q, X).
    choice
        Best ``width`` or ``step_size`` at each x, shape (X,), where they are chosen.
    note
        Where the curve is not of runs that could be.
    """

    resource: str
    x: Array
    rows: Array
    value: Array
    quantiles: tuple[float, ...]
    bands: Array
    choice: dict[str, Array] = field(default_factory=dict)
    note: str = ""

    def columns(self, kind: str = "curves") -> Columns:
        """The only table: a row for each x."""
        checked_kind(kind, "curves")
        bands = {f"q{q:g}": band for q, band in zip(self.quantiles, self.bands, strict=True)}
        return {"x": self.x, "value": self.value, **bands, **self.choice}

    def to_dataframe(self, kind: str = "curves") -> Any:
        """The table as a pandas data frame (extra ``data``)."""
        return super().to_dataframe(kind)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf stays inf for the caller to write as null."""
        return {
            "resource": self.resource,
            "x": self.x.tolist(),
            "value": self.value.tolist(),
            "quantiles": list(self.quantiles),
            "bands": self.bands.tolist(),
            "choice": {name: chosen.tolist() for name, chosen in self.choice.items()},
            "note": self.note,
        }

    def __str__(self) -> str:
        return (
            f"{self.resource}: {self.x.size} points from {self.x[0]:.4g} to {self.x[-1]:.4g}, "
            f"value {self.value[0]:.4g} to {self.value[-1]:.4g}" + (f"\n  {self.note}" if self.note else "")
        )


def flow_time(law: FiniteLaw, times: ArrayLike | None = None) -> Curve:
    """Loss against flow time; default from before the first to after the last median recovery."""
    x = lattice(*_span(law.recovery)) if times is None else axis("times", times)
    return _curve("flow_time", x, law.loss_at(x), law)


def samples_sufficient_step(
    law: FiniteLaw, step_size: float, samples: ArrayLike | None = None, *, batch: int = 1
) -> Curve:
    """Loss against samples (steps × batch) at a fixed step size; directions with η_p < η stay unlearned."""
    eta, batch = positive_number("step_size", step_size), positive_integer("batch", batch)
    scale = eta / batch
    x = lattice(*_span(law.recovery / scale)) if samples is None else axis("samples", samples)
    learned = (_thresholds(law) >= scale).astype(int)
    loss = law.remaining(np.concatenate([[-np.inf], x * scale]), learned, 2)
    curve = _curve("samples_sufficient_step", x, loss[:, 0, :1] + loss[:, 1, 1:], law)
    return _noted(curve, np.full(x.size, scale / ceiling(law.problem)))


def samples_horizon_step(law: FiniteLaw) -> Curve:
    """Loss against samples, for each the step size of least expected loss."""
    x = lattice(*_span(_samples(law)))
    loss, choice = _best_step(law, x)
    return _noted(_curve("samples_horizon_step", x, loss, law, choice), choice["step_size"] / ceiling(law.problem))


def width(law: FiniteLaw, widths: Iterable[int] | None = None) -> Curve:
    """Loss after all time against the number of students."""
    x = width_list(law.problem.m, widths)
    floors = np.stack([_again(law, m=m).floor() for m in x], axis=1)
    return _curve("width", np.array(x, dtype=float), floors, law)


def compute_width_time(law: FiniteLaw, widths: Iterable[int] | None = None) -> Curve:
    """Loss against width × flow time, for each the width of least expected loss."""
    first, last = _span(law.recovery)
    x = lattice(first, law.problem.m * last)
    return _frontier("compute_width_time", law, x, widths, lambda narrow, t: (narrow.loss_at(t), {}))


def compute_width_samples(law: FiniteLaw, widths: Iterable[int] | None = None) -> Curve:
    """Loss against width × samples, for each the width and the step size of least expected loss."""
    first, last = _span(_samples(law))
    x = lattice(first, law.problem.m * last)
    curve = _frontier("compute_width_samples", law, x, widths, _best_step)
    return _noted(curve, curve.choice["step_size"] / ceiling(law.problem))


def dimension_time(law: FiniteLaw, dimensions: Iterable[int], *, direction: int = 0, event: str = "recovery") -> Curve:
    """Median flow time of one direction's ``alignment`` or ``recovery`` against the input dimension."""
    if event not in ("alignment", "recovery"):
        raise ValueError(f'`event` must be "alignment" or "recovery", but is {event!r}')
    return _against_dimension("dimension_time", law, dimensions, direction, lambda other: getattr(other, event))[0]


def dimension_samples(law: FiniteLaw, dimensions: Iterable[int], *, direction: int = 0) -> Curve:
    """Median samples to recovery of one direction at its own largest step size, against the input dimension."""
    curve, others = _against_dimension("dimension_samples", law, dimensions, direction, _samples)
    shares = [_quantile(_thresholds(other)[:, direction], 0.5) / ceiling(other.problem) for other in others]
    return _noted(curve, np.array(shares))


def _noted(curve: Curve, shares: Array) -> Curve:
    """The curve, with a note where its step sizes (X,), as shares of the ceiling, are above that."""
    above = curve.x[shares > 1]
    if not above.size:
        return curve
    where = f"from {above[0]:.4g} to {above[-1]:.4g}" if above.size > 1 else f"at {above[0]:.4g}"
    return replace(
        curve,
        note=f"the rule's step sizes are up to {shares.max():.3g} of the ceiling ({where}), above which SGD diverges: "
        "it needs more samples than that",
    )


def _against_dimension(
    resource: str, law: FiniteLaw, dimensions: Iterable[int], direction: int, quantity: Callable[[FiniteLaw], Array]
) -> tuple[Curve, list[FiniteLaw]]:
    """The curve, and the law at each dimension."""
    if nonnegative_integer("direction", direction) >= law.problem.P:
        raise ValueError(f"`direction` must be below P = {law.problem.P}, but is {direction}")
    x = [positive_integer("dimensions", d) for d in dimensions]
    laws = [_again(law, d=d) for d in x]
    values = np.stack([quantity(other)[:, direction] for other in laws], axis=1)
    return replace(_curve(resource, axis("dimensions", x), values, law), value=_quantile(values, 0.5)), laws


def _frontier(
    resource: str,
    law: FiniteLaw,
    x: Array,
    widths: Iterable[int] | None,
    loss_against: Callable[[FiniteLaw, Array], tuple[Array, dict[str, Array]]],
) -> Curve:
    """Lower envelope over widths of the expected loss at x/m."""
    best, choice = np.full((law.draws, x.size), np.inf), {"width": np.zeros(x.size)}
    for m in width_list(law.problem.m, widths):
        loss, chosen = loss_against(_again(law, m=m), x / m)
        better = loss.mean(axis=0) < (1 - 1e-9) * best.mean(axis=0)  # the narrowest of equals
        best[:, better] = loss[:, better]
        for name, values in {"width": np.full(x.size, m), **chosen}.items():
            choice[name] = np.where(better, values, choice.get(name, 0.0))
    return _curve(resource, x, best, law, choice)


def _best_step(law: FiniteLaw, samples: Array) -> tuple[Array, dict[str, Array]]:
    """Loss (draws, X) at the best step size for each number of samples on a lattice; the step sizes (X,).

    Directions are grouped by the lattice cell of η_p, so that step j of the lattice learns groups
    j + 1 and up, at flow times that are lattice points themselves.
    """
    thresholds, spacing = _thresholds(law), np.log(RATIO)
    steps = lattice(*_extremes(thresholds))
    with np.errstate(divide="ignore"):
        cell = np.floor(np.log(thresholds / steps[0]) / spacing + 1e-9)
    group = np.clip(cell + 1, 0, steps.size).astype(int)
    times = samples[0] * steps[0] * RATIO ** np.arange(samples.size + steps.size - 1)
    loss = law.remaining(np.concatenate([[-np.inf], times]), group, steps.size + 1)
    never = loss[:, :-1, 0].cumsum(axis=1)
    learned = loss[:, ::-1, 1:].cumsum(axis=1)[:, ::-1]
    step, sample = np.ogrid[: steps.size, : samples.size]
    total = never[:, :, None] + learned[:, step + 1, step + sample]
    best = np.argmin(total.mean(axis=0), axis=0)
    return total[:, best, np.arange(samples.size)], {"step_size": steps[best]}


def _thresholds(law: FiniteLaw) -> Array:
    """Largest step size at batch 1 that learns each direction, shape (draws, P); 0 without a student."""
    return drift_dominated_step_size(law.problem, law.problem.a, law.overlaps, 1)


def _samples(law: FiniteLaw) -> Array:
    """Samples to recovery of each direction at its own largest step size, shape (draws, P)."""
    with np.errstate(divide="ignore"):
        return law.recovery / _thresholds(law)


def _again(law: FiniteLaw, **change: Any) -> FiniteLaw:
    """The law of the same problem at another ``d`` or ``m``: new draws, or the first m students of given starts."""
    problem = replace(law.problem, **change)
    if isinstance(law.starts, int):
        return finite_law(problem, draws=law.draws, seed=law.starts, quantiles=law.quantiles)
    if problem.d != law.problem.d:
        raise ValueError(f"the given starts are directions in dimension {law.problem.d}, there are none in {problem.d}")
    if problem.m > law.problem.m:
        raise ValueError(f"the given starts have {law.problem.m} students, so there are none for width {problem.m}")
    return law_of_starts(problem, law.starts[:, : problem.m])


def _curve(resource: str, x: Array, values: Array, law: FiniteLaw, choice: dict[str, Array] | None = None) -> Curve:
    bands = np.stack([_quantile(values, q) for q in law.quantiles])
    return Curve(resource, x, values, values.mean(axis=0), law.quantiles, bands, choice or {})


def _quantile(values: Array, q: float) -> Array:
    return np.quantile(values, q, axis=0, method="inverted_cdf")  # no mean of a finite and an infinite time


def _extremes(values: Array) -> tuple[float, float]:
    """Medians over the draws of the least and the largest finite positive entry."""
    usable = np.isfinite(values) & (values > 0)
    lowest = np.where(usable, values, np.inf).min(axis=1)
    return float(np.median(lowest)), float(np.median(np.where(usable, values, 0.0).max(axis=1)))


def _span(values: Array) -> tuple[float, float]:
    """From half the first to twice the last of the transitions."""
    first, last = _extremes(values)
    return 0.5 * first, 2 * last


def lattice(low: float, high: float) -> Array:
    """Powers of RATIO that cover low to high.

    Raises
    ------
    ValueError
        No span of positive numbers, as where a direction is learned before the first step.
    """
    if not 0 < low <= high < np.inf:
        raise ValueError(
            f"there is no curve from {low:.4g} to {high:.4g}: a direction is learned at the very start; take smaller "
            "initial norms, `init_scale`"
        )
    low, high = np.floor(np.log(low) / np.log(RATIO)), np.ceil(np.log(high) / np.log(RATIO))
    return RATIO ** np.arange(low, high + 1)


def width_list(m: int, widths: Iterable[int] | None) -> list[int]:
    """Given widths, or 1, 2, 4, … up to m."""
    if widths is None:
        return sorted({*(2**i for i in range(m.bit_length())), m})
    chosen = [positive_integer("widths", m) for m in widths]
    axis("widths", chosen)
    return chosen


def axis(name: str, values: ArrayLike) -> Array:
    """Ascending finite non-negative numbers."""
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or x.size == 0 or not np.isfinite(x).all() or (x < 0).any() or (np.diff(x) <= 0).any():
        raise ValueError(f"`{name}` must be ascending non-negative numbers, but are {values!r}")
    return x
