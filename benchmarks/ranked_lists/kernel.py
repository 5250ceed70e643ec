"""Kernels over ranked lists of numbers: their union, and measures straight from the lists."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.measures.measures import measure_of_ranks


@njit(cache=True)
def unite_lists(
    doc_nums: NDArray[np.int32],
    scores: NDArray[np.float32],
    size: int,
    offsets: NDArray[np.int64],
    united: NDArray[np.int32],
    table: NDArray[np.float64],
    ranks: NDArray[np.int32],
) -> None:
    """Fill the union of several lists a query, each document once, in order of appearance.

    ``doc_nums`` and ``scores`` are (lists, queries, k), -1 ends a list. Documents are below
    ``size``. ``united`` (room,), ``table`` and ``ranks`` (lists, room) have room for every entry
    and start as zeros; the twin is ``RunTable.from_runs``.
    """
    lists, queries, k = doc_nums.shape
    slot = np.full(size, -1, dtype=np.int64)
    end = 0
    for query in range(queries):
        start = end
        for b in range(lists):
            for i in range(k):
                doc = doc_nums[b, query, i]
                if doc < 0:
                    break
                place = slot[doc]
                if place < start:
                    place = end
                    slot[doc] = end
                    united[end] = doc
                    end += 1
                table[b, place] = scores[b, query, i]
                ranks[b, place] = i + 1
        offsets[query + 1] = end


@njit(cache=True)
def measure_lists(
    doc_nums: NDArray[np.int32],
    offsets: NDArray[np.int64],
    judged: NDArray[np.int32],
    gains: NDArray[np.float64],
    kind: int,
    cutoff: int,
    ideals: NDArray[np.float64],
    values: NDArray[np.float64],
) -> None:
    """Fill ``values`` (queries,) with the measure of each list of ``doc_nums`` (queries, k).

    ``judged`` holds each query's relevant doc_nums, rising; -1 ends a list.
    """
    queries, k = doc_nums.shape
    depth = min(k, cutoff) if cutoff > 0 else k
    for query in range(queries):
        start, stop = offsets[query], offsets[query + 1]
        ranks = np.zeros(stop - start, dtype=np.int64)
        for i in range(depth if stop > start else 0):
            doc = doc_nums[query, i]
            if doc < 0:
                break
            low, high = start, stop
            while low < high:
                middle = (low + high) // 2
                if judged[middle] < doc:
                    low = middle + 1
                else:
                    high = middle
            if low < stop and judged[low] == doc:
                ranks[low - start] = i + 1
        values[query] = measure_of_ranks(kind, cutoff, ranks, gains[start:stop], ideals[query])
