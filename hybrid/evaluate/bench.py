"""Bench: the measure of any fusion for each judged query; shared work is done once."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hybrid.evaluate.judged import ArrayScorer, Judged
from hybrid.fusion import Fusion, cc, single
from hybrid.fusion.apply import fuse_table, pool_table
from hybrid.fusion.methods import features
from hybrid.fusion.table import CandidateTable

FloatArray = NDArray[np.float64]
REMEMBERED = 16


@dataclass(frozen=True)
class JudgedCandidates:
    """The candidates of one set of branches, judged.

    Attributes:
        names: the branches.
        table: their candidates, within a depth.
        scorer: measures an array of fused scores over those candidates.
    """

    names: tuple[str, ...]
    table: CandidateTable
    scorer: ArrayScorer


class Bench:
    """Per-query values of fusions over one judged pool; remembers what it computed.

    Args:
        judged: the queries, all of them; folds are taken from the values.
        measure: an ir_measures name that arrays can compute.
    """

    def __init__(self, judged: Judged, measure: str) -> None:
        self.judged = judged
        self.measure = measure
        self.branches = judged.pool.branches
        self._candidates: dict[tuple[tuple[str, ...], int | None], JudgedCandidates] = {}
        self._features: dict[Hashable, FloatArray | None] = {}
        self._values: dict[str, FloatArray] = {}

    def candidates(self, names: tuple[str, ...], depth: int | None = None) -> JudgedCandidates:
        """Return the candidates of a set of branches, the first ``depth`` of each."""
        key = (names, depth)
        if key not in self._candidates:
            rows = np.array([self.judged.pool.branch(name) for name in names])
            taken, table = pool_table(self.judged.pool, rows, depth)
            scorer = ArrayScorer(_narrowed(self.judged, taken, table), self.measure)
            self._candidates[key] = JudgedCandidates(names, table, scorer)
        return self._candidates[key]

    def features(self, fusion: Fusion) -> FloatArray | None:
        """Return the factors of the branches' shares, float64 (branches, candidates).

        None where the fusion is no such sum; what weights it has does not matter.
        """
        names = fusion.branch_names(self.branches)
        key = (names, fusion.depth, fusion.method, fusion.parameters, fusion.norm)
        if key not in self._features:
            if len(self._features) > REMEMBERED:
                self._features.clear()
            self._features[key] = features(self.candidates(names, fusion.depth).table, fusion)
        return self._features[key]

    def values(self, fusion: Fusion) -> FloatArray:
        """Return the measure of each judged query, float64 (queries,); do not write to it."""
        key = str(fusion)
        if key not in self._values:
            names = fusion.branch_names(self.branches)
            taken = self.candidates(names, fusion.depth)
            summed = None if fusion.breaks_ties else self.features(fusion)
            if summed is not None:
                found = taken.scorer.linear(fusion.branch_shares(names), summed)
            else:
                found = taken.scorer(fuse_table(taken.table, fusion, list(names)))
            found.setflags(write=False)
            self._values[key] = found
        return self._values[key]


def weighted_sum(weights: FloatArray, features: FloatArray) -> FloatArray:
    """Return sum of w_b x_b, float64 (n,), added branch by branch: the same bits as ``fuse``."""
    fused: FloatArray = weights[0] * features[0]
    for weight, row in zip(weights[1:], features[1:], strict=True):
        fused += weight * row
    return fused


def _narrowed(judged: Judged, taken: NDArray[np.int64], table: CandidateTable) -> Judged:
    """Return ``judged`` over the ``taken`` candidates alone."""
    pool = judged.pool
    if len(taken) == len(pool.doc_nums):
        return judged
    place = np.full(len(pool.doc_nums), -1, dtype=np.int64)
    place[taken] = np.arange(len(taken))
    moved = place[judged.positions]
    kept = moved >= 0
    before = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    smaller = replace(
        pool,
        offsets=table.offsets,
        doc_nums=pool.doc_nums[taken],
        scores=pool.scores[:, taken],
        ranks=pool.ranks[:, taken],
    )
    return Judged(
        smaller, before[judged.offsets], moved[kept], judged.grades[kept], judged.all_grades
    )


STEPS = 21


def headroom(bench: Bench) -> dict[str, float]:
    """Return the mean of the best branch, and of three oracles that choose for each query.

    "branch oracle" takes the better branch, "weight oracle" (two branches) the best of 21 weights
    under min-max, and "pool oracle" the best order of all candidates.
    """
    judged = bench.judged
    branches = judged.pool.branches
    alone = np.stack([bench.values(single(name)) for name in branches])
    found = {
        "best branch": float(alone.mean(axis=1).max()),
        "branch oracle": float(alone.max(axis=0).mean()),
    }
    if len(branches) == 2:
        weights = np.linspace(0, 1, STEPS)
        mixed = np.stack([bench.values(cc(round(float(w), 2), norm="minmax")) for w in weights])
        found["weight oracle"] = float(mixed.max(axis=0).mean())
    ideal = np.zeros(len(judged.pool.doc_nums))
    ideal[judged.positions] = judged.grades
    found["pool oracle"] = float(ArrayScorer(judged, bench.measure)(ideal).mean())
    return found
