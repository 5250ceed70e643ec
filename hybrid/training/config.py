"""The configuration of a training run, checked once and saved beside the result."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hybrid.errors import UsageError
from hybrid.training.recipes import Recipe, find_recipe


@dataclass(frozen=True)
class TrainConfig:
    """How a sparse encoder is trained.

    Attributes:
        model: where to start: a built-in model, a folder or a hub id, with or without a SPLADE
            head; any masked language model will do.
        output: the folder of the trained model; checkpoints and the log are in it too.
        max_length: tokens after which a text is cut in training; a model that knows its own length
            keeps it for use.
        recipe: see :data:`~hybrid.training.recipes.RECIPES`.
        query_model: the query encoder of the recipe ``efficient``.
        steps: optimiser steps; 0 takes ``epochs`` instead.
        batch_size: queries of one forward pass; a step sees ``batch_size * accumulation``.
        mini_batch_size: texts of one cached pass (GradCache) for batches beyond memory; 0 is off.
        negatives: given negatives that each query brings.
        document_weight, query_weight: of the FLOPS regularisers; None keeps the recipe's.
        learning_rate: of the layers; the parts of a SpladeHead that start from idf learn faster by
            fixed factors.
        warmup: the share of the steps in which the learning rate rises.
        temperature: by which the student's scores are divided for ranking and divergence.
        pooling: ``sum`` is the first SPLADE, ``max`` all later ones; it applies to a new head.
        layers: last layers of the backbone that are trained with the head; 0 is the head alone,
            None the whole model. With 0 or 1 the layers below are run once over every text, not at
            every step, where the model is a BERT with a SpladeHead, such as builtin:splade.
        states: a folder that keeps what the layers below give, for further runs; None: the output.
        bf16: mixed precision.
        checkpoint_steps: between checkpoints, and between evaluations on held-out examples.
        held_out: examples kept for the dev nDCG@10.
    """

    model: str
    output: Path
    recipe: str = "splade-max"
    query_model: str | None = None
    steps: int = 0
    epochs: float = 1.0
    batch_size: int = 32
    accumulation: int = 1
    mini_batch_size: int = 0
    negatives: int = 4
    learning_rate: float = 2e-5
    warmup: float = 0.1
    document_weight: float | None = None
    query_weight: float | None = None
    temperature: float = 1.0
    pooling: Literal["max", "sum"] = "max"
    max_length: int = 256
    layers: int | None = None
    states: Path | None = None
    bf16: bool = False
    checkpoint_steps: int = 200
    held_out: int = 0
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        recipe = find_recipe(self.recipe)
        for name in ("batch_size", "accumulation", "checkpoint_steps", "max_length"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 1 or more")
        for name in ("steps", "mini_batch_size", "negatives", "held_out"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if self.layers is not None and self.layers < 0:
            raise UsageError(f"layers is {self.layers}; expected 0 or more")
        for name in ("document_weight", "query_weight"):
            if (getattr(self, name) or 0) < 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 0 or more")
        if not 0 <= self.warmup <= 1:
            raise UsageError(f"warmup is {self.warmup}; expected a share of the steps, 0 to 1")
        for name in ("learning_rate", "temperature", "epochs"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} is {getattr(self, name)}; expected more than 0")
        if self.pooling not in ("max", "sum"):
            raise UsageError(f"pooling is {self.pooling!r}; give max or sum")
        if recipe.queries == "light" and self.query_model is None:
            raise UsageError(
                f"the recipe {self.recipe} has a query encoder of its own; give query_model"
            )
        if recipe.queries != "light" and self.query_model is not None:
            raise UsageError(
                f"the recipe {self.recipe} takes no query_model; leave it out, or use efficient"
            )

    @property
    def settings(self) -> Recipe:
        """Return the recipe that is named."""
        return find_recipe(self.recipe)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON values."""
        paths = {
            "output": str(self.output),
            "states": None if not self.states else str(self.states),
        }
        return asdict(self) | paths
