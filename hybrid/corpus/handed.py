"""Documents and judgments that a program hands over, in place of those that a source reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from numbers import Integral, Real

import numpy as np

from hybrid.corpus.checks import (
    RefusedError,
    check_identifier,
    check_not_empty,
    check_text,
    checked_fields,
)
from hybrid.corpus.fields import FieldKinds
from hybrid.corpus.qrels import LARGEST_GRADE, Qrels
from hybrid.corpus.records import Document
from hybrid.errors import CorpusError, UsageError, given


def handed_documents(
    documents: Iterable[Document], kinds: FieldKinds | None = None
) -> Iterator[Document]:
    """Return an iterator over ``documents``, each checked when it is reached.

    Args:
        documents: read once.
        kinds: sees each value of their fields.

    Raises:
        UsageError: at once, if it is no collection of documents; later, at what is no Document, or
            one that a source would refuse. The numbers of NumPy become Python's.
        CorpusError: an id twice.
    """
    if isinstance(documents, str | bytes | Mapping | Document) or not isinstance(
        documents, Iterable
    ):
        raise UsageError(
            f"for documents, {given(documents)} was given; give a list of "
            "hybrid.Document(doc_id, text), or hybrid.open_source(...).documents()"
        )
    return _checked(documents, kinds or FieldKinds())


def _checked(documents: Iterable[Document], kinds: FieldKinds) -> Iterator[Document]:
    seen: set[str] = set()
    names: set[str] = set()
    for number, document in enumerate(documents):
        place = f"the document at place {number}"
        if not isinstance(document, Document):
            raise UsageError(
                f"for documents, {given(document)} was given at place {number}; give "
                "hybrid.Document(doc_id, text)"
            )
        for name in ("doc_id", "text", "title"):
            check_text(f"the {name} of {place}", getattr(document, name))
        fields = {} if document.fields is None else document.fields
        if not isinstance(fields, Mapping):
            raise UsageError(f"the fields of {place} are {given(fields)}; give a dictionary")
        for name in fields.keys() - names:
            names.add(check_text(f"the name of a field of {place}", name))
        try:
            check_identifier("doc_id", document.doc_id)
            check_not_empty(document.doc_id, document.title, document.text)
            plain = checked_fields(fields, kinds, document.doc_id)
        except RefusedError as refused:
            raise UsageError(f"{place}: {refused.reason}: {refused.detail}") from refused
        if document.doc_id in seen:
            raise CorpusError(
                f"document id {document.doc_id!r} occurs twice, the second time at place {number}; "
                "ids must be unique"
            )
        seen.add(document.doc_id)
        same = fields is document.fields and all(plain[name] is fields[name] for name in plain)
        yield document if same else replace(document, fields=plain)


def checked_qrels(qrels: object) -> Qrels:
    """Return the judgments ``{query_id: {doc_id: grade}}`` with grades that are plain ints.

    The whole numbers of NumPy, floats such as 2.0, and true and false are taken as grades.

    Raises:
        UsageError: it is no such mapping, or a grade or id is something else; names it.

    >>> checked_qrels({"q1": {"d1": 1.0, "d2": True}})
    {'q1': {'d1': 1, 'd2': 1}}
    """
    if not isinstance(qrels, Mapping):
        raise UsageError(
            f"for the judgments, {given(qrels)} was given; give {{query_id: {{doc_id: grade}}}}"
        )
    found: Qrels = {}
    for query_id, judged in qrels.items():
        check_text("a query id of the judgments", query_id)
        if not isinstance(judged, Mapping):
            raise UsageError(
                f"for the judgments of query {query_id!r}, {given(judged)} was given; give "
                "{doc_id: grade}, with 1 where a document is relevant"
            )
        for doc_id in judged:
            check_text(f"a document id in the judgments of query {query_id!r}", doc_id)
        found[query_id] = {
            doc_id: grade
            if type(grade) is int and abs(grade) <= LARGEST_GRADE
            else _grade(grade, query_id, doc_id)
            for doc_id, grade in judged.items()
        }
    return found


def _grade(grade: object, query_id: str, doc_id: str) -> int:
    whole = isinstance(grade, Integral | np.bool_) or (
        isinstance(grade, Real) and float(grade).is_integer()
    )
    if not whole or abs(int(grade)) > LARGEST_GRADE:  # type: ignore[call-overload]
        raise UsageError(
            f"the grade of document {doc_id!r} for query {query_id!r} is {given(grade)}; give a "
            f"whole number from {-LARGEST_GRADE} to {LARGEST_GRADE}"
        )
    return int(grade)  # type: ignore[call-overload, no-any-return]
