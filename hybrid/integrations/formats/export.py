"""An index's sparse branch gathered for another system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from hybrid.corpus import Source
from hybrid.integrations.formats.anserini import AnseriniExport, VectorBatch, export_anserini
from hybrid.search.index import Index
from hybrid.search.view import View

BATCH = 1024


def export_index(
    index: Index,
    directory: str | Path,
    *,
    branch: str = "sparse",
    queries: Source | None = None,
    split: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> AnseriniExport:
    """Write a sparse branch, and the queries of a source, for Anserini; return what was written.

    The passages of document ``d`` are written as ``d#0``, ``d#1``, ..., which is what Anserini's
    own search for the best passage of each document expects.

    Raises:
        UsageError: the branch is absent or dense.
        OutputExistsError: ``directory`` exists.
    """
    view = index.view()
    encoder = view.sparse_encoder(branch)
    return export_anserini(
        _documents(view, branch),
        directory,
        vocabulary=encoder.vocabulary,
        queries=() if queries is None else _queries(view, branch, queries, split),
        progress=progress,
    )


def _documents(view: View, branch: str) -> Iterator[VectorBatch]:
    contents = view.contents
    for start in range(0, contents.row_count, BATCH):
        rows = np.arange(start, min(start + BATCH, contents.row_count), dtype=np.int32)
        yield VectorBatch(
            contents.row_ids(rows),
            list(contents.row_texts(rows)),
            contents.sparse(branch).documents(rows),
        )


def _queries(view: View, branch: str, source: Source, split: str | None) -> Iterator[VectorBatch]:
    queries = list(source.queries(split))
    vectors = view.sparse_encoder(branch).encode_queries([query.text for query in queries])
    yield VectorBatch(
        [query.query_id for query in queries], [query.text for query in queries], vectors
    )
