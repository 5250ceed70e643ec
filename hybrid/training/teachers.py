"""Teachers: scores of (query, passage) pairs to distil from, kept on disk once computed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xxhash

from hybrid.errors import UsageError
from hybrid.search.index import Index
from hybrid.training.examples import Example

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[str, str]


class Teacher(Protocol):
    """Scores of pairs; ``name`` identifies them in the cache."""

    name: str

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Return the score of each (query, passage), float32 (pairs,)."""
        ...


class DenseTeacher:
    """The similarity of a dense bi-encoder; ``builtin:minilm`` needs no network."""

    def __init__(self, spec: str = "builtin:minilm", *, scale: float = 1.0) -> None:
        from hybrid.encoders.models.by_name import load_dense

        self._encoder, self._scale = load_dense(spec), scale
        self.name = f"dense {json.dumps(dict(self._encoder.fingerprint), sort_keys=True)} {scale}"

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Return ``scale`` times the inner products."""
        queries, passages = (
            {text: i for i, text in enumerate(dict.fromkeys(side))}
            for side in zip(*pairs, strict=True)
        )
        left = self._encoder.encode_queries(list(queries))[[queries[q] for q, _ in pairs]]
        right = self._encoder.encode_documents(list(passages))[[passages[p] for _, p in pairs]]
        return np.asarray(self._scale * (left * right).sum(axis=1), dtype=np.float32)


class CrossEncoderTeacher:
    """The scores of a cross-encoder: ``builtin:cross-encoder``, a hub id or a folder."""

    def __init__(self, spec: str) -> None:
        from hybrid.encoders.models.by_name import load_cross

        self._encoder = load_cross(spec)
        self.name = f"cross-encoder {spec}"

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Return the model's outputs."""
        return self._encoder.score(pairs)


class EnsembleTeacher:
    """The weighted sum of teachers."""

    def __init__(self, teachers: Sequence[Teacher], weights: Sequence[float]) -> None:
        if len(teachers) != len(weights) or not teachers:
            raise UsageError(f"{len(teachers)} teachers and {len(weights)} weights; give one each")
        self._teachers, self._weights = tuple(teachers), tuple(weights)
        parts = [f"{w} x {t.name}" for t, w in zip(teachers, weights, strict=True)]
        self.name = f"ensemble {'; '.join(parts)}"

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Return the weighted sums."""
        total = np.zeros(len(pairs), dtype=np.float32)
        for teacher, weight in zip(self._teachers, self._weights, strict=True):
            total += np.float32(weight) * teacher.score(pairs)
        return total


class StoredTeacher:
    """A teacher whose scores are kept in a folder, so that a second run computes none again."""

    def __init__(self, teacher: Teacher, folder: Path) -> None:
        self._teacher, self.name = teacher, teacher.name
        digest = xxhash.xxh3_128_hexdigest(teacher.name.encode())
        self._path = folder / f"{digest}.jsonl"
        self._known: dict[str, float] = {}
        if self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    key, score = json.loads(line)
                except ValueError:
                    continue
                self._known[key] = score

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Return the scores; those of new pairs are appended to the file and flushed."""
        keys = [_key(pair) for pair in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self._known}
        if new:
            scores = self._teacher.score(list(new.values()))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as file:
                for key, score in zip(new, scores.tolist(), strict=True):
                    self._known[key] = score
                    file.write(f"{json.dumps([key, score])}\n")
                file.flush()
                os.fsync(file.fileno())
        return np.array([self._known[key] for key in keys], dtype=np.float32)


def score_examples(examples: Sequence[Example], teacher: Teacher) -> list[Example]:
    """Return the examples with the teacher's scores of their positive and negatives."""
    pairs = [(row.query, passage) for row in examples for passage in (row.positive, *row.negatives)]
    if not pairs:
        return []
    scores = iter(teacher.score(pairs).tolist())
    return [
        replace(row, scores=tuple(next(scores) for _ in range(1 + len(row.negatives))))
        for row in examples
    ]


def _key(pair: Pair) -> str:
    return xxhash.xxh3_128_hexdigest("\0".join(pair).encode("utf-8", "surrogatepass"))


BRANCH_WEIGHTS = {"bm25": 0.25, "dense": 1 / 0.15}
"""BM25 / 4 + cosine / 0.15: on pairs of many domains this ranks better than either alone."""

ENCODED_AT_ONCE = 1024


class HybridTeacher:
    """The sum over branches of weight times score; the texts need not be in the index.

    Args:
        index: whose branches score.
        weights: by branch; default: BM25 / 4 + cosine / 0.15, of those that the index has.

    Raises:
        UsageError: a branch that the index lacks, or no branch at all.
    """

    def __init__(self, index: Index, weights: Mapping[str, float] | None = None) -> None:
        view = index.view()
        if weights is None:
            weights = {n: w for n, w in BRANCH_WEIGHTS.items() if n in view.branches}
        unknown = [name for name in weights if name not in view.branches]
        if unknown or not weights:
            raise UsageError(
                f"the index has no branch {', '.join(unknown) or 'bm25 or dense'}; its branches "
                f"are {', '.join(view.branches)}"
            )
        self._view, self._weights = view, dict(weights)
        parts = {
            name: [weight, dict(view.contents.record(name).fingerprint)]
            for name, weight in sorted(weights.items())
        }
        self.name = f"hybrid {json.dumps(parts, sort_keys=True)}"
        self._places: dict[bytes, int] | None = None

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Return the weighted sums; a passage of the index has the score that its search gives."""
        queries = {text: i for i, text in enumerate(dict.fromkeys(query for query, _ in pairs))}
        places = self._known_places()
        found = [places.get(_digest(passage), -1) for _, passage in pairs]
        inside = [i for i, place in enumerate(found) if place >= 0]
        outside = [i for i, place in enumerate(found) if place < 0]
        total = np.zeros(len(pairs), dtype=np.float32)
        for name, weight in self._weights.items():
            encoded = self._view.encoder(name).encode_queries(list(queries))
            rows = np.array([queries[query] for query, _ in pairs], dtype=np.int64)
            scores = np.zeros(len(pairs), dtype=np.float32)
            scores[inside] = self._stored(name, encoded, rows[inside], [found[i] for i in inside])
            texts = [pairs[i][1] for i in outside]
            scores[outside] = self._computed(name, encoded, rows[outside], texts)
            total += np.float32(weight) * scores
        return total

    def _known_places(self) -> dict[bytes, int]:
        """Return the doc_num of every text that is indexed, by its digest."""
        if self._places is None:
            documents = self._view.local.documents
            self._places = {_digest(each.full_text): num for num, each in enumerate(documents)}
        return self._places

    def _stored(
        self, name: str, encoded: Any, rows: NDArray[np.int64], doc_nums: Sequence[int]
    ) -> NDArray[np.float32]:
        """Return the index's own scores of (row of ``encoded``, document)."""
        if not len(rows):
            return np.zeros(0, dtype=np.float32)
        order = np.argsort(rows, kind="stable")
        asked, counts = np.unique(rows, return_counts=True)
        columns = np.concatenate([np.arange(count) for count in counts])
        lines = np.repeat(np.arange(len(asked)), counts)
        table = np.full((len(asked), counts.max()), -1, dtype=np.int32)
        table[lines, columns] = np.asarray(doc_nums, dtype=np.int32)[order]
        scores = np.zeros(len(rows), dtype=np.float32)
        scores[order] = self._view.contents.branch(name).score(encoded[asked], table)[
            lines, columns
        ]
        return scores

    def _computed(
        self, name: str, encoded: Any, rows: NDArray[np.int64], texts: Sequence[str]
    ) -> NDArray[np.float32]:
        """Return the scores of texts that are not in the index, encoded for this."""
        scores = np.zeros(len(rows), dtype=np.float32)
        for start in range(0, len(rows), ENCODED_AT_ONCE):
            part = slice(start, start + ENCODED_AT_ONCE)
            distinct = {text: i for i, text in enumerate(dict.fromkeys(texts[part]))}
            documents = self._view.encoder(name).encode_documents(list(distinct))
            told = documents[[distinct[text] for text in texts[part]]]
            asked = encoded[rows[part]]
            product = asked * told if isinstance(told, np.ndarray) else asked.multiply(told)
            scores[part] = np.asarray(product.sum(axis=1)).ravel()
        return scores


def _digest(text: str) -> bytes:
    return xxhash.xxh3_128_digest(text.encode("utf-8", "surrogatepass"))
