"""Subset: some of an index's documents, as numbers or as a mask, whichever a search asks for."""

from __future__ import annotations

from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.kernels import masked

Ints = NDArray[np.int32]
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
            UsageError: doc_nums that do not ascend or that the index does not have, or a mask of
                another length.
        """
        if isinstance(given, Subset):
            given._expect(given.doc_count, doc_count)
            return given
        array: NDArray[Any] = np.ascontiguousarray(given)
        if array.dtype == np.bool_:
            if array.shape != (doc_count,):
                raise UsageError(
                    f"a mask has shape {array.shape}; the index has {doc_count} documents"
                )
            return cls(doc_count, None, array)
        doc_nums = array.astype(np.int32, copy=False)
        if doc_nums.ndim != 1:
            raise UsageError(_NOT_ASCENDING)
        ascending = masked.ascends(doc_nums)
        if len(doc_nums):
            ends = doc_nums[[0, -1]] if ascending else (doc_nums.min(), doc_nums.max())
            if ends[0] < 0 or ends[1] >= doc_count:
                raise UsageError(
                    f"doc_nums run from {ends[0]} to {ends[1]}; the index has {doc_count} "
                    "documents, numbered from 0"
                )
        if not ascending:
            raise UsageError(_NOT_ASCENDING)
        return cls(doc_count, doc_nums, None)

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
        mask = np.zeros(self.doc_count, dtype=np.bool_)
        masked.mark(self.doc_nums, mask)
        return mask

    def _expect(self, found: int, expected: int) -> None:
        if found != expected:
            raise UsageError(
                f"a subset of an index of {found} documents is given to one of {expected}"
            )


_NOT_ASCENDING = "a subset must be one-dimensional, ascending and free of duplicates"
