"""Outcomes of a search for a document: why it was missed, and its rank by other weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from hybrid.fusion.apply import candidate_table, fuse
from hybrid.fusion.explain import (
    BranchShare,
    Cause,
    Explanation,
    Missed,
    Stretches,
    position,
    rank_of,
)
from hybrid.fusion.methods import features
from hybrid.fusion.pool import Pool
from hybrid.fusion.table import FloatArray
from hybrid.fusion.values import Fusion, cc, rrf, single


def with_outcomes(
    explanations: Sequence[Explanation],
    pool: Pool,
    fusion: Fusion,
    k: int,
    *,
    hidden: Mapping[str, Cause] | None = None,
    cause: Cause = "fusion",
) -> list[Explanation]:
    """Return the explanations with what kept each document out, and what would change its rank.

    Args:
        explanations: of documents of the pool.
        pool: of one query.
        fusion: that the explanations are of.
        k: how many documents the search returned at most.
        hidden: doc_id to cause, of documents of the pool that the search leaves out: no rank counts
            them.
        cause: of a candidate that is below the top k.
    """
    hidden = hidden or {}
    out = np.zeros(len(pool.doc_nums), dtype=bool)
    out[[position(pool, doc_id) for doc_id in hidden]] = True

    def kept(by: Fusion) -> FloatArray:
        return np.where(out, -np.inf, fuse(pool, by))

    fused = kept(fusion)
    best = np.sort(fused[np.isfinite(fused)])[::-1]
    others = [(str(each), kept(each)) for each in _others(pool, fusion)]
    lines = _lines(pool, fusion)
    taken = candidate_table(pool, fusion)[0]
    inside = ~out[taken]

    def missed(one: Explanation) -> Missed | None:
        if one.score is None or one.doc_id in hidden:
            return Missed(k, hidden.get(one.doc_id, "depth"), None)
        return Missed(k, cause, float(best[k - 1]) - one.score) if one.rank > k else None

    def share(one: BranchShare, row: int, at: int) -> BranchShare:
        listed = pool.scores[row][pool.ranks[row] > 0]
        outside = not one.rank and len(listed) > 0
        alphas = None
        if row in lines and np.isfinite(fused[at]):
            x, y = (scores[inside] for scores in lines[row])
            alphas = top_stretches(x, y, int(np.searchsorted(taken[inside], at)), k)
        lacks = float(listed.min()) - one.score if outside else None
        return replace(one, lacks=lacks, alphas=alphas)

    def told(one: Explanation) -> Explanation:
        at = position(pool, one.doc_id)
        rank = rank_of(fused, pool.doc_nums, at) if np.isfinite(fused[at]) else 0
        one = replace(one, rank=rank, candidates=len(best))
        return replace(
            one,
            missed=missed(one),
            branches=tuple(share(each, row, at) for row, each in enumerate(one.branches)),
            others=tuple(
                (name, rank_of(scores, pool.doc_nums, at) if np.isfinite(scores[at]) else 0)
                for name, scores in others
            ),
        )

    return [told(one) for one in explanations]


def top_stretches(x: FloatArray, y: FloatArray, at: int, k: int) -> Stretches:
    """Return the open stretches of alpha in which candidate ``at`` is in the top ``k``.

    The score of a candidate is (1 - alpha) x + alpha y, a line, so its rank changes only where its
    line crosses another. Equal scores fall to the earlier candidate. Exact but for the float32 in
    which a run compares scores.

    >>> top_stretches(np.array([1.0, 0.0]), np.array([0.0, 3.0]), 0, 1)
    ((0.0, 0.25),)
    """
    gap, end = x - x[at], y - y[at]
    earlier = np.arange(len(x)) < at
    first = (gap > 0) | ((gap == 0) & ((end > 0) | ((end == 0) & earlier)))
    last = (end > 0) | ((end == 0) & ((gap > 0) | ((gap == 0) & earlier)))
    crossed = np.flatnonzero(first != last)
    alphas = gap[crossed] / (gap[crossed] - end[crossed])
    order = np.argsort(alphas)
    steps = np.where(last[crossed], 1, -1)[order]
    above = np.concatenate([[0], np.cumsum(steps)]) + np.count_nonzero(first)
    edges = [0.0, *alphas[order].tolist(), 1.0]
    found: list[tuple[float, float]] = []
    for low, high, inside in zip(edges[:-1], edges[1:], (above < k).tolist(), strict=True):
        if not inside or low == high:
            continue
        if found and found[-1][1] == low:
            low = found.pop()[0]
        found.append((low, high))
    return tuple(found)


def _lines(pool: Pool, fusion: Fusion) -> dict[int, tuple[FloatArray, FloatArray]]:
    """Return row of a branch to the scores without it and by it alone, of each candidate."""
    taken, table, rows = candidate_table(pool, fusion)
    if len(rows) < 2 or not len(taken) or fusion.breaks_ties:
        return {}
    parts = features(table, fusion)
    if parts is None:
        return {}
    weights = fusion.branch_weights([pool.branches[row] for row in rows])
    found = {}
    for number, row in enumerate(rows.tolist()):
        rest = np.delete(weights, number)
        rest = rest / rest.sum() if rest.sum() > 0 else np.full(len(rest), 1 / len(rest))
        found[row] = rest @ np.delete(parts, number, axis=0), parts[number]
    return found


def _others(pool: Pool, fusion: Fusion) -> list[Fusion]:
    """Return each branch alone, and the usual fusions, but for the one that was used."""
    if len(pool.branches) < 2:
        return []
    usual = [rrf(), cc(norm="minmax")]
    usual += [cc(norm="tmm")] if np.isfinite(pool.minimum).all() else []
    return [each for each in (*map(single, pool.branches), *usual) if each != fusion]
