"""HybridIndex: one id space over the documents and every branch, read from one generation.

segments/000001/documents/     a segment's documents
segments/000001/passages/      which rows each has, where texts are cut into passages
segments/000001/<branch>/      its rows in one branch: one a document, or one a passage
<branch>/encoder/              the state of an encoder that was fitted to the corpus
numbering/                     where each live document lies, unless one segment holds just them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus import Passages
from hybrid.corpus.passages import PassageTable
from hybrid.errors import CorruptIndexError
from hybrid.index.device import SearchDevice
from hybrid.index.documents.filters import FilterLike
from hybrid.index.documents.numbering import Numbering
from hybrid.index.documents.passages import PASSAGES, MaxPassage, open_passages, row_numbering
from hybrid.index.documents.store import DocumentSegment, DocumentStore
from hybrid.index.documents.subset import Subset
from hybrid.index.place import row_texts
from hybrid.index.records import (
    DOCUMENTS,
    NUMBERING,
    SEGMENTS,
    Branch,
    BranchRecord,
    check_names,
    record_of,
)
from hybrid.index.sparse.inverted import InvertedIndex
from hybrid.index.sparse.segment import SparseSegment
from hybrid.index.storage.writer import Generation, open_generation

if TYPE_CHECKING:
    from hybrid.index.dense.vector import VectorIndex

ID_BYTES = 4
"""A document has at least the offset of its id."""
Segment = TypeVar("Segment", bound=Sized)


class HybridIndex:
    """The documents and branches of one generation; a branch is opened when it is first used.

    Args:
        generation: what to read.
        device: where branches are searched; default: the CPU.
    """

    def __init__(self, generation: Generation, device: SearchDevice | None = None) -> None:
        self.generation = generation
        self._device = device or SearchDevice()
        content = generation.content
        try:
            self.document_count = int(content["document_count"])
            self.source = str(content["source"])
            records = {name: BranchRecord(**r) for name, r in content["branches"].items()}
            self.records: dict[str, BranchRecord] = dict(
                sorted(records.items(), key=lambda item: item[1].kind == "dense")
            )
            self.domains: dict[str, Any] = dict(content.get("domains", {}))
            self.segments = {str(name): int(size) for name, size in content["segments"]}
            window = content.get("passages")
            self.window = None if window is None else Passages(**window)
            check_names(self.records, self.segments)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptIndexError(
                f"the manifest of {generation.directory} lacks what an index needs: {error!r}; "
                "build the index again"
            ) from error
        self._sparse: dict[str, InvertedIndex] = {}
        self._dense: dict[str, VectorIndex] = {}
        self._searched: dict[str, Branch] = {}

    @classmethod
    def open(cls, directory: str | Path, device: SearchDevice | None = None) -> HybridIndex:
        """Return the index in ``directory``, memory-mapped.

        Raises:
            IndexFormatError: no index there, or one of another format version.
            CorruptIndexError: a file is damaged.
        """
        return cls(open_generation(directory), device)

    @property
    def branches(self) -> tuple[str, ...]:
        """Names of the branches, sparse ones first."""
        return tuple(self.records)

    @cached_property
    def numbering(self) -> Numbering:
        """Where each live document lies."""
        sizes = list(self.segments.values())
        self._check_sizes()
        if self.generation.names(NUMBERING):
            folder = self.generation.folder(NUMBERING)
            return Numbering.open(folder, sizes, self.document_count)
        if sizes != [self.document_count]:
            raise CorruptIndexError(
                f"the manifest of {self.generation.directory} has segments of {sizes} documents, "
                f"{self.document_count} live ones and no numbering; build the index again"
            )
        return Numbering.whole(self.document_count)

    def _check_sizes(self) -> None:
        """Refuse segments of more documents than their files can hold, before memory is taken."""
        for segment, size in self.segments.items():
            names = self.generation.names(f"{SEGMENTS}/{segment}/{DOCUMENTS}")
            stored = sum(self.generation.manifest.files[name].size for name in names)
            if not 0 <= size <= stored // ID_BYTES:
                raise CorruptIndexError(
                    f"the manifest of {self.generation.directory} gives segment {segment} {size:,} "
                    f"documents, but only {stored:,} bytes of them; build the index again"
                )

    @cached_property
    def documents(self) -> DocumentStore:
        """The stored documents, by doc_num."""
        numbering = self.numbering
        return DocumentStore(self._opened(DOCUMENTS, DocumentSegment, numbering), numbering)

    @property
    def doc_ids(self) -> Sequence[str]:
        """doc_num to doc_id, descending."""
        return self.documents.doc_ids

    def select(self, text: FilterLike) -> Subset:
        """Return the documents that a filter lets through; see `DocumentStore.select`."""
        return self.documents.select(text)

    def record(self, name: str) -> BranchRecord:
        """Return the manifest's record of a branch.

        Raises:
            UsageError: the index has no such branch.
        """
        return record_of(self.records, name)

    def branch(self, name: str) -> Branch:
        """Return a branch over documents, its files verified when it is first asked for.

        Raises:
            UsageError: the index has no such branch.
            CorruptIndexError: one of its files is damaged.
        """
        if name not in self._searched:
            if self.record(name).kind == "sparse":
                rows = self._device.place_sparse(self.sparse(name))
            else:
                rows = self._device.place_dense(self.dense(name))
            by_document = rows if self.window is None else MaxPassage(rows, self._row_offsets)
            self._searched[name] = by_document
        return self._searched[name]

    def sparse(self, name: str) -> InvertedIndex:
        """Return the rows of a sparse branch: one a document, or one a passage.

        Raises:
            UsageError: the branch is absent or dense.
        """
        record_of(self.records, name, "sparse")
        if name not in self._sparse:
            numbering = self._row_numbering
            segments = self._opened(name, SparseSegment.open, numbering)
            self._sparse[name] = InvertedIndex(segments, numbering)
        return self._sparse[name]

    def dense(self, name: str) -> VectorIndex:
        """Return the rows of a dense branch: one a document, or one a passage.

        Raises:
            UsageError: the branch is absent or sparse.
        """
        from hybrid.index.dense.segment import VectorSegment
        from hybrid.index.dense.vector import VectorIndex

        record_of(self.records, name, "dense")
        if name not in self._dense:
            numbering = self._row_numbering
            segments = self._opened(name, VectorSegment.open, numbering)
            self._dense[name] = VectorIndex(segments, numbering)
        return self._dense[name]

    @property
    def row_count(self) -> int:
        """Rows of each branch: documents, or passages."""
        return len(self._row_numbering)

    @cached_property
    def passages(self) -> PassageTable | None:
        """The passages of the live documents, by doc_num; None where rows are documents."""
        if self.window is None:
            return None
        if self.numbering.is_whole:
            return self._passage_tables[0]
        spans = np.empty((self.row_count, 2), dtype=np.int32)
        for segment, table in enumerate(self._passage_tables):
            row_nums, places = self._row_numbering.live(segment)
            spans[row_nums] = table.spans[places]
        return PassageTable(self._row_offsets, spans)

    def row_ids(self, rows: NDArray[Any]) -> list[str]:
        """Return the id of each row: its document's, and with passages ``#`` and its place."""
        if self.passages is None:
            return [self.doc_ids[row] for row in rows.tolist()]
        owners = self.passages.documents(rows)
        places = (rows - self.passages.offsets[owners]).tolist()
        return [
            f"{self.doc_ids[owner]}#{place}"
            for owner, place in zip(owners.tolist(), places, strict=True)
        ]

    def row_texts(self, rows: NDArray[Any]) -> Iterator[str]:
        """Yield the text of each row as encoders see it."""
        return row_texts(self.documents, self.passages, rows)

    def unheld(self) -> HybridIndex:
        """Return the same index, which does not keep its generation from being removed."""
        other = copy(self)
        other.generation = copy(self.generation)  # whose lock the first one holds
        return other

    def close(self) -> None:
        """Let go of the generation; arrays that are already mapped stay readable."""
        self.generation.close()

    def _folder(self, segment: str, part: str) -> Path:
        return self.generation.folder(f"{SEGMENTS}/{segment}/{part}")

    def _opened(
        self, part: str, open_segment: Callable[[Path], Segment], numbering: Numbering
    ) -> list[Segment]:
        """Return a part of each segment: its documents, or its rows in a branch."""
        opened = []
        for segment, size in zip(self.segments, numbering.sizes, strict=True):
            stored = open_segment(self._folder(segment, part))
            if len(stored) != size:
                raise CorruptIndexError(
                    f"{part} of segment {segment} of {self.generation.directory} holds "
                    f"{len(stored)} rows, {size} were expected; build the index again"
                )
            opened.append(stored)
        return opened

    @cached_property
    def _passage_tables(self) -> list[PassageTable]:
        return [
            open_passages(self._folder(segment, PASSAGES), size)
            for segment, size in self.segments.items()
        ]

    @cached_property
    def _numbered_rows(self) -> tuple[Numbering, NDArray[np.int64]]:
        if self.window is None:
            return self.numbering, np.arange(self.document_count + 1, dtype=np.int64)
        return row_numbering(self.numbering, self._passage_tables)

    @property
    def _row_numbering(self) -> Numbering:
        return self._numbered_rows[0]

    @property
    def _row_offsets(self) -> NDArray[np.int64]:
        return self._numbered_rows[1]
