"""HybridRetriever for LlamaIndex.

HybridRetriever(hybrid.open("docs.idx"), k=5).retrieve("merge sorted lists")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hybrid.errors import require
from hybrid.integrations.frameworks.found import found

require("llama_index.core", extra="llamaindex", purpose="the LlamaIndex retriever")

from llama_index.core.retrievers import BaseRetriever  # noqa: E402
from llama_index.core.schema import NodeWithScore, TextNode  # noqa: E402

if TYPE_CHECKING:
    from llama_index.core.schema import QueryBundle

    from hybrid.search.index import Index


class BranchScoredNode(NodeWithScore):
    """A node with its exact score in each branch.

    They are not in the metadata of the node, as LlamaIndex takes two nodes with other metadata for
    two documents when it fuses retrievers.
    """

    branch_scores: dict[str, float]


class HybridRetriever(BaseRetriever):
    """Retrieves nodes of an index, with scores by branch; metadata are its fields.

    Args:
        index: an opened index.
        k: how many nodes.
        **options: keywords of `Index.search`.
    """

    def __init__(self, index: Index, k: int = 10, **options: Any) -> None:
        self.index, self.k, self.options = index, k, options
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = found(self.index, query_bundle.query_str, self.k, **self.options)
        return [
            BranchScoredNode(
                node=TextNode(
                    id_=hit.document.doc_id,
                    text=hit.document.text,
                    metadata=hit.metadata,
                ),
                score=hit.score,
                branch_scores=hit.branch_scores,
            )
            for hit in hits
        ]
