"""One loss for both kinds of query: encoded ones and inference-free ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers.base.losses.merged_forward import embed_columns
from sentence_transformers.sparse_encoder.losses import SpladeLoss
from torch import Tensor, nn


class BothQueriesLoss(SpladeLoss):  # type: ignore[misc]
    """``SpladeLoss`` for encoded queries and for inference-free ones, over the same documents.

    Args:
        static: gives the inference-free query from the tokens, a SparseStaticEmbedding's forward.
        static_weight: of the loss with inference-free queries.
        **kwargs: those of ``SpladeLoss``.
    """

    def __init__(self, *args: Any, static: nn.Module, static_weight: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.static, self.static_weight = static, static_weight

    def forward(
        self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the parts of the loss by name."""
        columns = list(sentence_features)
        tokens = {name: columns[0][name] for name in ("input_ids", "attention_mask")}
        query, *documents = embed_columns(self.model, columns)
        parts = dict(self.loss.compute_loss_from_embeddings([query, *documents], labels))
        free = self.static(tokens)["sentence_embedding"]
        static = self.loss.compute_loss_from_embeddings([free, *documents], labels)
        parts.update({f"static_{k}": self.static_weight * v for k, v in static.items()})
        flat = torch.cat(documents)
        parts["document_regularizer_loss"] = (
            self.document_regularizer.compute_loss_from_embeddings(flat)
            * self.document_regularizer_weight
        )
        if self.query_regularizer_weight is not None:
            parts["query_regularizer_loss"] = (
                self.query_regularizer.compute_loss_from_embeddings(query)
                * self.query_regularizer_weight
            )
        return parts
