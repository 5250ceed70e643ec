"""Scoring of single tiles, picked here and there, and of single documents.

First is found where every tile's entries lie, and all of them are asked for; then they are added.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.sparse.layout import RANGE, TILE, Postings
from hybrid.kernels.sparse.prefetch import prefetch, prefetch_run
from hybrid.kernels.sparse.tiles import (
    SWEEP_SHARE,
    WINDOW,
    add_entries,
    add_window,
    bounds,
    clear,
    contribution,
    enter_range,
    lookups,
    seek,
)


@njit(cache=True, nogil=True)
def ask_starts(postings: Postings, terms: NDArray[np.int32], tiles: NDArray[np.int32]) -> None:
    """Ask for where head terms' entries of these tiles begin."""
    for term in terms:
        head = postings.heads[term]
        if head >= 0:
            starts = postings.head_starts[head]
            for tile in tiles:
                prefetch(starts, np.int64(tile))


@njit(cache=True, nogil=True)
def locate(
    postings: Postings,
    terms: NDArray[np.int32],
    tiles: NDArray[np.int32],
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
    slots: int,
) -> None:
    """Set where head terms' entries of ``tiles[i]`` begin and end, and ask for them.

    They go to column ``slots + i`` of ``lows`` and ``highs`` (terms, batch).
    """
    per_range = RANGE // TILE
    tile_count = (len(postings.order) + TILE - 1) // TILE
    for row in range(len(terms)):
        head = postings.heads[terms[row]]
        if head < 0:
            continue
        part = -1
        start = 0
        end = 0
        for slot in range(len(tiles)):
            tile = tiles[slot]
            if tile // per_range != part:
                part = tile // per_range
                start, end = bounds(postings, terms[row], part)
            low = 0
            high = 0
            if start < end:
                last = tile + 1 == tile_count or (tile + 1) % per_range == 0
                low = start + np.int64(postings.head_starts[head, tile])
                high = end if last else start + np.int64(postings.head_starts[head, tile + 1])
                prefetch_run(postings.head_stream, low, high)
            lows[row, slots + slot] = low
            highs[row, slots + slot] = high


@njit(cache=True, nogil=True)
def add_located(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    tiles: NDArray[np.int32],
    lows: NDArray[np.int64],
    highs: NDArray[np.int64],
    slots: int,
    scores: NDArray[np.float32],
) -> None:
    """Set ``scores`` as `add_tiles` does, of tiles that `locate` was called for."""
    per_range = RANGE // TILE
    clear(scores, len(tiles) * TILE)
    for row in range(len(terms)):
        term = terms[row]
        lookup = table[row]
        if postings.heads[term] >= 0:
            for slot in range(len(tiles)):
                low = lows[row, slots + slot]
                high = highs[row, slots + slot]
                add_entries(postings.head_stream, low, high, lookup, scores, slot * TILE)
            continue
        part = -1
        start = 0
        end = 0
        cursor = 0
        for slot in range(len(tiles)):
            tile = tiles[slot]
            if tile // per_range != part:
                part = tile // per_range
                start, end = bounds(postings, term, part)
                cursor = start
            if start == end:
                continue
            floor = (tile % per_range) * TILE
            cursor = seek(postings.tail_places, cursor, end, floor)
            shift = slot * TILE - floor
            while cursor < end and postings.tail_places[cursor] < floor + TILE:
                scores[np.uint64(shift + np.int64(postings.tail_places[cursor]))] += contribution(
                    postings.tail_codes, cursor, lookup, postings.scales[term], weights[row]
                )
                cursor += 1


@njit(cache=True, nogil=True)
def add_tiles(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    table: NDArray[np.float32],
    tiles: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """Set ``scores[i * 256 : (i + 1) * 256]`` to the scores of tile ``tiles[i]``, ascending."""
    lows = np.empty((len(terms), len(tiles)), dtype=np.int64)
    highs = np.empty((len(terms), len(tiles)), dtype=np.int64)
    # First find where every tile's entries lie and ask for them, so that the memory serves many.
    ask_starts(postings, terms, tiles)
    locate(postings, terms, tiles, lows, highs, 0)
    add_located(postings, terms, weights, table, tiles, lows, highs, 0, scores)


@njit(cache=True, nogil=True)
def score_places(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    places: NDArray[np.int32],
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` with the scores of the documents at ``places``, which ascend.

    Only tiles that hold one of them are scored, one by one where they are few in a window.
    """
    table = lookups(postings, terms, weights)
    scores = np.empty(WINDOW * TILE, dtype=np.float32)
    touched = np.empty(WINDOW, dtype=np.int32)
    cursors = np.empty(len(terms), dtype=np.int64)
    ends = np.empty(len(terms), dtype=np.int64)
    per_range = RANGE // TILE
    tile_count = (len(postings.order) + TILE - 1) // TILE
    part = -1
    done = 0
    while done < len(places):
        first = places[done] // TILE // WINDOW * WINDOW
        last = min(first + WINDOW, tile_count)
        count = 0
        end = done
        while end < len(places) and places[end] < last * TILE:
            tile = places[end] // TILE
            if count == 0 or tile != touched[count - 1]:
                touched[count] = tile
                count += 1
            end += 1
        if count * SWEEP_SHARE > last - first:
            if first // per_range != part:
                part = first // per_range
                enter_range(postings, terms, part, cursors, ends)
            add_window(postings, terms, weights, table, cursors, ends, first, last, scores)
            for position in range(done, end):
                out[position] = scores[places[position] - first * TILE]
        else:
            add_tiles(postings, terms, weights, table, touched[:count], scores)
            slot = 0
            for position in range(done, end):
                while touched[slot] != places[position] // TILE:
                    slot += 1
                out[position] = scores[slot * TILE + places[position] % TILE]
        done = end
