"""The hybrid as a teacher: BM25 over wordpieces plus the dense vectors, over stored texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybrid.encoders.bm25 import term_saturation
from hybrid.training.prepare import Texts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BLOCK = 512
"""Pairs whose scores with all documents exist at one time."""
MOST_REPEATS = 2
"""A term counts at most so often in a query."""


@dataclass(frozen=True)
class Weights:
    """The weights of the teacher's sum: ``dense`` times the cosine, ``bm25`` times BM25(k1, b).

    BM25 is a share of the most that the query could have, so that a long query does not drown the
    cosine.
    """

    dense: float
    bm25: float
    k1: float
    b: float


@dataclass(frozen=True)
class Taught:
    """Pairs with hard negatives and the teacher that found them.

    Attributes:
        queries, documents: distinct texts.
        pairs: int64 (n, 2), query and document.
        negatives: int64 (n, m), the documents that the teacher ranks highest, best first, without
            those that are known to answer the query.
        rank: int64 (n,), of the pair's document among these.
        asked, impacts: CSR, BM25 as a product of queries and documents.
    """

    queries: Texts
    documents: Texts
    pairs: NDArray[np.int64]
    negatives: NDArray[np.int64]
    rank: NDArray[np.int64]
    asked: csr_matrix
    impacts: csr_matrix
    weights: Weights

    def score(self, queries: NDArray[np.int64], documents: NDArray[np.int64]) -> NDArray[Any]:
        """Return the teacher's score of each query with the document beside it, float (n,)."""
        dense = (self.queries.vectors[queries] * self.documents.vectors[documents]).sum(axis=1)
        lexical = np.asarray(self.asked[queries].multiply(self.impacts[documents]).sum(axis=1))
        summed: NDArray[Any] = self.weights.dense * dense + self.weights.bm25 * lexical.ravel()
        return summed


def bm25_product(
    queries: csr_matrix, documents: csr_matrix, rarity: NDArray[np.float32], weights: Weights
) -> tuple[csr_matrix, csr_matrix]:
    """Return queries and impacts, CSR, whose product is BM25 (Robertson and Zaragoza 2009).

    It is below 1: divided by the sum of the idf of the query, which only an endless document gets.

    Args:
        queries, documents: counts of terms.
        rarity: idf of every term.
        weights: k1 and b count.
    """
    lengths = np.asarray(documents.sum(axis=1)).ravel()
    relative = (lengths / max(lengths.mean(), 1.0)).repeat(np.diff(documents.indptr))
    impacts, asked = documents.copy(), queries.copy()
    saturated = term_saturation(documents.data, relative, k1=weights.k1, b=weights.b)
    impacts.data = (rarity[documents.indices] * saturated).astype(np.float32)
    asked.data = np.minimum(queries.data, MOST_REPEATS).astype(np.float32)
    most = np.maximum(asked @ rarity, np.finfo(np.float32).tiny)
    asked.data /= most.repeat(np.diff(asked.indptr))
    return asked, impacts


def teach(
    queries: Texts,
    documents: Texts,
    pairs: Sequence[tuple[str, str]],
    rarity: NDArray[np.float32],
    weights: Weights,
    *,
    negatives: int,
    kept: Path | None = None,
) -> Taught:
    """Return ``pairs`` with hard negatives: the documents ranked highest that are no known answers.

    Args:
        queries, documents: distinct texts, all of ``pairs`` among them.
        pairs: of texts; all of a query's documents here are known to answer it.
        rarity: idf of every term.
        weights: of the teacher.
        negatives: the number of them.
        kept: a .npz file that holds what was found, or will.
    """
    asking = {text: row for row, text in enumerate(queries.texts)}
    telling = {text: row for row, text in enumerate(documents.texts)}
    rows = np.array([(asking[q], telling[p]) for q, p in pairs], dtype=np.int64)
    asked, impacts = bm25_product(queries.counts, documents.counts, rarity, weights)
    key = np.array([negatives, *astuple(weights)])
    if kept is not None and kept.is_file():
        with np.load(kept) as saved:
            if np.array_equal(saved["pairs"], rows) and np.array_equal(saved["key"], key):
                found, rank = saved["negatives"], saved["rank"]
                return Taught(queries, documents, rows, found, rank, asked, impacts, weights)
    known: dict[int, list[int]] = {}
    for query, document in rows.tolist():
        known.setdefault(query, []).append(document)
    found = np.zeros((len(rows), negatives), dtype=np.int64)
    rank = np.zeros(len(rows), dtype=np.int64)
    transposed = impacts.T.tocsc()
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        query, own = rows[part].T
        scores = (asked[query] @ transposed).toarray() * weights.bm25
        scores += queries.vectors[query] @ documents.vectors.T * weights.dense
        best = scores[np.arange(len(own)), own].copy()
        for place, number in enumerate(query.tolist()):
            scores[place, known[number]] = -np.inf
        rank[part] = (scores > best[:, None]).sum(axis=1) + 1
        top = np.argpartition(-scores, negatives, axis=1)[:, :negatives]
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
        found[part] = np.take_along_axis(top, order, axis=1)
    if kept is not None:
        np.savez(kept, pairs=rows, key=key, negatives=found, rank=rank)
    return Taught(queries, documents, rows, found, rank, asked, impacts, weights)
