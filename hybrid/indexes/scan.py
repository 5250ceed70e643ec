"""Candidates of a dense search: the best vectors by rounded scores, from FAISS or torch.

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

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import require

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Scan = Callable[[Floats, Floats, int], tuple[Floats, Longs]]

CHUNK = 8192
_ROUNDING = 2.0**-24


def candidates(
    scan: Scan,
    queries: Floats,
    vectors: Floats,
    subset: Ints | None,
    count: int,
    largest_norm: float,
) -> tuple[Ints, Floats]:
    """Return the ``count`` best doc_nums by rounded score, and a bound on all others.

    Shapes are (queries, count) and (queries,): no document of the subset (default: of all) that
    is not among the candidates has a final score above its query's bound.
    """
    if subset is None:
        rounded, found = scan(queries, vectors, count)
    else:
        rounded, found = scan_subset(scan, queries, vectors, subset, count)
    bound = rounded[:, -1] + margin(queries, largest_norm)
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


def faiss_scan(queries: Floats, vectors: Floats, count: int) -> tuple[Floats, Longs]:
    """Return (scores, rows), both (queries, count): the best inner products, best first.

    ``vectors`` may be memory-mapped: FAISS reads it in place.
    """
    faiss = require("faiss", extra="cpu", purpose="dense search")
    scores, rows = faiss.knn(queries, vectors, count, metric=faiss.METRIC_INNER_PRODUCT)
    return scores, rows


@contextlib.contextmanager
def faiss_threads(threads: int) -> Iterator[None]:
    """Let FAISS use ``threads`` threads while the block runs (0: as many as it likes)."""
    faiss = require("faiss", extra="cpu", purpose="dense search")
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads or before)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def scan_subset(
    scan: Scan, queries: Floats, vectors: Floats, subset: Ints, count: int
) -> tuple[Floats, Longs]:
    """Return (scores, doc_nums), both (queries, count), over the ascending ``subset`` alone.

    The work is proportional to the subset: it goes through it in chunks, in place where a chunk
    lies close together and by a copy of its rows where it is scattered.
    """
    best_scores = np.full((len(queries), count), -np.inf, dtype=np.float32)
    best_docs = np.full((len(queries), count), -1, dtype=np.int64)
    for start in range(0, len(subset), CHUNK):
        chunk = subset[start : start + CHUNK].astype(np.int64)
        low, high = int(chunk[0]), int(chunk[-1]) + 1
        outside = (high - low) - len(chunk)
        if outside <= count:
            scores, rows = scan(queries, vectors[low:high], min(high - low, count + outside))
            docs = rows + low
            if outside:
                member = np.zeros(high - low, dtype=np.bool_)
                member[chunk - low] = True
                scores = np.where(member[rows], scores, np.float32(-np.inf))
        else:
            scores, rows = scan(queries, vectors[chunk], min(len(chunk), count))
            docs = chunk[rows]
        all_scores = np.concatenate([best_scores, scores], axis=1)
        all_docs = np.concatenate([best_docs, docs], axis=1)
        order = np.argsort(-all_scores, axis=1, kind="stable")[:, :count]
        best_scores = np.take_along_axis(all_scores, order, axis=1)
        best_docs = np.take_along_axis(all_docs, order, axis=1)
    return best_scores, best_docs


def torch_scan(device: str) -> Scan:
    """Return a scan by one torch matrix product on ``device``, the vectors kept there once sent.

    Raises:
        MissingPackageError: torch is not installed.
    """
    torch = require("torch", extra="cpu", purpose="dense search by torch")
    kept: dict[tuple[int, int, int], Any] = {}

    def scan(queries: Floats, vectors: Floats, count: int) -> tuple[Floats, Longs]:
        key = (vectors.ctypes.data, *vectors.shape)
        if key not in kept:
            kept.clear()
            # A copy: torch tensors over a read-only map would be writable in name.
            kept[key] = torch.from_numpy(np.array(vectors)).to(device)
        allowed = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            product = torch.from_numpy(np.array(queries)).to(device) @ kept[key].T
            scores, rows = torch.topk(product, count, dim=1)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = allowed
        return scores.cpu().numpy(), rows.cpu().numpy()

    return scan
