"""Which random stream feeds what.

Seed i of a run is child i of ``numpy.random.SeedSequence(seed)``; its own child 0 draws the
initial directions and child 1 the data.  Results therefore do not depend on how many seeds
run, in which order, or on how many workers.
"""

from __future__ import annotations

import numpy as np
from numpy.random import SeedSequence

from .checks import nonnegative_integer

DIRECTIONS, DATA, CHECK = 0, 1, 2


def seed_stream(seed: int, index: int, purpose: int) -> SeedSequence:
    """The stream of run ``index`` for ``purpose`` (``DIRECTIONS``, ``DATA`` or ``CHECK``)."""
    seed = nonnegative_integer("seed", seed)
    return SeedSequence(seed, spawn_key=(nonnegative_integer("index", index), purpose))


def generator(seed: int | SeedSequence | np.random.Generator) -> np.random.Generator:
    """A ``numpy.random.Generator`` (PCG64) from a seed, a stream, or itself."""
    if isinstance(seed, np.random.Generator):
        return seed
    if not isinstance(seed, SeedSequence):
        seed = nonnegative_integer("seed", seed)
    return np.random.Generator(np.random.PCG64(seed))
