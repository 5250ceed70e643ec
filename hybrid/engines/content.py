"""The description of an index that is pushed to an engine with its rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid.corpus.passages import starts
from hybrid.errors import UsageError
from hybrid.index.hybrid import HybridIndex

FORMAT = 1
OFFSETS, SPANS = "passages/offsets", "passages/spans"
TABLES = ("files", "shards")
"""Names that no branch may have; a build refuses ``documents`` by itself."""
SHARD = 10_000
"""Documents of one transaction."""


def described(index: HybridIndex, files: Iterable[str]) -> dict[str, Any]:
    """Return the description as JSON data; ``files`` are the names of those that go along."""
    content, generation = index.generation.content, index.generation
    return {
        "format": FORMAT,
        "pushed": generation.name,
        "created_at": generation.created_at,
        "size": generation.size,
        "document_count": index.document_count,
        "row_count": index.row_count,
        "source": index.source,
        "branches": {name: record.to_dict() for name, record in index.records.items()},
        "domains": index.domains,
        "passages": content.get("passages"),
        "fields": index.documents.field_kinds,
        "files": sorted(files),
        "vectors": {name: _vectors(index, name) for name in index.branches},
    }


def files_of(index: HybridIndex) -> dict[str, bytes]:
    """Return the files that a search needs: encoders that were fitted, and where texts are cut."""
    generation = index.generation
    files = {
        name: generation.path(name).read_bytes()
        for branch in index.branches
        for name in generation.names(f"{branch}/encoder")
    }
    if index.passages is not None:
        files[OFFSETS] = index.passages.offsets.astype("<i8").tobytes()
        files[SPANS] = index.passages.spans.astype("<i4").tobytes()
    return files


def field_table(index: HybridIndex) -> bytes:
    """Return the fields of the documents, by number, as an Arrow file."""
    store, numbering = index.documents, index.numbering
    firsts = starts(np.array(numbering.sizes))
    order = pa.array(firsts[numbering.segments] + numbering.places)
    columns = {}
    for name, kind in store.field_types.items():
        parts = [
            stored.fields[name].cast(kind) if name in stored.fields else pa.nulls(len(stored), kind)
            for stored in store.segments
        ]
        chunks = [chunk for part in parts for chunk in getattr(part, "chunks", [part])]
        columns[name] = pa.chunked_array(chunks, kind).take(order)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, pa.table(columns).schema) as writer:
        writer.write_table(pa.table(columns))
    return bytes(sink.getvalue())


def shard_count(index: HybridIndex) -> int:
    """Return how many parts of at most `SHARD` documents an index has."""
    return -(-index.document_count // SHARD)


def check_branches(index: HybridIndex, most_terms: int | None = None) -> None:
    """Do nothing if an engine can hold the branches.

    Args:
        index: to be pushed.
        most_terms: that a row of a sparse branch may have.

    Raises:
        UsageError: a branch has the name of a table of ours, or a row has more terms.
    """
    for name in index.branches:
        if name in TABLES:
            raise UsageError(
                f"a branch is called {name!r}, as a table that every push makes; build the index "
                f"with another name than {', '.join(TABLES)}"
            )
        if most_terms is None or index.record(name).kind == "dense":
            continue
        for shard in range(shard_count(index)):
            rows = rows_of(index, shard)[1]
            terms = np.diff(stored_vectors(index, name, rows).indptr)
            if terms.max(initial=0) > most_terms:
                raise UsageError(
                    f"row {rows[terms.argmax()]} of branch {name!r} has {terms.max():,} terms; the "
                    f"engine takes up to {most_terms:,}. Build the index with passages"
                )


def rows_of(index: HybridIndex, shard: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the documents and the rows of a part, int32."""
    first, last = shard * SHARD, min((shard + 1) * SHARD, index.document_count)
    documents = np.arange(first, last, dtype=np.int32)
    if index.passages is None:
        return documents, documents
    offsets = index.passages.offsets
    return documents, np.arange(offsets[first], offsets[last], dtype=np.int32)


def stored_vectors(index: HybridIndex, name: str, rows: np.ndarray[Any, Any]) -> Any:
    """Return the vectors of some rows of a branch, CSR or float32."""
    if index.record(name).kind == "sparse":
        return index.sparse(name).vectors(rows)
    return index.dense(name).vectors(rows)


def _vectors(index: HybridIndex, name: str) -> dict[str, Any]:
    if index.record(name).kind == "sparse":
        return {"width": index.sparse(name).vocabulary_size, "largest_norm": 0.0}
    segments = index.dense(name).segments
    largest = max((stored.largest_norm for stored in segments), default=0.0)
    return {"width": index.dense(name).dimension, "largest_norm": largest}
