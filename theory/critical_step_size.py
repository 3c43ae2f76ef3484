"""The step size below which a direction is learned in spite of gradient noise.

With nothing learned yet, one sample's gradient turns a student's direction by noise of variance
φ(1) φ'(1) in each of d dimensions (leading order in d), which shrinks every overlap at the rate Γ/2:

    ṙ = a φ'(r) − Γ r/2,      Γ = η d φ(1) φ'(1)/B,

for batch B.  The drift of the initial overlap r_0 wins where

    η < a φ'(r_0)/r_0 · 2B/(d φ(1) φ'(1)),

to leading order 4 I c² a s_0^{I−1} B/(d φ(1) φ'(1)) (``theory.symbolic_law`` derives both).  For
k* > 2 the drift gains on the shrinkage as r grows, so that a student that starts so well ends
well.  Noise on the labels of standard deviation τ adds to that of the sample: φ(1) + τ² for φ(1).  Derived here.  The
noise is held at its initial level: sufficient, not necessary, since it falls with the loss.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from ..problem.problem import Problem
from .random_init import best_overlap


def drift_dominated_step_size(problem: Problem, a: Array, r0: Array, batch: int, label_noise: float = 0.0) -> Array:
    """Step size below which the drift of overlap r_0 beats the shrinkage; a, r_0 broadcast, r_0 = 0 gives 0."""
    sigma, apart = problem.activation, np.asarray(r0) != 0
    pull = a * sigma.phi_slope(r0) / np.where(apart, r0, 1.0)
    error = sigma.second_moment + label_noise**2
    return np.where(apart, 2 * batch * pull / (problem.d * error * sigma.slope_second_moment), 0.0)


def drift_dominated_step_sizes(problem: Problem, batch: int = 1, label_noise: float = 0.0) -> Array:
    """Largest step size that learns each direction from the median best overlap, shape (P,)."""
    r0 = np.sqrt(best_overlap(problem, 0.5))
    return drift_dominated_step_size(problem, problem.a, r0, batch, label_noise)
