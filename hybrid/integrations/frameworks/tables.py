"""Runs and qrels as pandas frames, and as the objects of ranx and ir_measures, both ways.

run_to_ranx(index.search({"1": "merge sorted lists"}))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hybrid.corpus.qrels import Qrels
from hybrid.errors import UsageError, require
from hybrid.fusion.run import Run

if TYPE_CHECKING:
    import pandas as pd

EXTRA = "tables"


def run_to_frame(run: Run, *, query: str = "query_id", doc: str = "doc_id") -> pd.DataFrame:
    """Return a frame with a row for each hit: query, document, score, and rank from 1."""
    frame = run.to_pandas().rename(columns={"query_id": query, "doc_id": doc})
    return frame[[query, doc, "score", "rank"]]


def run_from_frame(frame: pd.DataFrame, *, query: str = "query_id", doc: str = "doc_id") -> Run:
    """Return the run of a frame with columns of query, document and ``score``.

    Raises:
        UsageError: a column is missing, a document occurs twice for a query, or a score is no
            finite number.
    """
    return Run.from_dict(_nested(frame, query, doc, "score"))


def qrels_to_frame(qrels: Qrels) -> pd.DataFrame:
    """Return a frame with a row for each judgment, in the columns of ir_measures."""
    rows = [(query, doc, grade) for query, judged in qrels.items() for doc, grade in judged.items()]
    return _pandas().DataFrame(rows, columns=["query_id", "doc_id", "relevance"])


def qrels_from_frame(frame: pd.DataFrame) -> Qrels:
    """Return the qrels of a frame with query_id, doc_id and relevance.

    Raises:
        UsageError: a column is missing, or a document is judged twice for a query.
    """
    return _whole(_nested(frame, "query_id", "doc_id", "relevance"))


def run_to_ranx(run: Run) -> Any:
    """Return the run as a ``ranx.Run``; queries without hits are left out, as it needs one."""
    return _ranx().Run({query: hits for query, hits in run.to_dict().items() if hits})


def run_from_ranx(run: Any) -> Run:
    """Return the run that a ``ranx.Run`` holds."""
    return Run.from_dict(run.to_dict())


def qrels_to_ranx(qrels: Qrels) -> Any:
    """Return the judgments as ``ranx.Qrels``; those of grade 0 or less are left out."""
    positive = {
        query: kept
        for query, judged in qrels.items()
        if (kept := {doc: grade for doc, grade in judged.items() if grade > 0})
    }
    return _ranx().Qrels(positive)


def qrels_from_ranx(qrels: Any) -> Qrels:
    """Return the judgments that ``ranx.Qrels`` hold."""
    return _whole(qrels.to_dict())


def run_to_ir_measures(run: Run) -> list[Any]:
    """Return the run as ``ScoredDoc`` tuples of ir_measures."""
    import ir_measures

    return [
        ir_measures.ScoredDoc(query, hit.doc_id, hit.score) for query in run for hit in run[query]
    ]


def run_from_ir_measures(scored: Iterable[Any]) -> Run:
    """Return the run of ``ScoredDoc`` tuples, in any order."""
    ranked: dict[str, dict[str, float]] = {}
    for each in scored:
        ranked.setdefault(each.query_id, {})[each.doc_id] = each.score
    return Run.from_dict(ranked)


def _whole(judged: Mapping[str, Mapping[str, Any]]) -> Qrels:
    """Return judgments with grades of Python's int, in place of NumPy's."""
    return {q: {doc: int(grade) for doc, grade in grades.items()} for q, grades in judged.items()}


def _nested(frame: pd.DataFrame, query: str, doc: str, value: str) -> Mapping[str, dict[str, Any]]:
    if missing := [name for name in (query, doc, value) if name not in frame.columns]:
        raise UsageError(
            f"the frame has no column {missing[0]!r}; it has {', '.join(map(str, frame.columns))}"
        )
    twice = frame.duplicated([query, doc])
    if twice.any():
        row = frame[twice].iloc[0]
        raise UsageError(f"document {row[doc]!r} occurs twice for query {row[query]!r}")
    nested: dict[str, dict[str, Any]] = {}
    for query_id, doc_id, each in zip(frame[query], frame[doc], frame[value], strict=True):
        nested.setdefault(str(query_id), {})[str(doc_id)] = each
    return nested


def _pandas() -> Any:
    return require("pandas", extra=EXTRA, purpose="a frame")


def _ranx() -> Any:
    return require("ranx", extra=EXTRA, purpose="the conversion to ranx")
