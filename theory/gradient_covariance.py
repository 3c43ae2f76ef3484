"""Second moments of one sample's gradient over all students, at any state of learning.

With the error δ = f(x) − f*(x) − ξ and z_k = v̄_k·x, one sample moves student k by −(η/B) δ ‖v_k‖ [2σ(z_k) v̄_k +
σ'(z_k)(x − z_k v̄_k)].  To second order in η the change of n_k, r_kp and q_kl needs, besides the gradient of the
population loss,

    N_k  = E[δ² (4 σ(z_k)² + σ'(z_k)² |x − z_k v̄_k|²)]                         growth of ln n_k
    S_kl = E[δ² σ'(z_k) σ'(z_l) (|x|² − z_k² − z_l² + q_kl z_k z_l)]           turning of v̄_k and v̄_l together
    T_ki = E[δ² σ(z_k) σ'(z_k) (z_i − c_ki z_k)] = 2 Σ_j V_kj (c_ij − c_ki c_kj)   along field i,
           V_kj = w_j E[δ σ'(z_j) σ(z_k) σ'(z_k)].

*Fields* z_i are those of the teacher's directions and of the students, with weights w = (−a, n) and correlations c;
the form of T is Stein's lemma.  The rest of |x|² is free of the fields: E[F |x|²] = d E[F] + E[x·∇F] (by parts), and
x·∇ acts on each factor alone, h_a → a h_a + √(a(a−1)) h_{a−2}.

*Polynomial σ*: exactly, by Wick's theorem in Hermite form,

    E[h_a(z_1) h_b(z_2) h_s(z_3) h_t(z_4)] = √(a! b! s! t!) Σ Π_e c_e^{x_e}/x_e!

over the numbers x_e ≥ 0 of contractions of each of the six pairs e, of which each field takes part in as many as its
degree.  What is left of δ² = Σ_ij w_i w_j σ_i σ_j are products of matrices of powers of correlations: a few dozen
products (pairs of students) × (P + m)².

*Any other σ*: on fixed low-discrepancy points (scrambled Sobol', ``POINTS`` in each of ``SCRAMBLES`` scrambles), whose
spread is the error.  Moments of σ with heavy tails would converge slowly; those are the polynomials.  Derived here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import factorial, prod, sqrt

import numpy as np
from scipy.special import ndtri

from .._types import Array
from ..problem.activation import Activation
from ..problem.hermite_polynomials import hermite_series, hermite_value
from ..problem.problem import Problem

POINTS, SCRAMBLES = 2**12, 8

Exponents = tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Covariance:
    """Moments N (m,), S (m, m) and V (m, P + m), and the relative standard error of N (0 where they are exact)."""

    N: Array
    S: Array
    V: Array
    error: float


def gradient_covariance(problem: Problem, n: Array, fields: Array, label_noise: float) -> Covariance:
    """Moments at squared norms n (m,) and correlations of all fields (P + m, P + m), teacher's directions first."""
    weights = np.concatenate([-problem.a, n])
    exact = problem.activation.is_polynomial
    return (_by_contractions if exact else _by_points)(problem, weights, fields, label_noise)


def _by_contractions(problem: Problem, weights: Array, fields: Array, label_noise: float) -> Covariance:
    tables = _tables(problem.activation, problem.d)
    P, m = problem.P, problem.m
    rows = fields[P:]
    powers = [np.ones_like(fields)]
    for _ in range(tables.top):
        powers.append(powers[-1] * fields)
    one, two = np.triu_indices(m)
    q = rows[one, P + two][:, None]
    weighted = [np.multiply.outer(weights, weights) * power for power in powers]

    def pairs(first: int, second: int) -> Array:
        return powers[first][P + one] * powers[second][P + two]

    turning = label_noise**2 * np.polynomial.polynomial.polyval(q[:, 0], tables.label)
    for (between, first, second), rest in tables.four.items():
        other = sum(c * q**kl * pairs(jk, jl) for (jk, jl, kl), c in rest.items())
        turning += np.einsum("ei,ei->e", pairs(first, second) @ weighted[between], other)
    S = np.empty((m, m))
    S[one, two] = S[two, one] = turning
    norm, V = np.full(m, label_noise**2 * 4 * problem.activation.second_moment), np.zeros((m, P + m))
    for (ij, ik, jk), c in tables.norm:
        norm += c * np.einsum("ki,ki->k", powers[ik][P:] @ weighted[ij], powers[jk][P:])
    for (ij, ik, jk), c in tables.own:
        V += c * (powers[ik][P:] @ weighted[ij]) * powers[jk][P:]
    return Covariance(norm + np.diag(S), S, V, 0.0)


@dataclass(frozen=True, repr=False)
class _Tables:
    """Factors by what is contracted how often: ``four`` by (ij, ik, il) and (jk, jl, kl), others by (ij, ik, jk)."""

    four: dict[Exponents, dict[Exponents, float]]
    label: Array
    norm: list[tuple[Exponents, float]]
    own: list[tuple[Exponents, float]]
    top: int


@lru_cache(maxsize=16)
def _tables(activation: Activation, d: int) -> _Tables:
    c = np.trim_zeros(activation.coefficients, "b")
    slope = _derivative(c)
    four: dict[Exponents, dict[Exponents, float]] = defaultdict(lambda: defaultdict(float))
    label = np.zeros(c.size + 3)
    # |x|² = d + x·∇ on each factor; − z_k² − z_l²; + q z_k z_l.  What i and j, or k and l, share counts twice.
    cases: list[tuple[float, int, Array, Array, Array]] = [
        (d, 0, c, slope, slope), (2, 0, _radial(c), slope, slope), (2, 0, c, _radial(slope), slope),
        (-2, 0, c, _times_z(_times_z(slope)), slope), (1, 1, c, _times_z(slope), _times_z(slope)),
    ]  # fmt: skip
    for factor, extra, first, third, fourth in cases:
        for (ij, ik, il, jk, jl, kl), value in _contractions(first, c, third, fourth):
            for one, two in [((ik, il), (jk, jl)), ((il, ik), (jl, jk))]:  # k and l stand for each other, i and j too
                four[(ij, *max(one, two))][(*min(one, two), kl + extra)] += factor * value / 2
        if first is c:  # label noise has no σ(z_i) in it
            size = min(third.size, fourth.size)
            label[extra : extra + size] += factor * third[:size] * fourth[:size]
    squared = _product(c, c)
    norm = [(key, 4 * value) for key, value in _triples(c, c, squared)]
    own = _triples(c, slope, _product(c, slope))
    return _Tables({key: dict(rest) for key, rest in four.items()}, label, norm, own, 2 * c.size)


def _derivative(c: Array) -> Array:
    """σ' in normalised Hermite polynomials."""
    return np.sqrt(np.arange(1, c.size)) * c[1:]


def _times_z(c: Array) -> Array:
    """z σ(z)."""
    result = np.zeros(c.size + 1)
    result[1:] = np.sqrt(np.arange(1, c.size + 1)) * c
    result[:-2] += _derivative(c)
    return result


def _radial(c: Array) -> Array:
    """z σ'(z): what x·∇ makes of σ(z)."""
    return _times_z(_derivative(c))


def _product(first: Array, second: Array) -> Array:
    """Coefficients of a product, by the Gauss–Hermite rule that is exact for it."""
    top = first.size + second.size - 2
    nodes, weights = np.polynomial.hermite_e.hermegauss(top + 1)
    both = weights / np.sqrt(2 * np.pi) * hermite_series(first, nodes) * hermite_series(second, nodes)
    return np.array([np.sum(hermite_value(k, nodes) * both) for k in range(top + 1)])


def _contractions(first: Array, second: Array, third: Array, fourth: Array) -> Iterator[tuple[Exponents, float]]:
    """Numbers of contractions (12, 13, 14, 23, 24, 34) and their factor, over the degrees of four factors."""
    factors = (first, second, third, fourth)
    degrees = [[k for k in range(f.size) if abs(f[k]) > 1e-14 * np.abs(f).max()] for f in factors]
    for a, b, s, t in product(*degrees):
        if (a + b + s + t) % 2:
            continue
        scale = prod(float(f[k]) * sqrt(factorial(k)) for f, k in zip(factors, (a, b, s, t), strict=True))
        for x12, x13 in product(range(min(a, b) + 1), range(min(a, s) + 1)):
            x14 = a - x12 - x13
            x23 = (b - x12 + s - x13 - t + x14) // 2  # what b and s have left, less what t has
            x24, x34 = b - x12 - x23, s - x13 - x23
            exponents = (x12, x13, x14, x23, x24, x34)
            if min(exponents) >= 0:
                yield exponents, scale / prod(factorial(x) for x in exponents)


def _triples(first: Array, second: Array, third: Array) -> list[tuple[Exponents, float]]:
    """The same for three factors, numbers (12, 13, 23)."""
    found: dict[Exponents, float] = defaultdict(float)
    for (x12, x13, _, x23, _, _), value in _contractions(first, second, third, np.ones(1)):
        found[(x12, x13, x23)] += value
    return list(found.items())


def _by_points(problem: Problem, weights: Array, fields: Array, label_noise: float) -> Covariance:
    P, size = problem.P, len(weights)
    values, axes = np.linalg.eigh(fields)
    kept = values > 1e-12 * values[-1]
    span = axes[:, kept]
    root = (span * np.sqrt(values[kept])) @ span.T  # symmetric: smooth in the correlations
    found = []
    for points in _points(size):
        x, z = points @ span, points @ root
        value, slope = problem.activation(z), problem.activation.derivative(z)
        error = value @ weights
        squared = (error**2 + label_noise**2) / len(z)
        length = np.einsum("sx,sx->s", x, x) + problem.d - x.shape[1]
        student, own, pull = z[:, P:], value[:, P:], slope[:, P:]
        noisy = squared[:, None] * pull
        half = (noisy * student**2).T @ pull
        q = fields[P:, P:]
        S = (noisy * length[:, None]).T @ pull - half - half.T + q * ((noisy * student).T @ (pull * student))
        norm = 4 * squared @ own**2 + np.diag(S)
        V = (own * pull * (error / len(z))[:, None]).T @ slope * weights
        found.append((norm, S, V))
    norm, S, V = (np.mean([one[i] for one in found], axis=0) for i in range(3))
    spread = np.std([one[0] for one in found], axis=0, ddof=1) / np.sqrt(SCRAMBLES)
    return Covariance(norm, S, V, float(np.max(spread / norm)))


@lru_cache(maxsize=4)
def _points(size: int) -> list[Array]:
    """Standard normal points (POINTS, size), one array a scramble."""
    from scipy.stats import qmc  # a third of a second, and few need it

    return [ndtri(qmc.Sobol(size, seed=i).random(POINTS)) for i in range(SCRAMBLES)]
