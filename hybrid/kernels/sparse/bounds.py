"""Upper bounds of the scores of blocks and tiles, in 16-bit whole numbers.

They come from the head terms' stored block maxima and the tail terms' postings.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.sparse.layout import BLOCK, RANGE, TILE, Postings
from hybrid.kernels.sparse.tiles import LEVEL, bounds

MOST_TERMS = 1024
FRACTION = 4096  # of a count: steps of a tail's codes are whole numbers of it, rounded up
CODES = np.arange(256, dtype=np.uint32)
LEAST_UNIT = 2.0**-100  # below it float32 underflow may lift a score above its bound


@njit(cache=True, nogil=True)
def counts_of(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    steps: NDArray[np.uint16],
    table: NDArray[np.uint16],
    every: bool,
) -> float:
    """Fill ``steps`` and ``table`` with the counts added to a bound; return one count's score.

    Bounds are 16-bit sums, every rounding going up: of a head term (terms,) ``steps`` for each
    level, of a tail term's codes what stands in ``table`` (terms, 256), whose rows of head terms
    are left out unless ``every`` is set. At most 1,024 terms, for which no sum exceeds 16 bits.
    """
    total = 0.0
    for row in range(len(terms)):
        total += 255 * (np.float64(postings.scales[terms[row]]) * np.float64(weights[row]))
    unit = total / (65535 - 16 * len(terms))
    for row in range(len(terms)):
        factor = np.float64(postings.scales[terms[row]]) * np.float64(weights[row]) / unit
        steps[row] = np.uint16(np.ceil(factor * LEVEL))
        if every or postings.heads[terms[row]] < 0:
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
    steps: NDArray[np.uint16],
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
            add_head_bounds(packed, first, len(sums) // 2, steps[row], sums)
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
    steps: NDArray[np.uint16],
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
        bound_range(postings, terms, steps, table, first // per_range, sums)
        largest_of_four(sums, fours[: size * per_tile // 4])
        largest_of_four(fours, largest[:size])
        for tile in range(size):
            tile_bounds[first + tile] = largest[tile]
            highest = max(highest, np.int64(largest[tile]))
    return highest
