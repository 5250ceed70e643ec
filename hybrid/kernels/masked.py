"""Searches over some of the documents: everything is scored as for all, and what is denied is
dropped before selection.

``allowed`` (documents,) says of each doc_num whether it may be a hit. Where most are, this is
cheaper than scoring the allowed ones by name; tiles that hold none of them are passed over.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels import topk
from hybrid.kernels.keys import Keys
from hybrid.kernels.tiles import (
    RANGE,
    SWEEP_SHARE,
    TILE,
    WINDOW,
    Postings,
    add_tiles,
    add_window,
    enter_range,
    lookups,
)


@njit(cache=True, nogil=True)
def ascends(doc_nums: NDArray[np.int32]) -> bool:
    """Return whether each number is above the one before; counting all is vectorised."""
    falls = np.int32(0)
    for at in range(np.uint64(1), np.uint64(max(1, len(doc_nums)))):
        falls += np.int32(doc_nums[at] <= doc_nums[at - np.uint64(1)])
    return falls == 0


@njit(cache=True, nogil=True)
def mark(doc_nums: NDArray[np.int32], allowed: NDArray[np.bool_]) -> None:
    """Set ``allowed`` at the doc_nums, which are all inside."""
    for doc_num in doc_nums:
        allowed[np.uint64(doc_num)] = True


@njit(cache=True, nogil=True)
def holds_any(
    doc_nums: NDArray[np.int32], first: int, last: int, allowed: NDArray[np.bool_]
) -> bool:
    """Return whether one of ``doc_nums[first:last]`` is allowed; those below 0 are deleted."""
    for place in range(first, last):
        doc_num = doc_nums[place]
        if doc_num >= 0 and allowed[doc_num]:
            return True
    return False


@njit(cache=True, nogil=True)
def keep_allowed(
    doc_nums: NDArray[np.int32],
    allowed: NDArray[np.bool_],
    wanted: NDArray[np.int32],
    size: int,
) -> int:
    """Drop the tiles of ``wanted[:size]`` that hold no allowed document; return how many stay."""
    kept = 0
    for position in range(size):
        first = wanted[position] * TILE
        wanted[kept] = wanted[position]
        kept += holds_any(doc_nums, first, min(len(doc_nums), first + TILE), allowed)
    return kept


@njit(cache=True, nogil=True)
def collect(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    k: int,
    keys: Keys,
    state: NDArray[np.int64],
    allowed: NDArray[np.bool_],
) -> None:
    """Offer the hits of every allowed document to ``keys``; see `topk.offer`."""
    n = len(postings.order)
    scores = np.empty(WINDOW * TILE, dtype=np.float32)
    bits = scores.view(np.int32)
    touched = np.empty(WINDOW, dtype=np.int32)
    cursors = np.empty(len(terms), dtype=np.int64)
    ends = np.empty(len(terms), dtype=np.int64)
    tile_count = (n + TILE - 1) // TILE
    for part in range((n + RANGE - 1) // RANGE):
        if not enter_range(postings, terms, part, cursors, ends):
            continue
        range_first = part * (RANGE // TILE)
        range_last = min(range_first + RANGE // TILE, tile_count)
        for first in range(range_first, range_last, WINDOW):
            last = min(first + WINDOW, range_last)
            count = 0
            for tile in range(first, last):
                if holds_any(postings.order, tile * TILE, min(n, (tile + 1) * TILE), allowed):
                    touched[count] = tile
                    count += 1
            if count * SWEEP_SHARE > last - first:
                add_window(postings, terms, weights, table, cursors, ends, first, last, scores)
                size = min(n, last * TILE) - first * TILE
                topk.offer(bits, 0, size, postings.order, first * TILE, k, keys, state, allowed)
            elif count > 0:
                add_tiles(postings, terms, weights, table, touched[:count], scores)
                for slot in range(count):
                    begin = touched[slot] * TILE
                    start = slot * TILE
                    end = start + min(TILE, n - begin)
                    topk.offer(bits, start, end, postings.order, begin, k, keys, state, allowed)


@njit(cache=True, nogil=True)
def search(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
    allowed: NDArray[np.bool_],
) -> int:
    """Fill (k,) with the best allowed hits; return how many there are; see `tiles.search`."""
    k = len(out_nums)
    keys = np.empty(min(2 * k, len(postings.order)) + 192, dtype=np.uint64)
    state = topk.begin(topk.NUMBERS)
    table = lookups(postings, terms, weights)
    collect(postings, terms, weights, table, k, keys, state, allowed)
    return topk.ranking(postings.order, keys, state, out_nums, out_bits)
