"""Block-max pruning (Mallia et al., SIGIR 2024) over tiled postings: exact, with early stop.

An upper bound of every block's scores comes from the head terms' stored block maxima and the tail
terms' postings. Tiles are then scored in rounds, those with the highest bounds first, each round in
ascending order, until no bound reaches the k-th best score. Rounds take the place of a sort: within
one the postings are read forwards. When too many are left for picking to pay, they are swept
window by window, at the cost of an exhaustive search.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels import topk
from hybrid.kernels.tiles import (
    BLOCK,
    RANGE,
    SWEEP_SHARE,
    TILE,
    WINDOW,
    Postings,
    add_tiles,
    add_window,
    bounds,
    enter_range,
    lookups,
)

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
def bound_tiles(
    block_bounds: NDArray[np.float32], slack: np.float32, tile_bounds: NDArray[np.float32]
) -> np.float32:
    """Fill ``tile_bounds`` with each tile's largest block bound times slack; return the largest."""
    highest = np.float32(0)
    per_tile = TILE // BLOCK
    for tile in range(len(tile_bounds)):
        largest = np.float32(0)
        for block in range(tile * per_tile, (tile + 1) * per_tile):
            largest = max(largest, block_bounds[block])
        largest *= slack
        tile_bounds[tile] = largest
        highest = max(highest, largest)
    return highest


@njit(cache=True, nogil=True)
def sweep(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    tile_bounds: NDArray[np.float32],
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
) -> None:
    """Offer the hits of every tile whose bound reaches the floor, in order.

    A window of tiles is scored whole when one of them is wanted: cheaper by tile than picking.
    """
    n = len(postings.order)
    tile_count = len(tile_bounds)
    per_range = RANGE // TILE
    scores = np.empty(WINDOW * TILE, dtype=np.float32)
    bits = scores.view(np.int32)
    floor_bits = np.full(1, state[1], dtype=np.int32)
    floor = floor_bits.view(np.float32)
    cursors = np.empty(len(terms), dtype=np.int64)
    ends = np.empty(len(terms), dtype=np.int64)
    for part in range((n + RANGE - 1) // RANGE):
        if not enter_range(postings, terms, part, cursors, ends):
            continue
        range_last = min((part + 1) * per_range, tile_count)
        for first in range(part * per_range, range_last, WINDOW):
            last = min(first + WINDOW, range_last)
            wanted = False
            for tile in range(first, last):
                wanted |= tile_bounds[tile] >= floor[0]
            if not wanted:
                continue
            add_window(postings, terms, weights, table, cursors, ends, first, last, scores)
            for tile in range(first, last):
                if tile_bounds[tile] >= floor[0]:
                    start = (tile - first) * TILE
                    end = start + min(TILE, n - tile * TILE)
                    topk.offer(bits, start, end, postings.order, tile * TILE, k, keys, state)
            if state[0] >= k + 3 * (k >> 2) + 16:
                topk.tighten(k, keys, state)
                floor_bits[0] = state[1]


@njit(cache=True, nogil=True)
def collect(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    shrink: float,
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
) -> None:
    """Offer all hits that may be among the k best to ``keys``; see `topk.offer`.

    What ``keys`` and ``state`` hold already, of other postings, raises the floor from the start.
    """
    n = len(postings.order)
    tile_count = (n + TILE - 1) // TILE
    block_bounds = np.empty(tile_count * (TILE // BLOCK), dtype=np.float32)
    bound(postings, terms, weights, block_bounds)
    # A float32 sum of m products is within m + 1 roundings of the true one, on both sides.
    slack = np.float32((1 + (len(terms) + 4) * 2.0**-22) * shrink)
    tile_bounds = np.empty(tile_count, dtype=np.float32)
    highest = bound_tiles(block_bounds, slack, tile_bounds)
    if highest == 0:
        return
    counts = np.zeros(BUCKETS + 1, dtype=np.int64)
    to_bucket = np.float32(BUCKETS - 1) / highest
    for tile in range(tile_count):
        counts[np.int64(tile_bounds[tile] * to_bucket)] += 1

    table = lookups(postings, terms, weights)
    scores = np.empty(BATCH * TILE, dtype=np.float32)
    bits = scores.view(np.int32)
    floor_bits = np.full(1, state[1], dtype=np.int32)
    floor = floor_bits.view(np.float32)
    batch = np.empty(BATCH, dtype=np.int32)
    lowest = BUCKETS
    quota = max(8, 8 * k // TILE)
    while True:
        taken = 0
        while lowest > 0 and taken < quota:
            lowest -= 1
            taken += counts[lowest]
        quota *= 3
        edge = max(np.float32(lowest), np.float32(1e-30)) / to_bucket
        edge = max(edge, floor[0]) if lowest > 0 else floor[0]
        size = 0
        for tile in range(tile_count + 1):
            if tile < tile_count:
                if tile_bounds[tile] < edge:
                    continue
                tile_bounds[tile] = -1
                batch[size] = tile
                size += 1
                if size < BATCH:
                    continue
            if size == 0:
                continue
            add_tiles(postings, terms, weights, table, batch[:size], scores)
            for slot in range(size):
                first = batch[slot] * TILE
                start = slot * TILE
                end = start + min(TILE, n - first)
                topk.offer(bits, start, end, postings.order, first, k, keys, state)
            size = 0
        topk.tighten(k, keys, state)
        floor_bits[0] = state[1]
        left = 0
        for tile in range(tile_count):
            left += tile_bounds[tile] >= floor[0]
        if left == 0:
            break
        if left * SWEEP_SHARE > tile_count:
            sweep(postings, terms, weights, table, tile_bounds, k, keys, state)
            break


@njit(cache=True, nogil=True)
def search(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    shrink: float,
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
) -> int:
    """Fill (k,) with the best hits; return how many there are.

    With ``shrink`` 1 the result is that of an exhaustive search. Under 1 every bound is multiplied
    by it: tiles are skipped that could, but probably do not, hold a hit.
    """
    k = len(out_nums)
    keys = np.empty(min(2 * k, len(postings.order)) + 192, dtype=np.uint64)
    state = np.array([0, 1], dtype=np.int64)
    collect(postings, terms, weights, shrink, k, keys, state)
    return topk.ranking(keys, state[0], out_nums, out_bits)
