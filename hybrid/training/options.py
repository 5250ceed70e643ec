"""Options of a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from hybrid.errors import UsageError
from hybrid.machine.options import option
from hybrid.training.recipes import HYBRID, Recipe, find_recipe, parse_teacher

MODEL = partial(option, rich_help_panel="Model")
SUPERVISION = "Negatives and teachers"
TEACH = partial(option, rich_help_panel=SUPERVISION)
LOSS = partial(option, rich_help_panel="Loss")
OPTIMISER = partial(option, rich_help_panel="Optimiser")
RUN = partial(option, rich_help_panel="Run")


@dataclass(frozen=True)
class TrainOptions:
    """How a sparse encoder is trained.

    Attributes:
        model: with or without a SPLADE head; any masked language model will do.
        recipe: see :data:`~hybrid.training.recipes.RECIPES`.
        mine: an index over the passages; its branches are the hybrid teacher too.
        teachers: see :func:`~hybrid.training.recipes.parse_teacher`; the scores of several are
            added up.
        max_length: in training; a model that knows its own length keeps it for use.
        batch_size: a step sees ``batch_size * accumulation``.
        mini_batch_size: GradCache.
        learning_rate: of the layers; the parts of a SpladeHead that start from idf learn faster by
            fixed factors.
        pooling: ``sum`` is the first SPLADE, ``max`` all later ones; it applies to a new head.
        layers: 0 is the head alone, None the whole model. With 0 or 1 the layers below are run
            once over every text, not at every step, where the model is a BERT with a SpladeHead,
            such as builtin:splade.
        report_to: names of transformers' own reporting callbacks; each tracker is to be installed.
        states: a folder that keeps the output of the layers below, for further runs; None is one
            in the output.
    """

    model: str = MODEL(
        "builtin:splade", "where to start: built-in, a folder or a hub id", flags=("--from",)
    )
    split: str = option("train", "which judged queries of a collection")
    recipe: str = MODEL(
        "splade-max", "splade-max, distil-splade, ensemble-distil, efficient or doc-only"
    )
    query_model: str | None = MODEL(None, "the query encoder of the recipe efficient")
    pooling: Literal["max", "sum"] = MODEL("max", "of a model without a SPLADE head; sum is v1")
    max_length: int = MODEL(256, "tokens a text")
    layers: int | None = MODEL(
        None, "train the head and so many last layers; 0 is quick; default: the whole model"
    )
    mine: Path | None = option(
        None,
        "mine hard negatives from this index",
        metavar="INDEX",
        rich_help_panel=SUPERVISION,
    )
    mine_fusion: str | None = TEACH(
        None,
        "what ranks them: bm25, dense, sparse, rrf(k=60); default: the index's own",
        metavar="FUSION",
    )
    mine_count: int = TEACH(8, "negatives mined a query")
    mine_skip: int = TEACH(0, "first ranks left out, where positives hide")
    teachers: tuple[str, ...] = TEACH(
        (),
        "dense[:MODEL], hybrid[:bm25=.25,dense=6.67] or a cross-encoder; again for more",
        flags=("--teacher",),
        metavar="[W*]TEACHER",
    )
    cache: Path | None = option(
        None,
        "folder that keeps negatives and scores; default: in the output",
        rich_help_panel=SUPERVISION,
    )
    negatives: int = LOSS(4, "negatives that a query brings to a step")
    temperature: float = LOSS(1.0, "divides the scores for ranking and KL")
    document_weight: float | None = LOSS(
        None, "FLOPS regulariser of documents; default: the recipe's"
    )
    query_weight: float | None = LOSS(None, "FLOPS regulariser of queries; default: the recipe's")
    steps: int = OPTIMISER(0, "optimiser steps; 0 takes the epochs")
    epochs: float = OPTIMISER(1.0, "passes over the examples")
    batch_size: int = OPTIMISER(32, "queries of one forward pass")
    accumulation: int = OPTIMISER(1, "forward passes of one step")
    mini_batch_size: int = OPTIMISER(
        0, "texts of one cached pass, for batches beyond memory; 0 is off"
    )
    learning_rate: float = OPTIMISER(2e-5, "greatest learning rate")
    warmup: float = OPTIMISER(0.1, "share of the steps in which it rises")
    bf16: bool = OPTIMISER(False, "mixed precision")
    held_out: int = RUN(0, "examples kept for the dev nDCG@10")
    checkpoint_steps: int = RUN(200, "steps between checkpoints, and between dev figures")
    device: str | None = RUN(None, "cpu, cuda; default: what is there")
    seed: int = RUN(0, "of order and sampling")
    report_to: tuple[str, ...] = RUN(
        (), "tracker to tell: tensorboard, wandb, mlflow, ...; again for more", metavar="NAME"
    )
    states: Path | None = None

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
        if self.mine is None and any(parse_teacher(t).kind == HYBRID for t in self.teachers):
            raise UsageError("the hybrid teacher scores with an index; give one to mine from")

    @property
    def settings(self) -> Recipe:
        """Return the recipe that is named."""
        return find_recipe(self.recipe)

    def to_dict(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }
