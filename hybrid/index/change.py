"""A change to an index: documents leave, segments merge, one segment joins, and one commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.corpus import Document, SourceOptions
from hybrid.corpus.checks import RefusedError, check_name, checked_fields
from hybrid.corpus.fields.kinds import FieldKinds
from hybrid.corpus.fields.types import TYPES_SAID
from hybrid.corpus.passages import PassageTable
from hybrid.corpus.records import EVERY
from hybrid.errors import CorpusError, UsageError
from hybrid.index.hybrid import HybridIndex
from hybrid.index.records import NUMBERING, SEGMENTS, BranchRecord
from hybrid.index.segment_writer import BranchPlan, Rows, SegmentPlan, write_segment
from hybrid.index.storage.writer import NewGeneration, new_generation
from hybrid.machine.arrays import open_array
from hybrid.machine.memory import Allowance
from hybrid.machine.progress import StartProgress, no_progress

APPROXIMATE_FROM = 10_000
ROWS_AT_ONCE = 8192
"""Rows that are read at once."""
POSTING_BYTES = 8
Order: TypeAlias = NDArray[np.int64]
Row = TypeVar("Row")


class StoredRows:
    """The rows of an index by doc_num: as they are stored, or encoded anew.

    Args:
        index: where they are stored.
        allowance: bounds what is read at once.
        anew: of branches that are encoded anew, what yields their rows in an order of doc_nums.
        kinds: of fields whose values are read as another kind.
    """

    def __init__(
        self,
        index: HybridIndex,
        allowance: Allowance | None = None,
        anew: Mapping[str, Callable[[Order], Iterator[Any]]] | None = None,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        self._index = index
        self._allowance = allowance or Allowance()
        self._anew = anew or {}
        self._kinds = kinds or {}

    @property
    def passages(self) -> PassageTable | None:
        """The rows of each document, by doc_num."""
        return self._index.passages

    @property
    def field_kinds(self) -> Mapping[str, str]:
        """The kinds of the fields of the index."""
        return {**self._index.documents.field_kinds, **self._kinds}

    def ordered_documents(self, order: Order) -> Iterator[Document]:
        """Yield the documents of these doc_nums.

        Raises:
            CorpusError: a value that cannot be read as the kind that its field is to have.
        """
        documents = self._index.documents.take(order.tolist())
        return _retyped(documents, self._kinds) if self._kinds else documents

    def ordered_sparse(self, branch: str, order: Order) -> Iterator[csr_matrix]:
        """Yield the rows of a sparse branch, some thousand at a time."""
        if branch in self._anew:
            return self._anew[branch](order)
        stored = self._index.sparse(branch)
        size = POSTING_BYTES * stored.nnz / max(1, stored.doc_count)
        return self._read(order, size, stored.vectors)

    def ordered_dense(self, branch: str, order: Order) -> Iterator[NDArray[np.float32]]:
        """Yield the vectors of a dense branch, some thousand at a time."""
        if branch in self._anew:
            return self._anew[branch](order)
        stored = self._index.dense(branch)
        return self._read(order, 4 * stored.dimension, stored.vectors)

    def _read(
        self, order: Order, row_bytes: float, read: Callable[[NDArray[np.int32]], Row]
    ) -> Iterator[Row]:
        size = self._allowance.rows(row_bytes, ROWS_AT_ONCE)
        for start in range(0, len(order), size):
            yield read(order[start : start + size].astype(np.int32))


def _retyped(documents: Iterator[Document], kinds: Mapping[str, str]) -> Iterator[Document]:
    read = FieldKinds(read=kinds)
    for document in documents:
        given = {name: document.fields[name] for name in kinds if name in document.fields}
        try:
            fields = {**document.fields, **checked_fields(given, read, document.doc_id)}
        except RefusedError as refused:
            raise CorpusError(f"{refused.detail}; nothing was changed") from refused
        yield replace(document, fields={k: v for k, v in fields.items() if v is not None})


def retyped_kinds(index: HybridIndex, fields: tuple[str, ...] | str) -> dict[str, str]:
    """Return the kinds that fields of an index are to be read as: of ``day:date``, a date.

    Raises:
        UsageError: a field that the index does not have, or a name without a type.
    """
    options = SourceOptions(fields=fields)
    if EVERY in options.fields:
        raise UsageError(
            f"{EVERY!r} names no field to read as another type; name each with its type, such as "
            f"day:date: {TYPES_SAID}"
        )
    kinds = options.typed_fields
    index.documents.check_fields(kinds)
    for name, kind in kinds.items():
        if not kind:
            raise UsageError(
                f"field {name!r} is to be read as another type, and none is named; give {name}:"
                f"date or another type: {TYPES_SAID}"
            )
    return kinds


class Change:
    """An index being changed: first `remove`, then `merge`, then `append`, then `commit`.

    Args:
        generation: what is being written.
        allowance: the memory that this may take; may be set until rows are written.
    """

    def __init__(self, generation: NewGeneration, allowance: Allowance | None = None) -> None:
        if generation.parent is None:
            raise UsageError("a new index has nothing to change; build it instead")
        self.generation = generation
        self.allowance = allowance or Allowance()
        self.index = HybridIndex(generation.parent)
        self._segments = list(self.index.segments)
        self._numbering = self.index.numbering
        self._before = np.arange(len(self._numbering), dtype=np.int64)  # doc_nums in the parent
        self._records = dict(self.index.records)
        self._last = max(int(name) for name in self._segments)

    @property
    def document_count(self) -> int:
        """Live documents, so far."""
        return len(self._numbering)

    @property
    def segment_sizes(self) -> dict[str, int]:
        """Documents of each segment, deleted ones included, so far."""
        return dict(zip(self._segments, self._numbering.sizes, strict=True))

    @property
    def is_compact(self) -> bool:
        """Whether there is one segment that holds the live documents and no others."""
        return self._numbering.is_whole

    def remove(self, doc_nums: Sequence[int]) -> None:
        """Take documents, by their doc_nums in the parent, out of the id space."""
        gone = np.searchsorted(self._before, np.unique(np.asarray(doc_nums, dtype=np.int64)))
        self._numbering = self._numbering.change(gone.tolist(), [])
        self._before = np.delete(self._before, gone)
        empty = [
            segment
            for segment, size in enumerate(self._numbering.sizes)
            if self._numbering.deleted(segment) == size
        ]
        if len(empty) == len(self._segments):
            empty = empty[1:]
        self._numbering = self._numbering.drop(empty)
        self._segments = [
            name for segment, name in enumerate(self._segments) if segment not in set(empty)
        ]

    def merge(
        self,
        names: Sequence[str],
        *,
        rows: Rows | None = None,
        plans: Mapping[str, BranchPlan] | None = None,
        progress: StartProgress = no_progress,
    ) -> dict[str, dict[str, Any]]:
        """Write the live documents of some segments as one new segment in their place.

        Returns what each branch measured.

        Args:
            names: the segments.
            rows: where the rows come from, by doc_num in the parent; default: as they are stored.
            plans: the branches that ``rows`` encodes anew.
            progress: shows how far it is.
        """
        merged = [self._segments.index(name) for name in names]
        self._numbering, doc_nums = self._numbering.merge(merged)
        self._segments = [name for name in self._segments if name not in set(names)]
        rows = rows or StoredRows(self.index, self.allowance)
        return self._write(rows, self._before[doc_nums], plans or {}, progress)

    def append(
        self,
        rows: Rows,
        order: Order,
        doc_ids: Sequence[str],
        *,
        progress: StartProgress = no_progress,
    ) -> None:
        """Write a segment of new documents.

        Args:
            rows: documents and rows by position.
            order: positions in descending order of id.
            doc_ids: the ids in that order; none of them is in the index.
            progress: shows how far it is.
        """
        before, _ = self.index.documents.locate(doc_ids)
        places = np.searchsorted(self._before, before)
        self._numbering = self._numbering.change([], places.tolist(), len(order))
        self._write(rows, order, {}, progress)

    def update_record(self, name: str, record: BranchRecord) -> None:
        """Give a branch another record."""
        self._records[name] = record

    def state_folder(self, name: str) -> Path:
        """Return the folder of the new state of a branch's encoder."""
        folder = self.generation.directory / name / "encoder"
        folder.mkdir(parents=True)
        return folder

    def commit(self) -> None:
        """Take over every file that has not changed, and commit."""
        new = self.generation.directory / SEGMENTS
        parts = [f"{SEGMENTS}/{name}" for name in self._segments if not (new / name).exists()]
        for name in self._records:
            state = f"{name}/encoder"
            written = (self.generation.directory / state).exists()
            if self.index.generation.names(state) and not written:
                parts.append(state)
        self.generation.reuse(*parts)
        if not self._numbering.is_whole:
            folder = self.generation.directory / NUMBERING
            folder.mkdir()
            self._numbering.save(folder)
        self.generation.commit(
            {
                **self.index.generation.content,
                "document_count": self.document_count,
                "branches": {name: record.to_dict() for name, record in self._records.items()},
                "segments": [[name, size] for name, size in self.segment_sizes.items()],
            }
        )

    def _write(
        self,
        rows: Rows,
        order: Order,
        plans: Mapping[str, BranchPlan],
        progress: StartProgress,
    ) -> dict[str, dict[str, Any]]:
        self._last += 1
        name = f"{self._last:06d}"
        self._segments.append(name)
        folder = self.generation.directory / SEGMENTS / name
        table = rows.passages
        size = len(order) if table is None else int(table.counts[order].sum())
        every = {each: plans.get(each) or self._plan(each, size) for each in self._records}
        plan = SegmentPlan(every, limit=self.allowance.limit)
        return write_segment(folder, rows, order, plan, progress=progress)

    def _plan(self, name: str, size: int) -> BranchPlan:
        record = self._records[name]
        if record.kind == "dense":
            dimension = record.report.get("dimension")
            if not isinstance(dimension, int):
                dimension = self.index.dense(name).dimension
            return dense_plan(record, dimension, size)
        # Of the first segment only these two files: reading all to verify it would cost a scan.
        first = f"{SEGMENTS}/{next(iter(self.index.segments))}/{name}"
        stored = json.loads(self.index.generation.path(f"{first}/sparse.json").read_bytes())
        scales = open_array(self.index.generation.path(f"{first}/scales.npy"), np.float32, (None,))
        weights = stored["weights"]
        kept = np.array(scales) if weights == "uint8" else None
        return BranchPlan("sparse", len(scales), weights=weights, scales=kept)


def dense_plan(record: BranchRecord, dimension: int, size: int) -> BranchPlan:
    """Return how a dense segment of so many rows is written: a small one needs no graph."""
    vectors = record.report.get("vectors", "flat") if size >= APPROXIMATE_FROM else "flat"
    return BranchPlan("dense", dimension, vectors=vectors)


def sparse_plan(record: BranchRecord, width: int) -> BranchPlan:
    """Return how a sparse branch that is encoded anew is written, with scales of its own."""
    weights: Any = record.report.get("weights", "uint8")
    return BranchPlan("sparse", width, weights=weights)


def store_domain(directory: str | Path, name: str, fusion: str, report: Mapping[str, Any]) -> None:
    """Store a printed fusion under a domain name, as a new generation that reuses every other file.

    Raises:
        UsageError: the name is empty, or there is no generation to add a domain to.
        IndexLockedError: another writer is at work.
    """
    check_name("the name of a domain", name)
    with new_generation(directory, create=False) as generation:
        parent = generation.parent
        if parent is None:
            raise UsageError(f"{directory} holds no generation to add a domain to")
        generation.reuse(*parent.manifest.files)
        domains = dict(parent.content.get("domains", {}))
        domains[name] = {"fusion": fusion, "report": dict(report)}
        generation.commit({**parent.content, "domains": domains})
