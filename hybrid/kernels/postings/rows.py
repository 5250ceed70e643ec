"""Forward rows from term-major postings, so that no second copy of the weights is stored."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.sparse.layout import RANGE, TILE, Postings
from hybrid.kernels.sparse.tiles import bounds, seek


@njit(cache=True, nogil=True)
def seek_rows(
    postings: Postings,
    places: NDArray[np.int32],
    lengths: NDArray[np.int64],
    begins: NDArray[np.int64],
    columns: NDArray[np.int32],
    data: NDArray[np.float32],
) -> None:
    """Count the terms of the documents at ``places`` (ascending), or write their rows.

    With empty ``columns`` the counts are added to ``lengths``. Otherwise row i is written from
    ``begins[i]`` on, terms ascending.
    """
    write = len(columns) > 0
    cursors = begins.copy() if write else lengths
    n = len(postings.order)
    tile_count = (n + TILE - 1) // TILE
    per_range = RANGE // TILE
    for term in range(len(postings.scales)):
        if postings.spans[term, 0] == postings.spans[term, 1]:
            continue
        scale = postings.scales[term]
        head = postings.heads[term]
        part = -1
        tile = -1
        start = 0
        end = 0
        cursor = 0
        low = 0
        high = 0
        for row in range(len(places)):
            place = places[row]
            if place // RANGE != part:
                part = place // RANGE
                start, end = bounds(postings, term, part)
                cursor = start
            if start == end:
                continue
            weight = np.float32(0)
            found = False
            if head < 0:
                local = place % RANGE
                cursor = seek(postings.tail_places, cursor, end, local)
                if cursor < end and postings.tail_places[cursor] == local:
                    found = True
                    weight = np.float32(postings.tail_codes[cursor]) * scale
            else:
                if place // TILE != tile:
                    tile = place // TILE
                    low = start + np.int64(postings.head_starts[head, tile])
                    last = tile + 1 == tile_count or (tile + 1) % per_range == 0
                    high = end if last else start + np.int64(postings.head_starts[head, tile + 1])
                wanted = place % TILE
                offset = -1
                for position in range(low, high):
                    entry = postings.head_stream[position]
                    offset += np.int64(entry & 255) + 1
                    if offset >= wanted:
                        code = entry >> 8
                        found = offset == wanted and code > 0
                        weight = np.float32(code) * scale
                        break
            if found:
                if write:
                    columns[cursors[row]] = term
                    data[cursors[row]] = weight
                cursors[row] += 1


@njit(cache=True, nogil=True)
def read_rows(
    postings: Postings,
    row_of: NDArray[np.int32],
    lengths: NDArray[np.int64],
    begins: NDArray[np.int64],
    columns: NDArray[np.int32],
    data: NDArray[np.float32],
) -> None:
    """Do what `seek_rows` does, by reading every posting once: for many rows.

    ``row_of`` (n,) is the row of each place, -1 for those that are not wanted.
    """
    write = len(columns) > 0
    cursors = begins.copy() if write else lengths
    ranges = (len(postings.order) + RANGE - 1) // RANGE
    for term in range(len(postings.scales)):
        scale = postings.scales[term]
        head = postings.heads[term] >= 0
        for part in range(ranges):
            start, end = bounds(postings, term, part)
            place = part * RANGE - 1
            for at in range(start, end):
                if head:
                    entry = np.int64(postings.head_stream[at])
                    place += (entry & 255) + 1
                    weight = np.float32(entry >> 8) * scale
                    if entry < 256:
                        continue
                else:
                    place = part * RANGE + np.int64(postings.tail_places[at])
                    weight = np.float32(postings.tail_codes[at]) * scale
                row = row_of[place]
                if row >= 0:
                    if write:
                        columns[cursors[row]] = term
                        data[cursors[row]] = weight
                    cursors[row] += 1
