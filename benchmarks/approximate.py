"""What a search reaches and saves that asks for a recall, on queries that no build has sampled.

    python benchmarks/approximate.py --docs 1000000 --json docs/results/approximate-1m.json

Documents and queries are generated (sparse_vectors.py). Each row asks for a recall at a depth: the
factor that the table measured at build answers with, the recall that it promises, the recall of
these queries against the exact search, and the median milliseconds of both searches, one thread,
which take turns, sweep by sweep.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import sparse_vectors
from scipy.sparse import csr_matrix

from hybrid.index.sparse.approximate import share_found
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import SparseOptions, write_postings

KINDS = ("symmetric", "inference-free")
RECALLS = (0.99, 0.95, 0.9)
DEPTHS = (10, 100)


def compared(
    index: InvertedIndex, queries: csr_matrix, k: int, shrink: float, sweeps: int
) -> dict[str, Any]:
    """Return the recall found, and the median milliseconds of the exact search and of this one."""
    _, exact = index.search(queries, k)
    _, scores = index.search(queries, k, shrink=shrink)
    # share_found leaves each query's first hit out; a column in front makes it count all.
    first = np.full((len(exact), 1), np.float32(3e38))
    found = share_found(np.hstack([first, exact]), np.hstack([first, scores]))
    times = np.empty((2, sweeps, queries.shape[0]))
    for sweep in range(sweeps):
        for way, asked in enumerate((1.0, shrink)):
            for row in range(queries.shape[0]):
                began = time.perf_counter()
                index.search(queries[row], k, threads=1, shrink=asked)
                times[way, sweep, row] = time.perf_counter() - began
    exact_ms, asked_ms = (float(np.median(np.median(each, axis=0))) * 1000 for each in times)
    return {
        "recall_found": round(found, 4),
        "exact_p50_ms": round(exact_ms, 4),
        "p50_ms": round(asked_ms, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--sweeps", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="approximate-") as folder:
        write_postings(
            sparse_vectors.documents(args.docs),
            Path(folder),
            SparseOptions(vocabulary_size=sparse_vectors.VOCABULARY),
        )
        index = InvertedIndex.open(Path(folder))
        for kind in KINDS:
            queries = sparse_vectors.queries(kind, args.queries)
            for k in DEPTHS:
                for recall in RECALLS:
                    accuracy = index.accuracy(recall, k)
                    row = {"docs": args.docs, "kind": kind, "k": k, "asked": recall}
                    row |= {"cut": accuracy.shrink, "promised": round(accuracy.recall, 4)}
                    rows.append(row | compared(index, queries, k, accuracy.shrink, args.sweeps))
                    print(json.dumps(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
