"""Queries answered by the kernel in threads: over one segment, or over many with one threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from hybrid.index.documents.subset import Subset
from hybrid.index.sparse.combine import combine_postings, group_segments
from hybrid.index.sparse.queries import compiled
from hybrid.kernels.sparse import planner, search
from hybrid.kernels.sparse.layout import Postings
from hybrid.kernels.sparse.table import Table, table_of
from hybrid.machine import threads as shared
from hybrid.machine.arrays import Floats, Ints

PATHS = {"auto": planner.AUTO, "exhaustive": planner.EXHAUSTIVE, "pruned": planner.PRUNED}


@dataclass(frozen=True, eq=False)
class PostingsSearcher:
    """The postings of one compiled call, small segments combined and the largest first.

    Attributes:
        postings: whoever holds the table must hold these, too: it has their addresses.
        table: where they lie.
        groups: of each of the ``postings``, the segments that are in it.
        frequencies: how many documents of all segments each term is in.
        together: see `planner.pays`.
        doc_count: live documents.
    """

    postings: list[Postings]
    table: Table
    groups: list[list[int]]
    frequencies: Ints
    together: float
    doc_count: int

    @classmethod
    def of(
        cls, segments: Sequence[Postings], frequencies: Ints, doc_count: int
    ) -> PostingsSearcher:
        """Return the searcher of segments whose ``order`` holds doc_nums, -1 for a deleted one.

        ``together`` is the geometric mean of all documents, and of those in the segment of an
        average one: where a segment holds a tenth of them, a query's best lie in some three times
        the tiles.
        """
        groups = group_segments(segments)
        postings = [segments[group[0]] for group in groups]
        several = [at for at, group in enumerate(groups) if len(group) > 1]

        def combine(number: int) -> None:
            at = several[number]
            postings[at] = combine_postings([segments[each] for each in groups[at]])

        shared.each(combine, len(several), 0)
        order = sorted(range(len(postings)), key=lambda at: -len(postings[at].order))
        ordered = [postings[at] for at in order]
        sizes = np.array([len(each.order) for each in segments], dtype=np.float64)
        return cls(
            ordered,
            table_of(ordered),
            [groups[at] for at in order],
            frequencies,
            float(np.sqrt((sizes**2).sum())),
            doc_count,
        )

    def search(
        self,
        queries: csr_matrix,
        k: int,
        *,
        threads: int = 0,
        path: str = "auto",
        within: Subset | None = None,
    ) -> tuple[Ints, Floats]:
        """Return (doc_nums, scores), both (queries, k), padded with -1 and -inf.

        Args:
            queries: checked.
            k: at least 1.
            threads: queries answered at once; 0 means one a core.
            path: ``auto``, or one way for all queries.
            within: the documents that may be hits, by its mask.
        """
        nums = np.empty((queries.shape[0], k), dtype=np.int32)
        scores = np.empty((queries.shape[0], k), dtype=np.float32)
        depth = min(k, self.doc_count)
        allowed: tuple[Any, ...] = ()
        if within is not None:
            depth = min(depth, len(within))
            allowed = within.mask, depth * self.doc_count // max(len(within), 1)
        given = self.table, self.frequencies, self.together, *compiled(queries)
        way = PATHS[path], depth, nums, scores, *allowed

        def answer(first: int, last: int) -> None:
            search.answer(*given, first, last, *way)

        shared.in_slices(answer, len(nums), threads)
        return nums, scores
