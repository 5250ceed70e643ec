"""Recipes by name: which loss, which regularisers, which kind of query encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hybrid.errors import UsageError

LossName = Literal["ranking", "margin", "divergence"]


@dataclass(frozen=True)
class Recipe:
    """What a named recipe stands for.

    Attributes:
        name: as given to ``--recipe``.
        losses: parts of the loss and their weights: ``ranking`` (in-batch softmax), ``margin``
            (MarginMSE), ``divergence`` (KL to the teacher's distribution).
        document_weight, query_weight: of the FLOPS regularisers at the end of their schedule.
        queries: ``shared``, one encoder for both; ``light``, an encoder of their own; ``static``,
            a learned weight per token and no network.
        description: one line.
    """

    name: str
    losses: tuple[tuple[LossName, float], ...]
    document_weight: float
    query_weight: float
    queries: Literal["shared", "light", "static"]
    description: str

    @property
    def needs_scores(self) -> bool:
        """Whether the examples need a teacher's scores."""
        return any(name != "ranking" for name, _ in self.losses)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "splade-max",
            (("ranking", 1.0),),
            3e-3,
            5e-3,
            "shared",
            "in-batch and given negatives, no teacher (SPLADE v2, Formal et al. 2021)",
        ),
        Recipe(
            "distil-splade",
            (("margin", 1.0),),
            8e-2,
            1e-1,
            "shared",
            "MarginMSE to one teacher (DistilSPLADE-max, Formal et al. 2021)",
        ),
        Recipe(
            "ensemble-distil",
            (("divergence", 1.0), ("margin", 0.05)),
            5e-3,
            5e-3,
            "shared",
            "KL and MarginMSE to an ensemble of teachers (SPLADE++, SPLADE-v3)",
        ),
        Recipe(
            "efficient",
            (("margin", 1.0),),
            8e-2,
            3e-1,
            "light",
            "a lighter query encoder under a stronger regulariser (Lassance and Clinchant 2022)",
        ),
        Recipe(
            "doc-only",
            (("ranking", 1.0),),
            3e-3,
            0.0,
            "static",
            "documents are expanded, queries looked up (SPLADE-doc; inference-free)",
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        UsageError: there is none.

    >>> find_recipe("doc-only").queries
    'static'
    """
    if name not in RECIPES:
        raise UsageError(f"recipe {name!r} is unknown; the recipes are {', '.join(RECIPES)}")
    return RECIPES[name]


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
