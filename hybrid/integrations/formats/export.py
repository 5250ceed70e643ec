"""An index written for another system or as files of vectors: the options, and who writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from hybrid.corpus import Source
from hybrid.errors import UsageError, path_of
from hybrid.machine.options import option

if TYPE_CHECKING:
    from hybrid.integrations.formats.anserini import AnseriniExport, VectorBatch
    from hybrid.search.index import Index
    from hybrid.search.view import View

Progress = Callable[[int], None]
System = Literal["anserini", "ciff", "parquet", "arrow", "safetensors"]


@dataclass(frozen=True)
class ExportOptions:
    """For which system an index is written, and which of its branches.

    Attributes:
        to: a key of ``SYSTEMS``.
    """

    to: System = option(
        "anserini", "the system or file: anserini, ciff, parquet, arrow, safetensors"
    )
    branch: str = option("sparse", "which branch; the first two take a sparse one")
    split: str | None = option(None, "which of its queries; default: all")


@dataclass(frozen=True)
class FileExport:
    """The result of an export to one file."""

    documents: int
    queries: int = 0
    commands: tuple[str, ...] = ()


class Export(Protocol):
    """The counts of an export, and the commands by which the other system reads it."""

    @property
    def documents(self) -> int: ...

    @property
    def queries(self) -> int: ...

    @property
    def commands(self) -> tuple[str, ...]: ...


def export_index(
    index: Index,
    directory: str | Path,
    options: ExportOptions | None = None,
    *,
    queries: Source | None = None,
    progress: Progress | None = None,
) -> Export:
    """Write an index, and the queries of a source, for another system; return what was written.

    Raises:
        UsageError: an unknown system, or a branch that is absent or dense.
        OutputExistsError: ``directory`` exists.
    """
    options = options or ExportOptions()
    if options.to not in SYSTEMS:
        raise UsageError(f"system {options.to!r} is unknown; give one of {', '.join(SYSTEMS)}")
    return SYSTEMS[options.to](
        index.view(), path_of("the output", directory), options, queries, progress
    )


def to_anserini(
    view: View,
    directory: Path,
    options: ExportOptions,
    queries: Source | None,
    progress: Progress | None,
) -> AnseriniExport:
    """Write a sparse branch with integer weights; return what was written.

    The passages of document ``d`` are written as ``d#0``, ``d#1``, ..., which is what Anserini's
    own search for the best passage of each document expects.
    """
    from hybrid.integrations.formats.anserini import export_anserini

    encoder = view.sparse_encoder(options.branch)
    return export_anserini(
        document_batches(view, options.branch),
        directory,
        vocabulary=encoder.vocabulary,
        queries=() if queries is None else query_batches(view, options, queries),
        progress=progress,
    )


def to_ciff(
    view: View,
    path: Path,
    options: ExportOptions,
    queries: Source | None,
    progress: Progress | None,
) -> FileExport:
    """Write a sparse branch as one CIFF file; return what was written.

    Raises:
        UsageError: queries are given, the index has no documents, or a weight is no impact.
    """
    from scipy.sparse import vstack

    from hybrid.integrations.formats.ciff import export_ciff

    _check_file(view, options, queries)
    encoder = view.sparse_encoder(options.branch)
    batches = list(document_batches(view, options.branch))
    weights = vstack([batch.vectors for batch in batches], format="csc")
    doc_ids = [doc_id for batch in batches for doc_id in batch.ids]
    export_ciff(weights, path, vocabulary=encoder.vocabulary, doc_ids=doc_ids)
    return FileExport(len(doc_ids))


def to_file(
    view: View,
    path: Path,
    options: ExportOptions,
    queries: Source | None,
    progress: Progress | None,
) -> FileExport:
    """Write the rows of a branch as Parquet, Arrow or safetensors; return what was written.

    Raises:
        UsageError: queries are given, or the index has no documents.
    """
    from hybrid.integrations.formats.vectors import write_safetensors, write_table

    _check_file(view, options, queries)
    if options.to == "safetensors":
        return FileExport(write_safetensors(view, path, options.branch))
    return FileExport(write_table(view, path, options.branch, options.to))


def _check_file(view: View, options: ExportOptions, queries: Source | None) -> None:
    if queries is not None:
        raise UsageError(f"{options.to} holds no queries; leave them out, or export to anserini")
    if not view.local.row_count:
        raise UsageError("the index has no documents to export; add some first")


Writer: TypeAlias = "Callable[[View, Path, ExportOptions, Source | None, Progress | None], Export]"
SYSTEMS: dict[str, Writer] = {
    "anserini": to_anserini,
    "ciff": to_ciff,
    **dict.fromkeys(("parquet", "arrow", "safetensors"), to_file),
}
"""System to the function that writes an index for it."""


def document_batches(view: View, branch: str) -> Iterator[VectorBatch]:
    """Yield the stored vectors of a sparse branch, with ids and texts."""
    from hybrid.integrations.formats.anserini import VectorBatch
    from hybrid.integrations.formats.vectors import row_batches

    contents = view.local
    for rows in row_batches(view):
        yield VectorBatch(
            contents.row_ids(rows),
            list(contents.row_texts(rows)),
            contents.sparse(branch).vectors(rows),
        )


def query_batches(view: View, options: ExportOptions, source: Source) -> Iterator[VectorBatch]:
    """Yield the vectors of the queries of a source, as the encoder of the branch gives them."""
    from hybrid.integrations.formats.anserini import VectorBatch

    queries = list(source.queries(options.split))
    encoder = view.sparse_encoder(options.branch)
    vectors = encoder.encode_queries([query.text for query in queries])
    yield VectorBatch(
        [query.query_id for query in queries], [query.text for query in queries], vectors
    )
