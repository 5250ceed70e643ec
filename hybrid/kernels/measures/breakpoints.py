"""Kernel of the exact line search: where a measure changes as one weight goes from 0 to 1.

The fused score of a candidate is (1 - alpha) x + alpha y, a line. A relevant document's rank
changes only where its line crosses another candidate's, so a query with n candidates and r
relevant ones has at most n r breakpoints, and between two of them the measure is constant.
Preconditions: as in ``hybrid.kernels.measures.measures``; x and y hold no NaN and no infinity.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.measures.measures import measure_of_ranks


@njit(cache=True)
def query_breakpoints(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    positions: NDArray[np.int64],
    gains: NDArray[np.float64],
    kind: int,
    cutoff: int,
    ideal: float,
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return (value just above alpha 0, alphas rising, change of the value at each).

    x and y are one query's candidates, ``positions`` its relevant ones among them.
    """
    n, r = len(x), len(positions)
    alphas = np.empty(n * r)
    steps = np.empty(n * r, dtype=np.int64)
    owners = np.empty(n * r, dtype=np.int64)
    ranks = np.empty(r, dtype=np.int64)
    count = 0
    for i in range(r):
        place = positions[i]
        above = always = 0
        first = count
        for j in range(n):
            if j == place:
                continue
            gap = x[j] - x[place]
            end = y[j] - y[place]
            ahead_at_start = gap > 0 or (gap == 0 and (end > 0 or (end == 0 and j < place)))
            ahead_at_end = end > 0 or (end == 0 and (gap > 0 or (gap == 0 and j < place)))
            above += ahead_at_start
            always += ahead_at_start and ahead_at_end
            if ahead_at_start != ahead_at_end:
                alphas[count] = gap / (gap - end)
                steps[count] = 1 if ahead_at_end else -1
                owners[count] = i
                count += 1
        ranks[i] = above + 1
        if cutoff > 0 and always >= cutoff:
            count = first
    value = measure_of_ranks(kind, cutoff, ranks, gains, ideal)
    start = value
    order = np.argsort(alphas[:count])
    found = np.empty(count)
    changes = np.empty(count)
    kept = 0
    at = 0
    while at < count:
        alpha = alphas[order[at]]
        touched = False
        while at < count and alphas[order[at]] == alpha:
            event = order[at]
            before = ranks[owners[event]]
            after = before + steps[event]
            touched |= cutoff == 0 or before <= cutoff or after <= cutoff
            ranks[owners[event]] = after
            at += 1
        if not touched:
            continue
        now = measure_of_ranks(kind, cutoff, ranks, gains, ideal)
        if now != value:
            found[kept] = alpha
            changes[kept] = now - value
            kept += 1
            value = now
    return start, found[:kept].copy(), changes[:kept].copy()


@njit(cache=True)
def all_breakpoints(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    offsets: NDArray[np.int64],
    relevant_offsets: NDArray[np.int64],
    positions: NDArray[np.int64],
    gains: NDArray[np.float64],
    kind: int,
    cutoff: int,
    ideals: NDArray[np.float64],
    starts: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Fill ``starts`` (queries,) and return (alphas, changes, query) of all breakpoints."""
    room = 1024
    alphas, changes = np.empty(room), np.empty(room)
    queries = np.empty(room, dtype=np.int64)
    count = 0
    for query in range(len(offsets) - 1):
        low, high = offsets[query], offsets[query + 1]
        first, last = relevant_offsets[query], relevant_offsets[query + 1]
        value, found, steps = query_breakpoints(
            x[low:high],
            y[low:high],
            positions[first:last] - low,
            gains[first:last],
            kind,
            cutoff,
            ideals[query],
        )
        starts[query] = value
        while count + len(found) > room:
            room *= 2
            alphas = np.concatenate((alphas, np.empty(room - len(alphas))))
            changes = np.concatenate((changes, np.empty(room - len(changes))))
            queries = np.concatenate((queries, np.empty(room - len(queries), dtype=np.int64)))
        alphas[count : count + len(found)] = found
        changes[count : count + len(found)] = steps
        queries[count : count + len(found)] = query
        count += len(found)
    return alphas[:count], changes[:count], queries[:count]
