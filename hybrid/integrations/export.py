"""An index's sparse branch gathered for another system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hybrid.corpus import Source
from hybrid.integrations.anserini import AnseriniExport, VectorBatch, export_anserini
from hybrid.retrieve import Index

BATCH = 1024


def export_anserini_index(
    index: Index,
    directory: str | Path,
    *,
    branch: str = "sparse",
    queries: Source | None = None,
    split: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> AnseriniExport:
    """Write a sparse branch, and the queries of a source, for Anserini; return what was written.

    Raises:
        UsageError: the branch is absent or dense.
        OutputExistsError: ``directory`` exists.
    """
    encoder = index.sparse_encoder(branch)
    return export_anserini(
        _documents(index, branch),
        directory,
        vocabulary=encoder.vocabulary,
        queries=() if queries is None else _queries(index, branch, queries, split),
        progress=progress,
    )


def _documents(index: Index, branch: str) -> Iterator[VectorBatch]:
    contents = index.contents
    for start in range(0, len(index), BATCH):
        doc_nums = np.arange(start, min(start + BATCH, len(index)), dtype=np.int32)
        documents = list(contents.documents.take(doc_nums.tolist()))
        yield VectorBatch(
            [document.doc_id for document in documents],
            [document.full_text for document in documents],
            contents.sparse(branch).documents(doc_nums),
        )


def _queries(index: Index, branch: str, source: Source, split: str | None) -> Iterator[VectorBatch]:
    queries = list(source.queries(split))
    vectors = index.sparse_encoder(branch).encode_queries([query.text for query in queries])
    yield VectorBatch(
        [query.query_id for query in queries], [query.text for query in queries], vectors
    )
