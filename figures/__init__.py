"""Pictures of theory beside simulation: each file computes its data and draws them; ``catalogue`` keeps both apart."""

from .catalogue import NAMES, Recipe, recipe
from .plots import plot

__all__ = ["NAMES", "Recipe", "plot", "recipe"]
