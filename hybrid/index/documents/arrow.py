"""The Arrow files of a segment's documents: their columns, and reading them batch by batch.

Each record batch is fully validated when it is first touched: offsets in bounds, text in UTF-8.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from hybrid.errors import CorruptIndexError

IDS = "ids.arrow"
TEXTS = "texts.arrow"
ID_ROWS = 65_536
TEXT_ROWS = 1_024

TEXT = pa.large_string()
ID_SCHEMA = pa.schema([pa.field("doc_id", TEXT, nullable=False)])
TEXT_SCHEMA = pa.schema(
    [pa.field("title", TEXT, nullable=False), pa.field("text", TEXT, nullable=False)]
)


class BatchedTable:
    """An Arrow file whose record batches all have ``rows`` rows, but for the last."""

    def __init__(self, path: Path, schema: pa.Schema, rows: int) -> None:
        self._path = path
        self.batch_rows = rows
        self._batches: dict[int, pa.RecordBatch] = {}
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
            stored = self._reader.schema
            names = stored.names  # text that may not be UTF-8, which is a ValueError
            self._count = self._reader.num_record_batches
        except (pa.ArrowException, OSError, ValueError) as error:
            raise CorruptIndexError(f"{path} is not a readable Arrow file: {error}") from error
        if not stored.equals(schema):
            raise CorruptIndexError(f"{path} has the columns {names} of other types or names")
        last = self._count - 1
        self._length = last * rows + self._record_batch(last).num_rows if self._count else 0

    def __len__(self) -> int:
        return self._length

    def batch_of(self, position: int) -> tuple[pa.RecordBatch, int]:
        """Return the batch that holds a row, and the row's place in it."""
        number, place = divmod(position, self.batch_rows)
        return self._record_batch(number), place

    def row(self, position: int) -> list[Any]:
        """Return the values of one row, which must exist."""
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
            whole = batch.num_rows == self.batch_rows or number == self._count - 1
            if not whole or not 0 < batch.num_rows <= self.batch_rows:
                raise CorruptIndexError(
                    f"{self._path}, batch {number}: {batch.num_rows} rows, {self.batch_rows} "
                    "expected"
                )
            if any(column.null_count for column in batch.columns):
                raise CorruptIndexError(f"{self._path}, batch {number}: a value is missing")
            self._batches[number] = batch
        return batch
