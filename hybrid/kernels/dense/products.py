"""Inner products of dense vectors in one fixed order of addition.

The product of two float32 numbers is exact in float64. Eight float64 sums are kept, component
``i`` going to sum ``i % 8``; they are added as ``((s0+s4) + (s2+s6)) + ((s1+s5) + (s3+s7))`` and
rounded once to float32. So a score depends on the two vectors alone: not on the batch, the number
of threads, the processor, or whether it has fused multiply-add.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.sparse.prefetch import prefetch_run

PAGE = 1024  # components in a page of memory
AHEAD = 4 * PAGE
ASKED = 64  # components at a page's beginning to ask for; the processor goes on from there
NEXT = 4  # rows to ask for beforehand where they do not lie side by side
BLOCK = 512  # rows chosen at a time


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
def score_found(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    numbers: NDArray[np.int32],
    rows: NDArray[np.int64],
    base: int,
    nums: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """Fill in the doc_num and the score of each found row that is one of ``vectors``.

    Row i of ``vectors`` is found as ``base + i``; ``numbers`` is as in `Wanted`. Preconditions:
    shapes (q, d), (n, d), (n,) or (0,), and (q, c) of ``rows``, ``nums`` and ``scores``.
    """
    values = vectors.reshape(-1)
    size, dimension = vectors.shape
    for query in range(len(queries)):
        for at in range(rows.shape[1]):
            coming = rows[query, min(at + NEXT, rows.shape[1] - 1)] - base
            if 0 <= coming < size:
                begin = coming * dimension
                prefetch_run(values, begin, begin + min(dimension, PAGE))
            place = rows[query, at] - base
            if 0 <= place < size:
                nums[query, at] = numbers[place] if len(numbers) else place
                scores[query, at] = dot(queries[query], vectors[place])


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def rounded(a: NDArray[np.float32], b: NDArray[np.float32]) -> np.float32:
    """Return the inner product as float32 sums in whatever order is fastest here."""
    total: np.float32 = np.float32(0)
    for i in range(len(a)):
        total = np.float32(total + a[i] * b[i])
    return total


class Wanted(NamedTuple):
    """Which rows of an array of n may be found."""

    numbers: NDArray[np.int32]
    """(n,), the doc_num of each row, -1 if it is deleted; empty, each is its own number."""
    allowed: NDArray[np.bool_]
    """Whether each doc_num may be found; empty, all may."""
    named: NDArray[np.int32]
    """The rows to read, which may all be found; empty, there is no such list."""
    skips: bool
    """Whether a row that may not be found is passed over. Else it is read like the others, which
    takes less time where it is one of few."""


class Kept(NamedTuple):
    """The best rows so far of each query, and more of them than are wanted, in any order."""

    scores: NDArray[np.float32]  # (queries, room)
    rows: NDArray[np.int64]  # (queries, room)
    sizes: NDArray[np.int64]  # (queries,): how many are held
    floors: NDArray[np.float32]  # (queries,): what a score must exceed, once ``count`` are held


def nothing_kept(queries: int, count: int) -> Kept:
    """Return room to keep the ``count`` best rows of each query."""
    room = 2 * count + 256
    return Kept(
        np.empty((queries, room), dtype=np.float32),
        np.empty((queries, room), dtype=np.int64),
        np.zeros(queries, dtype=np.int64),
        np.full(queries, -np.inf, dtype=np.float32),
    )


@njit(cache=True, nogil=True)
def read_rows(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    wanted: Wanted,
    first: int,
    last: int,
    base: int,
    count: int,
    kept: Kept,
) -> None:
    """Add rows of ``vectors`` to the candidates, if they may be among the best by rounded score.

    Args:
        queries: (q, d).
        vectors: (n, d).
        wanted: which of them.
        first: of all rows or, if there is one, of the list of names.
        last: the range ends before it.
        base: added to the number of a row that is kept.
        count: how many are wanted.
        kept: what the rows are added to.

    The processor reads ahead within a page of memory only, so the next pages are asked for, and
    the next rows where they do not lie side by side.
    """
    numbers, allowed, named, skips = wanted
    scores, rows, sizes, floors = kept
    room = scores.shape[1]
    dimension = vectors.shape[1]
    values = vectors.reshape(-1)
    numbered, masked = len(numbers) > 0, len(allowed) > 0
    places = np.empty(BLOCK, dtype=np.int64)
    asked = first * dimension
    for start in range(first, last, BLOCK):
        stop = min(start + BLOCK, last)
        found = 0
        for place in range(start, stop):
            if len(named):
                places[found] = named[place]
                found += 1
            elif skips:
                number = np.int64(numbers[place]) if numbered else place
                places[found] = place
                found += np.int64(number >= 0 and (not masked or allowed[number]))
            else:
                places[found] = place
                found += 1
        for at in range(found):
            place = places[at]
            if len(named) or skips:
                begin = places[min(at + NEXT, found - 1)] * dimension
                prefetch_run(values, begin, begin + min(dimension, PAGE))
            elif (place + 1) * dimension > asked:
                asked = max(asked, place * dimension)
                prefetch_run(values, asked + AHEAD, asked + AHEAD + ASKED)
                asked += PAGE
            for query in range(len(queries)):
                score = rounded(queries[query], vectors[place])
                size = sizes[query]
                if score > floors[query] or size < count:
                    if not skips and (numbered or masked):
                        number = np.int64(numbers[place]) if numbered else place
                        if number < 0 or (masked and not allowed[number]):
                            continue
                    scores[query, size] = score
                    rows[query, size] = base + place
                    sizes[query] = size + 1
                    if size + 1 == room:
                        floors[query] = _keep_best(scores[query], rows[query], count)
                        sizes[query] = count


@njit(cache=True, nogil=True)
def take_best(kept: Kept, scores: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
    """Fill (queries, count) with the best that are kept, in any order, then with -inf and -1."""
    count = scores.shape[1]
    for query in range(len(scores)):
        size = kept.sizes[query]
        if size > count:
            _keep_best(kept.scores[query, :size], kept.rows[query, :size], count)
            size = count
        scores[query, :size] = kept.scores[query, :size]
        rows[query, :size] = kept.rows[query, :size]
        scores[query, size:] = -np.inf
        rows[query, size:] = -1


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
    """Return the inner product of `dot` in plain NumPy: the definition of the kernel."""
    products = a.astype(np.float64) * b.astype(np.float64)
    lanes = np.zeros((-(-len(products) // 8), 8))
    lanes.ravel()[: len(products)] = products
    s = np.zeros(8)
    for lane in lanes:
        s = s + lane
    total: float = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
    score: np.float32 = np.float32(total)
    return score
