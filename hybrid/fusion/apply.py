"""Fusion over a pool: fused scores, each branch's part of them, and the ranked run."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.fusion.methods import combine
from hybrid.fusion.norms import normalise
from hybrid.fusion.pool import Pool, TakesIds, ids_of
from hybrid.fusion.run import Run
from hybrid.fusion.table import CandidateTable, FloatArray
from hybrid.fusion.values import Fusion

LAST = np.uint64(2**64 - 1)
"""A key above those of all scores."""


def fuse(pool: Pool, fusion: Fusion) -> FloatArray:
    """Return the fused score of every candidate, float64 (n,).

    -inf marks a document that no branch of the fusion retrieved: it is no candidate of it. So a
    fusion of some branches gives the same scores whatever other branches the pool holds.

    Raises:
        UsageError: the fusion does not fit the branches of the pool.
    """
    taken, table, rows = candidate_table(pool, fusion)
    scores = np.full(len(pool.doc_nums), -np.inf)
    if len(taken):
        scores[taken] = fuse_table(table, fusion, [pool.branches[row] for row in rows])
    return scores


def contributions(pool: Pool, fusion: Fusion) -> FloatArray:
    """Return each branch's part of the fused score, float64 (branches, n), rows as in the pool.

    The parts add up to ``fuse`` for every candidate; a document that is no candidate has 0.
    """
    taken, table, rows = candidate_table(pool, fusion)
    parts = np.zeros((len(pool.branches), len(pool.doc_nums)))
    if len(taken):
        names = [pool.branches[row] for row in rows]
        parts[np.ix_(rows, taken)] = combine(table, fusion, names)
    return parts


def fuse_table(table: CandidateTable, fusion: Fusion, names: list[str]) -> FloatArray:
    """Return the fused score of every candidate of a table whose rows are ``names``."""
    fused = np.asarray(combine(table, fusion, names).sum(axis=0))
    if fusion.breaks_ties:
        return _break_ties(table, fused, normalise(table, fusion.norm).mean(axis=0))
    return fused


def rank(pool: Pool, fused: FloatArray, k: int) -> Run:
    """Return the run of the ``k`` best candidates of each query by ``fused``, float64 (n,).

    Scores are compared in float32; ties fall by doc_id descending, which is doc_num ascending.

    Raises:
        UsageError: ``k`` is less than 1, or ``fused`` has another length than the pool.
    """
    return ranked_run(pool, fused, *best_positions(pool, fused, k))


def best_positions(
    pool: Pool, fused: FloatArray, k: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions of the ``k`` best candidates of each query, and its offsets among them.

    Raises: as `rank`.
    """
    if k < 1:
        raise UsageError(f"k is {k}; give 1 or more")
    if fused.shape != pool.doc_nums.shape:
        raise UsageError(
            f"fused scores have shape {fused.shape}, the pool has {len(pool.doc_nums)} candidates; "
            "give one score for each"
        )
    order, starts = ranked_positions(fused.astype(np.float32), pool.offsets)
    place = np.arange(len(order)) - np.repeat(starts[:-1], np.diff(starts))
    ends = np.cumsum(np.minimum(np.diff(starts), k))
    return order[place < k], np.concatenate([[0], ends]).astype(np.int64)


def ranked_run(
    pool: Pool, fused: FloatArray, best: NDArray[np.int64], offsets: NDArray[np.int64]
) -> Run:
    """Return the run of the candidates at positions, as `best_positions` gives them."""
    doc_ids, values = ids_of(pool.doc_ids, pool.doc_nums[best]), fused[best].astype(np.float32)
    lists = list(pairwise(offsets.tolist()))
    # Run says where a score is not finite, and orders the ids of a pool that was made by hand.
    in_order = isinstance(pool.doc_ids, TakesIds) and np.isfinite(values).all()
    make = Run.ordered if in_order else Run
    return make(pool.query_ids, [doc_ids[a:b] for a, b in lists], [values[a:b] for a, b in lists])


def ranked_positions(
    scores: NDArray[np.float32], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return positions of the candidates best first, and the offsets of each query among them.

    Candidates of score -inf are left out. Of equal scores the first comes first.
    """
    # The bits of a float32 above 0 rise as it does, those of one below 0 as it falls. Keys of a
    # score and its place are all different, so that a fast sort, which is not stable, will do.
    bits = (scores + np.float32(0)).view(np.uint32)
    falling = np.where(scores < 0, bits, np.uint32(0x7FFFFFFF) - bits)
    keys = (falling.astype(np.uint64) << 32) | np.arange(len(scores), dtype=np.uint64)
    keys[~(scores > -np.inf)] = LAST
    for start, stop in pairwise(offsets.tolist()):
        keys[start:stop].sort()
    kept = keys != LAST
    before = np.concatenate([[0], np.cumsum(kept)])
    return (keys[kept] & 0xFFFFFFFF).astype(np.int64), before[offsets].astype(np.int64)


def candidate_table(
    pool: Pool, fusion: Fusion
) -> tuple[NDArray[np.int64], CandidateTable, NDArray[np.int64]]:
    """Return the positions of a fusion's candidates, their table, and the rows of its branches."""
    names = fusion.branch_names(pool.branches)
    rows = np.array([pool.branch(name) for name in names], dtype=np.int64)
    taken, table = pool_table(pool, rows, fusion.depth)
    return taken, table, rows


def pool_table(
    pool: Pool, rows: NDArray[np.int64], depth: int | None = None
) -> tuple[NDArray[np.int64], CandidateTable]:
    """Return the positions that one of ``rows`` retrieved, within ``depth``, and their table."""
    ranks = pool.ranks[rows]
    if depth is not None and depth < pool.depth:
        ranks = np.where(ranks <= depth, ranks, np.int32(0))
    eligible = np.asarray((ranks > 0).any(axis=0), dtype=bool)
    taken = np.flatnonzero(eligible)
    before = np.concatenate([[0], np.cumsum(eligible)])
    scores = pool.scores[rows].astype(np.float64)
    if len(taken) < ranks.shape[1]:
        ranks, scores = ranks[:, taken], scores[:, taken]
    table = CandidateTable(
        offsets=before[pool.offsets].astype(np.int64),
        scores=scores,
        known=np.ones(scores.shape, dtype=bool),
        ranks=ranks,
        minimum=pool.minimum[rows].astype(np.float64),
    )
    return taken, table


def _break_ties(table: CandidateTable, fused: FloatArray, second: FloatArray) -> FloatArray:
    """Return ``fused`` in float32 steps such that ties fall by ``second``, descending.

    The score of a tied document is raised by as many float32 steps as it has tied documents below
    it, the least change that a float32 run can carry.
    """
    primary = fused.astype(np.float32)
    query = np.repeat(np.arange(len(table.lengths)), table.lengths)
    order = np.lexsort((second, primary, query))
    # The bits of a float32 of 0 or more, read as an integer, count its steps from 0.
    steps = primary[order].view(np.int32).astype(np.int64)
    keys = np.stack([query[order], second[order], primary[order]])
    same = np.concatenate([[False], (keys[:, 1:] == keys[:, :-1]).all(axis=0)])
    rise = np.cumsum(~same)
    base = query[order] * (1 << 33)
    lifted = np.maximum.accumulate(steps - rise + base) + rise - base
    result = np.empty(len(fused))
    result[order] = lifted.astype(np.int32).view(np.float32)
    return result
