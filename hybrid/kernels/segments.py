"""One search over the postings of many segments, with one threshold for all of them.

The largest segment comes first; what it finds is the floor that hits of the others must reach, and
that bounds must reach where a segment is pruned. The arrays of a segment reach the kernel by
address, so that one call serves any number of segments and one compiled kernel all of them.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from hybrid.kernels import exhaustive, planner, pruning, topk
from hybrid.kernels.keys import resolve
from hybrid.kernels.prefetch import prefetch_run
from hybrid.kernels.tiles import TILE, Postings, lookups

LARGE = 64  # tiles from which on a segment may be pruned, and is too much to touch beforehand


class Table(NamedTuple):
    """Where the arrays of S segments lie; whoever holds it must hold the arrays, too."""

    addresses: NDArray[np.int64]  # (S, fields of Postings)
    shapes: NDArray[np.int64]  # (S, fields of Postings, 2)
    tiles: NDArray[np.int64]  # (S + 1,): number of the first tile of each segment
    same_scales: NDArray[np.bool_]  # (S,): whether a code weighs what it does in the first segment
    deleted: NDArray[np.bool_]  # (S,): whether any document is


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
        np.array([bool((part.order < 0).any()) for part in parts]),
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
def ask(table: Table, codes: NDArray[np.generic], terms: NDArray[np.int32]) -> None:
    """Ask for every list that sweeping small segments will read.

    Scoring stops at every short list until its first lines arrive. Here no list waits for another:
    first where all begin is read, then they are asked for.
    """
    tiles = table.tiles
    lists = np.empty(((len(tiles) - 1) * len(terms), 4), dtype=np.int64)
    size = 0
    for segment in range(len(tiles) - 1):
        if tiles[segment + 1] - tiles[segment] >= LARGE:
            continue
        postings = postings_of(table, segment, codes)
        for term in terms:
            lists[size, 0] = segment
            lists[size, 1] = postings.heads[term]
            lists[size, 2] = postings.spans[term, 0]
            lists[size, 3] = postings.spans[term, 1]
            size += 1
    before = -1
    postings = postings_of(table, 0, codes)
    for row in range(size):
        segment, head, start, stop = lists[row]
        if segment != before:
            postings = postings_of(table, segment, codes)
            before = segment
        if head >= 0:
            starts = postings.head_starts[head]
            prefetch_run(starts, 0, len(starts))
            prefetch_run(postings.head_stream, start, stop)
        else:
            prefetch_run(postings.tail_places, start, stop)
            prefetch_run(postings.tail_codes, start, stop)


@njit(cache=True, nogil=True)
def search(
    table: Table,
    codes: NDArray[np.generic],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    pruned: bool,
    shrinks: NDArray[np.float64],
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
    allowed: NDArray[np.bool_] | None = None,
) -> int:
    """Fill (k,) with the best hits of all segments; return how many there are.

    ``pruned`` prunes the large segments, which changes no bit of the result where a segment's entry
    of ``shrinks`` (segments,) is 1; under 1 it may miss hits. ``terms`` ascend, ``weights`` are
    above zero. ``allowed`` says of each number of the whole index if it may be a hit.
    """
    tiles = table.tiles
    k = len(out_nums)
    keys = np.empty(min(2 * k, tiles[-1] * TILE) + 192, dtype=np.uint64)
    state = topk.begin(topk.PLACES)
    by = topk.PLACES if allowed is None else topk.NUMBERS
    shared = lookups(postings_of(table, 0, codes), terms, weights)
    ask(table, codes, terms)
    for segment in range(len(tiles) - 1):
        postings = postings_of(table, segment, codes)
        state[topk.BY] = topk.NUMBERS if table.deleted[segment] else by
        if pruned and tiles[segment + 1] - tiles[segment] >= LARGE:
            pruning.collect(postings, terms, weights, shrinks[segment], k, keys, state, allowed)
        else:
            lookup = shared
            if not table.same_scales[segment]:
                lookup = lookups(postings, terms, weights)
            exhaustive.collect(postings, terms, weights, lookup, k, keys, state, allowed)
        # Choosing the k best costs more than a few hits too many.
        if state[topk.FLOOR] == 1 or state[topk.SIZE] >= k + (k >> 2) + 16:
            topk.tighten(k, postings.order, keys, state)
        resolve(postings.order, keys, state[topk.SIZE])
    return topk.ranking(postings.order, keys, state, out_nums, out_bits)


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
    shrinks: NDArray[np.float64],
    nums: NDArray[np.int32],
    scores: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None = None,
    wanted: int = 0,
) -> None:
    """Fill rows ``first`` to ``last`` of ``nums`` and ``scores``, both (queries, k).

    The queries are a canonical CSR matrix. ``frequencies`` are those of the first segment, the
    largest, whose cost decides whether to prune; ``shrinks`` are those of ``search``. From
    ``depth`` hits on, -1 and -inf follow. With ``allowed``, ``wanted`` of all hits are expected to
    hold the ``depth`` allowed ones.
    """
    bits = scores.view(np.int32)
    largest = postings_of(table, 0, codes)
    for row in range(first, last):
        terms = indices[indptr[row] : indptr[row + 1]]
        values = weights[indptr[row] : indptr[row + 1]]
        found = 0
        if depth > 0 and len(terms) > 0:
            # float32 weights have no block maxima
            pruned = codes.itemsize == 1 and planner.pays(
                largest, frequencies, terms, max(depth, wanted)
            )
            out = nums[row, :depth], bits[row, :depth]
            found = search(table, codes, terms, values, pruned, shrinks, out[0], out[1], allowed)
        nums[row, found:] = -1
        scores[row, found:] = -np.inf
