"""Candidates of a dense search: the best vectors by rounded scores, and FAISS on the CPU.

What comes back is rounded within a known margin, and `hybrid.index.dense.vector` makes it exact.

Why the flat search misses nothing. Let ``s`` be the exact inner product of a query and a document
in d dimensions and ``f`` a float32 sum of its products in any order, with or without fused
multiply-add. Then ``|f - s| <= gamma(d) * |q| * |x|`` with ``gamma(d) = d*u / (1 - d*u)``,
``u = 2**-24`` (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). FAISS returns the
best few by ``f``; every other document has ``f <= lowest``, thus ``s <= lowest + margin``. If that,
rounded, is below the k-th best final score, no other document can enter the first k, not even by
a tie. If it is not, as with many duplicates, the kernel answers the query over everything.
"""

from __future__ import annotations

from os import cpu_count
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import require
from hybrid.index.dense.row_reader import FEW, NO_NUMBERS, RowReader, merged
from hybrid.index.documents.subset import Subset
from hybrid.machine.arrays import Floats, Longs
from hybrid.machine.threads import KeptThreads

CHUNK = 8192
DEEP = 256  # from here on, selecting the best of every chunk costs more than the cache saves
_ROUNDING = 2.0**-24


class BruteForce(Protocol):
    """A way to find the best vectors by float32 inner products, on the CPU or on a device."""

    def best(
        self, queries: Floats, vectors: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return (scores, doc_nums), both (queries, count): the best of ``subset``, any order."""
        ...

    def on_cpu(self, queries: int) -> bool:
        """Return whether so many queries are answered on the CPU."""
        ...


def margin(queries: Floats, largest_norm: float) -> NDArray[np.float64]:
    """Return how far a float32 score may lie from the final one, for each query.

    The second term of ``gamma`` is the kernel's own float64 sum; what is added at the end stands
    for products below the range of float32.
    """
    dimension = queries.shape[1]
    gamma = dimension * _ROUNDING / (1 - dimension * _ROUNDING) + dimension * 2.0**-52
    norms = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))
    result: NDArray[np.float64] = gamma * norms * largest_norm + 1e-37
    return result


class FaissBruteForce:
    """A kernel for few queries; for more, FAISS over chunks, each thread takes a range of them.

    A chunk of the memory map is read in place, and stays in the cache while all queries pass over
    it. Of 200,000 vectors of 384 components on two cores: 4 ms each for 64 queries, where one call
    over the whole takes 13.
    """

    def __init__(self) -> None:
        self._threads = KeptThreads(cpu_count() or 1)

    def on_cpu(self, queries: int) -> bool:
        """Return True: there is nothing else."""
        return True

    def best(
        self, queries: Floats, vectors: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return the best as `BruteForce` says; the work is proportional to the subset."""
        if len(queries) <= FEW:
            rows = RowReader([vectors], [NO_NUMBERS], self._threads)
            if subset is None or subset.dense:
                return rows.best(queries, subset, count, threads)
            return rows.best_of(queries, subset.doc_nums.astype(np.int64), count, threads)
        workers = threads or cpu_count() or 1
        faiss = require("faiss", extra="cpu", purpose="dense search")
        total = len(vectors) if subset is None else len(subset)
        size = CHUNK if count <= DEEP else max(CHUNK, -(-total // workers))
        chunks: list[Longs | range]
        if subset is None:
            chunks = [range(at, min(total, at + size)) for at in range(0, total, size)]
        else:
            named = subset.doc_nums.astype(np.int64)
            chunks = [named[at : at + CHUNK] for at in range(0, total, CHUNK)]
        workers = min(workers, len(chunks))

        def work(worker: int) -> tuple[Floats, Longs]:
            faiss.omp_set_num_threads(1)  # of this thread alone
            rows = 0 if subset is None else min(CHUNK, total)
            copied = np.empty((rows, vectors.shape[1]), dtype=np.float32)
            scores = np.full((len(queries), count), -np.inf, dtype=np.float32)
            docs = np.full((len(queries), count), -1, dtype=np.int64)
            for number in range(worker, len(chunks), workers):
                best = _knn(faiss, queries, vectors, chunks[number], count, copied)
                scores, docs = merged([(scores, docs), best], count)
            return scores, docs

        if workers > 1:
            return merged(self._threads.map(work, workers), count)
        before = faiss.omp_get_max_threads()
        try:
            return work(0)
        finally:
            faiss.omp_set_num_threads(before)


def _knn(
    faiss: Any, queries: Floats, vectors: Floats, chunk: Longs | range, count: int, copied: Floats
) -> tuple[Floats, Longs]:
    """Return the best of a chunk: in place where its rows lie close together, else by a copy."""
    low, high = int(chunk[0]), int(chunk[-1]) + 1
    outside = (high - low) - len(chunk)
    wanted = min(len(chunk), count) + outside
    if outside > count:
        named = np.asarray(chunk)
        rows = np.take(vectors, named, axis=0, out=copied[: len(named)], mode="clip")
        scores, places = faiss.knn(
            queries, rows, min(len(rows), count), metric=faiss.METRIC_INNER_PRODUCT
        )
        return scores, named[places]
    scores, places = faiss.knn(
        queries, vectors[low:high], wanted, metric=faiss.METRIC_INNER_PRODUCT
    )
    if outside:
        member = np.zeros(high - low, dtype=np.bool_)
        member[np.asarray(chunk) - low] = True
        scores = np.where(member[places], scores, np.float32(-np.inf))
    return scores, places + low
