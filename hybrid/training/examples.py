"""Training examples: a query, a passage that answers it, passages that do not, teacher scores."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.corpus import open_source
from hybrid.errors import CorpusError

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
    opened: Any = gzip.open if path.suffix == ".gz" else open
    tabs = path.name.removesuffix(".gz").endswith((".tsv", ".txt"))
    try:
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    where = f"{path}, line {number}"
                    yield _tab_example(line, where) if tabs else _json_example(line, where)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error


def _tab_example(line: str, where: str) -> Example:
    columns = line.rstrip("\r\n").split("\t")
    if len(columns) < 2:
        raise CorpusError(f"{where}: one column; expected query, positive and any negatives")
    return Example(columns[0], columns[1], tuple(columns[2:]))


def _json_example(line: str, where: str) -> Example:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{where} is not JSON: {error}") from error
    if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in FIELDS[:2]):
        raise CorpusError(f"{where}: expected an object with the texts 'query' and 'positive'")
    negatives, scores = row.get("negatives", []), row.get("scores", [])
    if not all(isinstance(text, str) for text in negatives) or not all(
        isinstance(score, (int, float)) for score in scores
    ):
        raise CorpusError(f"{where}: expected 'negatives' as texts and 'scores' as numbers")
    try:
        return Example(row["query"], row["positive"], tuple(negatives), tuple(scores))
    except CorpusError as error:
        raise CorpusError(f"{where}: {error}") from error


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
