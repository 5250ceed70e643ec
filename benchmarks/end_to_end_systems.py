"""The systems of `end_to_end.py`: each is built in one process and asked in another.

    python end_to_end_systems.py build|serve SYSTEM DATA STORE

Facts, and an answer to each line of JSON, are lines of JSON. Peers encode a query as
sentence-transformers does, one model after the other; documents and vectors are in memory before a
build's clock starts. Branches that a system does not hold are not searched (``branches``).
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from end_to_end_data import (
    BRANCHES,
    DENSE,
    DEPTH,
    RRF,
    SPARSE,
    TOP,
    encoders,
    read_rows,
    read_texts,
)

BATCH = 500


class Given:
    """An encoder whose rows of documents are given in order; queries get the first of them."""

    given_rows = True

    def __init__(self, encoder: Any, rows: Any) -> None:
        self.fingerprint, self._rows, self._next = encoder.fingerprint, rows, 0
        for name in ("vocabulary", "dimension", "literal_terms"):
            if hasattr(encoder, name):
                setattr(self, name, getattr(encoder, name))

    def encode_documents(self, texts: Sequence[str], progress: Any = None) -> Any:
        self._next += len(texts)
        return self._rows[self._next - len(texts) : self._next]

    def encode_queries(self, texts: Sequence[str]) -> Any:
        return self._rows[: len(texts)]


class Ours:
    """This library, with its own encoders in torch or in ONNX."""

    package = "hybrid-retrieval"

    def __init__(self, data: Path, store: Path, branches: Sequence[str], backend: str) -> None:
        from hybrid.encoders.shared import find_shared_pass

        self.data, self.store, self.branches = data, store / "index", branches
        self.models = encoders(backend=backend)
        self.kept = {name: each for name, each in self.models.items() if name in branches}
        self.shared = find_shared_pass(self.kept, "query")

    def build(self) -> Any:
        import hybrid
        from hybrid.encoders import Bm25Parameters

        texts = read_texts(self.data)
        documents = [hybrid.Document(str(number), text) for number, text in enumerate(texts)]
        rows = {"sparse": read_rows(self.data, "sparse"), "dense": np.load(self.data / "dense.npy")}
        given = {name: Given(self.models[name], rows[name]) for name in rows}
        kept = {name: Bm25Parameters() if name == "bm25" else given[name] for name in self.branches}
        options = hybrid.BuildOptions(cache=False)
        return lambda: hybrid.build_index(documents, self.store, options, encoders=kept)

    def open(self) -> None:
        import hybrid

        self.index = hybrid.open(self.store, encoders=self.kept)

    def encode(self, text: str) -> None:
        if self.shared is not None:
            self.shared[2].encode([text])
            return
        for encoder in self.kept.values():
            encoder.encode_queries([text])

    def answer(self, text: str) -> list[int]:
        run = self.index.search(text, TOP, fusion=f"rrf(k={RRF})", depth=DEPTH)
        return [int(hit.doc_id) for hit in run]


class Peer:
    """What all peers share: models in sentence-transformers, and BM25 as weights of terms."""

    package = ""

    def __init__(self, data: Path, store: Path, branches: Sequence[str], _: str) -> None:
        self.data, self.store, self.branches = data, store, branches

    @cached_property
    def models(self) -> dict[str, Any]:
        """The models by branch, and BM25; a build needs none."""
        from hybrid.encoders import Bm25Encoder
        from hybrid.encoders.models.by_name import model_folder
        from hybrid.encoders.models.loading import load_with_own_modules

        kinds = {"dense": ("SentenceTransformer", DENSE), "sparse": ("SparseEncoder", SPARSE)}
        models = {
            name: load_with_own_modules(kind, model_folder(spec).path, device="cpu")
            for name, (kind, spec) in kinds.items()
            if name in self.branches
        }
        return models | {"bm25": Bm25Encoder.load(self.data / "bm25")}

    def rows(self) -> tuple[list[str], dict[str, Any]]:
        """Return texts, and rows of the documents by branch."""
        rows: dict[str, Any] = {"dense": np.load(self.data / "dense.npy")}
        rows |= {name: read_rows(self.data, name) for name in self.branches if name != "dense"}
        return read_texts(self.data), rows

    def encode(self, text: str) -> dict[str, Any]:
        """Return the query by branch: a vector, or numbers and weights of terms."""
        found: dict[str, Any] = {"dense": self.models["dense"].encode_query(text)}
        if "sparse" in self.models:
            row = self.models["sparse"].encode_query(text).coalesce()
            found["sparse"] = row.indices()[0].numpy(), row.values().numpy()
            counts = self.models["bm25"].encode_queries([text])
            found["bm25"] = counts.indices, counts.data
        return found


def terms(rows: Any, number: int) -> tuple[list[int], list[float]]:
    """Return the numbers and weights of a row's terms."""
    own = slice(rows.indptr[number], rows.indptr[number + 1])
    return rows.indices[own].tolist(), rows.data[own].tolist()


def batches(count: int) -> Iterator[range]:
    return (range(at, min(at + BATCH, count)) for at in range(0, count, BATCH))


class Qdrant(Peer):
    """Qdrant's embedded client: three named vectors, its own fusion."""

    package = "qdrant-client"

    def open(self) -> None:
        from qdrant_client import QdrantClient

        self.client = QdrantClient(path=str(self.store / "qdrant"))

    def build(self) -> Any:
        from qdrant_client import models as m

        texts, rows = self.rows()

        def run() -> None:
            self.open()
            self.client.create_collection(
                "all",
                {"dense": m.VectorParams(size=rows["dense"].shape[1], distance=m.Distance.COSINE)},
                {"sparse": m.SparseVectorParams(), "bm25": m.SparseVectorParams()},
            )
            for numbers in batches(len(texts)):
                points = []
                for number in numbers:
                    vector: dict[str, Any] = {"dense": rows["dense"][number].tolist()}
                    for name in ("sparse", "bm25"):
                        indices, values = terms(rows[name], number)
                        vector[name] = m.SparseVector(indices=indices, values=values)
                    payload = {"text": texts[number]}
                    points.append(m.PointStruct(id=number, vector=vector, payload=payload))
                self.client.upsert("all", points)
            self.client.close()

        return run

    def answer(self, text: str) -> list[int]:
        from qdrant_client import models as m

        query = self.encode(text)
        asked = {"dense": query["dense"].tolist()} | {
            name: m.SparseVector(indices=query[name][0].tolist(), values=query[name][1].tolist())
            for name in ("sparse", "bm25")
        }
        first = [m.Prefetch(query=each, using=name, limit=DEPTH) for name, each in asked.items()]
        rrf = m.RrfQuery(rrf=m.Rrf(k=RRF + 1))  # its ranks begin at 0
        found = self.client.query_points("all", prefetch=first, query=rrf, limit=TOP)
        return [int(point.id) for point in found.points]


class Milvus(Peer):
    """Milvus Lite: three fields, flat and inverted indexes, its own fusion."""

    package = "milvus-lite"

    def open(self) -> None:
        from pymilvus import MilvusClient

        self.client = MilvusClient(uri=str(self.store / "milvus.db"))
        if self.client.has_collection("everything"):
            self.client.load_collection("everything")

    def build(self) -> Any:
        from pymilvus import DataType

        texts, rows = self.rows()

        def run() -> None:
            self.open()
            schema = self.client.create_schema(auto_id=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("text", DataType.VARCHAR, max_length=65_535)
            schema.add_field("dense", DataType.FLOAT_VECTOR, dim=rows["dense"].shape[1])
            indexes = self.client.prepare_index_params()
            indexes.add_index("dense", index_type="FLAT", metric_type="IP")
            for name in ("sparse", "bm25"):
                schema.add_field(name, DataType.SPARSE_FLOAT_VECTOR)
                indexes.add_index(name, index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
            self.client.create_collection("everything", schema=schema, index_params=indexes)
            for numbers in batches(len(texts)):
                data = []
                for number in numbers:
                    row = {"id": number, "text": texts[number], "dense": rows["dense"][number]}
                    for name in ("sparse", "bm25"):
                        row[name] = dict(zip(*terms(rows[name], number), strict=True))
                    data.append(row)
                self.client.insert("everything", data)
            self.client.flush("everything")
            self.client.close()

        return run

    def answer(self, text: str) -> list[int]:
        from pymilvus import AnnSearchRequest, RRFRanker

        query = self.encode(text)
        asked = {"dense": query["dense"]} | {
            name: dict(zip(query[name][0].tolist(), query[name][1].tolist(), strict=True))
            for name in ("sparse", "bm25")
        }
        requests = [
            AnnSearchRequest([each], name, {"metric_type": "IP"}, DEPTH)
            for name, each in asked.items()
        ]
        (found,) = self.client.hybrid_search("everything", requests, RRFRanker(RRF), TOP)
        return [int(hit["id"]) for hit in found]


class Lance(Peer):
    """LanceDB: vectors without an index, and its own full-text search."""

    package = "lancedb"

    def open(self) -> None:
        import lancedb
        from lancedb.rerankers import RRFReranker

        self.fuse = RRFReranker(RRF)
        self.table = lancedb.connect(str(self.store / "lance")).open_table("everything")

    def build(self) -> Any:
        import lancedb
        import pyarrow as pa

        texts, rows = self.rows()
        vectors = pa.FixedSizeListArray.from_arrays(rows["dense"].ravel(), rows["dense"].shape[1])

        def run() -> None:
            data = pa.table({"id": pa.array(range(len(texts))), "text": texts, "vector": vectors})
            table = lancedb.connect(str(self.store / "lance")).create_table("everything", data)
            table.create_fts_index("text")

        return run

    def answer(self, text: str) -> list[int]:
        asked = self.table.search(query_type="hybrid").vector(self.encode(text)["dense"]).text(text)
        found = asked.distance_type("cosine").rerank(self.fuse).select(["id"]).limit(DEPTH)
        return list(map(int, found.to_arrow()["id"].to_pylist()[:TOP]))


class Wired(Peer):
    """bm25s, FAISS, a SciPy product for the sparse model, and ranx, wired by hand."""

    package = "bm25s"

    def open(self) -> None:
        import bm25s
        import faiss

        self.words = bm25s.BM25.load(self.store / "bm25s", load_vocab=True)
        self.flat = faiss.read_index(str(self.store / "flat.faiss"))
        from scipy.sparse import load_npz

        self.columns = load_npz(self.store / "columns.npz")

    def build(self) -> Any:
        import bm25s
        import faiss
        from scipy.sparse import save_npz

        texts, rows = self.rows()

        def run() -> None:
            words = bm25s.BM25(k1=0.9, b=0.4)
            words.index(bm25s.tokenize(texts, show_progress=False), show_progress=False)
            words.save(self.store / "bm25s")
            flat = faiss.IndexFlatIP(rows["dense"].shape[1])
            flat.add(rows["dense"])
            faiss.write_index(flat, str(self.store / "flat.faiss"))
            save_npz(self.store / "columns.npz", rows["sparse"].tocsc(), compressed=False)

        return run

    def answer(self, text: str) -> list[int]:
        import bm25s
        from ranx import Run, fuse

        query = self.encode(text)
        asked = bm25s.tokenize([text], show_progress=False)
        numbers, weights = self.words.retrieve(asked, k=DEPTH, show_progress=False)
        near, places = self.flat.search(query["dense"][None], DEPTH)
        columns, values = query["sparse"]
        scores = self.columns[:, columns] @ values
        best = np.argpartition(-scores, DEPTH)[:DEPTH]
        lists = [(numbers[0], weights[0]), (places[0], near[0]), (best, scores[best])]
        runs = [
            Run({"q": {str(n): float(s) for n, s in zip(*each, strict=True) if s > 0}})
            for each in lists
        ]
        found = fuse(runs, method="rrf", params={"k": RRF})["q"]
        return [int(number) for number in list(found)[:TOP]]


TWO = ("bm25", "dense")
SYSTEMS: dict[str, tuple[Any, Sequence[str], str]] = {
    "ours": (Ours, BRANCHES, "torch"),
    "ours-onnx": (Ours, BRANCHES, "onnx"),
    "qdrant": (Qdrant, BRANCHES, ""),
    "milvus-lite": (Milvus, BRANCHES, ""),
    "by hand": (Wired, BRANCHES, ""),
    "ours, two": (Ours, TWO, "torch"),
    "ours-onnx, two": (Ours, TWO, "onnx"),
    "lancedb": (Lance, TWO, ""),
}


def used() -> tuple[float, float]:
    """Return the resident MB and the processor seconds of this process and its children."""
    own = psutil.Process()
    every = [own, *own.children(recursive=True)]
    times = [each.cpu_times() for each in every]
    size = sum(each.memory_info().rss for each in every)
    return size / 1e6, sum(each.user + each.system for each in times)


def run(system: Any, texts: Sequence[str]) -> dict[str, Any]:
    """Return the answers, with the time of each, and of encoding each alone."""
    found, total, alone = [], [], []
    before = used()[1]
    for text in texts:
        began = time.perf_counter()
        found.append(system.answer(text))
        total.append(time.perf_counter() - began)
    after = used()[1]
    for text in texts:
        began = time.perf_counter()
        system.encode(text)
        alone.append(time.perf_counter() - began)
    return {"found": found, "total": total, "alone": alone, "cpu": (after - before) / len(texts)}


def rate(system: Any, texts: Sequence[str], clients: int) -> dict[str, Any]:
    """Return queries a second of threads that ask side by side."""
    began = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(system.answer, texts))
    return {"rate": len(texts) / (time.perf_counter() - began)}


def main() -> None:
    """Build, or open and answer."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    do, name, data, store = sys.argv[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # a peer may print
    kind, branches, backend = SYSTEMS[name]
    system = kind(Path(data), Path(store), branches, backend)

    def say(**facts: Any) -> None:
        print(json.dumps(facts), file=answers, flush=True)

    if do == "build":
        work = system.build()
        _, cpu = used()
        began = time.perf_counter()
        work()
        took = time.perf_counter() - began
        say(
            build_s=round(took, 2),
            build_cpu_s=round(used()[1] - cpu, 2),
            version=version(system.package),
            disk_mb=sum(f.stat().st_size for f in Path(store).rglob("*") if f.is_file()) / 1e6,
        )
        os._exit(0)  # threads of a peer may never end
    system.encode("first query")  # models are warm
    before = used()[0]
    began = time.perf_counter()
    system.open()
    say(open_s=round(time.perf_counter() - began, 3))
    for line in sys.stdin:
        asked = json.loads(line)
        if "clients" in asked:
            say(**rate(system, asked["texts"], asked["clients"]))
        else:
            say(**run(system, asked["texts"]), memory_mb=round(used()[0] - before))


if __name__ == "__main__":
    main()
