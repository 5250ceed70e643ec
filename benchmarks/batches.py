"""What a second thread gives a batch of queries, in searching and in scoring named documents.

    python benchmarks/batches.py --docs 200000 --json docs/results/batches.json

Documents and queries are generated (sparse_vectors.py), vectors are random. One and more threads
take turns, and their results are compared bit by bit; ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from os import cpu_count
from pathlib import Path
from typing import Any

import numpy as np
import sparse_vectors
from filters import DIMENSION, build


def timed(job: Callable[[int], Any], threads: int, sweeps: int) -> list[float]:
    """Return the median seconds of the job with one thread, and with ``threads``."""
    times = np.empty((sweeps, 2))
    expected = job(1)
    for sweep in range(sweeps):
        for column, count in enumerate((1, threads)):
            began = time.perf_counter()
            found = job(count)
            times[sweep, column] = time.perf_counter() - began
            for mine, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(mine, other)
    medians: list[float] = np.median(times, axis=0).tolist()
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=128)
    parser.add_argument("--candidates", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=cpu_count() or 1)
    parser.add_argument("--sweeps", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the rows here")
    args = parser.parse_args()
    queries = sparse_vectors.queries("symmetric", args.queries)
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((args.queries, DIMENSION), dtype=np.float32)
    named = rng.integers(0, args.docs, (args.queries, args.candidates)).astype(np.int32)
    rows = []
    with tempfile.TemporaryDirectory(prefix="batches-") as folder:
        sparse, dense = build(args.docs, Path(folder))
        jobs: dict[str, Callable[[int], Any]] = {
            "search sparse, top 10": lambda n: sparse.search(queries, 10, threads=n),
            "search sparse, top 1000": lambda n: sparse.search(queries, 1000, threads=n),
            "search dense, top 1000": lambda n: dense.search(vectors, 1000, threads=n),
            "score sparse": lambda n: [sparse.score(queries, named, threads=n)],
            "score dense": lambda n: [dense.score(vectors, named, threads=n)],
        }
        for name, job in jobs.items():
            one, more = (
                1000 * each / args.queries for each in timed(job, args.threads, args.sweeps)
            )
            row = {"job": name, "docs": args.docs, "queries": args.queries, "threads": args.threads}
            row |= {"one_ms": round(one, 4), "more_ms": round(more, 4)}
            rows.append(row | {"ratio": round(one / more, 2)})
            print(json.dumps(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
