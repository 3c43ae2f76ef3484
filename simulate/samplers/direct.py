"""Online SGD in d dimensions, the literal algorithm: the reference for everything else.

Per step, with B fresh samples x_b ~ N(0, I_d), u_kb = v̄_k·x_b and δ_b = f(x_b) − f*(x_b) − ξ_b
(ξ_b the label noise, if any):

    v_k ← v_k − (η/B) Σ_b δ_b [ 2 σ(u_kb) v_k + ‖v_k‖ σ'(u_kb) (x_b − u_kb v̄_k) ]

which is the gradient of ½ δ² for f(x) = Σ_k ‖v_k‖² σ(v̄_k·x).  The teacher's directions are the
first P axes, so f*(x) = Σ_p a_p σ(x_p).

``DirectStack`` is NumPy with the products in BLAS, S seeds at once; ``DirectRun`` is one seed at
batch 1 through the compiled kernel.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator, SeedSequence

from ..._types import Array
from ...problem.problem import Problem
from . import sgd_step as kernels
from .normals import FastNormals, FastOrNumpy, normals
from .stack import Setting, nested, under

_BLOCK_BYTES = 1 << 17  # samples drawn at a time stay in the second-level cache
_REFRESH = 1024  # samples after which the carried norms are computed afresh


class DirectStack:
    """S runs on NumPy; run s draws from its own source of normals."""

    coarse = False

    def __init__(self, setting: Setting, start: Array, sources: list[FastOrNumpy]) -> None:
        self.setting, self._sources = setting, sources
        self._students = start.astype(setting.dtype)
        self._at = 0
        self._x = np.empty((len(sources), setting.batch, setting.problem.d), dtype=setting.dtype)
        self._noise = np.zeros((len(sources), setting.batch), dtype=setting.dtype)

    @classmethod
    def seeded(cls, setting: Setting, start: Array, streams: list[SeedSequence]) -> DirectStack:
        """The stack whose runs draw from ``streams``; start (S, m, d)."""
        return cls(setting, start, [normals(stream, setting.dtype) for stream in streams])

    def advance(self, steps: int) -> int:
        """Take ``steps`` steps; runs that overflow go to inf or NaN quietly."""
        etas = self.setting.schedule.rate(np.arange(self._at, self._at + steps))
        with np.errstate(all="ignore"):
            for eta in etas.tolist():
                for source, block, noise in zip(self._sources, self._x, self._noise, strict=True):
                    source.fill(block)
                    if self.setting.label_noise:
                        source.fill(noise)
                self._step(eta)
        self._at += steps
        return steps

    def _step(self, eta: float) -> None:
        problem, x, V = self.setting.problem, self._x, self._students
        sigma = problem.activation
        n = np.einsum("skd,skd->sk", V, V, dtype=float)[:, None, :]
        u = x @ V.transpose(0, 2, 1) / np.sqrt(n)  # (S, B, m)
        value, slope = sigma(u), sigma.derivative(u)
        delta = (value * n).sum(axis=2) - sigma(x[:, :, : problem.P]) @ problem.a
        delta -= self.setting.label_noise * self._noise
        rate = eta / self.setting.batch * delta[:, :, None]
        shrink = (rate * (2 * value - u * slope)).sum(axis=1)
        push = (rate * slope * np.sqrt(n)).astype(V.dtype)
        V -= shrink.astype(V.dtype)[:, :, None] * V + push.transpose(0, 2, 1) @ x

    def students(self) -> Array:
        """Students of every run, (S, m, d) float64."""
        return self._students.astype(float)

    def keep(self, alive: Array) -> None:
        """Go on with the marked runs only."""
        self._students = self._students[alive]
        self._sources = [source for source, good in zip(self._sources, alive, strict=True) if good]
        self._x, self._noise = self._x[alive], self._noise[alive]

    def snapshot(self) -> dict[str, Array]:
        """Students, step count, and the state of every source."""
        out = {"students": self._students, "at": np.array(self._at)}
        for i, source in enumerate(self._sources):
            out |= nested(f"source{i}", source.snapshot())
        return out

    def restore(self, saved: dict[str, Array]) -> None:
        """Go on from a ``snapshot``; ``keep`` must have left as many runs as it holds."""
        self._students, self._at = saved["students"].copy(), int(saved["at"])
        for i, source in enumerate(self._sources):
            source.restore(under(f"source{i}", saved))


class DirectRun:
    """One run at batch 1 through ``kernels.single``; needs the extra ``fast``."""

    coarse = False

    def __init__(self, setting: Setting, start: Array, source: FastOrNumpy) -> None:
        problem = setting.problem
        self.setting, self._source, self._a = setting, source, problem.a
        self._kernel = kernels.single(problem.activation)
        self._students = start.astype(setting.dtype)
        self._zero = self._students.dtype.type(0)
        self._n = np.sum(start**2, axis=1)
        # The update of the last sample is pending: v_k + c_k v_k + b_k x_old.
        self._c, self._b = np.zeros((2, problem.m), dtype=setting.dtype)
        self._old = np.zeros(problem.d, dtype=setting.dtype)
        rows = max(8, _BLOCK_BYTES // (self._students.itemsize * problem.d))
        self._block = np.empty((rows, problem.d), dtype=setting.dtype)
        self._noise = np.zeros(rows, dtype=setting.dtype)
        self._next, self._at, self._refreshed = rows, 0, 0
        self._run_kernel(0)  # compiles

    @classmethod
    def seeded(cls, setting: Setting, start: Array, stream: SeedSequence) -> DirectRun:
        """The run that draws from ``stream``; start (m, d)."""
        return cls(setting, start, FastNormals(stream, setting.dtype))

    def advance(self, steps: int) -> int:
        """Take ``steps`` steps."""
        left = steps
        while left:
            if self._next == len(self._block):
                self._refill()
            count = min(left, len(self._block) - self._next)
            self._run_kernel(count)
            self._next += count
            self._at += count
            left -= count
        return steps

    def _run_kernel(self, count: int) -> None:
        """Steps on the next ``count`` rows of the block."""
        rows = slice(self._next, self._next + count)
        etas = self.setting.schedule.rate(np.arange(self._at, self._at + count))
        noise = self.setting.label_noise * self._noise[rows]
        self._kernel(
            self._students, self._n, self._c, self._b, self._old, self._block[rows], etas, noise, self._a, self._zero
        )

    def _refill(self) -> None:
        self._source.fill(self._block)
        if self.setting.label_noise:
            self._source.fill(self._noise)
        self._next = 0
        if self._at >= self._refreshed + _REFRESH:
            self._n[:] = np.sum(self.students()[0] ** 2, axis=1)
            self._refreshed = self._at

    def students(self) -> Array:
        """Students with the pending update applied, (1, m, d) float64."""
        V = self._students
        with np.errstate(all="ignore"):  # a diverged run is reported, not warned of
            return (V + (self._c[:, None] * V + self._b[:, None] * self._old)).astype(float)[None]

    def keep(self, alive: Array) -> None:
        """A stack of one has nothing to drop until it is empty."""

    def snapshot(self) -> dict[str, Array]:
        """Students, pending update, norms, unused samples, and the state of the source."""
        names = {
            "students": self._students, "n": self._n, "c": self._c, "b": self._b, "old": self._old,
            "block": self._block, "noise": self._noise, "counts": np.array([self._next, self._at, self._refreshed]),
        }  # fmt: skip
        return names | nested("source", self._source.snapshot())

    def restore(self, saved: dict[str, Array]) -> None:
        """Go on from a ``snapshot``."""
        for name in ("students", "n", "c", "b", "old", "block", "noise"):
            getattr(self, f"_{name}")[...] = saved[name]
        self._next, self._at, self._refreshed = saved["counts"].tolist()
        self._source.restore(under("source", saved))


def sampled_loss(problem: Problem, students: Array, stream: Generator, samples: int) -> tuple[float, float]:
    """Mean of ½(f − f*)² over fresh samples and its standard error; students (m, width)."""
    x = stream.standard_normal((samples, students.shape[1]))
    norms = np.linalg.norm(students, axis=1)
    student = problem.activation(x @ (students / norms[:, None]).T) @ norms**2
    teacher = problem.activation(x[:, : problem.P]) @ problem.a
    losses = 0.5 * (student - teacher) ** 2
    return float(losses.mean()), float(losses.std(ddof=1) / np.sqrt(samples))
