"""Recipes and teachers by name: losses, regularisers, kind of query encoder, source of scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hybrid.errors import UsageError

LossName = Literal["ranking", "margin", "divergence"]
DENSE, HYBRID = "dense", "hybrid"


@dataclass(frozen=True)
class Recipe:
    """Loss, regularisers and query encoder of a named recipe.

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
class TeacherSpec:
    """A teacher as it is written: ``weight * kind:name``."""

    weight: float
    kind: str
    name: str

    def branch_weights(self) -> dict[str, float] | None:
        """Return the weights of a hybrid teacher's branches, None for the default."""
        if not self.name:
            return None
        pairs = [part.partition("=") for part in self.name.split(",")]
        try:
            return {branch.strip(): float(weight) for branch, _, weight in pairs}
        except ValueError:
            raise UsageError(
                f"the teacher hybrid:{self.name} does not parse; expected weights by branch, such "
                "as hybrid:bm25=0.25,dense=6.67"
            ) from None


def parse_teacher(text: str) -> TeacherSpec:
    """Return the teacher that ``text`` names.

    ``dense`` or ``dense:MODEL``, ``hybrid`` or ``hybrid:bm25=0.25,dense=6.67``, else a
    cross-encoder's hub id or folder; before it ``W*``, by which its scores are multiplied.

    Raises:
        UsageError: a weight that is no number, or nothing after it.

    >>> parse_teacher("0.5*dense:builtin:minilm")
    TeacherSpec(weight=0.5, kind='dense', name='builtin:minilm')
    >>> parse_teacher("cross-encoder/ms-marco-MiniLM-L6-v2").kind
    'cross-encoder'
    """
    head, star, rest = text.partition("*")
    try:
        weight, spec = (float(head), rest) if star else (1.0, text)
    except ValueError:
        weight, spec = float("nan"), ""
    if not spec.strip():
        raise UsageError(f"the teacher {text!r} does not parse; expected such as 0.5*dense, hybrid")
    kind, _, name = spec.strip().partition(":")
    if kind in (DENSE, HYBRID):
        return TeacherSpec(weight, kind, name)
    return TeacherSpec(weight, "cross-encoder", spec.strip())
