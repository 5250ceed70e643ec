"""Rows out of Parquet files and Arrow tables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hybrid.corpus.columns import Columns, Row, refuse_absent_fields
from hybrid.errors import CorpusError, UsageError

BATCH = 1024


def parquet_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield the rows of a Parquet file.

    Raises:
        CorpusError: it cannot be read, is broken, or lacks a column.
    """
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path, page_checksum_verification=True) as file:
            leaves = {file.schema.column(i).path for i in range(len(file.schema))}
            used = used_columns(str(path), columns, file.schema_arrow.names, leaves)
            for batch in file.iter_batches(batch_size=BATCH, columns=used):
                for record in batch_records(batch, columns):
                    number += 1
                    yield Row(f"{path}, row {number}", record)
            expected = file.metadata.num_rows
    except FileNotFoundError as error:
        raise CorpusError(f"{path} does not exist; check the path") from error
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}, after row {number}: broken Parquet data ({error})") from error
    if number != expected:
        raise CorpusError(f"{path}: broken Parquet data ({number} rows, {expected} promised)")


def batch_records(batch: Any, columns: Columns) -> Iterator[dict[str, Any]]:
    """Yield the records of an Arrow batch; a whole column of integers as id becomes strings."""
    import pyarrow as pa

    values = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        values[name] = _values(column)
        if name in columns.id and pa.types.is_integer(column.type):
            values[name] = [None if each is None else str(each) for each in values[name]]
    for cells in zip(*values.values(), strict=True):
        yield dict(zip(values, cells, strict=True))


def _values(column: Any) -> list[Any]:
    """Return the values of a column; bytes are texts, those outside UTF-8 are left to the door."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind):  # nanoseconds are cut, and what Python has no date for is text
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
        try:
            return list(column.to_pylist())
        except (ValueError, OverflowError):
            column, kind = column.cast(pa.large_string()), pa.large_string()
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        try:
            return list(column.to_pylist())
        except UnicodeDecodeError:
            column = column.cast(pa.large_binary())
    return [
        None if each is None else each.decode("utf-8", errors="surrogateescape")
        for each in column.to_pylist()
    ]


def used_columns(
    place: str, columns: Columns, present: Sequence[str], leaves: Collection[str] = ()
) -> list[str]:
    """Return which columns to read; ``leaves`` are the names inside nested ones, by dots.

    Raises:
        CorpusError: id, text, a chosen title or a field is not there.
    """
    known = {*present, *leaves}
    titles = (columns.title,) if columns.title_chosen else ()
    for wanted in (columns.id, columns.text, *titles):
        if not known.intersection(wanted):
            raise CorpusError(
                f"{place}: no column {' or '.join(map(repr, wanted))}, found "
                f"{', '.join(map(repr, present))}; name the columns of id and text"
            )
    refuse_absent_fields(place, columns.required_fields, known)
    if columns.every:
        return list(present)
    used = (*columns.id, *columns.title, *columns.text, *columns.fields)
    return [name for name in dict.fromkeys(used) if name in known]


def table_batches(held: Any) -> Callable[[], tuple[Any, Iterable[Any]]] | None:
    """Return the schema and the batches of a table; None where it is no table.

    A table is of pandas, Polars or Arrow, or whatever else gives an Arrow stream.
    """
    package = type(held).__module__.partition(".")[0]
    is_frame = package == "pandas" and hasattr(held, "columns")
    if package == "pyarrow" and hasattr(held, "scanner"):  # a dataset
        return lambda: (held.schema, held.to_batches(batch_size=BATCH))
    if not is_frame and not hasattr(held, "__arrow_c_stream__"):
        return None

    def read() -> tuple[Any, Iterable[Any]]:
        import pyarrow as pa

        try:
            if is_frame:
                table = pa.Table.from_pandas(held, preserve_index=held.index.name is not None)
                return table.schema, table.to_batches(max_chunksize=BATCH)
            reader = pa.RecordBatchReader.from_stream(held)
            return reader.schema, reader
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise UsageError(
                f"the {type(held).__name__} cannot be read as a table: {error}; give each column "
                "one type"
            ) from error

    return read


def arrow_rows(schema: Any, batches: Iterable[Any], columns: Columns, name: str) -> Iterator[Row]:
    """Yield the rows of a table; places count from 0.

    Raises:
        CorpusError: it lacks a column.
    """
    leaves = set(_leaves(schema))
    used = used_columns(name, columns, schema.names, leaves)
    tops = [each if each in schema.names else each.partition(".")[0] for each in used]
    place = 0
    for batch in batches:
        for record in batch_records(batch.select(list(dict.fromkeys(tops))), columns):
            yield Row(f"{name}, place {place}", record)
            place += 1


def _leaves(fields: Iterable[Any], above: str = "") -> Iterator[str]:
    """Yield the dotted names inside nested columns."""
    import pyarrow as pa

    for each in fields:
        if pa.types.is_struct(each.type):
            inner = [each.type.field(at) for at in range(each.type.num_fields)]
            yield from _leaves(inner, f"{above}{each.name}.")
        if above:
            yield above + each.name


def parquet_count(path: Path) -> int | None:
    """Return the number of rows, or None for a file that is no Parquet."""
    import pyarrow
    from pyarrow.parquet import read_metadata

    try:
        return int(read_metadata(path).num_rows)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError):
        return None
