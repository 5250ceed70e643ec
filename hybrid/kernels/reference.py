"""The kernels' plain NumPy and SciPy twins: slow, short, and what every fast path is held to.

One score has one definition here: the float32 sum, in ascending term order and without fused
multiply-add, of ``weight * query weight``. That is what SciPy's ``X @ q`` computes for a CSR
matrix, so a fast path is right when its bits are the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def scores(documents: csr_matrix, query: csr_matrix) -> Floats:
    """Return the score of every document, float32 (n,), for a query of shape (1, vocabulary)."""
    dense = np.asarray(query.toarray(), dtype=np.float32)[0]
    return np.asarray(documents @ dense, dtype=np.float32)


def top_k(scores: Floats, doc_nums: Ints, k: int) -> tuple[Ints, Floats]:
    """Return the k best (doc_nums, scores): score descending, then doc_num ascending.

    Only scores above zero count. The result is shorter than k where fewer exist.
    """
    hits = np.flatnonzero(scores > 0)
    best = hits[np.lexsort((doc_nums[hits], -scores[hits]))[:k]]
    return doc_nums[best].astype(np.int32), scores[best].astype(np.float32)


def search(documents: csr_matrix, queries: csr_matrix, k: int) -> tuple[Ints, Floats]:
    """Return (doc_nums, scores) of every query, both (queries, k), padded with -1 and -inf."""
    count = queries.shape[0]
    nums = np.full((count, k), -1, dtype=np.int32)
    values = np.full((count, k), -np.inf, dtype=np.float32)
    every = np.arange(documents.shape[0], dtype=np.int32)
    for row in range(count):
        best, best_scores = top_k(scores(documents, queries[row]), every, k)
        nums[row, : len(best)] = best
        values[row, : len(best)] = best_scores
    return nums, values


def quantise(documents: csr_matrix, scales: Floats) -> csr_matrix:
    """Return the documents as uint8 codes times their term's scale, float32, zero codes dropped."""
    term_scales = scales[documents.indices]
    with np.errstate(divide="ignore", invalid="ignore"):
        codes = np.where(term_scales > 0, np.rint(documents.data / term_scales), 0)
    data = np.minimum(codes, 255).astype(np.float32) * term_scales
    kept = csr_matrix(
        (data, documents.indices.copy(), documents.indptr.copy()), shape=documents.shape
    )
    kept.eliminate_zeros()
    return kept
