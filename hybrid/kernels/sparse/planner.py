"""The choice between pruned and exhaustive search, by posting counts."""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.sparse import layout

AUTO = 0
EXHAUSTIVE = 1
PRUNED = 2

HIT_TILES = 16  # tiles a hit below which most searches end in a sweep and the bounds are lost


@njit(cache=True, nogil=True)
def pays(
    n: int,
    together: float,
    rows_of_heads: NDArray[np.int32],
    frequencies: NDArray[np.int32],
    terms: NDArray[np.int32],
    k: int,
) -> bool:
    """Return whether pruning ``n`` documents is expected to be faster than scoring them all.

    Costs in nanoseconds, fitted on one machine; a wrong guess costs time, never a hit.

    Args:
        n: documents.
        together: how many of them were put in order together, so that those alike share a tile:
            all of one segment, fewer of many.
        rows_of_heads: (vocabulary,), a head term's row, or -1.
        frequencies: (vocabulary,), how many documents a term has.
        terms: the query's.
        k: hits wanted.
    """
    if k * HIT_TILES > together / layout.TILE:
        return False
    total = 0
    in_tails = 0
    heads = 0
    for term in terms:
        total += np.int64(frequencies[term])
        if rows_of_heads[term] < 0:
            in_tails += np.int64(frequencies[term])
        else:
            heads += 1
    sweeping = 0.12 * n + 0.7 * total
    bounds = 0.006 * n + 0.00175 * n * heads + 0.9 * in_tails
    picking = 8000.0 + 600.0 * len(terms)
    return bounds + picking < sweeping
