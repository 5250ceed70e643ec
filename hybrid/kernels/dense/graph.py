"""Search of a hierarchical navigable small-world graph.

Malkov and Yashunin, Efficient and robust approximate nearest neighbor search using HNSW graphs,
TPAMI 2020: algorithm 2 with ``ef``, over a graph that FAISS built. Similarities are those of
`hybrid.kernels.dense.products.dot`, so what is found needs no second scoring.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.dense.products import dot


@njit(cache=True, nogil=True)
def walk(
    query: NDArray[np.float32],
    vectors: NDArray[np.float32],
    levels: NDArray[np.int32],
    offsets: NDArray[np.int64],
    neighbours: NDArray[np.int32],
    degree: int,
    entry: int,
    out_nums: NDArray[np.int32],
    out_scores: NDArray[np.float32],
) -> int:
    """Fill ``out_nums`` and ``out_scores``, both (ef,), best first; return how many were found.

    Node ``i`` is on levels 0 to ``levels[i] - 1``. Its neighbours lie from ``offsets[i]``: 2 *
    ``degree`` of level 0, then ``degree`` of each level above, each list ended by -1 or its space.

    Preconditions: neighbours in [-1, n); offsets[i + 1] - offsets[i] is the space of node i.
    """
    node = entry
    score = dot(query, vectors[node])
    for level in range(levels[entry] - 1, 0, -1):
        moved = True
        while moved:
            moved = False
            # A graph from outside may name a node on a level that it is not on.
            if levels[node] <= level:
                break
            start = offsets[node] + degree * (level + 1)
            for place in range(start, start + degree):
                other = neighbours[place]
                if other < 0:
                    break
                near = dot(query, vectors[other])
                if near > score:
                    node, score, moved = other, near, True

    capacity = len(out_nums)
    seen = np.zeros(len(vectors), dtype=np.uint8)
    done = np.zeros(capacity, dtype=np.uint8)
    seen[node] = 1
    out_nums[0] = node
    out_scores[0] = score
    size = 1
    at = 0
    while at < size:
        if done[at]:
            at += 1
            continue
        done[at] = 1
        start = offsets[out_nums[at]]
        first = size
        for place in range(start, start + 2 * degree):
            other = neighbours[place]
            if other < 0:
                break
            if seen[other]:
                continue
            seen[other] = 1
            near = dot(query, vectors[other])
            if size == capacity and not (
                near > out_scores[size - 1]
                or (near == out_scores[size - 1] and other < out_nums[size - 1])
            ):
                continue
            slot = size if size < capacity else size - 1
            while slot > 0 and (
                near > out_scores[slot - 1]
                or (near == out_scores[slot - 1] and other < out_nums[slot - 1])
            ):
                out_scores[slot] = out_scores[slot - 1]
                out_nums[slot] = out_nums[slot - 1]
                done[slot] = done[slot - 1]
                slot -= 1
            out_scores[slot] = near
            out_nums[slot] = other
            done[slot] = 0
            size = min(size + 1, capacity)
            first = min(first, slot)
        at = min(at, first)
    return size
