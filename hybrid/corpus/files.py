"""Corpora in files: one table, a folder of tables of one kind, or a BEIR folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from hybrid.corpus.checks import Door, field_pass, surveyed
from hybrid.corpus.columns import Columns
from hybrid.corpus.fields.kinds import FieldKinds
from hybrid.corpus.qrels import Qrels, read_qrels
from hybrid.corpus.records import Document, Query, Skipped, SourceOptions
from hybrid.corpus.tables import line_count, rows, table_suffix
from hybrid.errors import CorpusError


class FileSource:
    """A corpus in JSON, TSV, CSV or Parquet files; queries and qrels in files of their own."""

    def __init__(self, paths: Sequence[Path], options: SourceOptions, name: str = "") -> None:
        self.name = name or str(paths[0])
        self.skipped = Skipped()
        self.skipped_queries = Skipped()
        self._paths = paths
        self._options = options

    @cached_property
    def field_kinds(self) -> Mapping[str, str]:
        """Return the kind of each field that is asked for; see Source."""
        return surveyed(self._options, self._read, cells=self._has_cells)

    def documents(self) -> Iterator[Document]:
        """Yield the documents in the order of the file; see Source."""
        self.skipped.clear()
        kinds = field_pass(self._options, self.field_kinds, cells=self._has_cells)
        yield from self._read(Door(self.skipped, self._options.skip_bad), kinds)

    @property
    def _has_cells(self) -> bool:
        return table_suffix(self._paths[0]) in (".tsv", ".csv")

    def _read(self, door: Door, kinds: FieldKinds) -> Iterator[Document]:
        columns = Columns.of_documents(self._options)
        found = rows(
            self._paths,
            columns,
            door,
            delimiter=self._options.delimiter,
            encoding=self._options.encoding,
        )
        return door.documents(found, columns, self.name, kinds)

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """Yield the queries judged in ``split``, or all for None; see Source."""
        path = self._queries_path()
        judged = None if split is None else set(self.qrels(split))
        self.skipped_queries.clear()
        door = Door(self.skipped_queries, self._options.skip_bad)
        columns = Columns.of_queries(self._options)
        found = rows(
            [path],
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
        counts = [line_count(path) for path in self._paths]
        return None if None in counts else sum(count or 0 for count in counts)

    def _queries_path(self) -> Path:
        if self._options.queries is None:
            raise CorpusError(
                f"{self.name} has no queries of its own; give a file of queries with --queries "
                "(SourceOptions(queries=...)) and its judgments with --qrels"
            )
        return Path(self._options.queries)

    def judgments_place(self, split: str) -> str:
        """Return the file of the judgments of a split, for messages."""
        return str(self._qrels_path(split))

    def _qrels_path(self, split: str) -> Path:
        return Path(str(self._options.qrels))


class BeirSource(FileSource):
    """A BEIR folder: corpus.jsonl, queries.jsonl (each maybe packed) and qrels/<split>.tsv."""

    def __init__(self, folder: Path, corpus: Path, options: SourceOptions) -> None:
        super().__init__([corpus], options, str(folder))
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


def folder_source(folder: Path, options: SourceOptions) -> FileSource:
    """Return the source in a folder: BEIR, or all its files if they are tables of one kind.

    Raises:
        CorpusError: there is no such file, or they are of several kinds.
    """
    corpus = _one_of(folder, "corpus")
    if corpus is not None:
        return BeirSource(folder, corpus, options)
    paths = sorted(
        path for path in folder.iterdir() if table_suffix(path) and path.name[0] not in "._"
    )
    kinds = sorted({table_suffix(path) or "" for path in paths})
    if len(kinds) != 1:
        raise CorpusError(
            f"{folder} is a folder without corpus.jsonl, so it is no BEIR folder, and it holds "
            f"{'files of the kinds ' + ', '.join(kinds) if kinds else 'no file of a known kind'}; "
            "give a BEIR folder, a folder of files of one kind, one file, or an ir-datasets id"
        )
    return FileSource(paths, options, str(folder))


def _one_of(folder: Path, stem: str) -> Path | None:
    names = (f"{stem}.jsonl{packed}" for packed in ("", ".gz", ".bz2", ".xz", ".zst"))
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
