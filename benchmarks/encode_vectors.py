"""Encode a corpus with the built-in SPLADE models into vectors for sparse_engines.py --vectors.

    python benchmarks/encode_vectors.py passages.jsonl.gz --out vectors --limit 79623

Writes documents.npz and queries.npz (``builtin:splade`` on both sides), queries-inference-free.npz
(``builtin:splade-doc``: looked up, no network) and vectors.json, which says what they are. The
queries are the titles of documents drawn at random with a seed. Encoding goes on where an earlier
call with the same ``--out`` stopped, so ``--minutes`` cuts a long one into pieces.
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

from hybrid.corpus import Document, open_source
from hybrid.encoders import encode_corpus, load_sparse

SHARD_SIZE = 1024


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
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--max-length", type=int, help="tokens of a document; default the model's")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    symmetric = load_sparse(
        "builtin:splade", device="cpu", precision=args.precision, max_length=args.max_length
    )
    began, done = time.perf_counter(), 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        rate = done / (time.perf_counter() - began)
        print(f"\r{done:,} documents, {rate:.0f} a second", end="", file=sys.stderr)

    source = open_source(args.corpus)
    documents = until(islice(source.documents(), args.limit), began + 60 * args.minutes)
    shards = encode_corpus(documents, args.out / "shards", {"sparse": symmetric}, progress=progress)
    print(file=sys.stderr)
    numbers = range(len(shards.counts))
    matrix = vstack([shards.sparse("sparse", each) for each in numbers], format="csr")
    titles = [document.title for each in numbers for document in shards.documents(each)]
    texts = drawn_titles(titles, args.queries, args.seed)
    inference_free = load_sparse("builtin:splade-doc", device="cpu")
    queries = symmetric.encode_queries(texts)
    looked_up = inference_free.encode_queries(texts)
    save_npz(args.out / "documents.npz", matrix)
    save_npz(args.out / "queries.npz", queries)
    save_npz(args.out / "queries-inference-free.npz", looked_up)
    facts = {
        "corpus": Path(args.corpus).name,
        "documents": matrix.shape[0],
        "queries": f"{len(texts)} titles of these documents, drawn with seed {args.seed}",
        "terms_a_document": matrix.nnz / matrix.shape[0],
        "terms_a_symmetric_query": queries.nnz / len(texts),
        "terms_an_inference_free_query": looked_up.nnz / len(texts),
        "precision": args.precision,
        "max_length": args.max_length,
        "models": [symmetric.fingerprint, inference_free.fingerprint],
    }
    (args.out / "vectors.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
