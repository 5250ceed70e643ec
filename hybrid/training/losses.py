"""Losses composed from those of sentence-transformers, and a FLOPS loss that counts terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sentence_transformers.sparse_encoder.losses import (
    CachedSpladeLoss,
    FlopsLoss,
    SparseDistillKLDivLoss,
    SparseMarginMSELoss,
    SparseMultipleNegativesRankingLoss,
    SpladeLoss,
)
from torch import Tensor, nn

from hybrid.training.options import TrainOptions


class WeightedSum(nn.Module):
    """The weighted sum of losses over the same embeddings, for use inside ``SpladeLoss``.

    Args:
        losses: each has ``compute_loss_from_embeddings(embeddings, labels)``.
        weights: one a loss.
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.weights = tuple(weights)

    def compute_loss_from_embeddings(
        self, embeddings: list[Tensor], labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the weighted parts by name; the trainer adds them up and logs each."""
        return {
            type(loss).__name__: weight * loss.compute_loss_from_embeddings(embeddings, labels)  # type: ignore[operator]
            for loss, weight in zip(self.losses, self.weights, strict=True)
        }


class WatchedFlops(FlopsLoss):  # type: ignore[misc]
    """``FlopsLoss`` that remembers how sparse its last batch was.

    Attributes:
        counts: int64 (texts,), non-zeros of each text.
        shares: float64 (vocabulary,), the share of texts that have each term.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts = np.zeros(0, dtype=np.int64)
        self.shares = np.zeros(0)

    def compute_loss_from_embeddings(self, embeddings: Tensor) -> Tensor:
        """Return the sum over terms of the squared mean weight (Paria et al. 2020)."""
        active = embeddings.detach() != 0
        self.counts = active.sum(dim=1).cpu().numpy()
        self.shares = active.double().mean(dim=0).cpu().numpy()
        loss: Tensor = super().compute_loss_from_embeddings(embeddings)
        return loss


def splade_loss(model: Any, options: TrainOptions) -> Any:
    """Return the ``SpladeLoss`` of the recipe, with its regularisers."""
    recipe = options.settings
    made: dict[str, nn.Module] = {
        "ranking": SparseMultipleNegativesRankingLoss(model, scale=1 / options.temperature),
        "margin": SparseMarginMSELoss(model),
        "divergence": SparseDistillKLDivLoss(
            model, student_temperature=options.temperature, teacher_temperature=1.0
        ),
    }
    names = [name for name, _ in recipe.losses]
    inner = (
        made[names[0]]
        if len(names) == 1
        else WeightedSum([made[name] for name in names], [weight for _, weight in recipe.losses])
    )
    document, query = options.document_weight, options.query_weight
    document = recipe.document_weight if document is None else document
    query = recipe.query_weight if query is None else query
    weights: dict[str, Any] = {
        "document_regularizer_weight": document,
        "query_regularizer_weight": None if recipe.queries == "static" else query,
        "document_regularizer": WatchedFlops(model),
        "query_regularizer": WatchedFlops(model),
    }
    if options.mini_batch_size:
        return CachedSpladeLoss(model, inner, mini_batch_size=options.mini_batch_size, **weights)
    return SpladeLoss(model, inner, **weights)
