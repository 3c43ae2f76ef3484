"""What is learned, by whom: activation, teacher, student, and their initial state."""

from .activation import Activation
from .problem import Problem
from .schedule import Constant, Custom, Piecewise, PowerDecay, Schedule, parse_schedule
from .seeds import seed_stream
from .teacher import Teacher

__all__ = [
    "Activation", "Constant", "Custom", "Piecewise", "PowerDecay", "Problem", "Schedule", "Teacher", "parse_schedule",
    "seed_stream",
]  # fmt: skip
