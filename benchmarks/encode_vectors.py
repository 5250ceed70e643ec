"""Encode a corpus with the built-in sparse models into vectors for sparse_engines.py --vectors.

    python benchmarks/encode_vectors.py passages.jsonl.gz --out vectors --limit 79623

Writes documents.npz and queries.npz (``builtin:splade`` on both sides), queries-inference-free.npz
(``builtin:splade-doc``: looked up, no network) and vectors.json, which says what they are. The
queries are the titles of documents drawn at random with a seed. Encoding goes on where an earlier
call with the same ``--out`` stopped, so ``--minutes`` cuts a long one into pieces. With ``--bm25``
the weights are BM25's and queries.npz the counts of the queries' terms.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from scipy.sparse import save_npz, vstack

from hybrid.build.encode import SHARD_SIZE, encode_corpus
from hybrid.corpus import Document, open_source
from hybrid.encoders import Bm25Parameters, SparseEncoder, load_sparse


def drawn_titles(titles: list[str], count: int, seed: int) -> list[str]:
    """Return ``count`` different titles, drawn at random."""
    known = sorted({title.strip() for title in titles} - {""})
    chosen = np.random.default_rng(seed).permutation(len(known))[:count]
    return [known[each] for each in chosen]


def until(documents: Iterable[Document], deadline: float) -> Iterator[Document]:
    """Yield the documents until the time has come, whole shards only."""
    for number, document in enumerate(documents):
        if number % SHARD_SIZE == 0 and time.perf_counter() > deadline:
            return
        yield document


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", help="any corpus that `hybrid build` takes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="encode this many documents; default all")
    parser.add_argument("--minutes", type=float, default=1e6, help="then stop; run again to go on")
    parser.add_argument("--bm25", action="store_true", help="BM25 in the place of SPLADE")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--max-length", type=int, help="tokens of a document; default the model's")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began, done = time.perf_counter(), 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        rate = done / (time.perf_counter() - began)
        print(f"\r{done:,} documents, {rate:.0f} a second", end="", file=sys.stderr)

    encoder: Bm25Parameters | SparseEncoder = Bm25Parameters()
    if not args.bm25:
        options = {"dtype": args.precision, "max_length": args.max_length}
        encoder = load_sparse("builtin:splade", device="cpu", **options)
    source = open_source(args.corpus)
    documents = until(islice(source.documents(), args.limit), began + 60 * args.minutes)
    shards = encode_corpus(documents, args.out / "shards", {"sparse": encoder}, progress=progress)
    print(file=sys.stderr)
    numbers = range(len(shards.counts))
    matrix = vstack([shards.sparse("sparse", each) for each in numbers], format="csr")
    titles = [document.title for each in numbers for document in shards.documents(each)]
    texts = drawn_titles(titles, args.queries, args.seed)
    encoders = {"symmetric": shards.bm25("sparse") if args.bm25 else encoder}
    if not args.bm25:
        encoders["inference-free"] = load_sparse("builtin:splade-doc", device="cpu")
    save_npz(args.out / "documents.npz", matrix)
    facts = {
        "corpus": Path(args.corpus).name,
        "documents": matrix.shape[0],
        "queries": f"{len(texts)} titles of these documents, drawn with seed {args.seed}",
        "terms_a_document": matrix.nnz / matrix.shape[0],
        "precision": args.precision,
        "max_length": args.max_length,
        "models": {kind: each.fingerprint for kind, each in encoders.items()},
    }
    for kind, each in encoders.items():
        queries = each.encode_queries(texts)
        facts[f"terms_a_query, {kind}"] = queries.nnz / len(texts)
        name = "queries.npz" if kind == "symmetric" else f"queries-{kind}.npz"
        save_npz(args.out / name, queries)
    (args.out / "vectors.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
