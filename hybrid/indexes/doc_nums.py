"""Documents named by number, as callers give them: checked before anything is read."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid.errors import UsageError

Ints = NDArray[np.int32]


def checked_doc_nums(given: ArrayLike, lowest: int, doc_count: int) -> Ints:
    """Return doc_nums as a contiguous int32 array of the shape given.

    Args:
        given: whole numbers of any width.
        lowest: 0, or -1 where that stands for no document.
        doc_count: documents of the index.

    Raises:
        UsageError: what is given is not whole numbers, or one is outside ``lowest`` to
            ``doc_count - 1``.
    """
    array: NDArray[Any] = np.asarray(given)
    if array.size and array.dtype.kind not in "iu":
        raise UsageError(f"doc_nums are of type {array.dtype}; whole numbers were expected")
    check_span(array, lowest, doc_count)
    return np.require(array, np.int32, ["C", "W"])  # read-only ones are another type to kernels


def check_span(doc_nums: NDArray[Any], lowest: int, doc_count: int) -> None:
    """Refuse doc_nums outside ``lowest`` to ``doc_count - 1``.

    Raises:
        UsageError: there is one.
    """
    if doc_nums.size:
        first, last = int(doc_nums.min()), int(doc_nums.max())
        if first < lowest or last >= doc_count:
            raise UsageError(
                f"doc_nums run from {first} to {last}; the index has {doc_count} "
                "documents, numbered from 0"
            )
