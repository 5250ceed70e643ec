"""The documents of `end_to_end.py`, encoded once and laid where every system reads them.

Real documents are encoded. More than those are made of them: a made document has the first half of
the words of one and the second half of those of another, the mean of their vectors with noise, and
every other term of both. Queries are real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, load_npz, save_npz, vstack

SPARSE, DENSE = "builtin:splade", "builtin:minilm"
BRANCHES = ("bm25", "dense", "sparse")
DEPTH, TOP, RRF = 100, 10, 60
NOISE, PART = 0.02, 20_000
Rows = csr_matrix | NDArray[np.float32]


def encoders(**options: Any) -> dict[str, Any]:
    """Return both models, the same for documents and queries."""
    from hybrid.encoders import load_dense, load_sparse

    options = {"device": "cpu", **options}
    return {"sparse": load_sparse(SPARSE, **options), "dense": load_dense(DENSE, **options)}


def encoded(sources: Sequence[Any], count: int, folder: Path) -> tuple[list[str], Rows, Rows]:
    """Return texts, sparse rows and vectors of the first documents, from the cache if they can be.

    A second call goes on where a first one was stopped.
    """
    from hybrid.build.encode import EncodeOptions, encode_corpus
    from hybrid.machine.cache import chosen_cache

    documents = islice(chain.from_iterable(each.documents() for each in sources), count)
    options = EncodeOptions(cache=chosen_cache(True))
    shards = encode_corpus(documents, folder, encoders(), options)
    order = np.arange(shards.document_count)
    texts = [document.full_text for document in shards.ordered_documents(order)]
    sparse = vstack(list(shards.ordered_sparse("sparse", order)), format="csr")
    return texts, sparse, np.vstack(list(shards.ordered_dense("dense", order)))


def made(texts: Sequence[str], sparse: csr_matrix, dense: Any, count: int) -> Iterator[Any]:
    """Yield texts, sparse rows and vectors of made documents in parts."""
    halves = [text.split() for text in texts]
    heads = [" ".join(words[: len(words) // 2]) for words in halves]
    tails = [" ".join(words[len(words) // 2 :]) for words in halves]
    for start in range(0, count, PART):
        rng = np.random.default_rng([7, start])
        size = min(PART, count - start)
        first, second = rng.integers(0, len(texts), (2, size))
        vectors = dense[first] + dense[second]
        vectors += NOISE * rng.standard_normal(vectors.shape, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rows = sparse[first].maximum(sparse[second]).tocsr()
        rows.data = rows.data * (rng.random(rows.nnz) < 0.5)
        rows.eliminate_zeros()
        rows.sort_indices()
        named = [f"{heads[a]} {tails[b]}" for a, b in zip(first, second, strict=True)]
        yield named, rows, vectors.astype(np.float32)


def top(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the first documents of a branch, best first; those of score 0 are none."""
    best = np.argsort(-scores, kind="stable")[:DEPTH]
    return best[scores[best] > 0]


def fused(ranked: Sequence[NDArray[np.int64]]) -> dict[int, float]:
    """Return the sum of reciprocal ranks of every document in the lists."""
    found: dict[int, float] = {}
    for numbers in ranked:
        for rank, number in enumerate(numbers.tolist(), start=1):
            found[number] = found.get(number, 0.0) + 1 / (RRF + rank)
    return found


def recall(exact: dict[str, float], found: Sequence[int]) -> float:
    """Return the share of the ten best that was found; ties with the tenth count."""
    floor = sorted(exact.values(), reverse=True)[:TOP][-1]
    hits = sum(exact.get(str(number), 0.0) >= floor - 1e-12 for number in found[:TOP])
    return hits / min(TOP, len(exact))


def read_rows(folder: Path, name: str) -> csr_matrix:
    """Return sparse rows."""
    return load_npz(folder / f"{name}.npz").tocsr()


def read_texts(folder: Path) -> list[str]:
    """Return the texts of all documents; a document's number is its place."""
    with (folder / "texts.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def prepare(corpora: Sequence[str], folder: Path, docs: int, real: int, queries: int) -> int:
    """Write texts, rows, queries and exact answers into ``folder``, unless they are there.

    Return how many documents are real.
    """
    from hybrid.corpus import open_source
    from hybrid.encoders import Bm25Encoder

    if (folder / "exact.json").is_file():
        return int(json.loads((folder / "facts.json").read_text())["real"])
    folder.mkdir(parents=True, exist_ok=True)
    sources = [open_source(corpus) for corpus in corpora]
    texts, sparse, dense = encoded(sources, min(real, docs), folder / "shards")
    (folder / "facts.json").write_text(json.dumps({"real": len(texts)}))
    real = len(texts)
    parts = [(texts, sparse, dense), *made(texts, sparse, dense, docs - len(texts))]
    texts, sparse = [text for part in parts for text in part[0]], vstack([p[1] for p in parts])
    dense = np.vstack([part[2] for part in parts])
    del parts
    with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(text) + "\n" for text in texts)
    bm25 = Bm25Encoder.fit(texts)
    starts = range(0, len(texts), PART)
    impacts = vstack([bm25.encode_documents(texts[at : at + PART]) for at in starts], format="csr")
    bm25_folder = folder / "bm25"
    bm25_folder.mkdir(exist_ok=True)
    bm25.save(bm25_folder)
    np.save(folder / "dense.npy", dense)
    save_npz(folder / "sparse.npz", sparse.tocsr(), compressed=False)
    save_npz(folder / "bm25.npz", impacts, compressed=False)
    asked = list(dict.fromkeys(each.text for each in sources[0].queries()))[:queries]
    (folder / "queries.json").write_text(json.dumps(asked))
    models = {"bm25": bm25, **encoders()}
    rows = {name: model.encode_queries(asked) for name, model in models.items()}
    columns = {"bm25": impacts.tocsc(), "sparse": sparse.tocsc()}
    exact = []
    for number in range(len(asked)):
        lists = {"dense": top(dense @ rows["dense"][number])}
        for name, matrix in columns.items():
            query = rows[name][number]
            scores = matrix[:, query.indices] @ query.data
            lists[name] = top(np.asarray(scores, np.float32))
        all_of_them = fused([lists[name] for name in BRANCHES])
        exact.append({"three": all_of_them, "two": fused([lists["bm25"], lists["dense"]])})
    (folder / "exact.json").write_text(json.dumps(exact))
    return real
