"""Inner products of dense vectors in one fixed order of addition.

The product of two float32 numbers is exact in float64. Eight float64 sums are kept, component
``i`` going to sum ``i % 8``; they are added as ``((s0+s4) + (s2+s6)) + ((s1+s5) + (s3+s7))`` and
rounded once to float32. So a score depends on the two vectors alone: not on the batch, the number
of threads, the processor, or whether it has fused multiply-add.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True, nogil=True)
def dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Return the inner product of two float32 vectors of one length."""
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    size = len(a)
    whole = size - size % 8
    for i in range(0, whole, 8):
        s0 += np.float64(a[i]) * np.float64(b[i])
        s1 += np.float64(a[i + 1]) * np.float64(b[i + 1])
        s2 += np.float64(a[i + 2]) * np.float64(b[i + 2])
        s3 += np.float64(a[i + 3]) * np.float64(b[i + 3])
        s4 += np.float64(a[i + 4]) * np.float64(b[i + 4])
        s5 += np.float64(a[i + 5]) * np.float64(b[i + 5])
        s6 += np.float64(a[i + 6]) * np.float64(b[i + 6])
        s7 += np.float64(a[i + 7]) * np.float64(b[i + 7])
    if whole < size:
        s0 += np.float64(a[whole]) * np.float64(b[whole])
    if whole + 1 < size:
        s1 += np.float64(a[whole + 1]) * np.float64(b[whole + 1])
    if whole + 2 < size:
        s2 += np.float64(a[whole + 2]) * np.float64(b[whole + 2])
    if whole + 3 < size:
        s3 += np.float64(a[whole + 3]) * np.float64(b[whole + 3])
    if whole + 4 < size:
        s4 += np.float64(a[whole + 4]) * np.float64(b[whole + 4])
    if whole + 5 < size:
        s5 += np.float64(a[whole + 5]) * np.float64(b[whole + 5])
    if whole + 6 < size:
        s6 += np.float64(a[whole + 6]) * np.float64(b[whole + 6])
    total: float = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    score: np.float32 = np.float32(total)
    return score


@njit(cache=True, nogil=True)
def score_rows(
    query: NDArray[np.float32],
    vectors: NDArray[np.float32],
    doc_nums: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` with the inner product of ``query`` and each row in ``doc_nums`` (-inf for -1).

    Preconditions: shapes (d,), (n, d), (c,), (c,); -1 <= doc_nums < n.
    """
    for position in range(len(doc_nums)):
        doc = doc_nums[position]
        if doc < 0:
            out[position] = -np.inf
        else:
            out[position] = dot(query, vectors[doc])


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def rounded(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Return the inner product as float32 sums in whatever order is fastest here."""
    total: np.float32 = np.float32(0)
    for i in range(len(a)):
        total = np.float32(total + a[i] * b[i])
    return total


@njit(cache=True, nogil=True)
def best_allowed(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    first: int,
    last: int,
    scores: NDArray[np.float32],
    docs: NDArray[np.int64],
) -> None:
    """Fill (queries, count) with the best rounded scores of allowed rows, in any order.

    Rows ``first`` to ``last`` of ``vectors`` are read where they lie, those that are not allowed
    are not read; where there are fewer than ``count`` of them, -inf and -1 follow.
    """
    count = scores.shape[1]
    room = 2 * count + 256
    found = np.empty((len(queries), room), dtype=np.float32)
    places = np.empty((len(queries), room), dtype=np.int64)
    sizes = np.zeros(len(queries), dtype=np.int64)
    floors = np.full(len(queries), -np.inf, dtype=np.float32)
    for doc in range(first, last):
        if not allowed[doc]:
            continue
        for row in range(len(queries)):
            score = rounded(queries[row], vectors[doc])
            if score > floors[row] or sizes[row] < count:
                found[row, sizes[row]] = score
                places[row, sizes[row]] = doc
                sizes[row] += 1
                if sizes[row] == room:
                    floors[row] = _keep_best(found[row], places[row], count)
                    sizes[row] = count
    for row in range(len(queries)):
        size = sizes[row]
        if size > count:
            _keep_best(found[row, :size], places[row, :size], count)
            size = count
        scores[row, :size] = found[row, :size]
        docs[row, :size] = places[row, :size]
        scores[row, size:] = -np.inf
        docs[row, size:] = -1


@njit(cache=True, nogil=True)
def _keep_best(scores: NDArray[np.float32], docs: NDArray[np.int64], count: int) -> np.float32:
    """Move the ``count`` best to the front, of equals any; return the worst of them."""
    floor: np.float32 = np.partition(scores, len(scores) - count)[len(scores) - count]
    spare = count
    for score in scores:
        spare -= score > floor
    kept = 0
    for at in range(len(scores)):
        if scores[at] > floor or (scores[at] == floor and spare > 0):
            spare -= scores[at] == floor
            scores[kept] = scores[at]
            docs[kept] = docs[at]
            kept += 1
    return floor


def dot_reference(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Return what `dot` returns, in plain NumPy: the definition that the kernel is tested by."""
    products = a.astype(np.float64) * b.astype(np.float64)
    lanes = np.zeros((-(-len(products) // 8), 8))
    lanes.ravel()[: len(products)] = products
    s = np.zeros(8)
    for lane in lanes:
        s = s + lane
    total: float = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
    score: np.float32 = np.float32(total)
    return score
