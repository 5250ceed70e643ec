"""Encoded shards on disk: documents and every branch's rows, read back lazily and in index order.

A working folder holds ``000000.documents/``, ``000000.<branch>/``, ... and, once complete,
``shards.json``. Arrays are memory-mapped for as long as one call needs them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from hybrid.build.parts import open_csr, open_vectors
from hybrid.corpus import Document
from hybrid.corpus.passages import PassageTable, passage_text, starts
from hybrid.encoders.bm25 import Bm25Encoder
from hybrid.encoders.protocol import Fingerprint
from hybrid.encoders.unread import Unread
from hybrid.errors import CorpusError, UsageError
from hybrid.machine.memory import Allowance

STATE_FILE = "shards.json"
DOCUMENTS_FILE = "documents.arrow"
PASSAGES_FILE = "passages.npy"
ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch of the shards.

    Attributes:
        name: as given to ``encode_corpus``.
        kind: sparse rows (CSR) or dense rows (float32).
        width: vocabulary size or dimension.
        fingerprint: of the encoder; for BM25 with the statistics of this collection.
        is_bm25: whether :meth:`Shards.bm25` holds its fitted encoder.
    """

    name: str
    kind: Literal["sparse", "dense"]
    width: int
    fingerprint: Fingerprint
    is_bm25: bool = False


def part_path(directory: Path, shard: int, part: str) -> Path:
    """Return the folder of one part of one shard."""
    return directory / f"{shard:06d}.{part}"


class Shards:
    """The finished result of :func:`~hybrid.build.encode.encode_corpus`.

    Args:
        directory: where they are.
        allowance: bounds what reading in order holds at once; without a limit it is 8,192 rows.
        reused: rows that came from the cache.
        digest: of all texts and titles, and of how they were cut.

    Attributes:
        field_kinds: the fields to write in any case; those who know them set it.
        unread: what the models left unread, by branch; set like that.

    Raises:
        UsageError: the folder has no finished shards.
    """

    def __init__(
        self,
        directory: Path,
        allowance: Allowance | None = None,
        *,
        reused: int = 0,
        digest: str = "",
    ) -> None:
        self.reused, self.digest = reused, digest
        self.unread: Mapping[str, Unread] = {}
        self.field_kinds: Mapping[str, str] = {}
        self.allowance = allowance or Allowance()
        path = directory / STATE_FILE
        if not path.is_file():
            raise UsageError(
                f"{directory} holds no finished encoding ({STATE_FILE} is missing); run "
                "encode_corpus on it first: it resumes where it stopped"
            )
        state = json.loads(path.read_text(encoding="utf-8"))
        self.directory = directory
        self.counts: tuple[int, ...] = tuple(state["counts"])
        self.branches: dict[str, Branch] = {
            name: Branch(name, **branch) for name, branch in state["branches"].items()
        }
        self._starts = starts(np.array(self.counts))
        self.row_counts: tuple[int, ...] = tuple(state["rows"])
        self._row_starts = starts(np.array(self.row_counts))

    @property
    def document_count(self) -> int:
        """Return the number of documents."""
        return int(self._starts[-1])

    @cached_property
    def passages(self) -> PassageTable | None:
        """The passages of each document, in the order of the corpus; None if rows are documents."""
        paths = [
            part_path(self.directory, shard, "documents") / PASSAGES_FILE
            for shard in range(len(self.counts))
        ]
        if not paths[0].is_file():
            return None
        table = np.concatenate([np.load(path, allow_pickle=False) for path in paths])
        counts = np.bincount(table[:, 0], minlength=self.document_count)
        return PassageTable(starts(counts), table[:, 1:].astype(np.int32))

    def bm25(self, branch: str) -> Bm25Encoder:
        """Return the encoder that was fitted to this collection."""
        return Bm25Encoder.load(self.directory / f"{branch}.state")

    def documents(self, shard: int, rows: NDArray[np.int64] | None = None) -> list[Document]:
        """Return the documents of one shard, all in the order of the corpus, or some."""
        import pyarrow as pa

        path = part_path(self.directory, shard, "documents") / DOCUMENTS_FILE
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
            columns = (table if rows is None else table.take(rows)).to_pydict()
        names = ("doc_id", "text", "title", "fields")
        found = zip(*(columns[name] for name in names), strict=True)
        return [
            Document(doc_id, text, title, json.loads(fields))
            for doc_id, text, title, fields in found
        ]

    def row_texts(self, shard: int) -> list[str]:
        """Return the texts of the documents of one shard as encoders see them, a row each."""
        documents, table = self.documents(shard), self.passages
        if table is None:
            return [document.full_text for document in documents]
        return [
            passage_text(document, *table.spans[row].tolist())
            for place, document in enumerate(documents, start=int(self._starts[shard]))
            for row in range(table.offsets[place], table.offsets[place + 1])
        ]

    def sparse(self, branch: str, shard: int) -> csr_matrix:
        """Return the rows of one shard, CSR float32, memory-mapped, in the order of the corpus."""
        found = self._branch(branch, "sparse")
        return open_csr(part_path(self.directory, shard, self._part(found)), found.width)

    def dense(self, branch: str, shard: int) -> NDArray[np.float32]:
        """Return the vectors of one shard, memory-mapped, in the order of the corpus."""
        self._branch(branch, "dense")
        return open_vectors(part_path(self.directory, shard, branch))

    def doc_ids(self) -> list[str]:
        """Return the id of every document, in the order of the corpus."""
        import pyarrow as pa

        found: list[str] = []
        for shard in range(len(self.counts)):
            path = part_path(self.directory, shard, "documents") / DOCUMENTS_FILE
            with pa.memory_map(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
                found += table.column("doc_id").to_pylist()
        return found

    def order(self) -> NDArray[np.int64]:
        """Return corpus positions by doc_num: ids descend in code-point order.

        Raises:
            CorpusError: two documents have the same id.
        """
        doc_ids = self.doc_ids()
        order = sorted(range(len(doc_ids)), key=doc_ids.__getitem__, reverse=True)
        for first, second in pairwise(order):
            if doc_ids[first] == doc_ids[second]:
                raise CorpusError(
                    f"document id {doc_ids[first]!r} occurs twice, at documents "
                    f"{min(first, second) + 1} and {max(first, second) + 1}; ids must be unique"
                )
        return np.array(order, dtype=np.int64)

    def ordered_documents(
        self, order: NDArray[np.int64], size: int | None = None
    ) -> Iterator[Document]:
        """Yield the documents in ``order`` (corpus positions, as from :meth:`order`)."""
        for rows in _pieces(order, size or self._rows_at_once("documents", self.counts)):
            found: list[Document | None] = [None] * len(rows)
            for shard, places, inside in _by_shard(self._starts, rows):
                documents = self.documents(shard, inside)
                for place, document in zip(places.tolist(), documents, strict=True):
                    found[place] = document
            yield from (document for document in found if document is not None)

    def ordered_sparse(
        self, branch: str, order: NDArray[np.int64], size: int | None = None
    ) -> Iterator[csr_matrix]:
        """Yield the rows of a sparse branch, ``size`` at a time.

        Positions are of documents, or of passages where there are any.
        """
        part = self._part(self._branch(branch, "sparse"))
        for rows in _pieces(order, size or self._rows_at_once(part, self.row_counts)):
            parts, places = [], []
            for shard, place, inside in _by_shard(self._row_starts, rows):
                parts.append(self.sparse(branch, shard)[inside])
                places.append(place)
            yield vstack(parts, format="csr")[np.argsort(np.concatenate(places))]

    def ordered_dense(
        self, branch: str, order: NDArray[np.int64], size: int | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors of a dense branch, ``size`` at a time; positions as for sparse."""
        width = self._branch(branch, "dense").width
        for rows in _pieces(order, size or self._rows_at_once(branch, self.row_counts)):
            vectors = np.empty((len(rows), width), dtype=np.float32)
            for shard, places, inside in _by_shard(self._row_starts, rows):
                vectors[places] = self.dense(branch, shard)[inside]
            yield vectors

    def _branch(self, name: str, kind: str) -> Branch:
        branch = self.branches.get(name)
        if branch is None or branch.kind != kind:
            known = ", ".join(f"{b.name} ({b.kind})" for b in self.branches.values())
            raise UsageError(f"no {kind} branch {name!r}; the encoded branches are {known}")
        return branch

    def _rows_at_once(self, part: str, counts: tuple[int, ...]) -> int:
        """Return how many rows to read at once, by the shard whose rows are the largest."""
        if self.allowance.piece is None:
            return ROWS_AT_ONCE
        largest = 1.0
        for shard, count in enumerate(counts):
            folder = part_path(self.directory, shard, part)
            size = sum(path.stat().st_size for path in folder.iterdir())
            largest = max(largest, size / max(1, count))
        return self.allowance.rows(largest, ROWS_AT_ONCE)

    def _part(self, branch: Branch) -> str:
        return f"{branch.name}.impacts" if branch.is_bm25 else branch.name


def _by_shard(
    first: NDArray[np.int64], positions: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (shard, places in ``positions``, rows inside the shard), shard by shard."""
    shards = np.searchsorted(first, positions, side="right") - 1
    places = np.argsort(shards, kind="stable")
    bounds = np.flatnonzero(np.diff(shards[places])) + 1
    for group in np.split(places, bounds):
        shard = int(shards[group[0]])
        yield shard, group, positions[group] - first[shard]


def _pieces(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]
