"""Greedy maximum selection at any size, without the m × P overlaps.

Greedy selection repeatedly takes the largest a_p |r_kp(0)|^{k*−2} over unused students and directions
(``theory.greedy_selection.assign``).  For directions uniform on the sphere s_kp = r_kp² has distribution
function F, that of Beta(½, (d − 1)/2).  The entries are taken *independent*: the marginals are exact, the
correlation of two entries of one student, −O(1/d), is left out.  With y_kp = −ln F(s_kp), standard
exponential and falling in s, the process is then a Markov chain that needs no student's name
(derived here):

* while f students are free, the next candidate of a direction below level y is at y + Exp(1)/f;
* its student is uniform among those f.  If only f' of them are free when its turn comes, it still is
  with probability f'/f; if not, the next candidate is at y + Exp(1)/f' (the exponential has no memory);
* the direction whose candidate has the largest score is matched, and f falls by one.

Candidates wait in a heap, so a draw costs O((P + matches) log P): about 0.06 s at P = m = 10⁵ compiled
(extra ``fast`` = numba), 1.4 s without, the same numbers either way.

For odd k* only students with r > 0 move outward, so levels count −ln P(r' ≤ r) and end at ln 2; there
F = 2e^{−y} − 1.  ln s is tabulated against ln(−ln F) from 1e-30 to 60, from both tails of F, and read
off a cubic spline.
"""

from __future__ import annotations

import math
import threading
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import betainccinv, betaincinv

from .._types import Array
from ..problem.activation import Activation
from ..problem.checks import nonnegative_integer, positive_integer
from ..problem.seeds import DIRECTIONS, generator, seed_stream

# Compiled into greedy_kernel.py, which keeps them until that file changes.
LOWEST, HIGHEST, KNOTS = math.log(1e-30), math.log(60.0), 4096
STEP = (HIGHEST - LOWEST) / (KNOTS - 1)


def greedy_overlaps(activation: Activation, a: Array, *, d: int, m: int, draws: int, seed: int = 0) -> Array:
    """Initial |r| of the student that greedy selection gives each direction, over random initial directions.

    Parameters
    ----------
    activation
        σ of information exponent k* ≥ 3, even where k* is even.
    a
        Strengths (P,); directions with a_p = 0 get no student.
    d, m
        Input dimension and number of students.
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
    exponent = activation.information_exponent or 0
    learnable = np.nonzero(a > 0)[0]
    log_a, table, run = np.log(a[learnable]), _table(d), _chain()
    out = np.zeros((draws, a.size))
    for i in range(draws):
        stream = generator(seed_stream(nonnegative_integer("seed", seed), i, DIRECTIONS))
        log_s = run(log_a, 0.5 * (exponent - 2), m, exponent % 2 == 1, table, stream)
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
    log_y = np.linspace(LOWEST, HIGHEST, KNOTS)
    if d == 1:
        return np.zeros((KNOTS - 1, 4))
    y, half = np.exp(log_y), 0.5 * (d - 1)
    s = np.where(y < math.log(2), betainccinv(0.5, half, -np.expm1(-y)), betaincinv(0.5, half, np.exp(-y)))
    return np.ascontiguousarray(CubicSpline(log_y, np.log(s)).c[::-1].T)


@lru_cache(maxsize=1)
def _chain() -> Any:
    """``chain(log_a, power, m, one_sided, table, stream)``: ln s (P,) of one draw; compiled where numba is.

    It is compiled in a thread of its own: where numba compiles in the main thread, an interrupt can be lost.
    """
    made: list[Any] = []

    def make() -> None:
        from .greedy_kernel import chain

        chain(np.zeros(1), 1.0, 1, False, np.zeros((KNOTS - 1, 4)), generator(0))
        made.append(chain)

    thread = threading.Thread(target=make, daemon=True)
    thread.start()
    thread.join()
    return made[0]
