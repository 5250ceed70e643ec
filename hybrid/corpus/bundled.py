"""The bundled collection ``stdlib`` as a Source."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from hybrid.corpus.checks import Columns, Door, Row
from hybrid.corpus.files import judged_queries, unknown_split
from hybrid.corpus.qrels import Qrels
from hybrid.corpus.records import Document, Query, Skipped, SourceOptions
from hybrid.errors import UsageError


class StdlibSource:
    """The docstrings of Python's standard library, gathered from the running interpreter."""

    name = "stdlib"

    def __init__(self, options: SourceOptions) -> None:
        self.skipped = Skipped()
        self.skipped_queries = Skipped()
        self._options = options

    def documents(self) -> Iterator[Document]:
        """Yield one document for each documented object; see Source."""
        if self._options.fields:
            raise UsageError(
                f"stdlib has no field {self._options.fields[0]!r}; its documents have an id, a "
                "title and a text"
            )
        self.skipped.clear()
        found = (
            Row(f"stdlib, {doc_id}", {"id": doc_id, "title": title, "text": text})
            for doc_id, title, text in self._gathered
        )
        columns = Columns(("id",), ("title",), ("text",))
        yield from Door(self.skipped, self._options.skip_bad).documents(found, columns, self.name)

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """Yield the queries judged in ``split``, or all for None; see Source."""
        from hybrid.corpus.stdlib import source

        judged = None if split is None else set(self.qrels(split))
        found = (Query(query_id, text) for query_id, text in source.queries())
        yield from judged_queries(found, judged, f"stdlib, split {split}", self._options.skip_bad)

    def qrels(self, split: str) -> Qrels:
        """Return the judgments of ``split``; see Source."""
        from hybrid.corpus.stdlib import source

        if split not in self.splits():
            raise unknown_split(self.name, split, self.splits())
        return source.qrels(split)

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits."""
        from hybrid.corpus.stdlib import source

        return tuple(source.splits())

    def document_count(self) -> int | None:
        """Return how many docstrings the running interpreter has."""
        return len(self._gathered)

    @cached_property
    def _gathered(self) -> list[tuple[str, str, str]]:
        """Id, title and text of each document: some megabytes, and about two seconds of work."""
        from hybrid.corpus.stdlib import source

        return list(source.documents())
