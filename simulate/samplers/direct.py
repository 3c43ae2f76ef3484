"""Online SGD in d dimensions, the literal algorithm: the reference for everything else.

Per step, with B fresh samples x_b ~ N(0, I_d), u_kb = v̄_k·x_b and δ_b = f(x_b) − f*(x_b) − ξ_b
(ξ_b the label noise, if any):

    v_k ← v_k − (η/B) Σ_b δ_b [ 2 σ(u_kb) v_k + ‖v_k‖ σ'(u_kb) (x_b − u_kb v̄_k) ]

which is the gradient of ½ δ² for f(x) = Σ_k ‖v_k‖² σ(v̄_k·x).  The teacher's directions are the
first P axes, so f*(x) = Σ_p a_p σ(x_p).

``DirectStack`` is NumPy with the products in BLAS, S seeds at once; ``DirectRun`` is one seed at
batch 1 through the compiled kernel (``samplers.kernels``); ``TorchStack`` is PyTorch, for large
mini-batches on a GPU (``samplers.direct_torch``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.random import Generator, SeedSequence

from ..._types import Array
from ...problem.compiled import numba_available
from ...problem.problem import Problem
from .direct_torch import DEVICES, PRECISIONS, TorchStack, settled_device
from .normals import FastNormals, Normals, normals
from .scalar import OVERFLOWS, kernels_of
from .stack import Setting, Stack, nested, under

ENGINES = ("auto", "compiled", "numpy", "torch")
_BLOCK_BYTES = 1 << 17  # samples drawn at a time stay in the second-level cache
_REFRESH = 1024  # samples after which the carried norms are computed afresh


def checked_engine(engine: str) -> None:
    """Refuse a name that is no engine."""
    if engine not in ENGINES:
        raise ValueError(f"`engine` must be one of {', '.join(ENGINES)}, but is {engine!r}")


def uncompiled(problem: Problem, batch: int) -> str:
    """Why the compiled engine cannot run this; empty where it can."""
    if problem.activation.overflows:
        return f"compiled {OVERFLOWS}"
    return "" if batch == 1 else f"compiled takes batch 1, not {batch}"


@dataclass(frozen=True)
class Direct:
    """The literal algorithm, O(m d) a sample.

    Parameters
    ----------
    engine
        ``"compiled"`` (batch 1, extra ``fast``), ``"numpy"``, ``"torch"`` (large batches on a GPU, extra ``gpu``), or
        ``"auto"``: compiled where it can be, otherwise NumPy.
    device
        Of engine torch alone: ``"cuda"`` or ``"cpu"``; CUDA where there is one if None.
    precision
        Of engine torch alone: ``"single"`` or ``"double"``, in which samples and products are; single if None.

    Raises
    ------
    ValueError
        A name that is none of these; ``device`` or ``precision`` with another engine.
    """

    engine: str = "auto"
    device: str | None = None
    precision: str | None = None
    name: ClassVar[str] = "direct"
    whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_engine(self.engine)
        for name, known in (("device", DEVICES), ("precision", tuple(PRECISIONS))):
            value = getattr(self, name)
            if value is not None and self.engine != "torch":
                raise ValueError(f"`{name}` is a setting of engine torch alone, but `engine` is {self.engine!r}")
            if value is not None and value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, but is {value!r}")

    @property
    def stacked(self) -> bool:
        """Do several seeds advance together?"""
        return self.engine == "numpy"

    @property
    def locks(self) -> bool:
        """Does it hold the interpreter's lock, so that threads do not help?"""
        return self.engine == "numpy"

    @property
    def offloaded(self) -> bool:
        """Does one task keep a device busy, in pieces that fit whatever the batch?"""
        return self.engine == "torch"

    @property
    def dtype(self) -> str:
        """The floating-point numbers that samples are made of."""
        return PRECISIONS[self.precision or "double"]

    def ready(self, problem: Problem, batch: int) -> Direct:
        """The same with its engine settled, and device and precision of engine torch; raises where it cannot run."""
        if self.engine in ("compiled", "torch") and problem.activation.overflows:
            raise ValueError(f"engine {self.engine} {OVERFLOWS}; use engine numpy")
        if self.engine == "torch":
            return replace(self, device=settled_device(self.device), precision=self.precision or "single")
        if self.engine == "compiled" and not numba_available():
            raise ImportError("the compiled engine needs numba; install sgd-emergence[fast]")
        if self.engine == "compiled" and batch != 1:
            raise ValueError(f"the compiled direct engine takes batch 1, but `batch` is {batch}; use engine numpy")
        if self.engine == "auto":
            compiled = numba_available() and not uncompiled(problem, batch)
            return replace(self, engine="compiled" if compiled else "numpy")
        return self

    def begin(self, run: Setting, start: Array, streams: list[SeedSequence]) -> Stack:
        """Students ``start`` (S, m, d) at step 0."""
        if self.engine == "torch":
            assert self.device is not None and self.precision is not None, "settled by `ready`"
            return TorchStack(run, start, streams, self.device, self.precision)
        if self.engine == "numpy":
            return DirectStack(run, start, [normals(stream) for stream in streams])
        (rows,), (stream,) = start, streams
        return DirectRun(run, rows, FastNormals(stream))


class DirectStack:
    """S runs on NumPy; run s draws from its own source of normals."""

    coarse = False

    def __init__(self, run: Setting, start: Array, sources: list[Normals]) -> None:
        self.run, self._sources = run, sources
        self._students = start.copy()
        self._at = 0
        self._x = np.empty((len(sources), run.batch, run.problem.d))
        self._noise = np.zeros((len(sources), run.batch))

    def advance(self, steps: int) -> int:
        """Take ``steps`` steps; runs that overflow go to inf or NaN quietly."""
        etas = self.run.step_size.rate(np.arange(self._at, self._at + steps))
        with np.errstate(all="ignore"):
            for eta in etas.tolist():
                for source, block, noise in zip(self._sources, self._x, self._noise, strict=True):
                    source.fill(block)
                    if self.run.label_noise:
                        source.fill(noise)
                self._step(eta)
        self._at += steps
        return steps

    def _step(self, eta: float) -> None:
        problem, x, V = self.run.problem, self._x, self._students
        sigma = problem.activation
        n = np.einsum("skd,skd->sk", V, V)[:, None, :]
        u = x @ V.transpose(0, 2, 1) / np.sqrt(n)  # (S, B, m)
        value, slope = sigma(u), sigma.derivative(u)
        delta = (value * n).sum(axis=2) - sigma(x[:, :, : problem.P]) @ problem.a
        delta -= self.run.label_noise * self._noise
        rate = eta / self.run.batch * delta[:, :, None]
        shrink = (rate * (2 * value - u * slope)).sum(axis=1)
        push = rate * slope * np.sqrt(n)
        V -= shrink[:, :, None] * V + push.transpose(0, 2, 1) @ x

    def students(self) -> Array:
        """Students of every seed, (S, m, d)."""
        return self._students

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
    """One seed at batch 1 through ``kernels.single``; needs the extra ``fast``."""

    coarse = False

    def __init__(self, run: Setting, start: Array, source: FastNormals) -> None:
        problem = run.problem
        self.run, self._source, self._a = run, source, problem.a
        self._kernels = kernels_of(problem.activation)
        self._students = start.copy()
        self._n = np.sum(start**2, axis=1)
        # The update of the last sample is pending: v_k + c_k v_k + b_k x_old.
        self._c, self._b = np.zeros((2, problem.m))
        self._old = np.zeros(problem.d)
        rows = max(8, _BLOCK_BYTES // (self._students.itemsize * problem.d))
        self._block = np.empty((rows, problem.d))
        self._noise = np.zeros(rows)
        self._next, self._at, self._refreshed = rows, 0, 0
        self._run_kernel(0)  # compiles

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
        etas = self.run.step_size.rate(np.arange(self._at, self._at + count))
        noise = self.run.label_noise * self._noise[rows]
        self._kernels.single(
            self._students, self._n, self._c, self._b, self._old, self._block[rows], etas, noise, self._a,
            self._kernels.sigma, self._kernels.slope,
        )  # fmt: skip

    def _refill(self) -> None:
        self._source.fill(self._block)
        if self.run.label_noise:
            self._source.fill(self._noise)
        self._next = 0
        if self._at >= self._refreshed + _REFRESH:
            self._n[:] = np.sum(self.students()[0] ** 2, axis=1)
            self._refreshed = self._at

    def students(self) -> Array:
        """Students with the pending update applied, (1, m, d)."""
        V = self._students
        with np.errstate(all="ignore"):  # a diverged run is reported, not warned of
            return (V + (self._c[:, None] * V + self._b[:, None] * self._old))[None]

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
