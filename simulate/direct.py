"""Online SGD in d dimensions, the literal algorithm, on NumPy: a stack of seeds at once.

Per step, with B fresh samples x_b ~ N(0, I_d), u_kb = v̄_k·x_b and δ_b = f(x_b) − f*(x_b):

    v_k ← v_k − (η/B) Σ_b δ_b [ 2 σ(u_kb) v_k + ‖v_k‖ σ'(u_kb) (x_b − u_kb v̄_k) ]

which is the gradient of ½ δ² for f(x) = Σ_k ‖v_k‖² σ(v̄_k·x).  The teacher's directions are the
first P axes, so f*(x) = Σ_p a_p σ(x_p).
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from problem.problem import Problem
from problem.types import Array


class DirectStack:
    """S independent runs advanced together; run s draws its data from its own generator.

    ``students`` has shape (S, m, d) and is advanced in place.
    """

    def __init__(
        self, problem: Problem, students: Array, streams: list[Generator], step_size: float, batch: int
    ) -> None:
        self.problem, self.students, self.streams = problem, students, streams
        self.step_size, self.batch = step_size, batch
        self._x = np.empty((len(streams), batch, problem.d))

    def advance(self, steps: int) -> None:
        """Take ``steps`` steps; runs that overflow go to inf or NaN quietly."""
        with np.errstate(all="ignore"):
            for _ in range(steps):
                for stream, block in zip(self.streams, self._x, strict=True):
                    stream.standard_normal(out=block)
                self._step(self._x)

    def _step(self, x: Array) -> None:
        sigma, V = self.problem.activation, self.students
        n = np.einsum("skd,skd->sk", V, V)[:, None, :]
        u = x @ V.transpose(0, 2, 1) / np.sqrt(n)  # (S, B, m)
        value, slope = sigma(u), sigma.derivative(u)
        delta = (value * n).sum(axis=2) - sigma(x[:, :, : self.problem.P]) @ self.problem.a
        rate = self.step_size / self.batch * delta[:, :, None]
        shrink = 1 - (rate * (2 * value - u * slope)).sum(axis=1)
        push = rate * slope * np.sqrt(n)
        V *= shrink[:, :, None]
        V -= push.transpose(0, 2, 1) @ x

    def keep(self, alive: np.ndarray) -> None:
        """Go on with the marked runs only."""
        self.students = self.students[alive]
        self.streams = [stream for stream, good in zip(self.streams, alive, strict=True) if good]
        self._x = self._x[alive]


def sampled_loss(problem: Problem, students: Array, stream: Generator, samples: int) -> tuple[float, float]:
    """Mean of ½(f − f*)² over fresh samples and its standard error; students (m, d)."""
    x = stream.standard_normal((samples, problem.d))
    norms = np.linalg.norm(students, axis=1)
    student = problem.activation(x @ (students / norms[:, None]).T) @ norms**2
    teacher = problem.activation(x[:, : problem.P]) @ problem.a
    losses = 0.5 * (student - teacher) ** 2
    return float(losses.mean()), float(losses.std(ddof=1) / np.sqrt(samples))
