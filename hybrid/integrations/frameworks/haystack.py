"""HybridRetriever, a Haystack component, and HybridDocumentStore, where Haystack may write.

HybridRetriever(hybrid.open("docs.idx"), top_k=5).run("merge sorted lists")["documents"]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.corpus import Document as OurDocument
from hybrid.errors import UsageError, given, require
from hybrid.integrations.frameworks.found import Found, found
from hybrid.integrations.frameworks.store import Store

require("haystack", extra="haystack", purpose="the Haystack retriever")

from haystack import Document, component, default_from_dict, default_to_dict  # noqa: E402
from haystack.document_stores.errors import DuplicateDocumentError  # noqa: E402
from haystack.document_stores.types import DuplicatePolicy  # noqa: E402
from haystack.errors import FilterError  # noqa: E402

if TYPE_CHECKING:
    from hybrid.search.index import Index

_ORDER = {">": "$gt", ">=": "$gte", "<": "$lt", "<=": "$lte"}
_OWN = {each.name for each in fields(Document)}


class HybridDocumentStore:
    """A Haystack ``DocumentStore`` in an index; it may begin without documents.

    The index makes its own vectors: embeddings, blobs and scores of documents are not kept. An
    empty value in ``meta`` comes back as no value.

    Args:
        store: where its documents are.
    """

    def __init__(self, store: Store | str | Path) -> None:
        self._directory = None if isinstance(store, Store) else str(store)
        self.store = store if isinstance(store, Store) else Store(store)

    def to_dict(self) -> dict[str, Any]:
        """Return the store as plain values.

        Raises:
            UsageError: it was made of a `Store`, whose options and encoders are no plain values.
        """
        if self._directory is None:
            raise UsageError("a store with options or encoders is no plain value; give a path")
        return dict(default_to_dict(self, store=self._directory))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> HybridDocumentStore:
        """Return the store that `to_dict` gave."""
        made: HybridDocumentStore = default_from_dict(cls, data)
        return made

    def count_documents(self) -> int:
        """Return the number of documents."""
        return len(self.store)

    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """Return the documents that match, by descending id.

        Raises:
            FilterError: a filter that is none, or of a field or value that the documents lack.
        """
        chosen = filter_of(filters) if filters else None
        try:
            return [_haystack(each) for each in self.store.select(chosen)]
        except UsageError as error:
            raise FilterError(str(error)) from error

    def write_documents(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """Write documents; return how many. Without a policy an id that is there is an error.

        Raises:
            ValueError: something else than a list of documents.
            DuplicateDocumentError: an id occurs twice or is there, and the policy is FAIL or NONE.
            UsageError: ``meta`` of values that are no text, number, true, false, list of them or
                None.
        """
        if not isinstance(documents, list) or not all(isinstance(x, Document) for x in documents):
            raise ValueError(f"documents are {given(documents)}; give a list of Documents")
        if policy != DuplicatePolicy.OVERWRITE:
            there = {each.doc_id for each in self.store.get([each.id for each in documents])}
            first: dict[str, Document] = {}
            for each in documents:
                if each.id not in there:
                    first.setdefault(each.id, each)
            if len(first) < len(documents) and policy != DuplicatePolicy.SKIP:
                raise DuplicateDocumentError(
                    f"{len(documents) - len(first)} of {len(documents)} ids are there already or "
                    "occur twice; nothing was written"
                )
            documents = list(first.values())
        self.store.write(
            OurDocument(each.id, each.content or "", fields=each.meta) for each in documents
        )
        return len(documents)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Delete documents by id; ids that are not there are left out."""
        self.store.delete(document_ids)


@component
class HybridRetriever:
    """Retrieves documents of an index; metadata are its fields, and ``branch_scores``.

    Args:
        index: an opened index, or a document store.
        top_k: how many documents.
        **options: keywords of `Index.search`.
    """

    def __init__(self, index: Index | HybridDocumentStore, top_k: int = 10, **options: Any) -> None:
        self.index, self.top_k, self.options = index, top_k, options
        self._find: Callable[..., list[Found]] = (
            index.store.find if isinstance(index, HybridDocumentStore) else partial(found, index)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the retriever as plain values, with which a pipeline is saved and loaded.

        Raises:
            UsageError: its index is an opened one, or a store that is no plain value.
        """
        if not isinstance(self.index, HybridDocumentStore):
            raise UsageError("an opened index is no plain value; give HybridDocumentStore(path)")
        store = self.index.to_dict()
        return dict(default_to_dict(self, index=store, top_k=self.top_k, **self.options))

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, top_k: int | None = None, filters: dict[str, Any] | None = None
    ) -> dict[str, list[Document]]:
        """Return ``{"documents": [...]}``, best first; Haystack's filters replace the option."""
        k = self.top_k if top_k is None else top_k
        options = self.options | ({"filter": filter_of(filters)} if filters else {})
        return {
            "documents": [
                _haystack(
                    hit.document, hit.score, hit.metadata | {"branch_scores": hit.branch_scores}
                )
                for hit in self._find(query, k, **options)
            ]
        }


def filter_of(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return Haystack's filter as a dictionary that `Index.search` takes.

    In Haystack a missing value is None: it is unequal to any value, and in no order to it.

    Raises:
        FilterError: a key or operator that is none.
    """
    names = ("field", "operator", "value") if "field" in filters else ("operator", "conditions")
    if missing := [name for name in names if name not in filters]:
        raise FilterError(f"the filter {given(dict(filters))} lacks {', '.join(missing)}")
    operator = filters["operator"]
    if "field" in filters:
        field = filters["field"]
        if not isinstance(field, str) or field in _OWN:
            raise FilterError(f"{given(field)} is no field of meta; filter by one, as meta.year")
        return _condition(field.removeprefix("meta."), operator, filters["value"])
    if operator not in ("AND", "OR", "NOT"):
        raise FilterError(f"a filter joins by {given(operator)}; use AND, OR or NOT")
    parts = [filter_of(each) for each in filters["conditions"]]
    joined = {"$or" if operator == "OR" else "$and": parts}
    return {"$not": joined} if operator == "NOT" else joined


def _condition(name: str, operator: str, value: Any) -> dict[str, Any]:
    present: dict[str, Any] = {name: {"$exists": True}}
    if operator in ("!=", "not in"):
        return {"$not": _condition(name, "==" if operator == "!=" else "in", value)}
    if operator == "==":
        return {name: None} if value is None else {"$and": [present, {name: value}]}
    if operator == "in":
        if not isinstance(value, list):
            raise FilterError(f"{name} is compared with {given(value)} by in; give a list")
        found_in = {name: {"$in": value}}
        return found_in if None in value else {"$and": [present, found_in]}
    if operator not in _ORDER:
        raise FilterError(f"the filter compares {name} by {given(operator)}; use ==, !=, >, in ...")
    if value is None:  # nothing comes before or after it
        return {"$and": [present, {"$not": present}]}
    return {"$and": [present, {name: {_ORDER[operator]: value}}]}


def _haystack(
    document: OurDocument, score: float | None = None, meta: dict[str, Any] | None = None
) -> Document:
    kept = dict(document.fields) if meta is None else meta
    return Document(id=document.doc_id, content=document.text, meta=kept, score=score)
