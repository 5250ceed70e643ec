"""Seeded SPLADE-like vectors: a topic mixture with Zipfian terms and log-saturated weights.

A field (broad subject) owns a pool of terms, a topic draws most of its terms from its field's pool.
A document draws terms from its main topic, a second topic and a background shared by all, so that
its terms co-occur as they do in text. A weight is log(1 + x), x gamma-distributed around the
strength that the term has in its topic. Queries come from the same mixture: ``symmetric`` ones look
like short documents (SPLADE on both sides), ``inference-free`` ones have few terms weighted by idf.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

VOCABULARY = 30_522
FIELDS = 60
TOPICS = 4_000
TOPIC_TERMS = 256
SHARD = 50_000


@dataclass(frozen=True)
class World:
    """The terms that every draw uses; made from the seed alone."""

    background: NDArray[np.int32]  # (65536,): a table to draw a background term from
    topics: NDArray[np.int32]  # (TOPICS, TOPIC_TERMS): terms, strongest first
    fields: NDArray[np.int32]  # (TOPICS,)
    popularity: NDArray[np.int32]  # (65536,): a table to draw a topic from
    ranks: NDArray[np.int32]  # (65536,): a table to draw a rank within a topic from
    seed: int


def _table(weights: NDArray[np.float64], names: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return 65,536 names, each as often as its weight says (inverse transform sampling)."""
    cumulative = np.cumsum(weights) / weights.sum()
    return names[np.searchsorted(cumulative, (np.arange(65536) + 0.5) / 65536)].astype(np.int32)


def world(seed: int) -> World:
    """Return the topics and tables of one seed."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(VOCABULARY)
    zipf = 1 / (np.arange(VOCABULARY) + 30.0)
    background = _table(zipf, shuffled)
    pools = np.stack([background[rng.integers(0, 65536, 3000)] for _ in range(FIELDS)])
    fields = rng.integers(0, FIELDS, TOPICS).astype(np.int32)
    topics = np.empty((TOPICS, TOPIC_TERMS), dtype=np.int32)
    flat = rng.permutation(VOCABULARY)
    for topic in range(TOPICS):
        own = pools[fields[topic]][rng.integers(0, 3000, TOPIC_TERMS * 2)]
        anywhere = flat[rng.integers(0, VOCABULARY, TOPIC_TERMS * 2)]
        mixed = np.where(rng.random(TOPIC_TERMS * 2) < 0.75, own, anywhere)
        _, first = np.unique(mixed, return_index=True)
        topics[topic] = mixed[np.sort(first)][:TOPIC_TERMS]
    popularity = _table(1 / (np.arange(TOPICS) + 50.0), rng.permutation(TOPICS))
    ranks = _table(1 / (np.arange(TOPIC_TERMS) + 12.0), np.arange(TOPIC_TERMS))
    return World(background, topics, fields, popularity, ranks, seed)


@njit(cache=True, nogil=True)
def _draw(state: NDArray[np.uint64]) -> np.uint64:
    """Return the next 64 random bits (splitmix64, Steele et al. 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def _uniform(state: NDArray[np.uint64]) -> float:
    return (float(_draw(state) >> np.uint64(11)) + 0.5) / 9007199254740992.0


@njit(cache=True, nogil=True)
def _rows(
    state: NDArray[np.uint64],
    background: NDArray[np.int32],
    topics: NDArray[np.int32],
    fields: NDArray[np.int32],
    popularity: NDArray[np.int32],
    ranks: NDArray[np.int32],
    draws: int,
    focus: float,
    indptr: NDArray[np.int64],
    terms: NDArray[np.int32],
    weights: NDArray[np.float32],
) -> None:
    """Fill CSR rows; ``draws`` is the mean of term draws, ``focus`` the main topic's share."""
    mask = np.uint64(65535)
    seen = np.full(VOCABULARY, -1, dtype=np.int64)
    end = 0
    for row in range(len(indptr) - 1):
        start = end
        main = popularity[_draw(state) & mask]
        second = popularity[_draw(state) & mask]
        for _ in range(20):
            if fields[second] == fields[main]:
                break
            second = popularity[_draw(state) & mask]
        length = int(draws * (0.5 + _uniform(state)))
        for _ in range(length):
            share = _uniform(state)
            if share < focus:
                rank = ranks[_draw(state) & mask]
                term = topics[main, rank]
                strength = 6.0 / (1.0 + 0.05 * rank)
            elif share < focus + (1 - focus) * 0.5:
                rank = ranks[_draw(state) & mask]
                term = topics[second, rank]
                strength = 3.0 / (1.0 + 0.05 * rank)
            else:
                term = background[_draw(state) & mask]
                strength = 0.6
            x = -np.log(_uniform(state)) * 0.5 - np.log(_uniform(state)) * 0.5
            weight = np.float32(np.log1p(strength * x))
            at = seen[term]
            if at >= start:
                weights[at] = max(weights[at], weight)
            else:
                seen[term] = end
                terms[end] = term
                weights[end] = weight
                end += 1
        order = np.argsort(terms[start:end])
        terms[start:end] = terms[start:end][order]
        weights[start:end] = weights[start:end][order]
        indptr[row + 1] = end


def _matrix(made: World, stream: int, rows: int, draws: int, focus: float) -> csr_matrix:
    state = np.random.default_rng([made.seed, stream]).integers(0, 2**63, 1).astype(np.uint64)
    indptr = np.zeros(rows + 1, dtype=np.int64)
    terms = np.empty(rows * (draws * 2), dtype=np.int32)
    weights = np.empty(rows * (draws * 2), dtype=np.float32)
    _rows(
        state,
        made.background,
        made.topics,
        made.fields,
        made.popularity,
        made.ranks,
        draws,
        focus,
        indptr,
        terms,
        weights,
    )
    end = indptr[-1]
    return csr_matrix((weights[:end].copy(), terms[:end].copy(), indptr), shape=(rows, VOCABULARY))


def documents(count: int, seed: int = 0) -> Iterator[csr_matrix]:
    """Yield the documents in shards of at most 50,000; the same for every ``count``."""
    made = world(seed)
    for shard, start in enumerate(range(0, count, SHARD)):
        matrix = _matrix(made, shard + 10, SHARD, 154, 0.55)
        yield matrix[: min(SHARD, count - start)]


def queries(kind: str, count: int, seed: int = 0) -> csr_matrix:
    """Return queries of a kind.

    ``symmetric`` have about 27 terms, ``inference-free`` about 6; ``terms-N`` are symmetric ones of
    the N heaviest terms each.
    """
    made = world(seed)
    if kind == "symmetric":
        return _matrix(made, 1, count, 31, 0.7)
    if kind.startswith("terms-"):
        wanted = int(kind.removeprefix("terms-"))
        return _heaviest(_matrix(made, 3, count, 4 * wanted + 8, 0.7), wanted)
    if kind != "inference-free":
        raise ValueError(f"kind {kind!r}; expected symmetric, inference-free or terms-N")
    matrix = _matrix(made, 2, count, 7, 0.8)
    sample = next(documents(SHARD, seed))
    frequency = np.bincount(sample.indices, minlength=VOCABULARY)
    idf = np.log1p((SHARD - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
    matrix.data = idf[matrix.indices]
    return matrix


def _heaviest(matrix: csr_matrix, wanted: int) -> csr_matrix:
    """Return the rows cut to their heaviest terms."""
    for begin, end in pairwise(matrix.indptr):
        row = matrix.data[begin:end]
        row[np.argsort(-row, kind="stable")[wanted:]] = 0
    matrix.eliminate_zeros()
    return matrix
