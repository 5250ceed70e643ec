"""View: one generation of an index, to be read; nothing changes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hybrid.build.records import QueryEncoder
from hybrid.corpus import Document
from hybrid.corpus.checks import check_text
from hybrid.encoders import SparseEncoder
from hybrid.errors import UsageError, several_texts
from hybrid.fusion import Fusion, fuse, parse_fusion
from hybrid.fusion.apply import best_positions, ranked_run
from hybrid.fusion.pool import Pool
from hybrid.fusion.run import Hit, Run
from hybrid.index.documents.fields import Facets
from hybrid.index.hybrid import HybridIndex
from hybrid.index.place import Place
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.search.branches import (
    BranchResult,
    encoded_query,
    pool_of,
    search_branches,
    without_copies,
)
from hybrid.search.encoders import QueryEncoders, as_sparse
from hybrid.search.options import SearchOptions
from hybrid.search.passages import BestPassage, best_passages
from hybrid.search.plan import PoolPlan, SearchPlan, chosen_fusion, plan_pool, plan_search
from hybrid.search.rerank import PairScores, RerankPlan, rerank
from hybrid.search.result import HitSources, SearchResult
from hybrid.search.tasks import Opening, pool_key, spread_pool

if TYPE_CHECKING:
    from hybrid.build.tasks import Executor


class View:
    """An index as it was when this was made: `Index.view` gives the one of now.

    Args:
        contents: its id space, documents and branches.
        encoders: the query encoders, which the views of one index share.
        opening: how another process opens the index.
    """

    def __init__(self, contents: Place, encoders: QueryEncoders, opening: Opening) -> None:
        self.contents = contents
        self._encoders = encoders
        self._opening = opening

    def __len__(self) -> int:
        return self.contents.document_count

    @property
    def local(self) -> HybridIndex:
        """The contents, where they lie in a folder.

        Raises:
            UsageError: they lie in an engine.
        """
        if not isinstance(self.contents, HybridIndex):
            raise UsageError(
                "this reads or changes the files of an index, and an engine has none; give the "
                "folder that was pushed there"
            )
        return self.contents

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches, sparse ones first."""
        return self.contents.branches

    @cached_property
    def domains(self) -> Mapping[str, Fusion]:
        """The tuned fusions, by domain name; those of a version with other fusions are left out."""
        found = {}
        for name, stored in self.contents.domains.items():
            with suppress(UsageError):
                found[name] = parse_fusion(stored["fusion"])
        return found

    def fusion(self, options: SearchOptions) -> Fusion:
        """Return the fusion that a search with these options uses.

        A domain that was never tuned takes what was pooled over several, where that is stored.

        Raises:
            UsageError: both are given, the domain was never tuned, or the text does not parse.
        """
        return chosen_fusion(options, self.contents.domains, self.branches)

    def plan(self, k: int | None = None, options: SearchOptions | None = None) -> SearchPlan:
        """Return the plan of a search for ``k`` documents, 10 by default.

        Raises:
            UsageError: k or depth below 1, an unknown domain, branch or field, or a fusion or
                filter that does not parse.
        """
        return plan_search(self.contents, k, options or SearchOptions())

    def pool_plan(
        self, options: SearchOptions | None = None, branches: Sequence[str] | None = None
    ) -> PoolPlan:
        """Return the plan of a pool of some branches, all by default, for any fusion to be read.

        Args:
            options: whose depth and filter count.
            branches: which are searched.

        Raises:
            UsageError: a depth below 1, an unknown branch or field, or a filter that does not
                parse.
        """
        return plan_pool(self.contents, branches or self.branches, options or SearchOptions())

    def search(
        self,
        queries: Mapping[str, str],
        plan: SearchPlan,
        progress: StartProgress = no_progress,
        pool: Pool | None = None,
    ) -> SearchResult:
        """Return the result of some queries, query id to text; ``progress`` shows the reranking.

        Where the ``pool`` of the queries is there, none is searched, so nothing is explained.

        Raises:
            UsageError: an empty query.
            ModelMismatchError: a query encoder that is not the one which built the branch.
        """
        self.find_reranker(plan.rerank)
        results = None
        if pool is None:
            results = search_branches(self.contents, self._encoders, queries, plan)
            pool = pool_of(self.contents, queries, results, plan)
        fused, cut = fuse(pool, plan.fusion), None
        if plan.distinct:
            most = max(plan.k, 0 if plan.rerank is None else plan.rerank.depth)
            fused = without_copies(self.contents, pool, fused, most)
        if plan.rerank is not None:
            pairs = self.pair_scores(queries, plan.rerank, branches=plan.branches, results=results)
            cut, fused = rerank(pool, fused, plan.rerank, pairs, progress)
        best, offsets = best_positions(pool, fused, plan.k)
        run = ranked_run(pool, fused, best, offsets)
        found = results or {}
        return SearchResult(self.contents, queries, plan, found, pool, run, best, fused, cut)

    def hit_sources(self, result: SearchResult) -> HitSources:
        """Return the sources of the hits of a search here, for `Run.bound`."""
        return HitSources(result, self._encoders)

    def find_reranker(self, plan: RerankPlan | None) -> None:
        """Do nothing if the model of a plan is there, so that it is not missed after the search.

        Raises:
            ModelError: it cannot be found.
        """
        if plan is not None:
            self._encoders.find_scorer(plan.model)

    def pair_scores(
        self,
        queries: Mapping[str, str],
        plan: RerankPlan,
        *,
        branches: Sequence[str] | None = None,
        results: Mapping[str, BranchResult] | None = None,
    ) -> PairScores:
        """Return the scorer of the index's documents for these queries by a plan's model.

        Args:
            queries: query id to text.
            plan: whose model scores.
            branches: those whose best passages are read; default: all of the index.
            results: of the search of those branches, so that no query is encoded again.
        """
        places = {query_id: at for at, query_id in enumerate(queries)}

        def encoded(query_id: str) -> dict[str, Any]:
            if results is None:
                return self._encoded(queries[query_id], branches)
            return encoded_query(results, places[query_id])

        return PairScores(self.contents, queries, self._encoders.scorer(plan.model), encoded)

    def _encoded(self, query: str, branches: Sequence[str] | None = None) -> dict[str, Any]:
        """Return the query as each branch encodes it; nothing where texts are not cut."""
        if self.contents.passages is None:
            return {}
        names = self.branches if branches is None else branches
        return {name: self.encoder(name).encode_queries([query]) for name in names}

    def pool(
        self, queries: Mapping[str, str], plan: PoolPlan, executor: Executor | None = None
    ) -> Pool:
        """Return the candidates of each query with every branch's exact score.

        Raises: as `search` does; with an executor as `hybrid.search.tasks.spread_pool` does.
        """
        if executor is not None and queries:
            opening = self._opening
            return spread_pool(self.contents, self._encoders, opening, queries, plan, executor)
        results = search_branches(self.contents, self._encoders, queries, plan)
        return pool_of(self.contents, queries, results, plan)

    def pool_key(self, queries: Mapping[str, str], plan: PoolPlan) -> str | None:
        """Return a key of the pool that `pool` gives, equal in every process; None for none.

        See `hybrid.search.tasks.pool_key`.
        """
        return pool_key(self.contents, self._encoders, queries, plan)

    def best_passages(
        self, query: str, doc_ids: Sequence[str], branches: Sequence[str] | None = None
    ) -> list[tuple[BestPassage, ...]]:
        """Return the best passages of each document for a query, that of most branches first.

        Args:
            query: the query that found the documents.
            doc_ids: documents of the index.
            branches: those to ask; default: all of the index. A fusion has ``branch_names``.

        Raises:
            UsageError: a document or branch that the index does not have.
        """
        check_text("the query", query)
        encoded = self._encoded(query, branches) if len(doc_ids) else {}
        return best_passages(self.contents, encoded, doc_ids)

    def encoder(self, name: str) -> QueryEncoder:
        """Return the query encoder of a branch, loaded once and held against the index.

        Raises:
            UsageError: the index has no such branch.
            ModelMismatchError: it is not the one which built the branch; shows both.
        """
        return self._encoders.get(self.contents, name)

    def sparse_encoder(self, name: str) -> SparseEncoder:
        """Return the query encoder of a sparse branch.

        Raises:
            UsageError: the branch is absent or dense.
        """
        self.contents.sparse(name)
        return as_sparse(name, self.encoder(name))

    def facets(self, hits: Run | Iterable[Hit | str], fields: Sequence[str]) -> Facets:
        """Return how many of the documents hold each value of each field; see `Reader.facets`."""
        names = several_texts("fields", fields)
        if isinstance(hits, Run):
            hits = [doc_id for query_id in hits for doc_id in hits.doc_ids(query_id)]
        given: Any = hits
        if isinstance(hits, Iterable) and not isinstance(hits, str):
            given = [each.doc_id if isinstance(each, Hit) else each for each in hits]
        ids = several_texts("hits", given)
        store = self.contents.documents
        store.check_fields(names)
        return store.facets({store.doc_num(doc_id) for doc_id in ids}, names)

    def document(self, doc_id: str) -> Document:
        """Return a stored document.

        Raises:
            UsageError: the index has no such document.
        """
        return self.contents.documents.document(doc_id)
