"""How often direct SGD runs away: rare samples push a student that learns or has learned out of its valley.

*At rest.*  A student at rest near its direction (strength a, n = a, at angle θ ≪ 1) is moved by a sample, with
Y = σ'(z)², w the sample's part along the displacement and ε = η a/B, by

    θ² ← A θ² + …,      A = 1 + w² (ε² d Y² − 2 ε Y),

on top of the noise of everything else, which alone would keep it at θ_0² = η d E2/(2 a B).  Products of random factors
have power-law tails (Kesten): P(θ² > x) ∝ x^{−s} with E[A^s] = 1, however small the typical θ².  Below
the ceiling of the step size (``theory.gradient_noise``) s > 1; σ' has moments of high degree, so that s is near 1 over
a wide range of step sizes at moderate d.  One factor counts for no more than the whole way, K = x_c/θ_0², so
that A is cut there.  With λ = 2 ε φ'(1), the rate of return, a run is lost at the rate per sample

    C(d) λ K^{−s},      x_c = 0.3,   C(d) = d/600.

The exponent is derived; x_c and C are *calibrated*: 24 settings of direct SGD, σ = h_4, d = 64 … 512, step sizes of
0.7 to 0.95 of the ceiling and label noise 0.3 and 1, 400 runs of 2·10⁶ samples each, one learned student.  Over
them the rate varies by a factor of 300, and the formula expects 0.45 to 1.3 times what was lost wherever that was
5 runs or more.  Where the typical angle itself is near x_c, as for cos(2x) from degree 4 above half the ceiling, it
expects too much.

*On the way.*  While an aligned student grows from n ≪ a, its error on its own direction is (a − n) σ(z), of tails far
heavier than those of a Gaussian error of the same size: one sample of large z takes it to

    n' = n [(1 + 2 (η/B) δ σ)² + d ((η/B) δ σ')²],      δ = (a − n) σ(z),

and far aside.  It finds no way back where n' is so large that at ε = η n'/B its angle grows rather than returns: in the
mean of A, but with no factor above ρ, E min(A, ρ) > 1, since a few of them decide.  With ν = n/a, which grows at the
rate 4 φ(1) a (1 − ν), a direction costs

    C'(d) ∫ dν / [4 φ(1) (a η/B) ν (1 − ν)] · P_z(n' beyond that)

runs, a function of σ, d and η a/B alone.  ρ = 3.5 and C'(d) = (d/64)^(1/5) are *calibrated* on h_4, d = 64 … 512, step
sizes of 0.3 to 0.8 of the ceiling, by one growing student without other noise.  Below 0.1 % of the runs are lost at 0.4
of the ceiling, 0.3 to 1 % at 0.64, 2.1 to 2.8 % at 0.8; the formula is within a tenth wherever 50 or more were lost.
For h_6, d = 32 and 64, which had no part in that, it is within a factor of about 3.

Beyond d = 512 C and C' are extrapolated.  Derived here; Kesten 1973 (*Acta Math.* 131) for the tails.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.integrate import cumulative_trapezoid
from scipy.optimize import brentq

from .._types import Array
from .activation import Activation
from .hermite_coefficients import panel_rule
from .problem import Problem

LOST = 0.3  # squared angle from which a student does not return
PREFACTOR = 1 / 600  # C(d)/d
RISK = 0.1  # probability of divergence above which a run is not counted on
_STEEPEST = 60.0  # s beyond which no run is lost
_FLATTEST = 1e-3  # s below which there is no root but that at 0
_CLOSE = 1e-4  # share of s by which the last of Newton's steps, whose error is its square, moves it
_KNOTS = 9  # of ln K, where s is solved for, and of η/B under a schedule
_MAX_STRENGTHS = 6
_MISSED = 1e-4  # share of E σ'², far below what the calibration is sure of
_NARROWEST = 0.02  # panels, as in ``problem.hermite_coefficients``
DECISIVE = 3.5  # ρ
_CALIBRATED = 64  # d where C' is 1
_HIGHEST = 20.0  # ln of how far the ε of no way back may lie beyond a thousandth of the ceiling


def expected_losses(
    problem: Problem, times: Array, samples: Array, scales: Array, error: Array, learned: Array, recovery: Array
) -> Array:
    """How often a run is lost on average up to each of T times, (T,): none is with probability e^{−this}.

    Parameters
    ----------
    times, samples, scales
        Flow times, samples seen till then and η/B, (T,).
    error, learned
        As in ``divergence_rate``.
    recovery
        Flow times, (draws, P); inf where there is none.
    """
    at_rest = cumulative_trapezoid(_rates(problem, scales, error, learned), samples, initial=0)
    draw, p = np.nonzero((recovery > times[0]) & (recovery <= times[-1]))  # what starts grown does not grow
    when = np.searchsorted(times, recovery[draw, p])
    once = growing_loss(problem, scales[when] * problem.a[p])
    on_the_way = np.cumsum(np.bincount(when, once, minlength=times.size)) / len(recovery)
    return np.asarray(at_rest + on_the_way)


def growing_loss(problem: Problem, steps: Array) -> Array:
    """Probability that a student is lost while it grows in a direction, at η a/B = ``steps`` of any shape.

    Between a few values, in logarithms; below a fiftieth of the largest it is negligible beside that, and 0.
    """
    if not steps.size:
        return np.zeros(steps.shape)
    knots = np.geomspace(0.02, 1, _KNOTS) * float(steps.max())
    found = [_growing_loss(problem.activation, float(step), problem.d) for step in knots]
    logs = np.interp(np.log(np.maximum(steps, knots[0])), np.log(knots), np.log(np.maximum(found, 1e-300)))
    return np.where(steps < knots[0], 0.0, np.minimum(np.exp(logs), 1.0))


@lru_cache(maxsize=64)
def _growing_loss(activation: Activation, step: float, d: int) -> float:
    logit, z = np.linspace(-6, 6, 25)[:, None], np.linspace(-8.5, 8.5, 1701)
    grown, weights = 1 / (1 + np.exp(-logit)), np.exp(-0.5 * z**2)
    value, slope = np.nan_to_num(activation(z)), np.nan_to_num(activation.derivative(z))
    with np.errstate(over="ignore"):
        error = (1 - grown) * value
        kicked = grown * ((1 + 2 * step * error * value) ** 2 + d * (step * error * slope) ** 2)
    a_sample = ((step * kicked > _no_way_back(activation, d)) * weights).sum(axis=1) / weights.sum()
    samples = (logit[1, 0] - logit[0, 0]) / (4 * activation.second_moment * step)  # to grow by a step of the logit
    return float((d / _CALIBRATED) ** 0.2 * a_sample.sum() * samples)


@lru_cache(maxsize=32)
def _no_way_back(activation: Activation, d: int) -> float:
    """ε above which E min(A, ρ) > 1; where σ' is so tame that it never is, inf."""
    slope, weights, across = _samples(activation)

    def excess(log_step: float) -> float:
        return float(np.sum(weights * np.minimum(_gain(across, slope, np.exp(log_step), d), DECISIVE - 1)))

    low = float(np.log(2e-3 * activation.slope_second_moment / (d * np.sum(weights * slope**2))))
    steps = np.arange(low, low + _HIGHEST, 0.5)
    above = np.flatnonzero([excess(one) > 0 for one in steps])
    return float(np.exp(brentq(excess, steps[above[0]] - 0.5, steps[above[0]]))) if above.size else np.inf


def _rates(problem: Problem, scales: Array, error: Array, learned: Array) -> Array:
    """``divergence_rate`` (T,) at η/B = ``scales`` (T,): between a few of its values, in logarithms."""
    knots = np.unique(scales)
    if knots.size > _KNOTS:
        knots = np.geomspace(knots[0], knots[-1], _KNOTS)
    rates = np.stack([divergence_rate(problem, float(scale), error, learned) for scale in knots])
    if knots.size == 1:
        return np.asarray(rates[0])
    right = np.clip(np.searchsorted(knots, scales), 1, knots.size - 1)
    share = np.log(scales / knots[right - 1]) / np.log(knots[right] / knots[right - 1])
    at, logs = np.arange(scales.size), np.log(np.maximum(rates, 1e-300))
    return np.exp((1 - share) * logs[right - 1, at] + share * logs[right, at])


def divergence_rate(problem: Problem, scale: float, error: Array, learned: Array) -> Array:
    """Rate per sample at which runs are lost, shape (T,).

    Parameters
    ----------
    scale
        η/B.
    error
        Mean square error E2 without the jitter of what is learned, (T,).
    learned
        Probability that each direction is learned, (T, P).
    """
    a = problem.a
    strong = np.unique(a[a > 0.5 * a.max()])  # a weaker one returns too surely
    if strong.size > _MAX_STRENGTHS:
        strong = np.geomspace(strong[0], strong[-1], _MAX_STRENGTHS)
    rates = np.stack([_rate(problem, scale, float(one), error) for one in strong])
    nearest = np.argmin(np.abs(np.log(strong)[:, None] - np.log(np.where(a > 0, a, 1e-300))), axis=0)
    counts = np.stack([learned[:, (nearest == i) & (a > 0.5 * a.max())].sum(axis=1) for i in range(strong.size)])
    return np.asarray((rates * counts).sum(axis=0))


def _rate(problem: Problem, scale: float, a: float, error: Array) -> Array:
    sigma, d = problem.activation, problem.d
    rest = np.maximum(scale * d * error / (2 * a), 1e-300)
    log_k = np.log(np.maximum(LOST / rest, 1.0))
    knots = np.linspace(0.05, max(float(log_k.max()), 0.1), _KNOTS)
    exponents = tail_exponents(sigma, scale * a, d, np.exp(knots))
    with np.errstate(over="ignore"):
        return d * PREFACTOR * 2 * scale * a * sigma.slope_second_moment * np.exp(
            -log_k * np.interp(log_k, knots, exponents)
        )  # fmt: skip


def tail_exponents(activation: Activation, step: float, d: int, ratios: Array) -> Array:
    """The roots s > 0 of E[min(A, ratio)^s] = 1 for ε = ``step``, at most 60, one for each of ascending ``ratios``.

    The logarithm of the mean is convex in s and grows with the ratio, so that Newton's method comes down to each root
    from that of the ratio before.
    """
    slope, weights, across = _samples(activation)
    every = np.log(np.maximum(1 + _gain(across, slope, step, d), 1e-300))
    s, found = _STEEPEST, []
    for ratio in ratios:
        logs = np.minimum(every, np.log(ratio))
        change = np.inf
        while s > _FLATTEST and change > _CLOSE * s:
            power = s * logs
            np.minimum(power, 700.0, out=power)  # exp(709) is the largest double
            np.expm1(power, out=power)
            excess = float(np.einsum("wz,wz", weights, power))
            power += 1
            power *= logs
            slope_of_mean = float(np.einsum("wz,wz", weights, power))
            change = (1 + excess) * np.log1p(excess) / slope_of_mean if excess > 0 else 0.0
            s = max(s - change, _FLATTEST)
        found.append(s)
    return np.array(found)


def _gain(across: Array, slope: Array, step: float, d: int) -> Array:
    """A − 1 at every w and Y."""
    kick = across[:, None] * step * slope
    with np.errstate(over="ignore"):
        return d * kick**2 - 2 * across[:, None] * kick


@lru_cache(maxsize=8)
def _samples(activation: Activation) -> tuple[Array, Array, Array]:
    """σ'(z)², the weights (w, z), and w, to 7.5 standard deviations.

    Both rules are trapezoidal.  Where that in z misses a share of E σ'², which is known, as at a kink or a steep place
    between its points, it gives way to panels that end at the break points of σ, halved until they do not.
    """
    z, w = np.linspace(-7.5, 7.5, 401), np.linspace(0, 7.5, 101)
    along, across, width = np.exp(-0.5 * z**2), np.exp(-0.5 * w**2), 1.0
    across[0] *= 0.5
    while True:
        slope, along = np.nan_to_num(activation.derivative(z)) ** 2, along / along.sum()
        missed = abs(float(np.sum(along * slope)) / activation.slope_second_moment - 1)
        if activation.is_polynomial or missed <= _MISSED or width < _NARROWEST:
            return slope, np.multiply.outer(across / across.sum(), along), w
        z, panels = panel_rule(activation.breaks, width)
        inside = np.abs(z) <= 7.5
        z, width = z[inside], width / 2
        along = panels[inside] * np.exp(-0.5 * z**2)
