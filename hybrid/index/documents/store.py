"""The stored documents of an index, by doc_num and by doc_id, memory-mapped.

Inside an index ids descend in code-point order, so an id is found by bisection and no table of
them is held in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import compress
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hybrid.corpus import Document
from hybrid.corpus.checks import check_text
from hybrid.corpus.fields.types import Scalar
from hybrid.errors import CorruptIndexError, UsageError
from hybrid.index.documents import arrow
from hybrid.index.documents.fields import (
    Facets,
    Types,
    kinds_of,
    open_fields,
    sorted_counts,
    value_at,
    value_counts,
)
from hybrid.index.documents.filter_columns import absent_field, matches
from hybrid.index.documents.filters import FilterLike, parse_filter
from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.subset import Subset

Item = TypeVar("Item")
FEW = 100
"""Ids that are read one by one: Arrow's functions, and the pandas that they load, take longer."""


class DocumentSegment:
    """The documents of one segment, deleted ones included, by place.

    Raises:
        CorruptIndexError: a file is missing or not what it should be.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._ids = arrow.BatchedTable(directory / arrow.IDS, arrow.ID_SCHEMA, arrow.ID_ROWS)
        self._texts = arrow.BatchedTable(
            directory / arrow.TEXTS, arrow.TEXT_SCHEMA, arrow.TEXT_ROWS
        )
        if len(self._ids) != len(self._texts):
            raise CorruptIndexError(
                f"{directory}: {len(self._ids)} ids for {len(self._texts)} texts; build the index "
                "again"
            )

    def __len__(self) -> int:
        return len(self._ids)

    @cached_property
    def fields(self) -> dict[str, pa.ChunkedArray]:
        """The columns that filters see, by name."""
        return open_fields(self._directory, len(self))

    def doc_id(self, place: int) -> str:
        """Return the id of the document at a place."""
        batch, at = self._ids.batch_of(place)
        return str(batch.column(0)[at].as_py())

    def take_ids(self, places: NDArray[np.int32]) -> list[str]:
        """Return the ids of the documents at ascending places."""
        rows = self._ids.batch_rows
        found: list[str] = []
        for first in np.unique(places // rows).tolist():
            low, high = np.searchsorted(places, [first * rows, (first + 1) * rows])
            column = self._ids.batch_of(first * rows)[0].column(0)
            taken = places[low:high] - first * rows
            if len(taken) <= FEW:
                found += [column[at].as_py() for at in taken.tolist()]
            else:
                found += column.take(pa.array(taken)).to_pylist()
        return found

    def doc_ids(self) -> Iterator[str]:
        """Yield the ids of all places."""
        for start in range(0, len(self), self._ids.batch_rows):
            yield from self._ids.batch_of(start)[0].column("doc_id").to_pylist()

    def document(self, place: int, types: Types | None = None) -> Document:
        """Return the document at a place, its fields of the ``types`` of an index."""
        title, text = self._texts.row(place)
        fields = {name: value_at(held[place], name, types) for name, held in self.fields.items()}
        present = {name: value for name, value in fields.items() if value is not None}
        return Document(self.doc_id(place), text=text, title=title, fields=present)

    def find(self, doc_id: str) -> int | None:
        """Return the place of a document, or None if it is not here."""
        here = range(len(self))
        place = bisect_left(here, True, key=lambda each: self.doc_id(each) <= doc_id)
        return place if place < len(self) and self.doc_id(place) == doc_id else None

    def locate(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return how many ids come before each of ``doc_ids``, which descend, and if it is here.

        Many ids at once: each batch of stored ids is decoded once, not an id at every bisection.
        """
        before = np.full(len(doc_ids), len(self), dtype=np.int64)
        is_here = np.zeros(len(doc_ids), dtype=np.bool_)
        at = 0
        for start in range(0, len(self), self._ids.batch_rows):
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


class ByNumber(Sequence[Item]):
    """Something that is stored of each live document, by doc_num.

    Args:
        numbering: where each document lies.
        read: returns it, from the segment and the place there.
    """

    def __init__(self, numbering: Numbering, read: Callable[[int, int], Item]) -> None:
        self.numbering = numbering
        self._read = read

    def __len__(self) -> int:
        return len(self.numbering)

    @overload
    def __getitem__(self, doc_num: int) -> Item: ...
    @overload
    def __getitem__(self, doc_num: slice) -> list[Item]: ...
    def __getitem__(self, doc_num: int | slice) -> Item | list[Item]:
        if isinstance(doc_num, slice):
            return [self[each] for each in range(*doc_num.indices(len(self)))]
        at = self.numbering
        return self._read(int(at.segments[doc_num]), int(at.places[doc_num]))


class DocIds(ByNumber[str]):
    """The ids of the live documents, by doc_num, descending."""

    def __init__(self, segments: Sequence[DocumentSegment], numbering: Numbering) -> None:
        super().__init__(numbering, lambda segment, place: segments[segment].doc_id(place))
        self._segments = segments

    def __iter__(self) -> Iterator[str]:
        if self.numbering.is_whole:
            return self._segments[0].doc_ids()
        # Of a segment, the places of live documents ascend with their numbers.
        live = [
            compress(stored.doc_ids(), self.numbering.doc_nums(segment) >= 0)
            for segment, stored in enumerate(self._segments)
        ]
        return (next(live[segment]) for segment in self.numbering.segments)

    def take(self, doc_nums: NDArray[np.int32]) -> list[str]:
        """Return the ids of documents, by ascending number."""
        segments, places = self.numbering.located(doc_nums)
        found = np.empty(len(doc_nums), dtype=object)
        for segment in np.unique(segments).tolist():
            here = segments == segment
            found[here] = self._segments[segment].take_ids(places[here])
        return list(found)


class ById(ABC):
    """Documents that are found by id, wherever they are stored."""

    @property
    @abstractmethod
    def field_types(self) -> Mapping[str, Any]:
        """The fields that filters can use, with their Arrow types."""

    @abstractmethod
    def __getitem__(self, doc_num: int) -> Document: ...

    @abstractmethod
    def find(self, doc_id: str) -> int | None:
        """Return the doc_num of a document, or None if it is not here."""

    def doc_num(self, doc_id: str) -> int:
        """Return the doc_num of a document.

        Raises:
            UsageError: it is not here.
        """
        doc_num = self.find(check_text("the doc_id", doc_id, nul=True))
        if doc_num is None:
            raise UsageError(
                f"the index has no document {doc_id!r}; ids are case-sensitive, and the search "
                "results show them as they are"
            )
        return doc_num

    def document(self, doc_id: str) -> Document:
        """Return a document by its id.

        Raises:
            UsageError: it is not here.
        """
        return self[self.doc_num(doc_id)]

    @property
    def field_kinds(self) -> dict[str, str]:
        """The fields that filters can use, with their kinds; see `hybrid.corpus.fields.types`."""
        return kinds_of(self.field_types)

    def check_fields(self, names: Iterable[str]) -> None:
        """Do nothing if the documents have these fields.

        Raises:
            UsageError: one of them they have not.
        """
        for name in names:
            if name not in self.field_types:
                raise absent_field(name, self.field_types)


class DocumentStore(ByNumber[Document], ById):
    """The live documents of one segment or of many, by doc_num and by doc_id.

    Args:
        segments: where they are stored.
        numbering: their numbers; None for one segment with nothing deleted.
    """

    def __init__(
        self, segments: Sequence[DocumentSegment], numbering: Numbering | None = None
    ) -> None:
        numbering = Numbering.whole(len(segments[0])) if numbering is None else numbering
        # Not of self: in a circle, the segments would outlive the store until they are collected.
        types = cache(lambda: _types_of(segments))
        super().__init__(numbering, lambda segment, place: segments[segment].document(place, types))
        self._types = types
        self.segments = segments
        self.doc_ids: Sequence[str] = DocIds(segments, numbering)

    def take(self, doc_nums: Iterable[int]) -> Iterator[Document]:
        """Yield the documents of these numbers, in the order given."""
        return (self[int(doc_num)] for doc_num in doc_nums)

    def find(self, doc_id: str) -> int | None:
        """Return the doc_num of a document, or None if it is not here."""
        for segment, stored in enumerate(self.segments):
            place = stored.find(doc_id)
            doc_num = -1 if place is None else int(self.numbering.doc_nums(segment)[place])
            if doc_num >= 0:
                return doc_num
        return None

    def locate(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return how many ids come before each of ``doc_ids``, which descend, and if it is here.

        So where it is here, the first value is its doc_num.
        """
        before = np.zeros(len(doc_ids), dtype=np.int64)
        is_here = np.zeros(len(doc_ids), dtype=np.bool_)
        for segment, stored in enumerate(self.segments):
            places, is_stored = stored.locate(doc_ids)
            before += np.searchsorted(self.numbering.live(segment)[1], places)
            is_here[is_stored] |= self.numbering.doc_nums(segment)[places[is_stored]] >= 0
        return before, is_here

    @property
    def field_types(self) -> dict[str, Any]:
        """The fields that filters can use, with their Arrow types."""
        return self._types()

    def facets(self, doc_nums: Iterable[int], names: Sequence[str]) -> Facets:
        """Return how many of some documents hold each value of each field.

        A document counts once, and so does a value that its list holds twice; one without a value
        counts nowhere.

        Raises:
            UsageError: a field that the documents do not have.
        """
        self.check_fields(names)
        segments, places = self.numbering.located(np.unique(np.fromiter(doc_nums, np.int32)))
        found: dict[str, Counter[Scalar]] = {name: Counter() for name in names}
        for name, counts in found.items():
            for segment, stored in enumerate(self.segments):
                if name in stored.fields:
                    here = pa.array(places[segments == segment])
                    held = stored.fields[name].take(here)
                    counts.update(value_counts(held, self.field_types[name]))
        return sorted_counts(found)

    def select(self, text: FilterLike) -> Subset:
        """Return the documents that a filter lets through.

        Raises:
            UsageError: it cannot be parsed, or names a field or value that cannot be.
        """
        parsed = parse_filter(text)
        selected = np.zeros(len(self), dtype=np.bool_)
        for segment, stored in enumerate(self.segments):
            columns = dict(stored.fields)
            for name, kind in self.field_types.items():
                columns.setdefault(name, pa.nulls(len(stored), kind))
            mask = matches(parsed, columns).fill_null(False).to_numpy(zero_copy_only=False)
            doc_nums = self.numbering.doc_nums(segment)[mask]
            selected[doc_nums[doc_nums >= 0]] = True
        return Subset.of(selected, len(self))


def _types_of(segments: Sequence[DocumentSegment]) -> dict[str, Any]:
    columns = [column for stored in segments for column in stored.fields.items()]
    return {name: column.type for name, column in columns}
