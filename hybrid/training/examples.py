"""Training examples: a query, a passage that answers it, passages that do not, teacher scores."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.corpus import open_source
from hybrid.corpus.checks import check_text
from hybrid.errors import CorpusError, UsageError
from hybrid.machine.files import open_text, unpacked_name

LARGEST_SCORE = 3.4028234e38
FIELDS = ("query", "positive", "negatives", "scores")


@dataclass(frozen=True, slots=True)
class Example:
    """One training example.

    Attributes:
        query, positive: a question and a passage that answers it.
        negatives: passages that do not.
        scores: a teacher's, of the positive and then of each negative; empty without a teacher.
    """

    query: str
    positive: str
    negatives: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for text in (self.query, self.positive, *self.negatives):
            try:
                check_text("a text of a training example", text)
            except UsageError as error:
                raise CorpusError(str(error)) from error
        for score in self.scores:
            if not abs(score) <= LARGEST_SCORE:
                raise CorpusError(
                    f"the query {self.query[:60]!r} has the score {score}; expected a finite "
                    "number of 32 bits"
                )
        if self.scores and len(self.scores) != 1 + len(self.negatives):
            raise CorpusError(
                f"the query {self.query[:60]!r} has {len(self.scores)} scores; expected one of the "
                f"positive and one of each of its {len(self.negatives)} negatives"
            )


def read_examples(spec: str | Path, *, split: str = "train") -> list[Example]:
    """Return the examples of a file, a BEIR folder or an ir-datasets id.

    A file is JSON lines, gzipped or not, ``{"query", "positive"}`` with ``negatives`` and
    ``scores`` where there are any, or tab-separated query, positive and negatives. A collection
    gives one example per query and relevant document of ``split``.

    Raises:
        CorpusError: it cannot be read, a line is broken, or there is no example.
    """
    path = Path(spec)
    found = (
        list(_file_examples(path)) if path.is_file() else list(_judged_examples(str(spec), split))
    )
    if not found:
        raise CorpusError(f"{spec} holds no training example; expected queries with passages")
    return found


def split_examples(
    examples: Sequence[Example], held_out: int, *, seed: int
) -> tuple[list[Example], list[Example]]:
    """Return (training, held-out) examples; no query or positive is in both.

    >>> rows = [Example("a", "x"), Example("b", "x"), Example("c", "y"), Example("d", "z")]
    >>> train, dev = split_examples(rows, 1, seed=0)
    >>> {e.positive for e in train} & {e.positive for e in dev}
    set()
    """
    order = list(examples)
    random.Random(seed).shuffle(order)
    dev = order[:held_out]
    queries, passages = {e.query for e in dev}, {e.positive for e in dev}
    train = [e for e in order[held_out:] if e.query not in queries and e.positive not in passages]
    return train, dev


def _file_examples(path: Path) -> Iterator[Example]:
    tabs = unpacked_name(path).lower().endswith((".tsv", ".txt"))
    for number, line in open_text(path):
        if line.strip():
            where = f"{path}, line {number}"
            try:
                yield _tab_example(line) if tabs else _json_example(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{where} is not JSON: {error}") from error
            except CorpusError as error:
                raise CorpusError(f"{where}: {error}") from error


def _tab_example(line: str) -> Example:
    columns = line.split("\t")
    if len(columns) < 2:
        raise CorpusError("one column; expected query, positive and any negatives")
    return Example(columns[0], columns[1], tuple(columns[2:]))


def _json_example(row: Any) -> Example:
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in FIELDS[:2]):
        raise CorpusError("expected an object with the texts 'query' and 'positive'")
    negatives, scores = row.get("negatives") or [], row.get("scores") or []
    if not _all(negatives, str) or not _all(scores, int | float):
        raise CorpusError("expected 'negatives' as a list of texts and 'scores' as one of numbers")
    return Example(row["query"], row["positive"], tuple(negatives), tuple(scores))


def _all(values: object, kind: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _judged_examples(spec: str, split: str) -> Iterator[Example]:
    source = open_source(spec)
    qrels = source.qrels(split)
    queries = {query.query_id: query.text for query in source.queries(split)}
    wanted = {doc_id for judged in qrels.values() for doc_id, grade in judged.items() if grade > 0}
    texts = {
        document.doc_id: document.full_text
        for document in source.documents()
        if document.doc_id in wanted
    }
    for query_id, judged in qrels.items():
        for doc_id, grade in judged.items():
            if grade > 0 and doc_id in texts and query_id in queries:
                yield Example(queries[query_id], texts[doc_id])
