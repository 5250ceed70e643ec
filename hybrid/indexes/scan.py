"""Candidates of a dense search: the best vectors by rounded scores, and FAISS on the CPU.

What comes back is rounded within a known margin, and `hybrid.indexes.vector` makes it exact.

Why the flat search misses nothing. Let ``s`` be the exact inner product of a query and a document
in d dimensions and ``f`` a float32 sum of its products in any order, with or without fused
multiply-add. Then ``|f - s| <= gamma(d) * |q| * |x|`` with ``gamma(d) = d*u / (1 - d*u)``,
``u = 2**-24`` (Higham, Accuracy and Stability of Numerical Algorithms, 3.1). FAISS returns the
best few by ``f``; every other document has ``f <= lowest``, thus ``s <= lowest + margin``. If that,
rounded, is below the k-th best final score, no other document can enter the first k, not even by
a tie. If it is not, as with many duplicates, the kernel answers the query over everything.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import require
from hybrid.indexes.subset import Subset
from hybrid.kernels import dense

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

CHUNK = 8192
DEEP = 256  # from here on, selecting the best of every chunk costs more than the cache saves
FEW = 3  # queries: for more of them at once it pays to copy the rows of a subset together
_ROUNDING = 2.0**-24


class Scan(Protocol):
    """A way to find the best vectors by float32 inner products, on the CPU or on a device."""

    def best(
        self, queries: Floats, vectors: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return (scores, doc_nums), both (queries, count): the best of ``subset``, any order."""
        ...


def candidates(
    scan: Scan,
    queries: Floats,
    vectors: Floats,
    subset: Subset | None,
    count: int,
    largest_norm: float,
    threads: int,
) -> tuple[Ints, Floats]:
    """Return the ``count`` best doc_nums by rounded score, and a bound on all others.

    Shapes are (queries, count) and (queries,): no document of the subset (default: of all) that
    is not among the candidates has a final score above its query's bound.
    """
    rounded, found = scan.best(queries, vectors, subset, count, threads)
    bound = rounded.min(axis=1) + margin(queries, largest_norm)
    return found.astype(np.int32), bound.astype(np.float32)


def margin(queries: Floats, largest_norm: float) -> NDArray[np.float64]:
    """Return how far a float32 score may lie from the final one, for each query.

    The second term of ``gamma`` is the kernel's own float64 sum; what is added at the end stands
    for products below the range of float32.
    """
    dimension = queries.shape[1]
    gamma = dimension * _ROUNDING / (1 - dimension * _ROUNDING) + dimension * 2.0**-52
    norms = np.linalg.norm(queries.astype(np.float64), axis=1)
    result: NDArray[np.float64] = gamma * norms * largest_norm + 1e-37
    return result


class FaissScan:
    """FAISS over chunks of the memory map, read in place; each thread takes a range of chunks.

    A chunk stays in the cache while all queries pass over it, and one query alone still uses
    every core. Of 200,000 vectors of 384 components on two cores: 7 ms for one query and 4 ms
    each for 64, where one call over the whole takes 29 and 13.
    """

    def best(
        self, queries: Floats, vectors: Floats, subset: Subset | None, count: int, threads: int
    ) -> tuple[Floats, Longs]:
        """Return the best as `Scan` says; the work is proportional to the subset."""
        workers = threads or cpu_count() or 1
        if subset is not None and subset.dense and len(queries) <= FEW:
            return _best_allowed(queries, vectors, subset, count, workers)
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
                found = _knn(faiss, queries, vectors, chunks[number], count, copied)
                scores, docs = _merge([scores, found[0]], [docs, found[1]], count)
            return scores, docs

        if workers > 1:
            return _side_by_side(work, workers, count)
        before = faiss.omp_get_max_threads()
        try:
            return work(0)
        finally:
            faiss.omp_set_num_threads(before)


def _best_allowed(
    queries: Floats, vectors: Floats, subset: Subset, count: int, workers: int
) -> tuple[Floats, Longs]:
    """Return the best of a subset by reading its rows where they lie, a range for each thread."""
    edges = np.linspace(0, len(vectors), workers + 1).astype(np.int64).tolist()

    def work(worker: int) -> tuple[Floats, Longs]:
        scores = np.empty((len(queries), count), dtype=np.float32)
        docs = np.empty((len(queries), count), dtype=np.int64)
        first, last = edges[worker : worker + 2]
        dense.best_allowed(queries, vectors, subset.mask, first, last, scores, docs)
        return scores, docs

    return _side_by_side(work, workers, count)


def _side_by_side(
    work: Callable[[int], tuple[Floats, Longs]], workers: int, count: int
) -> tuple[Floats, Longs]:
    if workers == 1:
        return work(0)
    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(work, range(workers)))
    return _merge([part[0] for part in parts], [part[1] for part in parts], count)


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


def _merge(scores: list[Floats], docs: list[Longs], count: int) -> tuple[Floats, Longs]:
    """Return the ``count`` best of several results, in any order."""
    all_scores, all_docs = np.concatenate(scores, axis=1), np.concatenate(docs, axis=1)
    if all_scores.shape[1] > count:
        places = np.argpartition(-all_scores, count - 1, axis=1)[:, :count]
        all_scores = np.take_along_axis(all_scores, places, axis=1)
        all_docs = np.take_along_axis(all_docs, places, axis=1)
    return all_scores, all_docs
