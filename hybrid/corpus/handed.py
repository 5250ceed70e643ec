"""Documents that a program hands over itself, in place of those that a source reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hybrid.arguments import given
from hybrid.corpus.records import Document
from hybrid.errors import UsageError


def handed_documents(documents: Iterable[Document]) -> Iterator[Document]:
    """Return an iterator over ``documents``, each checked when it is reached.

    Raises:
        UsageError: at once, if it is no collection of documents; later, at what is no Document, or
            one whose id, text or title is no text.
    """
    if isinstance(documents, str | bytes | Mapping | Document) or not isinstance(
        documents, Iterable
    ):
        raise UsageError(
            f"for documents, {given(documents)} was given; give a list of "
            "hybrid.Document(doc_id, text), or hybrid.open_source(...).documents()"
        )
    return _checked(documents)


def _checked(documents: Iterable[Document]) -> Iterator[Document]:
    for place, document in enumerate(documents):
        if not isinstance(document, Document):
            raise UsageError(
                f"for documents, {given(document)} was given at place {place}; give "
                "hybrid.Document(doc_id, text)"
            )
        for name in ("doc_id", "text", "title"):
            value = getattr(document, name)
            if not isinstance(value, str):
                raise UsageError(
                    f"the {name} of the document at place {place} is {given(value)}; give a text"
                )
        yield document
