"""What ranking and measuring cost beyond encoding and search: eight systems over one made pool.

    python benchmarks/ranking.py --json docs/results/ranking.json

Three branches of random scores search to depth 1,000 among 10,000 stored documents. ``cpu_s`` is
the processor time of all queries; ``ms_a_query`` is that of one query and system.
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

from hybrid.corpus import Document
from hybrid.evaluate import evaluate
from hybrid.fusion import fuse, parse_fusion, rank
from hybrid.fusion.pool import BranchHits, Pool, build_pool
from hybrid.index.documents.store import DocumentSegment, DocumentStore
from hybrid.index.documents.write import write_documents

BRANCHES = ("bm25", "sparse", "dense")
FUSIONS = (
    *BRANCHES,
    "rrf(k=60)",
    "cc(norm=minmax)",
    "cc(norm=zscore, weights=(bm25:0.2, sparse:0.3, dense:0.5))",
    "cc(norm=minmax, weights=(bm25:0.5, sparse:0, dense:0.5))",
    "rrf(k=10)",
)
MEASURES = ("nDCG@10", "R@100", "RR@10", "AP")


def made_pool(queries: int, documents: int, depth: int, folder: Path) -> Pool:
    """Return a pool of random scores over documents that are stored in ``folder``."""
    stored = [Document(f"doc{at:07}", text="text") for at in reversed(range(documents))]
    write_documents(stored, folder)
    doc_ids = DocumentStore([DocumentSegment(folder)]).doc_ids
    rng = np.random.default_rng(0)
    common = rng.random((queries, documents), dtype=np.float32)
    scores = {
        name: np.round(common + rng.random((queries, documents), dtype=np.float32), 4)
        for name in BRANCHES
    }
    every = np.broadcast_to(np.arange(documents, dtype=np.int32), common.shape)
    hits = {}
    for name, values in scores.items():
        best = np.lexsort((every, -values), axis=1)[:, :depth].astype(np.int32)
        hits[name] = BranchHits(best, np.take_along_axis(values, best, axis=1))
    return build_pool(
        [f"q{at}" for at in range(queries)],
        hits,
        {
            name: lambda nums, of=values: np.take_along_axis(of, np.maximum(nums, 0), axis=1)
            for name, values in scores.items()
        },
        minimum=dict.fromkeys(BRANCHES, 0.0),
        depth=depth,
        doc_ids=doc_ids,
    )


def main() -> None:
    """Print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--depth", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures here")
    given = parser.parse_args()
    spent: dict[str, float] = {}

    def timed(name: str, job: Callable[..., Any], *arguments: Any) -> Any:
        began = time.process_time()
        result = job(*arguments)
        spent[name] = spent.get(name, 0) + time.process_time() - began
        return result

    with tempfile.TemporaryDirectory() as folder:
        pool = made_pool(given.queries, given.documents, given.depth, Path(folder))
        rng = np.random.default_rng(1)
        judged = rng.integers(0, given.documents, (given.queries, 20))
        qrels = {
            f"q{at}": {f"doc{number:07}": int(number % 3) for number in row}
            for at, row in enumerate(judged.tolist())
        }
        for text in FUSIONS:
            fused = timed("fuse", fuse, pool, parse_fusion(text))
            run = timed("rank", rank, pool, fused, given.depth)
            timed("evaluate", evaluate, run, qrels, MEASURES)
    pairs = given.queries * len(FUSIONS)
    found = {
        "queries": given.queries,
        "systems": len(FUSIONS),
        "depth": given.depth,
        "candidates_a_query": round(len(pool.doc_nums) / given.queries),
        "cpu_s": {name: round(value, 2) for name, value in spent.items()},
        "ms_a_query": {name: round(value / pairs * 1e3, 3) for name, value in spent.items()},
    }
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
