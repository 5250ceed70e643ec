"""Candidates for few queries, found by reading the rows of all segments where they lie.

One kernel passes over every row once for all queries, and what it keeps of one segment is the
floor of the next. So many segments cost what one does but for a call each, a deleted document
costs nothing, and a row that a mask leaves out is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hybrid.index.documents.subset import Subset
from hybrid.kernels.dense import products
from hybrid.machine.arrays import Floats, Ints, Longs
from hybrid.machine.threads import KeptThreads, worker_count

FEW = 8
"""Queries that are answered so; for more, blocks of rows and queries are multiplied: measured."""
SHARED_FROM = 10_000
"""Products of a vector and a query: with fewer, threads wait for each other more than they work."""

SKIPPING = 0.7
"""Where a smaller share of the rows may be found, the others are not read: measured."""
NO_NUMBERS: Ints = np.empty(0, dtype=np.int32)
NO_MASK: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)


class RowReader:
    """The rows of one or more segments, numbered one segment after the other.

    Args:
        arrays: the vectors of each segment, float32 (n, dimension) of one dimension.
        numbers: the doc_num of each of its rows, int32 (n,), -1 for a deleted one; or empty, where
            each row is its own number.
        kept: the threads that share the rows.
    """

    def __init__(
        self, arrays: Sequence[Floats], numbers: Sequence[Ints], kept: KeptThreads
    ) -> None:
        self._segments = list(zip(arrays, numbers, strict=True))
        self._kept = kept
        self._live = [float((each >= 0).mean()) if len(each) else 1.0 for each in numbers]
        sizes = [len(array) for array in arrays]
        self.firsts: Longs = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def best(
        self, queries: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return (rounded scores, rows), both (queries, count), of the best, in any order.

        Where there are fewer, -inf and -1 fill the place. Every row is visited, so a subset should
        be dense.
        """
        allowed = NO_MASK if subset is None else subset.mask
        share = 1.0 if subset is None else len(subset) / subset.doc_count
        firsts = self.firsts.tolist()

        def read(begin: int, end: int, kept: products.Kept) -> None:
            for segment, (vectors, numbers) in enumerate(self._segments):
                base = firsts[segment]
                first, last = max(begin - base, 0), min(end - base, len(vectors))
                if first < last:
                    skips = share * self._live[segment] < SKIPPING
                    wanted = products.Wanted(numbers, allowed, NO_NUMBERS, skips)
                    products.read_rows(queries, vectors, wanted, first, last, base, count, kept)

        return self._shared(read, firsts[-1], len(queries), count, threads)

    def best_of(
        self, queries: Floats, rows: Longs, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return (rounded scores, rows), both (queries, count), of the best of these rows."""
        rows = np.sort(rows)

        def read(begin: int, end: int, kept: products.Kept) -> None:
            for segment, first, last in self.spans(rows[begin:end]):
                base = int(self.firsts[segment])
                places = (rows[begin + first : begin + last] - base).astype(np.int32)
                wanted = products.Wanted(NO_NUMBERS, NO_MASK, places, False)
                vectors = self._segments[segment][0]
                products.read_rows(queries, vectors, wanted, 0, len(places), base, count, kept)

        return self._shared(read, len(rows), len(queries), count, threads)

    def spans(self, rows: Longs) -> list[tuple[int, int, int]]:
        """Return for each segment that has some of these ascending rows (segment, first, last)."""
        if len(self._segments) == 1:
            return [(0, 0, len(rows))]
        edges = np.searchsorted(rows, self.firsts).tolist()
        pairs = enumerate(pairwise(edges))
        return [(segment, first, last) for segment, (first, last) in pairs if first < last]

    def _shared(
        self,
        read: Callable[[int, int, products.Kept], None],
        total: int,
        queries: int,
        count: int,
        threads: int,
    ) -> tuple[Floats, Longs]:
        """Return the best hits of threads that each read some rows."""
        workers = worker_count(total, threads) if total * queries >= SHARED_FROM else 1

        def work(worker: int) -> tuple[Floats, Longs]:
            kept = products.nothing_kept(queries, count)
            read(total * worker // workers, total * (worker + 1) // workers, kept)
            scores = np.empty((queries, count), dtype=np.float32)
            rows = np.empty((queries, count), dtype=np.int64)
            products.take_best(kept, scores, rows)
            return scores, rows

        return merged(self._kept.map(work, workers) if workers > 1 else [work(0)], count)


def merged(parts: Sequence[tuple[Floats, Longs]], count: int) -> tuple[Floats, Longs]:
    """Return the ``count`` best of several results (scores, numbers), in any order."""
    if len(parts) == 1 and parts[0][0].shape[1] <= count:
        return parts[0]
    scores = np.concatenate([each[0] for each in parts], axis=1)
    numbers = np.concatenate([each[1] for each in parts], axis=1)
    if scores.shape[1] > count:
        places = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        scores = np.take_along_axis(scores, places, axis=1)
        numbers = np.take_along_axis(numbers, places, axis=1)
    return scores, numbers
