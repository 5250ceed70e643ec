"""Bench: the measure of any fusion for each judged query, what fusions share computed once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.evaluate.judged import ArrayScorer, Judged
from hybrid.fusion import Fusion, cc, single
from hybrid.fusion.apply import fuse_table, pool_table
from hybrid.fusion.methods import combine
from hybrid.fusion.norms import normalise
from hybrid.fusion.table import Table

FloatArray = NDArray[np.float64]
REMEMBERED = 16


@dataclass(frozen=True)
class View:
    """The candidates of one set of branches, judged.

    Attributes:
        names: the branches.
        table: their candidates, within a depth.
        scorer: measures an array of fused scores over those candidates.
    """

    names: tuple[str, ...]
    table: Table
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
        self._views: dict[tuple[tuple[str, ...], int | None], View] = {}
        self._features: dict[tuple[tuple[str, ...], int | None, str], FloatArray] = {}
        self._values: dict[str, FloatArray] = {}

    def view(self, names: tuple[str, ...], depth: int | None = None) -> View:
        """Return the candidates of a set of branches, the first ``depth`` of each."""
        key = (names, depth)
        if key not in self._views:
            rows = np.array([self.judged.pool.branch(name) for name in names])
            taken, table = pool_table(self.judged.pool, rows, depth)
            scorer = ArrayScorer(_narrowed(self.judged, taken, table), self.measure)
            self._views[key] = View(names, table, scorer)
        return self._views[key]

    def normalised(self, names: tuple[str, ...], norm: str, depth: int | None = None) -> FloatArray:
        """Return normalised scores of a set of branches, float64 (branches, candidates)."""
        key = (names, depth, norm)
        if key not in self._features:
            self._features[key] = normalise(self.view(names, depth).table, norm)
        return self._features[key]

    def values(self, fusion: Fusion) -> FloatArray:
        """Return the measure of each judged query, float64 (queries,); do not write to it."""
        key = str(fusion)
        if key not in self._values:
            names = fusion.branch_names(self.branches)
            view = self.view(names, fusion.depth)
            features = self._linear_features(fusion, names)
            if features is not None:
                weights = fusion.branch_weights(names)
                shares = weights / weights.sum() if fusion.method == "cc" else weights
                found = view.scorer.linear(shares, features)
            else:
                found = view.scorer(fuse_table(view.table, fusion, list(names)))
            found.setflags(write=False)
            self._values[key] = found
        return self._values[key]

    def _linear_features(self, fusion: Fusion, names: tuple[str, ...]) -> FloatArray | None:
        """Return what the weights of a fusion multiply, or None where it is no weighted sum."""
        if fusion.method == "cc":
            return self.normalised(names, fusion.norm, fusion.depth)
        if fusion.method != "rrf" or fusion.norm:
            return None
        key = (names, fusion.depth, f"k={fusion.parameter('k')!r}")
        if key not in self._features:
            if len(self._features) > REMEMBERED:
                self._features.clear()
            view = self.view(names, fusion.depth)
            plain = Fusion("rrf", fusion.parameters)
            self._features[key] = combine(view.table, plain, np.ones(len(names)))
        return self._features[key]


def weighted_sum(weights: FloatArray, features: FloatArray) -> FloatArray:
    """Return sum of w_b x_b, float64 (n,), added branch by branch: the same bits as ``fuse``."""
    fused: FloatArray = weights[0] * features[0]
    for weight, row in zip(weights[1:], features[1:], strict=True):
        fused += weight * row
    return fused


def _narrowed(judged: Judged, taken: NDArray[np.int64], table: Table) -> Judged:
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


class PerQuery(Protocol):
    """Anything that measures a fusion for each judged query; ``tune.bench.Bench`` does."""

    judged: Judged
    measure: str

    def values(self, fusion: Fusion) -> NDArray[np.float64]: ...


def headroom(bench: PerQuery) -> dict[str, float]:
    """Return the mean of the best branch, and of three oracles that choose for each query.

    "branch oracle" takes the better branch, "weight oracle" (two branches) the best of 21 weights
    under min-max, and "pool oracle" the best order of all candidates.
    """
    from hybrid.evaluate.judged import ArrayScorer

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
