"""What the branches find for some queries, and the pool of it: every branch's exact scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.build.records import QueryEncoder
from hybrid.errors import UsageError
from hybrid.fusion.pool import BranchHits, CrossScorer, Pool, build_pool
from hybrid.index.documents.subset import SubsetLike
from hybrid.index.hybrid import HybridIndex
from hybrid.index.records import BranchRecord
from hybrid.search.plan import accuracies
from hybrid.search.queries import text_features

EncoderOf = Callable[[str], QueryEncoder]
Found = Mapping[str, tuple[Any, BranchHits]]


def least_score(record: BranchRecord) -> float:
    """Return the least score that a branch can give; -inf for inner products of free lengths."""
    unbounded = record.kind == "dense" and record.fingerprint.get("similarity") == "dot"
    return -np.inf if unbounded else record.minimum


def search_branch(
    index: HybridIndex,
    name: str,
    encoded: Any,
    depth: int,
    *,
    subset: SubsetLike | None = None,
    recall: float = 1.0,
) -> BranchHits:
    """Return what one branch finds for encoded queries; a recall counts for sparse ones."""
    options: dict[str, Any] = {} if subset is None else {"subset": subset}
    if recall < 1 and subset is None and index.record(name).kind == "sparse":
        exact = index.accuracy(name, recall, depth).exact
        options = {} if exact else {"recall": recall}
    return BranchHits(*index.branch(name).search(encoded, depth, **options))


def search_branches(
    index: HybridIndex,
    encoder_of: EncoderOf,
    queries: Mapping[str, str],
    depth: int,
    *,
    branches: Sequence[str],
    filter: str | None,
    recall: float,
) -> Found:
    """Return each branch's encoded queries and what it found, the branches side by side.

    Raises:
        UsageError: an empty query, or a recall that cannot be had.
    """
    for query_id, text in queries.items():
        if not text.strip():
            raise UsageError(f"query {query_id!r} is empty; give at least one word")
    subset = None if filter is None else index.select(filter)
    accuracies(index, branches, depth, recall=recall, filtered=filter is not None)
    texts = list(queries.values())
    encoders = {name: encoder_of(name) for name in branches}

    def found(name: str) -> tuple[Any, BranchHits]:
        encoded = encoders[name].encode_queries(texts)
        return encoded, search_branch(index, name, encoded, depth, subset=subset, recall=recall)

    with ThreadPoolExecutor(max_workers=len(branches)) as threads:
        return dict(zip(branches, threads.map(found, branches), strict=True))


def pool_found(
    index: HybridIndex,
    encoder_of: EncoderOf,
    queries: Mapping[str, str],
    found: Found,
    depth: int,
) -> Pool:
    """Return the pool of what the branches found; see ``Index.pool_of``."""
    return build_pool(
        list(queries),
        {name: hits for name, (_, hits) in found.items()},
        {name: _scorer(index, name, encoded) for name, (encoded, _) in found.items()},
        minimum={name: least_score(index.record(name)) for name in found},
        depth=depth,
        doc_ids=index.doc_ids,
        features=text_features(
            list(queries.values()),
            {name: (encoder_of(name), encoded) for name, (encoded, _) in found.items()},
        ),
    )


def _scorer(index: HybridIndex, name: str, encoded: Any) -> CrossScorer:
    branch = index.branch(name)

    def score(doc_nums: NDArray[np.int32]) -> NDArray[np.float32]:
        return branch.score(encoded, doc_nums)

    return score
