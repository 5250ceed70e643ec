"""The door through which every record passes: a Document or Query comes out, or a counted refusal.

Awkward input has its one home here: ids that are missing, not strings, repeated or unusable in TREC
files; texts that are missing, empty, or not encodable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, TypeVar

from hybrid.corpus.fields import field_value
from hybrid.corpus.records import FIELD_TYPES, Document, FieldValue, Query, Skipped, SourceOptions
from hybrid.errors import CorpusError

ID_NAMES = ("_id", "id", "doc_id", "docid", "docno", "pid")
TITLE_NAMES = ("title",)
TEXT_NAMES = ("text", "contents", "body", "passage")
QUERY_ID_NAMES = ("_id", "id", "query_id", "query-id", "qid")
QUERY_TEXT_NAMES = ("text", "query", "question")

R = TypeVar("R", Document, Query)

Reason = Literal[
    "broken line",
    "wrong encoding",
    "missing field",
    "field that is no string",
    "unusable id",
    "NUL byte",
    "unusable field",
    "empty document",
    "empty query",
    "duplicate id",
]

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One record as its file gave it: where it stands, and its fields."""

    place: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Columns:
    """Field names to try in order, for id, title and text; ``chosen`` are those the user named."""

    id: tuple[str, ...]
    title: tuple[str, ...]
    text: tuple[str, ...]
    chosen: tuple[str, ...] = ()
    title_chosen: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    fields_optional: bool = False

    @classmethod
    def of_documents(cls, options: SourceOptions) -> Columns:
        """Return the columns of documents: the chosen ones, else the usual names."""
        chosen = (options.id_column, options.title_column, options.text_column)
        return cls(
            (options.id_column,) if options.id_column else ID_NAMES,
            (options.title_column,) if options.title_column else TITLE_NAMES,
            (options.text_column,) if options.text_column else TEXT_NAMES,
            tuple(name for name in chosen if name),
            bool(options.title_column),
            options.typed_fields,
            options.fields_optional,
        )

    @classmethod
    def of_queries(cls, options: SourceOptions) -> Columns:
        """Return the columns of queries: the chosen ones, else the usual names."""
        chosen = (options.query_id_column, options.query_text_column)
        return cls(
            (options.query_id_column,) if options.query_id_column else QUERY_ID_NAMES,
            (),
            (options.query_text_column,) if options.query_text_column else QUERY_TEXT_NAMES,
            tuple(name for name in chosen if name),
        )


def refuse_absent_fields(place: str, names: Iterable[str], present: Collection[str]) -> None:
    """Refuse fields to store that are not among those ``present``.

    Raises:
        CorpusError: names them and what there is; of ``year:date`` says which types there are.
    """
    missing = [name for name in names if name not in present]
    if not missing:
        return
    typed = any(":" in name for name in missing)
    types = f"; a type after a colon is one of {', '.join(FIELD_TYPES)}" if typed else ""
    raise CorpusError(
        f"{place}: no column {', '.join(map(repr, missing))} to store as a field, found "
        f"{', '.join(map(shown, list(present)[:20]))}; name columns that are there{types}"
    )


class RefusedError(Exception):
    """One record that cannot be used; never leaves this package."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Door:
    """What happens to a refused record: an error, or with ``skip_bad`` a count in ``skipped``."""

    skipped: Skipped
    skip_bad: bool

    def refuse(self, place: str, reason: Reason, detail: str) -> None:
        """Count the record, or raise a CorpusError that names place and reason."""
        if self.skip_bad:
            self.skipped.add(reason, place)
            return
        raise CorpusError(
            f"{place}: {reason}: {detail}. Mend it, or leave such records out with --skip-bad "
            "(SourceOptions(skip_bad=True)), which counts and reports them"
        )

    def documents(self, rows: Iterable[Row], columns: Columns, name: str) -> Iterator[Document]:
        """Yield the good documents of ``rows``.

        Raises:
            CorpusError: a bad record without ``skip_bad``, or not one good record.
        """
        found = 0
        for document in self._accepted(rows, columns, _document):
            found += 1
            yield document
        if not found:
            left_out = f"; left out: {self.skipped}" if self.skipped.total else ""
            raise CorpusError(
                f"{name}: no documents, expected at least one{left_out}. "
                "Check the path and the column names"
            )

    def queries(self, rows: Iterable[Row], columns: Columns) -> Iterator[Query]:
        """Yield the good queries of ``rows``; a CorpusError at a bad one without ``skip_bad``."""
        return self._accepted(rows, columns, _query)

    def _accepted(
        self, rows: Iterable[Row], columns: Columns, make: Callable[[Row, Columns, set[str]], R]
    ) -> Iterator[R]:
        seen: set[str] = set()
        for row in rows:
            try:
                record = make(row, columns, seen)
            except RefusedError as refused:
                self.refuse(row.place, refused.reason, refused.detail)
                continue
            yield record


def _document(row: Row, columns: Columns, seen: set[str]) -> Document:
    doc_id = _identifier(row.fields, columns.id, seen)
    title = _string(row.fields, columns.title, doc_id, required=False)
    if columns.title_chosen and columns.title[0] not in row.fields:
        _field(row.fields, columns.title)
    text = _string(row.fields, columns.text, doc_id, required=True)
    if not (title.strip() or text.strip()):
        raise RefusedError("empty document", f"title and text of {doc_id!r} are both empty")
    seen.add(doc_id)
    return Document(doc_id, text, title, _metadata(row.fields, columns.fields, doc_id))


def _metadata(
    fields: Mapping[str, object], types: Mapping[str, str], doc_id: str
) -> dict[str, FieldValue]:
    """Return the chosen fields that have a value; dates and times become ISO texts, which sort."""
    found: dict[str, FieldValue] = {}
    for name, kind in types.items():
        value = fields.get(name)
        if isinstance(value, date):
            value = value.isoformat()
        if isinstance(value, str):
            _check_characters(name, value)
        if value is not None and not isinstance(value, str | int | float):
            raise RefusedError(
                "unusable field",
                f"{name!r} of {doc_id!r} is {shown(value)}, expected a text, a number or a boolean",
            )
        try:
            typed = field_value(value, kind)
        except ValueError as error:
            raise RefusedError(
                "unusable field", f"{name!r} of {doc_id!r} is {shown(value)}, expected {error}"
            ) from error
        if typed is not None:
            found[name] = typed
    return found


def _query(row: Row, columns: Columns, seen: set[str]) -> Query:
    query_id = _identifier(row.fields, columns.id, seen)
    text = _string(row.fields, columns.text, query_id, required=True)
    if not text.strip():
        raise RefusedError("empty query", f"the text of {query_id!r} is empty")
    seen.add(query_id)
    return Query(query_id, text)


def _identifier(fields: Mapping[str, object], names: tuple[str, ...], seen: set[str]) -> str:
    name, value = _field(fields, names)
    if not isinstance(value, str):
        raise RefusedError(
            "field that is no string",
            f"id {name!r} is {shown(value)}, expected a string such as {shown(str(value))}",
        )
    check_identifier(name, value)
    if value in seen:
        raise RefusedError("duplicate id", f"id {shown(value)} occurs a second time")
    return value


def check_identifier(name: str, value: str) -> None:
    """Do nothing if a text will do for the id of a document or query.

    Raises:
        RefusedError: it is empty, or holds what cannot be stored or written to a run file.
    """
    _check_characters(name, value)
    if not value:
        raise RefusedError("unusable id", f"id {name!r} is empty")
    if any(character.isspace() for character in value):
        raise RefusedError(
            "unusable id",
            f"id {shown(value)} holds white space, which separates the columns of run and qrels "
            "files",
        )


def _string(
    fields: Mapping[str, object], names: tuple[str, ...], record_id: str, *, required: bool
) -> str:
    if not required and not any(fields.get(name) is not None for name in names):
        return ""
    name, value = _field(fields, names)
    if not isinstance(value, str):
        raise RefusedError(
            "field that is no string",
            f"{name!r} of {record_id!r} is {shown(value)}, expected a string",
        )
    _check_characters(name, value)
    return value


def _field(fields: Mapping[str, object], names: tuple[str, ...]) -> tuple[str, object]:
    for name in names:
        if fields.get(name) is not None:
            return name, fields[name]
    wanted = " or ".join(repr(name) for name in names)
    found = ", ".join(repr(name) for name in list(fields)[:8]) or "none"
    raise RefusedError("missing field", f"expected {wanted}, found the fields {found}")


def _check_characters(name: str, value: str) -> None:
    if "\0" in value:
        raise RefusedError("NUL byte", f"{name!r} holds a NUL byte at {value.index(chr(0))}")
    if not value.isascii() and (half := _SURROGATE.search(value)):
        raise RefusedError(
            "wrong encoding",
            f"{name!r} holds {half.group()!a} at {half.start()}: a byte outside the encoding or "
            "half of a surrogate pair; name the right encoding with --encoding",
        )


def shown(value: object) -> str:
    """Return the value as a message shows it: at most 60 characters.

    >>> shown(["x"] * 100)
    "['x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', '..."
    """
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
