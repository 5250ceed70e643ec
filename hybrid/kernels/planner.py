"""Answers rows of queries, each by the path that its posting counts make cheaper.

One compiled call a batch: what Python does for a query costs more than a short query's search.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels import exhaustive, pruning, tiles

AUTO = 0
EXHAUSTIVE = 1
PRUNED = 2

HIT_TILES = 16  # tiles a hit below which most searches end in a sweep and the bounds are lost


@njit(cache=True, nogil=True)
def pays(
    postings: tiles.Postings,
    frequencies: NDArray[np.int32],
    terms: NDArray[np.int32],
    k: int,
) -> bool:
    """Return whether pruning is expected to be faster than an exhaustive search.

    Costs in nanoseconds, fitted on one machine; a wrong guess costs time, never a hit.
    """
    n = len(postings.order)
    if k * HIT_TILES > n // tiles.TILE:
        return False
    total = 0
    in_tails = 0
    heads = 0
    for term in terms:
        total += np.int64(frequencies[term])
        if postings.heads[term] < 0:
            in_tails += np.int64(frequencies[term])
        else:
            heads += 1
    sweeping = 0.12 * n + 0.7 * total
    bounds = 0.006 * n + 0.00175 * n * heads + 0.9 * in_tails
    picking = 8000.0 + 600.0 * len(terms)
    return bounds + picking < sweeping


@njit(cache=True, nogil=True)
def answer(
    postings: tiles.Postings,
    frequencies: NDArray[np.int32],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    weights: NDArray[np.float32],
    first: int,
    last: int,
    path: int,
    shrink: float,
    nums: NDArray[np.int32],
    scores: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None = None,
    left: int = 0,
) -> None:
    """Fill rows ``first`` to ``last`` of ``nums`` and ``scores``, both (queries, k).

    The queries are a canonical CSR matrix. Where there are fewer than k hits, -1 and -inf follow.
    With ``allowed`` (n,), only the ``left`` documents that it lets in are hits; the k-th best of
    them has about the score of the k * n / left-th of all, which is what pruning has to reach.
    """
    bits = scores.view(np.int32)
    n = len(postings.order)
    depth = min(nums.shape[1], n)
    wanted = depth
    if allowed is not None:
        depth = min(depth, left)
        wanted = depth * n // max(left, 1)
    exact_only = postings.tail_codes.itemsize > 1  # float32 weights have no block maxima
    for row in range(first, last):
        terms = indices[indptr[row] : indptr[row + 1]]
        values = weights[indptr[row] : indptr[row + 1]]
        pruned = path == PRUNED and not exact_only
        if path == AUTO and not exact_only:
            pruned = pays(postings, frequencies, terms, wanted)
        found = 0
        out = nums[row, :depth], bits[row, :depth]
        if depth == 0 or len(terms) == 0:
            pass
        elif pruned:
            found = pruning.search(postings, terms, values, shrink, out[0], out[1], allowed)
        else:
            found = exhaustive.search(postings, terms, values, out[0], out[1], allowed)
        nums[row, found:] = -1
        scores[row, found:] = -np.inf
