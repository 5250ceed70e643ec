"""What bfloat16 products change in a ranking: nDCG@10 of both models in both dtypes.

    python benchmarks/encoding_effect.py WORK COLLECTION ... [--most 2000]

Documents are encoded in float32 and again in bfloat16, into WORK, which a second call reuses; all
are ranked by inner product. With --most a collection is its judged documents and, up to that many,
its first others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import vstack

from hybrid.build.encode import EncodeOptions, encode_corpus
from hybrid.corpus import Document, Source, SourceOptions, open_source
from hybrid.encoders import load_dense, load_sparse
from hybrid.evaluate import compare, evaluate
from hybrid.fusion.run import Run, ranking_order
from hybrid.machine.cache import Cache
from hybrid.report.tables import Table, markdown

DTYPES = ("float32", "bfloat16")
DEPTH = 100


def sample(source: Source, judged: set[str], most: int) -> Iterator[Document]:
    """Yield the judged documents and the first others, ``most`` in all."""
    others = most - len(judged)
    for document in source.documents():
        if document.doc_id in judged:
            yield document
        elif others > 0:
            others -= 1
            yield document


def ranked(queries: Mapping[str, str], encoder: Any, rows: Any, doc_ids: list[str]) -> Run:
    """Return the best documents of each query by inner product."""
    scores = encoder.encode_queries(list(queries.values())) @ rows.T
    found = {}
    names = np.array(doc_ids)
    scores = np.asarray(scores if isinstance(scores, np.ndarray) else scores.toarray())
    for query_id, row in zip(queries, scores, strict=True):
        best = np.argpartition(-row, min(DEPTH, len(row) - 1))[:DEPTH]
        order = ranking_order(names[best].tolist(), row[best])
        found[query_id] = {str(names[best][i]): float(row[best][i]) for i in order}
    return Run.from_dict(found)


def measure(spec: str, given: argparse.Namespace) -> list[tuple[object, ...]]:
    """Return a row for each branch: nDCG@10 in both dtypes, their paired difference, distance."""
    source = open_source(spec, options=SourceOptions(skip_bad=True))
    name, qrels = Path(source.name).name, source.qrels(given.split)
    judged = {doc_id for graded in qrels.values() for doc_id in graded}
    queries = {each.query_id: each.text for each in source.queries(given.split)}
    queries = {query_id: text for query_id, text in queries.items() if query_id in qrels}
    runs: dict[str, dict[str, Any]] = {"sparse": {}, "dense": {}}
    rows: dict[str, dict[str, Any]] = {"sparse": {}, "dense": {}}
    for dtype in DTYPES:
        encoders = {
            "sparse": load_sparse(given.sparse, dtype=dtype),
            "dense": load_dense(given.dense, dtype=dtype),
        }
        documents = sample(source, judged, given.most)
        folder = given.work / f"{name}-{given.most}-{dtype}"
        shards = encode_corpus(documents, folder, encoders, EncodeOptions(cache=Cache()))
        numbers = range(len(shards.counts))
        rows["sparse"][dtype] = vstack([shards.sparse("sparse", each) for each in numbers])
        rows["dense"][dtype] = np.concatenate([shards.dense("dense", each) for each in numbers])
        for branch, encoder in encoders.items():
            doc_ids = list(shards.doc_ids())
            runs[branch][dtype] = ranked(queries, encoder, rows[branch][dtype], doc_ids)
    found = []
    for branch in runs:
        evaluated = {dtype: evaluate(run, qrels) for dtype, run in runs[branch].items()}
        gap = compare(evaluated).difference["bfloat16"]
        found.append(
            (
                name,
                branch,
                rows[branch]["float32"].shape[0],
                len(queries),
                *(evaluated[dtype]["nDCG@10"] for dtype in DTYPES),
                f"{gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]",
                f"{gap.wins}/{gap.ties}/{gap.losses}",
                f"{abs(rows[branch]['bfloat16'] - rows[branch]['float32']).max():.1e}",
            )
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--sparse", default="builtin:splade")
    parser.add_argument("--dense", default="builtin:minilm")
    parser.add_argument("--split", default="test")
    parser.add_argument("--most", type=int, default=1_000_000, help="documents of a collection")
    arguments = parser.parse_args()
    rows = [row for spec in arguments.collections for row in measure(spec, arguments)]
    columns = (
        "collection", "branch", "documents", "queries", *DTYPES, "difference",
        "better/same/worse", "largest distance",
    )  # fmt: skip
    title = f"{arguments.sparse}, {arguments.dense}: nDCG@10 by dtype of the products"
    sys.stdout.write(markdown(Table(title, columns, tuple(rows))))


if __name__ == "__main__":
    main()
