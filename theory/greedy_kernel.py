"""The Markov chain of `greedy_chain`, compiled where numba is (extra ``fast``); imported only where it runs."""

from __future__ import annotations

import heapq
import math

import numpy as np

from .._types import Array
from ..problem.compiled import compiled
from .greedy_chain import KNOTS, LOWEST, STEP


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def log_square(y: float, one_sided: bool, table: Array) -> float:
    if one_sided:
        y = -math.log1p(2 * math.expm1(-y))
    place = (math.log(max(y, 1e-30)) - LOWEST) / STEP
    i = min(int(place), KNOTS - 2)
    u = min(place - i, 1.0) * STEP
    return table[i, 0] + u * (table[i, 1] + u * (table[i, 2] + u * table[i, 3]))


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def chain(log_a, power, m, one_sided, table, stream):  # type: ignore[no-untyped-def]
    end = math.log(2.0) - 1e-12 if one_sided else math.inf
    level, students = np.zeros(log_a.size), np.full(log_a.size, m)
    out = np.full(log_a.size, -math.inf)
    heap = [(0.0, 0) for _ in range(0)]
    for p in range(log_a.size):
        level[p] = stream.standard_exponential() / m
        if level[p] < end:
            heap.append((-log_a[p] - power * log_square(level[p], one_sided, table), p))
    heapq.heapify(heap)
    free = m
    while free > 0 and len(heap) > 0:
        p = heap[0][1]
        if free == students[p] or stream.random() * students[p] < free:
            out[p] = log_square(level[p], one_sided, table)
            heapq.heappop(heap)
            free -= 1
            continue
        level[p] += stream.standard_exponential() / free
        students[p] = free
        if level[p] < end:
            key = -log_a[p] - power * log_square(level[p], one_sided, table)
            heapq.heapreplace(heap, (key, p))
        else:
            heapq.heappop(heap)
    return out
