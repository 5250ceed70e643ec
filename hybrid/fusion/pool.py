"""Pool: for each query the candidate documents, with every branch's exact score.

Each branch searches to a depth, the candidates are united, and a score that a branch did not
return is computed exactly. No score is missing, so fusion needs no imputation rule, and a deeper
pool never changes what a score means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError


@dataclass(frozen=True, slots=True)
class BranchHits:
    """The hits of one branch for a batch: both arrays (queries, depth), padded -1 and -inf."""

    doc_nums: NDArray[np.int32]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BranchScore:
    """The raw score of a document in one branch, and its rank there from 1; 0 for none."""

    score: float
    rank: int


class CrossScorer(Protocol):
    """Returns the exact scores of (queries, c) documents as (queries, c) float32."""

    def __call__(self, doc_nums: NDArray[np.int32]) -> NDArray[np.float32]: ...


@runtime_checkable
class TakesIds(Protocol):
    """Ids that are read many at once, as those of an index on disk."""

    def take(self, doc_nums: NDArray[np.int32]) -> list[str]:
        """Return the ids of documents, by ascending number."""
        ...


@dataclass(frozen=True)
class Pool:
    """Candidates of a batch of queries in CSR layout: query ``i`` owns ``offsets[i]:offsets[i+1]``.

    Attributes:
        query_ids: one id a query.
        branches: branch names, for instance ``("bm25", "sparse", "dense")``.
        offsets: int64 (queries + 1,).
        doc_nums: int32 (n,), ascending within a query, which is doc_id descending.
        scores: float32 (branches, n), exact for every pair.
        ranks: int32 (branches, n), the rank from 1 in the branch's own list; 0 where the branch
            did not return the document within ``depth``.
        minimum: float32 (branches,), the least score that a branch can give (0 for sparse, -1 for
            cosine, -inf for an inner product): what theoretical min-max needs.
        depth: how many documents each branch was asked for.
        doc_ids: doc_num to doc_id.
    """

    query_ids: tuple[str, ...]
    branches: tuple[str, ...]
    offsets: NDArray[np.int64]
    doc_nums: NDArray[np.int32]
    scores: NDArray[np.float32]
    ranks: NDArray[np.int32]
    minimum: NDArray[np.float32]
    depth: int
    doc_ids: Sequence[str]

    def __post_init__(self) -> None:
        n, branches = len(self.doc_nums), len(self.branches)
        shapes = {
            "offsets": (self.offsets.shape, (len(self.query_ids) + 1,)),
            "scores": (self.scores.shape, (branches, n)),
            "ranks": (self.ranks.shape, (branches, n)),
            "minimum": (self.minimum.shape, (branches,)),
        }
        for name, (given, expected) in shapes.items():
            if given != expected:
                raise UsageError(f"pool {name} has shape {given}, expected {expected}")
        if self.offsets[0] != 0 or self.offsets[-1] != n or (np.diff(self.offsets) < 0).any():
            raise UsageError(f"pool offsets must rise from 0 to the {n} candidates")

    def __len__(self) -> int:
        return len(self.query_ids)

    def branch(self, name: str) -> int:
        """Return the row of a branch.

        Raises:
            UsageError: the pool has no such branch.
        """
        if name not in self.branches:
            raise UsageError(
                f"branch {name!r} is not in this pool; it has {', '.join(self.branches)}"
            )
        return self.branches.index(name)

    def select(self, queries: Sequence[int] | NDArray[np.int64]) -> Pool:
        """Return the pool of some queries, by position, in the given order: folds and splits."""
        rows = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in queries]
        taken = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        return Pool(
            query_ids=tuple(self.query_ids[i] for i in queries),
            branches=self.branches,
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            doc_nums=self.doc_nums[taken],
            scores=self.scores[:, taken],
            ranks=self.ranks[:, taken],
            minimum=self.minimum,
            depth=self.depth,
            doc_ids=self.doc_ids,
        )

    def narrow(self, branches: Sequence[str]) -> Pool:
        """Return the pool that some of the branches would give without the others.

        Raises:
            UsageError: the pool has no such branch.
        """
        rows = [self.branch(name) for name in branches]
        kept = (self.ranks[rows] > 0).any(axis=0)
        before = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        return replace(
            self,
            branches=tuple(branches),
            offsets=before[self.offsets],
            doc_nums=self.doc_nums[kept],
            scores=self.scores[rows][:, kept],
            ranks=self.ranks[rows][:, kept],
            minimum=self.minimum[rows],
        )


def build_pool(
    query_ids: Sequence[str],
    hits: dict[str, BranchHits],
    scorers: dict[str, CrossScorer],
    *,
    minimum: dict[str, float],
    depth: int,
    doc_ids: Sequence[str],
) -> Pool:
    """Return the pool of the branches' hits, missing scores computed by ``scorers``.

    Args:
        query_ids: one a query.
        hits: branch name to its result, all over the same queries.
        scorers: branch name to its exact cross-scorer.
        minimum: branch name to the least score that it can give.
        depth: how many documents each branch was asked for.
        doc_ids: doc_num to doc_id, doc_ids descending.
    """
    branches = tuple(hits)
    candidates = [
        np.unique(np.concatenate([_returned(hits[branch].doc_nums[i]) for branch in branches]))
        for i in range(len(query_ids))
    ]
    lengths = np.array([len(row) for row in candidates], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    width = int(lengths.max(initial=0))
    padded = np.full((len(query_ids), width), -1, dtype=np.int32)
    real = np.arange(width)[None, :] < lengths[:, None]
    doc_nums = np.concatenate(candidates) if candidates else np.zeros(0, np.int32)
    padded[real] = doc_nums
    scores = np.stack([scorers[branch](padded)[real] for branch in branches])
    ranks = np.stack([_ranks(candidates, hits[branch].doc_nums) for branch in branches])
    return Pool(
        query_ids=tuple(query_ids),
        branches=branches,
        offsets=offsets,
        doc_nums=doc_nums.astype(np.int32),
        scores=scores.astype(np.float32),
        ranks=ranks,
        minimum=np.array([minimum[branch] for branch in branches], dtype=np.float32),
        depth=depth,
        doc_ids=doc_ids,
    )


def join_pools(pools: Sequence[Pool], doc_ids: Sequence[str]) -> Pool:
    """Return the pool of all queries of some pools, one or more of the same branches and depth."""
    lengths = np.concatenate([np.diff(each.offsets) for each in pools])
    return replace(
        pools[0],
        query_ids=tuple(query_id for each in pools for query_id in each.query_ids),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        doc_nums=np.concatenate([each.doc_nums for each in pools]),
        scores=np.concatenate([each.scores for each in pools], axis=1),
        ranks=np.concatenate([each.ranks for each in pools], axis=1),
        doc_ids=doc_ids,
    )


def ids_of(doc_ids: Sequence[str], doc_nums: NDArray[np.int32]) -> list[str]:
    """Return the id of each number, in any order and as often as it occurs; each is read once."""
    if len(doc_nums) > len(doc_ids):
        held = np.zeros(len(doc_ids), dtype=bool)
        held[doc_nums] = True
        numbers = np.flatnonzero(held).astype(np.int32)
        inverse = np.cumsum(held)[doc_nums] - 1
    else:
        numbers, inverse = np.unique(doc_nums, return_inverse=True)
    if isinstance(doc_ids, TakesIds):
        read = doc_ids.take(numbers)
    else:
        read = [doc_ids[at] for at in numbers.tolist()]
    ids: list[str] = np.array(read, dtype=object)[inverse].tolist()
    return ids


def _returned(doc_nums: NDArray[np.int32]) -> NDArray[np.int32]:
    return doc_nums[doc_nums >= 0]


def _ranks(candidates: list[NDArray[np.int32]], doc_nums: NDArray[np.int32]) -> NDArray[np.int32]:
    parts = [np.zeros(0, np.int32)]
    for row, found in zip(candidates, doc_nums, strict=True):
        ranks = np.zeros(len(row), dtype=np.int32)
        returned = _returned(found)
        ranks[np.searchsorted(row, returned)] = np.arange(1, len(returned) + 1, dtype=np.int32)
        parts.append(ranks)
    return np.concatenate(parts)
