"""Gradient flow direction by direction, for many directions, wide students and long horizons.

A student whose norm matters has nearly become its direction, v̄_l ≈ ± v*_p: while n_l grows, |v̄_l ∓ v*_p| falls as
n_0/n_l.  So its force on the others is nearly diagonal in the teacher's basis, ``q_kl^k ≈ Σ_p (r_kp r_lp)^k``, and with
φ(s) = Σ_j w_j s^{k_j}, ``N_jp = Σ_l n_l r_lp^{k_j}``, ``ρ_jp = a_p − N_jp`` every student obeys

    dr_p/dt = Σ_j k_j w_j ρ_jp r_p^{k_j − 1} − λ r_p,     λ = Σ_jp k_j w_j ρ_jp r_p^{k_j}
    d ln n/dt = 4 Σ_jp w_j ρ_jp r_p^{k_j}

and the part outside span(V*) turns with it, du/dt = −λ u.  A student's force on itself is known without that
approximation: −n φ(1) in F and no tangential force, so for student k ρ_jp means a_p − Σ_{l≠k}.  (Derived here from
``problem.population_loss``; σ even, information exponent ≥ 4.)  Three kinds of students:

    acting    norm or speed matters: Dormand–Prince 5(4) steps, in the variables below
    dormant   looked at now and then: ``theory.dormant_students``, from the integral of ρ that the steps leave behind
    leaders   of a direction that is recovered and at rest (|F| < ``REST`` a_p, 1 − r² < ``TURNED``): the direction is
              closed, ρ = 0, and what remains of it is ``theory.learned_kernel``

A look also decides who acts: whoever would have to be looked at again within two steps, or has
``n r^{k_0} > SOURCE a_p`` with an open direction.  The cost of a step does not depend on P or m but for sums.

Steps are taken in variables that coming to rest does not make stiff.  With y = r e^Λ, Λ = ∫λ dt since the last look,
the common turn drops out: carried are ln y² of the ``FAST`` fastest overlaps and Y, the |y|² of all else, with
dY/dt = 2 |y|² λ', λ' the part of λ that is theirs: r φ'(r) e^{−k_0 Λ} ρ_0, with r half the way from the last look to
the next, and what the student does to itself along learned directions.  Then r² = y²/(Y + Σ y²) is exact at r = 1.  A
norm obeys dn/dt = n (g − C n), with g from the others and C from the student alone.  With N = n_1 exp ∫g dt, n_1 at
the beginning of a step, it is ``n = N/(E + κN)``, dE/dt = N (C − κ g), for any κ; carried are ln N and E, and κ is C/g
at the beginning, at most 1/n_1: while g is constant a leader comes to rest without any error.

What is neglected between two students is bounded as it goes (``theory.diagonal_defect``), and so is what the error of
one time does to later ones.  The loss is ½ Σ_jp w_j ρ_jp²: students that were used for nothing do not count in it,
some 1e-5 of L(0) once all is learned.  Unit: flow time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from scipy.integrate import RK45

from .._types import Array
from ..problem import events
from ..problem.problem import Problem
from .diagonal_defect import Defect
from .dormant_students import captured_step, dormant_step, grown, normalised, own_rates
from .flow_result import Flow
from .kernel_terms import kernel_terms

FAST = 16  # overlaps of an acting student that are stepped; the others are looked at
STEP_ERROR = 1.5e-4  # of a step, in ln y where r is not small, ln n and ln |y|,
NEAR = 0.02  # where students start below this r²; less where they start nearer and times are few steps long
GROWTH, TURN, SECULAR = 0.05, 0.05, 0.1  # between two looks: growth of ln r^{k−2}, Λ, and change by own terms
SMALL_OVERLAP = 1e-2  # up to which errors of overlaps are absolute
BLOW_UP = 0.35  # longest step times the relative speed of a growing overlap; longer ones are rejected for the most part
LONGEST = 25.0  # longest step times the rate of ln y, so that y² overflows between no two looks
AT_REST = 4.0  # longest step times the rate at which leaders come to rest: dormant students have ∫ρ dt of whole steps
SOURCE = 1e-5
REST = 1e-5
TURNED = 1e-5
RING = 512  # steps for which the integral of ρ is kept
REVIEW = 5  # steps between looks at acting students
NEGLIGIBLE = 1e-6  # part of a strength that is taken as constant where the time of recovery in a step is looked for
LEAVES = 2.0  # Y + Σ y² from which a student has other terms of its own than at the last look
REFRESH = 2**14  # numbers m P that are worth a step: sums over all students are made anew every m P/REFRESH steps
MAX_STEPS = 200_000
LARGEST_START = 1e-3  # n_0 over the smallest strength up to which students count as small
STAGES = [*(RK45.A[i, :i] for i in range(6)), RK45.B]  # weights of the slopes before
GRID = np.linspace(0, 1, 33)  # fractions of a step at which a passage is looked for
SMALL_BLOCK = 2**17  # numbers in a block of looks: 1 MiB, which stays in the cache


def diagonal_refusal(problem: Problem) -> str | None:
    """Why the diagonal flow does not hold; None where it does."""
    activation = problem.activation
    if activation.parity != "even":
        return "σ is not even"
    if (activation.information_exponent or 0) < 4:
        return "the information exponent is below 4"
    weakest = float(np.min(problem.a[problem.a > 0]))
    if problem.init_scale**2 > LARGEST_START * weakest:
        return f"students start with more than {LARGEST_START:g} of the smallest strength"
    return None


def diagonal_flow(
    problem: Problem, start: Array, *, t_max: float, t_min: float, wanted: Array, requested: Array, reason: str
) -> Flow:
    """Integrate from coordinates ``start`` (m, min(d, P + m)); the arguments are those of ``flow``, checked.

    ``requested`` are ascending times in (0, t_max].
    """
    started = time.perf_counter()
    state = _Diagonal(problem, start, t_max, requested)
    status = state.run(t_min, wanted)
    times, losses, strengths, alignments = zip(*state.log, strict=True)
    return Flow(
        problem=problem,
        times=np.array(times),
        loss=np.array(losses),
        strengths=np.array(strengths),
        alignments=np.array(alignments),
        alignment=state.first[0],
        recovery=state.first[1],
        n=np.exp(state.log_n),
        directions=state.directions(),
        status=status,
        method="diagonal",
        reason=reason,
        bound=np.where(np.isfinite(state.first[0]), state.defect.bound, np.nan),
        rtol=state.step_error,
        evaluations=state.evaluations,
        wall_time=time.perf_counter() - started,
    )


class _Diagonal:
    """State of all students, each at its last look, and of the acting ones now."""

    def __init__(self, problem: Problem, start: Array, t_max: float, requested: Array) -> None:
        m, P = problem.m, problem.P
        self.problem, self.a, self.t_max, self.requested = problem, problem.a, t_max, requested
        self.terms = kernel_terms(problem.activation)
        self.k, self.w = self.terms.degrees, self.terms.weights
        self.kw = self.k * self.w
        self.t, self.steps, self.evaluations = 0.0, 0, 0
        self.step_error = STEP_ERROR * min(1.0, NEAR / max(float(np.max(start[:, :P] ** 2)), 1e-300))
        self.h = 0.3 / (self.terms.slope_at_one * float(self.a.max()))
        self.taken = self.h
        # all students, at their last look
        self.overlaps = np.ascontiguousarray(start[:, :P])
        self.beside = start[:, P:]  # u up to its length
        self.outside = np.sum(self.beside**2, axis=1)
        self.beside_norm = np.sqrt(np.maximum(self.outside, 1e-300))
        self.log_n = np.full(m, 2 * np.log(problem.init_scale))
        self.seen, self.seen_at = np.zeros(m, dtype=int), np.zeros(m)
        self.due, self.patience = np.zeros(m), np.zeros(m)
        self.acts, self.leads = np.zeros(m, dtype=bool), np.zeros(m, dtype=bool)
        # directions
        self.learnable = self.a > 0
        self.open = self.learnable.copy()
        self.source = np.where(self.open, 1 / np.where(self.open, self.a, 1.0), 0.0)
        self.rho = self.a * np.ones((len(self.k), 1))
        self.impulse = np.zeros_like(self.rho)  # ∫ρ dt
        self.ring = np.zeros((RING, *self.rho.shape))
        self.closed_loss = 0.0
        # acting students: who, which overlaps, (ln y², ln N, Y, E), r², n and Y + Σ y² now, what other overlaps add
        self.fast = min(FAST, P)
        self.who = np.zeros(0, dtype=int)
        self.columns = np.zeros((self.fast, 0), dtype=int)
        self.z, self.squares = np.zeros((self.fast + 3, 0)), np.zeros((self.fast, 0))
        self.n, self.length = np.zeros(0), np.zeros(0)
        self.slope: Array | None = None  # dz/dt now, where known
        self.slow = np.zeros((0, P))  # 2 r φ'(r) of the other open overlaps, from the last look
        self.own = np.zeros((0, 2))  # Σ g and Σ ½ r g' of learned directions
        self.defect = Defect(problem, self.terms, self.beside, self.beside_norm)
        past = events.excess(self.a, np.exp(self.log_n), self.overlaps) >= 0
        self.first = np.where(past & self.open, 0.0, np.inf)
        self.defect.bound[np.isfinite(self.first[0])] = 0.0
        self._refresh()
        self.log: list[tuple[float, float, Array, Array]] = []
        self._sort(np.arange(m))
        self._refresh()
        self._arrange()
        self._forces(self.z, np.empty_like(self.z), self.rho)
        self.rho *= self.open
        self._record(0.0, self.rho)

    # The loop

    def run(self, t_min: float, wanted: Array) -> str:
        """Integrate; the status in words."""
        for _ in range(MAX_STEPS):
            if wanted.any() and np.isfinite(self.first[1, wanted]).all() and self.t >= t_min and self.t > 0:
                break
            if self.t >= self.t_max:
                break
            if not (self._step() if self.who.size else self._wait(t_min)):
                return f"solver stopped at t = {self.t:.6g}: no step is small enough"
            self.steps += 1
            self.ring[self.steps % RING] = self.impulse
            if self.steps % self.defect.every == 0:
                self._examine()
            self._close()
            self._look_around()
            if self.steps % (1 + self.overlaps.size // REFRESH) == 0:
                self._refresh()
        else:
            return f"solver stopped at t = {self.t:.6g}: {MAX_STEPS} steps taken; lower t_max"
        done = wanted.any() and np.isfinite(self.first[1, wanted]).all()
        self._look_acting(np.arange(len(self.who)))
        self._look_dormant(np.nonzero(~self.acts & ~self.leads)[0])
        return "recovered" if done and self.t >= t_min else "horizon"

    def _wait(self, t_min: float) -> bool:
        """Nobody acts: on to the next look."""
        t = min(
            max(float(self.due.min()), self.t * (1 + 1e-12) + 1e-12), t_min if self.t < t_min else np.inf, self.t_max
        )
        for at in self.requested[(self.requested > self.t) & (self.requested < t)]:
            self._record(at, self.rho)
        self.impulse = self.impulse + (t - self.t) * self.rho
        self.t = t
        self._record(t, self.rho)
        return True

    def _step(self) -> bool:
        """One step of the acting students."""
        latest = float((self.due + 0.5 * self.patience).min()) - self.t
        rising = self.open & np.isfinite(self.first[0])
        strongest = float(self.a[rising].max(initial=0.0))
        relaxing = 4 * self.terms.at_one * strongest
        pulling = self.terms.slope_at_one * max(float(self.rho.max()), strongest)
        h = min(self.h, self.t_max - self.t, max(latest, 1e-2 * self.h))
        h = min(h, AT_REST / max(relaxing, 1e-300), LONGEST / max(pulling, 1e-300))
        shape, fast = self.z.shape, self.fast
        slopes = np.empty((7, *shape))
        flat = slopes.reshape(7, -1)
        rho = np.empty((7, *self.rho.shape))
        if self.slope is None:
            self._arrange()
            self._forces(self.z, slopes[0], rho[0])
        else:  # nothing has happened to the acting students since the last step
            slopes[0], rho[0] = self.slope, self.rho
        h = min(h, BLOW_UP / max(self._fastest(slopes[0]), 1e-300))
        growth, saturating = slopes[0][fast], self.own_growth * self.n
        self.kappa = self.own_growth / np.maximum(np.maximum(growth, saturating), 1e-300)
        start = self.z.copy()
        start[fast + 2] = 1 - self.kappa * self.n
        slopes[0][fast + 2] = saturating - self.kappa * self.n * growth
        with np.errstate(all="ignore"):  # a trial step may overflow; it is rejected
            while True:
                for i in range(1, 7):
                    new = start + ((h * STAGES[i]) @ flat[:i]).reshape(shape)
                    self._forces(new, slopes[i], rho[i])
                wrong = self._wrong(((h * RK45.E) @ flat).reshape(shape), new)
                error = float(wrong.max()) / self.step_error if self.n.min() > 0 else np.inf
                if error < 1:
                    break
                h *= max(0.2, 0.9 * error**-0.2) if np.isfinite(error) else 0.2
                if h < 1e-13 * self.t:
                    return False
        old, self.z, self.slope = self.t, new, slopes[6]
        self.t = old + h if old + h < self.t_max * (1 - 1e-15) else self.t_max
        self.h, self.taken = h * min(3.0, 0.9 * max(error, 1e-6) ** -0.2), h
        self.defect.stepped[self.who] += wrong
        dense = np.concatenate([start[None], ((h * RK45.P.T) @ flat).reshape(4, *shape)])
        rho *= self.open
        self.impulse = self.impulse + ((h * RK45.B) @ rho[:6].reshape(6, -1)).reshape(self.rho.shape)
        self.rho = rho[6]
        now = self.squares, self.length, self.n
        for t in self.requested[(self.requested > old) & (self.requested < self.t)]:
            self._forces(_polynomial(dense, (t - old) / h), np.empty(shape), rho[0])
            self._record(t, rho[0] * self.open)
        self.squares, self.length, self.n = now
        self._record(self.t, self.rho)
        self._passages(old, h, dense)
        self.z[fast], self.z[fast + 2] = np.log(self.n), 1.0
        return True

    def _wrong(self, change: Array, z: Array) -> Array:
        """A change of z, where the forces were last asked for, in ln y and r, ln n and ln |y|: root of mean square."""
        fast = self.fast
        parts = change[: fast + 2].copy()
        parts[:fast] *= self._weight()
        parts[fast] *= 1 - self.kappa * self.n
        parts[fast] -= change[fast + 2] * self.n * np.exp(-z[fast])
        parts[fast + 1] /= 2 * self.length
        return np.sqrt(np.add.reduce(parts * parts) / len(parts))  # type: ignore[no-any-return]

    def _weight(self) -> Array:
        """Change of ln r, less where r is small, for one of ln y² by one."""
        r = np.sqrt(self.squares)
        return 0.5 * r / (SMALL_OVERLAP + r)

    def _fastest(self, slope: Array) -> float:
        """Largest relative speed of a growing overlap."""
        speed = slope[: self.fast]
        turn = np.add.reduce(self.squares * speed) + slope[self.fast + 1] / self.length
        return float(((speed - turn) * self._weight()).max())

    def _arrange(self) -> None:
        """What ``_forces`` uses and a step leaves as it is."""
        learned, pull = self.own.T
        self.flat = self.columns.ravel()
        self.counted = 2 * self.kw[:, None, None] * self.open[self.columns]
        self.own_turn, self.own_growth = 2 * pull, np.maximum(4 * (self.terms.at_one - learned), 0.0)
        self.kappa = np.zeros(len(self.who))

    def _forces(self, z: Array, out: Array, rho: Array) -> None:
        """The time derivative of z into ``out``, ρ into ``rho``, not yet 0 where closed; keeps r², n and Y + Σ y²."""
        self.evaluations += 1
        fast = self.fast
        x, length, n, free = _read(z, self.kappa)
        turn, growth, pull = n * self.own_turn, out[fast], out[:fast]
        for j, power in enumerate(self.terms.each_power(x, 2)):
            force = power * x
            force *= n
            np.subtract(self.a, np.bincount(self.flat, force.ravel(), len(self.a)), out=rho[j])
            force += rho[j].take(self.columns)
            force *= self.counted[j]
            force *= power
            turning = np.add.reduce(force * x)
            if j == 0:  # the other overlaps, as in ``_enter`` but for the turn; as if all were of the first degree
                beside = self.slow @ rho[0]
                beside *= length ** (-0.5 * self.k[0])
                turn += beside
                turning += beside
                pull[:], growth[:] = force, (2 / self.k[0]) * turning
            else:
                pull += force
                growth += (2 / self.k[j]) * turning
        np.multiply(turn, length, out=out[fast + 1])
        out[fast + 2] = free * (self.own_growth - self.kappa * growth)
        self.squares, self.length, self.n = x, length, n

    # Events and record

    def _record(self, t: float, rho: Array) -> None:
        columns, squares = self.columns.ravel(), self.squares
        aligned = self.idle_alignments.copy()
        np.maximum.at(aligned, columns, squares.ravel())
        mass = self.n * squares
        strengths = self.idle_strengths + np.bincount(columns, mass.ravel(), self.problem.P)
        loss = 0.5 * float(self.w @ np.sum(rho**2, axis=1)) + self.closed_loss
        self.log.append((t, loss, strengths, aligned))

    def _passages(self, old: float, h: float, dense: Array) -> None:
        """Alignments and recoveries of this step, on its interpolant."""
        waiting = np.isinf(self.first) & self.learnable
        aligned = (self.squares >= events.ALIGNED) & waiting[0][self.columns]
        recovered = (self.log[-1][2] >= events.RECOVERED * self.a) & waiting[1]
        for e, i in zip(*np.nonzero(aligned), strict=True):
            p, k = int(self.columns[e, i]), int(self.who[i])
            t = old + h * _root(self._alignment(e, i, dense))
            if t < self.first[0, p]:
                self.first[0, p] = t
                self.defect.aligned(p, k, t)
        for p in np.nonzero(recovered)[0].tolist():
            which, who = np.nonzero(self.columns == p)
            t = self.first[1, p] = old + h * _root(self._recovery(p, which, who, dense))
            squares = self.overlaps[:, p] ** 2
            squares[self.who] /= self.length
            squares[self.who[who]] = self.squares[which, who]
            self.defect.recovered(p, t, squares)

    def _alignment(self, which: int, who: int, dense: Array) -> Callable[[Array], Array]:
        """r² of the overlap ``columns[which, who]`` beyond alignment, at fractions of this step."""
        c, kappa = np.ascontiguousarray(dense[:, :, who]), float(self.kappa[who])

        def aligned(s: Array) -> Array:
            return _read(_polynomial(c, s), kappa)[0][which] - events.ALIGNED

        return aligned

    def _recovery(self, p: int, which: Array, who: Array, dense: Array) -> Callable[[Array], Array]:
        """What is learned of direction p, ``columns[which, who]``, beyond recovery, at fractions of this step."""
        mass = self.n[who] * self.squares[which, who]
        counts = mass > NEGLIGIBLE * self.a[p]
        constant = self.idle_strengths[p] + mass[~counts].sum() - events.RECOVERED * self.a[p]
        which, who = which[counts], who[counts]
        c, kappa = np.ascontiguousarray(dense[:, :, who]), self.kappa[who, None]

        def learned(s: Array) -> Array:
            squares, _, n, _ = _read(_polynomial(c, s), kappa)
            n *= squares[which, np.arange(len(who))]
            return np.add.reduce(n) + constant

        return learned

    def _close(self) -> None:
        """Close directions that are recovered and at rest."""
        learned = np.nonzero(self.open & np.isfinite(self.first[1]))[0]
        if not learned.size:
            return
        rest = np.abs(self.w @ self.rho[:, learned]) < REST * self.terms.at_one * self.a[learned]
        for p in learned[rest]:
            e, i = np.nonzero((self.columns == p) & (self.squares > events.ALIGNED))
            if not i.size:
                continue
            leader = int(np.argmax(self.z[self.fast, i]))
            if 1 - self.squares[e[leader], i[leader]] < TURNED:
                self.closed_loss += 0.5 * float(self.w @ self.rho[:, p] ** 2)
                self.open[p], self.rho[:, p], self.source[p] = False, 0.0, 0.0
                self.slow[:, p] = 0.0
                self.leads[self.who[i[leader]]] = True
                self.due[self.who[i]] = self.t

    def _examine(self) -> None:
        """Look for what is neglected, with the acting students where they are now."""
        overlaps, outside, there = self.overlaps.astype(np.float32), self.outside.copy(), (self.who, self.columns)
        fast = np.copysign(np.sqrt(self.squares), self.overlaps[there])
        overlaps[self.who] /= np.sqrt(self.length)[:, None]
        overlaps[there] = fast
        outside[self.who] /= self.length
        self.log_n[self.who] = self.z[self.fast]
        self.defect.examine(
            self.t, overlaps, outside, self.log_n, self.rho, self.open, np.isfinite(self.first[1]), self.leads
        )

    # Looks

    def _look_around(self) -> None:
        due = self.due <= self.t
        if self.steps % REVIEW == 0:
            acting = np.arange(len(self.who))
        else:  # whoever leaves a learned direction has other terms of its own
            acting = np.nonzero(due[self.who] | ((self.length > LEAVES) & (self.own[:, 1] != 0)))[0]
        looked = self.who[acting]
        if acting.size:
            self._look_acting(acting)
        idle = ~self.acts & ~self.leads
        if (idle & due).any() or self.steps % (RING // 4) == 0:
            early = self.due - 0.5 * self.patience <= self.t  # together with those that are due soon
            dormant = np.nonzero(idle & (early | (self.seen <= self.steps - RING // 2)))[0]
            self._look_dormant(dormant)
            looked = np.concatenate([looked, dormant])
        self._sort(looked)

    @property
    def _learned(self) -> Array:
        return self.learnable & ~self.open

    def _since(self, students: Array) -> Array:
        """∫ρ dt since the last look of each, (K, J, P)."""
        return self.impulse - self.ring[self.seen[students] % RING]

    def _look_acting(self, acting: Array) -> None:
        """Write acting students into the table: fast overlaps as stepped, the others in closed form."""
        who, z = self.who[acting], self.z[:, acting]
        stepped = np.exp(z[: self.fast])
        turn, squares = 0.5 * np.log(z[self.fast + 1] + stepped.sum(axis=0)), self.overlaps[who] ** 2
        y = np.sqrt(grown(self.terms, squares, self._since(who), turn)) * np.sign(self.overlaps[who])
        there = np.arange(len(who)), self.columns[:, acting]
        y[there] = np.copysign(np.sqrt(stepped), y[there])
        weight = np.exp(z[self.fast]) * (self.t - self.seen_at[who])
        captured_step(self.terms, y, squares, weight, self._learned)
        self.overlaps[who], self.outside[who], square = normalised(y, self.outside[who])
        self.defect.stepped[who] += np.abs(0.5 * np.log(square) - turn)
        self.log_n[who] = z[self.fast]
        self.seen[who], self.seen_at[who] = self.steps, self.t

    def _look_dormant(self, students: Array) -> None:
        block = max(1, SMALL_BLOCK // self.rho.size)
        for k in (students[i : i + block] for i in range(0, len(students), block)):
            self.overlaps[k], self.outside[k], self.log_n[k] = dormant_step(
                self.terms, self.overlaps[k], self.outside[k], self.log_n[k], self._since(k),
                self.t - self.seen_at[k], self._learned,
            )  # fmt: skip
            self.seen[k], self.seen_at[k] = self.steps, self.t

    def _sort(self, students: Array) -> None:
        """After a look: which overlaps are fast, when to look again, and who acts."""
        block = max(1, SMALL_BLOCK // self.problem.P)
        for i in range(0, len(students), block):
            self._sort_block(students[i : i + block])

    def _sort_block(self, students: Array) -> None:
        overlaps, n = self.overlaps[students], np.exp(self.log_n[students])
        squares = overlaps * overlaps
        lead = squares if self.k[0] == 4 else squares ** (self.k[0] / 2 - 1)
        speed = lead * self.rho[0]
        slow = self.kw[0] * np.einsum("kp,kp->k", speed, squares)
        fastest = np.argmax(speed, axis=1)
        x = np.maximum(squares[np.arange(len(students)), fastest], 1e-300)
        rate = (self.k[0] - 2) * self._pull(x, fastest) / x
        own, own_pull, drift = own_rates(self.terms, squares, self._learned)
        secular = n / SECULAR * drift
        fading = 4 * n / SECULAR * np.abs(self.terms.at_one - own)
        patience = 1 / np.maximum(rate / GROWTH + np.abs(slow) / TURN + secular + fading, 1e-300)
        pull = self.terms.slope_at_one * float(self.rho[0].max())
        reach = max(self.taken, 0.5 / pull if pull > 0 else 0.0)  # where all is learned nobody needs to act
        weight = n * (self.terms.at_one / self.w[0]) * np.max(lead * squares * self.source, axis=1)
        acted, leads = self.acts[students], self.leads[students]
        acts = (patience < np.where(acted, 4.0, 2.0) * reach) | (weight > np.where(acted, 0.5, 1.0) * SOURCE)
        acts &= ~leads
        self.patience[students] = np.where(leads, 0.0, patience)
        self.due[students] = np.where(leads, np.inf, self.t + patience)
        if (acted | acts).any():
            self.slope = None
        if acted.any():
            self.acts[students] = False
            kept = self.acts[self.who]
            self.who, self.slow, self.own = self.who[kept], self.slow[kept], self.own[kept]
            self.columns, self.z, self.squares = self.columns[:, kept], self.z[:, kept], self.squares[:, kept]
            self.n, self.length = self.n[kept], self.length[kept]
        for changed, sign in ((acted & ~acts, 1.0), (acts & ~acted, -1.0)):
            if changed.any():
                self.idle_strengths += sign * n[changed] @ squares[changed]
        if not acts.all():
            np.maximum(self.idle_alignments, squares[~acts].max(axis=0), out=self.idle_alignments)
        if acts.any():
            importance = np.abs(speed[acts]) + n[acts, None] * squares[acts] * lead[acts] ** 2
            self._enter(
                students[acts], overlaps[acts], importance, np.column_stack([own, own_pull])[acts], secular[acts]
            )
        self.acts[students] = acts

    def _pull(self, x: Array, columns: Array) -> Array:
        """Σ_j k_j w_j |ρ_jp| r^{k_j} at squares x of the directions ``columns``."""
        pull = np.zeros_like(x)
        for kw, rho, power in zip(self.kw, self.rho, self.terms.each_power(x), strict=True):
            pull += kw * np.abs(rho[columns]) * power
        return pull

    def _enter(self, students: Array, overlaps: Array, importance: Array, own: Array, secular: Array) -> None:
        """Students begin to act with the overlaps of largest ``importance``, or go on with others."""
        cut = self.problem.P - self.fast
        if cut:
            columns = np.argpartition(importance, cut, axis=1)[:, cut:]
        else:
            columns = np.tile(np.arange(self.fast), (len(students), 1))
        r = np.take_along_axis(overlaps, columns, axis=1)
        x = np.maximum(r * r, 1e-300)
        squares = overlaps * overlaps
        pull = self._pull(x, columns)
        left_out = (self.k[0] - 2) / GROWTH * np.min(pull / x, axis=1) if cut else np.zeros(len(students))
        self.patience[students] = 1 / np.maximum(secular, 1e-300)
        ahead = 1 / np.maximum(left_out + secular, 1e-300)
        self.due[students] = self.t + ahead
        speed = (
            sum(kw * power for kw, power in zip(self.kw, self.terms.each_power(squares, 2), strict=True)) * self.open
        )
        slow = 2 * speed * squares  # and half of what they grow until the next look
        slow *= 1 + 0.5 * self.k[0] * np.minimum(ahead, REVIEW * self.taken)[:, None] * self.rho[0] * speed
        np.put_along_axis(slow, columns, 0.0, axis=1)
        z = np.vstack([np.log(x.T), self.log_n[students], np.maximum(1 - x.sum(axis=1), 0.0), np.ones(len(students))])
        self.n = np.concatenate([self.n, np.exp(self.log_n[students])])
        self.length = np.concatenate([self.length, np.ones(len(students))])
        self.who = np.concatenate([self.who, students])
        self.columns = np.concatenate([self.columns, columns.T], axis=1)
        self.z, self.squares = np.concatenate([self.z, z], axis=1), np.concatenate([self.squares, x.T], axis=1)
        self.slow, self.own = np.concatenate([self.slow, slow]), np.concatenate([self.own, own])

    def _refresh(self) -> None:
        """Σ n r² and max r² of the students that do not act."""
        idle = ~self.acts
        squares = self.overlaps[idle] ** 2
        self.idle_strengths = np.exp(self.log_n[idle]) @ squares
        self.idle_alignments = squares.max(axis=0, initial=0.0)

    def directions(self) -> Array:
        """Unit rows in the coordinates of the start."""
        return np.hstack([self.overlaps, self.beside * (np.sqrt(self.outside) / self.beside_norm)[:, None]])


def _polynomial(c: Array, s: float | Array) -> Array:
    """The interpolant ``c``, shape (5, …), of a step at the fraction s of it; many fractions along a last axis."""
    powers = np.power.outer(s, np.arange(5)).T
    return (c.reshape(5, -1).T @ powers).reshape(c.shape[1:] + np.shape(s))  # type: ignore[no-any-return]


def _read(z: Array, kappa: Array | float) -> tuple[Array, Array, Array, Array]:
    """``r², Y + Σ y², n, N`` from ``z = (ln y², ln N, Y, E)``, along its first axis."""
    each = np.exp(z[:-2])
    squares, free = each[:-1], each[-1]
    length = np.add.reduce(squares) + z[-2]
    squares /= length
    return squares, length, free / (z[-1] + kappa * free), free


def _root(excess: Callable[[Array], Array]) -> float:
    """Fraction of the step at which ``excess`` first passes zero: twice a grid, then a straight line.

    Its start where a look between two steps has moved the student past zero, its end where rounding hides the change
    of sign there.
    """
    low, width = 0.0, 1.0
    for _ in range(2):
        values = excess(low + width * GRID)
        i = int(np.argmax(values >= 0))
        if i == 0:
            return low if values[0] >= 0 else low + width
        width /= len(GRID) - 1
        low += (i - 1) * width
    return low + width * float(values[i - 1] / (values[i - 1] - values[i]))
