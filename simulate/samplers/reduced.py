"""Online SGD exact in law at a cost free of d (extra ``fast`` = numba).

By rotation invariance only overlaps matter.  Keep the students as rows ``W = [R | U]`` in an
orthonormal basis: R (m × P) along the teacher's directions, U in a basis of the rest of
span(V*, V).  In these coordinates a sample is a vector of standard normals, and what it has
outside the span is a new orthogonal direction of length χ_D, D = d − P − (columns of U).  The
rank-one update of SGD puts one new column into U.  After ``buffer`` steps U is brought back to m
columns by an LQ factorisation, which keeps U Uᵀ and hence the law.

A mini-batch of B samples has remainders with a Wishart Gram matrix; its Bartlett factor T (lower
triangular, χ_{D−i+1} on the diagonal, normals below) gives their coordinates in B new columns, so
the exact sampler needs D ≥ B, that is d ≥ P + m + B.

In the block between two compressions the extended samples are the rows of one array, zero
beyond their columns, and the kernels of the direct sampler run on it unchanged.  Amortised
cost: O(m (P + m)) a sample.

Source: Bartlett 1933 (Wishart factor).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.random import Generator, SeedSequence

from ..._types import Array
from ...problem.compiled import numba_available
from ...problem.problem import Problem
from .normals import restore_sfc64, seeded_state, snapshot_sfc64
from .scalar import OVERFLOWS, kernels_of
from .stack import Setting, Stack, nested, under


def smallest_dimension(P: int, m: int, batch: int) -> int:
    """Least d at which the reduced sampler is exact."""
    return P + m + batch


@dataclass(frozen=True)
class Reduced:
    """Exact in law, O(m (P + m)) a sample, for d ≥ P + m + batch; needs the extra ``fast``."""

    name: ClassVar[str] = "reduced"
    engine: ClassVar[str] = "compiled"
    whole: ClassVar[bool] = False
    stacked: ClassVar[bool] = False
    locks: ClassVar[bool] = False
    offloaded: ClassVar[bool] = False
    device: ClassVar[str | None] = None
    dtype: ClassVar[str] = "float64"

    def ready(self, problem: Problem, batch: int) -> Reduced:
        """Itself; raises where it cannot run."""
        if not numba_available():
            raise ImportError("the reduced sampler needs numba; install sgd-emergence[fast]")
        if problem.activation.overflows:
            raise ValueError(f"the reduced sampler {OVERFLOWS}; use the direct one")
        return self

    def begin(self, run: Setting, start: Array, streams: list[SeedSequence]) -> Stack:
        """Students ``start`` (1, m, P + m), in orthonormal coordinates, at step 0."""
        (rows,), (stream,) = start, streams
        return ReducedRun(run, rows, stream)


class ReducedRun:
    """One seed; ``start`` holds the students in P + m orthonormal coordinates, shape (m, P + m)."""

    coarse = False

    def __init__(self, run: Setting, start: Array, stream: SeedSequence) -> None:
        from .kernels import CHUNK

        problem, batch = run.problem, run.batch
        P, m, d = problem.P, problem.m, problem.d
        # Longer buffers spread the factorisation thinner and make every sample wider.
        self._steps = max(1, min(max(32, m), d - P - m) // batch)
        width = P + m + self._steps * batch
        self.run = run
        self._kernels = kernels_of(problem.activation)
        self._W = np.zeros((m + 3, width))  # three rows to spare, always zero
        self._W[:m, : start.shape[1]] = start
        self._n = np.sum(start**2, axis=1)
        self._c, self._b = np.zeros((2, m))
        self._old = np.zeros(width)
        rows = self._steps * batch
        # The samples of a block, then its label noises; whole chunks.
        self._drawn = np.zeros(-(-rows * (width + 1) // CHUNK) * CHUNK)
        self._noise = np.zeros(rows)
        words = stream.spawn(2)
        self._lanes = seeded_state(words[0])
        self._remainders = Generator(np.random.SFC64(words[1]))
        self._counts = np.array([self._steps, 0], dtype=np.int64)  # next step of the block; steps done
        self._run_kernel(0)  # compiles

    def advance(self, steps: int) -> int:
        """Take ``steps`` steps."""
        left = steps
        while left:
            count = min(left, 1 << 16)
            self._run_kernel(count)
            left -= count
        return steps

    def _run_kernel(self, count: int) -> None:
        run, at = self.run, int(self._counts[1])
        etas = run.step_size.rate(np.arange(at, at + count))
        self._kernels.block(
            self._W, self._n, self._c, self._b, self._old, self._drawn, self._noise, etas, run.problem.a,
            float(run.problem.d), run.label_noise, self._lanes, self._remainders, self._counts,
            None if run.batch == 1 else run.batch, self._kernels.sigma, self._kernels.slope,
        )  # fmt: skip

    def students(self) -> Array:
        """Students with the pending update applied, (1, m, width)."""
        W = self._W[: self._n.size]
        with np.errstate(all="ignore"):  # a diverged run is reported, not warned of
            return (W + (self._c[:, None] * W + self._b[:, None] * self._old))[None]

    def keep(self, alive: Array) -> None:
        """A stack of one has nothing to drop until it is empty."""

    def snapshot(self) -> dict[str, Array]:
        """Every array of the run, and the generator of the remainders."""
        return {name: getattr(self, f"_{name}") for name in _STATE} | nested(
            "remainders", snapshot_sfc64(self._remainders)
        )

    def restore(self, saved: dict[str, Array]) -> None:
        """Go on from a ``snapshot``."""
        for name in _STATE:
            getattr(self, f"_{name}")[...] = saved[name]
        restore_sfc64(self._remainders, under("remainders", saved))


_STATE = ("W", "n", "c", "b", "old", "drawn", "noise", "lanes", "counts")
