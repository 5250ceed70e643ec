"""The inner loops of an index build: quantise, sort by term, cut into tiles."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.reference import BAD_WEIGHT, CANONICAL, NOT_CANONICAL
from hybrid.kernels.sparse.layout import BLOCK, RANGE, TILE
from hybrid.kernels.sparse.tiles import pack_maxima


@njit(cache=True, nogil=True)
def inspect(
    indptr: NDArray[np.generic], terms: NDArray[np.generic], weights: NDArray[np.float32]
) -> int:
    """Return the state of a CSR matrix.

    CANONICAL: terms ascend strictly and weights are above zero. NOT_CANONICAL: a term is out of
    order or repeated, or a weight is zero. BAD_WEIGHT: one is negative or not finite.
    """
    state = CANONICAL
    for row in range(len(indptr) - 1):
        last = -1
        for entry in range(indptr[row], indptr[row + 1]):
            weight = weights[entry]
            if not (weight >= 0 and weight < np.inf):
                return BAD_WEIGHT
            if weight == 0 or terms[entry] <= last:
                state = NOT_CANONICAL
            last = terms[entry]
    return state


@njit(cache=True, nogil=True)
def observe(
    terms: NDArray[np.generic], weights: NDArray[np.float32], largest: NDArray[np.float32]
) -> None:
    """Raise ``largest`` (vocabulary,) to the largest weight seen of each term."""
    for entry in range(len(terms)):
        term = terms[entry]
        if weights[entry] > largest[term]:
            largest[term] = weights[entry]


@njit(cache=True, nogil=True)
def quantise(
    terms: NDArray[np.generic],
    weights: NDArray[np.float32],
    scales: NDArray[np.float32],
    codes: NDArray[np.uint8],
    loss: NDArray[np.float64],
) -> None:
    """Fill ``codes`` with round(weight / scale).

    ``loss`` gathers the largest absolute error, the sum of errors, the sum of weights and the
    number of weights that became zero.
    """
    for entry in range(len(terms)):
        scale = scales[terms[entry]]
        code = min(np.rint(weights[entry] / scale), np.float32(255))
        codes[entry] = np.uint8(code)
        error = abs(float(code * scale) - float(weights[entry]))
        loss[0] = max(loss[0], error)
        loss[1] += error
        loss[2] += weights[entry]
        loss[3] += code == 0


@njit(cache=True, nogil=True)
def by_term(
    lengths: NDArray[np.int32],
    terms: NDArray[np.generic],
    codes: NDArray[np.generic],
    counts: NDArray[np.int64],
    tiles: NDArray[np.int64],
    out_places: NDArray[np.uint16],
    out_codes: NDArray[np.generic],
) -> int:
    """Sort one range's rows by term, places ascending, zero codes left out; return the postings.

    ``counts`` (vocabulary,) receives each term's postings, ``tiles`` the tiles that it occurs in.
    """
    counts[:] = 0
    tiles[:] = 0
    for entry in range(len(terms)):
        if codes[entry] != 0:
            counts[terms[entry]] += 1
    vocabulary = len(counts)
    cursors = np.empty(vocabulary, dtype=np.int64)
    last = np.full(vocabulary, -1, dtype=np.int64)
    total = 0
    for term in range(vocabulary):
        cursors[term] = total
        total += counts[term]
    entry = 0
    for place in range(len(lengths)):
        tile = place // TILE
        for _ in range(lengths[place]):
            if codes[entry] != 0:
                term = terms[entry]
                at = cursors[term]
                out_places[at] = place
                out_codes[at] = codes[entry]
                cursors[term] = at + 1
                if last[term] != tile:
                    last[term] = tile
                    tiles[term] += 1
            entry += 1
    return total


@njit(cache=True, nogil=True)
def head_term(
    places: NDArray[np.uint16],
    codes: NDArray[np.generic],
    counts: NDArray[np.int64],
    tile_count: int,
    stream: NDArray[np.uint16],
    at: int,
    starts: NDArray[np.uint16],
    packed: NDArray[np.uint8],
    cuts: NDArray[np.uint32],
) -> int:
    """Write one head term from position ``at`` of ``stream``; return the position after it.

    ``places`` and ``codes`` are the term's postings, ``counts`` how many lie in each range.
    """
    per_range = RANGE // TILE
    begin = at
    posting = 0
    maxima = np.zeros(tile_count * (TILE // BLOCK), dtype=np.uint8)
    for part in range(len(counts)):
        if part > 0:
            cuts[part - 1] = at - begin
        base = at
        end = posting + counts[part]
        first = part * per_range
        last_place = -1
        for tile in range(first, min(first + per_range, tile_count)):
            starts[tile] = at - base
            tile_end = (tile - first + 1) * TILE - 1
            while posting < end and places[posting] <= tile_end:
                place = np.int64(places[posting])
                code = np.uint8(codes[posting])
                stream[at] = (np.int64(code) << 8) | (place - last_place - 1)
                at += 1
                last_place = place
                block = first * (TILE // BLOCK) + place // BLOCK
                maxima[block] = max(maxima[block], code)
                posting += 1
            if last_place < tile_end:
                stream[at] = tile_end - last_place - 1
                at += 1
                last_place = tile_end
    pack_maxima(maxima, packed)
    return at


@njit(cache=True, nogil=True)
def gather(
    begins: NDArray[np.int64],
    rows: NDArray[np.int64],
    terms: NDArray[np.generic],
    codes: NDArray[np.generic],
    out_terms: NDArray[np.generic],
    out_codes: NDArray[np.generic],
) -> None:
    """Copy the named rows, one after the other."""
    at = 0
    for position in range(len(rows)):
        row = rows[position]
        for entry in range(begins[row], begins[row + 1]):
            out_terms[at] = terms[entry]
            out_codes[at] = codes[entry]
            at += 1


@njit(cache=True, nogil=True)
def merge_tails(
    heads: NDArray[np.bool_],
    counts: NDArray[np.int64],
    offsets: NDArray[np.int64],
    places: NDArray[np.uint16],
    codes: NDArray[np.generic],
    out_places: NDArray[np.uint16],
    out_codes: NDArray[np.generic],
    spans: NDArray[np.int64],
    cuts: NDArray[np.uint32],
) -> None:
    """Join each tail term's postings over the ranges; ``counts`` and ``offsets`` are (R, terms)."""
    at = 0
    for term in range(len(heads)):
        if heads[term]:
            continue
        begin = at
        for part in range(len(counts)):
            if part > 0:
                cuts[term, part - 1] = at - begin
            start = offsets[part, term]
            for posting in range(start, start + counts[part, term]):
                out_places[at] = places[posting]
                out_codes[at] = codes[posting]
                at += 1
        spans[term, 0] = begin
        spans[term, 1] = at
