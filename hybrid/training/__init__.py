"""Training of sparse encoders, composed from sentence-transformers.

The public names are loaded on first use, so importing the package brings in no torch.
"""

from typing import TYPE_CHECKING

from hybrid.machine.doors import door

_MODULES = {
    "examples": "Example read_examples split_examples",
    "options": "TrainOptions",
    "recipes": "RECIPES Recipe find_recipe",
    "report": "Logged Measured TrainReport",
    "trainer": "last_checkpoint step_count train",
}
__all__ = [name for names in _MODULES.values() for name in names.split()]
__getattr__ = door(__name__, _MODULES)

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
