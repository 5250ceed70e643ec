"""Run: ranked lists for a set of queries, the one ordering rule, and TREC files.

The ordering rule, everywhere in this library: score descending in float32, ties by ``doc_id``
descending in code-point order. It is the rule of trec_eval, so a measure computed here equals the
measure of the written file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus import Document
from hybrid.corpus.checks import check_text
from hybrid.corpus.fields.types import FieldValue
from hybrid.corpus.qrels import Qrels, read_qrels, read_ranked, write_qrels
from hybrid.corpus.snippets import Snippet
from hybrid.errors import UsageError, given, require
from hybrid.fusion.pool import BranchScore
from hybrid.machine.files import write_new

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Hit", "Qrels", "Run", "ranking_order", "read_qrels", "write_qrels"]


def ranking_order(doc_ids: Sequence[str], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the positions of one ranked list in order: score descending, then doc_id descending.

    >>> ranking_order(["a", "b", "c"], np.array([1, 2, 1], np.float32)).tolist()
    [1, 2, 0]
    """
    by_id = sorted(range(len(doc_ids)), key=doc_ids.__getitem__, reverse=True)
    order = np.asarray(by_id, dtype=np.int64)
    return order[np.argsort(-scores[order], kind="stable")]


class HitSource(Protocol):
    """The documents and branch scores of the hits of one query, by doc_id."""

    def document(self, doc_id: str) -> Document:
        """Return the document."""

    def scores(self, doc_id: str) -> dict[str, BranchScore]:
        """Return the score in each branch, and of the reranker where it scored the document."""

    def snippet(self, doc_id: str) -> Snippet:
        """Return the part of the text that says most of the query."""

    def to_dict(self, doc_id: str) -> dict[str, Any]:
        """Return all of it as JSON data."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One document of a ranked list; ``rank`` counts from 1.

    A hit of an opened index reads title, text, fields, branch scores and snippet when one is first
    asked for, the documents of all hits of a query at once; it raises IndexFormatError if its
    generation is gone by then. Of a run file, or copied or pickled, it raises UsageError.
    """

    doc_id: str
    score: float
    rank: int
    source: HitSource | None = field(default=None, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return Hit, (self.doc_id, self.score, self.rank)

    @property
    def title(self) -> str:
        """The title of the document, "" for none."""
        return self._source().document(self.doc_id).title

    @property
    def text(self) -> str:
        """The text of the document."""
        return self._source().document(self.doc_id).text

    @property
    def fields(self) -> Mapping[str, FieldValue]:
        """The fields of the document, those without a value left out."""
        return self._source().document(self.doc_id).fields

    @property
    def scores(self) -> Mapping[str, BranchScore]:
        """The raw score and rank in each branch that was searched, and of a reranker."""
        return self._source().scores(self.doc_id)

    @property
    def snippet(self) -> Snippet:
        """The part of the text whose words say most of the query, with its words marked."""
        return self._source().snippet(self.doc_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the hit as JSON data: rank, doc_id and score; of an opened index, all of it."""
        more = {} if self.source is None else self.source.to_dict(self.doc_id)
        return {"rank": self.rank, "doc_id": self.doc_id, "score": self.score, **more}

    def _source(self) -> HitSource:
        if self.source is None:
            raise UsageError(
                f"the hit {self.doc_id!r} is of no opened index, so it has an id, a score and a "
                "rank alone; take hits from Index.search, or ask Index.document(doc_id)"
            )
        return self.source


class Run:
    """Ranked documents for each query, immutable, held in the ordering rule.

    Args:
        query_ids: distinct ids, in the order in which the run is iterated.
        doc_ids: for each query its documents, best first.
        scores: for each query its scores, float32, best first.

    Raises:
        UsageError: lengths differ, an id occurs twice, a score is not finite, or a list is not in
            the ordering rule (``Run.from_dict`` orders; this constructor only checks).

    >>> run = Run.from_dict({"q1": {"a": 0.5, "b": 0.9}})
    >>> run["q1"][0]
    Hit(doc_id='b', score=0.8999999761581421, rank=1)
    """

    __slots__ = ("_doc_ids", "_scores", "_source_of", "query_ids")

    def __init__(
        self,
        query_ids: Sequence[str],
        doc_ids: Sequence[Sequence[str]],
        scores: Sequence[NDArray[np.float32]],
    ) -> None:
        if not len(query_ids) == len(doc_ids) == len(scores):
            raise UsageError(
                f"a run got {len(query_ids)} query ids, {len(doc_ids)} document lists and "
                f"{len(scores)} score lists; give one of each for every query"
            )
        self._fill(query_ids, doc_ids, scores, _checked_list)

    def _fill(
        self,
        query_ids: Sequence[str],
        doc_ids: Sequence[Sequence[str]],
        scores: Sequence[NDArray[np.float32]],
        check: Callable[[str, tuple[str, ...], NDArray[np.float32]], NDArray[np.float32]],
    ) -> None:
        self._source_of: Callable[[str], HitSource] | None = None
        self.query_ids = tuple(query_ids)
        self._doc_ids: dict[str, tuple[str, ...]] = {}
        self._scores: dict[str, NDArray[np.float32]] = {}
        for query_id, ids, values in zip(query_ids, doc_ids, scores, strict=True):
            if check_text("a query id", query_id) in self._doc_ids:
                raise UsageError(f"query {query_id!r} occurs twice in a run; ids must be distinct")
            self._doc_ids[query_id] = tuple(ids)
            self._scores[query_id] = check(query_id, self._doc_ids[query_id], values)

    @classmethod
    def ordered(
        cls,
        query_ids: Sequence[str],
        doc_ids: Sequence[Sequence[str]],
        scores: Sequence[NDArray[np.float32]],
    ) -> Run:
        """Return the run of lists that are known to be in the ordering rule, with finite scores."""
        made = cls.__new__(cls)
        made._fill(query_ids, doc_ids, scores, _read_only)
        return made

    @classmethod
    def from_dict(cls, ranked: Mapping[str, Mapping[str, float]]) -> Run:
        """Return the run of ``{query_id: {doc_id: score}}``, put into the ordering rule."""
        if not isinstance(ranked, Mapping):
            raise UsageError(
                f"for a run, {given(ranked)} was given; give {{query_id: {{doc_id: score}}}}"
            )
        doc_ids: list[list[str]] = []
        scores: list[NDArray[np.float32]] = []
        for query_id, documents in ranked.items():
            if not isinstance(documents, Mapping):
                raise UsageError(
                    f"for the hits of query {query_id!r}, {given(documents)} was given; give "
                    "{doc_id: score}"
                )
            ids = list(documents)
            values = _float32(list(documents.values()))
            order = ranking_order(ids, values)
            doc_ids.append([ids[i] for i in order])
            scores.append(values[order])
        return cls(list(ranked), doc_ids, scores)

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Return ``{query_id: {doc_id: score}}``, the shape that pytrec_eval and ranx take."""
        return {
            query_id: dict(
                zip(self._doc_ids[query_id], map(float, self._scores[query_id]), strict=True)
            )
            for query_id in self.query_ids
        }

    def to_pandas(self, *, full: bool = False) -> pd.DataFrame:
        """Return a frame with a row for each hit: query_id, rank, doc_id and score.

        Args:
            full: with the other keys of `Hit.to_dict`, inner ones by dots, such as
                ``fields.year`` and ``scores.dense.score``.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        pandas = require("pandas", extra="tables", purpose="a frame")
        names = ["query_id", "rank", "doc_id", "score"]
        if full:
            rows = [{names[0]: each, **hit.to_dict()} for each in self for hit in self[each]]
            found: pd.DataFrame = pandas.json_normalize(rows)
            return found if rows else pandas.DataFrame(columns=names)
        plain = [(each, hit.rank, hit.doc_id, hit.score) for each in self for hit in self[each]]
        return pandas.DataFrame(plain, columns=names)

    def bound(self, source_of: Callable[[str], HitSource] | None) -> Run:
        """Return the run with a source for the hits of each query; copies are without."""
        found = copy(self)
        found._source_of = source_of
        return found

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        state = {name: getattr(self, name) for name in self.__slots__}
        return None, {**state, "_source_of": None}

    def __len__(self) -> int:
        return len(self.query_ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.query_ids)

    def __contains__(self, query_id: object) -> bool:
        return query_id in self._doc_ids

    def __getitem__(self, query_id: str) -> list[Hit]:
        """Return the hits of one query, best first.

        Raises:
            UsageError: the run has no such query.
        """
        ids, scores = self.doc_ids(query_id), self.scores(query_id)
        source = None if self._source_of is None else self._source_of(query_id)
        return [
            Hit(doc_id, float(score), rank, source)
            for rank, (doc_id, score) in enumerate(zip(ids, scores, strict=True), start=1)
        ]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Run):
            return NotImplemented
        return (
            self.query_ids == other.query_ids
            and self._doc_ids == other._doc_ids
            and all(np.array_equal(self._scores[q], other._scores[q]) for q in self.query_ids)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Run({len(self)} queries, {sum(map(len, self._doc_ids.values()))} documents)"

    def doc_ids(self, query_id: str) -> tuple[str, ...]:
        """Return the document ids of one query, best first."""
        self._check_query(query_id)
        return self._doc_ids[query_id]

    def scores(self, query_id: str) -> NDArray[np.float32]:
        """Return the float32 scores of one query, best first."""
        self._check_query(query_id)
        return self._scores[query_id]

    def top(self, k: int) -> Run:
        """Return the run cut to the first ``k`` documents of each query."""
        if k < 1:
            raise UsageError(f"k is {k}; give 1 or more")
        doc_ids = [self._doc_ids[q][:k] for q in self.query_ids]
        scores = [self._scores[q][:k] for q in self.query_ids]
        return Run(self.query_ids, doc_ids, scores).bound(self._source_of)

    def _check_query(self, query_id: str) -> None:
        if query_id not in self._doc_ids:
            raise UsageError(
                f"query {query_id!r} is not among the {len(self)} queries of this run; "
                "iterate over the run to see its query ids"
            )

    def write_trec(self, path: str | Path, *, tag: str = "hybrid") -> None:
        """Write ``query_id Q0 doc_id rank score tag`` lines, scores exact in float32.

        Raises:
            OutputExistsError: ``path`` exists.
            UsageError: an id or the tag holds white space, which the format cannot carry.
        """
        lines: list[str] = []
        _check_token(tag, "tag")
        for query_id in self.query_ids:
            _check_token(query_id, "query id")
            for hit in self[query_id]:
                _check_token(hit.doc_id, "document id")
                lines.append(f"{query_id} Q0 {hit.doc_id} {hit.rank} {hit.score:.9g} {tag}\n")
        write_new(path, "".join(lines))

    @classmethod
    def read_trec(cls, path: str | Path) -> Run:
        """Return the run of a TREC run file (``.gz`` allowed), put into the ordering rule.

        Raises:
            CorpusError: the file is missing, or a line is not six columns with a finite score, or
                a document occurs twice for one query; names file, line and reason.
        """
        return cls.from_dict(read_ranked(path))


def _checked_list(
    query_id: str, doc_ids: tuple[str, ...], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    values = _float32(scores)
    try:
        plain = all(map(str.isascii, doc_ids))
    except TypeError:
        plain = False
    for doc_id in () if plain else doc_ids:
        check_text(f"a document id of query {query_id!r}", doc_id)
    if values.shape != (len(doc_ids),):
        raise UsageError(
            f"query {query_id!r} has {len(doc_ids)} documents and scores of shape {values.shape}; "
            "give one score for each document"
        )
    if len(set(doc_ids)) != len(doc_ids):
        raise UsageError(f"query {query_id!r} holds a document twice; keep the better score")
    if not np.isfinite(values).all():
        raise UsageError(f"query {query_id!r} holds a score that is not finite in float32")
    steps = np.diff(values)
    ties_fall = all(doc_ids[at] > doc_ids[at + 1] for at in np.flatnonzero(steps == 0).tolist())
    if (steps > 0).any() or not ties_fall:
        raise UsageError(
            f"the list of query {query_id!r} is not in order (score descending, then doc_id "
            "descending); use Run.from_dict, which orders"
        )
    values.setflags(write=False)
    return values


def _read_only(
    query_id: str, doc_ids: tuple[str, ...], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    scores.setflags(write=False)
    return scores


def _float32(scores: object) -> NDArray[np.float32]:
    """Return a copy of the scores; those too large become infinite, which is refused elsewhere."""
    try:
        with np.errstate(over="ignore"):
            return np.array(scores, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(f"the scores of a run are {scores!r:.60}; give numbers") from error


def _check_token(value: str, what: str) -> None:
    if not value or any(character.isspace() for character in value):
        raise UsageError(
            f"{what} {value!r} is empty or holds white space, which a TREC file cannot carry; "
            "rename it, or use JSON"
        )
