"""Words of a document that a query weighs, with their places in the text."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from hybrid.encoders import SparseEncoder
from hybrid.search.encoders import as_sparse
from hybrid.search.result import SearchResult

WORD = re.compile(r"[^\W_]+")
LEAST = 0.1
"""Of the greatest weight of a query: words under it are not marked."""

Terms = Callable[[str], frozenset[str]]


@dataclass(frozen=True)
class Mark:
    """A word of a text: where it stands in code points, its weight up to 1, and by what term.

    ``literal`` says whether the term stands in the query, too; else the encoder added it.
    """

    start: int
    end: int
    weight: float
    literal: bool
    term: str


class Highlighter:
    """Marks words by the weights of the queries' terms in the sparse branches. Shared by threads.

    The terms of a word are those of the encoder's own tokenizer, so a stem marks its word and a
    wordpiece the word that it is of. Words are remembered: a word is analysed once.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[SparseEncoder, Terms]] = {}

    def weights(self, result: SearchResult, query: str) -> Weights:
        """Return the weights of a query that was searched, the first of the result."""
        branches = []
        for name, found in result.branches.items():
            if result.index.record(name).kind != "sparse":
                continue
            one = found.of_query(0)
            encoder = as_sparse(name, one.encoder)
            vocabulary, row = encoder.vocabulary, one.encoded
            top = max(row.data, default=0.0)
            terms = {
                vocabulary[column]: float(weight / top)
                for column, weight in zip(row.indices.tolist(), row.data.tolist(), strict=True)
                if weight >= LEAST * top > 0
            }
            branches.append((self._terms(name, encoder), terms, encoder.literal_terms(query)))
        return Weights(tuple(branches))

    def _terms(self, name: str, encoder: SparseEncoder) -> Terms:
        known = self._known.get(name)
        if known is None or known[0] is not encoder:
            known = encoder, lru_cache(100_000)(encoder.literal_terms)
            self._known[name] = known
        return known[1]


@dataclass(frozen=True)
class Weights:
    """Of each sparse branch: the terms of a word, the weights of terms, the query's own terms."""

    branches: tuple[tuple[Terms, dict[str, float], frozenset[str]], ...]

    def marks(self, text: str) -> list[Mark]:
        """Return the words of a text that the query weighs, in their order."""
        found = [self._mark(word) for word in WORD.finditer(text)]
        return [mark for mark in found if mark is not None]

    def _mark(self, word: re.Match[str]) -> Mark | None:
        weighed = [
            (term in literal, weights[term], term)
            for terms, weights, literal in self.branches
            for term in terms(word[0])
            if term in weights
        ]
        if not weighed:
            return None
        literal, _, term = max(weighed)
        return Mark(*word.span(), max(weight for _, weight, _ in weighed), literal, term)
