"""Exhaustive scoring over term-major postings."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def accumulate(
    indptr: NDArray[np.int64],
    docs: NDArray[np.uint32],
    codes: NDArray[np.generic],
    scales: NDArray[np.float32],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> None:
    """Add one query to ``scores``, float32 (documents,): terms ascending, one after the other.

    A stored weight is ``codes * scales[term]``; both products are rounded to float32, as they
    are when SciPy multiplies the dequantised matrix.
    """
    for position in range(len(terms)):
        term = terms[position]
        scale = scales[term]
        weight = weights[position]
        for posting in range(indptr[term], indptr[term + 1]):
            scores[docs[posting]] += (np.float32(codes[posting]) * scale) * weight


@njit(cache=True, nogil=True)
def score_rows(
    indptr: NDArray[np.int64],
    terms: NDArray[np.generic],
    codes: NDArray[np.generic],
    scales: NDArray[np.float32],
    query: NDArray[np.float32],
    doc_nums: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` with the score of each of ``doc_nums`` (-inf for -1) from forward rows.

    ``query`` is dense, float32 (vocabulary,). Adding zero for an absent term changes no bit.
    """
    for position in range(len(doc_nums)):
        doc = doc_nums[position]
        if doc < 0:
            out[position] = -np.inf
            continue
        total = np.float32(0)
        for entry in range(indptr[doc], indptr[doc + 1]):
            term = terms[entry]
            total += (np.float32(codes[entry]) * scales[term]) * query[term]
        out[position] = total
