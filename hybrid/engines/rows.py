"""The rows of a branch in an engine: it finds candidates, their scores are computed here.

An engine adds up in an order of its own. So more rows than asked for are fetched with their
vectors and scored as the branch of a folder scores them, to the bit. Where the worst of them could
still be as good as one of the list, twice as many are fetched.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hybrid.engines.store import Store
from hybrid.errors import UsageError
from hybrid.index.dense.brute_force import margin
from hybrid.index.dense.vector import checked_queries
from hybrid.index.documents.subset import Subset, SubsetLike, checked_doc_nums
from hybrid.index.records import BranchKind
from hybrid.index.sparse.queries import checked
from hybrid.kernels.dense import products
from hybrid.machine.arrays import Floats, Ints

SLACK = 32
ROUNDING = 2e-5
"""Of a sparse score: no engine's sum of products that are not negative is farther off."""


class EngineRows:
    """The rows of one branch; see `hybrid.index.records.Branch`.

    Args:
        store: where they are.
        name: of the branch.
        kind: of the branch.
        row_count: documents, or passages.
    """

    def __init__(self, store: Store, name: str, kind: BranchKind, row_count: int) -> None:
        self._store, self._name, self._kind = store, name, kind
        self.doc_count = row_count
        described = store.content["vectors"][name]
        self._width, self._largest = int(described["width"]), float(described["largest_norm"])

    def search(
        self, queries: Any, k: int, *, threads: int = 0, subset: SubsetLike | None = None
    ) -> tuple[Ints, Floats]:
        """Return (doc_nums, scores), both (queries, k), padded with -1 and -inf.

        Args:
            queries: CSR or float32 (queries, width).
            k: at least 1.
            threads: has no effect: an engine chooses for itself.
            subset: as for the branch of a folder, or a `Selected`.
        """
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1")
        queries = self._checked(queries)
        within = None if subset is None else Subset.of(subset, self.doc_count)
        nums = np.full((queries.shape[0], k), -1, dtype=np.int32)
        scores = np.full((queries.shape[0], k), -np.inf, dtype=np.float32)
        for at in range(len(nums)):
            rows, values = self._best(queries[at : at + 1], min(k, self.doc_count), within)
            nums[at, : len(rows)], scores[at, : len(rows)] = rows, values
        return nums, scores

    def _best(self, query: Any, depth: int, within: Subset | None) -> tuple[Ints, Floats]:
        fetch, most = depth + max(SLACK, depth // 4), self._store.most
        if fetch > most < self.doc_count:
            raise UsageError(
                f"a search needs {fetch:,} candidates of branch {self._name!r}, and the engine "
                f"gives at most {most:,}; ask for a smaller depth"
            )
        while True:
            fetch = min(fetch, most)
            rows, near, vectors = self._store.nearest(self._name, query, fetch, within)
            exact = self._scores(query, vectors)
            order = np.lexsort((rows, -exact))[:depth]
            if self._kind == "sparse":
                order = order[exact[order] > 0]
            if len(rows) < fetch or not depth or fetch == self.doc_count:
                return rows[order], exact[order]
            away = near[-1] * ROUNDING
            if self._kind == "dense":
                away = margin(query, self._largest)[0]
            if len(order) < depth or exact[order[-1]] > near[-1] + away:
                return rows[order], exact[order]
            if fetch == most:
                raise UsageError(
                    f"more than {most:,} rows of branch {self._name!r} are as good as hit {depth:,}"
                    ", and the engine gives no more; give the query rarer words, or leave the "
                    "branch out of the fusion. A folder and PostgreSQL have no such limit"
                )
            fetch *= 2

    def score(self, queries: Any, doc_nums: Ints) -> Floats:
        """Return the score of each named row, float32 of the shape of ``doc_nums``; -1 is -inf."""
        queries, doc_nums = self._checked(queries), checked_doc_nums(doc_nums, -1, self.doc_count)
        out = np.full(doc_nums.shape, -np.inf, dtype=np.float32)
        for at, named in enumerate(doc_nums):
            there = named >= 0
            vectors = self._store.vectors(self._name, named[there])
            out[at, there] = self._scores(queries[at : at + 1], vectors)
        return out

    def vectors(self, doc_nums: Ints) -> Any:
        """Return stored vectors, CSR or float32 (len(doc_nums), width)."""
        return self._store.vectors(self._name, checked_doc_nums(doc_nums, 0, self.doc_count))

    def _checked(self, queries: Any) -> Any:
        if self._kind == "dense":
            return checked_queries(queries, self._width)
        return checked(queries, self._width, "query")

    def _scores(self, query: Any, vectors: Any) -> Floats:
        """Return the scores of vectors, by the additions of the branch of a folder."""
        if self._kind == "dense":
            rows = np.arange(len(vectors), dtype=np.int64)[np.newaxis]
            nums, scores = np.empty(rows.shape, np.int32), np.empty(len(vectors), np.float32)
            none = np.empty(0, dtype=np.int32)
            products.score_found(query, vectors, none, rows, 0, nums, scores[np.newaxis])
            return scores
        held = vectors[:, query.indices].toarray()
        total: Floats = np.zeros(len(held), dtype=np.float32)
        for column, weight in enumerate(query.data):
            total += held[:, column] * weight
        return total
