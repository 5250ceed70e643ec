"""Masks over doc_nums, and the tiles that they leave.

``allowed`` (documents,) says of each doc_num whether it may be a hit. Where most are, searching
everything and dropping what is denied before selection is cheaper than scoring the allowed ones by
name; tiles that hold none of them are passed over.
"""

# mypy: disable-error-code="no-any-return"
from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hybrid.kernels.sparse.layout import TILE


@njit(cache=True, nogil=True)
def mark(doc_nums: NDArray[np.int32], allowed: NDArray[np.bool_]) -> None:
    """Set ``allowed`` at the doc_nums, which are all inside."""
    for doc_num in doc_nums:
        allowed[np.uint64(doc_num)] = True


@njit(cache=True, nogil=True)
def holds_any(
    doc_nums: NDArray[np.int32], first: int, last: int, allowed: NDArray[np.bool_]
) -> bool:
    """Return whether one of ``doc_nums[first:last]`` is allowed; those below 0 are deleted."""
    for place in range(first, last):
        doc_num = doc_nums[place]
        if doc_num >= 0 and allowed[doc_num]:
            return True
    return False


@njit(cache=True, nogil=True)
def keep_allowed(
    doc_nums: NDArray[np.int32],
    allowed: NDArray[np.bool_],
    wanted: NDArray[np.int32],
    size: int,
) -> int:
    """Drop the tiles of ``wanted[:size]`` that hold no allowed document; return how many stay."""
    kept = 0
    for position in range(size):
        first = wanted[position] * TILE
        wanted[kept] = wanted[position]
        kept += holds_any(doc_nums, first, min(len(doc_nums), first + TILE), allowed)
    return kept
