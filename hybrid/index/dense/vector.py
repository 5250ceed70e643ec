"""The dense branch: vectors on disk, memory-mapped, searched by inner product.

Whatever finds the candidates, the score that comes back is computed by one fixed-order kernel, so
it depends on query and document alone, and the order is exact: score descending, then doc_num.
Why the flat search misses nothing is said in `hybrid.index.dense.brute_force`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from hybrid.errors import UsageError
from hybrid.index.dense.flat import FlatSearch, sharing_segments
from hybrid.index.dense.neighbours import Candidates
from hybrid.index.dense.segment import MAX_NORM, VectorSegment
from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.segments import search_apart
from hybrid.index.documents.subset import Subset, SubsetLike, checked_doc_nums
from hybrid.machine.arrays import Floats, Ints
from hybrid.machine.threads import each


class VectorIndex:
    """Dense vectors of one dimension, of one segment or of many.

    Args:
        segments: where the vectors are.
        numbering: the documents of the segments; None for one segment with nothing deleted.
    """

    def __init__(
        self, segments: Sequence[VectorSegment], numbering: Numbering | None = None
    ) -> None:
        self.segments = segments
        self.numbering = Numbering.whole(len(segments[0])) if numbering is None else numbering

    @property
    def doc_count(self) -> int:
        """Number of live documents."""
        return len(self.numbering)

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return self.segments[0].dimension

    def search(
        self,
        queries: Floats,
        k: int,
        *,
        threads: int = 0,
        subset: SubsetLike | None = None,
    ) -> tuple[Ints, Floats]:
        """Return (doc_nums, scores), both (queries, k), padded with -1 and -inf.

        Ordered by score descending, then doc_num ascending. ``ivf`` and ``hnsw`` may miss
        documents, except with a ``subset``, which is always searched exactly.

        Args:
            queries: float32 (queries, dimension).
            k: at least 1; may exceed the number of documents.
            threads: 0 means one a core. Changes no bit of the result.
            subset: search only these doc_nums, ascending int32, or those where a bool
                (doc_count,) is true; the work is proportional to it.

        Raises:
            UsageError: k below 1, queries of another width, or doc_nums that are not there.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        queries = checked_queries(queries, self.dimension)
        within = None if subset is None else Subset.of(subset, self.doc_count)
        first = self.segments[0].candidates
        if within is not None or all(stored.candidates is None for stored in self.segments):
            return self.flat.search(queries, k, threads, within)
        if first is not None and self.numbering.is_whole:
            return self._search_candidates(first, queries, k, threads)
        workers = sharing_segments(len(self.segments), self.doc_count * len(queries), threads)
        inside = threads if workers == 1 else 1
        return search_apart(
            lambda segment, depth, live: self._alone[segment].search(
                queries, depth, threads=inside, subset=live
            ),
            self.numbering,
            k,
            None,
            lambda job, count: self.flat.threads.deal(job, count, workers),
        )

    def _search_candidates(
        self, candidates: Candidates, queries: Floats, k: int, threads: int
    ) -> tuple[Ints, Floats]:
        """Search the candidates of each query, where there is one segment."""
        nums = np.full((len(queries), k), -1, dtype=np.int32)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        depth = min(k, self.doc_count)

        def answer(row: int) -> None:
            rows = candidates.find(queries[row], depth).astype(np.int64)[np.newaxis]
            best, values = self.flat.best(queries[row : row + 1], rows, depth)
            nums[row, : best.shape[1]] = best[0]
            scores[row, : best.shape[1]] = values[0]

        each(answer, len(queries) if depth else 0, threads)
        return nums, scores

    @cached_property
    def flat(self) -> FlatSearch:
        """The exact search over all vectors.

        Raises:
            CorruptIndexError: segments of different dimensions, or of other sizes than numbered.
        """
        return FlatSearch(self.segments, self.numbering)

    @cached_property
    def _alone(self) -> list[VectorIndex]:
        return [VectorIndex([stored]) for stored in self.segments]

    def score(self, queries: Floats, doc_nums: Ints, *, threads: int = 0) -> Floats:
        """Return the score of each named document, float32 of the shape of ``doc_nums``.

        The bits are those that ``search`` returns for the same pair; -1 scores -inf.

        Args:
            queries: float32 (queries, dimension).
            doc_nums: int32 (queries, c).
            threads: queries scored at once; 0 means one a core, where there is enough to do.

        Raises:
            UsageError: queries or documents that `search` refuses, or not one row of documents for
                each query.
        """
        queries = checked_queries(queries, self.dimension)
        doc_nums = checked_doc_nums(doc_nums, -1, self.doc_count)
        if doc_nums.ndim != 2 or len(doc_nums) != len(queries):
            raise UsageError(
                f"doc_nums has shape {doc_nums.shape}; one row for each of the {len(queries)} "
                "queries was expected"
            )
        return self.flat.score(queries, doc_nums, threads)

    def vectors(self, doc_nums: Ints) -> Floats:
        """Return the stored vectors of ``doc_nums``, float32 (len(doc_nums), dimension)."""
        rows: Floats = self.numbering.gather(
            checked_doc_nums(doc_nums, 0, self.doc_count),
            lambda segment, numbers: np.array(self.segments[segment].vectors[numbers]),
            np.concatenate,
        )
        return rows


def checked_queries(queries: Floats, dimension: int) -> Floats:
    """Return queries as the kernels take them, float32 (n, dimension).

    Raises:
        UsageError: another width, or a vector that is not finite or too long.
    """
    return np.require(checked(queries, dimension, "The queries"), requirements="W")


def checked(vectors: Floats, dimension: int, what: str) -> Floats:
    """Return vectors as float32 (n, dimension).

    Raises:
        UsageError: another width, or a vector that is not finite or too long; named ``what``.
    """
    array = np.ascontiguousarray(vectors, dtype=np.float32)
    if array.ndim != 2 or array.shape[1] != dimension:
        raise UsageError(
            f"{what}: vectors of shape {array.shape}; (n, {dimension}) was expected. Use the "
            "encoder that the index was built with"
        )
    if not longest(array) <= MAX_NORM:
        raise UsageError(f"{what}: a vector is not finite, or longer than {MAX_NORM:g}")
    return array


def longest(vectors: Floats) -> float:
    """Return a bound on all norms; not finite if a component is not: no square overflows."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return float(np.sqrt(squares.max(initial=0.0)) * (1 + 1e-12))
