"""The passages that gave documents their scores, where texts are cut into passages."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.index.documents.passages import MaxPassage
from hybrid.index.place import Place

SENTENCE = re.compile(
    r"\S.*?(?:[.!?][\"')\]]*(?=\s)|[\u3002\uff01\uff1f]+|(?<!\s)(?=\s*\n\s*\n|\s*\Z))",
    re.DOTALL,
)
"""Reads each character a bounded number of times: no part starts inside what it repeats."""


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return where each sentence of a text is, in characters, by its marks and blank lines alone.

    >>> text = "Merge lists. Are they sorted?\\n\\nA heap"
    >>> [text[start:stop] for start, stop in sentence_spans(text)]
    ['Merge lists.', 'Are they sorted?', 'A heap']
    """
    return [found.span() for found in SENTENCE.finditer(text)]


@dataclass(frozen=True)
class BestPassage:
    """A passage that gave its document the score of some branches.

    Attributes:
        number: its place in the document, from 1.
        start, stop: where it is in the text of the document, in characters.
        text: that part of the text.
        branches: the branches that scored the document by it.
    """

    number: int
    start: int
    stop: int
    text: str
    branches: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the passage as JSON data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def best_passages(
    index: Place, encoded: Mapping[str, Any], doc_ids: Sequence[str]
) -> list[tuple[BestPassage, ...]]:
    """Return the best passages of each document for one query, that of most branches first.

    Each branch has a best passage of its own: the one whose score is the document's (MaxP), the
    first of equals. Among passages of equally many branches, the one of the first branch leads. A
    sparse branch that shares no term with the document has none. Where documents are not cut, or
    no branch has one, the tuple is empty.

    Args:
        index: whose documents they are.
        encoded: branch to the query as it encodes it.
        doc_ids: documents of the index.

    Raises:
        UsageError: a document or branch that the index does not have.
    """
    table = index.passages
    if table is None or not len(doc_ids):
        return [()] * len(doc_ids)
    doc_nums = np.array([index.documents.doc_num(doc_id) for doc_id in doc_ids], dtype=np.int32)
    best = []
    for doc_num, rows in zip(doc_nums.tolist(), _named(index, encoded, doc_nums), strict=True):
        text, first = index.documents[doc_num].text, int(table.offsets[doc_num])
        passages = []
        for row, names in rows.items():
            start, stop = table.spans[row].tolist()
            passages.append(
                BestPassage(row - first + 1, start, stop, text[start:stop], tuple(names))
            )
        best.append(tuple(sorted(passages, key=lambda each: -len(each.branches))))
    return best


def best_texts(
    index: Place, encoded: Mapping[str, Any], doc_nums: Sequence[int]
) -> list[list[str]]:
    """Return the texts of the best passages of each document, the title in front of each.

    They are those of `best_passages`, or the first passage where no branch has one. Where documents
    are not cut, the whole text.

    Args:
        index: whose documents they are.
        encoded: branch to the query as it encodes it.
        doc_nums: documents of the index.
    """
    table = index.passages
    if table is None:
        return [[document.full_text] for document in index.documents.take(doc_nums)]
    numbers = np.array(doc_nums, dtype=np.int32)
    return [
        list(index.row_texts(np.array(list(rows) or [first])))
        for rows, first in zip(
            _named(index, encoded, numbers), table.offsets[numbers].tolist(), strict=True
        )
    ]


def _named(
    index: Place, encoded: Mapping[str, Any], doc_nums: NDArray[np.int32]
) -> list[dict[int, list[str]]]:
    """Return for each document its best rows, each with the branches whose best it is."""
    named: list[dict[int, list[str]]] = [{} for _ in doc_nums]
    for name, query in encoded.items():
        for rows, row in zip(named, _best_rows(index, name, query, doc_nums), strict=True):
            if row is not None:
                rows.setdefault(row, []).append(name)
    return named


def _best_rows(
    index: Place, name: str, query: Any, doc_nums: NDArray[np.int32]
) -> list[int | None]:
    branch = index.branch(name)
    if not isinstance(branch, MaxPassage):
        return [None] * len(doc_nums)
    rows = branch.best_rows(query, doc_nums[None])[0]
    scores = branch.score(query, doc_nums[None])[0]
    shares_none = (scores == 0) & (index.record(name).kind == "sparse")
    return [None if none else row for row, none in zip(rows.tolist(), shares_none, strict=True)]
