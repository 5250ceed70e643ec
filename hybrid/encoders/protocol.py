"""Protocols of encoders: texts in, CSR or float32 rows out, and a fingerprint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

Fingerprint = dict[str, str | int | float | bool | None]
"""Everything that an encoder's numbers depend on, as flat JSON values."""

Progress = Callable[[int], None]
"""Called with the number of newly finished items."""

PlacedTerms = tuple[int, int, Iterable[str]]
"""Of a word: its start and end in the text, in characters, and its terms."""

_WORD = re.compile(r"\S+")


@runtime_checkable
class SparseEncoder(Protocol):
    """Texts to non-negative weights over a vocabulary.

    Both methods return ``csr_matrix`` float32 (len(texts), len(vocabulary)) with sorted indices
    and no explicit zeros, rows in the order of ``texts``. A blank text gives an empty row.
    """

    @property
    def vocabulary(self) -> Sequence[str]:
        """Return the term of each column."""
        ...

    @property
    def fingerprint(self) -> Fingerprint:
        """Return everything that the weights depend on."""
        ...

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> csr_matrix:
        """Return the weights of documents."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        """Return the weights of queries."""
        ...

    def literal_terms(self, text: str) -> frozenset[str]:
        """Return the terms of the vocabulary that stand in the text itself."""
        ...


@runtime_checkable
class PlacesTerms(Protocol):
    """A sparse encoder that knows where in a text each term stands."""

    def placed_terms(self, text: str) -> Iterable[PlacedTerms]:
        """Return the words of a text in their order, however long it is."""
        ...


@runtime_checkable
class ReadsSoMuch(Protocol):
    """An encoder whose model reads the beginning of a long text alone."""

    def unread_tokens(
        self, texts: Sequence[str], task: Literal["document", "query"]
    ) -> NDArray[np.int64]:
        """Return the tokens of each text beyond those that the model reads, 0 where it reads all.

        Args:
            texts: documents or queries.
            task: which.
        """
        ...


@runtime_checkable
class DenseEncoder(Protocol):
    """Texts to vectors whose inner product is the score.

    Both methods return C-contiguous float32 (len(texts), dimension), rows in the order of
    ``texts``; of unit length where the model's similarity is the cosine.
    """

    @property
    def dimension(self) -> int:
        """Return the length of a vector."""
        ...

    @property
    def fingerprint(self) -> Fingerprint:
        """Return everything that the vectors depend on; ``similarity`` is ``cosine`` or ``dot``."""
        ...

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the vectors of documents."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of queries."""
        ...


def words_by_space(text: str, terms_of: Callable[[str], Iterable[str]]) -> Iterator[PlacedTerms]:
    """Yield the words between white space, for an encoder that does not place its terms itself."""
    for word in _WORD.finditer(text):
        yield *word.span(), terms_of(word[0])
