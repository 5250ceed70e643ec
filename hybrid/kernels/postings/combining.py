"""Combines the postings of small segments into one, in memory, for searches to read in one go.

What a query costs in a segment of some thousand documents is finding its lists, not reading them.
Combined, every term has one list again. Deleted documents are left out, places follow the segments
in turn, and codes stay what they are, so scores keep their bits.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.postings.assembly import head_term
from hybrid.kernels.sparse.layout import RANGE, TILE, Postings
from hybrid.kernels.sparse.table import Table, postings_of


@njit(cache=True, nogil=True)
def new_places(table: Table, order: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the new place of each old one, segment after segment; -1 for a deleted document.

    ``order`` (documents,) receives the number of each live document by new place.
    """
    total = 0
    for segment in range(len(table.tiles) - 1):
        total += len(postings_of(table, segment).order)
    moved = np.empty(total, dtype=np.int32)
    at = 0
    place = 0
    for segment in range(len(table.tiles) - 1):
        for number in postings_of(table, segment).order:
            moved[at] = -1
            if number >= 0:
                moved[at] = place
                order[place] = number
                place += 1
            at += 1
    return moved


@njit(cache=True, nogil=True)
def live_postings(
    postings: Postings,
    term: int,
    moved: NDArray[np.int32],
    size: int,
    places: NDArray[np.uint16],
    codes: NDArray[np.generic],
) -> int:
    """Write a term's postings of live documents from position ``size`` on; return the next.

    The segment has one range; ``moved`` are the new places of its own.
    """
    start = postings.spans[term, 0]
    end = postings.spans[term, 1]
    if postings.heads[term] >= 0:
        place = -1
        for at in range(start, end):
            entry = np.int64(postings.head_stream[at])
            place += (entry & 255) + 1
            # A tile that does not end in a posting has an entry without a weight there.
            if entry >> 8 and moved[place] >= 0:
                places[size] = moved[place]
                codes[size] = entry >> 8
                size += 1
        return size
    for at in range(start, end):
        place = moved[postings.tail_places[at]]
        if place >= 0:
            places[size] = place
            codes[size] = postings.tail_codes[at]
            size += 1
    return size


@njit(cache=True, nogil=True)
def tiles_of(places: NDArray[np.uint16]) -> int:
    """Return in how many tiles the places lie, which ascend."""
    last = -1
    count = 0
    for place in places:
        tile = np.int64(place) // TILE
        count += tile != last
        last = tile
    return count


@njit(cache=True, nogil=True)
def combine(
    table: Table,
    moved: NDArray[np.int32],
    tile_count: int,
    least: NDArray[np.int64],
    heads: NDArray[np.int32],
    spans: NDArray[np.int64],
    head_stream: NDArray[np.uint16],
    head_starts: NDArray[np.uint16],
    head_maxima: NDArray[np.uint8],
    tail_places: NDArray[np.uint16],
    tail_codes: NDArray[np.generic],
) -> tuple[int, int, int]:
    """Fill the arrays of combined `Postings` of one range; return how many of each class.

    Returned are the heads, their entries and the tails' postings. ``moved`` comes from
    `new_places`; a term becomes a head from ``least`` (2,) postings and tiles on. The arrays to
    fill have room for whatever may come.
    """
    places = np.empty(RANGE, dtype=np.uint16)
    found = np.empty(RANGE, dtype=tail_codes.dtype)
    counts = np.empty(1, dtype=np.int64)
    no_cuts = np.empty(0, dtype=np.uint32)
    rows = 0
    entries = 0
    tails = 0
    for term in range(len(heads)):
        size = 0
        first = 0
        for segment in range(len(table.tiles) - 1):
            postings = postings_of(table, segment)
            after = first + len(postings.order)
            size = live_postings(postings, term, moved[first:after], size, places, found)
            first = after
        if size >= least[0] and tiles_of(places[:size]) >= least[1]:
            counts[0] = size
            heads[term] = rows
            spans[term, 0] = entries
            entries = head_term(
                places,
                found,
                counts,
                tile_count,
                head_stream,
                entries,
                head_starts[rows],
                head_maxima[rows],
                no_cuts,
            )
            spans[term, 1] = entries
            rows += 1
            continue
        heads[term] = -1
        spans[term, 0] = tails
        for position in range(size):
            tail_places[tails] = places[position]
            tail_codes[tails] = found[position]
            tails += 1
        spans[term, 1] = tails
    return rows, entries, tails
