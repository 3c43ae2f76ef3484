"""The paper's figures: each file computes its data from experiments, and draws them; ``catalogue`` keeps both apart."""

from .catalogue import NAMES, Recipe, recipe

__all__ = ["NAMES", "Recipe", "recipe"]
