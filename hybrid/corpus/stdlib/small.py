"""The bundled collection ``stdlib-small``: a part that is indexed in half a minute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from hybrid.corpus.files import unknown_split
from hybrid.corpus.qrels import Qrels
from hybrid.corpus.records import Document, Query, Skipped, SourceOptions
from hybrid.corpus.stdlib.source import StdlibSource

NAME = "stdlib-small"
MODULES = {
    *("heapq", "bisect", "itertools", "functools", "json", "csv", "random", "statistics"),
    *("shutil", "tempfile", "glob", "textwrap", "string", "copy", "queue"),
}


class SmallSource:
    """Fifteen modules of ``stdlib``, with the queries of both collections that they answer.

    Kept are the queries whose best document is among them, and the judgments of those documents.
    """

    name = NAME

    def __init__(self, options: SourceOptions) -> None:
        self._sets = StdlibSource("stdlib", options), StdlibSource("stdlib-hard", options)
        self.skipped_queries = Skipped()

    @property
    def skipped(self) -> Skipped:
        """Return the records left out; see Source."""
        return self._sets[0].skipped

    @property
    def field_kinds(self) -> Mapping[str, str]:
        """Return nothing: there are no fields; see Source."""
        return {}

    def documents(self) -> Iterator[Document]:
        """Yield the documents of the modules; see Source."""
        return (each for each in self._sets[0].documents() if each.doc_id in self._kept)

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """Yield the queries judged in ``split``, or in any; see Source."""
        splits = self.splits() if split is None else (split,)
        judged = {query_id for each in splits for query_id in self.qrels(each)}
        for source in self._sets:
            yield from (query for query in source.queries() if query.query_id in judged)

    def qrels(self, split: str) -> Qrels:
        """Return the judgments of the kept documents; see Source."""
        if split not in self.splits():
            raise unknown_split(self.name, split, self.splits())
        found = {}
        for source in self._sets:
            for query_id, judged in source.qrels(split).items():
                inside = {each: grade for each, grade in judged.items() if each in self._kept}
                if inside and max(inside.values()) == max(judged.values()) > 0:
                    found[query_id] = inside
        return found

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits; see Source."""
        return self._sets[0].splits()

    def document_count(self) -> int | None:
        """Return how many documents there are; see Source."""
        return len(self._kept)

    @cached_property
    def _kept(self) -> frozenset[str]:
        return frozenset(
            doc_id for doc_id, _, _ in self._sets[0].gathered if doc_id.split(".")[0] in MODULES
        )
