"""The pool of a split's judged queries, with their texts and judgments."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hybrid.corpus.files import FileSource
from hybrid.corpus.judged import JudgedQueries, as_judged
from hybrid.corpus.qrels import Qrels
from hybrid.errors import CorpusError, StorageError, UsageError
from hybrid.evaluate.options import PoolOptions
from hybrid.fusion.pool import Pool
from hybrid.machine.cache import Cache
from hybrid.search.encoders import unread
from hybrid.search.plan import PoolPlan
from hybrid.search.view import View

if TYPE_CHECKING:
    from hybrid.build.tasks import Executor

KIND, FACTS = "pools", "pool.json"
ARRAYS = ("offsets", "doc_nums", "scores", "ranks", "minimum")
LARGEST = 1 / 8
"""Of the cache's limit: a pool above it would push out too much else."""


@dataclass(frozen=True)
class JudgedPool:
    """The pool of the judged queries of one split, with their texts and judgments.

    Attributes:
        qrels: of every judged query, also of those without a text.
        texts: of the queries that were searched.
        relevant, absent: relevant documents of those, and how many are not in the index.
    """

    source: str
    split: str
    pool: Pool
    qrels: Qrels
    texts: Mapping[str, str]
    relevant: int = 0
    absent: int = 0

    @property
    def textless(self) -> int:
        """How many judged queries the source has no text of; each counts 0."""
        return len(self.qrels) - len(self.texts)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about missing texts, judgments and documents, which lower every figure."""
        barren = sum(max(self.qrels[q].values(), default=0) <= 0 for q in self.texts)
        found = (
            (self.textless, len(self.qrels), "judged queries have no text there and count 0"),
            (barren, len(self.texts), "queries have no relevant document and count 0"),
            (
                *(self.absent, self.relevant),
                "relevant documents are not in the index and cannot be found",
            ),
        )
        return tuple(f"{count:,} of {whole:,} {loss}" for count, whole, loss in found if count)


def judged_pool(
    view: View,
    source: JudgedQueries,
    options: PoolOptions | None = None,
    plan: PoolPlan | None = None,
    *,
    least: int = 1,
    executor: Executor | None = None,
) -> JudgedPool:
    """Return the pool of the judged queries of a split.

    Args:
        view: what is searched.
        source: of queries and judgments; or ``(queries, qrels)``, see `as_judged`.
        options: which queries, and how they are searched and judged.
        plan: of the pool; by default that of all branches by the options.
        least: how many judged queries there must be.
        executor: searches them elsewhere; see `hybrid.search.tasks`.

    Raises:
        CorpusError: the split has no judged query, or none whose relevant documents are there.
        UsageError: it has fewer than ``least``.
    """
    options, source = options or PoolOptions(), as_judged(source)
    split, judging = options.split, options.judging
    qrels = judging.qrels(source.qrels(split))
    queries = {q.query_id: q.text for q in source.queries(split) if q.query_id in qrels}
    if not queries:
        raise CorpusError(
            f"{source.name} has no judged query in split {split!r}; its splits are "
            f"{', '.join(source.splits()) or 'none'}"
        )
    if len(queries) < least:
        raise UsageError(
            f"{source.name} has {len(queries)} judged queries with a text in split {split!r}, too "
            f"few to tune on; give at least {least}, better 50"
        )
    relevant = {d for query in queries for d, grade in qrels[query].items() if grade > 0}
    judged = relevant or {d for query in queries for d in qrels[query]}
    _, is_there = view.contents.documents.locate(sorted(judged, reverse=True))
    absent = len(judged) - int(is_there.sum())
    if judged and absent == len(judged):
        place = source.judgments_place(split) if isinstance(source, FileSource) else source.name
        raise CorpusError(
            f"none of the {absent:,} documents that are {'relevant' if relevant else 'judged'} "
            f"by {place}, split {split!r}, is in the index, "
            f"which was built of {view.contents.source}; give the judgments of the collection that "
            "is indexed"
        )
    plan = plan or view.pool_plan(options.search)
    pool = judging.pool(kept_pool(view, queries, plan, executor))
    return JudgedPool(
        *(source.name, split, pool, qrels, queries),
        relevant=len(relevant),
        absent=absent if relevant else 0,
    )


def kept_pool(
    view: View, queries: Mapping[str, str], plan: PoolPlan, executor: Executor | None = None
) -> Pool:
    """Return the pool of some queries, from the cache where it is there; else it is kept there.

    Not kept is a pool above a share of the cache's limit, nor one whose model did not read all of
    a query: of that ``View.pool`` warns each time. Nor is one of a branch that turned out to run in
    torch because its recorded backend cannot run.
    """
    key, cache = view.pool_key(queries, plan), Cache()
    kept = None if key is None else cache.entry(KIND, key)
    if kept is not None:
        return _read(kept, view.contents.doc_ids)
    pool = view.pool(queries, plan, executor)
    size = sum(getattr(pool, name).nbytes for name in ARRAYS)
    texts = list(queries.values())
    cut = any(unread(view.encoder(name), texts).any() for name in plan.branches)
    key = view.pool_key(queries, plan)  # none where an encoder turned out to be another
    if key is not None and not cut and size <= cache.limit * LARGEST:
        try:
            cache.put(KIND, key, partial(_write, pool))
        except StorageError as error:
            warnings.warn(f"the pool is not kept: {error}", RuntimeWarning, stacklevel=2)
    return pool


def _write(pool: Pool, folder: Path) -> None:
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", getattr(pool, name))
    facts = {
        "query_ids": pool.query_ids,
        "branches": pool.branches,
        "depth": pool.depth,
    }
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _read(folder: Path, doc_ids: Sequence[str]) -> Pool:
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return Pool(
        query_ids=tuple(facts["query_ids"]),
        branches=tuple(facts["branches"]),
        depth=facts["depth"],
        doc_ids=doc_ids,
        **{name: np.load(folder / f"{name}.npy") for name in ARRAYS},
    )
