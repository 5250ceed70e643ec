"""Exact search over the vectors of one segment or of many as one.

Candidates are found by rounded scores over all segments, cut to the best few of the whole, scored
by the kernel, and the one bound on all others is checked: see `hybrid.index.dense.brute_force`. The
norm in it is the largest of all segments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import cpu_count

import numpy as np

from hybrid.errors import CorruptIndexError
from hybrid.index.dense.brute_force import margin
from hybrid.index.dense.row_reader import FEW, NO_NUMBERS, SHARED_FROM, RowReader, merged
from hybrid.index.dense.segment import VectorSegment
from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.subset import Subset
from hybrid.kernels.dense import products as dense
from hybrid.machine.arrays import Floats, Ints, Longs
from hybrid.machine.threads import KeptThreads, in_slices, scoring_threads, worker_count

MANY = 512
"""Scored rows of which the best are chosen before they are sorted."""


class FlatSearch:
    """Exact search over segments.

    Args:
        segments: their vectors; how they are compared may change between searches.
        numbering: their documents.

    Raises:
        CorruptIndexError: segments of different dimensions, or of other sizes than numbered.
    """

    def __init__(self, segments: Sequence[VectorSegment], numbering: Numbering) -> None:
        if len({stored.dimension for stored in segments}) > 1:
            raise CorruptIndexError(
                "segments of one branch have vectors of different dimensions; build it again"
            )
        sizes = tuple(map(len, segments))
        if sizes != numbering.sizes:
            raise CorruptIndexError(
                f"segments hold {sizes} vectors, and {numbering.sizes} are numbered; build it again"
            )
        self._segments = segments
        self._numbering = numbering
        self._doc_nums = [NO_NUMBERS]
        if not numbering.is_whole:
            self._doc_nums = [numbering.doc_nums(segment) for segment in range(len(segments))]
        self.threads = KeptThreads(cpu_count() or 1)
        vectors = [stored.vectors for stored in segments]
        self._reader = RowReader(vectors, self._doc_nums, self.threads)
        self._firsts = self._reader.firsts
        self._doc_count = len(numbering)

    def search(
        self, queries: Floats, k: int, threads: int, subset: Subset | None
    ) -> tuple[Ints, Floats]:
        """Return (doc_nums, scores), both (queries, k), padded with -1 and -inf.

        Args:
            queries: float32 (queries, dimension), checked.
            k: at least 1.
            threads: 0 means one a core.
            subset: of the whole index.
        """
        nums = np.full((len(queries), k), -1, dtype=np.int32)
        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        total = self._doc_count if subset is None else len(subset)
        depth = min(k, total)
        if not len(queries) or not depth:
            return nums, scores
        fetch = min(total, depth + max(32, depth // 4))
        candidates: Longs | None = None
        if fetch < total:
            rounded, candidates = self._candidates(queries, subset, fetch, threads)
            largest = max(stored.largest_norm for stored in self._segments)
            bound = (rounded.min(axis=1) + margin(queries, largest)).astype(np.float32)

        def answer(first: int, last: int) -> None:
            unsure: Iterable[int] = range(first, last)
            if candidates is not None:
                best, values = self.best(queries[first:last], candidates[first:last], depth)
                nums[first:last, :depth], scores[first:last, :depth] = best, values
                unsure = first + np.flatnonzero(~(values[:, -1] > bound[first:last]))
            for row in unsure:
                every = self._every(subset)[np.newaxis]
                best, values = self.best(queries[row : row + 1], every, depth)
                nums[row, :depth], scores[row, :depth] = best[0], values[0]

        in_slices(answer, len(queries), threads)
        return nums, scores

    def score(self, queries: Floats, doc_nums: Ints, threads: int) -> Floats:
        """Return the score of each named document, float32 (queries, c); -1 scores -inf.

        Args:
            queries: float32 (queries, dimension), checked.
            doc_nums: int32 (queries, c), checked.
            threads: 0 means one a core, where there is enough to do.
        """
        rows = self._rows_of(doc_nums)
        nums = np.empty(rows.shape, dtype=np.int32)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)

        def answer(first: int, last: int) -> None:
            here = slice(first, last)
            self._score(queries[here], rows[here], nums[here], scores[here])

        in_slices(answer, len(queries), scoring_threads(rows.size, threads))
        return scores

    def _score(self, queries: Floats, rows: Longs, nums: Ints, scores: Floats) -> None:
        """Fill in the doc_num and the score of each row, all (queries, c), that is not -1."""
        every = zip(self._segments, self._doc_nums, self._firsts, strict=False)
        for stored, doc_nums, first in every:
            dense.score_found(queries, stored.vectors, doc_nums, rows, first, nums, scores)

    def _rows_of(self, doc_nums: Ints) -> Longs:
        """Return the row of each document, numbered one segment after the other; -1 stays."""
        numbering = self._numbering
        if numbering.is_whole or not len(numbering):
            return doc_nums.astype(np.int64)
        # -1 reads the last document here.
        segments, places = numbering.segments[doc_nums], numbering.places[doc_nums]
        return np.where(doc_nums >= 0, self._firsts[segments] + places, -1)

    def _every(self, subset: Subset | None) -> Longs:
        """Return the row of every document of a subset."""
        every = np.arange(self._doc_count, dtype=np.int32) if subset is None else subset.doc_nums
        return self._rows_of(every)

    def best(self, queries: Floats, rows: Longs, depth: int) -> tuple[Ints, Floats]:
        """Return the best of these rows by final scores: (doc_nums, scores), in order.

        Where there are fewer than ``depth``, -1 and -inf fill the place.

        Args:
            queries: (queries, dimension).
            rows: (queries, c), numbered one segment after the other; none is deleted, -1 is none.
            depth: at least 1.
        """
        nums = np.full(rows.shape, -1, dtype=np.int32)
        scores = np.full(rows.shape, -np.inf, dtype=np.float32)
        self._score(queries, rows, nums, scores)
        if len(queries) == 1 and rows.shape[1] > max(4 * depth, MANY):
            floor = np.partition(scores[0], -depth)[-depth]
            kept = ~(scores[0] < floor)
            nums, scores = nums[:, kept], scores[:, kept]
        order = np.lexsort((nums, -scores), axis=1)[:, :depth]
        row = np.arange(len(queries))[:, np.newaxis]
        return nums[row, order], scores[row, order]

    def _candidates(
        self, queries: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return (rounded scores, rows), (queries, count): no other document has a higher score.

        There are ``count`` live documents or more.
        """
        few = len(queries) <= FEW
        if few and all(stored.brute_force.on_cpu(len(queries)) for stored in self._segments):
            if subset is None or subset.dense:
                return self._reader.best(queries, subset, count, threads)
            return self._reader.best_of(queries, self._every(subset), count, threads)
        workers = sharing_segments(len(self._segments), self._doc_count * len(queries), threads)
        share = self._doc_count / workers if workers > 1 else np.inf
        large = [at for at, stored in enumerate(self._segments) if len(stored) > share]
        rest = [at for at, stored in enumerate(self._segments) if len(stored) <= share]
        inside = threads if workers == 1 else 1

        def work(at: int, inside: int) -> tuple[Floats, Longs]:
            return self._of_segment(at, queries, subset, count, inside)

        best = [work(at, threads) for at in large]
        best += self.threads.deal(lambda number: work(rest[number], inside), len(rest), workers)
        return merged(best, count)

    def _of_segment(
        self, segment: int, queries: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return the candidates of one segment; a deleted document scores -inf."""
        stored = self._segments[segment]
        here, deleted = self._numbering.searched(segment, subset)
        wanted = min(len(stored) if here is None else len(here), count + deleted)
        if not wanted:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        best = stored.brute_force.best
        scores, places = best(queries, stored.vectors, here, wanted, threads)
        if deleted:
            scores = np.where(self._doc_nums[segment][places] >= 0, scores, np.float32(-np.inf))
        # Where a vector is not finite there may be too few, and -1 in their place.
        return scores, np.where(places >= 0, places + self._firsts[segment], -1)


def sharing_segments(segments: int, products: int, threads: int) -> int:
    """Return how many threads search segments side by side.

    Args:
        segments: one alone shares its rows among the threads.
        products: of a vector and a query.
        threads: 0 means one a core.
    """
    return worker_count(segments, threads) if products >= SHARED_FROM else 1
