"""SearchResult: a search that was done, with what explains it. Nothing is encoded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hybrid.fusion.explain import Explanation
from hybrid.fusion.pool import Pool
from hybrid.fusion.run import Run
from hybrid.index.hybrid import HybridIndex
from hybrid.search.branches import BranchResult
from hybrid.search.explain import explain_documents
from hybrid.search.passages import BestPassage, best_passages
from hybrid.search.plan import SearchPlan


@dataclass(frozen=True)
class SearchResult:
    """The run of some queries, with the plan, the branches' results and the pool that it is of.

    Attributes:
        index: what was searched.
        queries: query id to text.
        plan: how they were searched.
        branches: the result of each branch.
        pool: the candidates, with every branch's exact score.
        run: the ranked lists.
    """

    index: HybridIndex
    queries: Mapping[str, str]
    plan: SearchPlan
    branches: Mapping[str, BranchResult]
    pool: Pool
    run: Run

    def explain(self, doc_ids: Sequence[str], *, query: int = 0) -> list[Explanation]:
        """Return why each document has its fused score for one query, given by position.

        Raises:
            UsageError: a document that the index does not have.
        """
        return explain_documents(
            self.index,
            list(self.queries.values())[query],
            {name: result.of_query(query) for name, result in self.branches.items()},
            self.pool.select([query]),
            self.plan.fusion,
            doc_ids,
        )

    def best_passages(
        self, doc_ids: Sequence[str], *, query: int = 0
    ) -> list[tuple[BestPassage, ...]]:
        """Return the best passages of each document for one query, given by position.

        Raises:
            UsageError: a document that the index does not have.
        """
        encoded = {name: result.of_query(query).encoded for name, result in self.branches.items()}
        return best_passages(self.index, encoded, doc_ids)
