"""Queries and judgments that a program hands over, in place of those that a source reads."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

from hybrid.corpus.checks import check_text
from hybrid.corpus.qrels import LARGEST_GRADE, Qrels
from hybrid.errors import UsageError, given


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
