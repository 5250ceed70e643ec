"""Export for Anserini: Lucene then serves the same learned-sparse vectors.

Anserini's JsonVectorCollection repeats each term as often as its integer weight says, and its
impact scoring multiplies the counts, so that Lucene's score of a pair is the dot product of the
integer vectors: about ``SCALE ** 2`` times the score here. The factor 100 is the one that Anserini
uses for SPLADE (Formal et al., "SPLADE v2", 2021; Lin et al., "Anserini", SIGIR 2017).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import UsageError
from hybrid.integrations.formats.impacts import Rounding
from hybrid.machine.outputs import new_output

DOCUMENTS_PER_FILE = 100_000
LONGEST_TERM = 255


@dataclass(frozen=True, slots=True)
class VectorBatch:
    """Some documents or queries: ids, texts (may be empty strings) and their sparse vectors.

    Attributes:
        ids: n ids.
        contents: n texts; ignored for queries.
        vectors: CSR (n, vocabulary), weights >= 0.
    """

    ids: Sequence[str]
    contents: Sequence[str]
    vectors: csr_matrix

    def __post_init__(self) -> None:
        n = self.vectors.shape[0]
        if not len(self.ids) == len(self.contents) == n:
            raise UsageError(
                f"a batch of {len(self.ids)} ids, {len(self.contents)} contents and {n} vectors; "
                "expected one of each a document"
            )


@dataclass(frozen=True, slots=True)
class AnseriniExport:
    """The counts of an export.

    Attributes:
        directory: holds ``documents/*.jsonl``, ``queries.tsv`` and ``export.json``.
        documents, queries: how many were written.
        empty_documents: documents whose every weight rounds to 0; written, but never found.
        empty_queries: ids of queries without a term left; not written, as Anserini's reader fails
            on an empty topic.
        document_rounding, query_rounding: what became of the weights.
        commands: how Anserini indexes and searches the folder.
    """

    directory: Path
    documents: int
    queries: int
    empty_documents: int
    empty_queries: tuple[str, ...]
    document_rounding: Rounding
    query_rounding: Rounding
    commands: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Return the same as plain values, for ``--json`` and ``export.json``."""
        return {
            "format": "Anserini JsonVectorCollection",
            "documents": self.documents,
            "queries": self.queries,
            "empty_documents": self.empty_documents,
            "empty_queries": list(self.empty_queries),
            "document_weights": self.document_rounding.to_dict(),
            "query_weights": self.query_rounding.to_dict(),
            "commands": list(self.commands),
        }


def export_anserini(
    documents: Iterable[VectorBatch],
    directory: str | Path,
    *,
    vocabulary: Sequence[str],
    queries: Iterable[VectorBatch] = (),
    progress: Callable[[int], None] | None = None,
) -> AnseriniExport:
    """Write vectors for Anserini into a new folder and return their counts.

    Documents go to ``documents/part-00000.jsonl`` and on, one JSON object a line with ``id``,
    ``contents`` and ``vector`` ({term: integer}); queries to ``queries.tsv``, each term repeated
    as often as its integer weight. The folder appears whole or not at all.

    Args:
        documents: batches in any order; only one is held at a time.
        directory: must not exist.
        vocabulary: the term of each column.
        queries: batches of query vectors.
        progress: told the number of newly written documents.

    Raises:
        OutputExistsError: ``directory`` exists.
        StorageError: the disk is full or refuses.
        UsageError: a term or id with white space, a vector of another width, or a weight that
            cannot become an impact.
    """
    target = Path(directory)
    columns = _Columns(vocabulary)
    document_rounding, query_rounding = Rounding(), Rounding()
    with new_output(target) as folder:
        (folder / "documents").mkdir(parents=True)
        parts = _Parts(folder / "documents")
        with closing(parts):
            count, empty = _write_documents(documents, parts, columns, document_rounding, progress)
        with (folder / "queries.tsv").open("x", encoding="utf-8", newline="\n") as file:
            query_count, empty_queries = _write_queries(queries, file, columns, query_rounding)
        export = AnseriniExport(
            directory=target,
            documents=count,
            queries=query_count,
            empty_documents=empty,
            empty_queries=tuple(empty_queries),
            document_rounding=document_rounding,
            query_rounding=query_rounding,
            commands=_commands(target, with_queries=query_count > 0),
        )
        summary = json.dumps(export.to_dict(), indent=2, ensure_ascii=False) + "\n"
        (folder / "export.json").write_text(summary, encoding="utf-8")
    return export


class _Columns:
    """Terms by column; each is checked when it is first used, so an unused odd one is no error."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = vocabulary
        self._good = np.zeros(len(vocabulary), dtype=bool)

    def rows(
        self, batch: VectorBatch, rounding: Rounding
    ) -> Iterator[tuple[str, str, dict[str, int]]]:
        """Yield (id, contents, {term: impact}) for each row, impacts of 0 left out."""
        vectors = csr_matrix(batch.vectors)
        if vectors.shape[1] != len(self.vocabulary):
            raise UsageError(
                f"vectors have {vectors.shape[1]} columns, the vocabulary {len(self.vocabulary)} "
                "terms; give both from one encoder"
            )
        impacts = rounding.impacts(vectors.data)
        self._check(np.unique(vectors.indices[impacts > 0]))
        terms = [self.vocabulary[column] for column in vectors.indices.tolist()]
        values, bounds = impacts.tolist(), vectors.indptr.tolist()
        for row, (identifier, contents) in enumerate(zip(batch.ids, batch.contents, strict=True)):
            if not identifier or any(map(str.isspace, identifier)):
                raise UsageError(f"id {identifier!r} is empty or holds white space")
            span = slice(bounds[row], bounds[row + 1])
            pairs = zip(terms[span], values[span], strict=True)
            yield identifier, contents, {term: impact for term, impact in pairs if impact}

    def _check(self, columns: NDArray[np.int32]) -> None:
        for column in columns[~self._good[columns]].tolist():
            term = self.vocabulary[column]
            if not term or len(term) > LONGEST_TERM or any(map(str.isspace, term)):
                raise UsageError(
                    f"term {term!r} (column {column}) is empty, holds white space or is longer "
                    f"than {LONGEST_TERM} characters, so Lucene's white-space tokenizer would "
                    "split it; export the branch of another encoder"
                )
            self._good[column] = True


class _Parts:
    """The files of the collection; Anserini reads one a thread."""

    def __init__(self, folder: Path) -> None:
        self.lines = 0
        self._folder = folder
        self._file: TextIO | None = None

    def write(self, line: str) -> None:
        if self._file is None or self.lines % DOCUMENTS_PER_FILE == 0:
            self.close()
            path = self._folder / f"part-{self.lines // DOCUMENTS_PER_FILE:05d}.jsonl"
            self._file = path.open("x", encoding="utf-8", newline="\n")
        self._file.write(line)
        self.lines += 1

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _write_documents(
    documents: Iterable[VectorBatch],
    parts: _Parts,
    columns: _Columns,
    rounding: Rounding,
    progress: Callable[[int], None] | None,
) -> tuple[int, int]:
    empty = 0
    for batch in documents:
        for doc_id, contents, vector in columns.rows(batch, rounding):
            record = {"id": doc_id, "contents": contents, "vector": vector}
            parts.write(json.dumps(record, ensure_ascii=False) + "\n")
            empty += not vector
        if progress is not None:
            progress(len(batch.ids))
    return parts.lines, empty


def _write_queries(
    queries: Iterable[VectorBatch], file: TextIO, columns: _Columns, rounding: Rounding
) -> tuple[int, list[str]]:
    count = 0
    empty = []
    for batch in queries:
        for query_id, _, vector in columns.rows(batch, rounding):
            if not vector:
                empty.append(query_id)
                continue
            repeated = " ".join(" ".join([term] * impact) for term, impact in vector.items())
            file.write(f"{query_id}\t{repeated}\n")
            count += 1
    return count, empty


def _commands(directory: Path, *, with_queries: bool) -> tuple[str, ...]:
    """Return the command that indexes the folder and, for queries, the one that searches it."""
    index = (
        "bin/run.sh io.anserini.index.IndexCollection -collection JsonVectorCollection "
        f"-generator DefaultLuceneDocumentGenerator -input {directory}/documents "
        "-index lucene-index -impact -pretokenized -optimize -threads 4"
    )
    search = (
        "bin/run.sh io.anserini.search.SearchCollection -index lucene-index "
        f"-topics {directory}/queries.tsv -topicReader TsvString -output run.txt "
        "-impact -pretokenized -hits 1000"
    )
    return (index, search) if with_queries else (index,)
