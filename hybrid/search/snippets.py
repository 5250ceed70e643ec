"""The terms of a query in its sparse branches, found in the texts of documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hybrid.build.records import QueryEncoder
from hybrid.corpus.snippets import Match
from hybrid.encoders import Bm25Encoder, SparseEncoder
from hybrid.encoders.protocol import PlacedTerms, PlacesTerms, words_by_space
from hybrid.index.place import Place
from hybrid.search.encoders import as_sparse

LEAST = 0.1
"""Of the greatest weight of a query in a branch: terms under it are not marked."""


@dataclass(frozen=True)
class BranchTerms:
    """The terms that a query weighs in one sparse branch.

    Attributes:
        name: of the branch.
        encoder: of the branch.
        weights: term to weight, above 0 and up to 1, the heaviest.
        literal: the terms that the query itself has.
    """

    name: str
    encoder: SparseEncoder
    weights: Mapping[str, float]
    literal: frozenset[str]

    def matches(self, text: str) -> Iterator[Match]:
        """Yield these terms where they stand in a text, by the encoder's own words."""
        for start, end, terms in placed_words(self.encoder, text):
            for term in terms:
                if term in self.weights:
                    literal = term in self.literal
                    yield Match(start, end, self.name, term, self.weights[term], literal)


def branch_terms(name: str, encoder: SparseEncoder, encoded: Any, query: str) -> BranchTerms:
    """Return the terms that a query weighs in a branch; those of BM25 weigh their idf, too.

    Args:
        name: of the branch.
        encoder: of the branch.
        encoded: the query as it encodes it, CSR (1, vocabulary).
        query: the text.
    """
    weights = np.asarray(encoded.data, dtype=np.float64)
    if isinstance(encoder, Bm25Encoder):
        weights = weights * encoder.idf[encoded.indices]
    top = float(weights.max(initial=0.0))
    found = {
        encoder.vocabulary[column]: weight / top
        for column, weight in zip(encoded.indices.tolist(), weights.tolist(), strict=True)
        if weight >= LEAST * top > 0
    }
    return BranchTerms(name, encoder, found, encoder.literal_terms(query))


def query_terms(
    index: Place, encoders: Mapping[str, QueryEncoder], encoded: Mapping[str, Any], query: str
) -> list[BranchTerms]:
    """Return the terms that a query weighs in each of its sparse branches.

    Args:
        index: whose branches they are.
        encoders: of the branches.
        encoded: branch to the query as it encodes it, one row.
        query: the text.
    """
    return [
        branch_terms(name, as_sparse(name, encoders[name]), row, query)
        for name, row in encoded.items()
        if index.record(name).kind == "sparse"
    ]


def matches_of(branches: Iterable[BranchTerms], text: str) -> list[Match]:
    """Return the terms of a query in a text, all branches together."""
    return [match for branch in branches for match in branch.matches(text)]


def term_places(
    encoder: SparseEncoder, text: str, within: tuple[int, int]
) -> dict[str, tuple[tuple[int, int], ...]]:
    """Return term to the places of its words in a part of a text, in characters of the text."""
    found: dict[str, list[tuple[int, int]]] = {}
    for start, end, terms in placed_words(encoder, text):
        for term in dict.fromkeys(terms) if within[0] <= start and end <= within[1] else ():
            found.setdefault(term, []).append((start, end))
    return {term: tuple(places) for term, places in found.items()}


def placed_words(encoder: SparseEncoder, text: str) -> Iterable[PlacedTerms]:
    """Return the words of a text with places and terms, by the encoder's own words if it can."""
    if isinstance(encoder, PlacesTerms):
        return encoder.placed_terms(text)
    return words_by_space(text, encoder.literal_terms)
