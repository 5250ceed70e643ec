"""EnginePlace: one generation of an index in an engine, searched as a folder is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hybrid.corpus import Document, Passages
from hybrid.corpus.fields.types import Scalar
from hybrid.corpus.passages import PassageTable
from hybrid.engines.content import FORMAT, OFFSETS, SPANS
from hybrid.engines.rows import EngineRows
from hybrid.engines.store import Store
from hybrid.errors import CorruptIndexError, IndexFormatError
from hybrid.index.documents.fields import Facets, sorted_counts, types_of
from hybrid.index.documents.filter_columns import matches
from hybrid.index.documents.filters import FilterLike, parse_filter
from hybrid.index.documents.passages import MaxPassage
from hybrid.index.documents.store import ById
from hybrid.index.documents.subset import Subset
from hybrid.index.place import row_texts
from hybrid.index.records import Branch, BranchRecord, check_names, record_of
from hybrid.machine.arrays import Ints

AT_ONCE = 1000
"""Documents or ids of one request."""


class EnginePlace:
    """The documents and branches of one generation; see `hybrid.index.place.Place`.

    Raises:
        IndexFormatError: it was pushed by a version that stores it otherwise.
        CorruptIndexError: a branch or a file has a name that no push gives.
    """

    def __init__(self, store: Store) -> None:
        content = store.content
        if content.get("format") != FORMAT:
            raise IndexFormatError(
                f"the generation {store.name} has format {content.get('format')!r:.80}; this "
                f"version reads format {FORMAT}. Push the index again"
            )
        self._store = store
        records = {name: BranchRecord(**each) for name, each in content["branches"].items()}
        try:
            check_names(records, {})
            _check_files(content["files"])
        except ValueError as error:
            raise CorruptIndexError(
                f"the generation {store.name} is not read: {error}. Push the index again"
            ) from error
        self.records = dict(sorted(records.items(), key=lambda item: item[1].kind == "dense"))
        self.domains = dict(content["domains"])
        self.document_count = int(content["document_count"])
        self.source = str(content["source"])
        self.segments = {"000001": self.document_count}
        self.window = None if content["passages"] is None else Passages(**content["passages"])
        self.generation = EngineGeneration(store)
        self.documents = EngineDocuments(store)
        self._branches: dict[str, Branch] = {}

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches, sparse ones first."""
        return tuple(self.records)

    @property
    def doc_ids(self) -> Sequence[str]:
        """doc_num to doc_id, descending."""
        return self.documents.doc_ids

    @cached_property
    def passages(self) -> PassageTable | None:
        """The passages of the documents; None where rows are documents."""
        if self.window is None:
            return None
        offsets = np.frombuffer(self._store.file(OFFSETS), "<i8").astype(np.int64)
        spans = np.frombuffer(self._store.file(SPANS), "<i4").astype(np.int32)
        return PassageTable(offsets, spans.reshape(-1, 2))

    def select(self, text: FilterLike) -> Subset:
        """Return the documents that a filter lets through.

        Raises:
            UsageError: it cannot be parsed, or names a field or value that cannot be.
        """
        parsed = parse_filter(text)
        types = self.documents.field_types
        matches(parsed, {name: pa.array([], kind) for name, kind in types.items()})
        return self._store.select(parsed)

    def record(self, name: str) -> BranchRecord:
        """Return the record of a branch.

        Raises:
            UsageError: the index has no such branch.
        """
        return record_of(self.records, name)

    def branch(self, name: str) -> Branch:
        """Return a branch over documents.

        Raises:
            UsageError: the index has no such branch.
        """
        if name not in self._branches:
            rows, table = self._rows(name), self.passages
            self._branches[name] = rows if table is None else MaxPassage(rows, table.offsets)
        return self._branches[name]

    def sparse(self, name: str) -> EngineRows:
        """Return the rows of a sparse branch.

        Raises:
            UsageError: the branch is absent or dense.
        """
        record_of(self.records, name, "sparse")
        return self._rows(name)

    def row_texts(self, rows: NDArray[Any]) -> Iterator[str]:
        """Yield the text of each row as encoders see it."""
        return row_texts(self.documents, self.passages, rows)

    def unheld(self) -> EnginePlace:
        """Return itself: an engine removes a generation, whoever reads it."""
        return self

    def close(self) -> None:
        """Close the connections."""
        self._store.close()

    def _rows(self, name: str) -> EngineRows:
        kind, rows = self.record(name).kind, int(self._store.content["row_count"])
        return EngineRows(self._store, name, kind, rows)


class EngineGeneration:
    """The generation of an engine; see `hybrid.index.place.PlaceGeneration`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.name = store.name
        self.created_at = str(store.content["created_at"])
        self.size = int(store.content["size"])
        self.checksums = {"pushed": str(store.content["pushed"]), "engine": type(store).__name__}
        self._folder: TemporaryDirectory[str] | None = None

    def is_there(self) -> bool:
        """Return whether it can still be read: later pushes may have removed it."""
        return self._store.is_there()

    def folder(self, name: str) -> Path:
        """Return a folder with the files of a folder of the index, as they were pushed."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="hybrid-")
        root = Path(self._folder.name)
        for each in self._store.content["files"]:
            if each.startswith(f"{name}/"):
                (root / each).parent.mkdir(parents=True, exist_ok=True)
                (root / each).write_bytes(self._store.file(each))
        return root / name


class EngineIds(Sequence[str]):
    """doc_num to doc_id, descending, read as they are asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __len__(self) -> int:
        return int(self._store.content["document_count"])

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        numbers = np.atleast_1d(np.arange(len(self))[at]).astype(np.int32)
        return self.take(numbers) if isinstance(at, slice) else self.take(numbers)[0]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]

    def take(self, doc_nums: Ints) -> list[str]:
        """Return the ids of documents, by number."""
        numbers = doc_nums.tolist()
        found = self._store.ids(numbers) if numbers else {}
        return [found[number] for number in numbers]


class EngineDocuments(ById):
    """The documents of an engine; see `hybrid.index.documents.store.DocumentStore`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.doc_ids = EngineIds(store)
        self._types = types_of(store.content["fields"])

    @property
    def field_types(self) -> Mapping[str, Any]:
        """The fields that filters can use, with their Arrow types."""
        return self._types

    def __getitem__(self, doc_num: int) -> Document:
        return next(self.take([doc_num]))

    def take(self, doc_nums: Iterable[int]) -> Iterator[Document]:
        """Yield the documents of these numbers, in the order given."""
        numbers = [int(each) for each in doc_nums]
        for start in range(0, len(numbers), AT_ONCE):
            part = numbers[start : start + AT_ONCE]
            found = self._store.documents(part)
            yield from (found[number] for number in part)

    def find(self, doc_id: str) -> int | None:
        """Return the doc_num of a document, or None if it is not here."""
        return self._store.numbers([doc_id]).get(doc_id)

    def locate(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the doc_num of each of some ids, or -1, and whether it is here."""
        found = self._store.numbers(doc_ids)
        numbers = np.array([found.get(each, -1) for each in doc_ids], dtype=np.int64)
        return numbers, numbers >= 0

    def facets(self, doc_nums: Iterable[int], names: Sequence[str]) -> Facets:
        """Return how many of some documents hold each value; see `DocumentStore.facets`.

        Raises:
            UsageError: a field that the documents do not have.
        """
        self.check_fields(names)
        counts: dict[str, Counter[Scalar]] = {name: Counter() for name in names}
        for document in self.take(sorted(set(doc_nums))):
            for name in names:
                value = document.fields.get(name)
                held: list[Any] = value if isinstance(value, list) else [value]
                counts[name].update({each for each in held if each is not None and each == each})
        return sorted_counts(counts)


def _check_files(names: Sequence[str]) -> None:
    """Refuse names that would leave the folder that they are written to."""
    for name in names:
        if {"", ".", ".."} & set(name.split("/")) or set(name) & set("\\:\0"):
            raise ValueError(f"a file is called {name!r:.80}")


def fields_of(held: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a document, as the folder gives them, from JSON data.

    JSON may drop the point of a float.
    """

    def read(value: Any, kind: str) -> Any:
        if isinstance(value, list):
            return [read(each, kind) for each in value]
        return float(value) if value is not None and "float" in kind else value

    return {name: read(held[name], kind) for name, kind in sorted(kinds.items()) if name in held}
