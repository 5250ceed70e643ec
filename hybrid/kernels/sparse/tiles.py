"""Scoring over tiled postings, term at a time, in accumulators that fit a cache.

Terms are added in ascending order with float32 products and sums (adding a zero changes no bit),
one document's score is therefore the same bits on every path.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

from hybrid.kernels.sparse.layout import BLOCK, RANGE, TILE, Postings
from hybrid.kernels.sparse.prefetch import prefetch_run

LEVEL = 17  # block maxima are stored as multiples of it, rounded up: 15 of them reach 255
WINDOW = 32  # tiles that are scored together where some may be left out; divides those of a range
WIDE = 64  # the same where all are wanted
AHEAD = 1024  # entries of a term's next window that are asked for while other terms are added
CODES = np.arange(256, dtype=np.float32)
SEEK = 256  # places that are compared at once
SWEEP_SHARE = 4  # scoring a tile within a window costs about a quarter of picking it


@njit(cache=True, nogil=True)
def pack_maxima(maxima: NDArray[np.uint8], packed: NDArray[np.uint8]) -> None:
    """Fill ``packed`` (blocks / 2,) with the levels that cover ``maxima`` (blocks,), two a byte.

    A level is ceil(code / 17). In each range the low halves of the bytes are its first half of
    blocks and the high halves its second, so that unpacking needs no shuffle.
    """
    per_range = RANGE // BLOCK
    for first in range(0, len(maxima), per_range):
        half = (min(first + per_range, len(maxima)) - first) // 2
        for byte in range(half):
            low = (np.int64(maxima[first + byte]) + LEVEL - 1) // LEVEL
            high = (np.int64(maxima[first + half + byte]) + LEVEL - 1) // LEVEL
            packed[first // 2 + byte] = low | (high << 4)


def contribution(codes, at, lookup, scale, weight):  # type: ignore[no-untyped-def]
    """Return the score of one posting: looked up for uint8, multiplied for float32."""
    raise NotImplementedError


@overload(contribution, inline="always")
def _contribution(codes, at, lookup, scale, weight):  # type: ignore[no-untyped-def]
    if isinstance(codes.dtype, types.Float):
        return lambda codes, at, lookup, scale, weight: (codes[at] * scale) * weight
    return lambda codes, at, lookup, scale, weight: lookup[codes[at]]


@njit(cache=True, nogil=True)
def lookups(
    postings: Postings, terms: NDArray[np.int32], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the score of each code, float32 (terms, 256)."""
    table = np.empty((len(terms), 256), dtype=np.float32)
    for row in range(len(terms)):
        scale = postings.scales[terms[row]]
        weight = weights[row]
        for code in range(np.uint64(256)):
            table[row, code] = (CODES[code] * scale) * weight
    return table


@njit(cache=True, nogil=True)
def bounds(postings: Postings, term: int, part: int) -> tuple[int, int]:
    """Return where the postings of a term in one range begin and end in their stream."""
    cuts = postings.cuts
    start = postings.spans[term, 0]
    low = start if part == 0 else start + np.int64(cuts[term, part - 1])
    high = postings.spans[term, 1] if part >= cuts.shape[1] else start + np.int64(cuts[term, part])
    return low, high


@njit(cache=True, nogil=True)
def clear(scores: NDArray[np.float32], size: int) -> None:
    """Set ``scores[:size]`` to zero; this form becomes a memset, a slice assignment does not."""
    for position in range(np.uint64(size)):
        scores[position] = 0


@njit(cache=True, nogil=True)
def add_entries(
    stream: NDArray[np.uint16],
    start: int,
    end: int,
    lookup: NDArray[np.float32],
    scores: NDArray[np.float32],
    base: int,
) -> None:
    """Add a head term's entries, which begin at a tile whose scores begin at ``base``."""
    place = np.uint64(base) - np.uint64(1)
    for at in range(np.uint64(start), np.uint64(end)):
        entry = np.uint64(stream[at])
        place += (entry & np.uint64(255)) + np.uint64(1)
        scores[place] += lookup[entry >> np.uint64(8)]


@njit(cache=True, nogil=True)
def below(places: NDArray[np.uint16], start: int, size: int, wanted: int) -> int:
    """Return how many of ``places[start : start + size]`` are below ``wanted``.

    Counting all has no branch that depends on what is read, and is vectorised.
    """
    limit = np.uint16(wanted)
    count = np.uint16(0)
    for position in range(np.uint64(size)):
        count = np.uint16(count + np.uint16(places[np.uint64(start) + position] < limit))
    return np.int64(count)


@njit(cache=True, nogil=True)
def seek(places: NDArray[np.uint16], start: int, end: int, wanted: int) -> int:
    """Return the first position in ``[start, end)`` whose place is ``wanted`` or more."""
    low = start
    while low + SEEK <= end and places[low + SEEK - 1] < wanted:
        low += SEEK
    return low + below(places, low, min(SEEK, end - low), wanted)


@njit(cache=True, nogil=True)
def enter_range(
    postings: Postings,
    terms: NDArray[np.int32],
    part: int,
    cursors: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> bool:
    """Set each term's ``cursors`` and ``ends`` to its postings in a range; say if there are any."""
    found = False
    for row in range(len(terms)):
        cursors[row], ends[row] = bounds(postings, terms[row], part)
        found |= cursors[row] < ends[row]
    return found


@njit(cache=True, nogil=True)
def add_window(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    cursors: NDArray[np.int64],
    ends: NDArray[np.int64],
    first: int,
    last: int,
    scores: NDArray[np.float32],
) -> None:
    """Set ``scores[:256 * (last - first)]`` to the scores of tiles ``first`` to ``last``.

    The tiles lie in the range that ``enter_range`` was called for, after those of earlier calls.
    """
    clear(scores, (last - first) * TILE)
    per_range = RANGE // TILE
    range_end = last % per_range == 0 or last * TILE >= len(postings.order)
    floor = (first % per_range) * TILE
    limit = floor + (last - first) * TILE
    for row in range(len(terms)):
        low = cursors[row]
        end = ends[row]
        if low == end:
            continue
        term = terms[row]
        head = postings.heads[term]
        lookup = table[row]
        if head >= 0:
            starts = postings.head_starts[head]
            start = low + np.int64(starts[first])
            stop = end if range_end else low + np.int64(starts[last])
            add_entries(postings.head_stream, start, stop, lookup, scores, 0)
            soon = min(stop + AHEAD, len(postings.head_stream))
            prefetch_run(postings.head_stream, stop, soon)
            continue
        places = postings.tail_places
        if places[low] < floor:
            low = seek(places, low, end, floor)
        at = np.uint64(low)
        stop_at = np.uint64(end)
        while at < stop_at and places[at] < limit:
            scores[places[at] - np.uint64(floor)] += contribution(
                postings.tail_codes, at, lookup, postings.scales[term], weights[row]
            )
            at += np.uint64(1)
        cursors[row] = np.int64(at)
