"""Latency of each stage of a search, one query at a time, as a user waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from hybrid.errors import UsageError
from hybrid.fusion import Fusion, fuse, rank
from hybrid.fusion.pool import BranchHits
from hybrid.search.index import Index
from hybrid.search.plan import DEPTH

WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage over some queries, in milliseconds; ``total`` adds the stages up, one by one."""

    name: str
    mean_ms: float
    p50_ms: float
    p95_ms: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON data."""
        return asdict(self)


def stage_latencies(
    index: Index,
    queries: Mapping[str, str],
    fusion: Fusion,
    *,
    count: int = 50,
    k: int = 10,
    depth: int | None = None,
    filter: str | None = None,
    recall: float = 1.0,
) -> list[Stage]:
    """Return encode and search of each branch, pooling and fusion, then their total.

    The first queries are searched once before the clock runs, so that no model is loaded in it. The
    stages run one after the other here; a search runs its branches side by side.

    Args:
        index: what is searched.
        queries: query id to text; the first ``count`` are timed.
        fusion: which branches, and how they are combined.
        count: how many queries.
        k: cutoff of the ranked list.
        depth: how deep each branch searches; default as in ``Index.search``.
        filter: search only documents whose fields match; they are looked up before the clock runs.
        recall: under 1, how much of what sparse branches find is kept.

    Raises:
        UsageError: there is no query, or ``count`` is below 1.
    """
    index = index.snapshot()
    texts = dict(list(queries.items())[: max(count, 0)])
    if not texts:
        raise UsageError(
            f"{count} of {len(queries)} queries were asked to be timed; give 1 or more"
        )
    reach = min(max(k, depth or fusion.depth or DEPTH), len(index))
    subset = None if filter is None else index.contents.select(filter)
    taken: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        taken.setdefault(stage, []).append((time.perf_counter() - start) * 1000)
        return result

    def search(query_id: str, text: str) -> None:
        found: dict[str, tuple[Any, BranchHits]] = {}
        for name in fusion.branch_names(index.branches):
            encoded = timed(f"encode {name}", partial(index.encoder(name).encode_queries, [text]))
            work = partial(index.search_branch, name, encoded, reach, subset=subset, recall=recall)
            found[name] = (encoded, timed(f"search {name}", work))
        pool = timed("pool", partial(index.pool_of, {query_id: text}, found, reach))
        timed("fuse", lambda: rank(pool, fuse(pool, fusion), min(k, len(index))))

    for query_id, text in list(texts.items())[:WARM_UP]:
        search(query_id, text)
    taken.clear()
    for query_id, text in texts.items():
        search(query_id, text)
    taken["total"] = np.sum(list(taken.values()), axis=0).tolist()
    return [_stage(name, values) for name, values in taken.items()]


def _stage(name: str, values: list[float]) -> Stage:
    p50, p95 = np.quantile(values, [0.5, 0.95])
    return Stage(name, float(np.mean(values)), float(p50), float(p95))
