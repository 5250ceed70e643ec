"""Answers rows of queries over the postings of one segment or of many, with one threshold for all.

Each query goes the way that its posting counts make cheaper. One compiled call a batch: what Python
does for a query costs more than a short query's search.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.sparse import exhaustive, planner, pruning, topk
from hybrid.kernels.sparse.bounds import LEAST_UNIT, MOST_TERMS, counts_of
from hybrid.kernels.sparse.keys import resolve
from hybrid.kernels.sparse.layout import TILE, Postings
from hybrid.kernels.sparse.prefetch import prefetch, prefetch_run
from hybrid.kernels.sparse.table import Table, postings_of
from hybrid.kernels.sparse.tiles import lookups

# mypy: disable-error-code="no-any-return"


@njit(cache=True, nogil=True)
def search(
    table: Table,
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
    pruned: bool,
    out_nums: NDArray[np.int32],
    out_bits: NDArray[np.int32],
    allowed: NDArray[np.bool_] | None = None,
) -> int:
    """Fill (k,) with the best hits of all segments; return how many there are.

    ``terms`` ascend, ``weights`` are above zero; ``out_bits`` receives the bits of the scores.
    Pruning changes no bit of the result. ``allowed`` says of each number of the whole index if it
    may be a hit.
    """
    count = len(table.tiles) - 1
    k = len(out_nums)
    keys = np.empty(min(2 * k, table.tiles[-1] * TILE) + 192, dtype=np.uint64)
    state = topk.begin(topk.PLACES)
    postings = postings_of(table, 0)
    lookup = lookups(postings, terms, weights)
    pruned = pruned and len(terms) <= MOST_TERMS and bool(table.same_scales.all())
    for segment in range(count):
        ask_terms(postings_of(table, segment), terms)
    for segment in range(count):
        ask_lists(postings_of(table, segment), terms, pruned)
    if pruned:
        steps = np.empty(len(terms), dtype=np.uint16)
        added = np.empty((len(terms), 256), dtype=np.uint16)
        unit = counts_of(postings, terms, weights, steps, added, count > 1)
        if unit >= LEAST_UNIT:
            if count > 1 or table.deleted[0] or allowed is not None:
                state[topk.BY] = topk.NUMBERS
            pruning.search_pruned(
                table,
                terms,
                weights,
                lookup,
                steps,
                added,
                unit,
                k,
                keys,
                state,
                allowed,
            )
            return topk.ranking(postings.order, keys, state, out_nums, out_bits)
    for segment in range(count):
        postings = postings_of(table, segment)
        numbers = table.deleted[segment] or allowed is not None
        state[topk.BY] = topk.NUMBERS if numbers else topk.PLACES
        here = lookup
        if not table.same_scales[segment]:
            here = lookups(postings, terms, weights)
        exhaustive.search_all(postings, terms, weights, here, k, keys, state, allowed)
        if segment + 1 == count:
            break
        # Choosing the k best costs more than a few hits too many.
        if state[topk.FLOOR] == 1 or state[topk.SIZE] >= k + (k >> 2) + 16:
            topk.tighten(k, postings.order, keys, state)
        resolve(postings.order, keys, state[topk.SIZE])
    return topk.ranking(postings.order, keys, state, out_nums, out_bits)


@njit(cache=True, nogil=True)
def answer(
    table: Table,
    frequencies: NDArray[np.int32],
    together: float,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    weights: NDArray[np.float32],
    first: int,
    last: int,
    path: int,
    depth: int,
    nums: NDArray[np.int32],
    scores: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None = None,
    wanted: int = 0,
) -> None:
    """Fill rows ``first`` to ``last`` of ``nums`` and ``scores``, both (queries, k).

    The queries are a canonical CSR matrix. From ``depth`` hits on, and where there are fewer, -1
    and -inf follow.

    Args:
        frequencies: how many documents of all segments each term has.
        together: see `planner.pays`.
        path: `planner.AUTO` or one way for all queries.
        allowed: that of `search`.
        wanted: with ``allowed``, how many of all hits hold the ``depth`` allowed ones: their last
            has about the score of that one, which is what pruning has to reach.
    """
    bits = scores.view(np.int32)
    heads = postings_of(table, 0).heads
    documents = table.tiles[-1] * TILE
    exact_only = table.codes.itemsize > 1  # float32 weights have no block maxima
    for row in range(first, last):
        terms = indices[indptr[row] : indptr[row + 1]]
        values = weights[indptr[row] : indptr[row + 1]]
        found = 0
        if depth > 0 and len(terms) > 0:
            pruned = path == planner.PRUNED and not exact_only
            if path == planner.AUTO and not exact_only:
                k = max(depth, wanted)
                pruned = planner.pays(documents, together, heads, frequencies, terms, k)
            out = nums[row, :depth], bits[row, :depth]
            found = search(table, terms, values, pruned, out[0], out[1], allowed)
        nums[row, found:] = -1
        scores[row, found:] = -np.inf


# mypy: disable-error-code="no-any-return,no-untyped-call"


FIRST = 1024  # entries of a list that are asked for
MAXIMA = 2048  # bytes of block maxima that are asked for


@njit(cache=True, nogil=True)
def ask_terms(postings: Postings, terms: NDArray[np.int32]) -> None:
    """Prefetch the places where the lists of these terms begin."""
    for term in terms:
        prefetch(postings.heads, np.int64(term))
        prefetch(postings.spans[term], 0)


@njit(cache=True, nogil=True)
def ask_lists(postings: Postings, terms: NDArray[np.int32], pruned: bool) -> None:
    """Ask for the beginning of every list that a search will read first, pruned or exhaustive."""
    for term in terms:
        head = postings.heads[term]
        start = postings.spans[term, 0]
        stop = min(postings.spans[term, 1], start + FIRST)
        if head < 0:
            prefetch_run(postings.tail_places, start, stop)
            prefetch_run(postings.tail_codes, start, stop)
        elif pruned:
            maxima = postings.head_maxima[head]
            prefetch_run(maxima, 0, min(len(maxima), MAXIMA))
        else:
            starts = postings.head_starts[head]
            prefetch_run(starts, 0, min(len(starts), FIRST))
            prefetch_run(postings.head_stream, start, stop)
