"""Fusion of plain runs, such as TREC files, whose scores are known only where a run retrieved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from hybrid.errors import UsageError, given, whole_number
from hybrid.fusion.apply import fuse_table, ranked_positions
from hybrid.fusion.run import Run
from hybrid.fusion.table import CandidateTable
from hybrid.fusion.values import Fusion


@dataclass(frozen=True)
class RunTable:
    """Several runs over their united queries and documents.

    Attributes:
        names: one a run; the branches of a fusion.
        query_ids: in the order in which the runs first name them.
        table: candidates, doc_id descending within a query.
        doc_ids: doc_id of each candidate.
    """

    names: tuple[str, ...]
    query_ids: tuple[str, ...]
    table: CandidateTable
    doc_ids: tuple[str, ...]

    @classmethod
    def from_runs(
        cls,
        runs: Mapping[str, Run],
        *,
        minimum: Mapping[str, float] | None = None,
        depth: int | None = None,
    ) -> RunTable:
        """Return the table of ``{name: run}``; ``minimum`` is the least possible score, else 0.

        Of each run the first ``depth`` documents of a query count, all where None.

        A query that a run lacks counts as an empty list of that run.

        Raises:
            UsageError: no run.
        """
        if not runs:
            raise UsageError("there is no run to fuse; give at least one")
        queries = tuple(dict.fromkeys(query for run in runs.values() for query in run))
        lists = [
            [run.doc_ids(q)[:depth] if q in run else () for q in queries] for run in runs.values()
        ]
        candidates = [
            sorted({doc_id for row in lists for doc_id in row[i]}, reverse=True)
            for i in range(len(queries))
        ]
        offsets = np.concatenate([[0], np.cumsum([len(c) for c in candidates])]).astype(np.int64)
        shape = (len(runs), int(offsets[-1]))
        scores, ranks = np.zeros(shape), np.zeros(shape, dtype=np.int32)
        for b, run in enumerate(runs.values()):
            for i, query in enumerate(queries):
                place = {doc_id: offsets[i] + j for j, doc_id in enumerate(candidates[i])}
                found = [place[doc_id] for doc_id in lists[b][i]]
                if found:
                    scores[b, found] = run.scores(query)[:depth]
                    ranks[b, found] = np.arange(1, len(found) + 1)
        lows = np.array([(minimum or {}).get(name, 0.0) for name in runs])
        return cls(
            names=tuple(runs),
            query_ids=queries,
            table=CandidateTable(offsets, scores, ranks > 0, ranks, lows),
            doc_ids=tuple(doc_id for row in candidates for doc_id in row),
        )


def fuse_runs(
    runs: Mapping[str, Run],
    fusion: Fusion,
    k: int = 1000,
    *,
    minimum: Mapping[str, float] | None = None,
) -> Run:
    """Return the ``k`` best documents of each query over ``{name: run}``.

    Args:
        runs: the names are the branches that ``fusion`` may name.
        fusion: how to combine; a missing score counts 0 after normalisation.
        k: cutoff of the result.
        minimum: the least score that each run's system can give, for ``tmm``; 0 where not given.

    Raises:
        UsageError: no run, a fusion that does not fit, ``k`` below 1, or a least score of no run.

    >>> a = Run.from_dict({"q": {"x": 2.0, "y": 1.0}})
    >>> b = Run.from_dict({"q": {"y": 9.0, "z": 8.0}})
    >>> [hit.doc_id for hit in fuse_runs({"a": a, "b": b}, Fusion.parse("rrf(k=60)"))["q"]]
    ['y', 'x', 'z']
    """
    k = whole_number("k", k)
    if not isinstance(runs, Mapping) or not all(isinstance(run, Run) for run in runs.values()):
        raise UsageError(f"for runs, {given(runs)} was given; give {{name: Run}}")
    for name, least in (minimum or {}).items():
        if name not in runs or not np.isfinite(least):
            raise UsageError(
                f"the least score {name}={least} is of no run, or no number; the runs are "
                f"{', '.join(runs)}"
            )
    names = fusion.branch_names(tuple(runs))
    chosen = {name: runs[name] for name in names}
    united = RunTable.from_runs(chosen, minimum=minimum, depth=fusion.depth)
    scores = fuse_table(united.table, fusion, list(names)).astype(np.float32)
    order, starts = ranked_positions(scores, united.table.offsets)
    doc_ids, values = [], []
    for start, stop in pairwise(starts.tolist()):
        best = order[start : min(stop, start + k)]
        doc_ids.append([united.doc_ids[i] for i in best])
        values.append(scores[best])
    return Run(united.query_ids, doc_ids, values)
