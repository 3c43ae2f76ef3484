"""Problems with known transition times, and an integration of the flow that shares no code with ``theory``.

A row states a problem, a start, a horizon and the flow times of alignment (``max_k r_kp² ≥ ½``) and
recovery (``Σ_k n_k r_kp² ≥ a_p/2``) of each direction; inf where the horizon comes first.  Adding a row
tests every method that the tests run over ``CASES``.

Starts come from ``rows``, not from a random generator, whose stream NumPy may change.  Where a row's
``source`` is ``PACKED``, its times were computed by ``packed_flow`` with DOP853 at rtol 1e-13 and
checked against Radau IIA at rtol 1e-10 (they agree within 1e-10); ``test_flow`` repeats them with LSODA.
Rows with source ``EXACT`` follow from one integral, which ``test_flow`` evaluates with mpmath.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from emergence.problem import Activation, Problem, Teacher

INF = float("inf")
PACKED = "packed_flow: DOP853 at rtol 1e-13 and Radau at 1e-10 in the coordinates of v"
EXACT = "one direction alone, by mpmath quadrature (theory.decoupled states the integrals)"
TAGS = {
    "one direction": "P = 1: times known in closed form or as one integral",
    "k* = 1": "overlaps of either sign move through zero",
    "k* = 2": "students stay mixtures while nothing is learned",
    "series": "σ is no polynomial: φ is an infinite series",
    "odd": "students on the wrong side of a direction stall",
    "mixed parity": "φ is neither even nor odd, rest points inside (−1, 0)",
    "narrow": "fewer students than directions: some are never learned",
    "zero strength": "a direction with a_p = 0",
    "tie": "equal strengths or identical students",
    "plateau": "long flat stretches before fast transitions",
    "large start": "n_0 of the order of a_p or above: norms shrink first",
    "start aligned": "an event that happens at t = 0",
    "no complement": "d ≤ P + m: the students span everything",
    "steep": "high information exponent: T varies as r_0^{2−k*}",
}


def power(coefficients: dict[int, float]) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """φ and φ' from degrees and squared Hermite coefficients."""

    def phi(s: Any) -> Any:
        return sum(c * s**k for k, c in coefficients.items())

    def slope(s: Any) -> Any:
        return sum(k * c * s ** (k - 1) for k, c in coefficients.items())

    return phi, slope


def arcsine(s: Any) -> Any:
    """φ of |x| without its components of degree 0 and 2 (Cho and Saul 2009, arc-cosine kernel)."""
    return 2 / np.pi * (np.sqrt(np.maximum(1 - s**2, 0)) + s * np.arcsin(np.clip(s, -1, 1)) - 1 - s**2 / 2)


def arcsine_slope(s: Any) -> Any:
    """Its derivative."""
    return 2 / np.pi * (np.arcsin(np.clip(s, -1, 1)) - s)


PHI = {
    "x": power({1: 1.0}),
    "h2": power({2: 1.0}),
    "h3": power({3: 1.0}),
    "h4": power({4: 1.0}),
    "h8": power({8: 1.0}),
    "h4 + h6/2": power({4: 1.0, 6: 0.25}),
    "h3 + h4": power({3: 1.0, 4: 1.0}),
    "abs(x)": (arcsine, arcsine_slope),
}


@dataclass(frozen=True)
class Case:
    """A problem, a start, and its transition times."""

    name: str
    sigma: str
    strengths: tuple[float, ...]
    d: int
    m: int
    t_max: float
    tags: tuple[str, ...]
    alignment: tuple[float, ...]
    recovery: tuple[float, ...]
    source: str = PACKED
    init_scale: float = 1e-2
    high_pass: int = 0
    phase: float = 0.0
    start: tuple[tuple[float, ...], ...] | None = None

    @cached_property
    def problem(self) -> Problem:
        sigma = Activation(self.sigma, self.high_pass)
        return Problem(sigma, Teacher(self.strengths), self.d, self.m, self.init_scale)

    @cached_property
    def a(self) -> np.ndarray:
        return np.array(self.strengths) / np.linalg.norm(self.strengths)

    @cached_property
    def directions(self) -> np.ndarray:
        return rows(self.m, self.d, self.phase) if self.start is None else unit(np.array(self.start))

    @property
    def phi(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
        """φ and φ' written down by hand."""
        return PHI[self.sigma]


def unit(matrix: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1."""
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def rows(m: int, d: int, phase: float = 0.0) -> np.ndarray:
    """Unit rows that look random and are the same with every version of NumPy."""
    index = np.arange(1, m * d + 1, dtype=float)
    return unit(np.sin(phase + 1.7 * index**1.5).reshape(m, d))


def packed_loss_slope(case: Case, v: np.ndarray) -> np.ndarray:
    """∇L at students v (m, d): ``∇ |v|²φ(v·u/|v|) = 2φ(r) v + |v| φ'(r)(u − r v/|v|)`` for unit u."""
    phi, slope = case.phi
    a = case.a
    length = np.linalg.norm(v, axis=1)
    out = np.zeros_like(v)
    targets = [(-a[p], axis) for p, axis in enumerate(np.eye(v.shape[1])[: len(a)])]
    targets += [(length[k] ** 2, v[k] / length[k]) for k in range(len(v))]
    for weight, u in targets:
        r = np.minimum(v @ u / length, 1.0)  # rounding above 1 would leave the domain of the arcsine
        out += weight * (2 * phi(r)[:, None] * v + (length * slope(r))[:, None] * (u - (r / length)[:, None] * v))
    return out


def packed_flow(
    case: Case, method: str, rtol: float, v: np.ndarray | None = None, t_max: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Alignment times (P,), recovery times (P,) and final v (m, d) of ``dv/dt = −∇L``."""
    v = case.init_scale * case.directions if v is None else v
    t_max, shape, a = case.t_max if t_max is None else t_max, v.shape, case.a
    solution = solve_ivp(
        lambda _, y: -packed_loss_slope(case, y.reshape(shape)).ravel(),
        (0.0, t_max), v.ravel(), method=method, rtol=rtol, atol=1e-3 * rtol * case.init_scale, dense_output=True,
    )  # fmt: skip
    assert solution.status == 0, solution.message

    def excess(t: float) -> np.ndarray:
        v = solution.sol(t).reshape(shape)
        n, squares = np.sum(v**2, axis=1, keepdims=True), v[:, : len(a)] ** 2
        return np.stack([np.max(squares / n, axis=0) - 0.5, np.sum(squares, axis=0) - a / 2])

    grid = np.unique(np.linspace(solution.t[:-1], solution.t[1:], 5))
    passed = np.array([excess(t) for t in grid]) >= 0
    first = np.full((2, len(a)), np.inf)
    for event, p in np.argwhere(passed.any(axis=0) & (a > 0)):
        i = int(np.argmax(passed[:, event, p]))
        first[event, p] = (
            brentq(lambda t, e=event, p=p: excess(t)[e, p], grid[i - 1], grid[i], xtol=1e-14, rtol=1e-14) if i else 0.0
        )
    return first[0], first[1], solution.y[:, -1].reshape(shape)


CASES = [
    Case(
        "single h4", "h4", (1.0,), d=16, m=1, t_max=10.0, tags=("one direction",), source=EXACT,
        alignment=(2.088506275,), recovery=(4.52439599,), start=((1.0, *[1.0] * 15),),
    ),
    Case(
        "single h2", "h2", (1.0,), d=9, m=1, t_max=10.0, tags=("one direction", "k* = 2"), source=EXACT,
        alignment=(0.5198603854,), recovery=(2.852141858,), start=((1.0,) * 9,),
    ),
    Case(
        "single h8", "h8", (1.0,), d=16, m=1, t_max=200.0, tags=("one direction", "steep"), source=EXACT,
        alignment=(11.40599284,), recovery=(14.02057481,), start=((1.5, *[1.0] * 15),),
    ),
    Case(
        "linear", "x", (1.0,), d=6, m=2, t_max=20.0, tags=("one direction", "k* = 1"),
        alignment=(0.2397139129,), recovery=(2.506820111,),
    ),
    Case(
        "h4 power law", "h4", (1.0, 1 / 2, 1 / 3), d=10, m=5, t_max=60.0, tags=(),
        alignment=(0.5647149965, 4.113916217, 2.883217833), recovery=(3.212588785, 8.581718797, 10.27192541),
    ),
    Case(
        "h4 + h6/2", "h4 + h6/2", (1.0, 0.6), d=8, m=4, t_max=40.0, tags=(),
        alignment=(0.4142030869, 1.026891332), recovery=(2.539806895, 4.603846446),
    ),
    Case(
        "abs", "abs(x)", (1.0, 0.6), d=6, m=4, t_max=500.0, tags=("series",), high_pass=3,
        alignment=(11.01730523, 17.61058528), recovery=(74.5536328, 119.0126931),
    ),
    Case(
        "h3", "h3", (1.0, 0.7), d=8, m=5, t_max=40.0, tags=("odd",),
        alignment=(0.230315836, INF), recovery=(2.926243711, INF),
    ),
    Case(
        "h3 + h4", "h3 + h4", (1.0, 0.7), d=8, m=5, t_max=40.0, tags=("mixed parity",),
        alignment=(0.1351009673, INF), recovery=(1.498685577, INF),
    ),
    Case(
        "two mixtures", "h2", (1.0, 0.5), d=9, m=3, t_max=20.0, tags=("k* = 2",),
        alignment=(0.431937272, 5.380203583), recovery=(2.871640402, 5.083120042),
    ),
    Case(
        "narrow", "h4", (1.0, 0.9, 0.8), d=12, m=2, t_max=60.0, tags=("narrow",),
        alignment=(1.548584537, INF, INF), recovery=(5.090042249, INF, INF),
    ),
    Case(
        "zero strength", "h4", (1.0, 0.0, 0.5), d=8, m=4, t_max=60.0, tags=("zero strength",),
        alignment=(0.3653647414, INF, 3.697254202), recovery=(2.938621316, INF, 8.698226819),
    ),
    Case(
        "equal strengths", "h4", (1.0, 1.0), d=8, m=4, t_max=60.0, tags=("tie",),
        alignment=(0.7535903964, 0.8324179755), recovery=(3.989422885, 4.062118335),
    ),
    Case(
        "identical students", "h4", (1.0,), d=4, m=2, t_max=20.0, tags=("one direction", "tie"), source=EXACT,
        alignment=(0.3873265361,), recovery=(2.6776956,), start=((1.0,) * 4,) * 2,
    ),
    Case(
        "plateau", "h4", (1.0, 0.05), d=8, m=4, t_max=900.0, tags=("plateau",), init_scale=1e-6,
        alignment=(0.3269822035, 12.10062938), recovery=(7.269255851, 138.3714389),
    ),
    Case(
        "large start", "h4", (1.0, 0.5), d=30, m=3, t_max=60.0, tags=("large start",), init_scale=1.0,
        alignment=(2.283754524, 15.46017196), recovery=(3.014311576, 17.63191011),
    ),
    Case(
        "start aligned", "h4", (1.0, 0.8), d=6, m=2, t_max=60.0, tags=("start aligned",),
        alignment=(0.0, 2.868381525), recovery=(2.87271, 6.581498797),
        start=((1.0, 0.0, 0.1, 0.0, 0.0, 0.0), (0.1, 0.3, 1.0, 0.2, 0.1, 0.3)),
    ),
    Case(
        "no complement", "h4", (1.0, 0.6, 0.4), d=3, m=4, t_max=60.0, tags=("no complement", "start aligned"),
        alignment=(0.0, INF, 0.0), recovery=(2.719118648, INF, 6.321450177),
    ),
]  # fmt: skip
NAMES = [case.name for case in CASES]
