"""Many segments seen as one index: the same interface, the same scores, order and ties.

A branch's score is a function of query and document alone, so the best of all segments are among
the best of each, and merging them by the one ordering rule gives what a single index would give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.subset import Subset, SubsetLike, checked_doc_nums

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class SegmentedBranch:
    """One branch over all segments."""

    def __init__(self, parts: Sequence[Any], numbering: Numbering) -> None:
        self.parts: Sequence[Any] = parts
        self.numbering = numbering

    @property
    def doc_count(self) -> int:
        """Number of live documents."""
        return len(self.numbering)

    def search(
        self, queries: Any, k: int, *, threads: int = 0, subset: SubsetLike | None = None
    ) -> tuple[Ints, Floats]:
        """Return what one index of the live documents would: see the branch of one segment."""
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        within = None if subset is None else Subset.of(subset, self.doc_count)
        found = self._search_parts(queries, k, threads, within)
        nums = np.concatenate([each[0] for each in found], axis=1)
        scores = np.concatenate([each[1] for each in found], axis=1)
        # Numbers as the second key: padding has the score -inf and comes last in any case.
        order = np.lexsort((nums, -scores), axis=1)[:, :k]
        return np.take_along_axis(nums, order, axis=1), np.take_along_axis(scores, order, axis=1)

    def score(self, queries: Any, doc_nums: Ints) -> Floats:
        """Return the score of each named document: see the branch of one segment."""
        doc_nums = checked_doc_nums(doc_nums, -1, self.doc_count)
        out = np.full(doc_nums.shape, -np.inf, dtype=np.float32)
        segments, places = self._located(doc_nums)
        for segment, part in enumerate(self.parts):
            here = segments == segment
            if here.any() or not doc_nums.size:
                scores = part.score(queries, np.where(here, places, np.int32(-1)))
                out[here] = scores[here]
        return out

    def _search_parts(
        self, queries: Any, k: int, threads: int, subset: Subset | None
    ) -> list[tuple[Ints, Floats]]:
        """Search one segment after the other: a sparse one takes less than a thread costs."""
        return [
            self._search_part(segment, queries, k, threads, subset)
            for segment in range(len(self.parts))
        ]

    def _search_part(
        self, segment: int, queries: Any, k: int, threads: int, subset: Subset | None
    ) -> tuple[Ints, Floats]:
        """Search one segment for its live documents; return doc_nums of the whole index."""
        part = self.parts[segment]
        here, deleted = self._subsets.searched(segment, subset)
        nums, scores = part.search(queries, k + deleted, threads=threads, subset=here)
        numbers = self.numbering.doc_nums(segment)
        if not len(numbers):
            return nums, scores
        nums = np.where(nums >= 0, numbers[nums], np.int32(-1))
        return nums, np.where(nums >= 0, scores, np.float32(-np.inf))

    @cached_property
    def _subsets(self) -> PartSubsets:
        return PartSubsets(self.numbering)

    def _located(self, doc_nums: Ints) -> tuple[Ints, Ints]:
        """Return (segments, places) of doc_nums, -1 for -1."""
        if not len(self.numbering):
            return np.full_like(doc_nums, -1), np.full_like(doc_nums, -1)
        present = doc_nums >= 0
        segments = np.where(present, self.numbering.segments[doc_nums], np.int32(-1))
        return segments, np.where(present, self.numbering.places[doc_nums], np.int32(-1))

    def _gather(
        self, doc_nums: Ints, take: Callable[[Any, Ints], Any], stack: Callable[[list[Any]], Any]
    ) -> Any:
        doc_nums = checked_doc_nums(doc_nums, 0, self.doc_count)
        segments, places = self._located(doc_nums)
        order = np.argsort(segments, kind="stable")
        rows = stack(
            [take(part, places[segments == segment]) for segment, part in enumerate(self.parts)]
        )
        return rows[np.argsort(order)]


OVERFETCH = 64
"""Deleted documents of a segment that a search looks through; more it leaves out beforehand."""


class PartSubsets:
    """Subsets of the segments of one index."""

    def __init__(self, numbering: Numbering) -> None:
        self._numbering = numbering

    def of(self, subset: Subset, segment: int) -> Subset:
        """Return what a subset leaves of one segment."""
        numbering = self._numbering
        size = numbering.sizes[segment]
        if subset.dense:
            numbers = numbering.doc_nums(segment)
            # A deleted document has the number -1, which reads the last entry.
            return Subset.of(subset.mask[numbers] & (numbers >= 0), size)
        here = numbering.segments[subset.doc_nums] == segment
        return Subset.of(numbering.places[subset.doc_nums[here]], size)

    def searched(self, segment: int, subset: Subset | None) -> tuple[Subset | None, int]:
        """Return what to search of one segment, None for all, and how many deleted are in that.

        The k best live ones are among so many more than k.
        """
        if subset is not None:
            return self.of(subset, segment), 0
        deleted = self._numbering.deleted(segment)
        return (None, deleted) if deleted <= OVERFETCH else (self._live[segment], 0)

    @cached_property
    def _live(self) -> list[Subset]:
        sizes = enumerate(self._numbering.sizes)
        return [
            Subset.of(np.greater_equal(self._numbering.doc_nums(segment), 0), size)
            for segment, size in sizes
        ]
