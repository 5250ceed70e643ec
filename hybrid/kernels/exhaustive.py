"""Exhaustive search: every document is scored, window by window, and offered to the k best."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels import masked, topk
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
def offer_tiles(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    tiles: NDArray[np.int32],
    scores: NDArray[np.float32],
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> None:
    """Offer the hits of ``tiles``, ascending, to ``keys``; ``scores`` has room for all of them."""
    add_tiles(postings, terms, weights, table, tiles, scores)
    bits = scores.view(np.int32)
    for slot in range(len(tiles)):
        first = tiles[slot] * TILE
        end = slot * TILE + min(TILE, len(postings.order) - first)
        topk.offer(bits, slot * TILE, end, postings.order, first, k, keys, state, allowed)


@njit(cache=True, nogil=True)
def collect(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> None:
    """Offer the hits of every document to ``keys``; see `topk.offer`, whose ``allowed`` it is.

    Where few tiles of a window hold an allowed document, these are scored one by one.
    """
    n = len(postings.order)
    scores = np.empty(WINDOW * TILE, dtype=np.float32)
    bits = scores.view(np.int32)
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
            if allowed is not None:
                held = np.arange(first, last, dtype=np.int32)
                count = masked.keep_allowed(postings.order, allowed, held, len(held))
                if count * SWEEP_SHARE <= last - first:
                    few = held[:count]
                    offer_tiles(
                        postings, terms, weights, table, few, scores, k, keys, state, allowed
                    )
                    continue
            add_window(postings, terms, weights, table, cursors, ends, first, last, scores)
            size = min(n, last * TILE) - first * TILE
            topk.offer(bits, 0, size, postings.order, first * TILE, k, keys, state, allowed)


@njit(cache=True, nogil=True)
def search(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
    allowed: NDArray[np.bool_] | None = None,
) -> int:
    """Fill (k,) with the best hits of an exhaustive search; return how many there are.

    ``terms`` ascend, ``weights`` are above zero; ``out_bits`` receives the bits of the scores.
    """
    k = len(out_nums)
    keys = np.empty(min(2 * k, len(postings.order)) + 192, dtype=np.uint64)
    state = topk.begin(topk.PLACES if allowed is None else topk.NUMBERS)
    table = lookups(postings, terms, weights)
    collect(postings, terms, weights, table, k, keys, state, allowed)
    return topk.ranking(postings.order, keys, state, out_nums, out_bits)
