"""Block-max pruning (Mallia et al., SIGIR 2024) over tiled postings: exact, with early stop.

An upper bound of every block's scores comes from the head terms' stored block maxima and the tail
terms' postings. Tiles are then scored in rounds, those with the highest bounds first, each round in
ascending order, until no bound reaches the k-th best score. Rounds take the place of a sort: within
one the postings are read forwards, and when pruning does not pay the last round is an exhaustive
search of what is left.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels import topk
from hybrid.kernels.tiles import BLOCK, RANGE, TILE, Postings, add_tiles, bounds, lookups

BATCH = 32
BUCKETS = 512


@njit(cache=True, nogil=True)
def add_head_bounds(
    maxima: NDArray[np.uint8],
    first: int,
    last: int,
    factor: np.float32,
    block_bounds: NDArray[np.float32],
) -> None:
    """Add ``maxima * factor`` to blocks ``first`` to ``last``; unsigned, to be vectorised."""
    for block in range(np.uint64(first), np.uint64(last)):
        block_bounds[block] += np.float32(maxima[block]) * factor


@njit(cache=True, nogil=True)
def add_tail_bounds(
    places: NDArray[np.uint16],
    codes: NDArray[np.generic],
    start: int,
    end: int,
    first: int,
    factor: np.float32,
    block_bounds: NDArray[np.float32],
) -> None:
    """Add the largest ``codes * factor`` of each block of the range that begins at ``first``."""
    at = np.uint64(start)
    stop = np.uint64(end)
    base = np.uint64(first)
    shift = np.uint64(6)
    while at < stop:
        block = np.uint64(places[at]) >> shift
        largest = codes[at]
        at += np.uint64(1)
        while at < stop and (np.uint64(places[at]) >> shift) == block:
            largest = max(largest, codes[at])
            at += np.uint64(1)
        block_bounds[base + block] += np.float32(largest) * factor


@njit(cache=True, nogil=True)
def bound(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    block_bounds: NDArray[np.float32],
) -> None:
    """Fill ``block_bounds`` (blocks,) with sums of maxima, rounded as float32 sums are."""
    n = len(postings.order)
    per_range = RANGE // BLOCK
    blocks = len(block_bounds)
    block_bounds[:] = 0
    for part in range((n + RANGE - 1) // RANGE):
        first = part * per_range
        last = min(first + per_range, blocks)
        for row in range(len(terms)):
            term = terms[row]
            factor = postings.scales[term] * weights[row]
            head = postings.heads[term]
            if head >= 0:
                add_head_bounds(postings.head_maxima[head], first, last, factor, block_bounds)
            else:
                start, end = bounds(postings, term, part)
                add_tail_bounds(
                    postings.tail_places,
                    postings.tail_codes,
                    start,
                    end,
                    first,
                    factor,
                    block_bounds,
                )


@njit(cache=True, nogil=True)
def search(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    shrink: float,
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
    visited: NDArray[np.int64],
) -> int:
    """Fill (k,) with the best hits; return how many there are.

    With ``shrink`` 1 the result is that of an exhaustive search. Under 1 every bound is multiplied
    by it: tiles are skipped that could, but probably do not, hold a hit. ``visited`` (1,) receives
    the number of tiles scored.
    """
    n = len(postings.order)
    k = len(out_nums)
    tile_count = (n + TILE - 1) // TILE
    per_tile = TILE // BLOCK
    block_bounds = np.empty(tile_count * per_tile, dtype=np.float32)
    bound(postings, terms, weights, block_bounds)
    # A float32 sum of m products is within m + 1 roundings of the true one, on both sides.
    slack = np.float32((1 + (len(terms) + 4) * 2.0**-22) * shrink)
    tile_bounds = np.empty(tile_count, dtype=np.float32)
    highest = np.float32(0)
    for tile in range(tile_count):
        largest = np.float32(0)
        for block in range(tile * per_tile, (tile + 1) * per_tile):
            largest = max(largest, block_bounds[block])
        largest *= slack
        tile_bounds[tile] = largest
        highest = max(highest, largest)
    visited[0] = 0
    if highest == 0:
        return 0
    counts = np.zeros(BUCKETS + 1, dtype=np.int64)
    to_bucket = np.float32(BUCKETS - 1) / highest
    for tile in range(tile_count):
        counts[np.int64(tile_bounds[tile] * to_bucket)] += 1

    table = lookups(postings, terms, weights)
    scores = np.empty(BATCH * TILE, dtype=np.float32)
    bits = scores.view(np.int32)
    keys = np.empty(min(2 * k, n) + 1024, dtype=np.uint64)
    state = np.array([0, 1], dtype=np.int64)
    floor_bits = np.ones(1, dtype=np.int32)
    floor = floor_bits.view(np.float32)
    batch = np.empty(BATCH, dtype=np.int32)
    ceiling = BUCKETS
    wanted = max(8, 3 * k // TILE)
    while ceiling > 0 and np.float32(ceiling) >= floor[0] * to_bucket * np.float32(0.999):
        lowest = ceiling
        taken = 0
        while lowest > 0 and taken < wanted:
            lowest -= 1
            taken += counts[lowest]
        wanted *= 3
        low_edge = np.float32(lowest)
        high_edge = np.float32(ceiling)
        size = 0
        for tile in range(tile_count + 1):
            if tile < tile_count:
                edge = np.floor(tile_bounds[tile] * to_bucket)
                if edge < low_edge or edge >= high_edge or tile_bounds[tile] < floor[0]:
                    continue
                batch[size] = tile
                size += 1
                if size < BATCH:
                    continue
            add_tiles(postings, terms, weights, table, batch[:size], scores)
            visited[0] += size
            for slot in range(size):
                first = batch[slot] * TILE
                start = slot * TILE
                end = start + min(TILE, n - first)
                topk.offer(bits, start, end, postings.order, first, k, keys, state)
            if state[0] >= k + (k >> 1):
                topk.tighten(k, keys, state)
                floor_bits[0] = state[1]
            size = 0
        topk.tighten(k, keys, state)
        floor_bits[0] = state[1]
        ceiling = lowest
    return topk.ranking(keys, state[0], out_nums, out_bits)
