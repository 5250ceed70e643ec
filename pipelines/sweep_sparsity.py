"""Train at several FLOPS weights and show the cost of sparsity in effectiveness, and its savings.

    python pipelines/sweep_sparsity.py PAIRS WORK [--weights 0 0.001 0.01 0.1 1] [--plot OUT.svg]

PAIRS is a file of pairs (see `hybrid train`). Each weight gives a model, an index of all passages,
and a row: nDCG@10 of held-out pairs, their expected FLOPS, the time of a search in one thread and
the bytes of the sparse branch on disk. WORK keeps everything; a second call goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import open_source
from hybrid.encoders.density import expected_flops
from hybrid.evaluate import evaluate
from hybrid.report.plots import tradeoffs
from hybrid.report.tables import Table, markdown
from hybrid.search.index import Index, open_index
from hybrid.training import Example, TrainOptions, read_examples, split_examples, train

SEED, REPEATS = 0, 5
BRANCH = "sparse"


@dataclass(frozen=True)
class Point:
    """The figures of one weight of the regularisers."""

    weight: float
    ndcg: float
    document_terms: float
    query_terms: float
    flops: float
    median_ms: float
    index_mb: float


def write_collection(examples: Sequence[Example], dev: Sequence[Example], folder: Path) -> None:
    """Write all passages, and the held-out queries with their judgments, as a BEIR folder."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    texts = dict.fromkeys(row.positive for row in examples)
    numbers = {text: f"p{number}" for number, text in enumerate(texts)}
    queries = {text: f"q{i}" for i, text in enumerate(dict.fromkeys(row.query for row in dev))}
    for name, ids in (("corpus", numbers), ("queries", queries)):
        lines = [json.dumps({"_id": id_, "text": text}) + "\n" for text, id_ in ids.items()]
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    judged = dict.fromkeys((queries[row.query], numbers[row.positive]) for row in dev)
    lines = ["query-id\tcorpus-id\tscore\n", *(f"{query}\t{doc}\t1\n" for query, doc in judged)]
    (folder / "qrels" / "dev.tsv").write_text("".join(lines), encoding="utf-8")


def measure(index: Index, queries: dict[str, str], qrels: dict[str, dict[str, int]]) -> Point:
    """Return the figures of one index; its weight is filled in by the caller."""
    run = index.search(queries, min(100, len(index)), fusion=BRANCH)
    branch = index.contents.sparse(BRANCH)
    asked = index.sparse_encoder(BRANCH).encode_queries(list(queries.values()))
    stored = branch.vectors(np.arange(len(index), dtype=np.int32))
    files = index.contents.generation.manifest.files
    size = sum(entry.size for name, entry in files.items() if f"/{BRANCH}/" in name)
    times = np.zeros((REPEATS, len(queries)))
    for repeat in range(REPEATS):
        for row in range(len(queries)):
            start = time.perf_counter()
            branch.search(asked[row], min(10, len(index)), threads=1)
            times[repeat, row] = time.perf_counter() - start
    return Point(
        float("nan"),
        evaluate(run, qrels)["nDCG@10"],
        branch.nnz / len(index),
        asked.nnz / len(queries),
        expected_flops(asked, stored),
        1e3 * float(np.median(times)),
        size / 1e6,
    )


def sweep(
    examples: Sequence[Example],
    work: Path,
    weights: Sequence[float],
    settings: dict[str, object],
    held_out: int,
) -> list[Point]:
    """Return one point a weight."""
    dev = split_examples(examples, held_out, seed=SEED)[1]
    write_collection(examples, dev, work / "collection")
    source = open_source(str(work / "collection"))
    qrels = source.qrels("dev")
    queries = {query.query_id: query.text for query in source.queries("dev")}
    points = []
    for weight in weights:
        output = work / f"weight-{weight:g}"
        options = TrainOptions(
            document_weight=weight,
            query_weight=weight,
            held_out=held_out,
            states=work / "states",
            seed=SEED,
            **settings,  # type: ignore[arg-type]
        )
        if not (output / "model").exists():
            train(examples, output, options)
        if not (output / "index").exists():
            one = BuildOptions(sparse=str(output / "model"), dense=None, bm25=False)
            for alarm in build_index(source, output / "index", one).alarms:
                sys.stderr.write(f"weight {weight:g}: {alarm}\n")
        with open_index(output / "index") as index:
            points.append(replace(measure(index, queries, qrels), weight=weight))
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pairs_file")
    parser.add_argument("work", type=Path)
    parser.add_argument("--weights", type=float, nargs="+", default=[0, 1e-3, 1e-2, 1e-1, 1])
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--model", default="builtin:splade")
    parser.add_argument("--layers", type=int, default=0)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=64)
    parser.add_argument("--plot", type=Path, help="write the figure here")
    arguments = parser.parse_args()
    settings = {
        "model": arguments.model,
        "layers": arguments.layers,
        "steps": arguments.steps,
        "batch_size": arguments.batch_size,
        "max_length": arguments.max_length,
        "learning_rate": 1e-4,
        "temperature": 2.5,
        "checkpoint_steps": arguments.steps,
    }
    examples = read_examples(arguments.pairs_file)[: arguments.pairs]
    points = sweep(examples, arguments.work, arguments.weights, settings, arguments.held_out)
    columns = ("weight", "nDCG@10", "terms a document", "a query", "FLOPS", "median ms", "MB")
    rows = [
        (
            f"{point.weight:g}",
            point.ndcg,
            *(round(value, 1) for value in (point.document_terms, point.query_terms, point.flops)),
            round(point.median_ms, 3),
            round(point.index_mb, 2),
        )
        for point in points
    ]
    title = f"{Path(arguments.pairs_file).name}: {arguments.held_out} held-out pairs"
    sys.stdout.write(markdown(Table(title, columns, tuple(rows), places=4)))
    if arguments.plot is not None:
        costs = {
            "expected FLOPS": [point.flops for point in points],
            "median search, ms": [point.median_ms for point in points],
            "sparse branch on disk, MB": [point.index_mb for point in points],
        }
        labels = [f"{point.weight:g}" for point in points]
        figure = tradeoffs(costs, [point.ndcg for point in points], labels, measure="nDCG@10")
        figure.savefig(arguments.plot)


if __name__ == "__main__":
    main()
