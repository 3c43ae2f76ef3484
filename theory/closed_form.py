"""The paper's closed-form transition times: the leading order of ``theory.symbolic_law`` in numbers.

With I = k*/2 and s_0 = r_kp(0)², to leading order ṡ = 4 I c² a_p s^I blows up at

    T_p = s_0^{−(I−1)} / (4 I (I − 1) c² a_p),      c = c_{k*},  I ≥ 2,

T = 1/(8 a s_0) for I = 2, c = 1: the transition time of Ren, Nichani, Wu, Lee 2025 as second-hand summaries
state it.  A student's squared norm then grows from σ_0² to a_p by the rate 4 a_p φ(1); counting from r² = ½ this
takes

    ln(a_p/σ_0²) / (4 a_p φ(1)) + K/a_p,   K = (1/φ(1)) ∫ (φ(1)·1[r² ≥ ½] − φ(r)) dτ

for σ_0² ≪ a_p, where τ = a_p t (derived in ``theory.symbolic_law``).  Unit: flow time.
"""

from __future__ import annotations

import numpy as np

from .._types import Array
from ..problem.activation import Activation
from ..problem.events import ALIGNED
from .symbolic_law import transition_law


def closed_form_refusal(activation: Activation) -> str | None:
    """Why the paper's closed form does not apply to σ; None where it does."""
    if activation.parity != "even":
        return "the closed form needs an even activation"
    if (activation.information_exponent or 0) < 4:
        return f"the closed form needs information exponent ≥ 4, but it is {activation.information_exponent}"
    return None


def closed_form_alignment(activation: Activation, a: Array, r0: Array) -> Array:
    """Leading-order flow time to alignment; a and r_0 broadcast, r_0 = 0 or a = 0 gives inf."""
    s0 = np.asarray(r0) ** 2
    blow_up = transition_law(activation).evaluate("alignment", a=a, s0=s0)
    return np.where((s0 >= ALIGNED) & (np.asarray(a) > 0), 0.0, blow_up)


def closed_form_recovery(activation: Activation, a: Array, r0: Array, n0: float) -> Array:
    """Leading-order flow time to recovery for squared initial norm n0 ≪ a."""
    learnable = np.where(np.asarray(a) > 0, a, 1.0)
    growth = transition_law(activation).evaluate("recovery_delay", a=learnable, n0=n0)
    return closed_form_alignment(activation, a, r0) + np.maximum(growth, 0.0)
