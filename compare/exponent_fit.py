"""Exponents measured from curves of many abrupt steps, with intervals over seeds.

A direction of strength a_p ∝ p^{−β} is learned at T_p = τ ε_p/a_p with scatter ε_p, and the loss is
the sum of a_p² over p with T_p > t.  By Euler–Maclaurin a sum over p is an integral from ½ to P + ½, so

    E L = E_ε ∫_{q(t/ε)}^{P+½} p^{−2β} dp = A (t^{−γ} − t_end^{−γ}),    q ∝ t^{1/β},    γ = (2β − 1)/β,

with no offset in t: the ½ of "q directions are learned" cancels that of the sum, and the scatter moves
A and t_end = (E T_P^γ)^{1/γ} (1 + 1/2P)^β alone.  (Width m counts directions itself: pass m + ½.)
The slope of ln L against ln t is −γ/(1 − (t/t_end)^γ), steeper than −γ everywhere: at β = 0.8, P = 1024
a straight line through the window of ``compare.fit_window`` gives 0.92 for γ = 0.75.  The law itself is fitted by
``compare.truncated_law``, with residuals relative to x^{−γ} at the γ of the full sample.

Interval: the standard error over seeds (``compare.seed_bootstrap``) times Student's t of S − 1 is the half-width.
It knows the scatter over seeds alone, not an error in a given x_end nor steps that all seeds share: for those
see ``sensitivity``.

A curve of another form is not measured, however narrow the interval: the rms of L/law − 1 may be 5 times its standard
error over seeds (rms over points); with a control variate 5 times that and the law's own rms together, since a
staircase of few directions is not of this form by itself.

Control variates.  Most of that scatter is the random start, whose effect a law (``theory.finite_size_law``)
knows.  Given the law's curves from the same starts (S, T) and from many starts (D, T), the exponent is

    fit(measured) − fit(law, same starts) + fit(law, many starts),

of the same mean as fit(measured) whether the law is right or not, and of a scatter that is small where
it is nearly right; same and measured are resampled together, and the scatter of many is added.  Where x_end
is fitted, it is to many alone and known to the other two, which halves the scatter; of curves that lag behind
the law by a share δ throughout γ comes out too small by 0.2 δ to 0.7 δ (1.4 and 0.8 decades up to x_end/2).

Derived here; the constants were chosen on synthetic staircases, ε lognormal(0, 0.25), 20 seeds,
0.65 ≤ β ≤ 1.5: from P = 256 on the bias is at most 0.011 and 95 % intervals cover in 90–99 % of cases.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.random import SeedSequence
from numpy.typing import ArrayLike
from scipy.stats import t as student

from .._types import Array
from ..problem.cards import Card
from ..problem.checks import positive_integer, positive_number
from ..problem.seeds import generator
from .fit_window import sensitivity, used_points
from .seed_bootstrap import centre_of, standard_error, standard_error_of
from .texts import interval_text, number_text
from .truncated_law import TruncatedLaw, fit_law, straight_line

MIN_DECADES, MIN_SEEDS = 0.5, 6
MANY = 5.0  # residual over scatter: at most 1.4 in 100 draws of staircases of the law, 7 and more of others
EXACT = 1e-5  # a residual that is the search's own
MIN_POINTS = {"finite": 8, "none": 3}


@dataclass(frozen=True)
class LocalExponents:
    """Slopes d ln L/d ln x, each over the window from ``low`` to ``high`` about ``x``; all of shape (W,)."""

    x: Array
    slope: Array
    low: Array
    high: Array


@dataclass(frozen=True, repr=False)
class ExponentFit(Card):
    """The exponent of x in L ≈ amplitude · (x^exponent − end^exponent), and how well it is known.

    ``low`` and ``high`` bound it at ``level`` (NaN for one seed).  ``sensitivity`` is its largest shift when
    the window's start, its end, or both move in by a tenth of the log range; ``residual`` the rms of
    L/law − 1 in the window.  ``end`` (inf: no tail) is in units of x, ``amplitude`` in those of L x^{−exponent}.
    ``misfit`` is how many times the residual of the measured curve is what explains it: the scatter of the seeds and,
    with a control variate, the residual of the law's own curve; NaN where that is not known.
    ``verdict`` is "measured" or "inconclusive", and ``reason`` says why.
    """

    exponent: float
    low: float
    high: float
    level: float
    standard_error: float
    window: tuple[float, float]
    points: int
    seeds: int
    tail: str
    end: float
    amplitude: float
    sensitivity: float
    residual: float
    misfit: float
    verdict: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form; inf and NaN are left for the caller to write as null."""
        return asdict(self) | {"window": list(self.window)}

    def __str__(self) -> str:
        return "\n".join(
            [
                f"exponent {number_text(self.exponent, '.4f')}  {interval_text((self.low, self.high), '.4f')}  "
                f"({self.level:.0%}, {self.seeds} seeds)",
                f"  window {interval_text(self.window, '.4g')}, {self.points} points; moving its ends shifts the "
                f"exponent by up to {number_text(self.sensitivity, '.2g')}",
                f"  tail {self.tail}, end {number_text(self.end, '.4g')}, amplitude "
                f"{number_text(self.amplitude, '.4g')}, residual {number_text(self.residual, '.2g')}",
                f"  {self.verdict}: {self.reason}",
            ]
        )


def local_exponents(x: ArrayLike, loss: ArrayLike, *, window_decades: float = 0.5) -> LocalExponents:
    """Least-squares slopes of ln L against ln x in every window of the given length that the grid holds.

    Parameters
    ----------
    x, loss
        Increasing positive resource and positive loss, both (T,).
    window_decades
        Length of a window in decades of x.

    Raises
    ------
    ValueError
        Bad shapes or signs, or no window with three points.
    """
    x_, loss_ = _resource(x), np.asarray(loss, dtype=float)
    if loss_.shape != x_.shape or not ((loss_ > 0) & np.isfinite(loss_)).all():
        raise ValueError(f"`loss` must be {x_.size} positive numbers, one for each x, but has shape {loss_.shape}")
    log_x, length = np.log(x_), positive_number("window_decades", window_decades) * np.log(10)
    slopes, low, high = [], [], []
    for i in range(x_.size):
        j = int(np.searchsorted(log_x, log_x[i] + length * (1 + 1e-9), side="right"))
        if log_x[-1] < log_x[i] + length * (1 - 1e-9):
            break
        if j - i >= 3:
            slopes.append(-straight_line(x_[i:j], loss_[None, i:j]).gamma[0])
            low.append(x_[i])
            high.append(x_[j - 1])
    if not slopes:
        raise ValueError(f"no window of {window_decades:g} decades holds three points of `x`")
    return LocalExponents(np.sqrt(np.multiply(low, high)), np.array(slopes), np.array(low), np.array(high))


def fit_exponent(
    x: ArrayLike,
    losses: ArrayLike,
    *,
    tail: str = "finite",
    end: float | None = None,
    window: tuple[float, float] | None = None,
    centre: str = "mean",
    control: tuple[ArrayLike, ArrayLike] | None = None,
    resampled: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    resolution: float = 0.2,
    seed: int | SeedSequence = 0,
) -> ExponentFit:
    """Exponent of x in the law of a loss, or of any power law, from one curve a seed.

    Parameters
    ----------
    x
        Resource (T,), positive and increasing, in any unit: flow time, steps, samples, width + ½, dimension.
    losses
        Reducible losses (S, T) or (T,) for one seed; or transition times and the like with ``tail="none"``.
    tail
        "finite": A (x^{−γ} − x_end^{−γ}); "none": A x^{−γ}, of either sign, by a line in ln–ln.
    end
        x_end where it is known (between median and mean of the last transition's time); fitted, possibly
        inf, where None.
    window
        Smallest and largest x used; by the rules above where None.
    centre
        "mean" over seeds, or "median", which takes inf (never reached) as later than everything.
    control
        Curves of a law from the same starts, (S, T), and from many starts, (D, T), to take the scatter of the
        starts out; D = 1 is a law known exactly.  Window, end, amplitude, residual and sensitivity are then those
        of the many.
    resampled
        Centres of resamples of the seeds, (B, T), where ``losses`` are read at settings that the seeds have chosen,
        each half of them for the other (``compare.step_sweep.resampled``); not together with ``control``.  Below
        four seeds, whose halves have no scatter, the rows are resampled.
    resolution
        Widest interval, and largest sensitivity, that still counts as measured.

    Raises
    ------
    ValueError
        Bad shapes, signs or options; inf under ``centre="mean"``.
    """
    x_ = _resource(x)
    _check_options(tail, end, window, centre)
    table = _curves("losses", losses, x_, centre)
    tables = [table]  # measured, and the law from the same starts
    many = table
    if control is not None:
        same, many = (_curves("control", part, x_, centre) for part in control)
        if len(same) != len(table):
            raise ValueError(f"`control` must hold a row for each of {len(table)} seeds first, but has {len(same)}")
        tables.append(same)
    centres = None if resampled is None else _curves("resampled", resampled, x_, "median")
    if centres is not None and control is not None:
        raise ValueError("`resampled` and `control` exclude each other")
    if positive_number("level", level) >= 1:
        raise ValueError(f"`level` must be below 1, but is {level!r}")
    positive_number("resolution", resolution)
    if positive_integer("resamples", resamples) < 100:
        raise ValueError(f"`resamples` must be at least 100, but is {resamples}")
    stream = generator(seed)

    middle = centre_of(many, centre)
    used = used_points(x_, middle, tail, end, window)
    if tail == "none" and not all((part[:, used] > 0).all() for part in [*tables, many]):
        raise ValueError('`losses` must be positive in the window of tail="none"')
    points, seeds = int(used.sum()), len(table)
    nan = float("nan")
    if points < 3 or not (middle[used] > 0).any():
        return ExponentFit(
            exponent=nan, low=nan, high=nan, level=level, standard_error=nan, window=window or (nan, nan),
            points=points, seeds=seeds, tail=tail, end=nan, amplitude=nan, sensitivity=nan, residual=nan, misfit=nan,
            verdict="inconclusive", reason=f"the window holds {points} points, and no falling loss to fit",
        )  # fmt: skip
    x_, many, middle = x_[used], many[:, used], middle[used]
    tables = [part[:, used] for part in tables]
    law = fit_law(x_, middle[None], tail, end)
    gamma, amplitude, end_ = float(law.gamma[0]), float(law.amplitude[0]), float(law.end[0])
    moved = sensitivity(x_, middle, tail, end, gamma)
    shift, error, known, unsettled = 0.0, nan, end, bool(law.failed[0])
    if control is not None:
        known = end_ if tail == "finite" and np.isfinite(end_) else end
        ours, same_law = (fit_law(x_, centre_of(part, centre)[None], tail, known, gamma) for part in tables)
        shift = float(ours.gamma[0] - same_law.gamma[0])
        unsettled |= bool(ours.failed[0] | same_law.failed[0])
    if centres is not None and seeds > 3:
        error = standard_error_of(x_, centres[:, used], tail, known, gamma, seeds // 2)
    elif seeds > 1:
        error = standard_error(x_, tables, tail, known, gamma, centre, resamples, stream)
    if len(many) > 1 and control is not None:
        error = float(np.hypot(error, standard_error(x_, [many], tail, end, gamma, centre, 200, stream)))
    half = float(student.ppf(0.5 + level / 2, max(seeds - 1, 1))) * error
    decades = float(np.log10(x_[-1] / x_[0]))
    residual, explained = _residual(middle, law, x_), _scatter(tables[0], _values(law, x_))
    own = residual
    if control is not None:
        own = _residual(centre_of(tables[0], centre), ours, x_)
        expected = _residual(centre_of(tables[1], centre), same_law, x_)
        explained = float(np.hypot(_scatter(tables[0], _values(ours, x_)), expected))
    misfit = own / max(explained, EXACT / MANY)
    doubts = [
        (points < MIN_POINTS[tail], f"the window holds {points} points, fewer than {MIN_POINTS[tail]}"),
        (decades < MIN_DECADES, f"the window spans {decades:.2g} decades, less than {MIN_DECADES:g}"),
        (seeds < MIN_SEEDS, f"an interval over seeds needs {MIN_SEEDS} of them, but there are {seeds}"),
        (unsettled, "the search for the exponent did not settle"),
        (np.isnan(error), "more than 1 % of the resamples of the seeds have no fit"),
        (2 * half > resolution, f"the interval is {2 * half:.2g} wide, more than {resolution:g}"),
        (moved > resolution, f"moving the window's ends shifts the exponent by {moved:.2g}"),
        (
            misfit > MANY,
            f"the residual {own:.2g} is {misfit:.2g} times what the scatter of the seeds explains"
            f"{' beside the law' if control is not None else ''}: the curve is not of this form",
        ),
        (tail == "finite" and gamma <= half, "a logarithm or slower fits as well as a falling power"),
    ]
    doubt = next((text for true, text in doubts if true), None)
    return ExponentFit(
        exponent=nan if unsettled else -gamma - shift,
        low=-gamma - shift - half,
        high=-gamma - shift + half,
        level=level,
        standard_error=error,
        window=(float(x_[0]), float(x_[-1])),
        points=points,
        seeds=seeds,
        tail=tail,
        end=end_,
        amplitude=amplitude,
        sensitivity=moved,
        residual=residual,
        misfit=misfit,
        verdict="measured" if doubt is None else "inconclusive",
        reason=doubt or f"± {half:.2g} over {decades:.2g} decades",
    )


def _values(law: TruncatedLaw, x: Array) -> Array:
    """The fitted curve (T,)."""
    gamma, end = float(law.gamma[0]), float(law.end[0])
    return float(law.amplitude[0]) * (x**-gamma - (end**-gamma if np.isfinite(end) else 0.0))


def _residual(curve: Array, law: TruncatedLaw, x: Array) -> float:
    """Rms of curve/law − 1."""
    return float(np.sqrt(np.mean((curve / _values(law, x) - 1) ** 2)))


def _scatter(table: Array, fitted: Array) -> float:
    """Standard error of the centre of rows (S, T) relative to the law, rms over points; NaN where it is not known."""
    with np.errstate(invalid="ignore"):  # inf is what was never reached
        deviation = table.std(axis=0, ddof=1) if len(table) > 1 else np.full(len(fitted), np.nan)
    return float(np.sqrt(np.mean((deviation / fitted) ** 2) / len(table)))


def _resource(x: ArrayLike) -> Array:
    x_ = np.asarray(x, dtype=float)
    if x_.ndim != 1 or not x_.size or not (np.isfinite(x_) & (x_ > 0)).all() or not (np.diff(x_) > 0).all():
        raise ValueError("`x` must be one row of positive numbers, each larger than the one before")
    return x_


def _curves(name: str, values: ArrayLike, x: Array, centre: str) -> Array:
    """Checked rows (S, T)."""
    table = np.atleast_2d(np.asarray(values, dtype=float))
    if table.ndim != 2 or table.shape[1] != x.size or not table.size:
        raise ValueError(f"`{name}` must be of shape (S, {x.size}), one row a seed, but is {table.shape}")
    if not (table >= 0).all():
        raise ValueError(f"`{name}` must not be negative or NaN; mark what was never reached by inf")
    if centre == "mean" and not np.isfinite(table).all():
        raise ValueError(f'`{name}` hold inf, which has no mean: use centre="median"')
    return table


def _check_options(tail: str, end: float | None, window: tuple[float, float] | None, centre: str) -> None:
    if tail not in MIN_POINTS:
        raise ValueError(f'`tail` must be "finite" or "none", but is {tail!r}')
    if centre not in ("mean", "median"):
        raise ValueError(f'`centre` must be "mean" or "median", but is {centre!r}')
    if window is not None and not (len(window) == 2 and 0 < window[0] < window[1] < np.inf):
        raise ValueError(f"`window` must be two positive numbers, the smaller first, but is {window!r}")
    if end is not None:
        if tail == "none":
            raise ValueError('`end` belongs to tail="finite"')
        if positive_number("end", end) <= (window[1] if window else 0):
            raise ValueError(f"`end` must lie beyond the window, but is {end!r}")
