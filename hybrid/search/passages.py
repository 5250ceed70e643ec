"""The passages that gave documents their scores, where texts are cut into passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.index.documents.passages import MaxPassage
from hybrid.search.index import Index


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
    index: Index, query: str, doc_ids: Sequence[str], branches: Sequence[str] | None = None
) -> list[tuple[BestPassage, ...]]:
    """Return the best passages of each document, that of most branches first.

    Each branch has a best passage of its own: the one whose score is the document's (MaxP), the
    first of equals. Among passages of equally many branches, the one of the first branch leads. A
    sparse branch that shares no term with the document has none. Where documents are not cut, or
    no branch has one, the tuple is empty.

    Args:
        index: an opened index.
        query: the query that found the documents.
        doc_ids: documents of the index.
        branches: those to ask; default: all of the index. A fusion has ``branch_names``.

    Raises:
        UsageError: a document or branch that the index does not have.
    """
    index = index.snapshot()
    table = index.contents.passages
    if table is None or not len(doc_ids):
        return [()] * len(doc_ids)
    documents = index.contents.documents
    doc_nums = np.array([documents.doc_num(doc_id) for doc_id in doc_ids], dtype=np.int32)
    found: list[dict[int, list[str]]] = [{} for _ in doc_ids]
    for name in branches if branches is not None else index.branches:
        for named, row in zip(found, _best_rows(index, name, query, doc_nums), strict=True):
            if row is not None:
                named.setdefault(row, []).append(name)
    best = []
    for doc_num, named in zip(doc_nums.tolist(), found, strict=True):
        text, first = documents[doc_num].text, int(table.offsets[doc_num])
        passages = []
        for row, names in named.items():
            start, stop = table.spans[row].tolist()
            passages.append(
                BestPassage(row - first + 1, start, stop, text[start:stop], tuple(names))
            )
        best.append(tuple(sorted(passages, key=lambda each: -len(each.branches))))
    return best


def _best_rows(
    index: Index, name: str, query: str, doc_nums: NDArray[np.int32]
) -> list[int | None]:
    branch = index.contents.branch(name)
    if not isinstance(branch, MaxPassage):
        return [None] * len(doc_nums)
    encoded = index.encoder(name).encode_queries([query])
    rows = branch.best_rows(encoded, doc_nums[None])[0]
    scores = branch.score(encoded, doc_nums[None])[0]
    shares_none = (scores == 0) & (index.contents.record(name).kind == "sparse")
    return [None if none else row for row, none in zip(rows.tolist(), shares_none, strict=True)]
