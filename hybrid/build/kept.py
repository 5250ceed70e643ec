"""The rows of a shard's texts: taken from the cache where they were encoded before, or encoded.

A row depends on its text, its encoder, and to the last bit on the batch that it was in. So the row
that was encoded at this place of a shard of these very texts is taken first: an index that is built
again has the same bytes. A row of the same text from elsewhere differs by rounding alone, and is
taken only if it was there before this corpus was begun.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import xxhash
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.build.records import Deferred
from hybrid.encoders.bm25 import Bm25Parameters, TermCounts, count_terms
from hybrid.encoders.protocol import DenseEncoder, Progress
from hybrid.encoders.splade_sum import without_sums
from hybrid.machine.cache import Cache, cache_key, text_digest

KIND, FIGURES = "encodings", "figures"
VERSION = 1
"""Raise it where an encoder of the same fingerprint gives other rows, or its survey other figures,
than in the last release."""
BEGUN = "cache.json"
WEIGHT = np.dtype("<f4")
Rows: TypeAlias = csr_matrix | NDArray[np.float32] | TermCounts
"""Of one branch: weights, vectors, or the term counts of BM25."""
TERM = np.dtype("<i4")

Encode: TypeAlias = Callable[[Sequence[str], Mapping[str, Any]], Iterator[tuple[str, Any]]]
"""Texts and the names of encoders to (name, rows) of each."""


class KeptEncodings:
    """The encodings that a cache keeps, for one corpus.

    Only an encoder whose fingerprint has the digest of its ``weights`` is surely the same next
    time; the rows of others are not kept.

    Args:
        cache: where they are.
        workdir: of the corpus' shards; says from which row on the cache has rows of this corpus.

    Attributes:
        reused: rows that came from the cache so far.
    """

    def __init__(self, cache: Cache, workdir: Path) -> None:
        self.reused = 0
        self._cache = cache
        self._begun = workdir / BEGUN
        try:
            self._before = int(json.loads(self._begun.read_text())[str(cache.root)])
        except (OSError, ValueError, KeyError, TypeError):
            self._before = cache.last_row()

    def find(self, encoder: object, keys: Sequence[tuple[bytes, int]]) -> list[bytes | None]:
        """Return the row of each (text digest, origin), None where there is none."""
        space = rows_space(encoder)
        if space is None:
            return [None] * len(keys)
        found = self._cache.rows(KIND, space, keys, self._before)
        self.reused += len(found) - found.count(None)
        return found

    def put(self, encoder: object, keys: Sequence[tuple[bytes, int]], rows: list[bytes]) -> None:
        """Keep rows for the next time."""
        space = rows_space(encoder)
        if space is not None:
            self._begun.write_text(json.dumps({str(self._cache.root): self._before}))
            new = zip(keys, rows, strict=True)
            self._cache.put_rows(KIND, space, ((*key, row) for key, row in new))


def rows_space(encoder: Any, query: str = "") -> str | None:
    """Return the name of all that decides the rows of a model, beside their text, or None.

    None where the fingerprint does not tell the weights, or the rows were given.

    Args:
        encoder: with a fingerprint.
        query: which the rows depend on, too, if they are scores.
    """
    fingerprint = dict(encoder.fingerprint)
    if not fingerprint.get("weights") or getattr(encoder, "given_rows", False):
        return None
    for name in ("model", "revision"):  # where the weights came from
        fingerprint.pop(name, None)
    return cache_key(VERSION, fingerprint, query)


def kept_figures(cache: Cache | None, encoder: object, digest: str) -> Any:
    """Return the figures of an encoder on a corpus, JSON data; None if they are not known."""
    space = rows_space(encoder)
    if cache is None or space is None:
        return None
    (found,) = cache.rows(FIGURES, space, [(text_digest(digest), 0)])
    return None if found is None else json.loads(found)


def keep_figures(cache: Cache | None, encoder: object, digest: str, figures: Any) -> None:
    """Keep the figures of an encoder on a corpus."""
    space = rows_space(encoder)
    if cache is not None and space is not None:
        value = json.dumps(figures).encode()
        cache.put_rows(FIGURES, space, [(text_digest(digest), 0, value)])


def shard_rows(
    texts: Sequence[str],
    digest: str,
    encoders: Mapping[str, Any],
    encode: Encode,
    progress: Progress,
    kept: KeptEncodings | None = None,
) -> Iterator[tuple[str, Rows]]:
    """Yield (branch, rows) of every encoder, BM25's counts first; a sum's are made of its parts'.

    Args:
        texts: of one shard.
        digest: of the texts in this order.
        encoders: by branch name.
        encode: encodes texts by some encoders, which have names.
        progress: called with the number of rows that came from the cache.
        kept: rows that need not be encoded; takes in those that are.
    """
    bm25 = {name: e for name, e in encoders.items() if isinstance(e, Bm25Parameters)}
    for name, parameters in bm25.items():
        yield name, count_terms(texts, parameters.analyser())
    encoders = {name: each for name, each in encoders.items() if name not in bm25}
    flat, sums = without_sums(encoders)
    of_parts: dict[str, Any] = {}
    for name, rows in _kept_or_encoded(texts, digest, flat, encode, progress, kept):
        if name in encoders:
            yield name, rows
        for total, parts in sums.items():
            if name in parts:
                of_parts[name] = rows
                if of_parts.keys() >= set(parts):
                    found = [of_parts[part] for part in parts]
                    yield total, encoders[total].together(found, "document")


def _kept_or_encoded(
    texts: Sequence[str],
    digest: str,
    encoders: Mapping[str, Any],
    encode: Encode,
    progress: Progress,
    kept: KeptEncodings | None,
) -> Iterator[tuple[str, Any]]:
    """Yield (name, rows) of every encoder; no sum is among them."""
    if kept is None:
        yield from encode(texts, encoders)
        return
    keys = [
        (text_digest(text), xxhash.xxh3_64_intdigest(f"{digest} {place}".encode()) >> 1)
        for place, text in enumerate(texts)
    ]
    rows = {name: kept.find(encoder, keys) for name, encoder in encoders.items()}
    missing: dict[tuple[int, ...], list[str]] = {}
    for name, found in rows.items():
        places = tuple(place for place, row in enumerate(found) if row is None)
        missing.setdefault(places, []).append(name)
        progress(len(texts) - len(places))
    for places, names in missing.items():
        needed = {name: encoders[name] for name in names}
        new = encode([texts[place] for place in places], needed) if places else ()
        for name, encoded in new:
            packed = _packed(encoded)
            kept.put(encoders[name], [keys[place] for place in places], packed)
            for place, row in zip(places, packed, strict=True):
                rows[name][place] = row
        for name in names:
            yield name, _unpacked([row for row in rows[name] if row is not None], encoders[name])


def kind_and_width(encoder: Any) -> tuple[Literal["sparse", "dense"], int]:
    """Return the kind of an encoder, loaded or not, and the columns of its rows."""
    if isinstance(encoder, Deferred):
        return encoder.kind, encoder.width
    if isinstance(encoder, DenseEncoder):
        return "dense", encoder.dimension
    return "sparse", len(encoder.vocabulary)


def _packed(rows: csr_matrix | NDArray[np.float32]) -> list[bytes]:
    """Return each row as bytes: its components, or its terms and then their weights."""
    if isinstance(rows, np.ndarray):
        return [row.tobytes() for row in rows.astype(WEIGHT, copy=False)]
    terms, weights = rows.indices.astype(TERM), rows.data.astype(WEIGHT)
    return [
        terms[start:stop].tobytes() + weights[start:stop].tobytes()
        for start, stop in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    ]


def _unpacked(rows: Sequence[bytes], encoder: Any) -> csr_matrix | NDArray[np.float32]:
    """Return the matrix of rows of `_packed`."""
    kind, width = kind_and_width(encoder)
    if kind == "dense":
        return np.frombuffer(b"".join(rows), WEIGHT).reshape(len(rows), width)
    middles = [len(row) // 2 for row in rows]
    terms = b"".join(row[:middle] for row, middle in zip(rows, middles, strict=True))
    weights = b"".join(row[middle:] for row, middle in zip(rows, middles, strict=True))
    return csr_matrix(
        (
            np.frombuffer(weights, WEIGHT),
            np.frombuffer(terms, TERM),
            np.cumsum([0, *middles]) // TERM.itemsize,
        ),
        shape=(len(rows), width),
    )
