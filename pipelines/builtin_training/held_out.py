"""Held-out pairs, ranked during training: by the head alone, beside the dense model and BM25."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from builtin_training.pairs import Pair, positives
from builtin_training.teaching import Weights, bm25_product
from hybrid.encoders.models.from_dense import DOCUMENT_TERMS, QUERY_TERMS
from hybrid.fusion.norms import normalise
from hybrid.fusion.table import CandidateTable
from hybrid.training.callbacks import ndcg
from hybrid.training.prepare import Texts
from hybrid.training.states import StoredStates, Trained, store_of

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BATCH = 32


@dataclass(frozen=True)
class HeldOut:
    """Queries of several sources, ranked against the held-out documents of all of them.

    Attributes:
        queries, documents: distinct texts.
        relevant: bool (queries, documents).
        sources: per source, the rows of its queries.
        lexical, dense: float (queries, documents), scores of BM25 over wordpieces and of the
            dense model.
    """

    queries: Texts
    documents: Texts
    relevant: NDArray[np.bool_]
    sources: Mapping[str, NDArray[np.int64]]
    lexical: NDArray[Any]
    dense: NDArray[Any]

    @classmethod
    def of(
        cls,
        pairs: Mapping[str, Sequence[Pair]],
        queries: Texts,
        documents: Texts,
        rarity: NDArray[np.float32],
        weights: Weights,
    ) -> HeldOut:
        """Return the held-out set of ``pairs`` by source."""
        asking = {text: row for row, text in enumerate(queries.texts)}
        telling = {text: row for row, text in enumerate(documents.texts)}
        relevant = np.zeros((len(asking), len(telling)), dtype=bool)
        sources = {}
        for name, of_source in pairs.items():
            answers = positives(of_source)
            sources[name] = np.array([asking[query] for query in answers], dtype=np.int64)
            for query, texts in answers.items():
                relevant[asking[query], [telling[text] for text in texts]] = True
        asked, impacts = bm25_product(queries.counts, documents.counts, rarity, weights)
        lexical = (asked @ impacts.T).toarray()
        return cls(
            queries, documents, relevant, sources, lexical, queries.vectors @ documents.vectors.T
        )

    def ndcg(self, scores: NDArray[Any]) -> dict[str, float]:
        """Return nDCG@10 by source; ``mean`` is that of the sources, unweighted."""
        found = ndcg(scores, self.relevant)
        by_source = {name: float(found[rows].mean()) for name, rows in self.sources.items()}
        return {"mean": float(np.mean(list(by_source.values())))} | by_source

    def measure(self, trained: Trained, tokenizer: Any) -> dict[str, Any]:
        """Return nDCG@10 of encoded and of looked-up queries, alone and fused, and non-zeros.

        Fused is the plain sum of scores that run from 0 to 1 in each query.

        Args:
            trained: what is measured.
            tokenizer: of the backbone.
        """
        encoded = represent(trained, self.queries, tokenizer, "query", QUERY_TERMS)
        told = represent(trained, self.documents, tokenizer, "document", DOCUMENT_TERMS)
        free = trained.free.detach().clamp(min=0).numpy()
        looked_up = self.queries.counts.copy()
        looked_up.data = np.ones_like(looked_up.data)
        looked_up = looked_up.multiply(free[None, :]).tocsr()
        figures: dict[str, Any] = {}
        for name, asked in (("splade", encoded), ("splade-doc", looked_up)):
            scores = (asked @ told.T).toarray()
            figures[name] = self.ndcg(scores)
            figures[f"{name} + dense"] = self.ndcg(summed(scores, self.dense))
            figures[f"{name} + dense + bm25"] = self.ndcg(summed(scores, self.dense, self.lexical))
        return figures | {
            "document_terms": float(np.diff(told.indptr).mean()),
            "query_terms": float(np.diff(encoded.indptr).mean()),
        }

    def baselines(self) -> dict[str, dict[str, float]]:
        """Return nDCG@10 of BM25, of the dense model and of both."""
        both = summed(self.lexical, self.dense)
        named = {"bm25": self.lexical, "dense": self.dense, "bm25 + dense": both}
        return {name: self.ndcg(scores) for name, scores in named.items()}


def represent(trained: Trained, texts: Texts, tokenizer: Any, task: str, most: int) -> csr_matrix:
    """Return CSR (texts, vocabulary) of stored ``texts``, at most ``most`` terms each."""
    import torch
    from scipy.sparse import csr_matrix, vstack

    head, layers = trained.head, trained.layers
    states = StoredStates([store_of(texts, before=bool(len(layers)))], layers, tokenizer)
    order = np.argsort(np.diff(texts.offsets), kind="stable")
    training = head.training
    head.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(order), BATCH):
            batch = [texts.texts[row] for row in order[start : start + BATCH]]
            found = head(states(states.preprocess(batch)), task=task)["sentence_embedding"]
            values, terms = found.topk(most, dim=1)
            rows = np.repeat(np.arange(len(batch)), most)
            shape = (len(batch), found.shape[1])
            part = csr_matrix((values.numpy().ravel(), (rows, terms.numpy().ravel())), shape=shape)
            part.eliminate_zeros()
            parts.append(part)
    head.train(training)
    return vstack(parts, format="csr")[np.argsort(order)]


def summed(*branches: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sum of scores that run from 0 to 1 in each row; where all are equal, 1.

    Args:
        branches: float (queries, documents), the scores of each.
    """
    queries, documents = branches[0].shape
    scores = np.stack([scores.ravel() for scores in branches]).astype(np.float64)
    table = CandidateTable(
        np.arange(queries + 1, dtype=np.int64) * documents,
        scores,
        np.ones_like(scores, dtype=bool),
        np.ones_like(scores, dtype=np.int32),
        np.zeros(len(scores)),
    )
    total: NDArray[np.float64] = normalise(table, "minmax").sum(axis=0)
    return total.reshape(queries, documents)
