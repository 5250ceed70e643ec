"""Teachers: scores of (query, passage) pairs to distil from, kept on disk once computed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xxhash

from hybrid.errors import ModelError, UsageError
from hybrid.training.examples import Example

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[str, str]


class Teacher(Protocol):
    """Scores pairs; ``name`` says what they depend on, for the cache."""

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
    """A cross-encoder by hub id or folder."""

    def __init__(self, spec: str, *, batch_size: int = 32, device: str | None = None) -> None:
        from sentence_transformers import CrossEncoder

        try:
            self._model: Any = CrossEncoder(spec, device=device)
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"the cross-encoder {spec!r} cannot be loaded: {error}; give a folder or a hub id, "
                "or a dense teacher, which works offline"
            ) from error
        self._batch_size = batch_size
        self.name = f"cross-encoder {spec}"

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float32]:
        """Return the model's outputs."""
        found = self._model.predict(
            list(pairs), batch_size=self._batch_size, show_progress_bar=False
        )
        return np.asarray(found, dtype=np.float32)


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
