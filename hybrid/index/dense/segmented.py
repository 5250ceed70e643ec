"""The vectors of many segments searched as those of one index."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.index.dense.flat import FlatSearch, sharing_segments
from hybrid.index.dense.vector import VectorIndex, checked_pairs, checked_queries
from hybrid.index.documents.segments import SegmentedBranch
from hybrid.index.documents.subset import Subset, SubsetLike

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class SegmentedVectors(SegmentedBranch):
    """A dense branch over all segments."""

    parts: Sequence[VectorIndex]

    def search(
        self, queries: Any, k: int, *, threads: int = 0, subset: SubsetLike | None = None
    ) -> tuple[Ints, Floats]:
        """Return what one index of the live documents would: see the branch of one segment.

        Where all are compared, the segments are one to the search. Where ``ivf`` or ``hnsw`` leave
        some out, each segment finds its own best.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        if subset is None and any(part.kind != "flat" for part in self.parts):
            return super().search(queries, k, threads=threads)
        queries = checked_queries(queries, self.dimension)
        within = None if subset is None else Subset.of(subset, self.doc_count)
        return self._flat.search(queries, k, threads, within)

    def score(self, queries: Floats, doc_nums: Ints, *, threads: int = 0) -> Floats:
        """Return the score of each named document: see the branch of one segment."""
        queries, doc_nums = checked_pairs(queries, doc_nums, self.dimension, self.doc_count)
        return self._flat.score(queries, doc_nums, threads)

    @cached_property
    def _flat(self) -> FlatSearch:
        return FlatSearch(self.parts, self.numbering)

    def _search_parts(
        self, queries: Any, k: int, threads: int, subset: Subset | None
    ) -> list[tuple[Ints, Floats]]:
        """Search the segments side by side; one alone shares its rows among the threads."""
        count = len(self.parts)
        workers = sharing_segments(count, self.doc_count * len(queries), threads)
        inside = threads if workers == 1 else 1
        return self._flat.threads.deal(
            lambda segment: self._search_part(segment, queries, k, inside, subset), count, workers
        )

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return self.parts[0].dimension

    def vectors(self, doc_nums: Ints) -> Floats:
        """Return the stored vectors of ``doc_nums``, float32 (len(doc_nums), dimension)."""
        rows: Floats = self._gather(
            doc_nums, lambda part, places: part.vectors(places), np.concatenate
        )
        return rows
