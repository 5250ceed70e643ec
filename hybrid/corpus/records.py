"""Document, Query, and the protocol of every source of them."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hybrid.corpus.fields.types import FIELD_TYPES, FieldValue, widened
from hybrid.corpus.qrels import Qrels
from hybrid.errors import UsageError
from hybrid.machine.options import option

EXAMPLES_KEPT = 3
EVERY = "*"
"""Among the names of fields: all columns but those of id, title and text."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document; title and text are never both empty when it comes from a source.

    ``fields`` are what filters see, by name: texts, numbers, true, false, dates and times, lists
    of them, or None.
    """

    doc_id: str
    text: str
    title: str = ""
    fields: Mapping[str, FieldValue] = field(default_factory=dict, hash=False, repr=False)

    @property
    def full_text(self) -> str:
        """Return title and text joined by a space, the string that encoders see.

        >>> Document("d1", "sorted lists", title="merge").full_text
        'merge sorted lists'
        """
        return (self.title + " " + self.text).strip()


@dataclass(frozen=True, slots=True)
class Query:
    """One query."""

    query_id: str
    text: str


@dataclass
class Skipped:
    """How many records one pass left out, by reason, with the first few places of each.

    >>> skipped = Skipped()
    >>> skipped.add("empty document", "corpus.jsonl, line 471")
    >>> print(skipped)
    1 empty document (corpus.jsonl, line 471)
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Return the number of records left out."""
        return self.counts.total()

    def add(self, reason: str, place: str) -> None:
        """Count one record; its place is kept if it is among the first few of its reason."""
        self.counts[reason] += 1
        kept = self.examples.setdefault(reason, [])
        if len(kept) < EXAMPLES_KEPT:
            kept.append(place)

    def clear(self) -> None:
        """Forget everything: a new pass begins."""
        self.counts.clear()
        self.examples.clear()

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Return ``{reason: {"count": n, "examples": [...]}}``, most frequent first."""
        return {
            reason: {"count": count, "examples": list(self.examples[reason])}
            for reason, count in self.counts.most_common()
        }

    def __str__(self) -> str:
        parts = []
        for reason, count in self.counts.most_common():
            more = ", ..." if count > len(self.examples[reason]) else ""
            parts.append(f"{count} {reason} ({'; '.join(self.examples[reason])}{more})")
        return "; ".join(parts) or "nothing"


def field_names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas.

    >>> field_names("year, lang")
    ('year', 'lang')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read a source.

    Columns are field names (JSONL keys, header cells, Parquet columns, ir-datasets fields), or
    numbers from 1 for a TSV or CSV file without a header. None looks for the usual names.

    Attributes:
        split: the name that ``qrels`` goes by.
        fields: ``year:int`` reads a text as a number (also ``float``, ``bool``, ``str``, ``date``,
            ``datetime`` and a list of one, ``list[int]``; ``list`` is one of texts). Texts of a TSV
            or CSV file without a type are read as all of them allow. ``*`` stands for all columns
            but those of id, title and text. Names in one text have commas between.
        index_fields: the kinds of the fields of an index that the documents are added to. Without
            ``fields`` these are stored, and a source may lack them; values have those kinds.
        skip_bad: without it the first bad record is an error.
        delimiter: the column separator of TSV and CSV files (default: tab, comma).

    Raises:
        UsageError: an unknown encoding, one in which a newline is not the byte 10 (UTF-16, UTF-32),
            or a delimiter that is not one character.
    """

    id_column: str | None = option(None, "column of the document id")
    title_column: str | None = option(None, "column of the title")
    text_column: str | None = option(None, "column of the text")
    queries: str | Path | None = option(None, "file of queries (JSONL, TSV, CSV, Parquet)")
    query_id_column: str | None = option(None, "column of the query id")
    query_text_column: str | None = option(None, "column of the query text")
    qrels: str | Path | None = option(None, "file of judgments (TREC or BEIR)")
    split: str = "test"
    fields: tuple[str, ...] | str = option(
        (),
        "columns to store for filters, typed where texts hold them (int, float, bool, "
        "str, date, datetime, list): year:int,lang; '*' for all",
        read=field_names,
    )
    index_fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    skip_bad: bool = option(False, "leave out broken records, count and report them")
    delimiter: str | None = option(None, "column separator of a TSV or CSV file; \\t is a tab")
    encoding: str = option("utf-8", "of text files")

    def __post_init__(self) -> None:
        if isinstance(self.fields, str):
            object.__setattr__(self, "fields", field_names(self.fields))
        if self.delimiter == "\\t":
            object.__setattr__(self, "delimiter", "\t")
        for name, kind in self.typed_fields.items():
            known = self.index_fields.get(name, "")
            if kind and known and not (widened(known, kind) or widened(kind, known)):
                raise UsageError(
                    f"field {name!r} is to be read as {kind} and is {known} in the index; leave "
                    "the type out, or give the field another name"
                )
        self._check_encoding()
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or self.delimiter in '"\r\n\0 '
        ):
            raise UsageError(
                f"delimiter {self.delimiter!r} must be one character other than a quote, a space "
                "or a newline"
            )

    @property
    def typed_fields(self) -> dict[str, str]:
        """Return the type that each named field is read as, "" for that which it has.

        >>> SourceOptions(fields=("year:int", "lang")).typed_fields
        {'year': 'int', 'lang': ''}
        """
        if not self.fields:
            return dict.fromkeys(self.index_fields, "")
        found = {}
        for each in self.fields:
            name, colon, kind = each.rpartition(":")
            kind = "list[str]" if kind == "list" else kind
            if each == EVERY:
                continue
            if not colon or kind not in FIELD_TYPES:
                name, kind = each, ""
            found[name] = kind
        return found

    def _check_encoding(self) -> None:
        try:
            codecs.lookup(self.encoding)
            newline = b"\n".decode(self.encoding)
        except UnicodeError:
            newline = ""
        except (LookupError, ValueError) as error:
            raise UsageError(
                f"encoding {self.encoding!r} is not a text encoding that Python knows; "
                "give one such as utf-8, latin-1, cp1252, gb18030"
            ) from error
        if newline != "\n":
            raise UsageError(
                f"encoding {self.encoding!r} cannot be read line by line; convert the file to "
                f"utf-8 first (iconv -f {self.encoding} -t utf-8)"
            )


class Source(Protocol):
    """A corpus that can be read any number of times, with its queries and judgments.

    Nothing holds the corpus: ``documents`` streams. To find duplicates it keeps the set of ids
    seen so far (about 100 bytes a document).

    A source may have ``field_kinds`` too: the kind of each field of its documents, "" where no
    document has a value. Those of this package read all documents for it where fields are asked
    for, so that no value that cannot be stored comes up later.
    """

    @property
    def name(self) -> str:
        """Return the name for messages and for the manifest of an index."""
        ...

    @property
    def skipped(self) -> Skipped:
        """Return the records that the latest pass of ``documents`` left out, under ``skip_bad``."""
        ...

    @property
    def skipped_queries(self) -> Skipped:
        """Return the records that the latest pass of ``queries`` left out, under ``skip_bad``."""
        ...

    def documents(self) -> Iterator[Document]:
        """Yield the documents in the order of the source.

        Raises:
            CorpusError: a bad record (file, line and reason), no documents at all, or a source
                that cannot be read.
        """
        ...

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """Yield the queries judged in ``split``, or all of them for None.

        Raises:
            CorpusError: a bad record, an unknown split, a source without queries, or (unless
                ``skip_bad``) a judged query without text.
        """
        ...

    def qrels(self, split: str) -> Qrels:
        """Return the judgments of ``split``.

        Raises:
            CorpusError: an unknown split (the message lists the known ones) or broken judgments.
        """
        ...

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits that have judgments."""
        ...

    def document_count(self) -> int | None:
        """Return about how many documents there are, for progress; None where unknown."""
        ...
