"""Fusion of ranked lists of numbers: what an index returns, with no pool and no string."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.fusion.apply import fuse_table
from hybrid.fusion.pool import BranchHits
from hybrid.fusion.table import CandidateTable
from hybrid.fusion.values import Fusion

SIGN = np.int32(-(2**31))
LAST = np.iinfo(np.int64).max


def fuse_lists(
    hits: Mapping[str, BranchHits],
    fusion: Fusion,
    k: int,
    *,
    minimum: Mapping[str, float] | None = None,
) -> BranchHits:
    """Return the ``k`` best documents of each query over ``{branch: hits}``, padded -1 and -inf.

    A score that a branch did not return counts as in ``fuse_runs``, which gives the same result
    from strings. Ties fall by doc_num ascending.

    Args:
        hits: for each branch doc_nums int32 and scores float32, both (queries, depth), in order.
        fusion: how to combine.
        k: cutoff of the result.
        minimum: the least score that each branch can give, for ``tmm``; 0 where not given.

    Raises:
        UsageError: shapes differ in queries, ``k`` is below 1, or the fusion does not fit.
    """
    if k < 1:
        raise UsageError(f"k is {k}; give 1 or more")
    names = fusion.branch_names(tuple(hits))
    doc_nums, scores = _stacked([_first(hits[name], fusion.depth) for name in names])
    table, united = _united(doc_nums, scores, [(minimum or {}).get(name, 0.0) for name in names])
    fused = fuse_table(table, fusion, list(names)).astype(np.float32)
    return _best(fused, united, table.offsets, k)


def _first(hits: BranchHits, depth: int | None) -> BranchHits:
    return hits if depth is None else BranchHits(hits.doc_nums[:, :depth], hits.scores[:, :depth])


def _stacked(hits: list[BranchHits]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    queries = {len(found.doc_nums) for found in hits}
    if len(queries) != 1:
        raise UsageError(
            f"the lists have {sorted(queries)} queries; give each branch the same queries"
        )
    width = max(found.doc_nums.shape[1] for found in hits)
    shape = (len(hits), queries.pop(), width)
    doc_nums = np.full(shape, -1, dtype=np.int32)
    scores = np.full(shape, -np.inf, dtype=np.float32)
    for row, found in enumerate(hits):
        doc_nums[row, :, : found.doc_nums.shape[1]] = found.doc_nums
        scores[row, :, : found.scores.shape[1]] = found.scores
    return doc_nums, scores


def _united(
    doc_nums: NDArray[np.int32], scores: NDArray[np.float32], minimum: list[float]
) -> tuple[CandidateTable, NDArray[np.int32]]:
    from .kernel import unite_lists

    lists, queries, _ = doc_nums.shape
    offsets = np.zeros(queries + 1, dtype=np.int64)
    united = np.zeros(doc_nums.size, dtype=np.int32)
    table = np.zeros((lists, doc_nums.size))
    ranks = np.zeros((lists, doc_nums.size), dtype=np.int32)
    size = int(doc_nums.max(initial=0)) + 1
    unite_lists(doc_nums, scores, size, offsets, united, table, ranks)
    end = int(offsets[-1])
    kept = ranks[:, :end]
    lows = np.array(minimum)
    return CandidateTable(offsets, table[:, :end], kept > 0, kept, lows), united[:end]


def _best(
    fused: NDArray[np.float32],
    united: NDArray[np.int32],
    offsets: NDArray[np.int64],
    k: int,
) -> BranchHits:
    """Return the ``k`` best of each segment: one sort of integers, score above doc_num."""
    lengths = np.diff(offsets)
    width = int(lengths.max(initial=0))
    # Bits of a float32 as an integer rise with its value once negative ones are flipped; the
    # complement puts the best score first, and the doc_num below it breaks ties upwards.
    bits = (fused + np.float32(0)).view(np.int32)
    rising = np.where(bits < 0, SIGN - bits, bits)
    keys = (-rising.astype(np.int64) << 32) | united
    padded = np.full((len(lengths), width), LAST)
    padded[np.arange(width) < lengths[:, None]] = keys
    if 4 * k < width:
        padded = np.partition(padded, k - 1, axis=1)[:, :k]
    padded.sort(axis=1)
    padded = padded[:, :k]
    empty = padded == LAST
    found = -(padded >> 32)
    back = np.where(found < 0, np.int64(SIGN) - found, found).astype(np.int32)
    scores = np.where(empty, -np.inf, back.view(np.float32))
    doc_nums = np.where(empty, -1, padded & 0xFFFFFFFF).astype(np.int32)
    full = np.full((len(lengths), k), -1, dtype=np.int32)
    values = np.full((len(lengths), k), -np.inf, dtype=np.float32)
    full[:, : padded.shape[1]], values[:, : padded.shape[1]] = doc_nums, scores
    return BranchHits(full, values)
