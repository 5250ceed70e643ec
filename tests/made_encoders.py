"""Encoders without a model, for tests: a word's hash says what it weighs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.build.encode import EncodeOptions
from hybrid.index.storage.disk import checksum


def _hash(word: str, modulus: int) -> int:
    return int(checksum(word.encode())[:8], 16) % modulus


class HashSparse:
    """Each word is a term; it weighs its count, and brings a second, lighter term along."""

    def __init__(self, width: int = 64) -> None:
        self.vocabulary = [f"t{number}" for number in range(width)]
        self.fingerprint: dict[str, str | int | float | bool | None] = {
            "model": "hash-sparse",
            "width": width,
        }

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> csr_matrix:
        width = len(self.vocabulary)
        rows = np.zeros((len(texts), width), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                row[_hash(word, width)] += 1
                row[_hash(word + "+", width)] += 0.3
        if progress is not None:
            progress(len(texts))
        return csr_matrix(rows)

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        return self.encode_documents(texts)

    def literal_terms(self, text: str) -> frozenset[str]:
        return frozenset(f"t{_hash(word, len(self.vocabulary))}" for word in text.split())


class HashDense:
    """The sum of its words' fixed random vectors, at unit length."""

    def __init__(self, dimension: int = 12) -> None:
        self.dimension = dimension
        self.fingerprint: dict[str, str | int | float | bool | None] = {
            "model": "hash-dense",
            "similarity": "cosine",
        }

    def encode_documents(
        self, texts: Sequence[str], progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                seed = _hash(word, 2**31)
                row += np.random.default_rng(seed).standard_normal(self.dimension, dtype=np.float32)
            row /= max(float(np.linalg.norm(row)), 1e-9)
        if progress is not None:
            progress(len(texts))
        return rows

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.encode_documents(texts)


def small_shards(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Let shards have so many rows where no size is given."""
    defaults = EncodeOptions.__init__.__defaults__
    at = [each.name for each in fields(EncodeOptions)].index("shard_size")
    monkeypatch.setattr(
        EncodeOptions.__init__, "__defaults__", (*defaults[:at], rows, *defaults[at + 1 :])
    )
