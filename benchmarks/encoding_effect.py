"""What bfloat16 products change in a ranking: nDCG@10 of a dense model in both precisions.

    python benchmarks/encoding_effect.py WORK COLLECTION ... [--model builtin:minilm]

Documents and queries are encoded in float32 and again in bfloat16, into WORK, which a second call
reuses; all documents are ranked by inner product.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from hybrid.build.encode import encode_corpus
from hybrid.corpus import SourceOptions, open_source
from hybrid.encoders import load_dense
from hybrid.evaluate import compare, evaluate
from hybrid.fusion.run import Run, ranking_order
from hybrid.report.tables import Table, markdown

PRECISIONS = ("float32", "bfloat16")
DEPTH = 100


def measure(spec: str, split: str, work: Path, model: str) -> tuple[object, ...]:
    """Return one row: nDCG@10 in both precisions, their paired difference, the largest distance."""
    source = open_source(spec, options=SourceOptions(skip_bad=True))
    qrels = source.qrels(split)
    asked = {query.query_id: query.text for query in source.queries(split)}
    asked = {query_id: text for query_id, text in asked.items() if query_id in qrels}
    found, vectors = {}, {}
    for precision in PRECISIONS:
        encoder = load_dense(model, dtype=precision)
        folder = work / f"{Path(source.name).name}-{precision}"
        shards = encode_corpus(source.documents(), folder, {"dense": encoder})
        rows = [shards.dense("dense", shard) for shard in range(len(shards.counts))]
        vectors[precision] = np.concatenate(rows)
        doc_ids = np.array(shards.doc_ids())
        scores = encoder.encode_queries(list(asked.values())) @ vectors[precision].T
        ranked = {}
        for query_id, row in zip(asked, scores, strict=True):
            best = np.argpartition(-row, min(DEPTH, len(row) - 1))[:DEPTH]
            order = ranking_order(doc_ids[best].tolist(), row[best])
            ranked[query_id] = {str(doc_ids[best][i]): float(row[best][i]) for i in order}
        found[precision] = evaluate(Run.from_dict(ranked), qrels)
    gap = compare(found).difference["bfloat16"]
    return (
        Path(source.name).name,
        len(asked),
        *(found[precision]["nDCG@10"] for precision in PRECISIONS),
        f"{gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]",
        f"{gap.wins}/{gap.ties}/{gap.losses}",
        f"{np.abs(vectors['bfloat16'] - vectors['float32']).max():.1e}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("collections", nargs="+")
    parser.add_argument("--model", default="builtin:minilm")
    parser.add_argument("--split", default="test")
    arguments = parser.parse_args()
    rows = [
        measure(spec, arguments.split, arguments.work, arguments.model)
        for spec in arguments.collections
    ]
    columns = (
        "collection", "queries", *PRECISIONS, "difference", "better/same/worse", "largest distance"
    )  # fmt: skip
    title = f"{arguments.model}: nDCG@10 by precision of the products"
    sys.stdout.write(markdown(Table(title, columns, tuple(rows))))


if __name__ == "__main__":
    main()
