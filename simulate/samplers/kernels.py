"""Compiled kernels (extra ``fast`` = numba); imported only where they run.

Normals as `normals` describes them, steps of online SGD, and what the reduced sampler does between two blocks.  What is
compiled is kept until this file changes, so all that it is compiled with stands here too: σ and σ' come as the terms of
a series, or, in kernels that ``scalar`` compiles anew, as functions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...problem.compiled import compiled

LANES = 16
CHUNK = 1024  # normals made at a time; scratch stays in the first-level cache
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},  # NaN and inf keep their meaning
}
HALF = CHUNK // 2
LOG_TERMS = tuple(2 / (2 * k + 1) for k in range(11))  # (m−1)²/(m+1)² ≤ 0.0295: error 1e-18
TURN = 2 * math.pi
SINE = tuple((-1) ** k * TURN ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(9))
COSINE = tuple((-1) ** k * TURN ** (2 * k) / math.factorial(2 * k) for k in range(9))
ROOT_HALF_BITS, LN2 = np.int64(0x3FE6A09E667F3BCD), math.log(2.0)


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def words(state, out):  # type: ignore[no-untyped-def]
    a, b, c, counter = state[0], state[1], state[2], state[3]
    for i in range(0, out.size, LANES):
        for j in range(LANES):
            word = a[j] + b[j] + counter[j]
            counter[j] += np.uint64(1)
            a[j] = b[j] ^ (b[j] >> np.uint64(11))
            b[j] = c[j] + (c[j] << np.uint64(3))
            c[j] = ((c[j] << np.uint64(24)) | (c[j] >> np.uint64(40))) + word
            out[i + j] = word


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def chunk(state, bits, scratch, out):  # type: ignore[no-untyped-def]
    words(state, bits)
    for i in range(HALF):
        scratch[i] = (float(np.int64(bits[i] >> np.uint64(11))) + 0.5) * 2.0**-53
    pattern = scratch.view(np.int64)
    for i in range(HALF):  # u = m 2^e with m in [√½, √2)
        exponent = (pattern[i] - ROOT_HALF_BITS) >> np.int64(52)
        pattern[i] -= exponent << np.int64(52)
        bits[i] = np.uint64(exponent)
    for i in range(HALF):
        m = scratch[i]
        s = (m - 1.0) / (m + 1.0)
        z = s * s
        q = LOG_TERMS[10]
        for k in range(9, -1, -1):
            q = q * z + LOG_TERMS[k]
        radius = math.sqrt(-2.0 * (s * q + float(np.int64(bits[i])) * LN2))
        word = bits[HALF + i]
        angle = float(np.int64(word) >> np.int64(13)) * 2.0**-53  # in turns, |angle| ≤ 1/8
        z = angle * angle
        sin, cos = SINE[8], COSINE[8]
        for k in range(7, -1, -1):
            sin = sin * z + SINE[k]
            cos = cos * z + COSINE[k]
        sin *= angle
        swap = (word & np.uint64(1)) != 0
        x = sin if swap else cos
        y = cos if swap else sin
        out[i] = radius * (-x if (word & np.uint64(2)) != 0 else x)
        out[HALF + i] = radius * (-y if (word & np.uint64(4)) != 0 else y)


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def fill(state, out):  # type: ignore[no-untyped-def]
    bits = np.empty(CHUNK, np.uint64)
    scratch = np.empty(CHUNK)
    for start in range(0, out.size, CHUNK):
        chunk(state, bits, scratch, out[start : start + CHUNK])


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def advance_rows(V, c, b, old, new, dots):  # type: ignore[no-untyped-def]
    m, width = V.shape
    k = 0
    while k + 4 <= m:  # four rows at a time share the loads of both samples
        r0, r1, r2, r3 = V[k], V[k + 1], V[k + 2], V[k + 3]
        c0, c1, c2, c3 = c[k], c[k + 1], c[k + 2], c[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for j in range(width):
            q, y = old[j], new[j]
            t0 = r0[j] + (c0 * r0[j] + b0 * q)
            t1 = r1[j] + (c1 * r1[j] + b1 * q)
            t2 = r2[j] + (c2 * r2[j] + b2 * q)
            t3 = r3[j] + (c3 * r3[j] + b3 * q)
            r0[j], r1[j], r2[j], r3[j] = t0, t1, t2, t3
            s0 += t0 * y
            s1 += t1 * y
            s2 += t2 * y
            s3 += t3 * y
        dots[k], dots[k + 1], dots[k + 2], dots[k + 3] = s0, s1, s2, s3
        k += 4
    while k < m:
        row, ck, bk, s = V[k], c[k], b[k], 0.0
        for j in range(width):
            t = row[j] + (ck * row[j] + bk * old[j])
            row[j] = t
            s += t * new[j]
        dots[k] = s
        k += 1


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def apply_pending(V, c, b, old):  # type: ignore[no-untyped-def]
    for k in range(V.shape[0]):
        row, ck, bk = V[k], c[k], b[k]
        for j in range(V.shape[1]):
            row[j] += ck * row[j] + bk * old[j]


@compiled(nogil=True)  # type: ignore[untyped-decorator]
def lengths(out, freedom, generator):  # type: ignore[no-untyped-def]
    for i in range(out.size):
        out[i] = math.sqrt(generator.chisquare(freedom - i))


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def reflect(W, k, start, mirror, twice):  # type: ignore[no-untyped-def]
    """Reflect rows k … k+3 from column ``start`` on: row ← row − twice (row·mirror) mirror.

    Slices, so that indices run from 0: the compiler vectorises no index that may be negative.
    """
    r0, r1, r2, r3 = W[k, start:], W[k + 1, start:], W[k + 2, start:], W[k + 3, start:]
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    for j in range(mirror.size):
        y = mirror[j]
        s0 += r0[j] * y
        s1 += r1[j] * y
        s2 += r2[j] * y
        s3 += r3[j] * y
    s0, s1, s2, s3 = twice * s0, twice * s1, twice * s2, twice * s3
    for j in range(mirror.size):
        y = mirror[j]
        r0[j] -= s0 * y
        r1[j] -= s1 * y
        r2[j] -= s2 * y
        r3[j] -= s3 * y


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def compress(W, P, m, work):  # type: ignore[no-untyped-def]
    """Replace the columns U of the first m rows from P on by [L | 0] with the same U Uᵀ.

    Householder reflections from the right.  W has rows to spare up to a multiple of four.
    """
    width = W.shape[1]
    for i in range(min(m, width - P - 1)):
        row, mirror = W[i, P + i :], work[P + i :]
        square = 0.0
        for j in range(1, mirror.size):
            mirror[j] = row[j]
            square += row[j] * row[j]
            row[j] = 0.0
        if square == 0.0:
            continue
        norm = math.sqrt(row[0] * row[0] + square)
        head = -norm if row[0] > 0 else norm
        mirror[0] = row[0] - head
        row[0] = head
        twice = 2 / (mirror[0] * mirror[0] + square)
        for k in range(i + 1, m, 4):
            reflect(W, k, P + i, mirror, twice)


# Steps of online SGD on rows of any width.  Students are the rows of V, samples the rows of X, both in orthonormal
# coordinates whose first P axes are the teacher's; the direct sampler uses all d of them, the reduced one P + m and a
# few more.


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def at(terms, u):  # type: ignore[no-untyped-def]
    """σ or σ' at u from its ``scalar.terms``, by Clenshaw."""
    coefficients, one, two = terms
    later, current = 0.0, 0.0
    for j in range(len(coefficients)):
        k = len(coefficients) - 1 - j
        later, current = current, coefficients[k] + u * one[k] * current - two[k] * later
    return current


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def single(V, n, c, b, old, X, etas, noise, a, sigma, slope_of):  # type: ignore[no-untyped-def]
    """One step of a sample for every row of X.

    One pass over V a sample: it applies the update of the sample before while it takes the inner products with the new
    one, v_k ← v_k + (c_k v_k + b_k x_old) and v_k·x_new, so the last update is always pending, in (c, b, x_old).
    Squared norms n are carried along and belong to the state.
    """
    m, width = V.shape
    dots, u, values, slopes = np.empty(m), np.empty(m), np.empty(m), np.empty(m)
    previous = old
    for t in range(X.shape[0]):
        x = X[t]
        advance_rows(V, c, b, previous, x, dots)
        delta = -noise[t]
        for p in range(a.size):
            delta -= a[p] * at(sigma, x[p])
        square = 0.0
        for j in range(width):
            square += x[j] * x[j]
        for k in range(m):
            u[k] = dots[k] / math.sqrt(n[k])
        for k in range(m):
            values[k], slopes[k] = at(sigma, u[k]), at(slope_of, u[k])
        for k in range(m):
            delta += n[k] * values[k]
        rate = etas[t] * delta
        for k in range(m):
            shrink = -rate * (2 * values[k] - slopes[k] * u[k])
            push = -rate * slopes[k] * math.sqrt(n[k])
            c[k], b[k] = shrink, push
            keep = 1 + shrink
            n[k] = keep * keep * n[k] + 2 * keep * push * dots[k] + push * push * square
        previous = x
    for j in range(width):  # a slice assignment's error message takes two seconds to compile
        old[j] = previous[j]


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def batched(V, n, X, batch, etas, noise, a, sigma, slope_of):  # type: ignore[no-untyped-def]
    """One step for every ``batch`` rows of X."""
    m, width = V.shape
    values, push = np.empty((batch, m)), np.empty((batch, m))
    for step in range(X.shape[0] // batch):
        shrink = np.zeros(m)
        for i in range(batch):
            x = X[step * batch + i]
            delta = -noise[step * batch + i]
            for p in range(a.size):
                delta -= a[p] * at(sigma, x[p])
            for k in range(m):
                row, dot = V[k], 0.0
                for j in range(width):
                    dot += row[j] * x[j]
                u = dot / math.sqrt(n[k])
                values[i, k], slope = at(sigma, u), at(slope_of, u)
                delta += n[k] * values[i, k]
                push[i, k] = -slope * math.sqrt(n[k])
                values[i, k] = 2 * values[i, k] - slope * u
            rate = etas[step] / batch * delta
            for k in range(m):
                shrink[k] -= rate * values[i, k]
                push[i, k] *= rate
        for k in range(m):
            row, s = V[k], shrink[k]
            for j in range(width):
                row[j] += s * row[j]
            for i in range(batch):
                x, p = X[step * batch + i], push[i, k]
                for j in range(width):
                    row[j] += p * x[j]
            square = 0.0
            for j in range(width):
                square += row[j] * row[j]
            n[k] = square


@compiled(**OPTIONS)  # type: ignore[untyped-decorator]
def block(W, n, c, b, old, drawn, noise, etas, a, d, label_noise, lanes, remainders, counts, batch, sigma, slope_of):  # type: ignore[no-untyped-def]
    """Advance a ``ReducedRun`` by len(etas) steps, compressing and drawing as needed.

    ``batch`` None is 1, for which ``batched`` is not compiled.
    """
    m, width = n.size, W.shape[1]
    P, rows_held = a.size, noise.size
    X = drawn[: rows_held * width].reshape(rows_held, width)
    size = 1 if batch is None else batch
    steps = rows_held // size
    work = np.empty(width)
    done = 0
    while done < etas.size:
        if counts[0] == steps:
            apply_pending(W[:m], c, b, old)
            c[:] = 0.0
            b[:] = 0.0
            compress(W, P, m, work)
            for k in range(m):
                square = 0.0
                for j in range(width):
                    square += W[k, j] * W[k, j]
                n[k] = square
            fill(lanes, drawn)
            lengths(work[:rows_held], d - P - m, remainders)
            for i in range(rows_held):
                last = P + m + i  # normals before this column, χ in it, nothing after
                X[i, last] = work[i]
                for j in range(last + 1, width):
                    X[i, j] = 0.0
            if label_noise > 0:
                for i in range(rows_held):
                    noise[i] = label_noise * drawn[X.size + i]
            counts[0] = 0
        some = min(etas.size - done, steps - counts[0])
        rows = X[counts[0] * size : (counts[0] + some) * size]
        xi = noise[counts[0] * size : (counts[0] + some) * size]
        if batch is None:
            single(W[:m], n, c, b, old, rows, etas[done : done + some], xi, a, sigma, slope_of)
        else:
            batched(W[:m], n, rows, batch, etas[done : done + some], xi, a, sigma, slope_of)
        counts[0] += some
        done += some
    counts[1] += done
