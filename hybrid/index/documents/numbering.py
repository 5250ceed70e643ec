"""One id space over many segments: where each live document lies, and its number.

A segment is immutable and numbers its own documents from 0, ids descending. The doc_nums of the
whole index descend in the same way over all live documents of all segments, so "score descending,
then doc_num ascending" means the same in a segment, in many, and in a fresh build. A deleted
document has no number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.documents.subset import Subset
from hybrid.machine.arrays import Ints, open_array

SEGMENTS = "segments.npy"
PLACES = "places.npy"
OVERFETCH = 64
"""Deleted documents of a segment that a search looks through; more it leaves out beforehand."""


class Numbering:
    """The live documents in doc_num order: the segment of each, and its place there.

    Attributes:
        segments: int32 (live,), the number of the segment.
        places: int32 (live,), the document's own number inside that segment.
        sizes: how many documents each segment holds, deleted ones included.
    """

    def __init__(self, segments: Ints, places: Ints, sizes: Sequence[int]) -> None:
        self.segments = segments
        self.places = places
        self.sizes = tuple(sizes)

    @classmethod
    def whole(cls, size: int) -> Numbering:
        """Return the numbering of one segment with nothing deleted."""
        return cls(np.zeros(size, dtype=np.int32), np.arange(size, dtype=np.int32), (size,))

    @classmethod
    def open(cls, directory: Path, sizes: Sequence[int], live: int) -> Numbering:
        """Return the numbering stored in ``directory``, checked against the segments' sizes.

        Raises:
            CorruptIndexError: a document that no segment has, or one that is out of order.
        """
        segments = open_array(directory / SEGMENTS, np.int32, (live,))
        places = open_array(directory / PLACES, np.int32, (live,))
        numbering = cls(segments, places, sizes)
        inside = not live or (segments.min() >= 0 and segments.max() < len(sizes))
        if not inside or not all(
            _ascending(numbering.live(segment)[1], size) for segment, size in enumerate(sizes)
        ):
            raise CorruptIndexError(
                f"{directory}: the numbering does not fit its segments; build the index again"
            )
        return numbering

    def save(self, directory: Path) -> None:
        """Write the numbering into an existing directory."""
        np.save(directory / SEGMENTS, self.segments)
        np.save(directory / PLACES, self.places)

    def __len__(self) -> int:
        return len(self.segments)

    @cached_property
    def _live(self) -> list[tuple[Ints, Ints]]:
        if self.is_whole:
            return [(self.places, self.places)]
        every = range(len(self.sizes))
        doc_nums = [np.flatnonzero(self.segments == each).astype(np.int32) for each in every]
        return [(each, np.asarray(self.places[each])) for each in doc_nums]

    def live(self, segment: int) -> tuple[Ints, Ints]:
        """Return (doc_nums, places) of the live documents of a segment, both ascending."""
        return self._live[segment]

    def deleted(self, segment: int) -> int:
        """Return how many documents of a segment are deleted."""
        return self.sizes[segment] - len(self.live(segment)[0])

    @cached_property
    def _doc_nums(self) -> list[Ints]:
        if self.is_whole:
            return [self.places]
        tables = []
        for segment, size in enumerate(self.sizes):
            table = np.full(size, -1, dtype=np.int32)
            doc_nums, places = self.live(segment)
            table[places] = doc_nums
            tables.append(table)
        return tables

    def doc_nums(self, segment: int) -> Ints:
        """Return int32 (size of the segment,): the doc_num of each place, -1 if deleted."""
        return self._doc_nums[segment]

    def located(self, doc_nums: Ints) -> tuple[Ints, Ints]:
        """Return (segments, places) of doc_nums, both of their shape; -1 for -1."""
        if self.is_whole or not len(self):
            return np.minimum(doc_nums, np.int32(0)), doc_nums
        present = doc_nums >= 0
        segments = np.where(present, self.segments[doc_nums], np.int32(-1))
        return segments, np.where(present, self.places[doc_nums], np.int32(-1))

    def gather(
        self, doc_nums: Ints, take: Callable[[int, Ints], Any], stack: Callable[[list[Any]], Any]
    ) -> Any:
        """Return rows of doc_nums in their order: taken segment by segment, then stacked."""
        segments, places = self.located(doc_nums)
        if len(self.sizes) == 1:
            return take(0, places)
        order = np.argsort(segments, kind="stable")
        rows = stack([take(each, places[segments == each]) for each in range(len(self.sizes))])
        return rows[np.argsort(order)]

    def searched(self, segment: int, subset: Subset | None) -> tuple[Subset | None, int]:
        """Return which of a segment to search, None for all, and how many deleted are among them.

        The k best live ones are among so many more than k.
        """
        if subset is not None:
            return subset if self.is_whole else self._subset_of(segment, subset), 0
        deleted = self.deleted(segment)
        return (None, deleted) if deleted <= OVERFETCH else (self._live_subsets[segment], 0)

    def _subset_of(self, segment: int, subset: Subset) -> Subset:
        size = self.sizes[segment]
        if subset.dense:
            doc_nums = self.doc_nums(segment)
            # A deleted document has the number -1, which reads the last entry.
            return Subset.of(subset.mask[doc_nums] & (doc_nums >= 0), size)
        here = self.segments[subset.doc_nums] == segment
        return Subset.of(self.places[subset.doc_nums[here]], size)

    @cached_property
    def _live_subsets(self) -> list[Subset]:
        return [
            Subset.of(np.greater_equal(self.doc_nums(segment), 0), size)
            for segment, size in enumerate(self.sizes)
        ]

    def change(
        self, remove: Sequence[int], insert_before: Sequence[int], added: int | None = None
    ) -> Numbering:
        """Return the numbering after a removal and the addition of one segment.

        Args:
            remove: doc_nums to delete.
            insert_before: for each new document, in its segment's order, the present doc_num that
                it comes before (the count of documents if it comes last).
            added: size of the new segment; None adds none.
        """
        removed = np.unique(np.asarray(remove, dtype=np.int64))
        if len(removed) and (removed[0] < 0 or removed[-1] >= len(self)):
            raise UsageError(f"doc_nums run from 0 to {len(self) - 1}; {removed.max()} is not one")
        segments = np.delete(self.segments, removed)
        places = np.delete(self.places, removed)
        if added is None:
            return Numbering(segments, places, self.sizes)
        before = np.asarray(insert_before, dtype=np.int64)
        before = before - np.searchsorted(removed, before)
        fresh = np.arange(added, dtype=np.int32)
        return Numbering(
            np.insert(segments, before, np.int32(len(self.sizes))),
            np.insert(places, before, fresh),
            (*self.sizes, added),
        )

    def merge(self, merged: Sequence[int]) -> tuple[Numbering, Ints]:
        """Return the numbering with some segments made into one new, last segment.

        The second value holds the doc_nums of its documents, ascending.
        """
        segments, sizes = self._without(merged)
        doc_nums = np.flatnonzero(segments < 0).astype(np.int32)
        segments[doc_nums] = len(sizes)
        places = np.array(self.places)
        places[doc_nums] = np.arange(len(doc_nums), dtype=np.int32)
        return Numbering(segments, places, [*sizes, len(doc_nums)]), doc_nums

    def drop(self, empty: Sequence[int]) -> Numbering:
        """Return the numbering without some segments that have no live document."""
        segments, sizes = self._without(empty)
        return Numbering(segments, self.places, sizes)

    def _without(self, gone: Sequence[int]) -> tuple[Ints, list[int]]:
        """Return the new segment of each document, -1 in those that go, and the sizes that stay."""
        kept = [segment for segment in range(len(self.sizes)) if segment not in set(gone)]
        rename = np.full(len(self.sizes), -1, dtype=np.int32)
        rename[kept] = np.arange(len(kept), dtype=np.int32)
        return rename[self.segments], [self.sizes[segment] for segment in kept]

    @property
    def is_whole(self) -> bool:
        """Whether there is one segment with nothing deleted, so that numbers are places."""
        return len(self.sizes) == 1 and len(self) == self.sizes[0]


def _ascending(places: Ints, size: int) -> bool:
    if not len(places):
        return True
    return bool(places[0] >= 0 and places[-1] < size and (np.diff(places) > 0).all())
