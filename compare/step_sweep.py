"""A sweep over step sizes: runs of one length at each, the best of them for every number of samples, the law beside.

The best step size is found, not predicted.  At every step size of a wide list runs take the same number of samples,
and none is cut when the loss has fallen.  A step size is out from where more than a share ``RISK`` of its runs has
diverged, or, as leap cannot see the rare samples that runs diverge by, from where the law expects as much
(``theory.sample_curves.lost``); so neither depends on how many seeds there are.  Losses are of what survives, in runs
and law.  The best is that of at most so many samples: a run may end before.  The least of several noisy curves lies
below each of them, so each half of the seeds is read where the other half is best; what that choice adds to the
scatter is in the interval only where the choice is made again in every resample.  Unit: samples (steps × batch).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from .._types import Array
from ..problem.divergence import RISK
from ..problem.problem import Problem
from ..problem.seeds import generator
from ..simulate import sgd
from ..theory import SgdLaw, sgd_law
from ..theory.gradient_noise import ceiling
from ..theory.sample_curves import best_of, least_so_far, lost
from .experiment import Experiment
from .runs import SAMPLERS
from .seed_bootstrap import centre_of

POINTS, RECORDS, DECADES = 160, 240, 3  # of a curve, which spans that many decades of samples; of a run
RESAMPLES = 1000


@dataclass(frozen=True)
class Sweep:
    """Loss against samples at every step size.

    Attributes
    ----------
    x
        Samples, shape (X,).
    losses
        Shape (E, S, X) for E ascending step sizes and S seeds; NaN from where a run has diverged, inf from where the
        step size is out.
    laws
        Of SGD, one a step size.
    """

    x: Array
    losses: Array
    laws: tuple[SgdLaw, ...]

    def best(self) -> Array:
        """Loss (S', X) of at most x samples, each half of the seeds at the step sizes that are best for the other.

        Of the seeds that diverge at none of these by then.
        """
        return _survivors(cross_validated(self.losses, "mean"))

    def resampled(self, seed: int) -> Array:
        """Means (B, X) of ``best`` for resamples of the seeds, each with its own choice of the step sizes."""
        return resampled(self.losses, "mean", seed)

    def means(self) -> Array:
        """Mean loss (E, X) of the runs that have not diverged; inf from where the step size is out."""
        return np.nanmean(self.losses, axis=1)

    def expected(self) -> tuple[Array, Array, dict[str, Array]]:
        """Mean (X,), draws (D, X) and ``step_size`` (X,) by the laws at the best of the same step sizes."""
        return best_of(self.laws, self.x)


def step_sizes_of(experiment: Experiment, problem: Problem) -> Array:
    """The experiment's step sizes for a problem."""
    return experiment.batch * ceiling(problem) * np.array(experiment.step_sizes)


def sweep(experiment: Experiment, samples: float, seed: int) -> Sweep:
    """Run SGD at every step size of the experiment for so many samples."""
    steps = step_sizes_of(experiment, experiment.problem)
    size, noise = experiment.batch, experiment.label_noise
    laws = [
        sgd_law(experiment.problem, eta, batch=size, label_noise=noise, t_max=samples / size * eta, seed=seed)
        for eta in steps
    ]
    x = np.geomspace(samples / 10**DECADES, 0.999 * samples, POINTS)
    return Sweep(x, np.stack([_losses_of_survivors(experiment, law, x, seed) for law in laws]), tuple(laws))


def _losses_of_survivors(experiment: Experiment, law: SgdLaw, x: Array, seed: int) -> Array:
    size = experiment.batch
    run = sgd(
        experiment.problem, law.step_size, int(np.ceil(x[-1] / size)) * size, batch=size, seeds=experiment.seeds,
        seed=seed, sampler=SAMPLERS[experiment.method], label_noise=experiment.label_noise, records=RECORDS,
        spacing="log",
    )  # fmt: skip
    taken = np.log(run.times[1:] * size / law.step_size)
    found = np.stack([np.interp(np.log(x), taken, row[1:]) for row in run.loss])
    found[:, (np.isnan(found).mean(axis=0) > RISK) | lost(law, x)] = np.inf
    return found


def _survivors(rows: Array) -> Array:
    return rows[np.isfinite(rows).all(axis=1)]


def cross_validated(tables: Array, centre: str) -> Array:
    """Rows (S, T) of ``tables`` (E, S, T), each half of the seeds where the centre of the other is least up to t.

    So that no run is chosen for its own luck.  NaN counts for no centre.
    """
    middle = np.nanmean if centre == "mean" else np.nanmedian
    rows = np.empty(tables.shape[1:])
    for half in (0, 1):
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # all of a half have diverged
            centres = middle(tables[:, 1 - half :: 2], axis=1)
        centres[np.isnan(centres)] = np.inf
        best, at = np.argmin(centres, axis=0), least_so_far(np.min(centres, axis=0))
        rows[half::2] = tables[best[at], half::2, at].T
    return rows


def resampled(tables: Array, centre: str, seed: int) -> Array:
    """Centres (RESAMPLES, T) of ``cross_validated`` rows, the seeds of either half drawn anew from it.

    The halves stay apart, so that no seed is read at a step size that it has chosen itself.  Of a mean, seeds that
    diverge do not count; inf where all do.
    """
    stream, picked = generator(seed), np.arange(tables.shape[1])
    centres = np.empty((RESAMPLES, tables.shape[2]))
    for row in centres:
        order = picked.copy()
        for half in (0, 1):
            order[half::2] = stream.choice(picked[half::2], picked[half::2].size)
        found = cross_validated(tables[:, order], centre)
        if centre == "mean":
            found = _survivors(found)
        row[:] = centre_of(found, centre) if len(found) else np.inf
    return centres


def learned(problem: Problem, x: Array, mean: Array, first: int, last: int) -> tuple[float, float]:
    """The x between which ``first`` and ``last`` directions are learned, says the loss ``mean`` (X,).

    Raises
    ------
    ValueError
        So many are not.
    """
    left = 0.5 * problem.activation.second_moment * (np.sum(problem.a**2) - np.cumsum(problem.a**2))
    below = [np.flatnonzero(mean < left[q - 1]) for q in (first, last)]
    if not below[-1].size:
        raise ValueError(f"{x[-1]:.3g} samples are too few to learn {last} directions at any step size")
    return float(x[below[0][0]]), float(x[below[-1][0]])
