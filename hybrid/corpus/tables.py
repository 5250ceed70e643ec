"""Rows out of JSONL, TSV, CSV and Parquet files, each with its place: file and line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from hybrid.corpus.checks import Columns, Door, Row, refuse_absent_fields, shown
from hybrid.corpus.records import Skipped
from hybrid.errors import CorpusError
from hybrid.machine.files import open_bytes

SUFFIXES = (".jsonl", ".ndjson", ".tsv", ".csv", ".parquet")
LONGEST_CELL = 2**27
PARQUET_BATCH = 1024


def table_suffix(path: Path) -> str | None:
    """Return which of ``SUFFIXES`` a path ends in, ``.gz`` aside; None for another kind of file.

    >>> table_suffix(Path("queries.jsonl.gz"))
    '.jsonl'
    """
    name = path.name.lower().removesuffix(".gz")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def rows(
    path: Path, columns: Columns, door: Door, *, delimiter: str | None, encoding: str
) -> Iterator[Row]:
    """Yield the rows of one file; broken lines go to ``door``.

    A TSV or CSV file has a header unless the columns are numbers (from 1). Without chosen columns
    a header is a first line that holds a usual id name and a usual text name; a TSV file of two
    columns without such a line is read as id and text.

    Raises:
        CorpusError: the file cannot be read, has another kind of name, or lacks a chosen column.
    """
    suffix = table_suffix(path)
    if suffix in (".jsonl", ".ndjson"):
        if not columns.fields_optional:
            _refuse_fields_of_no_row(path, columns, encoding)
        yield from _json_rows(path, door, encoding)
    elif suffix == ".tsv":
        yield from _table_rows(path, columns, door, _tsv(path, delimiter or "\t", encoding))
    elif suffix == ".csv":
        yield from _table_rows(path, columns, door, _csv(path, door, delimiter or ",", encoding))
    elif suffix == ".parquet":
        yield from _parquet_rows(path, columns)
    else:
        raise CorpusError(
            f"{path}: unknown kind of file, expected a name ending in {', '.join(SUFFIXES)} "
            "(the text forms also with .gz)"
        )


def line_count(path: Path) -> int | None:
    """Return the number of lines (rows of Parquet), or None for packed or unreadable files."""
    if path.suffix == ".gz" or not path.is_file():
        return None
    if table_suffix(path) == ".parquet":
        return _parquet_count(path)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))


def _json_rows(path: Path, door: Door, encoding: str) -> Iterator[Row]:
    for number, raw in open_bytes(path):
        place = f"{path}, line {number}"
        try:
            line = raw.decode(encoding).removeprefix("\ufeff").strip()
        except UnicodeError as error:
            door.refuse(place, "wrong encoding", f"not {encoding} ({error})")
            continue
        if not line:
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            door.refuse(place, "broken line", f"not JSON ({error})")
            continue
        if not isinstance(record, dict):
            door.refuse(place, "broken line", f"{shown(record)} is not a JSON object")
            continue
        yield Row(place, record)


def _refuse_fields_of_no_row(path: Path, columns: Columns, encoding: str) -> None:
    """Look for each field to store in as many rows as it takes: one or two in most files."""
    missing = set(columns.fields)
    found: dict[str, None] = {}
    rows = _json_rows(path, Door(Skipped(), skip_bad=True), encoding) if missing else iter(())
    for row in rows:
        missing -= row.fields.keys()
        if not missing:
            return
        found |= dict.fromkeys(row.fields)
    if found:
        refuse_absent_fields(str(path), columns.fields, found)


def _tsv(path: Path, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in _lines(path, encoding):
        if line := line.rstrip("\r\n"):
            yield number, line.split(delimiter)


def _csv(path: Path, door: Door, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    # The limit is one for the process and small (128 KiB); it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    reader = csv.reader(
        (line for _, line in _lines(path, encoding)), delimiter=delimiter, strict=True
    )
    while True:
        first_line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            door.refuse(f"{path}, line {first_line}", "broken line", f"not CSV ({error})")
            continue
        if cells:
            yield first_line, cells


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    # A byte outside the encoding becomes a lone surrogate, which the door refuses with its record:
    # dropping the line here would shift the cells of a CSV record that spans lines.
    for number, raw in open_bytes(path):
        try:
            line = raw.decode(encoding, errors="surrogateescape")
        except UnicodeError:
            line = raw.decode("ascii", errors="surrogateescape")
        yield number, line.removeprefix("\ufeff") if number == 1 else line


def _table_rows(
    path: Path, columns: Columns, door: Door, lines: Iterator[tuple[int, list[str]]]
) -> Iterator[Row]:
    first = next(lines, None)
    if first is None:
        return
    names = _header(path, columns, first[1])
    if names is None:
        names = _numbered(path, columns, first[1])
        lines = chain((first,), lines)
    refuse_absent_fields(str(path), columns.fields, names)
    for number, cells in lines:
        place = f"{path}, line {number}"
        if len(cells) != len(names):
            door.refuse(place, "broken line", f"{len(cells)} columns, expected {len(names)}")
            continue
        yield Row(place, dict(zip(names, cells, strict=True)))


def _header(path: Path, columns: Columns, cells: Sequence[str]) -> list[str] | None:
    """Return the names in the first line, or None when that line is already a record."""
    numbered = {name.isdecimal() for name in columns.chosen}
    if numbered == {True}:
        return None
    names = [cell.strip() for cell in cells]
    wanted = (columns.id, columns.text, *((columns.title,) if columns.title_chosen else ()))
    missing = [options for options in wanted if not any(name in names for name in options)]
    if not missing and len(set(names)) == len(names):
        return names
    if not columns.chosen and len(cells) == 2 and table_suffix(path) == ".tsv":
        return None
    raise CorpusError(
        f"{path}, line 1: expected a header of distinct names with "
        f"{' and '.join(' or '.join(map(repr, options)) for options in missing or wanted)}, found "
        f"{', '.join(map(shown, names[:8]))}. Name the columns of id and text, or for a file "
        "without a header give their numbers, from 1"
    )


def _numbered(path: Path, columns: Columns, cells: Sequence[str]) -> list[str]:
    """Return the names of the columns of a file without a header: "1", "2", ..."""
    if not columns.chosen:
        return [columns.id[0], columns.text[0]]
    for name in columns.chosen:
        if not 1 <= int(name) <= len(cells):
            raise CorpusError(
                f"{path}: no column {name}, the first line has {len(cells)}; numbers count from 1"
            )
    return [str(position) for position in range(1, len(cells) + 1)]


def _parquet_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """Yield rows; a whole column of integers as id becomes strings, as it has one type."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            used = _parquet_columns(path, columns, schema.names)
            ids = [name for name in columns.id if name in used]
            whole = [name for name in ids if pyarrow.types.is_integer(schema.field(name).type)]
            for batch in file.iter_batches(batch_size=PARQUET_BATCH, columns=used):
                for record in batch.to_pylist():
                    number += 1
                    for name in whole:
                        record[name] = None if record[name] is None else str(record[name])
                    yield Row(f"{path}, row {number}", record)
            expected = file.metadata.num_rows
    except FileNotFoundError as error:
        raise CorpusError(f"{path} does not exist; check the path") from error
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path}, after row {number}: broken Parquet data ({error})") from error
    if number != expected:
        raise CorpusError(f"{path}: broken Parquet data ({number} rows, {expected} promised)")


def _parquet_columns(path: Path, columns: Columns, present: Sequence[str]) -> list[str]:
    """Return which columns to read; a CorpusError if id, text or a chosen title is not there."""
    titles = (columns.title,) if columns.title_chosen else ()
    for wanted in (columns.id, columns.text, *titles):
        if not any(name in present for name in wanted):
            raise CorpusError(
                f"{path}: no column {' or '.join(map(repr, wanted))}, found "
                f"{', '.join(map(repr, present))}; name the columns of id and text"
            )
    refuse_absent_fields(str(path), columns.fields, present)
    used = (*columns.id, *columns.title, *columns.text, *columns.fields)
    return [name for name in dict.fromkeys(used) if name in present]


def _parquet_count(path: Path) -> int | None:
    import pyarrow
    from pyarrow.parquet import read_metadata

    try:
        return int(read_metadata(path).num_rows)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError):
        return None
