"""The branches of an index searched side by side, and the pool of their hits."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import wait
from dataclasses import dataclass
from itertools import pairwise
from os import cpu_count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.build.records import QueryEncoder
from hybrid.corpus.checks import check_text
from hybrid.errors import UsageError
from hybrid.fusion.apply import ranked_positions
from hybrid.fusion.pool import BranchHits, CrossScorer, Pool, build_pool
from hybrid.index.place import Place
from hybrid.index.records import BranchRecord
from hybrid.machine.cache import text_digest
from hybrid.machine.threads import KeptThreads
from hybrid.search.encoders import QueryEncoders, warn_of_cut
from hybrid.search.plan import PoolPlan

_THREADS = KeptThreads(cpu_count() or 1)


@dataclass(frozen=True)
class BranchResult:
    """The hits of one branch for some queries, with the encoded queries.

    Attributes:
        encoder: of the branch.
        encoded: the queries as it encodes them, CSR or float32 (queries, width).
        hits: what the branch returned for them.
    """

    encoder: QueryEncoder
    encoded: Any
    hits: BranchHits

    def of_query(self, at: int) -> BranchResult:
        """Return the result of one query, by position."""
        one = slice(at, at + 1)
        hits = BranchHits(self.hits.doc_nums[one], self.hits.scores[one])
        return BranchResult(self.encoder, self.encoded[one], hits)


def least_score(record: BranchRecord) -> float:
    """Return the least score that a branch can give; -inf for inner products of free lengths."""
    unbounded = record.kind == "dense" and record.fingerprint.get("similarity") == "dot"
    return -np.inf if unbounded else record.minimum


def search_branch(index: Place, name: str, encoded: Any, plan: PoolPlan) -> BranchHits:
    """Return the hits of one branch for encoded queries."""
    options: dict[str, Any] = {} if plan.subset is None else {"subset": plan.subset}
    return BranchHits(*index.branch(name).search(encoded, plan.depth, **options))


def search_branches(
    index: Place, owner: QueryEncoders, queries: Mapping[str, str], plan: PoolPlan
) -> dict[str, BranchResult]:
    """Return the result of each branch, the branches searched side by side.

    Branches that share a backbone pass it once.

    Raises:
        UsageError: an empty query.
    """
    for query_id, text in queries.items():
        if not check_text(f"query {query_id!r}", text).strip():
            raise UsageError(f"query {query_id!r} is empty; give at least one word")
    texts = list(queries.values())
    encoders = {name: owner.get(index, name) for name in plan.branches}
    shared = owner.shared_pass(encoders)

    rows: dict[str, Any] = {}

    def searched(name: str) -> BranchResult:
        warn_of_cut(name, encoders[name], texts)
        encoded = rows[name] if name in rows else encoders[name].encode_queries(texts)
        return BranchResult(encoders[name], encoded, search_branch(index, name, encoded, plan))

    # The dearest part stays in this thread, and the rest, too, while the other threads are busy.
    own = plan.branches[-1:] if shared is None else shared[:2]
    beside = {n: _THREADS.pool.submit(searched, n) for n in plan.branches if n not in own}
    try:
        if shared is not None:
            rows |= zip(own, shared[2].encode(texts), strict=True)
        found = {name: searched(name) for name in own}
    finally:
        wait([each for each in beside.values() if not each.cancel()])
    for name, each in beside.items():
        found[name] = searched(name) if each.cancelled() else each.result()
    return {name: found[name] for name in plan.branches}


def pool_of(
    index: Place,
    queries: Mapping[str, str],
    results: Mapping[str, BranchResult],
    plan: PoolPlan,
) -> Pool:
    """Return the pool of the branches' hits, every score of every candidate computed."""
    return build_pool(
        list(queries),
        {name: result.hits for name, result in results.items()},
        {name: _scorer(index, name, result.encoded) for name, result in results.items()},
        minimum={name: least_score(index.record(name)) for name in results},
        depth=plan.depth,
        doc_ids=index.doc_ids,
    )


def encoded_query(results: Mapping[str, BranchResult], at: int) -> dict[str, Any]:
    """Return a query, given by position, as each branch that was searched encodes it."""
    return {name: result.of_query(at).encoded for name, result in results.items()}


def without_copies(
    index: Place, pool: Pool, fused: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    """Return the fused scores, float64 (n,), -inf for documents that repeat a better one.

    A document repeats another if title and text are the same as encoders see them. Texts are read
    until ``count`` different ones of a query are known; what follows those keeps its score.

    Args:
        index: whose documents they are.
        pool: of some queries.
        fused: score of each candidate, -inf for none.
        count: 1 or more.
    """
    kept: NDArray[np.float64] = fused.copy()
    order, starts = ranked_positions(fused.astype(np.float32), pool.offsets)
    for start, stop in pairwise(starts.tolist()):
        seen: set[bytes] = set()
        for at in order[start:stop].tolist():
            if len(seen) == count:
                break
            digest = text_digest(index.documents[int(pool.doc_nums[at])].full_text)
            if digest in seen:
                kept[at] = -np.inf
            seen.add(digest)
    return kept


def _scorer(index: Place, name: str, encoded: Any) -> CrossScorer:
    branch = index.branch(name)

    def score(doc_nums: NDArray[np.int32]) -> NDArray[np.float32]:
        return branch.score(encoded, doc_nums)

    return score
