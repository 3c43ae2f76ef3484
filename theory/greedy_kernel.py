"""Loops of greedy selection among open directions, compiled where numba is (extra ``fast``); imported only where they
run.  Mathematics: ``open_selection`` and ``greedy_chain``.

A clock is an array [θ, t, S, Σ κ ρ, Σ (κ ρ)²] of ``open_selection``.  ``shut`` is a heap of (recovery time, direction)
of what is not closed yet.  A draw ends when no direction waits for its first student.  What is compiled is kept until
this file changes, so the constants that it is compiled with stand here too.
"""

from __future__ import annotations

import heapq
import math

import numpy as np

from ..problem.compiled import compiled

LOWEST, HIGHEST, KNOTS = math.log(1e-30), math.log(60.0), 4097
STEP = (HIGHEST - LOWEST) / (KNOTS - 1)
THIN = 64  # waits change slowly: every so many knots


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def reached(theta, clock, exponent, shut, closed, pull):  # type: ignore[no-untyped-def]
    """Set the clock to θ, closing directions on the way."""
    while True:
        drag = clock[3] - clock[4] / clock[3] if clock[4] < clock[3] ** 2 else 0.0
        now = 1 + exponent * clock[2]
        rate = drag * now ** (-2 / exponent)  # exponent times that is d ln(1 + k* S)/dθ
        left = theta - clock[0]
        if rate * left > 1e-9:
            wait = now * math.expm1(0.5 * exponent * math.log1p(2 * rate * left)) / (exponent * drag)
        else:
            wait = left * now ** (1 - 2 / exponent)
        if len(shut) > 0 and shut[0][0] <= clock[1] + wait:
            t, p = heapq.heappop(shut)
            closed[p] = True
            wait = t - clock[1]
            grown = exponent * drag * wait / now
            if grown > 1e-9:
                clock[0] += math.expm1(2 / exponent * math.log1p(grown)) / (2 * rate)
            else:
                clock[0] += wait * now ** (2 / exponent - 1)
            clock[1], clock[2] = t, clock[2] + drag * wait
            clock[3], clock[4] = max(clock[3] - pull[p], 0.0), max(clock[4] - pull[p] ** 2, 0.0)
        else:
            clock[0], clock[1], clock[2] = theta, clock[1] + wait, clock[2] + drag * wait
            return


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def select(k, p, theta, wait, pull, m, exponent):  # type: ignore[no-untyped-def]
    """Candidates k, p in the order of θ: index of each direction's first (−1 for none), its alignment and recovery."""
    first = np.full(pull.size, -1)
    alignment, recovery = np.full(pull.size, math.inf), np.full(pull.size, math.inf)
    free, closed, left = np.full(m, True), np.full(pull.size, False), m
    shut = [(0.0, 0) for _ in range(0)]
    clock = np.array([0.0, 0.0, 0.0, pull.sum(), np.sum(pull**2)])
    waiting = pull.size
    for i in range(theta.size):
        if left == 0 or waiting == 0:
            break
        if not free[k[i]] or closed[p[i]]:
            continue
        reached(theta[i], clock, exponent, shut, closed, pull)
        if closed[p[i]]:
            continue
        free[k[i]] = False
        left -= 1
        if first[p[i]] < 0:
            waiting -= 1
            first[p[i]], alignment[p[i]], recovery[p[i]] = i, clock[1], clock[1] + wait[i]
            heapq.heappush(shut, (recovery[p[i]], p[i]))
    return first, alignment, recovery


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def position(y, one_sided):  # type: ignore[no-untyped-def]
    """Where a level is between the knots, in panels."""
    if one_sided:
        y = -math.log1p(2 * math.expm1(-y))
    return min((math.log(max(y, 1e-30)) - LOWEST) / STEP, KNOTS - 1.0)


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def linear(values, place):  # type: ignore[no-untyped-def]
    """Read off a table that is linear between the knots."""
    i = min(int(place), values.size - 2)
    return values[i] + (place - i) * (values[i + 1] - values[i])


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def log_square(table, place):  # type: ignore[no-untyped-def]
    """ln s off its cubic pieces."""
    i = min(int(place), KNOTS - 2)
    u = (place - i) * STEP
    return table[i, 0] + u * (table[i, 1] + u * (table[i, 2] + u * table[i, 3]))


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def time_alone(times, place, a):  # type: ignore[no-untyped-def]
    """θ of a candidate of a direction."""
    return math.exp(linear(times, place)) / a


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def chain(a, pull, m, exponent, one_sided, table, times, grid, waits, stream):  # type: ignore[no-untyped-def]
    """ln s (P,) of each direction's student in one draw; −inf for none."""
    end = math.log(2.0) - 1e-12 if one_sided else math.inf
    level, students = np.zeros(a.size), np.full(a.size, m)
    out, closed = np.full(a.size, -math.inf), np.full(a.size, False)
    heap, shut = [(0.0, 0) for _ in range(0)], [(0.0, 0) for _ in range(0)]
    clock = np.array([0.0, 0.0, 0.0, pull.sum(), np.sum(pull**2)])
    for p in range(a.size):
        level[p] = stream.standard_exponential() / m
        if level[p] < end:
            heap.append((time_alone(times, position(level[p], one_sided), a[p]), p))
    heapq.heapify(heap)
    free, waiting = m, len(heap)
    while waiting > 0:
        theta, p = heap[0]
        if closed[p]:
            heapq.heappop(heap)
            continue
        reached(theta, clock, exponent, shut, closed, pull)
        if closed[p]:
            continue
        if free == students[p] or stream.random() * students[p] < free:
            free -= 1
            if out[p] == -math.inf:
                waiting -= 1
                place = position(level[p], one_sided)
                out[p] = log_square(table, place)
                row = min(max((math.log(a[p]) - grid[0]) / (grid[1] - grid[0]), 0.0), grid.size - 1.0)
                i, thin = min(int(row), grid.size - 2), min(place / THIN, waits.shape[1] - 1.0)
                wait = linear(waits[i], thin) * (i + 1 - row) + linear(waits[i + 1], thin) * (row - i)
                heapq.heappush(shut, (clock[1] + wait / a[p], p))
            if free == 0:
                break
        level[p] += stream.standard_exponential() / free
        students[p] = free
        if level[p] < end:
            heapq.heapreplace(heap, (time_alone(times, position(level[p], one_sided), a[p]), p))
        else:
            heapq.heappop(heap)
            waiting -= out[p] == -math.inf
    return out
