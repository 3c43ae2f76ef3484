"""Who learns what: the overlaps of all students with all directions, at three times of one run.

A row is a student, a column a direction, the colour |r_kp|.  Students are sorted by greedy selection
(``theory.greedy_selection``): row p is the student that the theory gives to direction p, from the start alone, and
those that it gives to nobody are below.  So the prediction is a diagonal, and what lies off it is competition: a
student that went elsewhere, or several for one direction.  The titles count the directions that are recovered.

The run is SGD by leap at a step size so small that noise has no part.  The animation (``--format gif``) shows the same
in frames evenly spaced in ln t.

Sizes: h4, β = 1, P = 16, m = 32, d = 2048.  Run time: some ten seconds.  Command: ``emergence figures overlaps``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from .._types import Array
from ..compare.runs import quiet_step_size
from ..problem.events import RECOVERED
from ..simulate import Leap, Run
from ..theory import finite_law
from ..theory.greedy_chain import greedy_refusal
from ..theory.greedy_selection import assign
from .captions import run_facts, run_text
from .settings import problem_of
from .style import heading, house_style, page, points
from .watched_run import watch

SUMMARY = "Overlaps of all students with all directions at three times, students sorted by greedy selection"
SIZES: dict[str, dict[str, Any]] = {
    "full": {"activation": "h4", "beta": 1.0, "P": 16, "m": 32, "d": 2048, "frames": 60},
    "quick": {"activation": "h4", "beta": 1.0, "P": 6, "m": 12, "d": 512, "frames": 30},
}
SECONDS = {"full": 12.0, "quick": 4.0}


def check(sizes: dict[str, Any]) -> None:
    """Refuse what is no problem, or not learned direction by direction."""
    refusal = greedy_refusal(problem_of(sizes).activation)
    if refusal is not None:
        raise ValueError(refusal)
    if sizes["frames"] < 3:
        raise ValueError(f"`frames` must be at least 3, but is {sizes['frames']}")


def compute(sizes: dict[str, Any], seed: int) -> dict[str, Array]:
    """One run at F times.

    ``times`` (F,), the first 0; ``overlaps`` (F, m, P): |r_kp|, students sorted; ``share`` (F, P): learned strengths
    over a_p; ``stills`` (3,): frames of the start, of half of the directions recovered, and of the end; ``given`` ():
    students that greedy selection gives a direction; facts of the run.
    """
    problem = problem_of(sizes)
    recovery = np.median(finite_law(problem, draws=100, seed=seed).recovery, axis=0)
    known = recovery[np.isfinite(recovery)]
    eta = quiet_step_size(problem)
    run = Run(problem, eta, int(np.ceil(2.5 * known.max() / eta)), seed=seed, sampler=Leap())
    seen = watch(run, 0.4 * known.min(), squares=True)
    wanted = np.geomspace(0.4 * known.min(), seen.times[-1], sizes["frames"] - 1)
    frames = np.append(0, np.clip(np.searchsorted(seen.times, wanted), 0, len(seen.times) - 1))
    student = assign(problem.activation, problem.a, seen.start[:, : problem.P])
    taken = student[student >= 0]
    order = np.append(taken, np.setdiff1d(np.arange(problem.m), taken))
    share = seen.strengths[frames] / problem.a
    learned = (share >= RECOVERED).sum(axis=1)
    half = int(np.argmax(learned >= min(problem.P // 2, learned[-1])))
    return {
        "times": seen.times[frames], "overlaps": np.sqrt(seen.squares[frames][:, order]), "share": share,
        "stills": np.array([0, half, len(frames) - 1]), "given": np.array(len(taken)),
    } | run_facts(run)  # fmt: skip


def draw(data: dict[str, Array], width: str = "text") -> Figure:
    """Three heat maps, side by side but in a column."""
    with house_style(width):
        column = width == "column"
        _, m, P = data["overlaps"].shape
        ratio = float(np.clip(m / P, 0.4, 2.5))
        figure = page(width, 2.9 if column else min(0.16 + 0.27 * ratio, 0.8))
        axes = figure.subplots(*((3, 1) if column else (1, 3)), sharex=True, sharey=True)
        images = [_map(axis, data, int(frame)) for axis, frame in zip(axes, data["stills"], strict=True)]
        figure.colorbar(images[0], ax=list(axes), label=r"overlap $|r_{kp}|$", shrink=0.8, pad=0.02)
        for axis in axes if column else axes[:1]:
            axis.set_ylabel("student, sorted")
        for axis in axes[-1:] if column else axes:
            axis.set_xlabel("direction $p$")
        heading(figure, run_text(data))
    return figure


def animate(data: dict[str, Array], width: str = "text") -> FuncAnimation:
    """One heat map, frame by frame."""
    with house_style(width):
        figure = page("column", 1.25)
        axis = figure.subplots()
        image = _map(axis, data, 0)
        axis.set(xlabel="direction $p$", ylabel="student, sorted")
        figure.colorbar(image, ax=axis, label=r"overlap $|r_{kp}|$")

        def show(frame: int) -> list[AxesImage]:
            image.set_data(data["overlaps"][frame])
            axis.set_title(_title(data, frame), loc="left")
            return [image]

        return FuncAnimation(figure, show, frames=len(data["times"]))


def _title(data: dict[str, Array], frame: int) -> str:
    learned, count = int((data["share"][frame] >= RECOVERED).sum()), data["share"].shape[1]
    return f"$t={data['times'][frame]:.0f}$: {learned} of {count} recovered"


def _map(axis: Axes, data: dict[str, Array], frame: int) -> AxesImage:
    _, m, P = data["overlaps"].shape
    image = axis.imshow(
        data["overlaps"][frame], cmap="cividis", vmin=0, vmax=1, aspect="auto", interpolation="nearest",
        extent=(0.5, P + 0.5, m + 0.5, 0.5),
    )  # fmt: skip
    axis.axhline(int(data["given"]) + 0.5, color="white", linewidth=points(0.8), linestyle="--")
    axis.set_title(_title(data, frame), loc="left")
    return image
