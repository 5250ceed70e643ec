"""A sparse branch over all segments, searched in one call with one threshold."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.documents.segments import SegmentedBranch
from hybrid.index.documents.subset import Subset, SubsetLike
from hybrid.index.sparse import approximate
from hybrid.index.sparse.answer import answers
from hybrid.index.sparse.approximate import Accuracy
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.indexes.joined import Searched, searched
from hybrid.indexes.query_rows import checked

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SCANNED = 50_000
"""Documents of a mask that are looked through in the time that one more call takes, with room."""


class SegmentedSparse(SegmentedBranch):
    """A sparse branch over all segments."""

    parts: Sequence[InvertedIndex]

    def __getstate__(self) -> dict[str, Any]:
        # What is searched holds addresses, which a copy does not share.
        return {name: value for name, value in self.__dict__.items() if name != "_searched"}

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
        shrink = 1.0 if subset is not None else self.accuracy(recall, k).shrink
        within = None if subset is None else Subset.of(subset, self.doc_count)
        few = self.doc_count > SCANNED * len(self.parts)
        if within is not None and not within.dense and few:
            return super().search(queries, k, threads=threads, subset=within)
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        found = self._searched  # held until the kernel is done: it reads by address
        nums, scores = answers(
            found.table,
            self._frequencies,
            self._together,
            self.doc_count,
            checked(queries, self.vocabulary_size, "query"),
            k if shrink == 1 else max(k, approximate.DEPTHS[0]),
            threads=threads,
            shrink=shrink,
            within=within,
        )
        return nums[:, :k], scores[:, :k]

    def accuracy(self, recall: float, k: int) -> Accuracy:
        """Return how exact a search to depth ``k`` is that asks for this recall."""
        return approximate.over_segments([part.accuracy(recall, k) for part in self.parts])

    @cached_property
    def _frequencies(self) -> Ints:
        total: Ints = np.sum([part.frequencies for part in self.parts], axis=0, dtype=np.int32)
        total.flags.writeable = False  # kernels are compiled for one type of array
        return total

    @cached_property
    def _together(self) -> float:
        """The geometric mean of all documents, and of those in the segment of an average one.

        Where a segment holds a tenth of them, a query's best lie in some three times the tiles.
        """
        sizes = np.array(self.numbering.sizes, dtype=np.float64)
        return float(np.sqrt((sizes**2).sum()))

    @cached_property
    def _searched(self) -> Searched:
        """The postings by number of the whole index, small segments joined."""
        if len({(part.vocabulary_size, part.weights) for part in self.parts}) > 1:
            raise CorruptIndexError(
                "segments of one branch have different vocabularies or weights; build it again"
            )
        numbered = []
        for segment, part in enumerate(self.parts):
            numbers = self.numbering.doc_nums(segment)[part.postings.order]
            numbered.append(part.postings._replace(order=np.ascontiguousarray(numbers)))
        return searched(numbered)

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
