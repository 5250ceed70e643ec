"""The kernels' plain NumPy and SciPy twins: slow, short, and what every fast path is held to.

One score has one definition here: the float32 sum, in ascending term order and without fused
multiply-add, of ``weight * query weight``. That is what SciPy's ``X @ q`` computes for a CSR
matrix, so a fast path is right when its bits are the same.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.kernels.sparse.layout import RANGE, TILE, Postings

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

CANONICAL = 0
NOT_CANONICAL = 1
BAD_WEIGHT = 2


def inspect(indptr: NDArray[np.generic], terms: NDArray[np.generic], weights: Floats) -> int:
    """Return the state of a CSR matrix.

    CANONICAL: terms ascend strictly and weights are above zero. NOT_CANONICAL: a term is out of
    order or repeated, or a weight is zero. BAD_WEIGHT: one is negative or not finite.
    """
    if not np.all((weights >= 0) & (weights < np.inf)):
        return BAD_WEIGHT
    falls = np.diff(np.asarray(terms, dtype=np.int64)) <= 0
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    falls &= rows[1:] == rows[:-1]
    if falls.any() or not weights.all() or (len(terms) and terms.min() < 0):
        return NOT_CANONICAL
    return CANONICAL


def scores(documents: csr_matrix, query: csr_matrix) -> Floats:
    """Return the score of every document, float32 (n,), for a query of shape (1, vocabulary)."""
    dense = np.asarray(query.toarray(), dtype=np.float32)[0]
    return np.asarray(documents @ dense, dtype=np.float32)


def scores_by_place(postings: Postings, terms: Ints, weights: Floats) -> Floats:
    """Return the score of the document at every place, float32 (n,), for a query's terms."""
    documents = len(postings.order)
    out = np.zeros(-(-documents // TILE) * TILE, dtype=np.float32)
    for term, weight in zip(terms.tolist(), weights, strict=True):
        start, end = postings.spans[term].tolist()
        cuts = [start, *(start + cut for cut in postings.cuts[term].tolist()), end]
        for part, (low, high) in enumerate(pairwise(cuts)):
            if postings.heads[term] >= 0:
                entries = postings.head_stream[low:high]
                places: NDArray[np.integer] = np.cumsum((entries & 255) + 1, dtype=np.int64) - 1
                values = (entries >> 8).astype(np.float32)
            else:
                places = postings.tail_places[low:high]
                values = postings.tail_codes[low:high].astype(np.float32)
            # A term has each place once, so nothing is lost in this sum.
            out[part * RANGE :][places] += values * postings.scales[term] * weight
    return out[:documents]


def score_places(
    postings: Postings, terms: Ints, weights: Floats, places: Ints, out: Floats
) -> None:
    """Fill ``out`` with the scores of the documents at ``places``."""
    out[:] = scores_by_place(postings, terms, weights)[places]


def top_k(scores: Floats, doc_nums: Ints, k: int) -> tuple[Ints, Floats]:
    """Return the k best (doc_nums, scores): score descending, then doc_num ascending.

    Only scores above zero count. The result is shorter than k where fewer exist.
    """
    hits = np.flatnonzero(scores > 0)
    if len(hits) > k:
        hits = hits[scores[hits] >= np.partition(scores[hits], -k)[-k]]
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


def block_bounds(
    codes: csr_matrix, scales: Floats, query: csr_matrix, heads: NDArray[np.bool_], block: int
) -> tuple[NDArray[np.int64], float]:
    """Return an upper bound of each block's scores, in counts, and the score that one count is.

    ``codes`` are the stored weights of consecutive documents. A bound is the sum over terms of the
    largest product in the block (Ding and Suel, SIGIR 2011), each rounded up to a count; a head's
    largest code is first rounded up to a multiple of 17, another term's factor to one of 1/4096.
    """
    blocks = -(-codes.shape[0] // block)
    columns = codes.tocsc()
    factors = scales[query.indices].astype(np.float64) * query.data.astype(np.float64)
    unit = sum(255 * factor for factor in factors) / (65535 - 16 * len(factors))
    bounds = np.zeros(blocks, dtype=np.int64)
    for term, factor in zip(query.indices, factors / unit, strict=True):
        padded = np.zeros(blocks * block)
        padded[: codes.shape[0]] = columns[:, [term]].toarray()[:, 0]
        largest = padded.reshape(blocks, block).max(axis=1)
        if heads[term]:
            counts = np.ceil(largest / 17) * np.ceil(17 * factor)
        else:
            counts = np.ceil(largest * np.ceil(4096 * factor) / 4096)
        bounds += counts.astype(np.int64)
    return bounds, unit


def sketch(row: csr_matrix, width: int) -> dict[int, int]:
    """Return the ``width`` heaviest terms of a (1, vocabulary) row, the heaviest weight as 255.

    Of equal weights at the cut the lower terms are kept.
    """
    order = np.lexsort((row.indices, -row.data))[:width]
    factor = np.float32(254) / row.data.max(initial=0) if row.nnz else np.float32(0)
    codes = (1 + row.data[order] * factor).astype(np.uint8)
    return dict(zip(row.indices[order].tolist(), codes.tolist(), strict=True))


def nearest(vectors: Floats, centroids: Floats) -> Ints:
    """Return the column of ``centroids`` (vocabulary, clusters) nearest to each row of vectors."""
    return np.asarray(np.argmax(vectors @ centroids, axis=1), dtype=np.int32)


def means(vectors: Floats, assigned: Ints, clusters: int) -> Floats:
    """Return the unit-length mean of each cluster's rows, (vocabulary, clusters)."""
    sums = np.zeros((vectors.shape[1], clusters), dtype=np.float32)
    for vector, cluster in zip(vectors, assigned, strict=True):
        sums[:, cluster] += vector
    norms = np.linalg.norm(sums, axis=0)
    return np.asarray(sums / np.where(norms > 0, norms, 1), dtype=np.float32)


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
