"""What is learned, by whom: activation, teacher, student, and their initial state."""

from problem.activation import Activation
from problem.problem import Problem
from problem.seeds import seed_stream
from problem.teacher import Teacher

__all__ = ["Activation", "Problem", "Teacher", "seed_stream"]
