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
from scipy.sparse import csr_matrix, vstack

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.indexes import approximate
from hybrid.indexes.approximate import Accuracy
from hybrid.indexes.doc_nums import checked_doc_nums
from hybrid.indexes.inverted import InvertedIndex
from hybrid.indexes.numbering import Numbering
from hybrid.indexes.part_subsets import PartSubsets
from hybrid.indexes.query_rows import checked, compiled
from hybrid.indexes.subset import Subset, SubsetLike
from hybrid.indexes.workers import in_slices
from hybrid.kernels import segments as kernel
from hybrid.kernels.tiles import Postings

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SCANNED = 50_000
"""Documents of a mask that are looked through in the time that one more call takes, with room."""


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


class SegmentedSparse(SegmentedBranch):
    """A sparse branch over all segments."""

    parts: Sequence[InvertedIndex]

    def search(
        self,
        queries: Any,
        k: int,
        *,
        threads: int = 0,
        subset: SubsetLike | None = None,
        recall: float = 1.0,
    ) -> tuple[Ints, Floats]:
        """Return what one index of the live documents would: see the branch of one segment.

        All segments are searched in one call, with one threshold; a small subset of large segments
        is scored segment by segment. A subset is always searched exactly.
        """
        approximate.check_recall(recall)
        asked = k
        shrinks = self._exact
        if recall != 1 and subset is None:
            cuts = self._accuracies(recall, k)
            shrinks = np.array([cuts[segment].shrink for segment in self._largest_first])
        within = None if subset is None else Subset.of(subset, self.doc_count)
        together = self.doc_count <= SCANNED * len(self.parts)
        if within is not None and not within.dense and not together:
            return super().search(queries, k, threads=threads, subset=within)
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        if shrinks is not self._exact and not (shrinks == 1).all():
            k = max(k, approximate.DEPTHS[0])
        queries = checked(queries, self.vocabulary_size, "query")
        rows = compiled(queries)
        count = queries.shape[0]
        nums = np.empty((count, k), dtype=np.int32)
        scores = np.empty((count, k), dtype=np.float32)
        postings, table, frequencies = self._joined
        codes = postings[0].tail_codes
        depth = min(k, self.doc_count if within is None else len(within))
        allowed: tuple[Any, ...] = ()
        if within is not None:
            allowed = within.mask, depth * self.doc_count // max(len(within), 1)

        def answer(first: int, last: int) -> None:
            kernel.answer(
                table,
                codes,
                frequencies,
                *rows,
                first,
                last,
                depth,
                shrinks,
                nums,
                scores,
                *allowed,
            )

        in_slices(answer, count, threads)
        return nums[:, :asked], scores[:, :asked]

    def accuracy(self, recall: float, k: int) -> Accuracy:
        """Return how exact a search to depth ``k`` is that asks for this recall."""
        return approximate.lowest(self._accuracies(recall, k))

    def _accuracies(self, recall: float, k: int) -> list[Accuracy]:
        return approximate.over_segments([part.accuracy(recall, k) for part in self.parts])

    @cached_property
    def _exact(self) -> NDArray[np.float64]:
        return np.ones(len(self.parts))

    @cached_property
    def _largest_first(self) -> list[int]:
        return sorted(range(len(self.parts)), key=lambda segment: -self.parts[segment].doc_count)

    @cached_property
    def _joined(self) -> tuple[list[Postings], kernel.Table, Ints]:
        """The postings of all segments by number of the whole index, the largest segment first."""
        largest_first = self._largest_first
        if len({(part.vocabulary_size, part.weights) for part in self.parts}) > 1:
            raise CorruptIndexError(
                "segments of one branch have different vocabularies or weights; build it again"
            )
        joined = []
        for segment in largest_first:
            postings = self.parts[segment].postings
            numbers = self.numbering.doc_nums(segment)[postings.order]
            joined.append(postings._replace(order=np.ascontiguousarray(numbers)))
        return joined, kernel.table_of(joined), self.parts[largest_first[0]].frequencies

    @property
    def vocabulary_size(self) -> int:
        """Number of terms, used or not."""
        return self.parts[0].vocabulary_size

    @property
    def nnz(self) -> int:
        """Number of postings, those of deleted documents included."""
        return sum(part.nnz for part in self.parts)

    def documents(self, doc_nums: Ints) -> csr_matrix:
        """Return the stored rows of ``doc_nums``, CSR float32 (len(doc_nums), vocabulary_size)."""
        rows = self._gather(
            doc_nums,
            lambda part, places: part.documents(places),
            lambda parts: csr_matrix(vstack(parts, format="csr", dtype=np.float32)),
        )
        return csr_matrix(rows)
