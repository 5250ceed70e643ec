"""What a filtered search costs by how much the filter leaves, in both branches, one thread.

    python benchmarks/filters.py --docs 200000 --json docs/results/filters.json

Documents are generated (sparse_vectors.py) and random 384-dimensional vectors. A filter leaves a
random share of them, or as many neighbours, and is given as doc_nums or as the mask that a filter
over fields makes. Recall is against brute force over what is stored: SciPy's product, and NumPy's
for the vectors. The whole search stands beside, as the share 1. At the end documents are deleted
from the one segment of a living index, which then passes over them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sparse_vectors
from numpy.typing import NDArray

from hybrid.index.dense.segment import VectorSegment
from hybrid.index.dense.vector import VectorIndex
from hybrid.index.dense.write import write_vectors
from hybrid.index.documents.numbering import Numbering
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import SparseOptions, write_postings

SHARES = (1.0, 0.5, 0.05, 0.001, 0.00001)
DIMENSION = 384
DELETED = (1, 100, 10_000)
Doc_nums = NDArray[np.int32] | None
Search = Callable[[int], NDArray[np.int32]]


def doc_nums_of(docs: int, share: float, spread: str, seed: int) -> Doc_nums:
    """Return the doc_nums that a filter leaves, at least one; None for all."""
    if share == 1:
        return None
    size = max(1, round(docs * share))
    rng = np.random.default_rng(seed)
    if spread == "neighbours":
        first = int(rng.integers(0, docs - size + 1))
        return np.arange(first, first + size, dtype=np.int32)
    return np.sort(rng.choice(docs, size, replace=False)).astype(np.int32)


def share_found(scores: NDArray[Any], nums: NDArray[np.int32], subset: Doc_nums, k: int) -> float:
    """Return the share of the k best of a subset that are in ``nums``; ties with the k-th count."""
    within = np.arange(len(scores)) if subset is None else subset
    wanted = min(k, int((scores[within] > -np.inf).sum()))
    if not wanted:
        return 1.0
    floor = np.partition(scores[within], len(within) - wanted)[len(within) - wanted]
    found = nums[nums >= 0]
    assert np.isin(found, within).all()
    return float((scores[found] >= floor - 1e-6 * abs(floor)).sum() / wanted)


def timed(search: Search, queries: int, sweeps: int) -> tuple[float, list[NDArray[np.int32]]]:
    """Return the median milliseconds a query, and the answers."""
    answers = [search(row) for row in range(queries)]
    times = np.empty((sweeps, queries))
    for sweep in range(sweeps):
        for row in range(queries):
            began = time.perf_counter()
            search(row)
            times[sweep, row] = time.perf_counter() - began
    return float(np.median(np.median(times, axis=0)) * 1000), answers


def build(docs: int, folder: Path) -> tuple[InvertedIndex, VectorIndex]:
    """Return both branches of generated documents."""
    (folder / "sparse").mkdir()
    (folder / "dense").mkdir()
    write_postings(
        sparse_vectors.documents(docs),
        folder / "sparse",
        SparseOptions(vocabulary_size=sparse_vectors.VOCABULARY),
    )
    rng = np.random.default_rng(0)
    starts = range(0, docs, 50_000)
    sizes = (min(50_000, docs - start) for start in starts)
    parts = (rng.standard_normal((size, DIMENSION), dtype=np.float32) for size in sizes)
    write_vectors(parts, folder / "dense", dimension=DIMENSION)
    return InvertedIndex.open(folder / "sparse"), VectorIndex(
        [VectorSegment.open(folder / "dense")]
    )


def measure(docs: int, count: int, k: int, sweeps: int, folder: Path) -> list[dict[str, Any]]:
    """Return one row a branch and filter, then one a branch and number of deleted documents."""
    sparse, dense = build(docs, folder)
    queries = sparse_vectors.queries("symmetric", count)
    vectors = np.random.default_rng(1).standard_normal((count, DIMENSION), dtype=np.float32)
    every = np.arange(docs, dtype=np.int32)
    products = (sparse.vectors(every) @ queries.T).toarray()
    truths = {
        "sparse": np.where(products > 0, products, -np.inf),
        "dense": dense.vectors(every) @ vectors.T,
    }
    rows = []

    def add(branch: str, search: Search, within: Doc_nums, **named: Any) -> None:
        milliseconds, answers = timed(search, count, sweeps)
        shares = [share_found(truths[branch][:, i], answers[i], within, k) for i in range(count)]
        row = {"branch": branch, "docs": docs, "k": k, **named}
        row |= {"p50_ms": round(milliseconds, 4), "recall": float(np.mean(shares))}
        rows.append(row)
        print(json.dumps(row), flush=True)

    def searches(sparse: InvertedIndex, dense: VectorIndex, subset: Any) -> dict[str, Search]:
        return {
            "sparse": lambda row: sparse.search(queries[row], k, threads=1, subset=subset)[0][0],
            "dense": lambda row: dense.search(vectors[row : row + 1], k, threads=1, subset=subset)[
                0
            ][0],
        }

    for spread in ("random", "neighbours"):
        for share in SHARES:
            left = doc_nums_of(docs, share, spread, 2)
            size = docs if left is None else len(left)
            given = {"numbers": left}
            if left is not None:
                given["mask"] = np.isin(every, left)
            for way, subset in given.items():
                named = {"filter": spread, "share": share, "left": size, "given": way}
                for branch, search in searches(sparse, dense, subset).items():
                    add(branch, search, left, **named)
    for deleted in DELETED:
        gone = np.random.default_rng(3).choice(docs, deleted, replace=False)
        numbering = Numbering.whole(docs).change(gone.tolist(), [])
        _, places = numbering.live(0)
        parts = InvertedIndex(sparse.segments, numbering), VectorIndex(dense.segments, numbering)
        for branch, search in searches(*parts, None).items():
            # Numbers of the living index, back to those of its segment.
            add(branch, lambda row, s=search, p=places: p[s(row)], places, deleted=deleted)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--sweeps", type=int, default=3)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="filters-") as folder:
        rows = measure(args.docs, args.queries, args.k, args.sweeps, Path(folder))
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
