"""The calls behind the API: an index and plain values in, JSON data out; nothing of HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import wraps
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from hybrid.corpus.fields.types import is_list
from hybrid.corpus.snippets import Match, marks_of, snippet_of
from hybrid.engines.addresses import engine_of
from hybrid.errors import IndexFormatError, UsageError
from hybrid.fusion import normalise
from hybrid.fusion.apply import pool_table
from hybrid.fusion.pool import Pool
from hybrid.index.documents.fields import facet_rows
from hybrid.index.documents.filter_nodes import Comparison, Contains, Filter
from hybrid.index.documents.filters import parse_filter
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.search.index import Index
from hybrid.search.options import SearchOptions
from hybrid.search.plan import stored_domain
from hybrid.search.rerank import FIRST, Cut, RerankPlan
from hybrid.search.result import SearchResult
from hybrid.search.snippets import BranchTerms, matches_of
from hybrid.search.view import View

ONE = "query"
CANDIDATES = 150
"""Of a pool that the page ranks again by itself."""
CLIPPED = 400
"""Characters of a candidate's text that are shown."""
NORM = "minmax"


class NoDocumentError(UsageError):
    """No document of this id, or the filter of the key hides it: nobody can tell which."""


def both(required: str, given: str | None) -> str | None:
    """Return the filter of a key and that of a request as one; each is parsed by itself.

    >>> both("year >= 2020", "lang == 'en'")
    "(year >= 2020) and (lang == 'en')"

    Raises:
        UsageError: one does not parse.
    """
    if given is not None:
        parse_filter(given)  # alone, or "a) or (b" would end the parenthesis below
    if not required:
        return given
    parse_filter(required)
    return f"({required}) and ({given})" if given is not None else required


Call = TypeVar("Call", bound=Callable[..., Any])


def _asked_again(call: Call) -> Call:
    """Return a call that opens the index anew, once, where pushes removed what it read."""

    @wraps(call)
    def asked(self: Service, *given: Any, **named: Any) -> Any:
        view = self.index.view()
        try:
            return call(self, *given, **named)
        except IndexFormatError:
            if not self.in_engine:
                raise
            with self._reopening:
                if self.index.view() is view:
                    self.index.reopen()
            return call(self, *given, **named)

    return asked  # type: ignore[return-value]


class Service:
    """An opened index, asked for JSON data. Threads may share one.

    Args:
        index: kept open by the caller.
    """

    def __init__(self, index: Index) -> None:
        self.index = index
        self.in_engine = isinstance(index.address, str)
        self._reopening = Lock()

    @_asked_again
    def search(
        self,
        query: str,
        k: int,
        options: SearchOptions,
        *,
        explain: bool = False,
        candidates: bool = False,
        facets: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the hits of a query with their texts, and what was asked for beside them.

        Args:
            query: a text.
            k: how many hits.
            options: of the search.
            explain: with each hit's explanation.
            candidates: with the first candidates of every branch, their raw and normalised
                scores, which is all that a page needs to rank them by other weights.
            facets: fields whose values are counted over the first hundred documents; each comes
                with the filter that its documents pass.

        Raises:
            UsageError: as `Index.search`.
        """
        view = self.index.view()
        view.contents.documents.check_fields(facets)
        result = view.search({ONE: query}, view.plan(k, options))
        sources = view.hit_sources(result)
        terms = sources.terms(ONE)
        doc_ids = result.run.doc_ids(ONE)
        explanations = result.explain(doc_ids) if explain else []
        hits = []
        for at, hit in enumerate(result.run.bound(sources)[ONE]):
            shown = {**hit.to_dict(), "marks": _marks(matches_of(terms, hit.text))}
            if explain:
                shown["explanation"] = explanations[at].to_dict()
            hits.append(shown)
        found: dict[str, Any] = {
            "query": query,
            "fusion": str(result.plan.fusion),
            "branches": list(result.branches),
            "hits": hits,
        }
        if result.cut is not None and result.plan.rerank is not None:
            found["rerank"] = _reranked(view, result.cut, result.plan.rerank, k)
        if facets:
            found["facets"] = _facets(view, result, facets)
        if candidates:
            found["candidates"] = _candidates(view, result, terms)
        return found

    @_asked_again
    def explain(
        self,
        query: str,
        doc_id: str,
        options: SearchOptions,
        required: str = "",
        k: int | None = None,
        *,
        sentences: bool = False,
    ) -> dict[str, Any]:
        """Return why a document has its score for a query, whether or not it was returned.

        Args:
            query: a text.
            doc_id: a document of the index.
            options: of the search; ``filter`` holds the required one, too.
            required: the filter that hides documents.
            k: of the search.
            sentences: with those nearest the query in the dense branches.

        Raises:
            UsageError: as `Index.explain`.
            NoDocumentError: there is none, or ``required`` hides it.
        """
        view = self.index.view()
        self._check_visible(view, doc_id, required)
        result = view.search({ONE: query}, view.plan(k, options))
        return result.explain([doc_id], sentences=sentences)[0].to_dict()

    @_asked_again
    def document(self, doc_id: str, required: str = "") -> dict[str, Any]:
        """Return a document: id, title, text and fields.

        Raises:
            NoDocumentError: there is none, or ``required`` hides it.
        """
        view = self.index.view()
        self._check_visible(view, doc_id, required)
        return {"doc_id": doc_id, **_document(view, doc_id)}

    def fusions(self) -> dict[str, Any]:
        """Return the default fusion, the tuned ones by domain, and the ``unread`` ones.

        These were tuned by a version with other fusions. The default is None if it is among them.
        """
        view = self.index.view()
        stored, read = view.contents.domains, view.domains
        unread = {name: each["fusion"] for name, each in stored.items() if name not in read}
        own = stored_domain(None, stored)
        return {
            "default": None if own in unread else str(view.fusion(SearchOptions())),
            "domains": {name: str(fusion) for name, fusion in read.items()},
            "unread": unread,
        }

    def check(self) -> None:
        """Do nothing if the index can be read.

        Raises:
            TransferError: the engine does not answer.
        """
        if self.in_engine:
            self.index.view().contents.generation.is_there()

    def info(self) -> dict[str, Any]:
        """Return the contents of the index, with the kind of each branch; an engine by its name."""
        contents = self.index.view().contents
        scheme = str(self.index.address).partition(":")[0]
        hidden = {"directory": engine_of(self.index.address) or scheme} if self.in_engine else {}
        return {
            **self.index.info().to_dict(),
            **hidden,
            "kinds": {name: contents.record(name).kind for name in contents.branches},
        }

    def warm(self, rerank: str | None = None) -> None:
        """Load the models and the kernels of every branch, those of filters too, and the reranker.

        Raises:
            ModelError: one cannot be found or loaded.
        """
        view = self.index.view()
        plan = view.plan(1, SearchOptions(fusion="rrf", rerank=rerank))
        view.find_reranker(plan.rerank)
        sparse = (name for name in view.branches if view.contents.record(name).kind == "sparse")
        for rows in map(view.contents.sparse, sparse):
            if isinstance(rows, InvertedIndex):
                rows.load_kernels()
        if len(view):
            view.hit_sources(view.search({ONE: "warm"}, plan)).terms(ONE)

    def check_filters(self, filters: list[str]) -> None:
        """Hold the filters of keys against the fields of the index.

        Raises:
            UsageError: one does not parse, or names a field that the documents do not have.
        """
        for each in filter(None, filters):
            self.index.view().contents.select(each)

    def _check_visible(self, view: View, doc_id: str, required: str) -> None:
        number = view.contents.documents.find(doc_id)
        if number is None or (required and not view.contents.select(required).mask[number]):
            raise NoDocumentError(f"the index has no document {doc_id!r}")


def _document(view: View, doc_id: str) -> dict[str, Any]:
    found = view.document(doc_id)
    return {"title": found.title, "text": found.text, "fields": dict(found.fields)}


def _marks(matches: Sequence[Match]) -> list[dict[str, Any]]:
    return [asdict(mark) for mark in marks_of(matches)]


def _reranked(view: View, cut: Cut, plan: RerankPlan, k: int) -> dict[str, Any]:
    row, pool = cut.pool.branch(FIRST), cut.pool
    best = np.argsort(pool.ranks[row])[:k].tolist()
    documents = view.contents.documents.take(pool.doc_nums[best].tolist())
    first = [
        {"doc_id": document.doc_id, "rank": rank, "score": float(pool.scores[row, at])}
        | {"title": document.title}
        for rank, (at, document) in enumerate(zip(best, documents, strict=True), start=1)
    ]
    return {"model": plan.name, "depth": plan.depth, "fusion": str(plan.fusion), "first": first}


def _facets(view: View, result: SearchResult, names: Sequence[str]) -> dict[str, Any]:
    kinds = view.contents.documents.field_kinds
    return {
        name: [{**each, "filter": str(_holds(name, kinds[name], each["value"]))} for each in rows]
        for name, rows in facet_rows(result.facets(names)).items()
    }


def _holds(field: str, kind: str, value: Any) -> Filter:
    return Contains(field, value) if is_list(kind) else Comparison(field, "==", value)


def _candidates(view: View, result: SearchResult, terms: list[BranchTerms]) -> dict[str, Any]:
    pool = _first(result.pool, CANDIDATES // max(1, len(result.pool.branches)))
    _, table = pool_table(pool, np.arange(len(pool.branches)))
    parts = normalise(table, NORM)
    rows = []
    for at, number in enumerate(pool.doc_nums.tolist()):
        document = view.document(pool.doc_ids[number])
        matches = matches_of(terms, document.text)
        snippet = snippet_of(document.text, matches, length=CLIPPED)
        rows.append(
            {
                "doc_id": document.doc_id,
                "scores": _finite(pool.scores[:, at]),
                "ranks": [rank or None for rank in pool.ranks[:, at].tolist()],
                "parts": _finite(parts[:, at]),
                "title": document.title,
                **snippet.to_dict(),
                "clipped": bool(document.text[snippet.end :].strip()),
            }
        )
    kinds = {name: view.contents.record(name).kind for name in pool.branches}
    return {"branches": list(pool.branches), "kinds": kinds, "norm": NORM, "rows": rows}


def _first(pool: Pool, depth: int) -> Pool:
    """Return the pool that each branch's first ``depth`` documents make."""
    ranks = np.where(pool.ranks <= depth, pool.ranks, np.int32(0))
    kept = (ranks > 0).any(axis=0)
    before = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    return replace(
        pool,
        offsets=before[pool.offsets],
        doc_nums=pool.doc_nums[kept],
        scores=pool.scores[:, kept],
        ranks=ranks[:, kept],
        depth=min(depth, pool.depth),
    )


def _finite(values: Any) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
