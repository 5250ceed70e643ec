"""Asks for the lists of a query's terms before a search reads them.

A search stops at every list until its first lines arrive, and before it at what says where the list
begins. Asked for together, no list waits for another. The processor sees for itself how a long list
goes on.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.sparse.prefetch import prefetch, prefetch_run
from hybrid.kernels.sparse.tiles import Postings

FIRST = 1024  # entries of a list that are asked for
MAXIMA = 2048  # bytes of block maxima that are asked for


@njit(cache=True, nogil=True)
def ask_terms(postings: Postings, terms: NDArray[np.int32]) -> None:
    """Ask for what says where the lists of these terms begin."""
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
