"""Subset: some of an index's documents, as numbers or as a mask, whichever a search asks for."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hybrid.errors import UsageError
from hybrid.machine.arrays import Ints

Mask = NDArray[np.bool_]
SubsetLike: TypeAlias = "Ints | Mask | Subset"

DENSE = 32
"""A subset of one in so many documents, or more, is searched by mask: measured."""


class Subset:
    """Documents that a search may return; made by `of`, so that one serves every branch.

    Attributes:
        doc_count: documents of the index.
    """

    def __init__(self, doc_count: int, doc_nums: Ints | None, mask: Mask | None) -> None:
        self.doc_count = doc_count
        self._given = doc_nums
        self._mask = mask

    @classmethod
    def of(cls, given: SubsetLike, doc_count: int) -> Subset:
        """Return the subset of an index of ``doc_count`` documents.

        Args:
            given: doc_nums, ascending; or bool (doc_count,); or what an earlier call returned.
            doc_count: documents of the index.

        Raises:
            UsageError: doc_nums that do not ascend, are no whole numbers or that the index does not
                have, or a mask of another length.
        """
        if isinstance(given, Subset):
            given._expect(given.doc_count, doc_count)
            return given
        # Kernels are compiled for arrays that can be written: once more, for seconds, for others.
        array: NDArray[Any] = np.require(given, requirements=["C", "W"])
        if array.dtype == np.bool_:
            if array.shape != (doc_count,):
                raise UsageError(
                    f"a mask has shape {array.shape}; the index has {doc_count} documents"
                )
            return cls(doc_count, None, array)
        if array.ndim != 1:
            raise UsageError(_NOT_ASCENDING)
        if array.dtype != np.int32:
            array = checked_doc_nums(array, 0, doc_count)
        ascending = bool((array[1:] > array[:-1]).all())
        check_span(array[[0, -1]] if ascending and len(array) else array, 0, doc_count)
        if not ascending:
            raise UsageError(_NOT_ASCENDING)
        return cls(doc_count, array, None)

    @cached_property
    def _size(self) -> int:
        return len(self._given) if self._given is not None else int(np.count_nonzero(self.mask))

    def __len__(self) -> int:
        return self._size

    @property
    def dense(self) -> bool:
        """Whether so many are left that a search does best to look at everything."""
        return 0 < self.doc_count <= len(self) * DENSE

    @cached_property
    def doc_nums(self) -> Ints:
        """The doc_nums, ascending, int32."""
        if self._given is not None:
            return self._given
        return np.flatnonzero(self.mask).astype(np.int32)

    @cached_property
    def mask(self) -> Mask:
        """Whether each document is in it, bool (doc_count,)."""
        if self._mask is not None:
            return self._mask
        from hybrid.kernels import masks

        mask = np.zeros(self.doc_count, dtype=np.bool_)
        masks.mark(self.doc_nums, mask)
        return mask

    def _expect(self, given: int, expected: int) -> None:
        if given != expected:
            raise UsageError(
                f"a subset of an index of {given} documents is given to one of {expected}"
            )


_NOT_ASCENDING = "a subset must be one-dimensional, ascending and free of duplicates"


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
