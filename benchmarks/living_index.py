"""What living costs: adding, many segments, opening. Run ``python benchmarks/living_index.py``.

Random sparse and dense rows stand in for an encoder, so that the figures are those of the index
alone. ``--docs`` sets the size, ``--added`` how many documents are added.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.corpus import Document
from hybrid.indexes.change import Change
from hybrid.indexes.hybrid import BranchRecord, HybridIndex
from hybrid.indexes.segment_writer import BranchPlan, write_segment
from hybrid.indexes.store import new_generation

VOCABULARY, TERMS, DIMENSION = 30_522, 100, 384
PART = 8192


class RandomRows:
    """Rows that depend on the position alone."""

    def __init__(self, first: int) -> None:
        self.first = first

    def ordered_documents(self, order: NDArray[np.int64]) -> Iterator[Document]:
        for position in order.tolist():
            yield Document(f"d{10**8 - self.first - position:09}", "some text of a document")

    def ordered_sparse(self, branch: str, order: NDArray[np.int64]) -> Iterator[csr_matrix]:
        for start in range(0, len(order), PART):
            rng = np.random.default_rng([self.first, start])
            count = min(PART, len(order) - start)
            terms = np.minimum(rng.zipf(1.3, (count, TERMS)), VOCABULARY) - 1
            rows = np.repeat(np.arange(count), TERMS)
            weights = rng.random(count * TERMS, dtype=np.float32) + np.float32(0.1)
            matrix = csr_matrix((weights, (rows, terms.ravel())), shape=(count, VOCABULARY))
            matrix.sum_duplicates()
            yield matrix

    def ordered_dense(self, branch: str, order: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(order), PART):
            rng = np.random.default_rng([self.first, start, 1])
            rows = rng.standard_normal((min(PART, len(order) - start), DIMENSION), dtype=np.float32)
            yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


PLANS = {"sparse": BranchPlan("sparse", VOCABULARY), "dense": BranchPlan("dense", DIMENSION)}


def build(directory: Path, count: int) -> None:
    """Write an index of ``count`` documents as one segment."""
    records = {
        name: BranchRecord(plan.kind, {"model": "random"}, {}, 0.0, {})
        for name, plan in PLANS.items()
    }
    with new_generation(directory, create=True) as generation:
        write_segment(
            generation.directory / "segments" / "000001", RandomRows(0), np.arange(count), PLANS
        )
        generation.commit(
            {
                "document_count": count,
                "source": "random",
                "branches": {name: record.to_dict() for name, record in records.items()},
                "segments": [["000001", count]],
            }
        )


def add(directory: Path, first: int, count: int) -> None:
    """Add ``count`` documents after the first ``first`` as a segment of their own."""
    rows = RandomRows(first)
    order = np.arange(count, dtype=np.int64)
    with new_generation(directory, create=False) as generation:
        change = Change(generation)
        change.append(rows, order, [each.doc_id for each in rows.ordered_documents(order)])
        change.commit()


def seconds(work: Callable[[], object], repeat: int = 1) -> float:
    """Return the shortest time of ``repeat`` runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def searched(directory: Path, k: int) -> dict[str, float]:
    """Return milliseconds a query, by branch, one query at a time."""
    index = HybridIndex.open(directory)
    queries = next(RandomRows(10**7).ordered_sparse("", np.arange(20)))
    thin = csr_matrix(queries.toarray() * (np.arange(VOCABULARY) % 4 == 0), dtype=np.float32)
    vectors = next(RandomRows(10**7).ordered_dense("", np.arange(20)))
    out = {}
    for name, rows in (("sparse", thin), ("dense", vectors)):
        branch = index.branch(name)
        branch.search(rows[:1], k)
        out[name] = seconds(lambda: [branch.search(rows[i : i + 1], k) for i in range(20)], 3) * 50  # noqa: B023
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=100_000)
    parser.add_argument("--added", type=int, default=1_000)
    parser.add_argument("-k", type=int, default=100)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hybrid-living-"))
    try:
        one, many = folder / "one", folder / "many"
        report: dict[str, object] = {"documents": options.docs, "added": options.added}
        report["build_s"] = built = seconds(lambda: build(one, options.docs))
        report["open_ms"] = seconds(lambda: HybridIndex.open(one), 5) * 1000
        report["one_segment_ms"] = single = searched(one, options.k)
        report["add_s"] = added = seconds(lambda: add(one, options.docs, options.added))
        report["add_share_of_build"] = added / built
        part = options.docs // 10
        build(many, part)
        for number in range(1, 10):
            add(many, number * part, part)
        report["ten_equal_segments_ms"] = ten = searched(many, options.k)
        report["ten_equal_to_one"] = {name: ten[name] / single[name] for name in single}
        for number in range(1, 9):
            add(one, options.docs + number * options.added, options.added)
        report["one_and_nine_added_ms"] = grown = searched(one, options.k)
        report["one_and_nine_added_to_one"] = {name: grown[name] / single[name] for name in single}
        print(json.dumps(report, indent=1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
