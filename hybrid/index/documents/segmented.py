"""The documents of many segments seen as those of one index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus import Document
from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.store import DocumentsById, DocumentStore


class SegmentedDocuments(DocumentsById):
    """The live documents of all segments, by doc_num and by doc_id."""

    def __init__(self, parts: Sequence[DocumentStore], numbering: Numbering) -> None:
        self.parts = parts
        self.numbering = numbering
        self.doc_ids: Sequence[str] = _DocIds(parts, numbering)

    def __len__(self) -> int:
        return len(self.numbering)

    @overload
    def __getitem__(self, doc_num: int) -> Document: ...
    @overload
    def __getitem__(self, doc_num: slice) -> list[Document]: ...
    def __getitem__(self, doc_num: int | slice) -> Document | list[Document]:
        if isinstance(doc_num, slice):
            return [self[each] for each in range(*doc_num.indices(len(self)))]
        segment, place = _located(self.numbering, doc_num)
        return self.parts[segment][place]

    def take(self, doc_nums: Iterable[int]) -> Iterator[Document]:
        """Yield the documents of these numbers, in the order given."""
        for doc_num in doc_nums:
            yield self[int(doc_num)]

    def find(self, doc_id: str) -> int | None:
        """Return the doc_num of a live document, or None."""
        for segment, part in enumerate(self.parts):
            place = part.find(doc_id)
            if place is not None:
                doc_num = int(self.numbering.doc_nums(segment)[place])
                if doc_num >= 0:
                    return doc_num
        return None

    def locate(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return how many live ids come before each of ``doc_ids``, descending, and if it is one.

        So where it is one, the first value is its doc_num.
        """
        before = np.zeros(len(doc_ids), dtype=np.int64)
        is_live = np.zeros(len(doc_ids), dtype=np.bool_)
        for segment, part in enumerate(self.parts):
            places, is_here = part.locate(doc_ids)
            before += np.searchsorted(self.numbering.live(segment)[1], places)
            is_live[is_here] |= self.numbering.doc_nums(segment)[places[is_here]] >= 0
        return before, is_live


class _DocIds(Sequence[str]):
    def __init__(self, parts: Sequence[DocumentStore], numbering: Numbering) -> None:
        self._parts = parts
        self._numbering = numbering

    def __len__(self) -> int:
        return len(self._numbering)

    @overload
    def __getitem__(self, doc_num: int) -> str: ...
    @overload
    def __getitem__(self, doc_num: slice) -> list[str]: ...
    def __getitem__(self, doc_num: int | slice) -> str | list[str]:
        if isinstance(doc_num, slice):
            return [self[each] for each in range(*doc_num.indices(len(self)))]
        segment, place = _located(self._numbering, doc_num)
        return self._parts[segment].doc_ids[place]


def _located(numbering: Numbering, doc_num: int) -> tuple[int, int]:
    if not -len(numbering) <= doc_num < len(numbering):
        raise IndexError(doc_num)
    return int(numbering.segments[doc_num]), int(numbering.places[doc_num])
