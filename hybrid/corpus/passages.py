"""Long texts cut into passages: windows of words that share some with the next.

A document's score in a branch is the greatest score of its passages, MaxP (Dai and Callan 2019,
"Deeper Text Understanding for IR with Contextual Neural Language Modeling"). As there, every
passage is encoded with the title of its document in front.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus.records import Document
from hybrid.errors import UsageError

LONGEST_WORD = 32
MAX_SIZE = 1_000_000
UNSPACED = "\u0e00-\u0e7f\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Scripts that put no space between words, which count by the character: a character class."""
_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]{{1,{LONGEST_WORD}}}")


@dataclass(frozen=True, slots=True)
class Passages:
    """How texts are cut: windows of ``size`` words, each sharing ``overlap`` with the next.

    A word is a run of up to 32 characters without white space, or one character of Chinese,
    Japanese, Thai, Lao, Burmese or Khmer. The last window of a text may be shorter.

    >>> cut = Passages(size=3, overlap=1)
    >>> cut.texts(Document("d", "a b c d e", title="T"))
    ['T a b c', 'T c d e']

    Raises:
        UsageError: a size below 1, or an overlap that is negative or not below the size.
    """

    size: int
    overlap: int = 0

    def __post_init__(self) -> None:
        for name, value in (("size", self.size), ("overlap", self.overlap)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise UsageError(f"the {name} of passages is {value!r}; give a whole number")
        if not 1 <= self.size <= MAX_SIZE:
            raise UsageError(f"passages of {self.size} words; give 1 to {MAX_SIZE:,}")
        if not 0 <= self.overlap < self.size:
            raise UsageError(
                f"passages of {self.size} words cannot share {self.overlap} with the next; give "
                f"0 to {self.size - 1}"
            )

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return (start, stop) of each passage in ``text``, at least one, in characters.

        >>> Passages(2).spans("one two  three")
        [(0, 7), (9, 14)]
        """
        words = [match.span() for match in _WORD.finditer(text)]
        if not words:
            return [(0, len(text))]
        step = self.size - self.overlap
        last = max(0, -(-(len(words) - self.size) // step)) * step
        return [
            (words[first][0], words[min(first + self.size, len(words)) - 1][1])
            for first in range(0, last + 1, step)
        ]

    def texts(self, document: Document) -> list[str]:
        """Return the text of each passage as encoders see it, the title in front."""
        return [passage_text(document, *span) for span in self.spans(document.text)]

    def to_dict(self) -> dict[str, int]:
        """Return the window as JSON data."""
        return {"size": self.size, "overlap": self.overlap}


def passage_text(document: Document, start: int, stop: int) -> str:
    """Return one passage of a document as encoders see it."""
    return (document.title + " " + document.text[start:stop]).strip()


@dataclass(frozen=True)
class PassageTable:
    """Which passages each document has.

    Attributes:
        offsets: int64 (documents + 1,); document ``i`` owns the rows ``offsets[i]:offsets[i + 1]``,
            at least one.
        spans: int32 (rows, 2), start and stop of each passage in the text of its document.
    """

    offsets: NDArray[np.int64]
    spans: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many passages each document has."""
        return np.diff(self.offsets)

    def rows(self, documents: NDArray[Any]) -> NDArray[np.int64]:
        """Return the rows of some documents, in the order given.

        >>> table = PassageTable(np.array([0, 2, 3]), np.zeros((3, 2), dtype=np.int32))
        >>> table.rows(np.array([1, 0])).tolist()
        [2, 0, 1]
        """
        return expand(self.offsets[documents], self.offsets[np.asarray(documents) + 1])

    def take(self, documents: NDArray[Any]) -> PassageTable:
        """Return the table of some documents, in the order given."""
        counts = self.offsets[np.asarray(documents) + 1] - self.offsets[documents]
        return PassageTable(starts(counts), self.spans[self.rows(documents)])

    def documents(self, rows: NDArray[Any]) -> NDArray[np.int64]:
        """Return the document of each row; -1 stays -1."""
        return np.searchsorted(self.offsets, rows, side="right") - 1


def starts(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Return offsets from counts.

    >>> starts(np.array([2, 1])).tolist()
    [0, 2, 3]
    """
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)


def expand(first: NDArray[Any], stop: NDArray[Any]) -> NDArray[np.int64]:
    """Return the ranges ``first[i]:stop[i]`` one after the other, int64.

    >>> expand(np.array([4, 0]), np.array([6, 1])).tolist()
    [4, 5, 0]
    """
    lengths = np.asarray(stop, dtype=np.int64) - first
    before = starts(lengths)
    return np.repeat(first - before[:-1], lengths) + np.arange(before[-1])
