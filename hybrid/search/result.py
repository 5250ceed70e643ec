"""SearchResult: the result of a search and all that explains it. Nothing is encoded again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hybrid.build.records import BM25
from hybrid.corpus import Document
from hybrid.corpus.snippets import Snippet, snippet_of
from hybrid.errors import IndexFormatError, UsageError
from hybrid.fusion.apply import best_positions
from hybrid.fusion.explain import Explanation, explain
from hybrid.fusion.outcome import with_outcomes
from hybrid.fusion.pool import BranchScore, Pool
from hybrid.fusion.run import Run
from hybrid.index.documents.fields import Facets
from hybrid.index.place import Place
from hybrid.search.branches import BranchResult, encoded_query, without_copies
from hybrid.search.encoders import QueryEncoders
from hybrid.search.explain import explain_documents, with_sentences
from hybrid.search.passages import BestPassage, best_passages
from hybrid.search.plan import SearchPlan
from hybrid.search.rerank import RERANK, Cut
from hybrid.search.snippets import BranchTerms, matches_of, query_terms

FACET_HITS = 100
Read = TypeVar("Read")


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
        positions: int64 (hits,), where each hit of the run lies in the pool.
        fused: (n,), the score of each candidate of the pool that ranks it.
        cut: the documents that were scored again, where any were.
    """

    index: Place
    queries: Mapping[str, str]
    plan: SearchPlan
    branches: Mapping[str, BranchResult]
    pool: Pool
    run: Run
    positions: NDArray[np.int64]
    fused: NDArray[np.float64]
    cut: Cut | None = None

    def explain(
        self, doc_ids: Sequence[str], *, query: int = 0, sentences: bool = False
    ) -> list[Explanation]:
        """Return why each document has its fused score for one query, given by position.

        A document that was scored again has a share of each stage, and the first stage explained.

        Args:
            doc_ids: documents of the index.
            query: which of the queries.
            sentences: with the sentences nearest the query in the dense branches, which are
                encoded for it.

        Raises:
            UsageError: a document that the index does not have.
        """
        results = {name: result.of_query(query) for name, result in self.branches.items()}
        found = explain_documents(
            self.index,
            list(self.queries.values())[query],
            results,
            self.pool.select([query]),
            self.plan,
            doc_ids,
        )
        if sentences:
            found = with_sentences(self.index, results, found)
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
            replace(second[each.doc_id], first=replace(each, missed=None))
            if each.doc_id in second
            else each
            for each in found
        ]

    def best_passages(
        self, doc_ids: Sequence[str], *, query: int = 0
    ) -> list[tuple[BestPassage, ...]]:
        """Return the best passages of each document for one query, given by position.

        Raises:
            UsageError: a document that the index does not have.
        """
        return best_passages(self.index, encoded_query(self.branches, query), doc_ids)

    def facets(self, fields: Sequence[str], *, query: int = 0) -> Facets:
        """Return how many of the first hundred documents of a query hold each value of each field.

        With ``k`` over a hundred, it is of so many. The query is given by position.

        Raises:
            UsageError: a field that the index does not have.
        """
        most, pool = max(FACET_HITS, self.plan.k), self.pool.select([query])
        fused = self.fused[self.pool.offsets[query] : self.pool.offsets[query + 1]]
        if self.plan.distinct:  # of the search, they are left out among the first k alone
            fused = without_copies(self.index, pool, fused, most)
        best, _ = best_positions(pool, fused, most)
        return self.index.documents.facets(pool.doc_nums[best].tolist(), fields)


class HitSources:
    """The sources of the hits of a search, by query id. Of the pool they keep the hits alone.

    They do not hold the generation, so that it can be removed; then a hit says so when it is read.

    Args:
        result: of the search.
        encoders: of the index, where that of BM25 is found for the snippets of a search that asked
            no sparse branch.
    """

    def __init__(self, result: SearchResult, encoders: QueryEncoders) -> None:
        self.index = result.index.unheld()
        pool, at = result.pool, result.positions
        self.doc_nums = pool.doc_nums[at]
        self.scores = {
            name: (pool.scores[row, at], pool.ranks[row, at])
            for row, name in enumerate(pool.branches)
        }
        if result.cut is not None:
            self.scores[RERANK] = _spread(result.cut, at)
        self._encoders = encoders
        self._encoded = {name: (one.encoder, one.encoded) for name, one in result.branches.items()}
        self._doc_ids = {each: result.run.doc_ids(each) for each in result.run}
        starts = accumulate(map(len, self._doc_ids.values()), initial=0)
        self._starts = dict(zip(self._doc_ids, starts, strict=False))
        self._queries = result.queries
        self._places = {query_id: at for at, query_id in enumerate(result.queries)}
        self._made: dict[str, QueryHits] = {}

    def __call__(self, query_id: str) -> QueryHits:
        """Return the source of the hits of one query."""
        if query_id not in self._made:
            doc_ids, start = self._doc_ids[query_id], self._starts[query_id]
            self._made[query_id] = QueryHits(self, query_id, doc_ids, start)
        return self._made[query_id]

    def encoded(self, query_id: str) -> dict[str, Any]:
        """Return a query as each branch that was searched encodes it."""
        at = self._places[query_id]
        return {name: rows[at : at + 1] for name, (_, rows) in self._encoded.items()}

    def terms(self, query_id: str) -> list[BranchTerms]:
        """Return the terms of a query in the sparse branches that were searched, else in BM25."""
        text, encoded = self._queries[query_id], self.encoded(query_id)
        encoders = {name: encoder for name, (encoder, _) in self._encoded.items()}
        if not any(self.index.record(name).kind == "sparse" for name in encoded):
            for name, record in self.index.records.items():
                if record.encoder["model"] == BM25:
                    encoders[name] = self._encoders.get(self.index, name)
                    encoded[name] = encoders[name].encode_queries([text])
        return query_terms(self.index, encoders, encoded, text)

    def read(self, read: Callable[[], Read]) -> Read:
        """Return whatever ``read`` reads from the index.

        Raises:
            IndexFormatError: the generation is gone.
        """
        generation = self.index.generation
        try:
            return read()
        finally:
            if not generation.is_there():  # then it may have gone while it was read
                raise IndexFormatError(
                    f"the generation {generation.name} that this hit is of is gone since the index "
                    "was changed; search again"
                )


class QueryHits:
    """The source of the hits of one query; see `hybrid.fusion.run.HitSource`. A copy is None."""

    def __init__(
        self, sources: HitSources, query_id: str, doc_ids: Sequence[str], start: int
    ) -> None:
        self._sources, self._query_id, self._start = sources, query_id, start
        self._places = {doc_id: place for place, doc_id in enumerate(doc_ids)}
        self._snippets: dict[str, Snippet] = {}

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()

    def document(self, doc_id: str) -> Document:
        """Return a document; those of all hits are read at once.

        Raises:
            IndexFormatError: the generation of the index is gone.
            UsageError: the document is none of the hits.
        """
        return self._documents[self._place(doc_id)]

    def scores(self, doc_id: str) -> dict[str, BranchScore]:
        """Return the score of a document in each branch, and of the reranker where it has one."""
        at = self._start + self._place(doc_id)
        return {
            name: BranchScore(float(scores[at]), int(ranks[at]))
            for name, (scores, ranks) in self._sources.scores.items()
            if np.isfinite(scores[at])
        }

    def snippet(self, doc_id: str) -> Snippet:
        """Return the part of a text whose distinct terms weigh most together.

        It is one of the best passage, where texts are cut into passages. Raises as `document`.
        """
        if doc_id not in self._snippets:
            text, passages = self.document(doc_id).text, self._passages[self._place(doc_id)]
            within = (passages[0].start, passages[0].stop) if passages else None
            found = snippet_of(text, matches_of(self._terms, text), within=within)
            self._snippets[doc_id] = found
        return self._snippets[doc_id]

    def to_dict(self, doc_id: str) -> dict[str, Any]:
        """Return all of it as JSON data, with the best passages; none where texts are not cut."""
        document, passages = self.document(doc_id), self._passages[self._place(doc_id)]
        return {
            "title": document.title,
            "text": document.text,
            "fields": dict(document.fields),
            "scores": {name: asdict(each) for name, each in self.scores(doc_id).items()},
            "snippet": self.snippet(doc_id).to_dict(),
            "passages": [each.to_dict() for each in passages],
        }

    def _place(self, doc_id: str) -> int:
        if doc_id not in self._places:
            raise UsageError(
                f"document {doc_id!r} is none of the {len(self._places)} hits of query "
                f"{self._query_id!r}; ask Index.document(doc_id)"
            )
        return self._places[doc_id]

    @cached_property
    def _documents(self) -> tuple[Document, ...]:
        numbers = self._sources.doc_nums[self._start : self._start + len(self._places)]
        return self._sources.read(lambda: tuple(self._sources.index.documents.take(numbers)))

    @cached_property
    def _passages(self) -> list[tuple[BestPassage, ...]]:
        doc_ids = list(self._places)
        index, encoded = self._sources.index, self._sources.encoded(self._query_id)
        return self._sources.read(lambda: best_passages(index, encoded, doc_ids))

    @cached_property
    def _terms(self) -> list[BranchTerms]:
        return self._sources.read(lambda: self._sources.terms(self._query_id))


def _spread(cut: Cut, at: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Return the reranker's score and rank of each hit; NaN and 0 where it scored none."""
    row = cut.pool.branch(RERANK)
    scores = np.full(len(at), np.nan, dtype=np.float32)
    ranks = np.zeros(len(at), dtype=np.int32)
    _, of_hits, of_cut = np.intersect1d(at, cut.positions, return_indices=True)
    scores[of_hits], ranks[of_hits] = cut.pool.scores[row, of_cut], cut.pool.ranks[row, of_cut]
    return scores, ranks
