"""Measures of ranked lists of numbers: judgments numbered once, then no string at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.evaluate.judged import ideal_divisors
from hybrid.evaluate.names import array_measure

FloatArray = NDArray[np.float64]


class ListScorer:
    """Judgments as numbers, for lists of doc_nums as an index returns them.

    Args:
        qrels: ``{query_id: {doc_id: grade}}``; every query of ``query_ids`` must be judged.
        query_ids: the query of each list.
        doc_nums: doc_id to doc_num; judged documents outside it count as not retrieved.
        measure: nDCG@k, R@k, RR@k, AP, P@k or Success@k.

    Raises:
        UsageError: a query without judgments, or an unknown measure.
    """

    def __init__(
        self,
        qrels: Mapping[str, Mapping[str, int]],
        query_ids: Sequence[str],
        doc_nums: Mapping[str, int],
        measure: str = "nDCG@10",
    ) -> None:
        self.measure = array_measure(measure)
        missing = [query for query in query_ids if query not in qrels]
        if missing:
            raise UsageError(f"query {missing[0]!r} has no judgments; leave it out of the lists")
        least = 1 if self.measure.kind == 0 else max(1, self.measure.relevance)
        rows = [
            sorted((doc_nums[d], g) for d, g in qrels[q].items() if g >= least and d in doc_nums)
            for q in query_ids
        ]
        self._offsets = np.cumsum([0, *map(len, rows)]).astype(np.int64)
        self._judged = np.array([d for row in rows for d, _ in row], dtype=np.int32)
        self._gains = np.array([g for row in rows for _, g in row], dtype=np.float64)
        grades = [np.array(sorted(qrels[q].values(), reverse=True), float) for q in query_ids]
        self._ideals = ideal_divisors([g[g > 0] for g in grades], self.measure)

    def __call__(self, doc_nums: NDArray[np.int32]) -> FloatArray:
        """Return the measure of each list, float64 (queries,); lists are (queries, k), -1 ends."""
        from .kernel import measure_lists

        if doc_nums.ndim != 2 or len(doc_nums) != len(self._ideals):
            raise UsageError(
                f"lists have shape {doc_nums.shape}, expected ({len(self._ideals)}, k)"
            )
        values = np.zeros(len(doc_nums))
        measure_lists(
            doc_nums,
            self._offsets,
            self._judged,
            self._gains,
            self.measure.kind,
            self.measure.cutoff,
            self._ideals,
            values,
        )
        return values
