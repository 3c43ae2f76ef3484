"""The literal algorithm on large mini-batches, in PyTorch and on a GPU where there is one (extra ``gpu`` = torch).

The step is that of ``samplers.direct``.  A mini-batch is drawn and summed on the device in pieces of at most
``PIECE_BYTES``: with U = X V̄ᵀ for the rows x_b of a piece,

    c_k ← c_k + Σ_b δ_b [2 σ(u_kb) − u_kb σ'(u_kb)],      G_k ← G_k + Σ_b δ_b σ'(u_kb) x_b,

and once it is complete v_k ← v_k − (η/B) [c_k v_k + ‖v_k‖ G_k].

Samples, σ and both products have the precision that is asked for.  Students and the sums over pieces are always
double: many steps that each move a student by less than the rounding of single precision are not lost.

What PyTorch draws depends on how many numbers are asked for at a time, so the size of a piece is part of the path: it
follows from the problem and the precision, never from the machine.  On CUDA a generator takes a 64-bit seed, on the
CPU the lower 32 bits of it.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import sympy
from numpy.random import SeedSequence

from ..._types import Array
from ...problem.activation import Activation, lowered
from ...problem.hermite_polynomials import h
from ...problem.numeric import torch_functions
from ...problem.parser import x as symbol
from .stack import Setting

PIECE_BYTES = 1 << 30
DEVICES = ("cpu", "cuda")
PRECISIONS = {"single": "float32", "double": "float64"}


def settled_device(device: str | None) -> str:
    """The device itself, or for None CUDA where there is one.

    Raises
    ------
    ImportError
        PyTorch is not installed; names the extra.
    ValueError
        CUDA is asked for where PyTorch has none.
    """
    if importlib.util.find_spec("torch") is None:
        raise ImportError("the torch engine needs PyTorch; install sgd-emergence[gpu]")
    import torch

    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise ValueError("`device` is cuda, but PyTorch finds none here")
    return device or ("cuda" if cuda else "cpu")


class TorchStack:
    """S runs on one device, one after another in every step; run s draws from its own generator.

    Parameters
    ----------
    start
        Students, (S, m, d).
    streams
        What the generators are seeded from, one a run.
    device, precision
        Of ``DEVICES`` and ``PRECISIONS``.
    """

    coarse = False

    def __init__(self, run: Setting, start: Array, streams: list[SeedSequence], device: str, precision: str) -> None:
        import torch

        problem = run.problem
        self.run, self._torch, self._at = run, torch, 0
        self._here: dict[str, Any] = {"device": device, "dtype": getattr(torch, PRECISIONS[precision])}
        value, slope = _expressions(problem.activation)
        self._sigma, _ = torch_functions(value)
        self._sigma_and_slope, held = torch_functions(value, slope)
        numbers = problem.d + (held + 3) * max(problem.m, problem.P)  # of a sample, at once
        self._rows = max(1, PIECE_BYTES * 8 // (numbers * torch.finfo(self._here["dtype"]).bits))
        self._a = torch.tensor(problem.a, **self._here)
        self._students = torch.tensor(start, device=device, dtype=torch.float64)
        seeds = [int(stream.generate_state(1, np.uint64)[0]) for stream in streams]
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def advance(self, steps: int) -> int:
        """Take ``steps`` steps; runs that overflow go to inf or NaN quietly."""
        etas = self.run.step_size.rate(np.arange(self._at, self._at + steps))
        for eta in etas.tolist():
            for V, generator in zip(self._students, self._generators, strict=True):
                self._step(V, generator, eta)
        if self._here["device"] == "cuda":
            self._torch.cuda.synchronize()  # done when it says so: who asked measures the time that it takes
        self._at += steps
        return steps

    def _step(self, V: Any, generator: Any, eta: float) -> None:
        """One step of the students V (m, d), in place."""
        batch = self.run.batch
        n = (V * V).sum(dim=1)
        unit = V / n.sqrt()[:, None]
        c, G = self._torch.zeros_like(n), self._torch.zeros_like(V)
        for done in range(0, batch, self._rows):
            x, noise = self._draw(min(self._rows, batch - done), generator)
            shrink, push = self._sums(x, noise, unit.to(x.dtype), n.to(x.dtype))
            c += shrink
            G += push
        V -= eta / batch * (c[:, None] * V + n.sqrt()[:, None] * G)

    def _draw(self, rows: int, generator: Any) -> tuple[Any, Any]:
        """Samples (rows, d) and their label noises (rows,), 0.0 without any."""
        x = self._torch.randn(rows, self.run.problem.d, generator=generator, **self._here)
        if not self.run.label_noise:
            return x, 0.0
        return x, self.run.label_noise * self._torch.randn(rows, generator=generator, **self._here)

    def _sums(self, x: Any, noise: Any, unit: Any, n: Any) -> tuple[Any, Any]:
        """What samples (rows, d) add to c (m,) and to G (m, d)."""
        (teacher,) = self._sigma(x[:, : self.run.problem.P])
        delta = -(teacher @ self._a) - noise
        del teacher
        u = x @ unit.T
        value, slope = self._sigma_and_slope(u)
        delta += value @ n
        return delta @ (2 * value - u * slope), (delta[:, None] * slope).T @ x

    def students(self) -> Array:
        """Students of every seed, (S, m, d)."""
        out: Array = self._students.cpu().numpy()
        return out

    def keep(self, alive: Array) -> None:
        """Go on with the marked runs only."""
        kept = np.flatnonzero(alive).tolist()
        self._students = self._students[kept]
        self._generators = [self._generators[i] for i in kept]

    def snapshot(self) -> dict[str, Array]:
        """Students, step count, and the state of every generator."""
        states = {f"generator{i}": one.get_state().numpy() for i, one in enumerate(self._generators)}
        return {"students": self.students(), "at": np.array(self._at), **states}

    def restore(self, saved: dict[str, Array]) -> None:
        """Go on from a ``snapshot``; ``keep`` must have left as many runs as it holds."""
        self._students, self._at = self._torch.tensor(saved["students"], device=self._here["device"]), int(saved["at"])
        for i, generator in enumerate(self._generators):
            generator.set_state(self._torch.tensor(saved[f"generator{i}"]))


def _expressions(activation: Activation) -> tuple[sympy.Expr, sympy.Expr]:
    """σ and σ' as expressions, what a high-pass removes included."""

    def less(expression: sympy.Expr, removed: Array) -> sympy.Expr:
        terms = [-sympy.Float(c) * h(k, symbol) for k, c in enumerate(removed.tolist()) if c]
        return sympy.Add(expression, *terms, evaluate=False) if terms else expression

    return less(activation.expression, activation.removed), less(activation.slope, lowered(activation.removed))
