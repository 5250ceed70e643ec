"""The stored documents: ids in one Arrow file, titles and texts in another, memory-mapped.

Inside an index ids descend in code-point order, so an id is found by bisection and no table of
them is held in memory. Each record batch is fully validated when it is first touched: offsets in
bounds, text in UTF-8.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hybrid.corpus import Document
from hybrid.errors import CorpusError, CorruptIndexError, UsageError
from hybrid.index.documents.arrow import TEXT, BatchedTable, _record_batch
from hybrid.index.documents.fields import FieldWriter, open_fields
from hybrid.index.documents.numbering import insertion_point

IDS = "ids.arrow"
TEXTS = "texts.arrow"
ID_ROWS = 65_536
TEXT_ROWS = 1_024

_ID_SCHEMA = pa.schema([pa.field("doc_id", TEXT, nullable=False)])
_TEXT_SCHEMA = pa.schema(
    [pa.field("title", TEXT, nullable=False), pa.field("text", TEXT, nullable=False)]
)


class DocumentsById(Sequence[Document]):
    """Documents by doc_num, and through `find` by doc_id."""

    @abstractmethod
    def find(self, doc_id: str) -> int | None:
        """Return the doc_num of a document, or None if it is not here."""

    def doc_num(self, doc_id: str) -> int:
        """Return the doc_num of a document.

        Raises:
            UsageError: it is not here.
        """
        found = self.find(doc_id)
        if found is None:
            raise UsageError(
                f"the index has no document {doc_id!r}; ids are case-sensitive, and the search "
                "results show them as they are"
            )
        return found

    def document(self, doc_id: str) -> Document:
        """Return a document by its id.

        Raises:
            UsageError: it is not here.
        """
        return self[self.doc_num(doc_id)]


class DocumentStore(DocumentsById):
    """Documents by doc_num and by doc_id, memory-mapped from one directory."""

    def __init__(self, directory: Path) -> None:
        self._ids = BatchedTable(directory / IDS, _ID_SCHEMA, ID_ROWS)
        self._texts = BatchedTable(directory / TEXTS, _TEXT_SCHEMA, TEXT_ROWS)
        if len(self._ids) != len(self._texts):
            raise CorruptIndexError(
                f"{directory}: {len(self._ids)} ids for {len(self._texts)} texts; build the index "
                "again"
            )
        self.doc_ids: Sequence[str] = _Column(self._ids, "doc_id")
        self._directory = directory

    @staticmethod
    def build(
        documents: Iterable[Document],
        directory: Path,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> int:
        """Write documents in descending order of doc_id; return how many there were.

        Raises:
            CorpusError: ids that do not descend, or text that is not Unicode (lone surrogates).
        """
        return _write(_descending(documents), directory, progress)

    @staticmethod
    def stage(
        documents: Iterable[Document],
        directory: Path,
        *,
        progress: Callable[[int], None] | None = None,
    ) -> DocumentStore:
        """Write documents in any order and return them as a store to read back by position.

        For building: `take` gives `build` its order.
        """
        _write(documents, directory, progress)
        return DocumentStore(directory)

    @staticmethod
    def open(directory: Path) -> DocumentStore:
        """Return the documents stored in ``directory``.

        Raises:
            CorruptIndexError: a file is missing or not what it should be.
        """
        return DocumentStore(directory)

    @cached_property
    def fields(self) -> dict[str, pa.ChunkedArray]:
        """The columns that filters see, by name."""
        return open_fields(self._directory, len(self))

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, doc_num: int) -> Document: ...
    @overload
    def __getitem__(self, doc_num: slice) -> list[Document]: ...
    def __getitem__(self, doc_num: int | slice) -> Document | list[Document]:
        if isinstance(doc_num, slice):
            return [self[each] for each in range(*doc_num.indices(len(self)))]
        title, text = self._texts.row(doc_num)
        fields = {name: column[doc_num].as_py() for name, column in self.fields.items()}
        present = {name: value for name, value in fields.items() if value is not None}
        return Document(self.doc_ids[doc_num], text=text, title=title, fields=present)

    def take(self, doc_nums: Iterable[int]) -> Iterator[Document]:
        """Yield the documents of these numbers, in the order given."""
        for doc_num in doc_nums:
            yield self[int(doc_num)]

    def find(self, doc_id: str) -> int | None:
        """Return the doc_num of a document, or None if it is not here. Ids must descend."""
        low = insertion_point(self.doc_ids, doc_id)
        return low if low < len(self) and self.doc_ids[low] == doc_id else None

    def locate(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return how many ids come before each of ``doc_ids``, which descend, and if it is here.

        Many ids at once: each batch of stored ids is decoded once, not an id at every bisection.
        """
        before = np.full(len(doc_ids), len(self), dtype=np.int64)
        is_here = np.zeros(len(doc_ids), dtype=np.bool_)
        at = 0
        for start in range(0, len(self), ID_ROWS):
            column = self._ids.batch_of(start)[0].column("doc_id")
            if at == len(doc_ids) or doc_ids[at] < column[-1].as_py():
                continue
            ascending = column.to_pylist()[::-1]
            while at < len(doc_ids) and doc_ids[at] >= ascending[0]:
                above = bisect_left(ascending, doc_ids[at])
                is_here[at] = above < len(ascending) and ascending[above] == doc_ids[at]
                before[at] = start + len(ascending) - above - bool(is_here[at])
                at += 1
        return before, is_here


class _Column(Sequence[str]):
    """One text column, read value by value."""

    def __init__(self, table: BatchedTable, name: str) -> None:
        self._table = table
        self._name = name

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, position: int) -> str: ...
    @overload
    def __getitem__(self, position: slice) -> list[str]: ...
    def __getitem__(self, position: int | slice) -> str | list[str]:
        if isinstance(position, slice):
            return [self[each] for each in range(*position.indices(len(self)))]
        length = len(self._table)
        if position < 0:
            position += length
        if not 0 <= position < length:
            raise IndexError(position)
        batch, place = self._table.batch_of(int(position))
        return str(batch.column(self._name)[place].as_py())

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), ID_ROWS):
            batch, _ = self._table.batch_of(start)
            yield from batch.column(self._name).to_pylist()


def _descending(documents: Iterable[Document]) -> Iterator[Document]:
    previous: str | None = None
    for document in documents:
        if previous is not None and document.doc_id >= previous:
            raise CorpusError(
                f"doc_id {document.doc_id!r} comes after {previous!r}; ids must be unique and in "
                "descending order here"
            )
        previous = document.doc_id
        yield document


def _write(
    documents: Iterable[Document], directory: Path, progress: Callable[[int], None] | None
) -> int:
    count = 0
    pending: list[Document] = []
    ids: list[str] = []
    fields = FieldWriter()
    with (
        (directory / IDS).open("xb") as id_file,
        (directory / TEXTS).open("xb") as text_file,
        pa.ipc.new_file(id_file, _ID_SCHEMA) as id_writer,
        pa.ipc.new_file(text_file, _TEXT_SCHEMA) as text_writer,
    ):

        def flush() -> None:
            text_writer.write_batch(
                _record_batch(
                    _TEXT_SCHEMA,
                    pending,
                    [[each.title for each in pending], [each.text for each in pending]],
                )
            )
            ids.extend(each.doc_id for each in pending)
            fields.add(pending)
            if progress is not None:
                progress(len(pending))
            pending.clear()

        for document in documents:
            pending.append(document)
            count += 1
            if len(pending) == TEXT_ROWS:
                flush()
                if len(ids) == ID_ROWS:
                    id_writer.write_batch(_record_batch(_ID_SCHEMA, (), [ids]))
                    ids.clear()
        if pending:
            flush()
        if ids:
            id_writer.write_batch(_record_batch(_ID_SCHEMA, (), [ids]))
    fields.save(directory)
    return count
