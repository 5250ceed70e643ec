"""Latency of each stage of a search, one query at a time, as a user waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from hybrid.errors import UsageError
from hybrid.fusion import fuse, rank
from hybrid.search.branches import BranchResult, pool_of, search_branch
from hybrid.search.plan import SearchPlan
from hybrid.search.view import View

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
    view: View, queries: Mapping[str, str], plan: SearchPlan, *, count: int = 50
) -> list[Stage]:
    """Return encode and search of each branch, pooling and fusion, then their total.

    The first queries are searched once before the clock runs, so that no model is loaded in it. The
    stages run one after the other here; a search runs its branches side by side, and encodes a
    query once for two that share a backbone.

    Args:
        view: what is searched.
        queries: query id to text; the first ``count`` are timed.
        plan: of the search, made before the clock runs.
        count: how many queries.

    Raises:
        UsageError: there is no query, or ``count`` is below 1.
    """
    texts = dict(list(queries.items())[: max(count, 0)])
    if not texts:
        raise UsageError(
            f"{count} of {len(queries)} queries were asked to be timed; give 1 or more"
        )
    index = view.contents
    taken: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        taken.setdefault(stage, []).append((time.perf_counter() - start) * 1000)
        return result

    def search(query_id: str, text: str) -> None:
        results: dict[str, BranchResult] = {}
        for name in plan.branches:
            encoder = view.encoder(name)
            encoded = timed(f"encode {name}", partial(encoder.encode_queries, [text]))
            hits = timed(f"search {name}", partial(search_branch, index, name, encoded, plan))
            results[name] = BranchResult(encoder, encoded, hits)
        pool = timed("pool", partial(pool_of, index, {query_id: text}, results, plan))
        timed("fuse", lambda: rank(pool, fuse(pool, plan.fusion), plan.k))

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
