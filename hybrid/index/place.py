"""Place: the protocol of an index that is searched, in a folder or in an engine."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus import Document, Passages
from hybrid.corpus.passages import PassageTable, passage_text
from hybrid.index.documents.fields import Facets
from hybrid.index.documents.filters import FilterLike
from hybrid.index.documents.subset import Subset
from hybrid.index.records import Branch, BranchRecord


class PlaceGeneration(Protocol):
    """One whole state of a place."""

    @property
    def name(self) -> str: ...

    @property
    def checksums(self) -> Mapping[str, str]:
        """Name to checksum, by which its contents are told from others."""
        ...

    @property
    def created_at(self) -> str: ...

    @property
    def size(self) -> int: ...

    def is_there(self) -> bool:
        """Return whether it can still be read: later changes may have removed it."""
        ...

    def folder(self, name: str) -> Path:
        """Return a folder of files, such as ``bm25/encoder``, as it was stored."""
        ...


class PlaceDocuments(Protocol):
    """The documents of a place, by doc_num and by doc_id."""

    @property
    def doc_ids(self) -> Sequence[str]:
        """doc_num to doc_id, descending."""
        ...

    @property
    def field_types(self) -> Mapping[str, Any]: ...

    @property
    def field_kinds(self) -> dict[str, str]: ...

    def __getitem__(self, doc_num: int, /) -> Document: ...

    def take(self, doc_nums: Iterable[int]) -> Iterator[Document]: ...

    def find(self, doc_id: str) -> int | None: ...

    def locate(self, doc_ids: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]: ...

    def doc_num(self, doc_id: str) -> int: ...

    def document(self, doc_id: str) -> Document: ...

    def check_fields(self, names: Iterable[str]) -> None: ...

    def facets(self, doc_nums: Iterable[int], names: Sequence[str]) -> Facets: ...


class SparseRows(Protocol):
    """The stored rows of a sparse branch."""

    def vectors(self, doc_nums: NDArray[Any], /) -> Any:
        """Return rows by number, CSR float32."""
        ...


class Place(Protocol):
    """One generation of an index, wherever it lies; see `hybrid.index.hybrid.HybridIndex`.

    Documents are numbered from 0 by descending id, rows by document. Every score is that which the
    branch of a folder gives, and every list is ordered by score, then number.
    """

    records: dict[str, BranchRecord]
    domains: dict[str, Any]
    document_count: int
    source: str
    segments: dict[str, int]
    window: Passages | None

    @property
    def generation(self) -> PlaceGeneration: ...

    @property
    def branches(self) -> tuple[str, ...]: ...

    @property
    def documents(self) -> PlaceDocuments: ...

    @property
    def doc_ids(self) -> Sequence[str]: ...

    @property
    def passages(self) -> PassageTable | None: ...

    def select(self, text: FilterLike, /) -> Subset: ...

    def record(self, name: str) -> BranchRecord: ...

    def branch(self, name: str) -> Branch: ...

    def sparse(self, name: str) -> SparseRows: ...

    def row_texts(self, rows: NDArray[Any]) -> Iterator[str]: ...

    def unheld(self) -> Place:
        """Return the same place, which does not keep its generation from being removed."""
        ...

    def close(self) -> None: ...


def row_texts(
    documents: PlaceDocuments, passages: PassageTable | None, rows: NDArray[Any]
) -> Iterator[str]:
    """Yield the text of each row as encoders see it: of a document, or of a passage."""
    if passages is None:
        yield from (each.full_text for each in documents.take(rows.tolist()))
        return
    last, document = -1, None
    owners = passages.documents(rows).tolist()
    for owner, (start, stop) in zip(owners, passages.spans[rows].tolist(), strict=True):
        if document is None or owner != last:
            last, document = owner, documents[owner]
        yield passage_text(document, start, stop)
