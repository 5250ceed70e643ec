"""What building and opening a sparse index cost: seconds, peak memory, and what stays resident.

    python benchmarks/sparse_build.py --docs 1000000 --json docs/results/sparse_build.json

The generated vectors (sparse_vectors.py) lie on disk in shards, as an encoder leaves them. Each
build and each opening runs in a process of its own. Peak memory is the growth of the process's
resident set over what it had before building, kernels compiled; ``anonymous`` leaves out pages of
mapped files, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

VOCABULARY = 30_522


def memory_mb(field: str) -> float:
    """Return a field of this process's status, such as VmRSS, VmHWM or RssAnon, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise KeyError(field)


class AnonymousPeak:
    """The largest anonymous memory seen while the block runs, looked at every 5 ms."""

    def __enter__(self) -> AnonymousPeak:
        self.mb = memory_mb("RssAnon")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.005):
            self.mb = max(self.mb, memory_mb("RssAnon"))

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()


def write_shards(folder: Path, docs: int, seed: int) -> int:
    """Write the vectors shard by shard; return their bytes as CSR of int32 and float32."""
    import sparse_vectors

    total = 0
    for number, part in enumerate(sparse_vectors.documents(docs, seed)):
        np.save(folder / f"{number:05}-indptr.npy", part.indptr.astype(np.int32))
        np.save(folder / f"{number:05}-indices.npy", part.indices.astype(np.int32))
        np.save(folder / f"{number:05}-data.npy", part.data)
        total += part.nnz * 8 + part.indptr.nbytes
    return total


def read_shards(folder: Path) -> Iterator[csr_matrix]:
    """Yield the shards, one in memory at a time."""
    for path in sorted(folder.glob("*-indptr.npy")):
        name = path.name.removesuffix("-indptr.npy")
        indptr, indices, data = (
            np.load(folder / f"{name}-{part}.npy") for part in ("indptr", "indices", "data")
        )
        yield csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, VOCABULARY))


def build(shards: Path, target: Path, order: str) -> dict[str, Any]:
    """Build once small, to load the kernels, then build and return what it took."""
    from hybrid.index.sparse.write import SparseOptions, write_postings

    with tempfile.TemporaryDirectory(dir=target.parent) as warm:
        first = next(read_shards(shards))[:300]
        write_postings(
            [first], Path(warm), SparseOptions(vocabulary_size=VOCABULARY, order="cluster")
        )
        del first
    before, before_anonymous = memory_mb("VmRSS"), memory_mb("RssAnon")
    target.mkdir()
    began = time.perf_counter()
    with AnonymousPeak() as peak:
        report = write_postings(
            read_shards(shards), target, SparseOptions(vocabulary_size=VOCABULARY, order=order)
        )
    return {
        "build_s": round(time.perf_counter() - began, 2),
        "order_s": round(report.order_seconds, 2),
        "index_mb": round(report.size_bytes / 1e6, 1),
        "peak_mb": round(memory_mb("VmHWM") - before, 1),
        "peak_anonymous_mb": round(peak.mb - before_anonymous, 1),
        "process_mb": round(memory_mb("VmHWM"), 1),
    }


def opened(target: Path) -> dict[str, Any]:
    """Open the index and answer one query; return times and what stayed resident."""
    import sparse_vectors

    from hybrid.index.sparse.inverted import InvertedIndex

    query = sparse_vectors.queries("symmetric", 1, 1)
    before = memory_mb("VmRSS")
    began = time.perf_counter()
    index = InvertedIndex.open(target)
    elapsed = time.perf_counter() - began
    after = memory_mb("VmRSS")
    began = time.perf_counter()
    index.search(query, 10, threads=1)
    return {
        "open_ms": round(elapsed * 1000, 1),
        "open_resident_mb": round(after - before, 2),
        "first_search_ms": round((time.perf_counter() - began) * 1000, 1),
        "searched_resident_mb": round(memory_mb("VmRSS") - before, 1),
    }


def apart(function: Callable[..., dict[str, Any]], *arguments: object) -> dict[str, Any]:
    """Return what ``function`` returns in a new process."""
    command = [sys.executable, __file__, "--worker", function.__name__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(docs: int, seed: int, folder: Path) -> list[dict[str, Any]]:
    """Return one row an order of documents."""
    shards = folder / "shards"
    shards.mkdir()
    vectors = write_shards(shards, docs, seed)
    rows = []
    for order in ("cluster", "none"):
        target = folder / order
        row = {"docs": docs, "order": order, "vectors_mb": round(vectors / 1e6, 1)}
        row |= apart(build, shards, target, order)
        row |= apart(opened, target)
        shutil.rmtree(target)
        row["peak_over_vectors"] = round(row["peak_mb"] / row["vectors_mb"], 3)
        row["open_resident_over_index"] = round(row["open_resident_mb"] / row["index_mb"], 4)
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def sizes(text: str) -> list[int]:
    """Return the numbers of a comma-separated list."""
    return [int(each) for each in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=sizes, default=[100_000], help="such as 100000,1000000")
    parser.add_argument("--json", type=Path, help="write the rows here")
    parser.add_argument("--folder", type=Path, help="where temporary files go")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        name, *paths = args.worker
        if name == "build":
            found = build(Path(paths[0]), Path(paths[1]), paths[2])
        else:
            found = opened(Path(paths[0]))
        print(json.dumps(found))
        return
    rows = []
    for docs in args.docs:
        with tempfile.TemporaryDirectory(prefix="build-", dir=args.folder) as folder:
            rows += measure(docs, args.seed, Path(folder))
    text = json.dumps(rows, indent=1) + "\n"
    if args.json:
        args.json.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
