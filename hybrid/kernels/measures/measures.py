"""Kernels of measures over numbers: ranks of the relevant candidates, and their gains.

The NumPy twin is a full sort, ``hybrid.fusion.apply.ranked_positions``. Preconditions: offsets
rise; a query's relevant positions lie inside its own segment; scores hold no NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

NDCG, RECALL, RR, AP, PRECISION, SUCCESS = range(6)


@njit(cache=True)
def relevant_ranks(
    scores: NDArray[np.float32],
    offsets: NDArray[np.int64],
    relevant_offsets: NDArray[np.int64],
    positions: NDArray[np.int64],
    ranks: NDArray[np.int64],
) -> None:
    """Fill ``ranks`` (relevant,) with the rank from 1 of each position; 0 where its score is -inf.

    A document precedes another when its score is greater, or equal and its position is smaller.
    """
    for query in range(len(offsets) - 1):
        start, stop = offsets[query], offsets[query + 1]
        for r in range(relevant_offsets[query], relevant_offsets[query + 1]):
            place = positions[r]
            own = scores[place]
            if own == -np.inf:
                ranks[r] = 0
                continue
            above = 0
            for i in range(start, place):
                above += scores[i] >= own
            for i in range(place + 1, stop):
                above += scores[i] > own
            ranks[r] = above + 1


@njit(cache=True)
def measure_of_ranks(
    kind: int,
    cutoff: int,
    ranks: NDArray[np.int64],
    gains: NDArray[np.float64],
    ideal: float,
) -> float:
    """Return one query's measure from the ranks (0: not retrieved) and gains of its relevant ones.

    ``ideal`` is the ideal discounted gain for nDCG, the number of relevant documents for recall
    and average precision. ``cutoff`` 0 means none.
    """
    value = 0.0
    best = 0
    for i in range(len(ranks)):
        rank = ranks[i]
        if rank == 0 or (cutoff > 0 and rank > cutoff):
            continue
        if best == 0 or rank < best:
            best = rank
        if kind == NDCG:
            value += gains[i] / np.log2(rank + 1.0)
        elif kind == AP:
            above = 0
            for j in range(len(ranks)):
                above += 0 < ranks[j] <= rank
            value += above / rank
        else:
            value += 1.0
    if kind == RR:
        return 1.0 / best if best > 0 else 0.0
    if kind == SUCCESS:
        return 1.0 if best > 0 else 0.0
    if kind == PRECISION:
        return value / cutoff
    return value / ideal if ideal > 0 else 0.0


@njit(cache=True)
def measure_queries(
    kind: int,
    cutoff: int,
    relevant_offsets: NDArray[np.int64],
    ranks: NDArray[np.int64],
    gains: NDArray[np.float64],
    ideals: NDArray[np.float64],
    values: NDArray[np.float64],
) -> None:
    """Fill ``values`` (queries,) with the measure of each query."""
    for query in range(len(relevant_offsets) - 1):
        start, stop = relevant_offsets[query], relevant_offsets[query + 1]
        values[query] = measure_of_ranks(
            kind, cutoff, ranks[start:stop], gains[start:stop], ideals[query]
        )


@njit(cache=True)
def linear_ranks(
    weights: NDArray[np.float64],
    features: NDArray[np.float64],
    offsets: NDArray[np.int64],
    relevant_offsets: NDArray[np.int64],
    positions: NDArray[np.int64],
    cutoff: int,
    ranks: NDArray[np.int64],
) -> None:
    """Fill ``ranks`` as ``relevant_ranks`` does for the scores sum of w_b x_b, never stored.

    ``features`` is (branches, n). A rank beyond a ``cutoff`` above 0 is given as 0: counting stops
    as soon as so many documents are ahead. The sum runs branch by branch in float64 and is
    compared in float32, which are the bits of ``fuse``.
    """
    branches = len(weights)
    for query in range(len(offsets) - 1):
        start, stop = offsets[query], offsets[query + 1]
        for r in range(relevant_offsets[query], relevant_offsets[query + 1]):
            place = positions[r]
            total = weights[0] * features[0, place]
            for b in range(1, branches):
                total += weights[b] * features[b, place]
            own = np.float32(total)
            above = 0
            for i in range(start, stop):
                total = weights[0] * features[0, i]
                for b in range(1, branches):
                    total += weights[b] * features[b, i]
                score = np.float32(total)
                above += score > own or (score == own and i < place)
                if above == cutoff and cutoff > 0:
                    break
            ranks[r] = 0 if 0 < cutoff <= above else above + 1
