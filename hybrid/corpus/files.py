"""Corpora in files: one table, or a BEIR folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hybrid.corpus.checks import Columns, Door
from hybrid.corpus.qrels import Qrels, read_qrels
from hybrid.corpus.records import Document, Query, Skipped, SourceOptions
from hybrid.corpus.tables import line_count, rows
from hybrid.errors import CorpusError


class FileSource:
    """A corpus in one JSONL, TSV, CSV or Parquet file; queries and qrels in files of their own."""

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self.name = str(path)
        self.skipped = Skipped()
        self.skipped_queries = Skipped()
        self._path = path
        self._options = options

    def documents(self) -> Iterator[Document]:
        """Yield the documents in the order of the file; see Source."""
        self.skipped.clear()
        door = Door(self.skipped, self._options.skip_bad)
        columns = Columns.of_documents(self._options)
        found = rows(
            self._path,
            columns,
            door,
            delimiter=self._options.delimiter,
            encoding=self._options.encoding,
        )
        yield from door.documents(found, columns, self.name)

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """Yield the queries judged in ``split``, or all for None; see Source."""
        path = self._queries_path()
        judged = None if split is None else set(self.qrels(split))
        self.skipped_queries.clear()
        door = Door(self.skipped_queries, self._options.skip_bad)
        columns = Columns.of_queries(self._options)
        found = rows(
            path,
            columns,
            door,
            delimiter=self._options.delimiter,
            encoding=self._options.encoding,
        )
        yield from judged_queries(
            door.queries(found, columns), judged, f"{path}, split {split}", self._options.skip_bad
        )

    def qrels(self, split: str) -> Qrels:
        """Return the judgments of ``split``; see Source."""
        if split not in self.splits():
            raise unknown_split(self.name, split, self.splits())
        return read_qrels(self._qrels_path(split))

    def splits(self) -> tuple[str, ...]:
        """Return the one split that the qrels option gives, or none."""
        return (self._options.split,) if self._options.qrels is not None else ()

    def document_count(self) -> int | None:
        """Return the number of lines or rows, or None for a packed file."""
        return line_count(self._path)

    def _queries_path(self) -> Path:
        if self._options.queries is None:
            raise CorpusError(
                f"{self.name} has no queries of its own; give a file of queries with --queries "
                "(SourceOptions(queries=...)) and its judgments with --qrels"
            )
        return Path(self._options.queries)

    def _qrels_path(self, split: str) -> Path:
        return Path(str(self._options.qrels))


class BeirSource(FileSource):
    """A BEIR folder: corpus.jsonl, queries.jsonl (each maybe .gz) and qrels/<split>.tsv."""

    def __init__(self, folder: Path, options: SourceOptions) -> None:
        corpus = _one_of(folder, "corpus")
        if corpus is None:
            raise CorpusError(
                f"{folder} is a folder without corpus.jsonl or corpus.jsonl.gz, so it is no BEIR "
                "folder; give a BEIR folder, one corpus file, or an ir-datasets id"
            )
        super().__init__(corpus, options)
        self.name = str(folder)
        self._folder = folder

    def splits(self) -> tuple[str, ...]:
        """Return the names of the files in qrels/, and that of the qrels option."""
        found = {path.stem for path in (self._folder / "qrels").glob("*.tsv")}
        return tuple(sorted(found | set(super().splits())))

    def _queries_path(self) -> Path:
        if self._options.queries is not None:
            return Path(self._options.queries)
        path = _one_of(self._folder, "queries")
        if path is None:
            raise CorpusError(
                f"{self.name} has no queries.jsonl or queries.jsonl.gz; add it, or give a file of "
                "queries with --queries"
            )
        return path

    def _qrels_path(self, split: str) -> Path:
        if self._options.qrels is not None and split == self._options.split:
            return Path(self._options.qrels)
        return self._folder / "qrels" / f"{split}.tsv"


def _one_of(folder: Path, stem: str) -> Path | None:
    names = (f"{stem}.jsonl", f"{stem}.jsonl.gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)


def unknown_split(name: str, split: str, known: tuple[str, ...]) -> CorpusError:
    """Return the error for a split that a source does not have."""
    if not known:
        return CorpusError(
            f"{name} has no judgments, so no split {split!r}; give a qrels file with --qrels"
        )
    return CorpusError(f"{name} has no split {split!r}; it has {', '.join(known)}")


def judged_queries(
    queries: Iterator[Query], judged: set[str] | None, place: str, skip_bad: bool
) -> Iterator[Query]:
    """Yield the queries in ``judged`` (all for None).

    Raises:
        CorpusError: a judged query never came, unless ``skip_bad``.
    """
    if judged is None:
        yield from queries
        return
    missing = set(judged)
    for query in queries:
        if query.query_id in judged:
            missing.discard(query.query_id)
            yield query
    if missing and not skip_bad:
        raise CorpusError(
            f"{place}: {len(missing)} of {len(judged)} judged queries have no text, first "
            f"{min(missing)!r}; check that queries and qrels belong together, or go on without "
            "them with --skip-bad"
        )
