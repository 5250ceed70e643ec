"""Recipes by name: which loss, which regularisers, which kind of query encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
