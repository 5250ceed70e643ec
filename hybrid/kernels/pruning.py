"""Block-max pruning (Mallia et al., SIGIR 2024) over tiled postings: exact, with early stop.

An upper bound of every block's scores comes from the head terms' stored block maxima and the tail
terms' postings, in 16-bit whole numbers. Tiles are then scored in rounds, those with the highest
bounds first, each round in ascending order, until no bound reaches the k-th best score. Rounds take
the place of a sort: within one the postings are read forwards. When too many are left for picking
to pay, they are swept window by window, at the cost of an exhaustive search.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numba.cpython.unsafe.numbers import trailing_zeros
from numpy.typing import NDArray

from hybrid.kernels import exhaustive, masked, topk
from hybrid.kernels.tiles import (
    BLOCK,
    LEVEL,
    RANGE,
    SWEEP_SHARE,
    TILE,
    WINDOW,
    Postings,
    add_window,
    bounds,
    enter_range,
    lookups,
)

BATCH = 32
BUCKETS = 512
IN_BUCKET = 128  # counts of a bound; all buckets together hold 16 bits
MOST_TERMS = 1024
FRACTION = 4096  # of a count: steps of a tail's codes are whole numbers of it, rounded up
CODES = np.arange(256, dtype=np.uint32)
COUNTERS = 4  # neighbours count apart: a count that waits for the one before is slow
LEAST_UNIT = 2.0**-100  # below it float32 underflow may lift a score above its bound


@njit(cache=True, nogil=True)
def counts_of(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    table: NDArray[np.uint16],
) -> float:
    """Fill ``table`` (terms, 256) with what a posting adds to a bound; return one count's score.

    Bounds are 16-bit sums of these, every rounding going up. A tail's row is read by code, a
    head's by level. At most 1,024 terms, for which no sum exceeds 16 bits.
    """
    total = 0.0
    for row in range(len(terms)):
        total += 255 * (np.float64(postings.scales[terms[row]]) * np.float64(weights[row]))
    unit = total / (65535 - 16 * len(terms))
    for row in range(len(terms)):
        factor = np.float64(postings.scales[terms[row]]) * np.float64(weights[row]) / unit
        if postings.heads[terms[row]] >= 0:
            step = np.int64(np.ceil(factor * LEVEL))
            for level in range(16):
                table[row, level] = level * step
        else:
            step = np.uint32(np.ceil(factor * FRACTION))
            up = np.uint32(FRACTION - 1)
            for code in range(np.uint64(256)):
                table[row, code] = (CODES[code] * step + up) // np.uint32(FRACTION)
    return unit


@njit(cache=True, nogil=True)
def add_head_bounds(
    packed: NDArray[np.uint8], first: int, half: int, step: np.uint16, sums: NDArray[np.uint16]
) -> None:
    """Add ``step`` times the levels in the ``half`` bytes from ``first`` on to ``sums``."""
    for byte in range(np.uint64(half)):
        levels = packed[np.uint64(first) + byte]
        sums[byte] += np.uint16(levels & np.uint8(15)) * step
        sums[byte + np.uint64(half)] += np.uint16(levels >> np.uint8(4)) * step


@njit(cache=True, nogil=True)
def add_tail_bounds(
    places: NDArray[np.uint16],
    codes: NDArray[np.generic],
    start: int,
    end: int,
    row: NDArray[np.uint16],
    sums: NDArray[np.uint16],
) -> None:
    """Add the largest ``row[code]`` of each block to ``sums``.

    A posting adds what it exceeds the block's earlier ones by: no branch depends on what is read.
    """
    last = np.uint64(RANGE)
    largest = np.uint64(0)
    for at in range(np.uint64(start), np.uint64(end)):
        block = np.uint64(places[at]) // np.uint64(BLOCK)
        largest = largest if block == last else np.uint64(0)
        higher = max(np.uint64(row[np.uint64(codes[at])]), largest)
        sums[block] += np.uint16(higher - largest)
        largest = higher
        last = block


@njit(cache=True, nogil=True)
def bound_range(
    postings: Postings,
    terms: NDArray[np.int32],
    table: NDArray[np.uint16],
    part: int,
    sums: NDArray[np.uint16],
) -> None:
    """Fill ``sums`` (blocks of the range,) with bounds of the blocks' scores, in counts."""
    sums[:] = 0
    first = part * (RANGE // BLOCK // 2)
    for row in range(len(terms)):
        head = postings.heads[terms[row]]
        if head >= 0:
            packed = postings.head_maxima[head]
            add_head_bounds(packed, first, len(sums) // 2, table[row, 1], sums)
        else:
            start, end = bounds(postings, terms[row], part)
            add_tail_bounds(postings.tail_places, postings.tail_codes, start, end, table[row], sums)


@njit(cache=True, nogil=True)
def largest_of_four(values: NDArray[np.uint16], out: NDArray[np.uint16]) -> None:
    """Fill ``out`` with the largest of each four ``values``: twice this is a tile's 16 blocks."""
    for position in range(np.uint64(len(out))):
        first = position * np.uint64(4)
        a = values[first]
        b = values[first + np.uint64(1)]
        c = values[first + np.uint64(2)]
        d = values[first + np.uint64(3)]
        a = a if a > b else b
        c = c if c > d else d
        out[position] = a if a > c else c


@njit(cache=True, nogil=True)
def bound(
    postings: Postings,
    terms: NDArray[np.int32],
    table: NDArray[np.uint16],
    tile_bounds: NDArray[np.int32],
) -> int:
    """Fill ``tile_bounds`` (tiles,) with each tile's largest block bound; return the largest."""
    tile_count = len(tile_bounds)
    per_range = RANGE // TILE
    per_tile = TILE // BLOCK
    every = np.empty(RANGE // BLOCK, dtype=np.uint16)
    fours = np.empty(RANGE // BLOCK // 4, dtype=np.uint16)
    largest = np.empty(per_range, dtype=np.uint16)
    highest = 0
    for first in range(0, tile_count, per_range):
        size = min(per_range, tile_count - first)
        sums = every[: size * per_tile]
        bound_range(postings, terms, table, first // per_range, sums)
        largest_of_four(sums, fours[: size * per_tile // 4])
        largest_of_four(fours, largest[:size])
        for tile in range(size):
            tile_bounds[first + tile] = largest[tile]
            highest = max(highest, np.int64(largest[tile]))
    return highest


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
def collect(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    shrink: float,
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> None:
    """Offer all hits that may be among the k best to ``keys``; see `topk.offer`.

    What ``keys`` and ``state`` hold already, of other postings, raises the floor from the start.
    ``allowed`` is that of `topk.offer`; tiles that hold no allowed document are not scored.
    """
    n = len(postings.order)
    added = np.empty((min(len(terms), MOST_TERMS), 256), dtype=np.uint16)
    unit = 0.0
    if len(terms) <= MOST_TERMS:
        unit = counts_of(postings, terms, weights, added)
    if unit < LEAST_UNIT:
        table = lookups(postings, terms, weights)
        exhaustive.collect(postings, terms, weights, table, k, keys, state, allowed)
        return
    tile_count = (n + TILE - 1) // TILE
    tile_bounds = np.empty(tile_count, dtype=np.int32)
    highest = bound(postings, terms, added, tile_bounds)
    if highest == 0:
        return
    # A float32 sum of m products is within m + 1 roundings of the true one.
    unit *= (1 + (len(terms) + 4) * 2.0**-23) * shrink
    counts = np.zeros((COUNTERS, BUCKETS + 1), dtype=np.int32)
    for tile in range(np.uint64(tile_count)):
        bucket = np.uint64(tile_bounds[tile]) // np.uint64(IN_BUCKET)
        counts[tile % np.uint64(COUNTERS), bucket] += 1

    table = lookups(postings, terms, weights)
    scores = np.empty(BATCH * TILE, dtype=np.float32)
    floor = needed(state[topk.FLOOR], unit)
    wanted = np.empty(tile_count, dtype=np.int32)
    lowest = BUCKETS
    quota = max(8, 8 * k // TILE)
    while True:
        taken = 0
        while lowest > 0 and taken < quota:
            lowest -= 1
            for counter in range(COUNTERS):
                taken += counts[counter, lowest]
        quota *= 3
        edge = max(lowest * IN_BUCKET, floor)
        size = take(tile_bounds, edge, wanted)
        if allowed is not None:
            size = masked.keep_allowed(postings.order, allowed, wanted, size)
        for start in range(0, size, BATCH):
            batch = wanted[start : min(start + BATCH, size)]
            exhaustive.offer_tiles(
                postings, terms, weights, table, batch, scores, k, keys, state, allowed
            )
        topk.tighten(k, postings.order, keys, state)
        floor = needed(state[topk.FLOOR], unit)
        left = 0
        for tile in range(tile_count):
            left += tile_bounds[tile] >= floor
        if left == 0:
            break
        if left * SWEEP_SHARE > tile_count:
            sweep(postings, terms, weights, table, tile_bounds, unit, k, keys, state, allowed)
            break


@njit(cache=True, nogil=True)
def search(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    shrink: float,
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
    allowed: NDArray[np.bool_] | None = None,
) -> int:
    """Fill (k,) with the best hits; return how many there are.

    With ``shrink`` 1 the result is that of an exhaustive search. Under 1 every bound is multiplied
    by it: tiles are skipped that could, but probably do not, hold a hit.
    """
    k = len(out_nums)
    keys = np.empty(min(2 * k, len(postings.order)) + 192, dtype=np.uint64)
    state = topk.begin(topk.PLACES if allowed is None else topk.NUMBERS)
    collect(postings, terms, weights, shrink, k, keys, state, allowed)
    return topk.ranking(postings.order, keys, state, out_nums, out_bits)
