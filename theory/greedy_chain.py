"""Greedy selection among open directions at any size, without the m × P overlaps.

Students go to directions that are still open in the order of the times θ at which they align, and are used up; the
first is the direction's own (``theory.open_selection``).  For directions uniform on the
sphere s_kp = r_kp² has distribution
function F, that of Beta(½, (d − 1)/2).  The entries are taken *independent*: the marginals are exact, the
correlation of two entries of one student, −O(1/d), is left out.  With y_kp = −ln F(s_kp), standard
exponential and falling in s, the process is then a Markov chain that needs no student's name
(derived here):

* while f students are free, the next candidate of a direction below level y is at y + Exp(1)/f;
* its student is uniform among those f.  If only f' of them are free when its turn comes, it still is
  with probability f'/f; if not, the next candidate is at y + Exp(1)/f' (the exponential has no memory);
* the direction whose candidate aligns earliest has one student more, and f falls by one; it closes, and has no
  further candidates, at the recovery time of its first.

Candidates wait in a heap, so a draw costs O((P + matches) log P): about 0.06 s at P = m = 10⁵ compiled
(extra ``fast`` = numba), 1.4 s without, the same numbers either way.

For odd k* only students with r > 0 move outward, so levels count −ln P(r' ≤ r) and end at ln 2; there
F = 2e^{−y} − 1.  ln s is tabulated against ln(−ln F) from 1e-30 to 60, from both tails of F, and read
off a cubic spline; so is a T of alignment, linearly, and the wait from there to recovery, a function of ln a too.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import betainccinv, betaincinv

from .._types import Array
from ..problem.activation import Activation
from ..problem.checks import nonnegative_integer, positive_integer
from ..problem.seeds import DIRECTIONS, generator, seed_stream
from .open_selection import kernel, pulls, waits
from .transition_times import transition_times

STRENGTHS = 32  # values of ln a in the table of waits
SOON = 1e-12  # a T of what is aligned from the start


def greedy_overlaps(activation: Activation, a: Array, *, d: int, m: int, n0: float, draws: int, seed: int = 0) -> Array:
    """Initial |r| of the student that greedy selection gives each direction, over random initial directions.

    Parameters
    ----------
    activation
        σ of information exponent k* ≥ 3, even where k* is even.
    a
        Strengths (P,); directions with a_p = 0 get no student.
    d, m
        Input dimension and number of students.
    n0
        Squared initial norm.
    draws
        Independent draws; draw i does not depend on how many there are.

    Returns
    -------
    Array
        Shape (draws, P); 0 where a direction gets no student.

    Raises
    ------
    ValueError
        An activation outside the regime, or a count that is not a positive integer.
    """
    refusal = greedy_refusal(activation)
    if refusal is not None:
        raise ValueError(refusal)
    d, m, draws = positive_integer("d", d), positive_integer("m", m), positive_integer("draws", draws)
    one_sided = (activation.information_exponent or 0) % 2 == 1
    learnable = np.nonzero(a > 0)[0]
    strength, table, run = a[learnable], _table(d), kernel().chain
    pull, exponent = pulls(activation, strength, d, m), float(activation.information_exponent or 0)
    tables = table, _times(activation, table), *_waits(activation, strength, table, n0)
    out = np.zeros((draws, a.size))
    for i in range(draws):
        stream = generator(seed_stream(nonnegative_integer("seed", seed), i, DIRECTIONS))
        log_s = run(strength, pull, m, exponent, one_sided, *tables, stream)
        out[i, learnable] = np.exp(0.5 * log_s)
    return out


def greedy_refusal(activation: Activation) -> str | None:
    """Why greedy selection among independent overlaps does not apply to σ; None where it does."""
    exponent = activation.information_exponent or 0
    if exponent < 3:
        return f"the finite law needs information exponent ≥ 3, but it is {exponent}"
    if exponent % 2 == 0 and activation.parity != "even":
        return "the finite law needs an even activation where its information exponent is even"
    return None


@lru_cache(maxsize=32)
def _table(d: int) -> Array:
    """Cubic pieces (KNOTS − 1, 4) of ln s against ln y, y = −ln F(s), lowest power first."""
    from .greedy_kernel import HIGHEST, KNOTS, LOWEST

    log_y = np.linspace(LOWEST, HIGHEST, KNOTS)
    if d == 1:
        return np.zeros((KNOTS - 1, 4))
    y, half = np.exp(log_y), 0.5 * (d - 1)
    s = np.where(y < math.log(2), betainccinv(0.5, half, -np.expm1(-y)), betaincinv(0.5, half, np.exp(-y)))
    return np.ascontiguousarray(CubicSpline(log_y, np.log(s)).c[::-1].T)


def _knots(table: Array) -> Array:
    """r at the knots (KNOTS,)."""
    from .greedy_kernel import STEP

    return np.exp(0.5 * np.append(table[:, 0], table[-1] @ STEP ** np.arange(4)))


def _times(activation: Activation, table: Array) -> Array:
    """ln(a T) of alignment alone at the knots (KNOTS,)."""
    alignment, _ = transition_times(activation, np.ones(1), _knots(table), 1e-300)
    return np.log(np.maximum(alignment, SOON))


def _waits(activation: Activation, a: Array, table: Array, n0: float) -> tuple[Array, Array]:
    """Values of ln a (A,), and a times the wait from alignment to recovery there, at every THIN-th knot (A, …)."""
    from .greedy_kernel import THIN

    grid = np.linspace(np.log(a.min()) - 1e-9, np.log(a.max()) + 1e-9, STRENGTHS)
    r, strength = _knots(table)[::THIN], np.exp(grid)[:, None]
    alignment, recovery = transition_times(activation, strength, np.broadcast_to(r, (STRENGTHS, r.size)), n0)
    return grid, strength * waits(alignment, recovery)
