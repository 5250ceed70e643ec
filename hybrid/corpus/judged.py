"""Queries and judgments that a program hands over, in place of those that a source reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from hybrid.corpus import open_source
from hybrid.corpus.checks import check_text
from hybrid.corpus.files import FileSource, judged_queries
from hybrid.corpus.qrels import LARGEST_GRADE, Qrels, read_qrels
from hybrid.corpus.records import Document, Query, Source, SourceOptions
from hybrid.errors import CorpusError, UsageError, given

JudgedQueries: TypeAlias = "Source | str | Path | tuple[Any, Any]"
"""Anything that holds queries and judgments; see `as_judged`."""
FILES = ("queries.tsv", "qrels")
"""Of a folder of judgments: queries as id and text, and qrels of TREC."""


def as_judged(held: JudgedQueries, options: SourceOptions | None = None) -> Source:
    """Return the source of queries and judgments that ``held`` is.

    Args:
        held: a source, a path or an ir-datasets id; or ``(queries, qrels)``: the queries as
            ``{query_id: text}``, a list of `Query`, or a path; the judgments as ``{query_id:
            {doc_id: grade}}`` or a path. They are then those of every split, as are those of a
            folder of judgments, which holds ``queries.tsv`` and ``qrels``.
        options: how files are read; with ``qrels`` and no ``queries``, a file holds the queries.

    Raises:
        UsageError: it is none of them.
    """
    options = options or SourceOptions()
    if callable(getattr(held, "qrels", None)):
        return cast("Source", held)
    if isinstance(held, str | Path):
        return _at_path(held, options)
    if isinstance(held, tuple) and len(held) == 2:
        return PairSource(held[0], held[1], options)
    raise UsageError(
        f"for queries and judgments, {given(held)} was given; give a source, a path, or a pair "
        "(queries, qrels)"
    )


def _at_path(path: str | Path, options: SourceOptions) -> Source:
    queries, qrels = (os.path.join(path, name) for name in FILES)
    if options.queries is None and options.qrels is not None and os.path.isfile(path):
        return PairSource(path, options.qrels, options)
    if options.queries is options.qrels is None and all(map(os.path.isfile, (queries, qrels))):
        return PairSource(queries, qrels, options)
    return open_source(path, options=options)


class PairSource(FileSource):
    """Queries and judgments without documents, the same for every split."""

    def __init__(self, queries: object, qrels: object, options: SourceOptions) -> None:
        is_path = isinstance(queries, str | Path)
        chosen = replace(options, queries=cast("str | Path", queries)) if is_path else options
        super().__init__((), chosen, str(queries) if is_path else "the given queries")
        self._given, self._judgments = queries, qrels

    def documents(self) -> Iterator[Document]:
        """Refuse: there are none."""
        raise CorpusError(f"{self.name} has queries and judgments, and no documents")

    def queries(self, split: str | None = None) -> Iterator[Query]:
        """Yield the judged queries, or all for None; see Source."""
        judged = None if split is None else set(self._qrels)
        held = super().queries() if isinstance(self._given, str | Path) else self._named()
        yield from judged_queries(held, judged, self.name, self._options.skip_bad)

    def _named(self) -> Iterator[Query]:
        if isinstance(self._given, Mapping):
            for query_id, text in self._given.items():
                check_text("a query id", query_id)
                yield Query(query_id, check_text(f"query {query_id!r}", text))
            return
        for each in self._given if isinstance(self._given, Iterable) else (self._given,):
            if not isinstance(each, Query):
                raise UsageError(
                    f"for the queries, {given(each)} was given; give {{query_id: text}}, a list of "
                    "hybrid.Query(query_id, text), or a path"
                )
            yield each

    def qrels(self, split: str) -> Qrels:
        """Return the judgments, whatever the split is called."""
        return self._qrels

    def judgments_place(self, split: str) -> str:
        """Return the file of the judgments, or how else messages name them."""
        held = self._judgments
        return str(held) if isinstance(held, str | Path) else "the given judgments"

    @cached_property
    def _qrels(self) -> Qrels:
        if isinstance(self._judgments, str | Path):
            return read_qrels(self._judgments)
        return checked_qrels(self._judgments)


def checked_qrels(qrels: object) -> Qrels:
    """Return the judgments ``{query_id: {doc_id: grade}}`` with grades that are plain ints.

    The whole numbers of NumPy, floats such as 2.0, and true and false are taken as grades.

    Raises:
        UsageError: it is no such mapping, or a grade or id is something else; names it.

    >>> checked_qrels({"q1": {"d1": 1.0, "d2": True}})
    {'q1': {'d1': 1, 'd2': 1}}
    """
    if not isinstance(qrels, Mapping):
        raise UsageError(
            f"for the judgments, {given(qrels)} was given; give {{query_id: {{doc_id: grade}}}}"
        )
    found: Qrels = {}
    for query_id, judged in qrels.items():
        check_text("a query id of the judgments", query_id)
        if not isinstance(judged, Mapping):
            raise UsageError(
                f"for the judgments of query {query_id!r}, {given(judged)} was given; give "
                "{doc_id: grade}, with 1 where a document is relevant"
            )
        for doc_id in judged:
            check_text(f"a document id in the judgments of query {query_id!r}", doc_id)
        found[query_id] = {
            doc_id: grade
            if type(grade) is int and abs(grade) <= LARGEST_GRADE
            else _grade(grade, query_id, doc_id)
            for doc_id, grade in judged.items()
        }
    return found


def _grade(grade: object, query_id: str, doc_id: str) -> int:
    whole = isinstance(grade, Integral | np.bool_) or (
        isinstance(grade, Real) and float(grade).is_integer()
    )
    if not whole or abs(int(grade)) > LARGEST_GRADE:  # type: ignore[call-overload]
        raise UsageError(
            f"the grade of document {doc_id!r} for query {query_id!r} is {given(grade)}; give a "
            f"whole number from {-LARGEST_GRADE} to {LARGEST_GRADE}"
        )
    return int(grade)  # type: ignore[call-overload, no-any-return]
