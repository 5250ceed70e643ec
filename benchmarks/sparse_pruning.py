"""What 8-bit weights and pruning of documents and queries cost and save, in one table.

    python benchmarks/sparse_pruning.py COLLECTION WORK [--model builtin:splade] [--split test]

The documents are encoded once, into WORK, which a second call reuses. Each row is an index of the
library, written to disk: its bytes are those of its files, and a search asks it for the top 10 of
one query at a time in one thread. Rows take turns, so that a busy machine slows all alike; a
query's time is the median of the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_matrix

from hybrid.build.encode import encode_corpus
from hybrid.corpus import open_source
from hybrid.encoders import load_sparse
from hybrid.encoders.splade import above, strongest
from hybrid.evaluate import compare, evaluate
from hybrid.fusion.run import Run
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.write import SparseOptions, write_postings
from hybrid.report.tables import Table, markdown

K = 10
BRANCH = "sparse"


@dataclass(frozen=True)
class Setting:
    """One row: how documents and queries are pruned, and how weights are stored."""

    documents: str
    queries: str
    weights: Literal["uint8", "float32"] = "uint8"


SETTINGS = (
    Setting("all", "all", "float32"),
    Setting("all", "all"),
    Setting("top 150", "all"),
    Setting("top 100", "all"),
    Setting("top 64", "all"),
    Setting("top 32", "all"),
    Setting("above 0.4", "all"),
    Setting("above 0.6", "all"),
    Setting("above 0.8", "all"),
    Setting("all", "top 20"),
    Setting("all", "top 10"),
    Setting("all", "above 0.4"),
    Setting("all", "above 0.8"),
    Setting("top 100", "top 20"),
    Setting("above 0.6", "top 20"),
)


def pruning(text: str) -> Callable[[csr_matrix], csr_matrix]:
    """Return what ``all``, ``top N`` or ``above W`` makes of term weights."""
    kind, _, value = text.partition(" ")
    if kind == "top":
        return lambda weights: strongest(weights, int(value))
    if kind == "above":
        return lambda weights: above(weights, float(value))
    return lambda weights: weights


def build(setting: Setting, shards: Any, folder: Path) -> InvertedIndex:
    """Return the index of a setting, written to ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    prune = pruning(setting.documents)
    write_postings(
        (prune(part) for part in shards.ordered_sparse(BRANCH, shards.order())),
        folder,
        SparseOptions(vocabulary_size=shards.branches[BRANCH].width, weights=setting.weights),
    )
    return InvertedIndex.open(folder)


def measure(source: Any, split: str, work: Path, model: str, repeats: int) -> list[dict[str, Any]]:
    """Return one row of figures a setting, and its difference from the first."""
    encoder = load_sparse(model)
    qrels = source.qrels(split)
    asked = {query.query_id: query.text for query in source.queries(split)}
    asked = {query_id: text for query_id, text in asked.items() if query_id in qrels}
    shards = encode_corpus(source.documents(), work / "shards", {BRANCH: encoder})
    doc_ids = np.array(shards.doc_ids())[shards.order()]
    whole = encoder.encode_queries(list(asked.values()))
    indexes, queries, found = {}, {}, {}
    for number, setting in enumerate(SETTINGS):
        indexes[setting] = build(setting, shards, work / f"index-{number}")
        queries[setting] = pruning(setting.queries)(whole)
        nums, scores = indexes[setting].search(queries[setting], 100)
        ranked = {
            query_id: {
                str(doc_ids[num]): float(score)
                for num, score in zip(nums[row], scores[row], strict=True)
                if num >= 0
            }
            for row, query_id in enumerate(asked)
        }
        found[setting] = evaluate(Run.from_dict(ranked), qrels)
    times = {setting: np.zeros((repeats, len(asked))) for setting in SETTINGS}
    for repeat in range(repeats):
        for row in range(len(asked)):
            for setting in SETTINGS:
                start = time.perf_counter()
                indexes[setting].search(queries[setting][row], K, threads=1)
                times[setting][repeat, row] = time.perf_counter() - start
    rows = []
    for number, setting in enumerate(SETTINGS):
        milliseconds = 1e3 * np.median(times[setting], axis=0)
        folder = work / f"index-{number}"
        row = {
            "documents": setting.documents,
            "queries": setting.queries,
            "weights": setting.weights,
            "ndcg": found[setting]["nDCG@10"],
            "document_terms": indexes[setting].nnz / len(doc_ids),
            "query_terms": queries[setting].nnz / len(asked),
            "index_mb": sum(path.stat().st_size for path in folder.iterdir()) / 1e6,
            "median_ms": float(np.median(milliseconds)),
            "p99_ms": float(np.quantile(milliseconds, 0.99)),
        }
        if number:
            pair = {"whole": found[SETTINGS[0]], "pruned": found[setting]}
            row["difference"] = compare(pair).difference["pruned"].to_dict()
        rows.append(row)
    return rows


def table(title: str, rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    cells = []
    for row in rows:
        gap = row.get("difference")
        shown = "" if gap is None else f"{gap['mean']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]"
        terms = f"{row['document_terms']:.0f}, {row['query_terms']:.0f}"
        costs = [f"{row[name]:.2f}" for name in ("index_mb", "median_ms", "p99_ms")]
        head = (row["documents"], row["queries"], row["weights"], row["ndcg"])
        cells.append((*head, shown, terms, *costs))
    columns = (
        "documents", "queries", "weights", "nDCG@10", "difference", "terms", "index MB",
        "median ms", "p99 ms",
    )  # fmt: skip
    return markdown(Table(title, columns, tuple(cells)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection")
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="builtin:splade")
    parser.add_argument("--split", default="test")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    source = open_source(arguments.collection)
    rows = measure(source, arguments.split, arguments.work, arguments.model, arguments.repeats)
    load = f"load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    title = f"{arguments.model} on {Path(source.name).name}, {arguments.split}; {load}"
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"title": title, "rows": rows}, indent=1))
    sys.stdout.write(table(title, rows))


if __name__ == "__main__":
    main()
