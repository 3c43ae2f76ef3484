"""What is learned, by whom: activation, teacher, student, and their initial state."""

from .activation import Activation
from .problem import Problem
from .seeds import seed_stream
from .teacher import Teacher

__all__ = ["Activation", "Problem", "Teacher", "seed_stream"]
