"""Which columns of a record hold its id, title, text and fields."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hybrid.corpus.fields.types import TYPES_SAID
from hybrid.corpus.records import EVERY, SourceOptions
from hybrid.errors import CorpusError

ID_NAMES = ("_id", "id", "doc_id", "docid", "docno", "pid")
TITLE_NAMES = ("title",)
TEXT_NAMES = ("text", "contents", "body", "passage")
QUERY_ID_NAMES = ("_id", "id", "query_id", "query-id", "qid")
QUERY_TEXT_NAMES = ("text", "query", "question")

ABSENT = object()


@dataclass(frozen=True, slots=True)
class Row:
    """One record as its file gave it: where it stands, and its fields."""

    place: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Columns:
    """Field names to try in order, for id, title and text; ``chosen`` are those the user named.

    ``fields`` are those to store; with ``every`` the others, too.
    """

    id: tuple[str, ...]
    title: tuple[str, ...]
    text: tuple[str, ...]
    chosen: tuple[str, ...] = ()
    title_chosen: bool = False
    fields: Mapping[str, str] = field(default_factory=dict)
    fields_optional: bool = False
    every: bool = False

    @property
    def required_fields(self) -> tuple[str, ...]:
        """Those that must be there: none of an index's own that documents are added to."""
        return () if self.fields_optional else tuple(self.fields)

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
            not options.fields,
            EVERY in options.fields,
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


def other_values(fields: Mapping[str, object], columns: Columns) -> dict[str, object]:
    """Return the values of a record but those of id, title and text; nested ones by dots.

    >>> columns = Columns(("id",), ("title",), ("text", "body"))
    >>> other_values({"id": "a", "text": "x", "body": "y", "meta": {"year": 2020}}, columns)
    {'body': 'y', 'meta.year': 2020}
    """
    options = (columns.id, columns.title, columns.text)
    used = {next((n for n in names if lookup(fields, n) is not None), "") for names in options}
    return {name: value for name, value in flat(fields) if name and name not in used}


def flat(fields: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    """Yield the name and value of each field; names in nested objects have dots."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def refuse_absent_fields(place: str, names: Iterable[str], present: Collection[str]) -> None:
    """Refuse fields to store that are not among those ``present``.

    Raises:
        CorpusError: names them and what there is; of ``year:number`` says which types there are.
    """
    missing = [name for name in names if name not in present]
    if not missing:
        return
    typed = any(":" in name for name in missing)
    types = f"; a type after a colon is one of {TYPES_SAID}" if typed else ""
    raise CorpusError(
        f"{place}: no column {', '.join(map(repr, missing))} to store as a field, found "
        f"{', '.join(map(shown, list(present)[:20]))}; name columns that are there{types}"
    )


def lookup(fields: Mapping[str, object], name: str, absent: object = None) -> object:
    """Return the value of a name, which may lead by dots into nested objects; else ``absent``.

    >>> lookup({"meta": {"year": 2020}, "a.b": 1}, "meta.year"), lookup({"a.b": 1}, "a.b")
    (2020, 1)
    """
    if name in fields:
        return fields[name]
    value: object = fields
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return absent
        value = value[part]
    return value


def shown(value: object) -> str:
    """Return the value as a message shows it: at most 60 characters.

    >>> shown(["x"] * 100)
    "['x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', '..."
    """
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
