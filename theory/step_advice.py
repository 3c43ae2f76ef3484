"""Which step size to take: the one that needs the fewest samples to learn the strongest directions, and what it takes.

The step size is looked for on the lattice of ``theory.sample_curves`` and then between its best point's neighbours;
the samples are the median, over draws of start and noise, of when the last of the wanted directions is recovered.
Step sizes at which direct SGD is lost by then with more than ``RISK`` are left out.  Beside it stands the paper's
sufficient rule: drift above the noise of the start for the last direction wanted, from its median best overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._types import Array
from ..problem.cards import Card
from ..problem.checks import nonnegative_number, positive_integer
from ..problem.divergence import RISK
from ..problem.problem import Problem
from .critical_step_size import drift_dominated_step_sizes
from .finite_step_law import LEVELS, SgdLaw, sgd_law
from .gradient_noise import ceiling
from .sample_curves import RATIO, step_size_lattice


@dataclass(frozen=True, repr=False)
class StepSize(Card):
    """A step size and what learning takes with it.

    Attributes
    ----------
    levels, samples, flow_time
        Quantiles over start and noise; inf where not reached with that probability.
    divergence_probability
        By the median, of direct SGD.
    """

    rule: str
    step_size: float
    ceiling: float
    levels: tuple[float, ...]
    samples: Array
    flow_time: Array
    divergence_probability: float
    valid: bool
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf stays inf for the caller to write as null."""
        return {
            "step_size": self.step_size,
            "ceiling": self.ceiling,
            "levels": list(self.levels),
            "samples": self.samples.tolist(),
            "flow_time": self.flow_time.tolist(),
            "divergence_probability": self.divergence_probability,
            "valid": self.valid,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        cells = [f"q{q:g}: {n:.3g}" for q, n in zip(self.levels, self.samples, strict=True)]
        state = "" if self.valid else f"\n    not valid: {self.reason}"
        return (
            f"  {self.rule}: step size {self.step_size:.4g}, {self.step_size / self.ceiling:.3g} of the ceiling\n"
            f"    samples {'  '.join(cells)}; diverges by the median with probability "
            f"{self.divergence_probability:.2g}{state}"
        )


def strongest(problem: Problem, learn: int | None) -> Array:
    """The ``learn`` strongest directions, None for all of positive strength; strongest first.

    Raises
    ------
    ValueError
        More directions than there are with a positive strength.
    """
    count = int(np.count_nonzero(problem.a))
    wanted = count if learn is None else positive_integer("learn", learn)
    if wanted > count:
        raise ValueError(f"`learn` must be at most the {count} directions of positive strength, but is {wanted}")
    return np.argsort(-problem.a, kind="stable")[:wanted]


def advise(
    problem: Problem, learn: int | None = None, *, batch: int = 1, label_noise: float = 0.0,
    levels: ArrayLike = LEVELS, seed: int = 0,
) -> dict[str, StepSize]:  # fmt: skip
    """``"best"`` and ``"sufficient"`` step sizes to recover the ``learn`` strongest directions (default all).

    Raises
    ------
    ValueError
        More directions than there are with a positive strength; a problem without a law of SGD.
    """
    chosen = strongest(problem, learn)
    batch, tau = positive_integer("batch", batch), nonnegative_number("label_noise", label_noise)
    q = tuple(float(level) for level in np.atleast_1d(np.asarray(levels, dtype=float)))

    def found(eta: float) -> tuple[float, SgdLaw, Array]:
        """Median samples, inf where the run is at risk; the law; and the times of all draws."""
        law = sgd_law(problem, eta, batch=batch, label_noise=tau, seed=seed)
        times = law.recovery[:, chosen].max(axis=1)
        median = float(np.quantile(times, 0.5, method="inverted_cdf"))
        lost = 1 - float(law.survival_at(median)) if np.isfinite(median) else 1.0
        return (median * batch / eta if lost <= RISK else np.inf), law, times

    tried = {float(eta): found(float(eta)) for eta in step_size_lattice(problem, batch, tau)}
    if not np.isfinite(min(one[0] for one in tried.values())):
        raise ValueError(
            f"no step size learns {chosen.size} directions with probability ½: the law finds too few students or a "
            f"risk of divergence above {RISK:g} at each"
        )
    best = min(tried, key=lambda eta: tried[eta][0])
    for factor in (RATIO**-0.5, RATIO**0.5, RATIO**-0.25, RATIO**0.25):
        eta = best * factor
        if eta <= max(tried):
            tried[eta] = found(eta)
    best = min(tried, key=lambda eta: tried[eta][0])
    rule = float(drift_dominated_step_sizes(problem, batch, tau)[chosen].min())

    def stated(name: str, eta: float, law: SgdLaw, times: Array) -> StepSize:
        t = np.quantile(times, q, method="inverted_cdf")
        median = float(np.quantile(times, 0.5, method="inverted_cdf"))
        lost = 1 - float(law.survival_at(min(median, law.t_max)))
        return StepSize(name, eta, batch * ceiling(problem), q, t * batch / eta, t, lost, law.valid, law.reason)

    return {
        "best": stated("fewest samples", best, *tried[best][1:]),
        "sufficient": stated("drift above initial noise (the paper's rule)", rule, *found(rule)[1:]),
    }
