"""Exhaustive search: every document is scored, window by window, and offered to the k best."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels import masks
from hybrid.kernels.sparse import topk
from hybrid.kernels.sparse.layout import RANGE, TILE, Postings
from hybrid.kernels.sparse.picking import add_tiles
from hybrid.kernels.sparse.tiles import SWEEP_SHARE, WIDE, WINDOW, add_window, enter_range

MANY_TERMS = 16  # with fewer, clearing and reading the scores is what counts


@njit(cache=True, nogil=True)
def offer_scored(
    postings: Postings,
    tiles: NDArray[np.int32],
    scores: NDArray[np.float32],
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
    allowed: NDArray[np.bool_] | None = None,
) -> None:
    """Offer the hits of ``tiles``, whose scores stand side by side."""
    bits = scores.view(np.int32)
    for slot in range(len(tiles)):
        first = tiles[slot] * TILE
        end = slot * TILE + min(TILE, len(postings.order) - first)
        topk.offer(bits, slot * TILE, end, postings.order, first, k, keys, state, allowed)


@njit(cache=True, nogil=True)
def search_all(
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
    width = WIDE if allowed is None and len(terms) >= MANY_TERMS else WINDOW
    scores = np.empty(WIDE * TILE, dtype=np.float32)
    bits = scores.view(np.int32)
    cursors = np.empty(len(terms), dtype=np.int64)
    ends = np.empty(len(terms), dtype=np.int64)
    tile_count = (n + TILE - 1) // TILE
    for part in range((n + RANGE - 1) // RANGE):
        if not enter_range(postings, terms, part, cursors, ends):
            continue
        range_first = part * (RANGE // TILE)
        range_last = min(range_first + RANGE // TILE, tile_count)
        for first in range(range_first, range_last, width):
            last = min(first + width, range_last)
            if allowed is not None:
                held = np.arange(first, last, dtype=np.int32)
                count = masks.keep_allowed(postings.order, allowed, held, len(held))
                if count * SWEEP_SHARE <= last - first:
                    few = held[:count]
                    add_tiles(postings, terms, weights, table, few, scores)
                    offer_scored(postings, few, scores, k, keys, state, allowed)
                    continue
            add_window(postings, terms, weights, table, cursors, ends, first, last, scores)
            size = min(n, last * TILE) - first * TILE
            topk.offer(bits, 0, size, postings.order, first * TILE, k, keys, state, allowed)
