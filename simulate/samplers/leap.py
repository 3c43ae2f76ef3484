"""Tau-leaping: many steps of online SGD at once, weakly first order in the macro-step.

A macro-step stands for N steps of mini-batch b, Δt = η N of flow time.  Students are rows of
``W = [R | U]`` as in ``simulate.samplers.reduced``, in R^d itself where d ≤ P + m.

Drift: the exact population gradient (``problem.population_loss``), d ln n_k/dt = 4 F_k and
dv̄_k/dt = T_k, by an exponential rule of two stages.  What is learned relaxes at rates

    Λ_k = 4 Σ_l n_l φ(q_kl)  (ln n_k)        λ_k = Σ_p a_p φ'(r_kp) r_kp  (v̄_k)

which are taken exactly: a move x of rate f and relaxation Λ over Δt is ``g(ΛΔt) Δt f`` with
g(z) = (1 − e^{−z})/z, and its mean over that time is ``(1 − g)/(ΛΔt) Δt f``.  The first stage goes to that mean, with
that of the noise in it; the second adds what the rate f' there differs from ``f − Λ (mean move)``, which is nothing
where the motion is linear.  Hence Δt is not bound by 1/(4 a_1 φ(1)) once the strongest direction is learned; students
that have learned nothing have Λ, λ ≈ 0 and take the plain midpoint rule.

Of students that share a direction only the sum relaxes at these rates, each by itself at no more than 4 n_k φ(1) and
n_k φ'(1), and so does what the second stage adds.  In the linear problem that is exact for all of them: equals that are
off together relax as their sum; who is at a leader's direction without a norm is turned by the leader's jitter as long
as that lasts, which takes back what of its own noise is the same; who is pulled away by another direction, or kicked
otherwise than the leader, is not held.

A student counts for ``w_k = max_p n_k |φ(r_kp)|/(a_p φ(1))``, the share of a direction's strength that it explains,
whatever its norm, which noise makes grow.  From ``LARGE`` on products are in single precision, and students that count
for less than 1 % (``IDLE``) pull on themselves alone (``sources`` of the population velocity), so that the products
cost O(m (P + m)) a student that counts; where such students explain more than that of any direction together, the
limit is lowered until they do not.  What they would do to others moves transition times by 1e-3 to 2e-3 (h_4, P = 8,
m = 32, d = 64 and 512); once all is learned it keeps the loss at some 1e-6 of what it was.

Noise: B virtual samples drawn in the reduced basis with their Bartlett remainder (below) stand in for the
N b real ones: ``η √(N/(b B)) Σ_i ε_i √w_i (g_i − ∇L)`` with independent signs ε_i.  Its mean is zero
and its covariance exactly that of N steps at frozen students, whatever law q the samples are drawn
from, if w = p/q with p = N(0, I).  Under p itself the rare samples that carry most of the variance
(|g|² is a polynomial of degree 8I − 2 in a Gaussian) hardly ever turn up among the few virtual ones, and
noise would spread the times too little however small η is: by a tenth of its due for h_6.  So half of
the samples (of an odd number the smaller half is plain) are drawn from N(0, I + c (v*_p v*_pᵀ + v̄_k v̄_kᵀ)), each
with its own direction p (drawn with probability a_p²) and student k (uniform), c = 2 φ'(1)/φ(1) − 1, twice
the mean degree of σ less one; q is the mixture of all B laws (balance heuristic), so that w ≤ B/⌊B/2⌋.  What relaxes
within the macro-step forgets the older part of its noise: the radial and the tangential part of a
kick are multiplied by √g(2ΛΔt) and √g(2λΔt), the exact variance of the linear process.

Remainder: what B samples have in the D dimensions outside a basis is a B × D array of normals, of which only the
Gram matrix matters.  Its LQ factor, min(B, D) columns, has independent entries (Bartlett): zero above the diagonal,
on it χ with D, D − 1, … degrees of freedom, normals everywhere below.  At D < B the rows beyond D are thus all
normals, and at D = 0, where the basis is all of R^d, nothing is left to draw: one law for every d.

Step size in time.  The largest Δt such that, with ``accuracy`` = α,

* no r_kp moves by more than α by drift (relative to max(|r|, 1/√d)), at an information exponent k* > 4 by no more than
  2α/(k* − 2), so that the rate ∝ r^{k*−2} at which ln r grows changes by as much as at k* = 4; but for students that
  are aligned: their overlaps are jitter that relaxes hundreds of times faster than anything moves that is still to be
  learned;
* no direction turns by more than α by drift or, in root mean square over the students, by noise (a maximum would
  be ruled by single heavy-tailed kicks);
* no ln n_k moves by more than ln(1 + α/w), at least α and at most 10 α, so that what is explained moves by α of a
  direction's strength.  w is the largest of w_k, of what all that count for less than α explain of the same direction,
  and of a student's own pull over that of the teacher, ``n_k φ(1)/Σ_p a_p φ(r_kp)``: where all are small n_k grows
  at a constant rate.

What relaxes covers the distance that is left, f/Λ, and no more: where that is below the bound it sets none.  The rates
in this are a student's own.

A macro-step whose outcome moves a norm by twice these bounds, or an overlap by 2 α, is taken back and split:
each virtual sample goes to one of the halves by a fair coin, as the real samples would, so
nothing is redrawn and no large fluctuation is discarded.  Derived here; the name is Gillespie's
(2001), for chemical kinetics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.random import Generator, SeedSequence

from ..._types import Array
from ...problem.checks import positive_integer, positive_number
from ...problem.events import ALIGNED
from ...problem.population_loss import velocity
from ...problem.problem import MAX_NUMBERS, Problem
from .normals import restore_sfc64, snapshot_sfc64
from .stack import Setting, Stack

MAX_SPLITS = 12
IDLE = 0.01  # what a student counts for up to which it pulls on no other
LARGE = 1 << 18  # entries of the students: products in single precision, and not all students pull on others
MOST = 2.0  # mean noise in ln n that the drift sees; larger kicks are split, or few


@dataclass(frozen=True)
class _Here:
    """Squared norms, unit rows, who pulls on others, their population velocity, rates of relaxing (4, m): Λ, λ, then
    those of each by itself, and how many times α each ln n_k may move in a macro-step."""

    n: Array
    unit: Array
    sources: Array | slice
    F: Array
    tangent: Array
    rates: Array
    room: Array


@dataclass(frozen=True)
class _Virtual:
    """Virtual samples (B, D), label noises (B,), and ε_i √(w_i Σ η²/(b B)), Σ over the macro-step, (B,)."""

    X: Array
    noise: Array
    signs: Array

    def part(self, chosen: Array, width: int = 0) -> _Virtual:
        """The chosen ones, in at least ``width`` coordinates."""
        X = self.X[chosen]
        return _Virtual(_widened(X, max(width, X.shape[1])), self.noise[chosen], self.signs[chosen])


def _forgetting(z: Array) -> Array:
    """``g(z) = (1 − e^{−z})/z``, 1 at z = 0."""
    return np.where(z > 1e-12, -np.expm1(-z) / np.maximum(z, 1e-12), 1.0)


def _averaged(left: Array, z: Array) -> Array:
    """Mean over a macro-step of what relaxes, ``left`` of it there at the end: ``(1 − left)/z``, ½ at z = 0."""
    return np.where(z > 1e-6, (1 - left) / np.maximum(z, 1e-6), 0.5)


def _column(factors: Array, kind: np.dtype) -> Array:
    """Factors of rows, of their precision."""
    return factors[:, None].astype(kind)


def _reached(move: float, speed: Array | float, rate: Array) -> Array:
    """Flow time in which motions at ``speed`` that relax at ``rate`` cover ``move``; infinite if they never do."""
    share = rate * move / np.maximum(speed, 1e-300)
    relaxed = -np.log1p(-np.minimum(share, 1 - 1e-12)) / np.maximum(rate, 1e-300)
    return np.where(share >= 1, np.inf, np.where(share < 1e-9, move / np.maximum(speed, 1e-300), relaxed))


def _widened(rows: Array, width: int) -> Array:
    """Rows with zero columns added up to ``width``; the rows themselves where they have as many."""
    if rows.shape[1] == width:
        return rows
    wide = np.zeros((len(rows), width))
    wide[:, : rows.shape[1]] = rows
    return wide


def _drifted(problem: Problem, here: _Here, dt: float, noise: tuple[Array, Array] | None = None) -> Array:
    """Students after the population drift of flow time ``dt``.

    ``noise`` is the mean over that time of what noise adds to ln n (m,) and to the unit rows, (m, D) in D ≥ the
    students' coordinates.
    """

    def moved(start: Array, growth: Array, move: Array) -> tuple[Array, Array]:
        rows = start + move
        rows /= np.sqrt(np.einsum("kd,kd->k", rows, rows))[:, None]
        return here.n * np.exp(growth), rows

    kind, unit = here.tangent.dtype, here.unit
    z = here.rates * dt
    ends = _forgetting(z)
    mean, alone = dt * _averaged(ends[:2], z[:2]), dt * ends[2:]
    first, tangent = 4 * here.F, here.tangent
    growth, move = mean[0] * first, _column(mean[1], kind) * tangent
    if noise is not None:
        growth = growth + np.clip(noise[0], -MOST, MOST)
        unit, tangent = (_widened(rows, noise[1].shape[1]) for rows in (unit, tangent))
        move = _widened(move, unit.shape[1]) + noise[1].astype(kind)
    F, turned = velocity(problem, *moved(unit.astype(kind, copy=False), growth, move), here.sources)
    growth = dt * ends[0] * first + alone[0] * (4 * F - first + here.rates[0] * growth)
    move = _column(alone[1], kind) * (turned - tangent + _column(here.rates[1], kind) * move)
    move += _column(dt * ends[1], kind) * tangent
    n, unit = moved(unit, growth, move)
    unit *= np.sqrt(n)[:, None]
    return unit


@dataclass(frozen=True)
class Leap:
    """Macro-steps: approximate, O(m² (P + m)) each, however many samples they stand for.

    Parameters
    ----------
    virtual
        Virtual samples a macro-step, B.  The kicks of few of them have heavy tails: their variance is right but
        comes in rare large pieces, so that the bulk of the students is moved too little.  Where noise rules that
        delays (σ = h_4, P = m = 32, d = 512, 0.64 of the ceiling: first alignment 4.2 ± 0.6 % later than the law of
        SGD at B = 16, 3.0 ± 0.6 % at 32, 0.9 ± 0.7 % at 64, 0.7 ± 0.7 % at 128; ``benchmarks/leap.py --virtual``) or
        scatters the times (σ = h_6, d = 24, P = m = 1: interquartile range 1.24 of the exact one at B = 16, 1.05 at
        22).  More of them also cause fewer macro-steps to be split.
    accuracy
        α above, dimensionless.
    macro_samples
        Fixed number of samples a macro-step instead of the adaptive one.

    Raises
    ------
    ValueError
        Values out of range.
    """

    virtual: int = 64
    accuracy: float = 0.1
    macro_samples: int | None = None
    name: ClassVar[str] = "leap"
    engine: ClassVar[str] = "numpy"
    whole: ClassVar[bool] = False
    stacked: ClassVar[bool] = False
    locks: ClassVar[bool] = True
    offloaded: ClassVar[bool] = False
    device: ClassVar[str | None] = None
    dtype: ClassVar[str] = "float64"

    def __post_init__(self) -> None:
        positive_integer("virtual", self.virtual)
        if not positive_number("accuracy", self.accuracy) <= 0.5:
            raise ValueError(f"`accuracy` must be at most 0.5, but is {self.accuracy!r}")
        if self.macro_samples is not None:
            positive_integer("macro_samples", self.macro_samples)

    def finer(self) -> Leap:
        """Half the macro-step and twice the virtual batch."""
        half = None if self.macro_samples is None else max(1, self.macro_samples // 2)
        return Leap(2 * self.virtual, self.accuracy / 2, half)

    def ready(self, problem: Problem, batch: int) -> Leap:
        """Itself: it runs on every problem, at every batch, where its virtual samples fit in memory.

        Raises
        ------
        ValueError
            Where they do not.
        """
        if self.virtual * (problem.m + min(problem.d, problem.P + problem.m + self.virtual)) > MAX_NUMBERS:
            raise ValueError(f"{self.virtual} virtual samples in {problem.d} dimensions do not fit in memory")
        return self

    def begin(self, run: Setting, start: Array, streams: list[SeedSequence]) -> Stack:
        """Students ``start`` (1, m, min(d, P + m)), in orthonormal coordinates, at step 0."""
        (rows,), (stream,) = start, streams
        return LeapRun(run, rows, stream, self)


class LeapRun:
    """One seed; ``start`` holds the students in orthonormal coordinates, shape (m, min(d, P + m))."""

    coarse = True

    def __init__(self, run: Setting, start: Array, stream: SeedSequence, control: Leap) -> None:
        self.run = run
        self._virtual = control.virtual
        self._accuracy = control.accuracy
        self._large = start.size >= LARGE
        fixed = control.macro_samples
        self._fixed = None if fixed is None else max(1, fixed // run.batch)
        self._W = start.copy()
        self._generator = Generator(np.random.SFC64(stream))
        self._at = 0
        sigma = run.problem.activation
        # Variance that a tilted sample has beyond 1: |g|² grows with the mean degree of σ.
        self._tilt = max(1.0, 2 * sigma.slope_second_moment / sigma.second_moment - 1)
        chances = np.cumsum(run.problem.a**2)
        self._chances = chances / chances[-1]  # of the directions to be tilted towards, summed up
        # Columns of the remainders of virtual samples, and where their triangle is below the diagonal.
        self._beyond = min(control.virtual, run.problem.d - start.shape[1])
        self._below = np.tril_indices(control.virtual, -1, self._beyond)
        # Noise seen in the last macro-step: mean square turn of a direction per η² and step, over the students.
        self._turn = 0.0

    def advance(self, steps: int) -> int:
        """Take one macro-step of at most ``steps`` steps and return its length."""
        if steps == 0:
            return 0
        with np.errstate(all="ignore"):
            here = self._here()
            count = min(steps, self._proposed(here))
            self._leap(here, count, self._draw(here.unit, count), depth=0)
        self._at += count
        return count

    def _here(self) -> _Here:
        n = np.einsum("kd,kd->k", self._W, self._W)
        unit = self._W / np.sqrt(n)[:, None]
        problem = self.run.problem
        seen = unit.astype(np.float32) if self._large else unit
        overlaps = seen[:, : problem.P]
        explained = problem.activation.phi(overlaps)
        pull = explained @ problem.a
        shares = np.abs(explained) / (np.where(problem.a > 0, problem.a, np.inf) * problem.activation.second_moment)
        counts = n * shares.max(axis=1)
        sources = self._sources(n, shares, counts)
        F, tangent = velocity(problem, n, seen, sources)
        growth = np.maximum(4 * (pull - F), 0.0)
        turn = np.maximum((problem.activation.phi_slope(overlaps) * overlaps) @ problem.a, 0.0)
        # Of students that share a direction only the sum relaxes: each by itself no faster than its own norm says.
        sigma = problem.activation
        own = np.minimum(growth, 4 * sigma.second_moment * n), np.minimum(turn, sigma.slope_second_moment * n)
        rates = np.stack([growth, turn, *own])
        return _Here(n, unit, sources, F, tangent, rates, self._room(n, shares, counts, pull))

    def _sources(self, n: Array, shares: Array, counts: Array) -> Array | slice:
        """Who pulls on others, from |φ(r_kp)|/(a_p φ(1)) and w_k."""
        if not self._large:
            return slice(None)
        limit = IDLE
        while np.max((n * (counts < limit)) @ shares) > IDLE:
            limit /= 2
        return np.flatnonzero(counts >= limit)

    def _room(self, n: Array, shares: Array, counts: Array, pull: Array) -> Array:
        """How many times α each ln n_k may move, from |φ(r_kp)|/(a_p φ(1)), w_k and Σ_p a_p φ(r_kp)."""
        alpha = self._accuracy
        company = (n * (counts < alpha)) @ shares
        ruled = np.maximum(counts, company[shares.argmax(axis=1)])
        ruled = np.maximum(ruled, n * self.run.problem.activation.second_moment / np.maximum(np.abs(pull), 1e-300))
        return np.clip(np.log1p(alpha / ruled) / alpha, 1.0, 10.0)

    def _proposed(self, here: _Here) -> int:
        """Number of steps of the next macro-step."""
        if self._fixed is not None:
            return self._fixed
        problem, alpha = self.run.problem, self._accuracy
        overlaps, tangent = here.unit[:, : problem.P], here.tangent
        relative = (np.abs(tangent[:, : problem.P]) / np.maximum(np.abs(overlaps), problem.d**-0.5)).max(axis=1)
        relative[(overlaps**2).max(axis=1) >= ALIGNED] = 0.0
        relative *= max(1.0, ((problem.activation.information_exponent or 0) - 2) / 2)
        turning = np.maximum(relative, np.sqrt(np.einsum("kd,kd->k", tangent, tangent)))
        eta = self.run.step_size.rate(np.array([self._at]))[0]  # not a float, whose square could raise
        growth, turn = here.rates[2:]
        times = (
            _reached(alpha, 4 * np.abs(here.F) / here.room, growth),
            _reached(alpha, turning, turn),
            _reached(alpha**2, self._turn * eta, 2 * turn) if self._turn else np.array(eta),
        )
        return int(max(1, min(min(time.min() for time in times) / eta, 1e15)))

    def _sum(self, count: int, power: int) -> np.float64:
        """Σ η^power over the next ``count`` steps; no float, which could raise where a square overflows."""
        start, end = self.run.step_size.sums(np.array([self._at, self._at + count]), power)
        return np.float64(end - start)

    def _draw(self, unit: Array, count: int) -> _Virtual:
        """Virtual samples for ``count`` steps, half of them tilted, each towards a student and a direction."""
        problem, B, width = self.run.problem, self._virtual, self._W.shape[1]
        stream, tilted = self._generator, slice(B // 2, B)
        J = B - B // 2
        students = stream.integers(0, problem.m, J)
        directions = self._chances.searchsorted(stream.random(J), side="right")
        X = np.zeros((B, width + self._beyond))
        X[:, :width] = stream.standard_normal((B, width))
        push = math.sqrt(self._tilt) * stream.standard_normal((2, J))
        X[np.arange(B)[tilted], directions] += push[0]
        X[tilted, :width] += push[1][:, None] * unit[students]
        # density of the mixture over that of N(0, I): ½ plain, 1/B each N(0, I + c (e eᵀ + v̄ v̄ᵀ))
        r, diagonal = unit[students, directions], 1 + self._tilt
        determinant = diagonal**2 - (self._tilt * r) ** 2
        s, t = X[:, directions], X[:, :width] @ unit[students].T  # (B, J)
        form = self._tilt * (diagonal * (s**2 + t**2) - 2 * self._tilt * r * s * t) / determinant
        mixture = (B // 2 + (np.exp(np.minimum(0.5 * form, 700)) / np.sqrt(determinant)).sum(axis=1)) / B
        rows, columns = self._below
        X[rows, width + columns] = stream.standard_normal(rows.size)
        corner = np.arange(self._beyond)
        X[corner, width + corner] = np.sqrt(stream.chisquare(problem.d - width - corner))
        noise = self.run.label_noise * stream.standard_normal(B)
        signs = 2.0 * stream.integers(0, 2, B) - 1.0
        squares = self._sum(count, 2)
        return _Virtual(X, noise, signs * np.sqrt(squares / (self.run.batch * B * mixture)))

    def _leap(self, here: _Here, count: int, virtual: _Virtual, depth: int) -> None:
        """Advance W by ``count`` steps whose noise the given virtual samples carry."""
        problem = self.run.problem
        X, noise, signs = virtual.X, virtual.noise, virtual.signs
        dt = float(self._sum(count, 1))
        n, F = here.n, here.F
        if len(X):
            unit, tangent = _widened(here.unit, X.shape[1]), _widened(here.tangent, X.shape[1])
            norm = np.sqrt(n)
            u = X @ unit.T  # (B, m)
            sigma = problem.activation
            both = sigma(np.hstack([u, X[:, : problem.P]]))
            value, slope = both[:, : problem.m], sigma.derivative(u)
            delta = value @ n - both[:, problem.m :] @ problem.a - noise
            along = -delta[:, None] * (2 * value - u * slope)  # of v_k over its norm, per sample
            across = -delta[:, None] * slope  # of v̄_k, times x
            turned = (across * signs[:, None]).T @ X
            # centred: Σ ε (g + ∇L), with −∇L = ‖v‖ (2 F v̄ + T)
            in_line = np.einsum("kd,kd->k", turned, unit)
            grown = in_line + signs @ along - 2 * signs.sum() * F
            turned -= in_line[:, None] * unit + signs.sum() * tangent
            # what relaxes forgets its older noise: what is left of it at the end, and its mean over the time
            z = here.rates[:2] * dt
            left = np.sqrt(_forgetting(2 * z))
            mean = _averaged(left, z)
            moved = _drifted(problem, here, dt, (2 * mean[0] * grown, mean[1][:, None] * turned))
            turned *= (left[1] * norm)[:, None]
            turned += (left[0] * grown * norm)[:, None] * unit
            moved += turned
            del turned
        else:
            moved = _drifted(problem, here, dt)
        if self._fixed is None and count > 1 and depth < MAX_SPLITS and self._too_far(here, moved):
            del moved  # at many students the arrays of nested splits would add up
            first = self._generator.integers(0, 2, len(X)).astype(bool)
            early = count // 2
            self._leap(here, early, virtual.part(first), depth + 1)
            self._at += early
            rest = virtual.part(~first, self._W.shape[1])
            self._leap(self._here(), count - early, rest, depth + 1)
            self._at -= early
            if depth == 0:
                self._compress()
            return
        if depth == 0 and len(X):
            seen = np.mean(signs**2 @ across**2) * problem.d
            self._turn = float(seen / self._sum(count, 2))
        self._W = moved
        if depth == 0:
            self._compress()

    def _too_far(self, here: _Here, moved: Array) -> bool:
        P = self.run.problem.P
        after = np.einsum("kd,kd->k", moved, moved)
        shift = moved[:, :P] / np.sqrt(after)[:, None] - here.unit[:, :P]
        growth = np.abs(np.log(after / here.n)) / here.room
        return not max(growth.max(), np.abs(shift).max()) <= 2 * self._accuracy

    def _compress(self) -> None:
        """Back to min(d, P + m) columns by an LQ factorisation, if there are more; keeps all inner products."""
        self._W = self.run.problem.coordinates(self._W)

    def students(self) -> Array:
        """Students, (1, m, min(d, P + m))."""
        return self._W[None]

    def keep(self, alive: Array) -> None:
        """A stack of one has nothing to drop until it is empty."""

    def snapshot(self) -> dict[str, Array]:
        """Students, step count, the noise last seen, and the generator."""
        return {
            "W": self._W,
            "at": np.array(self._at),
            "turn": np.array(self._turn),
        } | snapshot_sfc64(self._generator)

    def restore(self, saved: dict[str, Array]) -> None:
        """Go on from a ``snapshot``."""
        self._W = saved["W"].copy()
        self._at, self._turn = int(saved["at"]), float(saved["turn"])
        restore_sfc64(self._generator, saved)
