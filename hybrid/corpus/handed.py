"""Documents that a program hands over itself, in place of those that a source reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from hybrid.corpus.checks import RefusedError, check_identifier
from hybrid.corpus.records import Document, FieldValue
from hybrid.errors import UsageError, given


def handed_documents(documents: Iterable[Document]) -> Iterator[Document]:
    """Return an iterator over ``documents``, each checked when it is reached.

    Raises:
        UsageError: at once, if it is no collection of documents; later, at what is no Document, or
            one whose id, text or title is no text, whose id is empty or holds white space, or whose
            fields filters could not see. NumPy's numbers become Python's.
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
        try:
            check_identifier("doc_id", document.doc_id)
        except RefusedError as refused:
            raise UsageError(f"the document at place {place}: {refused.detail}") from refused
        fields = _plain_fields(document.fields, place)
        yield document if fields is document.fields else replace(document, fields=fields)


def _plain_fields(fields: object, place: int) -> Mapping[str, FieldValue]:
    """Return the fields, those themselves if they are plain already; None is no fields."""
    if fields is None:
        return {}
    if not isinstance(fields, Mapping):
        raise UsageError(
            f"the fields of the document at place {place} are {given(fields)}; give a dictionary"
        )
    plain = {}
    for name, value in fields.items():
        if not isinstance(name, str):
            raise UsageError(
                f"for the name of a field, {given(name)} was given in the document at place "
                f"{place}; give a text"
            )
        number = isinstance(value, np.integer | np.floating | np.bool_ | np.str_)
        plain[name] = value.item() if number else value
        if plain[name] is not None and not isinstance(plain[name], str | int | float):
            raise UsageError(
                f"field {name!r} of the document at place {place} is {given(value)}; give a text, "
                "a number, True, False or None"
            )
    return fields if all(plain[name] is fields[name] for name in plain) else plain
