"""Found: hits with their documents and branch scores, as the frameworks hand them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hybrid.corpus import Document
from hybrid.search.options import options_given

if TYPE_CHECKING:
    from hybrid.search.index import Index

QUERY = "query"


@dataclass(frozen=True, slots=True)
class Found:
    """One hit: its document, fused score, and exact score in each branch and of a reranker."""

    document: Document
    score: float
    branch_scores: dict[str, float]

    @property
    def metadata(self) -> dict[str, Any]:
        """The fields of the document, and its title where it has one."""
        title = {"title": self.document.title} if self.document.title else {}
        return {**title, **self.document.fields}


def found(index: Index, query: str, k: int, **options: Any) -> list[Found]:
    """Return the hits of one query, best first, all read from one generation.

    An index without documents has none.

    Raises:
        UsageError: as `Index.search`.
    """
    view = index.view()  # held until all is read
    if not len(view):
        return []
    result = view.search({QUERY: query}, view.plan(k, options_given(None, options)))
    return [
        Found(
            Document(hit.doc_id, hit.text, hit.title, hit.fields),
            hit.score,
            {name: each.score for name, each in hit.scores.items()},
        )
        for hit in result.run.bound(view.hit_sources(result))[QUERY]
    ]
