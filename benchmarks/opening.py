"""What opening a large index costs. Run ``python benchmarks/opening.py --docs 1000000``.

Builds a hybrid index (SPLADE-like sparse rows, dense vectors, documents), then opens it in new
processes: once without touching a branch, once with a search of both branches and a document,
which verifies every file that these need. Resident memory is that of the process beyond what its
imports took, of which the share of mapped files is told apart: the system may take that back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import living_index
import numpy as np
import sparse_vectors
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.corpus import Document
from hybrid.index.hybrid import HybridIndex


class Streamed:
    """Documents made part by part, so that a million of them need not be held."""

    passages = None
    field_kinds = MappingProxyType({})

    def ordered_documents(self, order: NDArray[np.int64]) -> Iterator[Document]:
        for position in order.tolist():
            yield Document(f"d{10**9 - position:010}", living_index.TEXT)

    def ordered_sparse(self, branch: str, order: NDArray[np.int64]) -> Iterator[csr_matrix]:
        yield from sparse_vectors.documents(len(order))

    def ordered_dense(self, branch: str, order: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        for start in range(0, len(order), living_index.PART):
            rng = np.random.default_rng([1, start])
            shape = (min(living_index.PART, len(order) - start), living_index.DIMENSION)
            rows = rng.standard_normal(shape, dtype=np.float32)
            yield rows / np.linalg.norm(rows, axis=1, keepdims=True)


def resident() -> dict[str, float]:
    """Return MiB of this process in memory: all of it, and its own (not mapped from files)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon")}


def opened(directory: Path, search: bool) -> dict[str, float]:
    """Open the index in this process; return the times and the memory that it took."""
    before = resident()
    start = time.perf_counter()
    index = HybridIndex.open(directory)
    report = {"open_ms": (time.perf_counter() - start) * 1000}
    if search:
        query = sparse_vectors.queries("symmetric", 1)
        vector = np.ones((1, living_index.DIMENSION), dtype=np.float32)
        before = resident()
        start = time.perf_counter()
        nums, _ = index.sparse("sparse").search(query, 10)
        index.dense("dense").search(vector, 10)
        str(index.documents[int(nums[0, 0])])
        report["first_search_s"] = time.perf_counter() - start
        start = time.perf_counter()
        index.sparse("sparse").search(query, 10)
        index.dense("dense").search(vector, 10)
        report["second_search_ms"] = (time.perf_counter() - start) * 1000
    after = resident()
    report["resident_mib"] = after["VmRSS"] - before["VmRSS"]
    report["own_mib"] = after["RssAnon"] - before["RssAnon"]
    return {name: round(value, 3) for name, value in report.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--search", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open is not None:
        print(json.dumps(opened(options.open, options.search)))
        return
    with tempfile.TemporaryDirectory(prefix="hybrid-opening-") as name:
        directory = Path(name) / "idx"
        living_index.write(directory, Streamed(), np.arange(options.docs, dtype=np.int64))
        size = HybridIndex.open(directory).generation.size
        report: dict[str, object] = {"documents": options.docs, "index_mib": round(size / 2**20, 1)}
        command = [sys.executable, __file__, "--open", str(directory)]
        for what, more in (("open", []), ("open_and_search", ["--search"])):
            runs = [json.loads(subprocess.check_output([*command, *more])) for _ in range(3)]
            report[what] = min(runs, key=lambda run: run["open_ms"])
    text = json.dumps(report, indent=1)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
