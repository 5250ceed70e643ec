"""Rows out of files, each with its place, file and line: here of TSV and CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from hybrid.corpus.arrow import parquet_count, parquet_rows
from hybrid.corpus.checks import Door
from hybrid.corpus.columns import Columns, Row, refuse_absent_fields, shown
from hybrid.corpus.json_rows import json_rows, refuse_fields_of_no_row
from hybrid.errors import CorpusError
from hybrid.machine.files import open_bytes, packing, unpacked_name

SUFFIXES = (".jsonl", ".ndjson", ".json", ".tsv", ".csv", ".parquet")
UNKNOWN_KIND = (
    f"unknown kind of file, expected a name ending in {', '.join(SUFFIXES)} (the text forms also "
    "with .gz, .bz2, .xz or .zst)"
)
LONGEST_CELL = 2**27
_DELIMITERS = ("\t", ",", ";", "|")


def table_suffix(path: Path) -> str | None:
    """Return which of ``SUFFIXES`` a path ends in, its packing aside; None for other files.

    >>> table_suffix(Path("queries.jsonl.gz"))
    '.jsonl'
    """
    name = unpacked_name(path).lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def rows(
    paths: Sequence[Path], columns: Columns, door: Door, *, delimiter: str | None, encoding: str
) -> Iterator[Row]:
    """Yield the rows of files of one kind; broken lines go to ``door``.

    A TSV or CSV file has a header unless the columns are numbers (from 1). Without chosen columns
    a header is a first line that holds a usual id name and a usual text name; a TSV file of two
    columns without such a line is read as id and text.

    Raises:
        CorpusError: a file cannot be read, has another kind of name, or lacks a chosen column.
    """
    suffix = table_suffix(paths[0])
    is_json, may_be_array = suffix in (".jsonl", ".ndjson", ".json"), suffix == ".json"
    if is_json and not columns.fields_optional:
        refuse_fields_of_no_row(paths, columns, encoding, may_be_array=may_be_array)
    for path in paths:
        if is_json:
            yield from json_rows(path, door, encoding, may_be_array=may_be_array)
        elif suffix in (".tsv", ".csv"):
            separator = delimiter or ("," if suffix == ".csv" else "\t")
            read = _csv if suffix == ".csv" else _tsv
            yield from _table_rows(
                path, columns, door, separator, read(path, door, separator, encoding)
            )
        elif suffix == ".parquet":
            yield from parquet_rows(path, columns)
        else:
            raise CorpusError(f"{path}: {UNKNOWN_KIND}")


def line_count(path: Path) -> int | None:
    """Return the number of lines (rows of Parquet), or None for packed or unreadable files."""
    if not path.is_file() or packing(path):
        return None
    if table_suffix(path) == ".parquet":
        return parquet_count(path)
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(2**20), b""))


def _tsv(path: Path, door: Door, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    for number, line in _lines(path, encoding):
        if line := line.rstrip("\r\n"):
            yield number, line.split(delimiter)


def _csv(path: Path, door: Door, delimiter: str, encoding: str) -> Iterator[tuple[int, list[str]]]:
    # The limit is one for the process and small (128 KiB); it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
    lines = (line for _, line in _lines(path, encoding))
    first = next(lines, "")
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    while True:
        first_line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            hint = ""
            if first_line == 1 and (other := max(_DELIMITERS, key=first.count)) != delimiter:
                hint = f"; if {other!r} separates its columns, say so with --delimiter {other!r}"
            door.refuse(f"{path}, line {first_line}", "broken line", f"not CSV ({error}){hint}")
            continue
        if cells:
            yield first_line, cells


def _lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    # A byte outside the encoding becomes a lone surrogate, which the door refuses with its record:
    # dropping the line here would shift the cells of a CSV record that spans lines.
    for number, raw in open_bytes(path, encoding=encoding):
        try:
            line = raw.decode(encoding, errors="surrogateescape")
        except UnicodeError:
            line = raw.decode("ascii", errors="surrogateescape")
        yield number, line.removeprefix("\ufeff") if number == 1 else line


def _table_rows(
    path: Path,
    columns: Columns,
    door: Door,
    delimiter: str,
    lines: Iterator[tuple[int, list[str]]],
) -> Iterator[Row]:
    first = next(lines, None)
    if first is None:
        return
    names = _header(path, columns, first[1], delimiter)
    if names is None:
        names = _numbered(path, columns, first[1])
        lines = chain((first,), lines)
    refuse_absent_fields(str(path), columns.required_fields, names)
    for number, cells in lines:
        place = f"{path}, line {number}"
        if len(cells) != len(names):
            door.refuse(place, "broken line", f"{len(cells)} columns, expected {len(names)}")
            continue
        yield Row(place, dict(zip(names, cells, strict=True)))


def _header(path: Path, columns: Columns, cells: Sequence[str], delimiter: str) -> list[str] | None:
    """Return the names in the first line, or None when that line is already a record."""
    numbered = {name.isdecimal() for name in columns.chosen}
    if numbered == {True}:
        return None
    names = [cell.strip() for cell in cells]
    wanted = (columns.id, columns.text, *((columns.title,) if columns.title_chosen else ()))
    missing = [options for options in wanted if not set(names).intersection(options)]
    if not missing and len(set(names)) == len(names):
        return names
    if not columns.chosen and len(cells) == 2 and table_suffix(path) == ".tsv":
        return None
    for other in _DELIMITERS:
        apart = {name.strip(' "') for name in delimiter.join(cells).split(other)}
        if other != delimiter and all(apart.intersection(options) for options in wanted):
            raise CorpusError(
                f"{path}, line 1: {other!r} separates its columns, not {delimiter!r}; say so with "
                f"--delimiter '{other}' (SourceOptions(delimiter={other!r}))".replace(
                    "'\t'", "'\\t'"
                )
            )
    raise CorpusError(
        f"{path}, line 1: expected a header of distinct names with "
        f"{' and '.join(' or '.join(map(repr, options)) for options in missing or wanted)}, found "
        f"{', '.join(map(shown, names[:8]))}. Name the columns of id and text "
        "(--id-column and --text-column, of queries --query-id-column and --query-text-column), or "
        "for a file without a header give their numbers, from 1"
    )


def _numbered(path: Path, columns: Columns, cells: Sequence[str]) -> list[str]:
    """Return the names of the columns of a file without a header: "1", "2", ..."""
    if not columns.chosen:
        return [columns.id[0], columns.text[0]]
    for name in columns.chosen:
        if not 1 <= int(name) <= len(cells):
            raise CorpusError(
                f"{path}: no column {name}, the first line has {len(cells)}; numbers count from 1, "
                "and --delimiter names another separator"
            )
    return [str(position) for position in range(1, len(cells) + 1)]
