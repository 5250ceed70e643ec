"""One search over the postings of many segments, with one threshold for all of them.

The tiles of all segments take part as if they were those of one index: the best bounds are scored
first, wherever they lie, and a tile is left out as soon as k better hits are known from any
segment. The arrays of a segment reach the kernel by address, so that one call serves any number of
segments at the cost of one, and one compiled kernel serves all of them.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from hybrid.kernels import planner, topk
from hybrid.kernels.pruning import BATCH, BUCKETS, bound, bound_tiles, sweep
from hybrid.kernels.tiles import BLOCK, RANGE, SWEEP_SHARE, TILE, Postings, add_tiles, lookups

BOUNDED_FROM = 64  # tiles from which on bounds save more than they cost
TOUCHED_TO = RANGE // TILE
LINE = 32  # 16-bit entries in a cache line
UNKNOWN = np.float32(np.inf)


class Table(NamedTuple):
    """Where the arrays of S segments lie; whoever holds it must hold the arrays, too."""

    addresses: NDArray[np.int64]  # (S, fields of Postings)
    shapes: NDArray[np.int64]  # (S, fields of Postings, 2)
    tiles: NDArray[np.int64]  # (S + 1,): number of the first tile of each segment
    same_scales: NDArray[np.bool_]  # (S,): whether a code weighs what it does in the first segment


def table_of(parts: Sequence[Postings]) -> Table:
    """Return the table of segments whose ``order`` holds numbers of the whole index.

    A number of -1 is that of a deleted document. The arrays must be contiguous and of the types
    that `Postings` says.
    """
    arrays: list[tuple[NDArray[Any], ...]] = [tuple(part) for part in parts]
    shapes = np.zeros((len(parts), len(Postings._fields), 2), dtype=np.int64)
    for row, fields in enumerate(arrays):
        for column, array in enumerate(fields):
            shapes[row, column, : array.ndim] = array.shape
    tiles = [-(-len(part.order) // TILE) for part in parts]
    return Table(
        np.array([[array.ctypes.data for array in fields] for fields in arrays], dtype=np.int64),
        shapes,
        np.concatenate([[0], np.cumsum(tiles)]).astype(np.int64),
        np.array([np.array_equal(part.scales, parts[0].scales) for part in parts]),
    )


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


@njit(cache=True, nogil=True)
def postings_of(table: Table, segment: int, codes: NDArray[np.generic]) -> Postings:
    """Return the arrays of one segment; ``codes`` is any array of the type of its codes."""
    at = table.addresses[segment]
    shape = table.shapes[segment]
    return Postings(
        carray(_pointer(at[0]), shape[0, 0], np.int32),
        carray(_pointer(at[1]), shape[1, 0], np.float32),
        carray(_pointer(at[2]), shape[2, 0], np.int32),
        carray(_pointer(at[3]), (shape[3, 0], shape[3, 1]), np.int64),
        carray(_pointer(at[4]), (shape[4, 0], shape[4, 1]), np.uint32),
        carray(_pointer(at[5]), shape[5, 0], np.uint16),
        carray(_pointer(at[6]), (shape[6, 0], shape[6, 1]), np.uint16),
        carray(_pointer(at[7]), (shape[7, 0], shape[7, 1]), np.uint8),
        carray(_pointer(at[8]), shape[8, 0], np.uint16),
        carray(_pointer(at[9]), shape[9, 0], codes.dtype),
    )


@njit(cache=True, nogil=True)
def lookup_of(
    table: Table,
    segment: int,
    postings: Postings,
    shared: NDArray[np.float32],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return what each code of a segment adds to a score; ``shared`` is that of the first."""
    if table.same_scales[segment]:
        return shared
    return lookups(postings, terms, weights)


@njit(cache=True, nogil=True)
def bound_all(
    table: Table,
    codes: NDArray[np.generic],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    tile_bounds: NDArray[np.float32],
) -> np.float32:
    """Fill the bounds of the tiles of all segments worth it; return the largest of them."""
    tiles = table.tiles
    # A float32 sum of m products is within m + 1 roundings of the true one, on both sides.
    slack = np.float32(1 + (len(terms) + 4) * 2.0**-22)
    most = np.max(tiles[1:] - tiles[:-1])
    block_bounds = np.empty(most * (TILE // BLOCK), dtype=np.float32)
    highest = np.float32(0)
    for segment in range(len(tiles) - 1):
        first = tiles[segment]
        last = tiles[segment + 1]
        if last - first >= BOUNDED_FROM:
            blocks = block_bounds[: (last - first) * (TILE // BLOCK)]
            bound(postings_of(table, segment, codes), terms, weights, blocks)
            highest = max(highest, bound_tiles(blocks, slack, tile_bounds[first:last]))
    return highest


@njit(cache=True, nogil=True)
def pick(
    postings: Postings,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    lookup: NDArray[np.float32],
    tile_bounds: NDArray[np.float32],
    edge: np.float32,
    scores: NDArray[np.float32],
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
) -> None:
    """Offer the hits of a segment's tiles whose bounds reach ``edge``, and mark them as done."""
    bits = scores.view(np.int32)
    n = len(postings.order)
    batch = np.empty(BATCH, dtype=np.int32)
    size = 0
    for tile in range(len(tile_bounds) + 1):
        if tile < len(tile_bounds):
            if tile_bounds[tile] < edge:
                continue
            tile_bounds[tile] = -1
            batch[size] = tile
            size += 1
            if size < BATCH:
                continue
        if size == 0:
            continue
        add_tiles(postings, terms, weights, lookup, batch[:size], scores)
        for slot in range(size):
            first = batch[slot] * TILE
            end = slot * TILE + min(TILE, n - first)
            topk.offer(bits, slot * TILE, end, postings.order, first, k, keys, state)
        size = 0


@njit(cache=True, nogil=True)
def pick_best(
    table: Table,
    codes: NDArray[np.generic],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    shared: NDArray[np.float32],
    tile_bounds: NDArray[np.float32],
    k: int,
    keys: NDArray[np.uint64],
    state: NDArray[np.int64],
) -> None:
    """Offer the hits of bounded tiles in rounds, those with the highest bounds first.

    It ends when no such tile can hold a hit, or so many that sweeping is cheaper.
    """
    tiles = table.tiles
    highest = bound_all(table, codes, terms, weights, tile_bounds)
    if highest == 0:
        return
    counts = np.zeros(BUCKETS + 1, dtype=np.int64)
    to_bucket = np.float32(BUCKETS - 1) / highest
    bounded = 0
    for each in tile_bounds:
        if each != UNKNOWN:
            bounded += 1
            counts[np.int64(each * to_bucket)] += 1
    scores = np.empty(BATCH * TILE, dtype=np.float32)
    floor_bits = np.ones(1, dtype=np.int32)
    floor = floor_bits.view(np.float32)
    lowest = BUCKETS
    quota = max(8, 8 * k // TILE)
    while True:
        taken = 0
        while lowest > 0 and taken < quota:
            lowest -= 1
            taken += counts[lowest]
        quota *= 3
        edge = max(np.float32(lowest), np.float32(1e-30)) / to_bucket
        edge = max(edge, floor[0]) if lowest > 0 else floor[0]
        for segment in range(len(tiles) - 1):
            own = tile_bounds[tiles[segment] : tiles[segment + 1]]
            if len(own) >= BOUNDED_FROM:
                postings = postings_of(table, segment, codes)
                lookup = lookup_of(table, segment, postings, shared, terms, weights)
                pick(postings, terms, weights, lookup, own, edge, scores, k, keys, state)
        topk.tighten(k, keys, state)
        floor_bits[0] = state[1]
        left = 0
        for each in tile_bounds:
            left += each >= floor[0] and each != UNKNOWN
        if left == 0 or left * SWEEP_SHARE > bounded:
            return


@njit(cache=True, nogil=True)
def touch(
    table: Table,
    codes: NDArray[np.generic],
    terms: NDArray[np.int32],
    tile_bounds: NDArray[np.float32],
) -> np.int64:
    """Read a byte of every cache line that sweeping small segments will need; the sum is nothing.

    Scoring stops at every short list until its first lines arrive. Here no read waits for another:
    first where all lists begin, then the lists.
    """
    tiles = table.tiles
    lists = np.empty(((len(tiles) - 1) * len(terms), 4), dtype=np.int64)
    size = 0
    for segment in range(len(tiles) - 1):
        count = tiles[segment + 1] - tiles[segment]
        if count == 0 or count > TOUCHED_TO or tile_bounds[tiles[segment]] != UNKNOWN:
            continue
        postings = postings_of(table, segment, codes)
        for term in terms:
            lists[size, 0] = segment
            lists[size, 1] = postings.heads[term]
            lists[size, 2] = postings.spans[term, 0]
            lists[size, 3] = postings.spans[term, 1]
            size += 1
    total = np.int64(0)
    before = -1
    postings = postings_of(table, 0, codes)
    for row in range(size):
        segment, head, start, stop = lists[row]
        if segment != before:
            postings = postings_of(table, segment, codes)
            before = segment
        if head >= 0:
            for at in range(0, postings.head_starts.shape[1], LINE):
                total += postings.head_starts[head, at]
            for at in range(start, stop, LINE):
                total += postings.head_stream[at]
            total += postings.head_stream[stop - 1]
        else:
            for at in range(start, stop, LINE):
                total += postings.tail_places[at] + np.int64(postings.tail_codes[at])
    return total


@njit(cache=True, nogil=True)
def search(
    table: Table,
    codes: NDArray[np.generic],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    pruned: bool,
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
) -> int:
    """Fill (k,) with the best hits of all segments; return how many there are.

    ``pruned`` or not changes no bit of the result. ``terms`` ascend, ``weights`` are above zero.
    """
    tiles = table.tiles
    total = tiles[-1]
    k = len(out_nums)
    keys = np.empty(min(2 * k, total * TILE) + 192, dtype=np.uint64)
    state = np.array([0, 1], dtype=np.int64)
    tile_bounds = np.full(total, UNKNOWN)
    floor_bits = np.ones(1, dtype=np.int32)
    floor = floor_bits.view(np.float32)
    shared = lookups(postings_of(table, 0, codes), terms, weights)
    if pruned:
        pick_best(table, codes, terms, weights, shared, tile_bounds, k, keys, state)
    if touch(table, codes, terms, tile_bounds) == -1:  # never: it keeps the reads in the program
        return 0
    for segment in range(len(tiles) - 1):
        floor_bits[0] = state[1]
        own = tile_bounds[tiles[segment] : tiles[segment + 1]]
        if len(own) == 0 or np.max(own) < floor[0]:
            continue
        postings = postings_of(table, segment, codes)
        lookup = lookup_of(table, segment, postings, shared, terms, weights)
        sweep(postings, terms, weights, lookup, own, k, keys, state)
    return topk.ranking(keys, state[0], out_nums, out_bits)


@njit(cache=True, nogil=True)
def answer(
    table: Table,
    codes: NDArray[np.generic],
    frequencies: NDArray[np.int32],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    weights: NDArray[np.float32],
    first: int,
    last: int,
    depth: int,
    nums: NDArray[np.int32],
    scores: NDArray[np.float32],
) -> None:
    """Fill rows ``first`` to ``last`` of ``nums`` and ``scores``, both (queries, k).

    The queries are a canonical CSR matrix. ``frequencies`` are those of the first segment, the
    largest, whose cost decides whether to prune. From ``depth`` hits on, -1 and -inf follow.
    """
    bits = scores.view(np.int32)
    largest = postings_of(table, 0, codes)
    for row in range(first, last):
        terms = indices[indptr[row] : indptr[row + 1]]
        values = weights[indptr[row] : indptr[row + 1]]
        found = 0
        if depth > 0 and len(terms) > 0:
            # float32 weights have no block maxima
            pruned = codes.itemsize == 1 and planner.pays(largest, frequencies, terms, depth)
            out = nums[row, :depth], bits[row, :depth]
            found = search(table, codes, terms, values, pruned, out[0], out[1])
        nums[row, found:] = -1
        scores[row, found:] = -np.inf
