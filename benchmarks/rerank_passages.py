"""Reranking long documents: by their best passage, and whole, as far as the model reads.

    python benchmarks/rerank_passages.py --json docs/results/rerank_passages.json

The collection ``scientific`` is indexed by BM25 alone, whole and cut into passages of 150 words.
The first documents of each query are scored again by ``builtin:cross-encoder``, which reads 512
tokens. Scores are kept in the cache, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import hybrid
from hybrid.corpus import open_source
from hybrid.evaluate import Evaluation, compare, evaluate

MODEL, MEASURE, DEPTH, WORDS = "builtin:cross-encoder", "nDCG@10", 10, 150
STAGES = {
    "bm25": {},
    "half each": {"rerank": MODEL},
    "reranker alone": {"rerank": MODEL, "rerank_fusion": "rerank"},
}


def main() -> None:
    """Measure both ways and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    given = parser.parse_args()
    source = open_source("scientific")
    qrels = source.qrels("test")
    queries = {each.query_id: each.text for each in source.queries("test")}
    found: dict[str, Evaluation] = {}
    for name, cut in (("whole", None), ("passages", hybrid.Passages(WORDS))):
        options = hybrid.BuildOptions(sparse=None, dense=None, passages=cut)
        with tempfile.TemporaryDirectory() as folder:
            hybrid.build_index(source, Path(folder) / "index", options)
            with hybrid.open(Path(folder) / "index") as index:
                for stage, again in STAGES.items():
                    depth = {"rerank_depth": DEPTH} if again else {}
                    run = index.search(queries, k=100, fusion="bm25", **again, **depth)
                    found[f"{name}, {stage}"] = evaluate(run, qrels, MEASURE)
                    print(name, stage, found[f"{name}, {stage}"].aggregates, flush=True)
    comparison = compare(found, MEASURE, baseline="whole, bm25").to_dict()
    figures = {"model": MODEL, "rerank_depth": DEPTH, "words": WORDS, **comparison}
    given.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
