"""Training of sparse encoders, composed from sentence-transformers.

The public names are loaded on first use, so importing the package brings in no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hybrid.training.examples import Example as Example
    from hybrid.training.examples import read_examples as read_examples
    from hybrid.training.examples import split_examples as split_examples
    from hybrid.training.options import TrainOptions as TrainOptions
    from hybrid.training.recipes import RECIPES as RECIPES
    from hybrid.training.recipes import Recipe as Recipe
    from hybrid.training.recipes import find_recipe as find_recipe
    from hybrid.training.report import Logged as Logged
    from hybrid.training.report import Measured as Measured
    from hybrid.training.report import TrainReport as TrainReport
    from hybrid.training.trainer import last_checkpoint as last_checkpoint
    from hybrid.training.trainer import step_count as step_count
    from hybrid.training.trainer import train as train

_HOMES = {
    "RECIPES": "recipes",
    "Example": "examples",
    "Logged": "report",
    "Measured": "report",
    "Recipe": "recipes",
    "TrainOptions": "options",
    "TrainReport": "report",
    "find_recipe": "recipes",
    "last_checkpoint": "trainer",
    "read_examples": "examples",
    "split_examples": "examples",
    "step_count": "trainer",
    "train": "trainer",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hybrid.training' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hybrid.training.{_HOMES[name]}"), name)
