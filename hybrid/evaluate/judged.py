"""Judged: a pool with the grades of its candidates, measured in arrays, without one string.

The measures equal those of trec_eval: the same ordering rule, linear gains, the mean over every
judged query, a query without results counting 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus.judged import checked_qrels
from hybrid.errors import UsageError
from hybrid.evaluate.names import ArrayMeasure, array_measure
from hybrid.fusion.pool import Pool

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """The judged queries of a pool, and their relevant documents (grade above 0) in CSR layout.

    Attributes:
        pool: one query for each judged query, in the order of the pool; those that the pool lacks
            follow with no candidate.
        offsets: int64 (queries + 1,), over the relevant candidates.
        positions: int64 (relevant,), where each lies in the pool, rising.
        grades: float64 (relevant,).
        all_grades: for each query the grades of all its relevant documents, falling, whether or
            not they are candidates.
    """

    pool: Pool
    offsets: NDArray[np.int64]
    positions: NDArray[np.int64]
    grades: FloatArray
    all_grades: tuple[FloatArray, ...]

    def __len__(self) -> int:
        return len(self.pool)

    def select(self, queries: Sequence[int] | NDArray[np.int64]) -> Judged:
        """Return some queries, by position: folds and splits."""
        pool = self.pool.select(queries)
        chosen = [slice(self.offsets[i], self.offsets[i + 1]) for i in queries]
        lengths = [part.stop - part.start for part in chosen]
        moved = [
            self.positions[part] - self.pool.offsets[i] + pool.offsets[j]
            for j, (i, part) in enumerate(zip(queries, chosen, strict=True))
        ]
        return Judged(
            pool,
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            np.concatenate([np.zeros(0, np.int64), *moved]),
            np.concatenate([np.zeros(0), *(self.grades[part] for part in chosen)]),
            tuple(self.all_grades[i] for i in queries),
        )

    def relevant(self, measure: str) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray]:
        """Return (offsets, positions, gains) of the documents that ``measure`` counts."""
        known = array_measure(measure)
        if known.graded or known.relevance <= 1:
            return self.offsets, self.positions, self.grades
        kept = self.grades >= known.relevance
        before = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        return before[self.offsets], self.positions[kept], self.grades[kept]

    def ideals(self, measure: str) -> FloatArray:
        """Return each query's divisor, (queries,): ideal discounted gain, or relevant documents."""
        return ideal_divisors(self.all_grades, array_measure(measure))


def ideal_divisors(grades: Sequence[FloatArray], measure: ArrayMeasure) -> FloatArray:
    """Return each query's divisor from its falling grades: ideal gain, or relevant documents."""
    if not measure.graded:
        counts = [(row >= measure.relevance).sum() for row in grades]
        return np.array(counts, dtype=np.float64)
    ideals = np.zeros(len(grades))
    for i, row in enumerate(grades):
        best = row[: measure.cutoff or None]
        ideals[i] = (best / np.log2(np.arange(2, len(best) + 2))).sum()
    return ideals


def judge(pool: Pool, qrels: Mapping[str, Mapping[str, int]]) -> Judged:
    """Return the judged queries of ``pool`` with the grades of their candidates.

    Queries without judgments are left out; judged queries that the pool lacks are added, empty.

    Raises:
        UsageError: no query of the pool is judged.
    """
    qrels = checked_qrels(qrels)
    kept = [i for i, query_id in enumerate(pool.query_ids) if query_id in qrels]
    if not kept:
        raise UsageError(
            f"none of the {len(pool)} queries is judged; the judgments name "
            f"{', '.join(map(repr, list(qrels)[:3])) or 'no query'}"
        )
    chosen = _with_absent(pool.select(kept), [q for q in qrels if q not in set(pool.query_ids)])
    offsets, positions, grades, everything = [0], [], [], []
    for i, query_id in enumerate(chosen.query_ids):
        start, stop = int(chosen.offsets[i]), int(chosen.offsets[i + 1])
        judged = {d: g for d, g in qrels[query_id].items() if g > 0}
        found = []
        for doc_id, grade in judged.items():
            place = _place(chosen, doc_id, start, stop)
            if place >= 0:
                found.append((place, grade))
        found.sort()
        positions += [place for place, _ in found]
        grades += [float(grade) for _, grade in found]
        offsets.append(len(positions))
        everything.append(np.array(sorted(judged.values(), reverse=True), dtype=np.float64))
    return Judged(
        chosen,
        np.array(offsets, dtype=np.int64),
        np.array(positions, dtype=np.int64),
        np.array(grades, dtype=np.float64),
        tuple(everything),
    )


def _with_absent(pool: Pool, absent: Sequence[str]) -> Pool:
    if not absent:
        return pool
    end = np.full(len(absent), pool.offsets[-1], dtype=np.int64)
    return replace(
        pool,
        query_ids=(*pool.query_ids, *absent),
        offsets=np.concatenate([pool.offsets, end]),
    )


def _place(pool: Pool, doc_id: str, start: int, stop: int) -> int:
    """Return where ``doc_id`` lies among a query's candidates, or -1: doc_ids fall, so bisect."""
    low, high = start, stop
    while low < high:
        middle = (low + high) // 2
        if pool.doc_ids[int(pool.doc_nums[middle])] > doc_id:
            low = middle + 1
        else:
            high = middle
    found = low < stop and pool.doc_ids[int(pool.doc_nums[low])] == doc_id
    return low if found else -1


def measure_scores(judged: Judged, fused: FloatArray, measure: str) -> FloatArray:
    """Return the measure of each judged query, float64 (queries,), for fused scores (n,).

    Raises:
        UsageError: the measure is not one of nDCG, R, RR, AP, P, Success.
    """
    return ArrayScorer(judged, measure)(fused)


class ArrayScorer:
    """One measure over one judged pool, its constants computed once, called for many fusions.

    Attributes:
        measure: what is computed.
        judged: over which queries.
        offsets, positions, gains: the documents that the measure counts, as ``Judged.relevant``.
        ideals: float64 (queries,), each query's divisor.
    """

    def __init__(self, judged: Judged, measure: str) -> None:
        from hybrid.kernels.measures.measures import linear_ranks, measure_queries, relevant_ranks

        self.measure = array_measure(measure)
        self.judged = judged
        self.offsets, self.positions, self.gains = judged.relevant(measure)
        self.ideals = judged.ideals(measure)
        self._rank, self._linear, self._value = relevant_ranks, linear_ranks, measure_queries

    def ranks(self, fused: FloatArray) -> NDArray[np.int64]:
        """Return the rank of each relevant candidate, int64 (relevant,); 0 if not retrieved."""
        ranks = np.zeros(len(self.positions), dtype=np.int64)
        scores = np.ascontiguousarray(fused, dtype=np.float32)
        self._rank(scores, self.judged.pool.offsets, self.offsets, self.positions, ranks)
        return ranks

    def __call__(self, fused: FloatArray) -> FloatArray:
        """Return the measure of each query, float64 (queries,)."""
        return self._values(self.ranks(fused))

    def linear(self, weights: FloatArray, features: FloatArray) -> FloatArray:
        """Return the measure of each query for the scores sum of w_b x_b, float64 (queries,).

        Args:
            weights: (branches,).
            features: (branches, n), finite.
        """
        ranks = np.zeros(len(self.positions), dtype=np.int64)
        offsets, cutoff = self.judged.pool.offsets, self.measure.cutoff
        self._linear(weights, features, offsets, self.offsets, self.positions, cutoff, ranks)
        return self._values(ranks)

    def _values(self, ranks: NDArray[np.int64]) -> FloatArray:
        values = np.zeros(len(self.judged))
        kind, cutoff = self.measure.kind, self.measure.cutoff
        self._value(kind, cutoff, self.offsets, ranks, self.gains, self.ideals, values)
        return values
