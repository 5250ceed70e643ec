"""The sum of several sparse encoders as one: their vectors side by side over one long vocabulary.

The inner product of two such vectors is the sum of the encoders' own scores, so that one search of
one branch is a search by that sum. What the models know differs, so the sum ranks better than each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hybrid.encoders.models.loading import EncoderOptions
from hybrid.encoders.protocol import Fingerprint, PlacedTerms, Progress
from hybrid.encoders.splade import strongest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

DOCUMENT_TERMS, QUERY_TERMS = 200, 40
"""The most terms that a text keeps in all, where the options do not say."""


class SumEncoder:
    """A :class:`~hybrid.encoders.protocol.SparseEncoder` whose score is the sum of its parts'.

    The terms of the first part keep their names; those of the n-th are named ``term@n``. A text
    keeps its strongest terms, whichever part they are of.

    Args:
        parts: learned sparse encoders; each knows its vocabulary, its words and its fingerprint.
        options: how many terms a text keeps; the rest of them is for the parts.
    """

    def __init__(self, parts: Sequence[Any], options: EncoderOptions) -> None:
        self.parts = tuple(parts)
        self._most = {
            "document": options.document_terms or DOCUMENT_TERMS,
            "query": options.query_terms or QUERY_TERMS,
        }
        self.vocabulary: tuple[str, ...] = tuple(
            _named(term, place) for place, part in enumerate(parts) for term in part.vocabulary
        )

    @property
    def fingerprint(self) -> Fingerprint:
        """Return everything that the weights depend on: the values of all parts, joined."""
        prints = [part.fingerprint for part in self.parts]
        names = dict.fromkeys(name for each in prints for name in each)
        found = {name: _joined([each.get(name) for each in prints]) for name in names}
        sums = {name: "+".join(str(each[name]) for each in prints) for name in ("model", "weights")}
        known = all(each["weights"] for each in prints)
        return {
            **found,
            "model": sums["model"],
            "weights": sums["weights"] if known else None,
            "vocabulary_size": len(self.vocabulary),
            "kept_document_terms": self._most["document"],
            "kept_query_terms": self._most["query"],
        }

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> csr_matrix:
        """Return the weights of documents, CSR float32 (len(texts), len(vocabulary))."""
        *first, last = self.parts  # a text is done when the last part has done it
        rows = [part.encode_documents(texts) for part in first]
        return self.together([*rows, last.encode_documents(texts, progress)], "document")

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        """Return the weights of queries, CSR float32 (len(texts), len(vocabulary))."""
        return self.together([part.encode_queries(texts) for part in self.parts], "query")

    def literal_terms(self, text: str) -> frozenset[str]:
        """Return the terms that stand in the text itself, as each part reads it."""
        return frozenset(
            _named(term, place)
            for place, part in enumerate(self.parts)
            for term in part.literal_terms(text)
        )

    def placed_terms(self, text: str) -> Iterator[PlacedTerms]:
        """Yield the words of a text with their places and terms, once for each part."""

        def words(place: int, found: Iterable[PlacedTerms]) -> Iterator[PlacedTerms]:
            for start, end, terms in found:
                yield start, end, [_named(term, place) for term in terms]

        each = (words(place, part.placed_terms(text)) for place, part in enumerate(self.parts))
        return merge(*each, key=lambda word: word[:2])

    def unread_tokens(
        self, texts: Sequence[str], task: Literal["document", "query"]
    ) -> NDArray[np.int64]:
        """Return the tokens of each text that some part does not read, int64 (len(texts),)."""
        unread: NDArray[np.int64] = np.max(
            [part.unread_tokens(texts, task) for part in self.parts], axis=0
        )
        return unread

    def together(
        self, rows: Sequence[csr_matrix], task: Literal["document", "query"]
    ) -> csr_matrix:
        """Return the rows of the sum from those of each part."""
        from scipy.sparse import hstack

        return strongest(hstack(rows, format="csr", dtype=np.float32), self._most[task])


def without_sums(
    encoders: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Return the encoders with the parts of each sum in its place, and the names of these parts.

    A part that is an encoder of its own, too, is there once.
    """
    flat = {name: each for name, each in encoders.items() if not isinstance(each, SumEncoder)}
    names: dict[str, list[str]] = {}
    for name, total in encoders.items():
        for place, part in enumerate(total.parts if isinstance(total, SumEncoder) else ()):
            own = next((other for other, each in flat.items() if each is part), f"{name}+{place}")
            flat[own] = part
            names.setdefault(name, []).append(own)
    return flat, names


def _named(term: str, place: int) -> str:
    return f"{term}@{place + 1}" if place else term


def _joined(values: Sequence[Any]) -> str | int | float | bool | None:
    """Return the value that all parts have, or theirs as text."""
    same: str | int | float | bool | None = values[0]
    return same if len(set(values)) == 1 else " + ".join(map(str, values))
