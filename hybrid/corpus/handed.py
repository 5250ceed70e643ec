"""Whatever holds documents in a program, as a source; and the check of documents it hands over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias, cast

from hybrid.corpus import open_source
from hybrid.corpus.arrow import arrow_rows, table_batches
from hybrid.corpus.checks import (
    Door,
    RefusedError,
    check_identifier,
    check_not_empty,
    check_text,
    checked_fields,
    surveyed,
)
from hybrid.corpus.columns import ABSENT, Columns, Row, lookup, refuse_absent_fields
from hybrid.corpus.fields.kinds import FieldKinds
from hybrid.corpus.files import FileSource
from hybrid.corpus.records import Document, Source, SourceOptions
from hybrid.errors import CorpusError, UsageError, given

Documents: TypeAlias = "Source | str | Path | Iterable[Any]"
"""Anything that holds documents; see `as_source`."""
FIRST, FIRST_CHARACTERS = 1000, 1 << 24
"""Documents that are read, and checked, before a model is loaded; no more than so many texts."""
Read: TypeAlias = "Callable[[Door, FieldKinds, Columns], Iterator[Document]]"


def as_source(held: Documents, options: SourceOptions | None = None) -> Source:
    """Return the source that ``held`` is; no document is read yet.

    Args:
        held: a source; a path or ir-datasets id; a pandas or Polars DataFrame, an Arrow table or
            dataset, a Hugging Face dataset; a list or iterator of dictionaries, of texts (whose ids
            are their places, from 0), or of documents.
        options: which columns hold id, title, text and fields, and what to do with bad records.

    Raises:
        UsageError: it is none of them, or a source, which is read as it was opened.
    """
    if callable(getattr(held, "documents", None)):
        if options is not None and replace(options, index_fields={}) != SourceOptions():
            raise UsageError("a source is read as it was opened; give the options to open_source")
        return cast("Source", held)
    options = options or SourceOptions()
    if isinstance(held, str | Path):
        try:
            return open_source(held, options=options)
        except CorpusError as error:
            raise UsageError(f"for documents, {given(held)} was given: {error}") from error
    if type(held).__name__ == "Series":  # of pandas or Polars: a column of texts
        held = cast("Any", held).to_list()
    name, batches = f"the {type(held).__name__}", table_batches(held)
    if batches is not None:

        def rows(columns: Columns) -> Iterator[Row]:
            return arrow_rows(*batches(), columns, name)

        once = type(held).__name__ == "RecordBatchReader"
        return HandedSource(name, _read_rows(name, rows), options, _count(held), once)
    if isinstance(held, str | bytes | Mapping | Document) or not isinstance(held, Iterable):
        raise UsageError(_no_documents(held))
    return _listed(name, held, options)


class HandedSource(FileSource):
    """Documents that a program holds; queries and qrels come from files.

    Args:
        name: for messages.
        read: yields the good documents, for a door and what sees the fields.
        options: how they are read.
        count: how many there are, where that is known.
        once: it can be read only once, so nothing is known of it beforehand.
    """

    def __init__(
        self,
        name: str,
        read: Read,
        options: SourceOptions,
        count: int | None,
        once: bool,
    ) -> None:
        super().__init__((), options, name)
        self._reader, self._count, self._once = read, count, once

    @cached_property
    def field_kinds(self) -> Mapping[str, str]:
        """Return the kind of each field; see Source."""
        if self._once:
            declared = {name: kind for name, kind in self._options.typed_fields.items() if kind}
            return dict(self._options.index_fields) | declared
        return surveyed(self._options, self._read, always=True)

    @property
    def _has_cells(self) -> bool:
        return False

    def _read(self, door: Door, kinds: FieldKinds) -> Iterator[Document]:
        return self._reader(door, kinds, Columns.of_documents(self._options))

    def document_count(self) -> int | None:
        """Return how many there are, where that is known."""
        return self._count


def _listed(name: str, held: Iterable[Any], options: SourceOptions) -> HandedSource:
    """Return the source of a list or iterator; its first element says what all of them are."""
    once, iterator = iter(held) is held, iter(held)
    first = list(islice(iterator, 1))

    def again() -> Iterator[Any]:
        return chain(first, iterator) if once else iter(held)

    def documents(door: Door, kinds: FieldKinds, columns: Columns) -> Iterator[Document]:
        return handed_documents(again(), kinds)

    def rows(columns: Columns) -> Iterator[Row]:
        read = _text_rows if isinstance(first[0], str) else _record_rows
        return read(name, again(), columns)

    count = _count(held)
    if not first or isinstance(first[0], Document):
        return HandedSource(name, documents, options, count, once)
    if not isinstance(first[0], str | Mapping):
        raise UsageError(
            f"for documents, {given(first[0])} was given at place 0; give "
            "hybrid.Document(doc_id, text), dictionaries or texts"
        )
    return HandedSource(name, _read_rows(name, rows), options, count, once)


def _read_rows(name: str, rows: Callable[[Columns], Iterator[Row]]) -> Read:
    def read(door: Door, kinds: FieldKinds, columns: Columns) -> Iterator[Document]:
        return door.documents(rows(columns), columns, name, kinds)

    return read


def _text_rows(name: str, texts: Iterable[Any], columns: Columns) -> Iterator[Row]:
    """Yield a row for each text; its id is its place, from 0."""
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise UsageError(f"for documents, {given(text)} was given at place {place}; give texts")
        fields = {columns.id[0]: str(place), columns.text[0]: str(text)}
        yield Row(f"{name}, place {place}", fields)


def _record_rows(name: str, records: Iterable[Any], columns: Columns) -> Iterator[Row]:
    """Yield a row for each dictionary; an id that is a whole number becomes a text.

    Raises:
        UsageError: something else is among them.
        CorpusError: no dictionary has a field that was asked for.
    """
    missing, found = set(columns.fields), dict[str, None]()
    for place, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise UsageError(
                f"for documents, {given(record)} was given at place {place}; give dictionaries"
            )
        if missing:
            missing -= {each for each in missing if lookup(record, each, ABSENT) is not ABSENT}
            found |= dict.fromkeys(record)
        whole = {
            each: str(record[each])
            for each in columns.id
            if isinstance(record.get(each), Integral) and not isinstance(record[each], bool)
        }
        yield Row(f"{name}, place {place}", {**record, **whole})
    if found and not columns.fields_optional:
        refuse_absent_fields(name, missing, found)


def _count(held: Any) -> int | None:
    return len(held) if hasattr(held, "__len__") else None


def _no_documents(held: object) -> str:
    return (
        f"for documents, {given(held)} was given; give a list of hybrid.Document(doc_id, text), of "
        "dictionaries or of texts, a table, a path or an ir-datasets id"
    )


def begun(
    source: Source, index_fields: Mapping[str, str] | None = None
) -> tuple[FieldKinds, Iterator[Document]]:
    """Return the check of a source's fields, and its documents, of which the first were read.

    So what is wrong with columns, with the first thousand documents, and, where fields are stored,
    with any value, is said at once.

    Args:
        source: of the documents.
        index_fields: the kinds of the fields of the index that they are added to.

    Raises:
        CorpusError, UsageError: as `Source.documents` and `handed_documents`.
    """
    stored = index_fields or {}
    # A source that a program made for itself need not know its fields.
    kinds = FieldKinds({**stored, **getattr(source, "field_kinds", {})}, index=stored)
    documents = handed_documents(source.documents(), kinds)
    first, characters = [], 0
    for document in islice(documents, FIRST):
        first.append(document)
        characters += len(document.text)
        if characters > FIRST_CHARACTERS:
            break
    if not first:
        raise CorpusError(f"{source.name} has no documents; an index needs at least one")
    return kinds, chain(first, documents)


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
        raise UsageError(_no_documents(documents))
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
