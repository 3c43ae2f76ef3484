"""The generator behind the compiled samplers: right law, right bookkeeping."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import NUMBA
from numpy.random import SeedSequence
from scipy.stats import kstest, norm

from emergence.simulate.samplers.normals import FastNormals, Normals, NumpyNormals

pytestmark = pytest.mark.skipif(not NUMBA, reason="no numba")
SIZE = 4_000_000
ALARM = 1e-9  # false-alarm rate of every statistical assertion below
Z = float(norm.isf(ALARM / 2))


def draw(size: int = SIZE, seed: int = 0) -> np.ndarray:
    out = np.empty(size)
    FastNormals(SeedSequence(seed)).fill(out)
    return out


def test_moments() -> None:
    x = draw()
    for k in range(1, 9):
        mean = 0 if k % 2 else math.prod(range(1, k, 2))
        variance = math.prod(range(1, 2 * k, 2)) - mean**2
        # n = 4e6; finds a relative error of the variance of 0.6 % with probability > 0.99
        assert abs(np.mean(x**k) - mean) < Z * math.sqrt(variance / SIZE), k


def test_distribution_and_tails() -> None:
    x = draw(seed=1)
    assert kstest(x[:500_000], "norm").pvalue > ALARM
    for level in (3.0, 4.0, 5.0):
        expected = 2 * SIZE * norm.sf(level)
        assert abs(np.sum(np.abs(x) > level) - expected) < Z * math.sqrt(expected) + 8, level


@pytest.mark.parametrize("lag", [1, 2, 8, 16, 512, 1024])
def test_no_serial_correlation(lag: int) -> None:
    """Neighbours, lanes (16), the two normals of a pair (512), and chunks (1024); squares too."""
    x = draw(seed=2)
    for y in (x, (x**2 - 1) / math.sqrt(2), (x**4 - 6 * x**2 + 3) / math.sqrt(24)):
        assert abs(np.mean(y[:-lag] * y[lag:])) < Z / math.sqrt(SIZE - lag)


@pytest.mark.parametrize("make", [FastNormals, NumpyNormals])
def test_stream_does_not_depend_on_how_it_is_asked_for(make: type[Normals]) -> None:
    source, pieces = make(SeedSequence(3)), []
    chunk = getattr(source, "_size", 1024)
    whole = np.empty(5 * chunk)
    make(SeedSequence(3)).fill(whole)
    for size in (7, 0, chunk, 1, 2 * chunk + 5, chunk):
        piece = np.empty(size)
        source.fill(piece)
        pieces.append(piece)
    joined = np.concatenate(pieces)
    np.testing.assert_array_equal(joined, whole[: joined.size])


@pytest.mark.parametrize("make", [FastNormals, NumpyNormals])
def test_snapshot_goes_on_bit_for_bit(make: type[Normals]) -> None:
    source = make(SeedSequence(4))
    source.fill(np.empty(333))
    saved = {name: value.copy() for name, value in source.snapshot().items()}
    first, again = np.empty(3000), np.empty(3000)
    source.fill(first)
    other = make(SeedSequence(99))
    other.restore(saved)
    other.fill(again)
    np.testing.assert_array_equal(first, again)


def test_seeds_give_different_streams() -> None:
    a, b = draw(10_000, seed=5), draw(10_000, seed=6)
    assert abs(np.mean(a * b)) < Z / 100  # sd 1/√10⁴
    assert not np.isin(a, b).any()
