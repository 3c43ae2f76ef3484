"""What is measured, and how: a quantity, a method, a problem, sizes and seeds.

    flow_time               loss against flow time
    samples_fixed_step      loss against samples at one step size (leap: with the noise of that step size)
    samples_best_step       loss against samples, for each the step size of least loss among those that survive
    samples_horizon_step    the same by the rule that a direction is learned below its drift-dominated step size
    width                   loss after a long time against m + ½ (the sum over unlearned p starts at m + ½)
    compute_width_time      loss against students × flow time, the width the best of the given ones
    dimension_time          flow time to alignment of the last direction against d
    dimension_samples       samples to alignment of the last direction against d, for each the best step size
    alignment               flow time to alignment of every direction that has a student
    recovery_delay          flow time from alignment to recovery of the same

Methods: ``finite_law`` (greedy selection among open directions, single-direction times with drag, no dynamics),
``sgd_law`` (first passages under gradient noise, no dynamics), ``flow`` (gradient flow of the population loss),
``leap`` and ``reduced`` (SGD).  ``compare.measurements`` measures them.

The best step size is found, not predicted: runs of one length are made at every step size of a wide list, and each
half of the seeds is read at the step size that is best for the other half.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..problem import Activation, Problem, Teacher
from ..problem.checks import nonnegative_number, positive_integer, positive_number
from ..simulate import Leap, Run
from ..theory.finite_step_law import VALID
from ..theory.greedy_chain import greedy_refusal
from ..theory.random_init import table_refusal
from .default_sizes import DEFAULTS, methods

CONSTANTS = ("alignment", "recovery_delay")
QUANTITIES = tuple(dict.fromkeys(quantity for quantity, _ in DEFAULTS))
RESOURCE = {
    "width": "widths", "compute_width_time": "widths",
    "dimension_time": "dimensions", "dimension_samples": "dimensions",
}  # fmt: skip
NOISY = ("samples_fixed_step", *CONSTANTS)  # at one step size, by SGD
BEST = ("samples_best_step", "dimension_samples")  # at the best of several
LAWS = ("finite_law", "sgd_law")  # methods without dynamics
SETTLED = (20, 500)  # directions learned: where the law at the best step size is read, past its first logarithms
MIN_SEEDS = 6  # the fewest with a 95 % interval of their median
UNSET: Any = None  # the default of the quantity and the method, ``compare.default_sizes``


@dataclass(frozen=True)
class Experiment:
    """One measurement; what is not given is the default of the quantity and the method.

    Attributes
    ----------
    quantity, method
        As in the file's docstring.
    activation, beta, P, m, d, init_scale
        The problem, σ and a_p ∝ p^{−β}; m is the default number of students a direction where not given.
    widths, dimensions, sizes
        Numbers of students (``width``, ``compute_width_time``), input dimensions (``dimension_*``); with
        ``sizes`` the exponent is measured at each of these P (m and widths in proportion) and extrapolated
        in 1/ln P to infinity, which takes out corrections by logarithms.  A P that is given has no default sizes.
    step_size
        As a fraction of the drift-dominated step size; None where noise has no part.
    step_sizes
        From which the best is chosen, ascending, as fractions of the ceiling (``theory.gradient_noise``; a batch B
        allows steps B times larger); of ``samples_best_step`` by ``sgd_law`` by default those of
        ``theory.sample_curves``.
    batch, label_noise
        Samples a step and the standard deviation of the labels, in ``samples_best_step``.
    seeds
        Independent starts.

    Raises
    ------
    ValueError
        Anything that is not usable, in one line.
    """

    quantity: str
    method: str = UNSET
    activation: str = "h4"
    beta: float = 1.0
    P: int = UNSET
    m: int = UNSET
    d: int = UNSET
    init_scale: float = 1e-3
    widths: tuple[int, ...] = UNSET
    dimensions: tuple[int, ...] = UNSET
    sizes: tuple[int, ...] = UNSET
    step_size: float | None = None
    step_sizes: tuple[float, ...] = UNSET
    batch: int = 1
    label_noise: float = 0.0
    seeds: int = UNSET
    problem: Problem = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_text("quantity")
        if self.quantity not in QUANTITIES:
            raise ValueError(f"`quantity` must be one of {', '.join(QUANTITIES)}, but is {self.quantity!r}")
        self._set("method", self.method, methods(self.quantity)[0])
        self._check_text("method")
        if self.method not in methods(self.quantity):
            known = ", ".join(methods(self.quantity))
            raise ValueError(f"{self.quantity} is measured by {known}, not by {self.method!r}")
        self._check_text("activation")
        self._complete()
        self._check_noise()
        for name in ("widths", "dimensions", "sizes"):
            self._check_list(name)
        if positive_integer("seeds", self.seeds) < MIN_SEEDS:
            raise ValueError(f"an interval over seeds needs at least {MIN_SEEDS}, but `seeds` is {self.seeds}")
        if self.sizes and (self.method != "finite_law" or len(self.sizes) < 2):
            raise ValueError("`sizes` are two or more, for finite_law")
        teacher = Teacher.power_law(self.P, self.beta)
        problem = Problem(Activation(self.activation), teacher, self.d, self.m, self.init_scale)
        refusal = greedy_refusal(problem.activation)
        if refusal is not None:
            raise ValueError(refusal)
        object.__setattr__(self, "problem", problem)
        self._check_room()
        refusal = table_refusal(self.seeds, self.P)
        if self.method not in LAWS:
            largest = replace(problem, m=max(self.widths, default=self.m), d=max(self.dimensions, default=self.d))
            refusal = refusal or largest.room_refusal(self.seeds)
        if refusal is not None:
            raise ValueError(refusal)
        if self.method in ("leap", "reduced"):  # what a run of that size would refuse, by whichever of them
            Run(largest, 1.0, self.batch, batch=self.batch, seeds=self.seeds, sampler=Leap())
        for P in self.sizes:
            self.at(P)
        if self.widths:
            replace(problem, m=self.widths[-1])
        if self.dimensions:
            replace(problem, d=self.dimensions[-1])

    def _check_text(self, name: str) -> None:
        value = getattr(self, name)
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise ValueError(f"`{name}` must be a text of one line, but is {value!r}")

    def _set(self, name: str, value: Any, default: Any) -> None:
        object.__setattr__(self, name, default if value is UNSET else value)

    def _complete(self) -> None:
        default = DEFAULTS[self.quantity, self.method]
        self._set("sizes", self.sizes, default.sizes if self.P is UNSET else ())
        for name in ("P", "d", "seeds", "dimensions", "step_sizes"):
            self._set(name, getattr(self, name), getattr(default, name))
        P = positive_integer("P", self.P)
        self._set("m", self.m, max(1, round(default.students * P)))
        self._set("widths", self.widths, tuple(sorted({max(1, round(share * P)) for share in default.widths})))

    def _check_noise(self) -> None:
        if self.quantity in NOISY and self.method in ("leap", "reduced"):
            self._set("step_size", self.step_size, DEFAULTS[self.quantity, self.method].step_size)
            positive_number("step_size", self.step_size)
        elif self.step_size is not None:
            raise ValueError(f"`step_size` has no part in {self.quantity} by {self.method}")
        self._check_step_sizes()

    def _check_step_sizes(self) -> None:
        object.__setattr__(self, "batch", positive_integer("batch", self.batch))
        object.__setattr__(self, "label_noise", nonnegative_number("label_noise", self.label_noise))
        for name, plain in (("batch", 1), ("label_noise", 0.0)):
            if getattr(self, name) != plain and self.quantity != "samples_best_step":
                raise ValueError(f"`{name}` has no part in {self.quantity}")
        if not isinstance(self.step_sizes, tuple):
            raise ValueError(f"`step_sizes` must be a list of numbers, but is {self.step_sizes!r}")
        object.__setattr__(self, "step_sizes", tuple(positive_number("step_sizes", one) for one in self.step_sizes))
        if self.step_sizes and self.quantity not in BEST:
            raise ValueError(f"`step_sizes` have no part in {self.quantity}")
        own = self._law_at_best and not self.step_sizes  # the law has a lattice of its own
        if self.quantity in BEST and len(self.step_sizes) < 2 and not own:
            raise ValueError(f"the best step size of {self.quantity} is one of at least two `step_sizes`")
        if list(self.step_sizes) != sorted(set(self.step_sizes)) or max(self.step_sizes, default=0) > VALID:
            raise ValueError(f"`step_sizes` must ascend up to {VALID}, but are {list(self.step_sizes)}")

    def _check_list(self, name: str) -> None:
        values = getattr(self, name)
        if not isinstance(values, tuple):
            raise ValueError(f"`{name}` must be a list of whole numbers, but is {values!r}")
        values = tuple(positive_integer(name, value) for value in values)
        if list(values) != sorted(set(values)):
            raise ValueError(f"`{name}` must ascend, but are {list(values)}")
        resource = RESOURCE.get(self.quantity)
        if values and name != resource and name != "sizes":
            raise ValueError(f"`{name}` have no part in {self.quantity}")
        if name == resource and len(values) < 3:
            raise ValueError(f"{self.quantity} needs at least three `{resource}`")
        object.__setattr__(self, name, values)

    def _check_room(self) -> None:
        if min(self.dimensions, default=self.d) < self.P:
            raise ValueError(f"`dimensions` must be at least P = {self.P}, but are {list(self.dimensions)}")
        if self.quantity == "width" and self.widths[0] + 0.5 >= self.P / 2:
            raise ValueError(f"the law in the width holds below P/2 = {self.P / 2:g}, but no `widths` are there")
        (first, last), fewest = SETTLED, 4 * SETTLED[1]
        if self._law_at_best and fewest > self.P:
            raise ValueError(
                f"the law is read from {first} to {last} directions, so `P` must be at least {fewest}, but is {self.P}"
            )
        if self.quantity == "samples_best_step" and self.P < 4:
            raise ValueError(
                f"the curve is read from the first to the middle direction, so `P` must be at least 4, but is {self.P}"
            )
        if self.quantity == "samples_horizon_step" and self.m < self.P:
            raise ValueError(f"every direction needs a student, so `m` must be at least P = {self.P}")

    @property
    def _law_at_best(self) -> bool:
        return (self.quantity, self.method) == ("samples_best_step", "sgd_law")

    @property
    def kind(self) -> str:
        """``"exponent"`` or ``"constant"``."""
        return "constant" if self.quantity in CONSTANTS else "exponent"

    @property
    def noise(self) -> float:
        """``step_size``; 0 where noise has no part."""
        return self.step_size or 0.0

    def at(self, P: int) -> Experiment:
        """The experiment at P directions, students and widths in proportion."""
        share = P / self.P
        widths = tuple(sorted({max(1, round(m * share)) for m in self.widths}))
        return replace(self, P=P, m=max(1, round(self.m * share)), widths=widths, sizes=())

    def settings(self) -> dict[str, Any]:
        """Every field, JSON-ready."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}
