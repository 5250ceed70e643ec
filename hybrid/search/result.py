"""SearchResult: the result of a search and all that explains it. Nothing is encoded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hybrid.fusion.explain import Explanation, explain
from hybrid.fusion.outcome import with_outcomes
from hybrid.fusion.pool import Pool
from hybrid.fusion.run import Run
from hybrid.index.hybrid import HybridIndex
from hybrid.search.branches import BranchResult
from hybrid.search.explain import explain_documents
from hybrid.search.passages import BestPassage, best_passages
from hybrid.search.plan import SearchPlan
from hybrid.search.rerank import Cut


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
        cut: the documents that were scored again, where any were.
    """

    index: HybridIndex
    queries: Mapping[str, str]
    plan: SearchPlan
    branches: Mapping[str, BranchResult]
    pool: Pool
    run: Run
    cut: Cut | None = None

    def explain(self, doc_ids: Sequence[str], *, query: int = 0) -> list[Explanation]:
        """Return why each document has its fused score for one query, given by position.

        A document that was scored again has a share of each stage, and the first stage explained.

        Raises:
            UsageError: a document that the index does not have.
        """
        found = explain_documents(
            self.index,
            list(self.queries.values())[query],
            {name: result.of_query(query) for name, result in self.branches.items()},
            self.pool.select([query]),
            self.plan,
            doc_ids,
        )
        if self.cut is None or self.plan.rerank is None:
            return found
        cut = self.cut.pool.select([query])
        scored = {cut.doc_ids[int(doc_num)] for doc_num in cut.doc_nums}
        again = [each.doc_id for each in found if each.doc_id in scored]
        fusion = self.plan.rerank.fusion
        second = {
            each.doc_id: each
            for each in with_outcomes(
                explain(cut, fusion, again), cut, fusion, self.plan.k, cause="reranking"
            )
        }
        return [
            replace(second[each.doc_id], first=each) if each.doc_id in second else each
            for each in found
        ]

    def best_passages(
        self, doc_ids: Sequence[str], *, query: int = 0
    ) -> list[tuple[BestPassage, ...]]:
        """Return the best passages of each document for one query, given by position.

        Raises:
            UsageError: a document that the index does not have.
        """
        encoded = {name: result.of_query(query).encoded for name, result in self.branches.items()}
        return best_passages(self.index, encoded, doc_ids)
