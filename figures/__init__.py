"""Pictures of theory beside simulation: each file computes its data and draws them; ``catalogue`` keeps both apart."""

from .catalogue import NAMES, Recipe, draw, recipe
from .plots import plot
from .style import house_style

__all__ = ["NAMES", "Recipe", "draw", "house_style", "plot", "recipe"]
