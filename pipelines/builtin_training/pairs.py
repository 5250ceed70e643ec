"""Pairs of texts drawn from files, and a part of them held out by document."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid.errors import UsageError

SENTENCE = re.compile(r"(?<=[.!?])\s+")
SENTENCE_WORDS = (8, 60)
SHORTEST_DOCUMENT = 8
"""Characters; a shorter text says nothing that a query could be held against."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Source:
    """How many pairs and documents are drawn from one file.

    Attributes:
        name: of ``NAME.jsonl.gz``, with {"query", "positive"} a line.
        pairs, documents: the most of each.
        reverse: a sentence of the positive asks, the query is the document: long queries, and
            documents that are a title alone.
    """

    name: str
    pairs: int
    documents: int
    reverse: bool = False

    @property
    def label(self) -> str:
        """Return the name by which figures are reported."""
        return f"{self.name}_reversed" if self.reverse else self.name


@dataclass(frozen=True)
class Drawn:
    """Pairs to train on, and held-out ones: per source, its pairs and more of its documents."""

    train: list[Pair]
    held_out: dict[str, list[Pair]]
    distractors: list[str]


def read_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a gzipped JSON Lines file, without those that have an empty side."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = (json.loads(line) for line in lines)
        pairs = [(row["query"].strip(), row["positive"].strip()) for row in rows]
    return [(q, p) for q, p in pairs if q and len(p) >= SHORTEST_DOCUMENT]


def draw_pairs(
    folder: Path,
    sources: Sequence[Source],
    *,
    seed: int,
    held_out_share: float,
    held_out_queries: int,
    held_out_documents: int,
    repeats: int,
) -> Drawn:
    """Return pairs drawn from ``sources``; no document or query is on both sides.

    Args:
        folder: of the files.
        sources: what to draw; a file that is drawn from twice gives other pairs each time.
        seed: of the order in which pairs are taken.
        held_out_share: of the documents; which ones depends on their text alone.
        held_out_queries, held_out_documents: the most distinct queries and documents of a source.
        repeats: the most training pairs with the same query.

    Raises:
        UsageError: a file is missing.
    """
    drawn = random.Random(seed)
    rest: dict[str, list[Pair]] = {}
    train: list[Pair] = []
    held: dict[str, list[Pair]] = {}
    distractors: list[str] = []
    for source in sources:
        if source.name not in rest:
            path = folder / f"{source.name}.jsonl.gz"
            if not path.is_file():
                raise UsageError(f"{path} does not exist; give the folder of the pairs")
            rest[source.name] = read_pairs(path)
            drawn.shuffle(rest[source.name])
        pairs = rest[source.name]
        if source.reverse:
            pairs = list(_reversed(pairs, drawn))
        kept = [pair for pair in pairs if not is_held_out(pair[1], held_out_share)]
        others = [pair for pair in pairs if is_held_out(pair[1], held_out_share)]
        held[source.label] = _few(others, held_out_queries, held_out_documents)
        told = {text for _, text in held[source.label]}
        more = (text for _, text in others if text not in told)
        distractors += list(dict.fromkeys(more))[: max(0, held_out_documents - len(told))]
        chosen = _chosen(kept, source, repeats)
        train += chosen
        used = {text for _, text in chosen}
        rest[source.name] = [pair for pair in pairs if pair[1] not in used]
    asked = {query for pairs in held.values() for query, _ in pairs}
    train = [pair for pair in train if pair[0] not in asked]
    drawn.shuffle(train)
    return Drawn(train, held, distractors)


def is_held_out(text: str, share: float) -> bool:
    """Return whether a document is held out: its hash, in [0, 1), is below ``share``."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def documents_of(folder: Path, names: Iterable[str], most: int) -> Iterator[str]:
    """Yield the distinct positives of the files, at most ``most`` of each."""
    for name in names:
        texts = dict.fromkeys(text for _, text in read_pairs(folder / f"{name}.jsonl.gz"))
        yield from list(texts)[:most]


def positives(pairs: Iterable[Pair]) -> Mapping[str, set[str]]:
    """Return the documents that are paired with each query."""
    found: dict[str, set[str]] = {}
    for query, text in pairs:
        found.setdefault(query, set()).add(text)
    return found


def _few(pairs: Sequence[Pair], queries: int, documents: int) -> list[Pair]:
    """Return the pairs of the first ``queries`` queries, as far as ``documents`` go."""
    asked: dict[str, None] = {}
    told: dict[str, None] = {}
    for query, text in pairs:
        if len(asked) < queries and len(told) < documents:
            asked[query] = told[text] = None
    return [
        (query, text) for query, text in dict.fromkeys(pairs) if query in asked and text in told
    ]


def _chosen(pairs: Sequence[Pair], source: Source, repeats: int) -> list[Pair]:
    seen: Counter[str] = Counter()
    told: set[str] = set()
    chosen = []
    for query, text in dict.fromkeys(pairs):
        full = text not in told and len(told) >= source.documents
        if full or seen[query] >= repeats:
            continue
        seen[query] += 1
        told.add(text)
        chosen.append((query, text))
        if len(chosen) == source.pairs:
            break
    return chosen


def _reversed(pairs: Iterable[Pair], drawn: random.Random) -> Iterator[Pair]:
    low, high = SENTENCE_WORDS
    for title, text in pairs:
        sentences = [s for s in SENTENCE.split(text) if low <= len(s.split()) <= high]
        if sentences:
            yield drawn.choice(sentences), title
