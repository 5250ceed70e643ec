"""Rows out of JSON: one object a line, or an array of objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from hybrid.corpus.checks import Door
from hybrid.corpus.columns import ABSENT, Columns, Row, flat, lookup, refuse_absent_fields, shown
from hybrid.corpus.records import Skipped
from hybrid.errors import CorpusError
from hybrid.machine.files import open_bytes

_BETWEEN = re.compile(r"[\s,]*")
_ARRAY = "; an array of objects is read from a file named .json"


def json_rows(path: Path, door: Door, encoding: str, *, may_be_array: bool) -> Iterator[Row]:
    """Yield the objects of a file; broken lines go to ``door``.

    Raises:
        CorpusError: the file cannot be read, or an array in it breaks off.
    """
    lines = _decoded(path, door, encoding)
    for number, line in lines:
        if may_be_array and line.startswith("["):
            yield from _array_rows(path, door, line, lines)
            return
        may_be_array = may_be_array and not line
        if line:
            yield from _line_row(f"{path}, line {number}", line, door)


def _decoded(path: Path, door: Door, encoding: str) -> Iterator[tuple[int, str]]:
    for number, raw in open_bytes(path, encoding=encoding):
        try:
            yield number, raw.decode(encoding).removeprefix("\ufeff").strip()
        except UnicodeError as error:
            door.refuse(f"{path}, line {number}", "wrong encoding", f"not {encoding} ({error})")


def _line_row(place: str, line: str, door: Door) -> Iterator[Row]:
    hint = _ARRAY if line.startswith("[") else ""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        door.refuse(place, "broken line", f"not JSON ({error}){hint}")
        return
    if isinstance(record, dict):
        yield Row(place, record)
    else:
        door.refuse(place, "broken line", f"{shown(record)} is not a JSON object{hint}")


def _array_rows(
    path: Path, door: Door, first: str, lines: Iterable[tuple[int, str]]
) -> Iterator[Row]:
    """Yield the objects of an array, whose first line was read; holds one object, or one line."""
    decoder, text, at, count = json.JSONDecoder(), "", 0, 0
    parts: list[str] = []
    for _, line in chain([(1, first[1:])], lines, [(0, "")]):
        parts.append(line)
        if line and not line.endswith(("}", "},", "]")):
            continue  # no object ends here
        text, at, parts = "\n".join([text[at:], *parts]), 0, []
        while True:
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
            if text.startswith("]", at):
                return
            if at == len(text):
                break
            try:
                record, at = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                if getattr(error, "pos", 0) < len(text):
                    place = f"{path}, record {count + 1}"
                    raise CorpusError(f"{place}: broken JSON array ({error})") from error
                break  # the object goes on in the next line
            count += 1
            if isinstance(record, dict):
                yield Row(f"{path}, record {count}", record)
            else:
                detail = f"{shown(record)} is not a JSON object"
                door.refuse(f"{path}, record {count}", "broken line", detail)
    raise CorpusError(f"{path}, after record {count}: broken JSON array (it has no end)")


def refuse_fields_of_no_row(
    paths: Sequence[Path], columns: Columns, encoding: str, *, may_be_array: bool
) -> None:
    """Look for each field to store in as many rows as it takes: one or two in most files.

    Raises:
        CorpusError: no row of any file has it.
    """
    missing, found = set(columns.fields), dict[str, None]()
    for path in paths if missing else ():
        door = Door(Skipped(), skip_bad=True)
        for row in json_rows(path, door, encoding, may_be_array=may_be_array):
            missing -= {name for name in missing if lookup(row.fields, name, ABSENT) is not ABSENT}
            if not missing:
                return
            found |= dict.fromkeys(name for name, _ in flat(row.fields))
    if found:
        refuse_absent_fields(str(paths[0]), missing, found)
