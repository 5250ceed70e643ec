"""What a subset of the whole index, or the live documents, are in each segment's own numbers."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.subset import Subset

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
