"""Reading Arrow tables batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hybrid.corpus import Document
from hybrid.corpus.checks import is_unicode
from hybrid.errors import CorpusError, CorruptIndexError

TEXT = pa.large_string()


class BatchedTable:
    """An Arrow file whose record batches all have ``rows`` rows, but for the last."""

    def __init__(self, path: Path, schema: pa.Schema, rows: int) -> None:
        self._path = path
        self._rows = rows
        self._batches: dict[int, pa.RecordBatch] = {}
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            found = self._reader.schema
            names = found.names  # text that may not be UTF-8, which is a ValueError
            self._count = self._reader.num_record_batches
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CorruptIndexError(f"{path} is not a readable Arrow file: {error}") from error
        if not found.equals(schema):
            raise CorruptIndexError(f"{path} has the columns {names} of other types or names")
        last = self._count - 1
        self._length = last * rows + self._record_batch(last).num_rows if self._count else 0

    def __len__(self) -> int:
        return self._length

    def batch_of(self, position: int) -> tuple[pa.RecordBatch, int]:
        """Return the batch that holds a row, and the row's place in it."""
        number, place = divmod(position, self._rows)
        return self._record_batch(number), place

    def row(self, position: int) -> list[Any]:
        """Return the values of one row.

        Raises:
            IndexError: no such row.
        """
        if position < 0:
            position += self._length
        if not 0 <= position < self._length:
            raise IndexError(position)
        batch, place = self.batch_of(position)
        return [column[place].as_py() for column in batch.columns]

    def _record_batch(self, number: int) -> pa.RecordBatch:
        batch = self._batches.get(number)
        if batch is None:
            try:
                batch = self._reader.get_batch(number)
                batch.validate(full=True)
            except (pa.ArrowException, OSError, ValueError) as error:
                raise CorruptIndexError(f"{self._path}, batch {number}: {error}") from error
            whole = batch.num_rows == self._rows or number == self._count - 1
            if not whole or not 0 < batch.num_rows <= self._rows:
                raise CorruptIndexError(
                    f"{self._path}, batch {number}: {batch.num_rows} rows, {self._rows} expected"
                )
            if any(column.null_count for column in batch.columns):
                raise CorruptIndexError(f"{self._path}, batch {number}: a value is missing")
            self._batches[number] = batch
        return batch


def _record_batch(
    schema: pa.Schema, documents: Sequence[Document], columns: list[list[str]]
) -> pa.RecordBatch:
    try:
        return pa.record_batch([pa.array(each, TEXT) for each in columns], schema=schema)
    except UnicodeEncodeError as error:
        culprits = [
            each.doc_id for each in documents if not is_unicode(each.title + " " + each.text)
        ]
        raise CorpusError(
            f"documents {culprits[:3] or 'with such an id'} hold text that is not Unicode "
            f"({error.reason}); clean the corpus, for instance with errors='replace'"
        ) from error
