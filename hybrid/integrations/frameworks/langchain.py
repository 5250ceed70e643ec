"""HybridRetriever and HybridVectorStore for LangChain.

HybridRetriever(index=hybrid.open("docs.idx"), k=5).invoke("merge sorted lists")
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.corpus import Document
from hybrid.errors import require
from hybrid.integrations.frameworks.found import Found, found
from hybrid.integrations.frameworks.store import Store

require("langchain_core", extra="langchain", purpose="the LangChain retriever")

from langchain_core.documents import Document as LangChainDocument  # noqa: E402
from langchain_core.retrievers import BaseRetriever  # noqa: E402
from langchain_core.vectorstores import VectorStore  # noqa: E402
from pydantic import Field  # noqa: E402

if TYPE_CHECKING:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.embeddings import Embeddings

K = 4


class HybridRetriever(BaseRetriever):
    """Retrieves documents of an index; metadata are its fields, and the scores by branch.

    Attributes:
        index: an opened `hybrid.Index`.
        k: how many documents.
        search_options: keywords of `Index.search`, such as ``domain`` and ``filter``.
    """

    index: Any
    k: int = 10
    search_options: dict[str, Any] = Field(default_factory=dict)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[LangChainDocument]:
        hits = found(self.index, query, self.k if k is None else k, **self.search_options)
        return [_langchain(hit, score=hit.score, branch_scores=hit.branch_scores) for hit in hits]


class HybridVectorStore(VectorStore):
    """A vector store whose searches are hybrid; it may begin without documents.

    The vectors are made by the encoders of its index, so it takes no embeddings.

    Args:
        store: where its documents are.
    """

    def __init__(self, store: Store | str | Path) -> None:
        self.store = store if isinstance(store, Store) else Store(store)

    def add_documents(
        self, documents: list[LangChainDocument], *, ids: list[str] | None = None, **kwargs: Any
    ) -> list[str]:
        """Add documents, in place of those with the same ids; return the ids.

        Raises:
            UsageError: metadata that is no text, number, true, false, date, list of them or None.
        """
        named = [each.id for each in documents] if ids is None else ids
        chosen = [doc_id or str(uuid.uuid4()) for doc_id in named]
        self.store.write(
            Document(doc_id, each.page_content, fields=each.metadata)
            for doc_id, each in zip(chosen, documents, strict=True)
        )
        return chosen

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> bool:
        """Delete documents by id; ids that are not there are left out."""
        self.store.delete(ids or [])
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[LangChainDocument]:
        """Return the documents of some ids; ids that are not there are left out."""
        return [_langchain(Found(each, 0.0, {})) for each in self.store.get(ids)]

    def similarity_search(self, query: str, k: int = K, **kwargs: Any) -> list[LangChainDocument]:
        """Return the documents of a query, best first; keywords are those of `Index.search`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(
        self, query: str, k: int = K, **kwargs: Any
    ) -> list[tuple[LangChainDocument, float]]:
        """Return documents with fused scores, best first; greater is better."""
        return [(_langchain(hit), hit.score) for hit in self.store.find(query, k, **kwargs)]

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | None = None,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        store: Store | str | Path,
        **kwargs: Any,
    ) -> HybridVectorStore:
        """Return a store of texts; ``embedding`` is not used, as the index has its encoders."""
        made = cls(store)
        made.add_texts(texts, metadatas, ids=ids)
        return made


def _langchain(hit: Found, **more: Any) -> LangChainDocument:
    return LangChainDocument(
        id=hit.document.doc_id,
        page_content=hit.document.text,
        metadata={**hit.metadata, **more},
    )
