"""Qrels: graded judgments, ``{query_id: {doc_id: grade}}``; TREC's files of them and of runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from hybrid.errors import CorpusError
from hybrid.machine.files import open_text, write_new

Qrels: TypeAlias = dict[str, dict[str, int]]
LARGEST_GRADE = 2**31 - 1
_GRADE = re.compile(r"[+-]?[0-9]{1,10}(\.0*)?")
_HEADERS = {"query-id", "query_id", "queryid", "qid", "query", "topic", "topic_id"}


def read_qrels(path: str | Path) -> Qrels:
    """Return the judgments of TREC qrels (4 columns) or of a BEIR .tsv (3 columns).

    Raises:
        CorpusError: the file is missing, or a line has other columns, a grade that is no whole
            number, or a pair judged twice with different grades; names file, line and reason.
    """
    qrels: Qrels = {}
    for number, line in open_text(path):
        columns = line.split("\t") if "\t" in line else line.split()
        columns = [column.strip() for column in columns]
        if not any(columns) or (number == 1 and columns[0].lstrip("#").lower() in _HEADERS):
            continue
        if len(columns) == 4:
            query_id, _, doc_id, grade = columns
        elif len(columns) == 3:
            query_id, doc_id, grade = columns
        else:
            raise CorpusError(
                f"{path}, line {number}: {len(columns)} columns, expected 4 (query_id 0 doc_id "
                "grade) or 3 (query-id corpus-id score), with tabs or spaces between them"
            )
        if not _GRADE.fullmatch(grade) or abs(int(float(grade))) > LARGEST_GRADE:
            raise CorpusError(
                f"{path}, line {number}: grade {grade[:40]!r} is no whole number of at most 31 bits"
            )
        value = int(float(grade))
        judged = qrels.setdefault(query_id, {})
        if judged.get(doc_id, value) != value:
            raise CorpusError(
                f"{path}, line {number}: document {doc_id!r} is judged {judged[doc_id]} and "
                f"{value} for query {query_id!r}; keep one judgment"
            )
        judged[doc_id] = value
    return qrels


def write_qrels(path: str | Path, qrels: Mapping[str, Mapping[str, int]]) -> None:
    """Write TREC qrels (``query_id 0 doc_id grade``); refuses an existing file."""
    lines = [
        f"{query_id} 0 {doc_id} {grade}\n"
        for query_id, judged in qrels.items()
        for doc_id, grade in judged.items()
    ]
    write_new(path, "".join(lines))


def read_ranked(path: str | Path) -> dict[str, dict[str, float]]:
    """Return ``{query_id: {doc_id: score}}`` of a TREC run file, ``.gz`` allowed, in no order.

    Raises:
        CorpusError: the file is missing, or a line is not six columns with a finite score, or
            a document occurs twice for one query; names file, line and reason.
    """
    ranked: dict[str, dict[str, float]] = {}
    for number, line in open_text(path):
        columns = line.split()
        if not columns:
            continue
        if len(columns) != 6:
            raise CorpusError(
                f"{path}, line {number}: {len(columns)} columns, expected the 6 of a TREC run "
                "(query_id Q0 doc_id rank score tag)"
            )
        query_id, _, doc_id, _, score, _ = columns
        documents = ranked.setdefault(query_id, {})
        if doc_id in documents:
            raise CorpusError(
                f"{path}, line {number}: document {doc_id!r} occurs twice for query "
                f"{query_id!r}; keep one line for each document"
            )
        documents[doc_id] = _finite(score, path, number)
    return ranked


def _finite(text: str, path: str | Path, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    with np.errstate(over="ignore"):  # it is refused below
        narrow = np.float32(value)
    if not np.isfinite(narrow):
        raise CorpusError(f"{path}, line {number}: score {text!r} is not a finite float32 number")
    return value
