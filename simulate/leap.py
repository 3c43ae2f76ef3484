"""Tau-leaping: many steps of online SGD at once, weakly first order in the macro-step.

A macro-step stands for N steps of mini-batch b, Δt = η N of flow time.  Students are rows of
``W = [R | U]`` as in ``simulate.reduced``.

Drift: the exact population gradient (``theory.population``), as growth of the logarithm of the
norms, ``ln n_k += 4 F_k Δt``, and a move of the directions, ``v̄_k += T_k Δt``, with F and T taken
at the midpoint that half such a move reaches (second order in Δt).

Noise: B virtual samples drawn in the reduced basis with their Bartlett remainder stand in for the
N b real ones: ``η √(N/(b B)) Σ_i ε_i (g_i − ∇L)`` with independent signs ε_i.  Its mean is zero and
its covariance exactly that of N steps at frozen students; higher moments are those of few
heavy-tailed draws with large weights, so B must be large enough that the law stops moving.

Step size in time.  The largest Δt such that, with ``accuracy`` = α,

* no ln n_k and no r_kp moves by more than α by drift (r relative to max(|r|, 1/√d)), and no
  direction turns by more than α by drift or, in root mean square, by noise;
* Δt λ ≤ 5 α with λ = max(4 φ(1), φ'(1)) max_p Σ_k n_k r_kp² the relaxation rate of what is
  learned: below the stability limit of an explicit step.

A macro-step whose outcome moves a norm or an overlap by more than 2 α is taken back and split:
each virtual sample goes to one of the halves by a fair coin, as the real samples would, so
nothing is redrawn and no large fluctuation is discarded.  Derived here; the name is Gillespie's
(2001), for chemical kinetics.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator, SeedSequence

from problem.checks import positive_integer, positive_number
from problem.types import Array
from simulate.normals import restore_sfc64, snapshot_sfc64
from simulate.stack import Setting
from theory.population import velocity

MAX_SPLITS = 12


@dataclass(frozen=True)
class _Here:
    """Squared norms, unit rows, and their population velocity."""

    n: Array
    unit: Array
    F: Array
    tangent: Array


def _widened(rows: Array, width: int) -> Array:
    """Rows with zero columns added up to ``width``."""
    return np.hstack([rows, np.zeros((len(rows), width - rows.shape[1]))])


@dataclass(frozen=True)
class LeapControl:
    """How the leap sampler steps.

    Parameters
    ----------
    virtual
        Virtual samples a macro-step, B.
    accuracy
        α above, dimensionless.
    macro_samples
        Fixed number of samples a macro-step instead of the adaptive one.

    Raises
    ------
    ValueError
        Values out of range.
    """

    virtual: int = 32
    accuracy: float = 0.1
    macro_samples: int | None = None

    def __post_init__(self) -> None:
        positive_integer("virtual", self.virtual)
        if not positive_number("accuracy", self.accuracy) <= 0.5:
            raise ValueError(f"`accuracy` must be at most 0.5, but is {self.accuracy!r}")
        if self.macro_samples is not None:
            positive_integer("macro_samples", self.macro_samples)

    def finer(self) -> LeapControl:
        """Half the macro-step and twice the virtual batch."""
        half = None if self.macro_samples is None else max(1, self.macro_samples // 2)
        return LeapControl(2 * self.virtual, self.accuracy / 2, half)


class LeapRun:
    """One run; ``start`` holds the students in P + m orthonormal coordinates, shape (m, P + m)."""

    coarse = True

    def __init__(
        self,
        setting: Setting,
        start: Array,
        stream: SeedSequence,
        control: LeapControl,
    ) -> None:
        self.setting = setting
        # The remainders of the virtual samples need as many dimensions outside the basis.
        self._virtual = min(control.virtual, setting.problem.d - start.shape[1])
        if self._virtual < 1:
            raise ValueError(f"the leap sampler needs d > P + m = {start.shape[1]}, but `d` is {setting.problem.d}")
        self._accuracy = control.accuracy
        fixed = control.macro_samples
        self._fixed = None if fixed is None else max(1, fixed // setting.batch)
        self._W = start.copy()
        self._generator = Generator(np.random.SFC64(stream))
        self._at = 0
        # Noise seen in the last macro-step: mean square turn of a direction per η² and step.
        self._turn = 0.0

    def advance(self, steps: int) -> int:
        """Take one macro-step of at most ``steps`` steps and return its length."""
        if steps == 0:
            return 0
        with np.errstate(all="ignore"):
            here = self._here()
            count = min(steps, self._proposed(here))
            self._leap(here, count, *self._draw(), depth=0)
        self._at += count
        return count

    def _here(self) -> _Here:
        n = np.einsum("kd,kd->k", self._W, self._W)
        unit = self._W / np.sqrt(n)[:, None]
        return _Here(n, unit, *velocity(self.setting.problem, n, unit))

    def _proposed(self, here: _Here) -> int:
        """Number of steps of the next macro-step."""
        if self._fixed is not None:
            return self._fixed
        problem, alpha = self.setting.problem, self._accuracy
        n, unit, F, tangent = here.n, here.unit, here.F, here.tangent
        overlaps = unit[:, : problem.P]
        relative = np.abs(tangent[:, : problem.P]) / np.maximum(np.abs(overlaps), problem.d**-0.5)
        rates = max(4 * np.abs(F).max(), relative.max(), np.linalg.norm(tangent, axis=1).max())
        sigma = problem.activation
        learned = float(np.max(n @ overlaps**2))
        relaxation = max(4 * sigma.second_moment, sigma.slope_second_moment) * learned / 5
        eta = float(self.setting.schedule.rate(np.array([self._at]))[0])
        by_drift = alpha / max(rates, relaxation, 1e-300) / eta
        by_noise = alpha**2 / (self._turn * eta**2) if self._turn else 1.0
        return int(max(1, min(by_drift, by_noise, 1e15)))

    def _draw(self) -> tuple[Array, Array, Array]:
        """Virtual samples (B, width + B), label noises and signs (B,)."""
        problem, B, width = self.setting.problem, self._virtual, self._W.shape[1]
        X = np.zeros((B, width + B))
        X[:, :width] = self._generator.standard_normal((B, width))
        freedom = problem.d - width - np.arange(B)
        rows, columns = np.tril_indices(B, -1)
        X[rows, width + columns] = self._generator.standard_normal(rows.size)
        X[np.arange(B), width + np.arange(B)] = np.sqrt(self._generator.chisquare(freedom))
        noise = self.setting.label_noise * self._generator.standard_normal(B)
        signs = 2.0 * self._generator.integers(0, 2, B) - 1.0
        return X, noise, signs

    def _leap(self, here: _Here, count: int, X: Array, noise: Array, signs: Array, depth: int) -> None:
        """Advance W by ``count`` steps whose noise the given virtual samples carry."""
        problem, setting = self.setting.problem, self.setting
        span = np.array([self._at, self._at + count])
        dt = float(np.diff(setting.schedule.sums(span, 1))[0])
        weight = math.sqrt(float(np.diff(setting.schedule.sums(span, 2))[0]) / (setting.batch * self._virtual))
        W, n, F = _widened(self._W, X.shape[1]), here.n, here.F
        unit, tangent = _widened(here.unit, X.shape[1]), _widened(here.tangent, X.shape[1])
        norm = np.sqrt(n)
        kick = np.zeros_like(W)
        if len(X):
            u = X @ unit.T  # (B, m)
            sigma = problem.activation
            value, slope = sigma(u), sigma.derivative(u)
            delta = value @ n - sigma(X[:, : problem.P]) @ problem.a - noise
            along = -delta[:, None] * (2 * value - u * slope)  # of v_k, per sample
            across = -delta[:, None] * slope * norm  # of x
            total = signs @ along
            kick = weight * (total[:, None] * W + (across * signs[:, None]).T @ X)
            # centred: Σ ε (g + ∇L), with −∇L = ‖v‖ (2 F v̄ + T)
            kick -= weight * signs.sum() * (2 * F[:, None] * W + norm[:, None] * tangent)
        halfway = self._drifted(here, 0.5 * dt, here.F, here.tangent)
        middle = velocity(problem, *halfway)
        n_after, unit_after = self._drifted(here, dt, *middle)
        moved = _widened(np.sqrt(n_after)[:, None] * unit_after, X.shape[1])
        moved += kick
        if self._fixed is None and count > 1 and depth < MAX_SPLITS and self._too_far(unit, n, moved):
            first = self._generator.integers(0, 2, len(X)).astype(bool)
            half = count // 2
            self._leap(here, half, X[first], noise[first], signs[first], depth + 1)
            self._at += half
            rest = _widened(X[~first], self._W.shape[1])
            self._leap(self._here(), count - half, rest, noise[~first], signs[~first], depth + 1)
            self._at -= half
            if depth == 0:
                self._compress()
            return
        if depth == 0 and len(X):
            sizes = (across**2).mean(axis=0) / n * problem.d / setting.batch
            self._turn = float(np.max(sizes))
        self._W = moved
        if depth == 0:
            self._compress()

    def _drifted(self, here: _Here, dt: float, F: Array, tangent: Array) -> tuple[Array, Array]:
        """Squared norms and unit rows after dt of the given velocity."""
        rows = here.unit + dt * tangent
        return here.n * np.exp(4 * F * dt), rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def _too_far(self, unit: Array, n: Array, moved: Array) -> bool:
        P = self.setting.problem.P
        after = np.einsum("kd,kd->k", moved, moved)
        shift = moved[:, :P] / np.sqrt(after)[:, None] - unit[:, :P]
        return not max(np.abs(np.log(after / n)).max(), np.abs(shift).max()) <= 2 * self._accuracy

    def _compress(self) -> None:
        """Back to P + m columns by an LQ factorisation; keeps all inner products."""
        self._W = self.setting.problem.coordinates(self._W)

    def students(self) -> Array:
        """Students, (1, m, P + m)."""
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
