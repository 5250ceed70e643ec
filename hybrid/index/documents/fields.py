"""Document fields for filters: an Arrow column each, memory-mapped, null where there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from hybrid.corpus import Document
from hybrid.corpus.fields.kinds import MAX_FIELDS
from hybrid.corpus.fields.types import DATES, Scalar, element_of, is_list
from hybrid.corpus.fields.values import Plain, as_time, read_date, shown_value
from hybrid.errors import CorpusError, CorruptIndexError
from hybrid.index.documents.filter_columns import DAY, microseconds

Facets: TypeAlias = dict[str, dict[Scalar, int]]
"""Field to value to how many documents hold it, most first, ties by value."""
Types: TypeAlias = Callable[[], Mapping[str, Any]]
"""Returns the Arrow types of the fields of a whole index."""
FIELDS = "fields.arrow"
FIRST_TIME, LAST_TIME = -719_162 * DAY, 2_932_897 * DAY
_SCALARS: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.large_string(),
    "date": pa.date32(),
    "datetime": pa.timestamp("us", "UTC"),
}
_LISTS = {f"list[{kind}]": pa.large_list(each) for kind, each in _SCALARS.items()}
_TYPES = _SCALARS | _LISTS
FIRST_FORMAT = {"bool", "int", "float", "str"}
"""The kinds that the first format of an index had."""


def format_of(kinds: Mapping[str, str]) -> int:
    """Return the format of an index that the fields need: 2 for lists, dates and times.

    >>> format_of({"year": "int"}), format_of({"tags": "list[str]"})
    (1, 2)
    """
    return 1 if FIRST_FORMAT.issuperset(kinds.values()) else 2


class FieldWriter:
    """Gathers the fields of documents, each part as compact Arrow arrays; `save` joins them.

    Fields of these ``kinds`` are written in any case; others as their values are. Dates and lists
    are written only where the kind says so, since a date comes as its ISO text.
    """

    def __init__(self, kinds: Mapping[str, str] | None = None) -> None:
        self._parts: list[tuple[int, dict[str, pa.Array]]] = []
        self._types: dict[str, pa.DataType] = {
            name: _TYPES[kind] for name, kind in (kinds or {}).items()
        }

    def add(self, documents: Sequence[Document]) -> None:
        """Take the fields of some documents, those after the ones already taken.

        Raises:
            CorpusError: a value of another type than the field has elsewhere, or too many fields.
        """
        given = [each for document in documents for each in document.fields.items()]
        names = {name for name, value in given if value is not None}
        arrays = {}
        for name in sorted(names):
            values = [document.fields.get(name) for document in documents]
            arrays[name] = self._array(name, values)
        self._parts.append((len(documents), arrays))
        if len(self._types) > MAX_FIELDS:
            raise CorpusError(f"the documents have over {MAX_FIELDS} different fields")

    def _array(self, name: str, values: list[Any]) -> pa.Array:
        known = self._types.get(name)
        if known not in (None, *(_TYPES[kind] for kind in FIRST_FORMAT)):
            return _typed_array(name, values, known)
        kinds = {type(value).__name__ for value in values if value is not None}
        if known is not None:
            kinds.add(next(kind for kind, each in _TYPES.items() if each == known))
        kind = "float" if kinds == {"int", "float"} else next(iter(kinds), "")
        if len(kinds) > 1 and kind != "float":
            raise CorpusError(
                f"field {name!r} is {' and '.join(sorted(kinds))} in different documents; give it "
                "one type"
            )
        if kind not in FIRST_FORMAT:
            raise CorpusError(
                f"field {name!r} holds a value of type {kind or 'null'}; a text, a number, true, "
                "false or null was expected"
            )
        self._types[name] = _TYPES[kind]
        if kind == "float":  # of whole numbers beyond 2**53 the nearest
            values = [None if value is None else float(value) for value in values]
        try:
            return pa.array(values, _TYPES[kind])
        except (pa.ArrowException, OverflowError, UnicodeEncodeError) as error:
            raise CorpusError(f"field {name!r} cannot be stored: {error}") from error

    def save(self, directory: Path) -> None:
        """Write the columns, if there are any."""
        if not self._types:
            return
        columns = {}
        for name, kind in sorted(self._types.items()):
            parts = [
                arrays[name].cast(kind, safe=False) if name in arrays else pa.nulls(count, kind)
                for count, arrays in self._parts
            ]
            columns[name] = pa.chunked_array(parts, kind)
        table = pa.table(columns).combine_chunks()
        with (
            (directory / FIELDS).open("xb") as file,
            pa.ipc.new_file(file, table.schema) as writer,
        ):
            writer.write_table(table)


def _typed_array(name: str, values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return values as an array of lists, dates or times, of which the texts are read."""
    (said,) = kinds_of({name: kind}).values()
    read = _READERS.get(element_of(said), lambda each: each)
    try:
        found = [
            value
            if value is None
            else [read(each) for each in (value if isinstance(value, list) else [value])]
            if is_list(said)
            else read(value)
            for value in values
        ]
        return pa.array(found, kind)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError, TypeError, ValueError) as error:
        raise CorpusError(f"field {name!r} cannot be stored as {said}: {error}") from error


_READERS: dict[str, Callable[[Any], Any]] = {
    "date": read_date,
    "datetime": lambda text: as_time(read_date(text)),
    "float": float,
}


_TIMES = {_TYPES["date"]: _TYPES["datetime"], _TYPES["list[date]"]: _TYPES["list[datetime]"]}


def value_at(cell: pa.Scalar, name: str, types: Types | None) -> Plain:
    """Return a value as it is shown: dates and times are ISO texts.

    Of a date, the ``types`` of the index tell whether its field is one of times by now.
    """
    return shown_value((_in_times(cell, lambda: types()[name]) if types else cell).as_py())


def _in_times(held: Any, kind: Callable[[], pa.DataType]) -> Any:
    times = _TIMES.get(held.type)
    return held if times is None or kind() != times else held.cast(times)


def value_counts(column: pa.ChunkedArray, kind: pa.DataType) -> Counter[Scalar]:
    """Return how many documents hold each value; a list counts each of its values once."""
    counts: Counter[Any] = Counter()
    for cell in _in_times(column, lambda: kind).to_pylist():
        values: list[Any] = cell if isinstance(cell, list) else [cell]
        counts.update({shown_value(each) for each in values if each is not None and each == each})
    return counts


def sorted_counts(counts: Mapping[str, Counter[Scalar]]) -> Facets:
    """Return the counts of each field, most first, ties by value."""
    return {
        name: dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))
        for name, found in counts.items()
    }


def facet_rows(facets: Facets) -> dict[str, list[dict[str, Any]]]:
    """Return counts as JSON data, in which a value keeps its type.

    >>> facet_rows({"year": {2020: 3}})
    {'year': [{'value': 2020, 'count': 3}]}
    """
    return {
        name: [{"value": value, "count": count} for value, count in counts.items()]
        for name, counts in facets.items()
    }


def types_of(kinds: Mapping[str, str]) -> dict[str, pa.DataType]:
    """Return the Arrow types of fields of these kinds."""
    return {name: _TYPES[kind] for name, kind in kinds.items()}


def kinds_of(types: Mapping[str, pa.DataType]) -> dict[str, str]:
    """Return the kinds of stored fields, in the words in which a source is asked for them."""
    kinds = {each: kind for kind, each in _TYPES.items()}
    return {name: kinds[each] for name, each in types.items()}


def open_fields(directory: Path, count: int) -> dict[str, pa.ChunkedArray]:
    """Return the columns of ``count`` documents by name, validated; none if there is no file.

    Raises:
        CorruptIndexError: not such a table.
    """
    path = directory / FIELDS
    if not path.exists():
        return {}
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise CorruptIndexError(f"{path} is not a readable Arrow file: {error}") from error
    fits = len(table) == count and table.num_columns <= MAX_FIELDS
    if not fits or not all(field.type in _TYPES.values() for field in table.schema):
        raise CorruptIndexError(f"{path} does not fit the {count} documents; build the index again")
    columns = {name: table.column(name) for name in table.column_names}
    for name, kind in kinds_of({field.name: field.type for field in table.schema}).items():
        if element_of(kind) in DATES:
            _check_years(path, name, columns[name], is_list(kind))
    return columns


def _check_years(path: Path, name: str, column: pa.ChunkedArray, lists: bool) -> None:
    """Refuse dates outside the years 1 to 9999, which are no dates of Python."""
    import pyarrow.compute as pc

    values = microseconds(pc.list_flatten(column) if lists else column)
    least, most = pc.min_max(values).as_py().values()
    if least is not None and not FIRST_TIME <= least <= most < LAST_TIME:
        raise CorruptIndexError(f"{path}: field {name!r} holds dates outside the years 1 to 9999")
