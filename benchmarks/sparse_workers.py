"""One process a search engine: builds from ``.npy`` vectors, then answers timed queries.

``sparse_engines.py`` starts each worker with the interpreter that has the engine installed and
talks to it in lines of JSON. Every worker loads the same vectors, searches with one thread, one
query at a time, and times what a caller of that library waits for, from its own form of a query
(prepared beforehand) to document numbers.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
import time
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, load_npz, save_npz, vstack


def directory_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Engine:
    """What a worker needs of an engine; ``stored`` are the weights that it scores with."""

    package = ""
    variant = ""
    rounds = "no"  # how it rounds the weights of documents

    def build(self, documents: csr_matrix, folder: Path) -> int:
        """Index the documents; return the index's size in bytes."""
        raise NotImplementedError

    def prepare(self, kind: str, queries: csr_matrix) -> None:
        self.queries = {**getattr(self, "queries", {}), kind: queries}

    def search(self, kind: str, row: int, k: int) -> np.ndarray:
        """Return the document numbers, best first."""
        raise NotImplementedError

    def stored(self, terms: np.ndarray) -> csc_matrix:
        """Return the weights of some terms as stored, (documents, terms)."""
        return self.columns[:, terms]


class Ours(Engine):
    package = "hybrid-retrieval"
    rounds = "8 bits, a scale for each term"
    options: ClassVar[dict[str, object]] = {}

    def build(self, documents: csr_matrix, folder: Path) -> int:
        from hybrid.index.sparse.inverted import InvertedIndex
        from hybrid.index.sparse.write import SparseOptions, write_postings

        warm = folder / "warm"
        warm.mkdir()
        write_postings([documents[:1000]], warm, SparseOptions(vocabulary_size=documents.shape[1]))
        target = folder / "index"
        target.mkdir()
        parts = (documents[at : at + 50_000] for at in range(0, documents.shape[0], 50_000))
        began = time.perf_counter()
        report = write_postings(
            parts, target, SparseOptions(vocabulary_size=documents.shape[1], **self.options)
        )
        self.build_s = time.perf_counter() - began
        self.index = InvertedIndex.open(target)
        self.index.searcher  # noqa: B018  # loads the kernels, which are measured, not NumPy
        return report.size_bytes

    def prepare(self, kind: str, queries: csr_matrix) -> None:
        rows = [queries[row] for row in range(queries.shape[0])]
        self.rows = {**getattr(self, "rows", {}), kind: rows}

    def search(self, kind: str, row: int, k: int) -> np.ndarray:
        path = self.variant or "auto"
        nums, _ = self.index.search(self.rows[kind][row], k, threads=1, path=path)
        return nums[0]

    def stored(self, terms: np.ndarray) -> csc_matrix:
        every = np.arange(self.index.doc_count, dtype=np.int32)
        pieces = np.array_split(every, -(-len(every) // 100_000))
        return vstack([self.index.vectors(piece)[:, terms] for piece in pieces], format="csc")


class OursUnordered(Ours):
    options: ClassVar[dict[str, object]] = {"order": "none"}


class OursFloat(Ours):
    rounds = "no"
    options: ClassVar[dict[str, object]] = {"weights": "float32"}


class SciPy(Engine):
    package = "scipy"

    def build(self, documents: csr_matrix, folder: Path) -> int:
        self.columns = documents.tocsc()
        self.total = np.zeros(documents.shape[0], dtype=np.float32)
        return self.columns.data.nbytes + self.columns.indices.nbytes + self.columns.indptr.nbytes

    def search(self, kind: str, row: int, k: int) -> np.ndarray:
        query = self.queries[kind]
        span = slice(query.indptr[row], query.indptr[row + 1])
        chosen = self.columns[:, query.indices[span]]
        scores = chosen @ query.data[span]
        k = min(k, len(scores))
        best = np.argpartition(-scores, k - 1)[:k]
        return best[np.argsort(-scores[best], kind="stable")]


class SpladeIndex(Engine):
    package = "splade-index"

    def build(self, documents: csr_matrix, folder: Path) -> int:
        from splade_index.numba.retrieve_utils import _retrieve_numba_functional

        self.retrieve = _retrieve_numba_functional
        self.columns = documents.tocsc()
        self.scores = {
            "data": self.columns.data,
            "indices": self.columns.indices.astype(np.int32),
            "indptr": self.columns.indptr.astype(np.int32),
            "num_docs": documents.shape[0],
        }
        return sum(self.scores[name].nbytes for name in ("data", "indices", "indptr"))

    def search(self, kind: str, row: int, k: int) -> np.ndarray:
        query = self.queries[kind]
        span = slice(query.indptr[row], query.indptr[row + 1])
        nums, _ = self.retrieve(
            [query.indices[span]],
            [query.data[span]],
            self.scores,
            k=k,
            show_progress=False,
        )
        return np.asarray(nums[0])


class Bm25s(Engine):
    """bm25s cannot weigh query terms, so its queries have every weight 1."""

    package = "bm25s"
    unweighted = True

    def build(self, documents: csr_matrix, folder: Path) -> int:
        import bm25s

        self.columns = documents.tocsc()
        self.model = bm25s.BM25(backend="numba")
        self.model.scores = {
            "data": self.columns.data,
            "indices": self.columns.indices.astype(np.int32),
            "indptr": self.columns.indptr.astype(np.int32),
            "num_docs": documents.shape[0],
        }
        self.model.nonoccurrence_array = None
        names = range(documents.shape[1])
        self.model.vocab_dict = {str(term): term for term in names}
        self.model.unique_token_ids_set = set(names)
        return sum(self.model.scores[name].nbytes for name in ("data", "indices", "indptr"))

    def prepare(self, kind: str, queries: csr_matrix) -> None:
        rows = [queries.indices[a:b].tolist() for a, b in pairwise(queries.indptr)]
        self.rows = {**getattr(self, "rows", {}), kind: rows}

    def search(self, kind: str, row: int, k: int) -> np.ndarray:
        nums, _ = self.model.retrieve([self.rows[kind][row]], k=k, show_progress=False, n_threads=1)
        return np.asarray(nums[0])


class Pisa(Engine):
    """PISA over 8-bit weights with one scale, block_simdbp; query weights are small integers."""

    package = "pyterrier_pisa"
    rounds = "8 bits, one scale; query weights to whole numbers"
    query_step = 1 / 20

    def build(self, documents: csr_matrix, folder: Path) -> int:
        import importlib.machinery
        import importlib.util

        spec = importlib.util.find_spec("pyterrier_pisa")
        name = "_pisathon" + importlib.machinery.EXTENSION_SUFFIXES[0]
        binary = Path(spec.submodule_search_locations[0]) / name
        loader = importlib.machinery.ExtensionFileLoader("_pisathon", str(binary))
        module_spec = importlib.util.spec_from_file_location("_pisathon", binary, loader=loader)
        for library in sorted(Path(sys.prefix).glob("lib/libtbb.so.2")):
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        self.pisa = importlib.util.module_from_spec(module_spec)
        loader.exec_module(self.pisa)
        columns = documents.tocsc()
        self.step = float(columns.data.max()) / 255
        codes = np.maximum(np.rint(columns.data / np.float32(self.step)), 1)
        columns.data = codes.astype(np.uint8)
        self.columns = columns
        n = documents.shape[0]
        used = np.flatnonzero(np.diff(columns.indptr))
        began = time.perf_counter()
        with (folder / "inv.docs").open("wb") as docs, (folder / "inv.freqs").open("wb") as freqs:
            docs.write(np.array([1, n], dtype=np.uint32).tobytes())
            for term in used:
                span = slice(columns.indptr[term], columns.indptr[term + 1])
                size = np.array([span.stop - span.start], dtype=np.uint32).tobytes()
                docs.write(size + columns.indices[span].astype(np.uint32).tobytes())
                freqs.write(size + columns.data[span].astype(np.uint32).tobytes())
        sizes = np.bincount(columns.indices, weights=columns.data, minlength=n).astype(np.uint32)
        (folder / "inv.sizes").write_bytes(
            np.array([n], dtype=np.uint32).tobytes() + sizes.tobytes()
        )
        names = sorted(f"{term:06d}" for term in used)
        (folder / "fwd.terms").write_text("".join(f"{name}\n" for name in names))
        (folder / "fwd.documents").write_text("".join(f"{number}\n" for number in range(n)))
        self.pisa.build_binlex(str(folder / "fwd.documents"), str(folder / "fwd.doclex"))
        self.pisa.build_binlex(str(folder / "fwd.terms"), str(folder / "fwd.termlex"))
        self.context = self.pisa.RetrievalContext()
        self.pisa.prepare_index(self.context, str(folder), "block_simdbp", "quantized", "")
        self.build_s = time.perf_counter() - began
        return sum(path.stat().st_size for path in folder.glob("quantized*"))

    def prepare(self, kind: str, queries: csr_matrix) -> None:
        step = self.query_step * (1 if kind == "symmetric" else 4)
        rows = []
        for a, b in pairwise(queries.indptr):
            weights = np.maximum(np.rint(queries.data[a:b] / step), 1)
            terms = [f"{term:06d}" for term in queries.indices[a:b]]
            rows.append(dict(zip(terms, map(float, weights), strict=True)))
        self.rows = {**getattr(self, "rows", {}), kind: rows}
        self.steps = {**getattr(self, "steps", {}), kind: step}

    def search(self, kind: str, row: int, k: int) -> np.ndarray:
        found = np.empty(k, dtype=object)
        size = self.pisa.retrieve(
            self.context,
            self.variant or "maxscore",
            [(0, self.rows[kind][row])],
            k=k,
            threads=1,
            pretokenised=1,
            query_weighted=1,
            result_qidxs=np.empty(k, dtype=np.int32),
            result_docnos=found,
            result_ranks=np.empty(k, dtype=np.int32),
            result_scores=np.empty(k, dtype=np.float32),
        )
        return found[:size].astype(np.int64)

    def stored(self, terms: np.ndarray) -> csc_matrix:
        return self.columns[:, terms].astype(np.float32)


class Seismic(Engine):
    """Seismic's index of numbered components; a variant is ``query_cut:heap_factor``.

    Built with its defaults, but for ``SEISMIC_BUILD`` (such as ``n_postings=2000``). Documents go
    in by its binary format and terms are numbers, so that no time is spent on strings.
    """

    package = "pyseismic-lsr"
    rounds = "16-bit floats"

    def build(self, documents: csr_matrix, folder: Path) -> int:
        from seismic import SeismicIndexRaw

        path = folder / "documents.bin"
        write_inner_format(documents, path)
        pairs = [pair.split("=") for pair in os.environ.get("SEISMIC_BUILD", "").split(",") if pair]
        options = {name: float(value) if "." in value else int(value) for name, value in pairs}
        began = time.perf_counter()
        self.index = SeismicIndexRaw.build(str(path), **options)
        self.build_s = time.perf_counter() - began
        path.unlink()
        self.index.save(str(folder / "seismic"))
        return directory_bytes(folder)

    def prepare(self, kind: str, queries: csr_matrix) -> None:
        rows = [
            (queries.indices[a:b].astype(np.int32), queries.data[a:b].astype(np.float32))
            for a, b in pairwise(queries.indptr)
        ]
        self.rows = {**getattr(self, "rows", {}), kind: rows}

    def search(self, kind: str, row: int, k: int) -> np.ndarray:
        terms, weights = self.rows[kind][row]
        cut, factor = (self.variant or "10:0.9").split(":")
        hits = self.index.search(terms, weights, k, int(cut), float(factor), 0, True)
        return np.array([number for _, number in hits], dtype=np.int64)


def write_inner_format(documents: csr_matrix, path: Path) -> None:
    """Write Seismic's binary format: the count; for each row its length, terms and weights."""
    with path.open("wb") as file:
        file.write(np.uint32(documents.shape[0]).tobytes())
        for first in range(0, documents.shape[0], 50_000):
            part = documents[first : first + 50_000]
            lengths = np.diff(part.indptr).astype(np.int64)
            count = len(lengths)
            row = np.repeat(np.arange(count), lengths)
            words = np.empty(count + 2 * part.nnz, dtype=np.uint32)
            starts = np.arange(count) + 2 * part.indptr[:-1].astype(np.int64)
            words[starts] = lengths
            at = starts[row] + 1 + np.arange(part.nnz) - part.indptr[row]
            words[at] = part.indices
            words[at + lengths[row]] = part.data.view(np.uint32)
            file.write(words.data)


class FaissDense(Engine):
    """The dense branch: an exact search over as many random 384-dimensional vectors."""

    package = "faiss-cpu"
    rounds = "other vectors"

    def build(self, documents: csr_matrix, folder: Path) -> int:
        import faiss

        faiss.omp_set_num_threads(1)
        rng = np.random.default_rng(0)
        self.index = faiss.IndexFlatIP(384)
        for at in range(0, documents.shape[0], 50_000):
            size = min(50_000, documents.shape[0] - at)
            self.index.add(rng.standard_normal((size, 384), dtype=np.float32))
        return documents.shape[0] * 384 * 4

    def search(self, kind: str, row: int, k: int) -> np.ndarray:
        query = np.random.default_rng(row).standard_normal((1, 384), dtype=np.float32)
        return self.index.search(query, k)[1][0]


class OursDense(FaissDense):
    """The dense branch as this library searches it, over the same vectors."""

    package = "hybrid-retrieval"

    def build(self, documents: csr_matrix, folder: Path) -> int:
        from hybrid.index.dense.segment import VectorSegment
        from hybrid.index.dense.vector import VectorIndex
        from hybrid.index.dense.write import write_vectors

        rng = np.random.default_rng(0)
        sizes = (
            min(50_000, documents.shape[0] - at) for at in range(0, documents.shape[0], 50_000)
        )
        parts = (rng.standard_normal((size, 384), dtype=np.float32) for size in sizes)
        write_vectors(parts, folder, dimension=384)
        self.index = VectorIndex([VectorSegment.open(folder)])
        return directory_bytes(folder)

    def search(self, kind: str, row: int, k: int) -> np.ndarray:
        query = np.random.default_rng(row).standard_normal((1, 384), dtype=np.float32)
        return self.index.search(query, k, threads=1)[0][0]


ENGINES: dict[str, type[Engine]] = {
    "ours": Ours,
    "ours-unordered": OursUnordered,
    "ours-float32": OursFloat,
    "scipy": SciPy,
    "splade-index": SpladeIndex,
    "bm25s": Bm25s,
    "pisa": Pisa,
    "seismic": Seismic,
    "faiss-dense": FaissDense,
    "ours-dense": OursDense,
}


def release(package: str) -> str:
    """Return the version of a package; ours says its own, installed or not."""
    if package == "hybrid-retrieval":
        import hybrid

        return hybrid.__version__
    return version(package)


def peak_mb() -> float:
    """Return this process's own peak; getrusage would count its parent's at the fork."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    name, data = sys.argv[1], Path(sys.argv[2])
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever an engine prints goes to stderr

    def reply(message: dict[str, object]) -> None:
        out.write(json.dumps(message) + "\n")
        out.flush()

    engine = ENGINES[name]()
    documents = csr_matrix(
        (np.load(data / "data.npy"), np.load(data / "indices.npy"), np.load(data / "indptr.npy")),
        shape=tuple(json.loads((data / "shape.json").read_text())),
    )
    with tempfile.TemporaryDirectory(prefix="engine-", dir=data) as folder:
        began = time.perf_counter()
        size = engine.build(documents, Path(folder))
        elapsed = time.perf_counter() - began
        del documents
        for path in sorted(data.glob("queries-*.npz")):
            engine.prepare(path.stem.removeprefix("queries-"), load_npz(path).tocsr())
        reply(
            {
                "version": release(engine.package),
                "rounds": engine.rounds,
                "build_s": getattr(engine, "build_s", elapsed),
                "index_mb": size / 1e6,
            }
        )
        for line in sys.stdin:
            order = json.loads(line)
            if order["do"] == "run":
                times, found = [], []
                engine.variant = order["variant"]
                for row in order["rows"]:
                    start = time.perf_counter()
                    nums = engine.search(order["kind"], row, order["k"])
                    times.append(time.perf_counter() - start)
                    found.append(nums.tolist() if order["keep"] else None)
                reply({"times": times, "found": found, "peak_rss_mb": peak_mb()})
            elif order["do"] == "stored":
                columns = engine.stored(np.array(order["terms"], dtype=np.int64))
                save_npz(data / f"stored-{name}.npz", columns, compressed=False)
                reply({"steps": getattr(engine, "steps", {})})
            else:
                break


if __name__ == "__main__":
    main()
