"""Store: an index that may begin without documents and grows, for frameworks that write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from hybrid.build.create import build_index
from hybrid.build.encode import Encoder
from hybrid.build.options import BuildOptions
from hybrid.corpus import Document
from hybrid.encoders import Bm25Parameters
from hybrid.errors import path_of
from hybrid.index.documents.filters import FilterLike
from hybrid.integrations.frameworks.found import Found, found
from hybrid.search.index import Index, open_index


class Store:
    """An index in a folder; the first documents that are written build it.

    BM25 is fitted anew (by a compaction) whenever the segment of its last fit holds less than half
    of the documents, so that a store that grows from a few documents knows their words.

    Args:
        directory: of the index; it may be absent, which is a store without documents.
        options: of the build; default: the models of a build, and float32 weights, as 8-bit
            weights keep the range of the first documents.
        encoders: by branch, in place of those that the options name.
    """

    def __init__(
        self,
        directory: str | Path,
        options: BuildOptions | None = None,
        encoders: Mapping[str, Encoder] | None = None,
    ) -> None:
        self.directory = path_of("the store", directory)
        self._options = options or BuildOptions(weights="float32")
        self._encoders = encoders
        self._lock = RLock()
        present = self.directory.exists()
        self._index = opened(self.directory, encoders) if present else None

    def __len__(self) -> int:
        return 0 if self._index is None else len(self._index)

    def write(self, documents: Iterable[Document]) -> None:
        """Add documents, in place of those with the same ids; of one id twice the last counts.

        Raises:
            UsageError, CorpusError: as `Index.update`.
        """
        batch = list({document.doc_id: document for document in documents}.values())
        if not batch:
            return
        with self._lock:
            if self._index is None:
                build_index(batch, self.directory, self._options, encoders=self._encoders)
                self._index = opened(self.directory, self._encoders)
                return
            self._index.update(batch)
            segments = self._index.contents.numbering.segments
            if 2 * np.count_nonzero(segments == 0) < len(segments):
                self._index.compact()

    def delete(self, doc_ids: Sequence[str]) -> None:
        """Delete documents by id; ids that are not there are left out."""
        with self._lock:
            if self._index is not None and doc_ids:
                self._index.delete(doc_ids, ignore_missing=True)

    def get(self, doc_ids: Sequence[str]) -> list[Document]:
        """Return the documents of some ids, in their order; ids that are not there are left out."""
        if self._index is None:
            return []
        documents = self._index.view().contents.documents
        numbers = [documents.find(doc_id) for doc_id in doc_ids]
        return [documents[number] for number in numbers if number is not None]

    def select(self, filter: FilterLike | None = None) -> list[Document]:
        """Return the documents that a filter lets through, by descending id; default: all.

        Raises:
            UsageError: the filter cannot be parsed, or names a field or value that cannot be.
        """
        if self._index is None:
            return []
        documents = self._index.contents.documents
        numbers = range(len(documents)) if filter is None else documents.select(filter).doc_nums
        return list(documents.take(numbers))

    def find(self, query: str, k: int, **options: Any) -> list[Found]:
        """Return the hits of a query, best first; a store without documents has none.

        Raises:
            UsageError: as `Index.search`.
        """
        return [] if self._index is None else found(self._index, query, k, **options)


def opened(directory: Path, encoders: Mapping[str, Encoder] | None) -> Index:
    """Open an index with the encoders that its build was given; BM25 has its own on disk."""
    given = {
        name: encoder
        for name, encoder in (encoders or {}).items()
        if not isinstance(encoder, Bm25Parameters)
    }
    return open_index(directory, encoders=given or None)
