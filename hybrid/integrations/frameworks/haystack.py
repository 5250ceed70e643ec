"""HybridRetriever: a Haystack component.

HybridRetriever(hybrid.open("docs.idx"), top_k=5).run("merge sorted lists")["documents"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid.errors import require
from hybrid.integrations.frameworks.found import found

require("haystack", extra="haystack", purpose="the Haystack retriever")

from haystack import Document, component  # noqa: E402

if TYPE_CHECKING:
    from hybrid.search.index import Index


@component
class HybridRetriever:
    """Retrieves documents of an index; metadata are its fields, and ``branch_scores``.

    Args:
        index: an opened index.
        top_k: how many documents.
        **options: keywords of `Index.search`.
    """

    def __init__(self, index: Index, top_k: int = 10, **options: Any) -> None:
        self.index, self.top_k, self.options = index, top_k, options

    @component.output_types(documents=list[Document])
    def run(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """Return ``{"documents": [...]}``, best first."""
        k = self.top_k if top_k is None else top_k
        hits = found(self.index, query, k, **self.options)
        return {
            "documents": [
                Document(
                    id=hit.document.doc_id,
                    content=hit.document.text,
                    meta={**hit.metadata, "branch_scores": hit.branch_scores},
                    score=hit.score,
                )
                for hit in hits
            ]
        }
