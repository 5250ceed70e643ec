"""Block-max pruning (Mallia et al., SIGIR 2024) over tiled postings: exact, with early stop.

Tiles of all segments are scored in rounds, those with the highest bounds first, each round in
ascending order, until no bound reaches the k-th best score. Rounds take the place of a sort: within
one the postings are read forwards. When too many are left for picking to pay, they are swept window
by window, at the cost of an exhaustive search.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import trailing_zeros
from numpy.typing import NDArray

from hybrid.kernels import masks
from hybrid.kernels.sparse import exhaustive, topk
from hybrid.kernels.sparse.bounds import bound
from hybrid.kernels.sparse.layout import RANGE, TILE, Postings
from hybrid.kernels.sparse.picking import add_located, ask_starts, locate
from hybrid.kernels.sparse.table import Table, postings_of
from hybrid.kernels.sparse.tiles import SWEEP_SHARE, WINDOW, add_window, enter_range

BATCH = 32
BUCKETS = 512
IN_BUCKET = 128  # counts of a bound; all buckets together hold 16 bits
COUNTERS = 4  # neighbours count apart: a count that waits for the one before is slow


@njit(cache=True, nogil=True)
def needed(floor_bits: int, unit: float) -> int:
    """Return the counts, at least 1, that a bound needs to reach a score of these bits."""
    bits = np.empty(1, dtype=np.int32)
    bits[0] = floor_bits
    counts = np.float64(bits.view(np.float32)[0]) / unit
    return max(1, np.int64(counts)) if counts < 65536 else 1


@njit(cache=True, nogil=True)
def take(tile_bounds: NDArray[np.int32], edge: int, wanted: NDArray[np.int32]) -> int:
    """Move the tiles whose bound reaches ``edge``, ascending, to ``wanted``; return how many."""
    size = 0
    for first in range(0, len(tile_bounds), 64):
        end = min(first + 64, len(tile_bounds))
        if topk.chunk_max(tile_bounds, first, end) < edge:
            continue
        mask = topk.reaching(tile_bounds, first, end, np.int32(edge))
        while mask != np.uint64(0):
            tile = first + np.int64(trailing_zeros(mask))
            mask &= mask - np.uint64(1)
            tile_bounds[tile] = -1
            wanted[size] = tile
            size += 1
    return size


@njit(cache=True, nogil=True)
def sweep(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    tile_bounds: NDArray[np.int32],
    unit: float,
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> None:
    """Offer the hits of every tile whose bound reaches the floor, in order.

    A window of tiles is scored whole when one of them is wanted: cheaper by tile than picking.
    """
    n = len(postings.order)
    tile_count = len(tile_bounds)
    per_range = RANGE // TILE
    scores = np.empty(WINDOW * TILE, dtype=np.float32)
    bits = scores.view(np.int32)
    floor = needed(state[topk.FLOOR], unit)
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
                wanted |= tile_bounds[tile] >= floor
            if not wanted:
                continue
            add_window(postings, terms, weights, table, cursors, ends, first, last, scores)
            for tile in range(first, last):
                if tile_bounds[tile] >= floor:
                    start = (tile - first) * TILE
                    end = start + min(TILE, n - tile * TILE)
                    place = tile * TILE
                    topk.offer(bits, start, end, postings.order, place, k, keys, state, allowed)
            if state[topk.SIZE] >= k + 3 * (k >> 2) + 16:
                topk.tighten(k, postings.order, keys, state)
                floor = needed(state[topk.FLOOR], unit)


@njit(cache=True, nogil=True)
def by_segment(batch: NDArray[np.int32], tiles: NDArray[np.int64], edges: NDArray[np.int64]) -> int:
    """Number the tiles of a batch within their segments; return how many segments they are of.

    ``edges`` (groups + 1, 2) receives each segment and the position of its first tile.
    """
    groups = 0
    segment = -1
    for slot in range(len(batch)):
        if segment < 0 or batch[slot] >= tiles[segment + 1]:
            while batch[slot] >= tiles[segment + 1]:
                segment += 1
            edges[groups, 0] = segment
            edges[groups, 1] = slot
            groups += 1
        batch[slot] -= tiles[segment]
    edges[groups, 1] = len(batch)
    return groups


@njit(cache=True, nogil=True)
def keep_allowed(
    table: Table, allowed: NDArray[np.bool_], wanted: NDArray[np.int32], size: int
) -> int:
    """Drop the tiles of ``wanted[:size]`` that hold no allowed document; return how many stay."""
    tiles = table.tiles
    kept = 0
    segment = 0
    order = postings_of(table, 0).order
    for position in range(size):
        tile = wanted[position]
        if tile >= tiles[segment + 1]:
            while tile >= tiles[segment + 1]:
                segment += 1
            order = postings_of(table, segment).order
        first = (tile - tiles[segment]) * TILE
        wanted[kept] = tile
        kept += masks.holds_any(order, first, min(len(order), first + TILE), allowed)
    return kept


@njit(cache=True, nogil=True)
def offer_wanted(
    table: Table,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    lookup: NDArray[np.float32],
    wanted: NDArray[np.int32],
    scores: NDArray[np.float32],
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> None:
    """Offer the hits of ``wanted`` tiles, numbered over all segments, ascending.

    First find where every tile's entries lie and ask for them, so that the memory serves many.
    """
    edges = np.empty((BATCH + 1, 2), dtype=np.int64)
    lows = np.empty((len(terms), BATCH), dtype=np.int64)
    highs = np.empty((len(terms), BATCH), dtype=np.int64)
    for start in range(0, len(wanted), BATCH):
        batch = wanted[start : start + BATCH]
        groups = by_segment(batch, table.tiles, edges)
        for group in range(groups):
            part = batch[edges[group, 1] : edges[group + 1, 1]]
            ask_starts(postings_of(table, edges[group, 0]), terms, part)
        for group in range(groups):
            slots = edges[group, 1]
            part = batch[slots : edges[group + 1, 1]]
            locate(postings_of(table, edges[group, 0]), terms, part, lows, highs, slots)
        for group in range(groups):
            slots = edges[group, 1]
            part = batch[slots : edges[group + 1, 1]]
            postings = postings_of(table, edges[group, 0])
            add_located(postings, terms, weights, lookup, part, lows, highs, slots, scores)
            exhaustive.offer_scored(postings, part, scores, k, keys, state, allowed)


@njit(cache=True, nogil=True)
def search_pruned(
    table: Table,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    lookup: NDArray[np.float32],
    steps: NDArray[np.uint16],
    added: NDArray[np.uint16],
    unit: float,
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> None:
    """Offer all hits that may be among the k best to ``keys``; see `topk.offer`.

    ``lookup`` is that of `lookups`, ``steps``, ``added`` and ``unit`` those of `counts_of`, all of
    them the same for every segment. The state's places are those of the only segment. ``allowed``
    is that of `topk.offer`; tiles that hold no allowed document are not scored.
    """
    tiles = table.tiles
    tile_count = tiles[-1]
    tile_bounds = np.empty(tile_count, dtype=np.int32)
    highest = 0
    for segment in range(len(tiles) - 1):
        part = tile_bounds[tiles[segment] : tiles[segment + 1]]
        highest = max(highest, bound(postings_of(table, segment), terms, steps, added, part))
    if highest == 0:
        return
    # A float32 sum of m products is within m + 1 roundings of the true one.
    unit *= 1 + (len(terms) + 4) * 2.0**-23
    counts = np.zeros((COUNTERS, BUCKETS + 1), dtype=np.int32)
    for tile in range(np.uint64(tile_count)):
        bucket = np.uint64(tile_bounds[tile]) // np.uint64(IN_BUCKET)
        counts[tile % np.uint64(COUNTERS), bucket] += 1
    scores = np.empty(BATCH * TILE, dtype=np.float32)
    floor = needed(state[topk.FLOOR], unit)
    wanted = np.empty(tile_count, dtype=np.int32)
    order = postings_of(table, 0).order
    lowest = BUCKETS
    quota = max(8, 8 * k // TILE)
    while True:
        taken = 0
        while lowest > 0 and taken < quota:
            lowest -= 1
            for counter in range(COUNTERS):
                taken += counts[counter, lowest]
        quota *= 3
        size = take(tile_bounds, max(lowest * IN_BUCKET, floor), wanted)
        if allowed is not None:
            size = keep_allowed(table, allowed, wanted, size)
        offer_wanted(table, terms, weights, lookup, wanted[:size], scores, k, keys, state, allowed)
        topk.tighten(k, order, keys, state)
        floor = needed(state[topk.FLOOR], unit)
        left = 0
        for tile in range(tile_count):
            left += tile_bounds[tile] >= floor
        if left == 0:
            break
        if left * SWEEP_SHARE > tile_count:
            for segment in range(len(tiles) - 1):
                part = tile_bounds[tiles[segment] : tiles[segment + 1]]
                postings = postings_of(table, segment)
                sweep(postings, terms, weights, lookup, part, unit, k, keys, state, allowed)
            break
