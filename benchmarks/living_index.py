"""What living costs: adding and many segments. Run ``python benchmarks/living_index.py``.

Rows that were made beforehand stand in for an encoder, so that the figures are those of the index
alone: SPLADE-like rows of `sparse_vectors`, whose terms occur together as in text, or uniformly
random ones, of which no document can be left out. ``--docs`` sets the size, ``--added`` how many
documents are added. One segment and many of the same documents and scales answer in turn, in
``--processes`` processes one after the other, since where files are mapped matters; their hits must
be the same. In a process a query counts with the shortest of its times, so that other work on the
machine disturbs little. Kernels are loaded before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from types import MappingProxyType

import numpy as np
import sparse_vectors
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from hybrid.corpus import Document
from hybrid.index.change import Change
from hybrid.index.hybrid import HybridIndex
from hybrid.index.records import BranchRecord
from hybrid.index.segment_writer import BranchPlan, Rows, SegmentPlan, write_segment
from hybrid.index.storage.writer import new_generation

VOCABULARY, TERMS, DIMENSION = sparse_vectors.VOCABULARY, 100, 384
PART = 8192
TEXT = "some text of a document, as long as that of a short paragraph of a page. " * 6
PLANS = {"sparse": BranchPlan("sparse", VOCABULARY), "dense": BranchPlan("dense", DIMENSION)}
MANY = {"one_and_nine_added": "one_of_all", "ten_equal": "one"}
"""Indexes of many segments, and the one segment of the same documents."""


@dataclass(frozen=True)
class Encoded:
    """Documents with their rows, from ``first`` on; ids descend with the position."""

    sparse: csr_matrix
    dense: NDArray[np.float32]
    first: int = 0
    passages: None = None
    field_kinds = MappingProxyType({})

    def part(self, first: int, count: int) -> Encoded:
        """Return ``count`` of the documents."""
        rows = slice(first, first + count)
        return Encoded(self.sparse[rows], self.dense[rows], first)

    def ids(self) -> list[str]:
        """Return the ids, spread over those of all parts, so that additions fall anywhere."""
        numbers = (np.arange(len(self.dense)) + self.first) * 7_368_787 % 10**8
        return [f"d{number:09}" for number in numbers.tolist()]

    def order(self) -> NDArray[np.int64]:
        """Return the positions in descending order of id."""
        return np.argsort(np.array(self.ids()))[::-1].astype(np.int64)

    def ordered_documents(self, order: NDArray[np.int64]) -> Iterator[Document]:
        ids = self.ids()
        for position in order.tolist():
            yield Document(ids[position], TEXT)

    def ordered_sparse(self, branch: str, order: NDArray[np.int64]) -> Iterator[csr_matrix]:
        for start in range(0, len(order), PART):
            yield self.sparse[order[start : start + PART]]

    def ordered_dense(self, branch: str, order: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(order), PART):
            yield self.dense[order[start : start + PART]]


def random_rows(count: int, seed: int) -> csr_matrix:
    """Return rows of 100 terms each, drawn by Zipf's law, with uniform weights."""
    rng = np.random.default_rng(seed)
    terms = np.minimum(rng.zipf(1.3, (count, TERMS)), VOCABULARY) - 1
    rows = np.repeat(np.arange(count), TERMS)
    weights = rng.random(count * TERMS, dtype=np.float32) + np.float32(0.1)
    matrix = csr_matrix((weights, (rows, terms.ravel())), shape=(count, VOCABULARY))
    matrix.sum_duplicates()
    return matrix


def encoded(kind: str, count: int) -> Encoded:
    """Return ``count`` documents with rows of a kind."""
    dense = np.random.default_rng(1).standard_normal((count, DIMENSION), dtype=np.float32)
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    if kind == "random":
        return Encoded(random_rows(count, 2), dense)
    return Encoded(csr_matrix(vstack(list(sparse_vectors.documents(count)))), dense)


def query_rows(kind: str, count: int) -> csr_matrix:
    """Return sparse queries that go with such documents."""
    if kind != "random":
        return sparse_vectors.queries("symmetric", count)
    drawn = random_rows(count, 3)
    drawn.data[drawn.indices % 4 != 0] = 0
    drawn.eliminate_zeros()
    return drawn


def build(directory: Path, documents: Encoded, scales: NDArray[np.float32] | None = None) -> None:
    """Write an index as one segment."""
    write(directory, documents, documents.order(), scales)


def write(
    directory: Path,
    rows: Rows,
    order: NDArray[np.int64],
    scales: NDArray[np.float32] | None = None,
) -> None:
    """Write an index of rows in this order as one segment; other scales than its own if given."""
    plans = PLANS | {"sparse": replace(PLANS["sparse"], scales=scales)}
    with new_generation(directory, create=True) as generation:
        folder = generation.directory / "segments" / "000001"
        reports = write_segment(folder, rows, order, SegmentPlan(plans))
        records = {
            name: BranchRecord(plan.kind, {"model": "made"}, {}, 0.0, reports[name])
            for name, plan in plans.items()
        }
        generation.commit(
            {
                "document_count": len(order),
                "source": "made",
                "branches": {name: record.to_dict() for name, record in records.items()},
                "segments": [["000001", len(order)]],
            }
        )


def add(directory: Path, documents: Encoded) -> None:
    """Add documents as a segment of their own."""
    order = documents.order()
    ids = documents.ids()
    with new_generation(directory, create=False) as generation:
        change = Change(generation)
        change.append(documents, order, [ids[position] for position in order.tolist()])
        change.commit()


def timed(work: object, *arguments: object) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work(*arguments)  # type: ignore[operator]
    return time.perf_counter() - start


def compared(folder: Path, kind: str, options: argparse.Namespace) -> dict[str, object]:
    """Return milliseconds a query, one at a time in one thread, by branch, depth and index.

    Raises:
        SystemExit: many segments gave other hits than one.
    """
    names = sorted({*MANY, *MANY.values()})
    warm = HybridIndex.open(folder / "warm")
    opened = {name: HybridIndex.open(folder / name) for name in names}
    rng = np.random.default_rng(7)
    count = options.queries
    vectors = rng.standard_normal((count, DIMENSION), dtype=np.float32)
    report: dict[str, object] = {}
    for branch, rows in (("sparse", query_rows(kind, count)), ("dense", vectors)):
        warm.branch(branch).search(rows[:1], 10, threads=1)
        report[f"{branch}_first_ms"] = {
            name: round(1000 * timed(index.branch(branch).search, rows[:1], 10), 2)
            for name, index in opened.items()
        }
        for k in options.k:
            hits = {name: index.branch(branch).search(rows, k) for name, index in opened.items()}
            for many, one in MANY.items():
                if not all(map(np.array_equal, hits[many], hits[one])):
                    raise SystemExit(f"{branch}, top {k}: {many} gave other hits than {one}")
            best = {name: np.full(count, np.inf) for name in names}
            for _ in range(options.repeat):
                for name, index in opened.items():
                    part = index.branch(branch)
                    for row in range(count):
                        query = rows[row : row + 1]
                        spent = timed(lambda: part.search(query, k, threads=1))  # noqa: B023
                        best[name][row] = min(best[name][row], spent)
            report[f"{branch}_top{k}_ms"] = {
                name: round(float(each.mean()) * 1000, 4) for name, each in best.items()
            }
    return report


def measured(kind: str, options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Return all figures for one kind of rows."""
    size, few = options.docs, options.added
    documents = encoded(kind, size + 9 * few)
    grown, ten, one = (folder / name for name in ("one_and_nine_added", "ten_equal", "one"))
    build(folder / "warm", documents.part(0, size // 4))  # kernels are compiled or loaded
    add(folder / "warm", documents.part(size, few))
    built = timed(build, one, documents.part(0, size))
    scales = np.array(HybridIndex.open(one).sparse("sparse").segments[0].postings.scales)
    build(folder / "one_of_all", documents, scales)
    build(grown, documents.part(0, size), scales)
    added = [timed(add, grown, documents.part(size + i * few, few)) for i in range(9)]
    tenth = size // 10
    build(ten, documents.part(0, tenth), scales)
    for number in range(1, 10):
        add(ten, documents.part(number * tenth, tenth))
    report: dict[str, object] = {"build_s": round(built, 3), "add_s": [round(s, 3) for s in added]}
    report["add_share_of_build"] = round(sorted(added)[4] / built, 4)
    command = [sys.executable, __file__, *sys.argv[1:], "--compare", str(folder), "--rows", kind]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(options.processes)
    ]
    report["processes"] = runs
    for name in runs[0]:
        if name.endswith("_first_ms"):
            report[name] = {each: median(run[name][each] for run in runs) for each in runs[0][name]}
            continue
        report[name.replace("_ms", "_to_one")] = {
            many: round(median(run[name][many] / run[name][alone] for run in runs), 3)
            for many, alone in MANY.items()
        }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=100_000)
    parser.add_argument("--added", type=int, default=1_000)
    parser.add_argument("--rows", nargs="+", choices=("splade", "random"), default=["splade"])
    parser.add_argument("-k", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--processes", type=int, default=5)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--compare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compare is not None:
        print(json.dumps(compared(options.compare, options.rows[0], options)))
        return
    report: dict[str, object] = {"documents": options.docs, "added": options.added}
    for kind in options.rows:
        with tempfile.TemporaryDirectory(prefix="hybrid-living-") as name:
            report[kind] = measured(kind, options, Path(name))
    text = json.dumps(report, indent=1)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
