"""The door through which every record and every text passes.

Of a record a Document or Query comes out, or a counted refusal. Awkward input has its home here:
ids that are missing, not strings, repeated or unusable in TREC files; texts that are missing,
empty, or not encodable. `check_text` is the same check for texts of a program or a shell.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

from hybrid.corpus.columns import ABSENT, Columns, Row, flat, lookup, other_values, shown
from hybrid.corpus.fields.kinds import FieldKinds
from hybrid.corpus.fields.types import FieldValue
from hybrid.corpus.records import EVERY, Document, Query, Skipped, SourceOptions
from hybrid.errors import CorpusError, UsageError, given

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


class RefusedError(Exception):
    """One record that cannot be used; never leaves this package."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason: Reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Door:
    """The check of every record: a refused one is an error, or with ``skip_bad`` a count."""

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

    def documents(
        self, rows: Iterable[Row], columns: Columns, name: str, kinds: FieldKinds | None = None
    ) -> Iterator[Document]:
        """Yield the good documents of ``rows``; ``kinds`` sees each value of their fields.

        Raises:
            CorpusError: a bad record without ``skip_bad``, or not one good record.
        """
        found = 0
        kinds = kinds or FieldKinds(read=columns.fields)

        def make(row: Row, columns: Columns, seen: set[str]) -> Document:
            return _document(row, columns, seen, kinds)

        for document in self._accepted(rows, columns, make):
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


def field_pass(
    options: SourceOptions, known: Mapping[str, str] | None, *, cells: bool = False
) -> FieldKinds:
    """Return the check of fields for one pass over a source; ``known`` are the kinds it found."""
    return FieldKinds(
        options.index_fields if known is None else known,
        read=options.typed_fields,
        cells=cells,
        index=options.index_fields,
    )


def surveyed(
    options: SourceOptions,
    documents: Callable[[Door, FieldKinds], Iterator[Document]],
    *,
    cells: bool = False,
    always: bool = False,
) -> dict[str, str]:
    """Return the kinds of the fields that are asked for, by a pass over all documents.

    A field without a value has the kind "". Without a field to store nothing is read, unless
    ``always``.
    """
    if not (options.typed_fields or EVERY in options.fields or always):
        return {}
    kinds = field_pass(options, None, cells=cells)
    for _ in documents(Door(Skipped(), options.skip_bad), kinds):
        pass
    return dict.fromkeys(options.typed_fields, "") | kinds.kinds


def _document(row: Row, columns: Columns, seen: set[str], kinds: FieldKinds) -> Document:
    doc_id = _identifier(row.fields, columns.id, seen)
    title = _string(row.fields, columns.title, doc_id, required=False)
    if columns.title_chosen and lookup(row.fields, columns.title[0], ABSENT) is ABSENT:
        _field(row.fields, columns.title, doc_id)
    text = _string(row.fields, columns.text, doc_id, required=True)
    check_not_empty(doc_id, title, text)
    given = other_values(row.fields, columns) if columns.every else {}
    given |= {name: lookup(row.fields, name) for name in columns.fields}
    fields = checked_fields(given, kinds, doc_id)
    seen.add(doc_id)
    present = {name: value for name, value in fields.items() if value is not None}
    return Document(doc_id, text, title, present)


def check_not_empty(doc_id: str, title: str, text: str) -> None:
    """Refuse a document without a word, by a RefusedError."""
    if not (title.strip() or text.strip()):
        raise RefusedError("empty document", f"title and text of {doc_id!r} are both empty")


def checked_fields(
    fields: Mapping[str, object], kinds: FieldKinds, doc_id: str
) -> dict[str, FieldValue]:
    """Return the fields of one document as they are stored: the one check for every writer.

    Raises:
        RefusedError: a value that no filter could see, or of another kind than its field.
    """
    found = {}
    for name, value in fields.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if isinstance(each, str):
                _check_characters(name, each)
        try:
            found[name] = kinds.value(name, value)
        except (ValueError, OverflowError) as error:
            raise RefusedError(
                "unusable field", f"{name!r} of {doc_id!r} is {shown(value)}, expected {error}"
            ) from error
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
    _check_characters(name, value)
    check_identifier(name, value)
    if value in seen:
        raise RefusedError("duplicate id", f"id {shown(value)} occurs a second time")
    return value


def check_identifier(name: str, value: str) -> None:
    """Do nothing if a text will do for the id of a document or query.

    Raises:
        RefusedError: it is empty, or cannot be written to a run file.
    """
    if not value:
        raise RefusedError("unusable id", f"id {name!r} is empty")
    if value.split() != [value]:
        raise RefusedError(
            "unusable id",
            f"id {shown(value)} holds white space, which separates the columns of run and qrels "
            "files",
        )


def _string(
    fields: Mapping[str, object], names: tuple[str, ...], record_id: str, *, required: bool
) -> str:
    if not required and not any(lookup(fields, name) is not None for name in names):
        return ""
    name, value = _field(fields, names, record_id)
    if not isinstance(value, str):
        raise RefusedError(
            "field that is no string",
            f"{name!r} of {record_id!r} is {shown(value)}, expected a string{_inside(name, value)}",
        )
    _check_characters(name, value)
    return value


def _field(
    fields: Mapping[str, object], names: tuple[str, ...], record_id: str = ""
) -> tuple[str, object]:
    for name in names:
        if (value := lookup(fields, name)) is not None:
            return name, value
    null = next((name for name in names if lookup(fields, name, ABSENT) is None), None)
    if null is not None:
        of = f" of {record_id!r}" if record_id else ""
        raise RefusedError("missing field", f"{null!r}{of} is null, expected a text")
    wanted = " or ".join(repr(name) for name in names)
    found = ", ".join(repr(name) for name, _ in islice(flat(fields), 8)) or "none"
    raise RefusedError(
        "missing field", f"expected {wanted}, found the fields {found}; name the one that is meant"
    )


def _inside(name: str, value: object) -> str:
    """Return a hint at the names in a nested object, such as body.text; else nothing."""
    names = [each for each, _ in islice(flat({name: value}), 8)]
    return (
        f"; name a part of it: {', '.join(names)}" if isinstance(value, Mapping) and names else ""
    )


def _check_characters(name: str, value: str) -> None:
    if fault := _text_fault(value):
        cure = "; name the right encoding with --encoding" if fault[0] == "wrong encoding" else ""
        raise RefusedError(fault[0], f"{name!r} holds {fault[1]}{cure}")


def _text_fault(value: str) -> tuple[Reason, str] | None:
    """Return why a text cannot be encoded, stored and written to a file; None if it can."""
    if "\0" in value:
        return "NUL byte", f"a NUL byte at {value.index(chr(0))}"
    if not value.isascii() and (half := _SURROGATE.search(value)):
        return "wrong encoding", (
            f"{half.group()!a} at {half.start()}, which is not Unicode: a byte outside the "
            "encoding or half of a surrogate pair"
        )
    return None


def check_text(what: str, value: object, *, nul: bool = False) -> str:
    """Return a text that was handed over; every public verb passes its texts through here.

    Args:
        what: the argument or query that it is, for messages.
        value: must be a text in Unicode, without NUL bytes.
        nul: whether it may hold some, as what a filter compares with may.

    Raises:
        UsageError: it is not.

    >>> check_text("the query", "\\ud800")
    Traceback (most recent call last):
        ...
    hybrid.errors.UsageError: the query holds '\\ud800' at 0, which is not Unicode: a byte ...
    """
    if not isinstance(value, str):
        raise UsageError(f"{what} is {given(value)}; give a text")
    if fault := _text_fault(value.replace("\0", " ") if nul else value):
        raise UsageError(f"{what} holds {fault[1]}; mend it where it comes from")
    return value


def check_name(what: str, value: object) -> str:
    """Return a text that names something, so it is not empty; else as `check_text`."""
    if not check_text(what, value).strip():
        raise UsageError(f"{what} is empty; give a word")
    return str(value)


def is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
