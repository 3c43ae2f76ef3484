"""The overlay of the literal algorithm: theory over direct SGD, at a size that it reaches.

As ``figures.overlay``, where SGD is by leap; here every sample is drawn and every step taken.  Sizes: σ = h_4, P = 4
directions of strength a_p ∝ 1/p, d = 64, m = 16, and 12 seeds of 1.3·10⁷ samples.  Run time: half a minute with
the extra ``fast``.  Command: ``emergence figures overlay_direct``.
"""

from __future__ import annotations

from typing import Any

from .._types import Array
from .overlay import check, draw
from .overlay import compute as compared

__all__ = ["SECONDS", "SIZES", "SUMMARY", "check", "compute", "draw"]

SUMMARY = "Theory over the literal algorithm: staircases, loss with its band, transition times"
SIZES: dict[str, dict[str, Any]] = {
    "full": {"sampler": "direct", "activation": "h4", "P": 4, "beta": 1.0, "d": 64, "m": 16,
             "step_size": 3e-6, "samples": 13_000_000, "seeds": 12},
    "quick": {"sampler": "direct", "activation": "h4", "P": 2, "beta": 1.0, "d": 48, "m": 8,
              "step_size": 1e-5, "samples": 1_500_000, "seeds": 7},
}  # fmt: skip
SECONDS = {"full": 40.0, "quick": 8.0}


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """``figures.overlay.data_of`` the comparison at these sizes."""
    return compared(sizes, seed)
