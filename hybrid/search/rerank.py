"""Rerank: the first documents of a search, scored again by a model that reads query and text.

The first stage is the search with its fusion. Its first ``depth`` documents of each query are cut
off; the reranker scores every one of them, and a fusion of two branches, ``first`` and ``rerank``,
orders them. The other documents follow in the order of the first stage and never pass them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybrid.build.kept import rows_space
from hybrid.corpus.passages import starts
from hybrid.errors import UsageError
from hybrid.fusion import Fusion, fuse
from hybrid.fusion.apply import ranked_positions
from hybrid.fusion.pool import Pool
from hybrid.machine.cache import Cache, text_digest
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.search.options import Score
from hybrid.search.passages import best_texts

if TYPE_CHECKING:
    from hybrid.encoders import CrossEncoder
    from hybrid.index.place import Place

FIRST, RERANK = "first", "rerank"
BRANCHES = (FIRST, RERANK)
SCORES = "scores"
SCORE = np.dtype("<f4")

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class RerankPlan:
    """How the first documents are scored again.

    Attributes:
        model: ``builtin:cross-encoder``, a folder, a hub id, or (query, texts) -> scores.
        depth: how many documents of each query.
        fusion: of the branches ``first`` and ``rerank``.

    Raises:
        UsageError: a depth below 1, or a fusion of other branches or with a depth of its own.
    """

    model: str | Score
    depth: int
    fusion: Fusion

    def __post_init__(self) -> None:
        self.fusion.branch_names(BRANCHES)
        if self.fusion.depth is not None:
            raise UsageError(
                f"{self.fusion} has a depth, which rerank_depth says; leave it out of the fusion"
            )

    @property
    def name(self) -> str:
        """The model as a person reads it."""
        return self.model if isinstance(self.model, str) else "a reranker given as an object"


class CrossScores:
    """The scores of a cross-encoder, kept in a cache by model, query and text."""

    def __init__(self, encoder: CrossEncoder, cache: Cache) -> None:
        self._encoder, self._cache = encoder, cache

    def __call__(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one score for each text."""
        space = rows_space(self._encoder, query)
        keys = [(text_digest(text), 0) for text in texts]
        found = [None] * len(texts) if space is None else self._cache.rows(SCORES, space, keys)
        missing = [place for place, row in enumerate(found) if row is None]
        scores = np.zeros(len(texts), dtype=SCORE)
        if missing:
            scores[missing] = self._encoder.score([(query, texts[place]) for place in missing])
            new = [(*keys[place], scores[place].tobytes()) for place in missing]
            if space is not None:
                self._cache.put_rows(SCORES, space, new)
        for place, row in enumerate(found):
            if row is not None:
                scores[place] = np.frombuffer(row, SCORE)[0]
        return scores


class PairScores:
    """The scores of some queries with documents of an index, each computed once.

    A document is read whole, title and text; where texts are cut into passages, it has the
    greatest score of its best passages, one of each branch (MaxP).

    Args:
        index: whose documents they are.
        queries: query id to text.
        score: of a query and texts.
        encoded: of a query id, branch to the query as it encodes it; asked for passages alone.
    """

    def __init__(
        self,
        index: Place,
        queries: Mapping[str, str],
        score: Score,
        encoded: Callable[[str], Mapping[str, Any]],
    ) -> None:
        self._index, self._queries, self._score, self._encoded = index, queries, score, encoded
        self._known: dict[tuple[str, int], float] = {}

    def __call__(self, query_id: str, doc_nums: Sequence[int]) -> NDArray[np.float32]:
        """Return the score of each document, float32 (documents,).

        Raises:
            UsageError: the reranker did not give one finite number for each.
        """
        new = [each for each in doc_nums if (query_id, each) not in self._known]
        if new:
            query = self._queries[query_id]
            read = best_texts(self._index, self._encoded(query_id), new)
            texts = list(chain.from_iterable(read))
            scores = np.asarray(self._score(query, texts), dtype=np.float32)
            if scores.shape != (len(texts),) or not np.isfinite(scores).all():
                raise UsageError(
                    f"the reranker gave an array {scores.shape} for {len(texts)} texts of query "
                    f"{query_id!r}, or a number that is not finite; give one score for each text"
                )
            best = np.maximum.reduceat(scores, starts(np.array([*map(len, read)]))[:-1])
            pairs = ((query_id, each) for each in new)
            self._known.update(zip(pairs, best.tolist(), strict=True))
        return np.array([self._known[query_id, each] for each in doc_nums], dtype=np.float32)


@dataclass(frozen=True)
class Cut:
    """The first documents of each query, scored by both stages.

    Attributes:
        pool: of two branches, ``first`` and ``rerank``.
        positions: int64 (candidates of that pool,), where each lies in the pool that was cut.
        rest: for each query the positions of the documents that follow, in their order.
    """

    pool: Pool
    positions: NDArray[np.int64]
    rest: tuple[NDArray[np.int64], ...]

    def spread(self, scores: FloatArray, count: int) -> FloatArray:
        """Return scores of the pool that was cut, float64 (count,), -inf for no candidates.

        The documents that follow get whole steps below the least score of the query.

        Args:
            scores: of the candidates of ``pool``.
            count: candidates of the pool that was cut.
        """
        spread = np.full(count, -np.inf)
        spread[self.positions] = scores
        for rest, (start, stop) in zip(self.rest, pairwise(self.pool.offsets), strict=True):
            if len(rest):  # then documents of this query were scored, too
                least = np.floor(scores[start:stop].min())
                step = max(1.0, 2 * float(np.spacing(np.float32(abs(least)))))  # told in float32
                spread[rest] = least - step * np.arange(1, len(rest) + 1)
        return spread


def cut_pool(
    pool: Pool,
    fused: FloatArray,
    depth: int,
    score: Callable[..., NDArray[np.float32]],
    progress: StartProgress = no_progress,
) -> Cut:
    """Return the first ``depth`` documents of each query by ``fused``, every one scored.

    Args:
        pool: of the first stage.
        fused: float64 (candidates,), -inf for no candidate.
        depth: 1 or more.
        score: of a query id and doc_nums, as `PairScores`.
        progress: shows how many documents are scored.
    """
    first = fused.astype(np.float32)
    order, starts = ranked_positions(first, pool.offsets)
    ends = np.minimum(starts[1:], starts[:-1] + depth)
    parts = [np.sort(order[start:end]) for start, end in zip(starts, ends, strict=False)]
    positions = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
    doc_nums = pool.doc_nums[positions]
    offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
    scores, advance = [], progress("reranking", len(positions))
    for query_id, part in zip(pool.query_ids, parts, strict=True):
        scores.append(score(query_id, pool.doc_nums[part].tolist()))
        advance(len(part))
    both = np.stack([first[positions], np.concatenate([np.zeros(0, np.float32), *scores])])
    return Cut(
        Pool(
            query_ids=pool.query_ids,
            branches=BRANCHES,
            offsets=offsets,
            doc_nums=doc_nums,
            scores=both,
            ranks=np.stack([_ranks(row, offsets) for row in both]),
            minimum=np.full(2, -np.inf, dtype=np.float32),
            depth=depth,
            doc_ids=pool.doc_ids,
        ),
        positions,
        tuple(order[end:stop] for end, stop in zip(ends, starts[1:], strict=True)),
    )


def rerank(
    pool: Pool,
    fused: FloatArray,
    plan: RerankPlan,
    score: Callable[..., NDArray[np.float32]],
    progress: StartProgress = no_progress,
) -> tuple[Cut, FloatArray]:
    """Return the first documents of each query scored again, and the scores of all, (n,).

    Args:
        pool: of the first stage.
        fused: score of each candidate by it, (n,).
        plan: how many documents, and how both stages are joined.
        score: of a query id and doc_nums, as `PairScores`.
        progress: shows how many documents are scored.

    Raises:
        UsageError: the model does not give one finite score for each text.
    """
    cut = cut_pool(pool, fused, plan.depth, score, progress)
    return cut, cut.spread(fuse(cut.pool, plan.fusion), len(fused))


def _ranks(scores: NDArray[np.float32], offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the rank of each candidate in its query, from 1."""
    order, starts = ranked_positions(scores, offsets)
    ranks = np.zeros(len(scores), dtype=np.int32)
    ranks[order] = np.arange(len(order)) - np.repeat(starts[:-1], np.diff(starts)) + 1
    return ranks
