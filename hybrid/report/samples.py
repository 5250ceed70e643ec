"""Small material for notebooks and examples: a part of a bundled collection, and made domains."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np

from hybrid.corpus import Source, open_source
from hybrid.errors import OutputExistsError
from hybrid.fusion.pool import BranchHits, build_pool
from hybrid.tune.domains import Domain

MODULES = (
    "heapq",
    "bisect",
    "itertools",
    "functools",
    "json",
    "csv",
    "random",
    "statistics",
    "shutil",
    "tempfile",
    "glob",
    "textwrap",
    "string",
    "copy",
    "queue",
)


def small_collection(folder: str | Path, modules: Collection[str] = MODULES) -> Source:
    """Return the documents of some modules of `stdlib-hard`, written to a BEIR folder.

    Kept are the queries whose best document is among them, both splits together as "test".

    Raises:
        OutputExistsError: ``folder`` exists.
    """
    target = Path(folder)
    if target.exists():
        raise OutputExistsError(f"{target} exists; give another folder, or open it as a source")
    whole = open_source("stdlib-hard")
    documents = [d for d in whole.documents() if d.doc_id.split(".")[0] in modules]
    kept = {document.doc_id for document in documents}
    qrels = {}
    for split in whole.splits():
        for query_id, judged in whole.qrels(split).items():
            inside = {doc_id: grade for doc_id, grade in judged.items() if doc_id in kept}
            if judged and max(inside.values(), default=0) == max(judged.values()):
                qrels[query_id] = inside
    queries = [q for q in whole.queries() if q.query_id in qrels]
    (target / "qrels").mkdir(parents=True)
    _write_lines(
        target / "corpus.jsonl",
        [{"_id": d.doc_id, "title": d.title, "text": d.text} for d in documents],
    )
    _write_lines(target / "queries.jsonl", [{"_id": q.query_id, "text": q.text} for q in queries])
    rows = [f"{q}\t{d}\t{g}\n" for q, judged in qrels.items() for d, g in judged.items()]
    header = "query-id\tcorpus-id\tscore\n"
    (target / "qrels" / "test.tsv").write_text(header + "".join(rows), encoding="utf-8")
    return open_source(str(target))


def _write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")


def made_domain(
    name: str,
    *,
    sparse: float,
    dense: float,
    queries: int = 150,
    documents: int = 150,
    copies: bool = False,
    seed: int = 0,
) -> Domain:
    """Return a made domain whose branches see relevance through independent noise.

    Args:
        name: of the domain.
        sparse, dense: how many standard deviations a relevant document is ahead in each branch;
            0 makes a branch pure noise.
        queries, documents: how many.
        copies: whether the dense branch is the sparse one, scaled.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    relevant = rng.random((queries, documents)) < 2 / documents
    relevant[np.arange(queries), rng.integers(0, documents, queries)] = True
    scores = {
        "sparse": np.maximum(relevant * sparse + rng.normal(size=relevant.shape) + 3, 0.01),
        "dense": np.tanh((relevant * dense + rng.normal(size=relevant.shape)) / 4),
    }
    if copies:
        scores["dense"] = scores["sparse"] / 16
    exact = {branch: matrix.astype(np.float32) for branch, matrix in scores.items()}
    hits = {}
    for branch, matrix in exact.items():
        order = np.argsort(-matrix, axis=1, kind="stable").astype(np.int32)
        hits[branch] = BranchHits(order, np.take_along_axis(matrix, order, axis=1))
    doc_ids = [f"d{documents - 1 - i:05d}" for i in range(documents)]
    pool = build_pool(
        [f"{name}{i}" for i in range(queries)],
        hits,
        # Every document is retrieved by both branches, so no score is asked for beyond these.
        {b: (lambda nums, m=m: np.take_along_axis(m, nums, axis=1)) for b, m in exact.items()},
        minimum={"sparse": 0.0, "dense": -1.0},
        depth=documents,
        doc_ids=doc_ids,
    )
    qrels = {
        query_id: {doc_ids[int(j)]: 1 for j in np.flatnonzero(row)}
        for query_id, row in zip(pool.query_ids, relevant, strict=True)
    }
    return Domain(name, pool, qrels)
