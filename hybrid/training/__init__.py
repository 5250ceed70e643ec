"""Training of sparse encoders, composed from sentence-transformers.

The public names are loaded on first use, so importing the package brings in no torch.
"""

from __future__ import annotations

from hybrid.training.examples import Example, read_examples, split_examples
from hybrid.training.recipes import RECIPES, Recipe, TrainConfig, find_recipe
from hybrid.training.report import Logged, Measured, TrainReport
from hybrid.training.trainer import last_checkpoint, step_count, train

__all__ = [
    "RECIPES",
    "Example",
    "Logged",
    "Measured",
    "Recipe",
    "TrainConfig",
    "TrainReport",
    "find_recipe",
    "last_checkpoint",
    "read_examples",
    "split_examples",
    "step_count",
    "train",
]
