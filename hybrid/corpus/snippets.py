"""Snippets: the part of a text that says most of a query, with its words marked."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from hybrid.corpus.passages import UNSPACED

LENGTH = 200
"""Of a snippet, in characters."""
STEPS = 1_000_000
"""Of a weight of 1, so that sums are whole numbers and equal ones are equal."""
_WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")


@dataclass(frozen=True, slots=True)
class Mark:
    """A word of a text that a query weighs; places are counted in characters (code points).

    Attributes:
        start, end: where it is.
        weight: of its heaviest term, above 0 and up to 1, the heaviest of the query in its branch.
        literal: whether ``term`` is in the query, too; else the encoder added it.
        term: the heaviest literal term, or else the heaviest.
        branch: whose term that is.
    """

    start: int
    end: int
    weight: float
    literal: bool
    term: str
    branch: str


class Match(NamedTuple):
    """A term of a query in a text: its word's place, and its weight as in `Mark`."""

    start: int
    end: int
    branch: str
    term: str
    weight: float
    literal: bool


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a text.

    Attributes:
        text: that part.
        start, end: where it is in the text, in characters.
        marks: its words that the query weighs, in their order; ``start`` and ``end`` of each are
            places in the snippet, so `Snippet.start` more in the text.
    """

    text: str
    start: int
    end: int
    marks: tuple[Mark, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the snippet as JSON data."""
        return asdict(self)


def marks_of(matches: Sequence[Match], offset: int = 0) -> list[Mark]:
    """Return one mark for each word, places less ``offset``; words that overlap are one.

    >>> one = Match(0, 11, "bm25", "heapq.merge", 0.5, True)
    >>> marks_of([one, Match(6, 11, "sparse", "merge", 1.0, False)])[0].weight
    1.0
    """
    words: list[list[Match]] = []
    end = -1
    for match in sorted(matches):
        if match.start >= end:
            words.append([])
        words[-1].append(match)
        end = max(end, match.end)
    return [_mark(word, offset) for word in words]


def _mark(word: Sequence[Match], offset: int) -> Mark:
    best = max(word, key=lambda each: (each.literal, each.weight, each.term))
    return Mark(
        word[0].start - offset,
        max(each.end for each in word) - offset,
        max(each.weight for each in word),
        best.literal,
        best.term,
        best.branch,
    )


def snippet_of(
    text: str,
    matches: Sequence[Match],
    *,
    within: tuple[int, int] | None = None,
    length: int = LENGTH,
) -> Snippet:
    """Return the part of a text whose distinct terms weigh most together.

    It is cut at white space, or between characters of a script that writes none; only a word that
    is longer than the snippet is cut. Of parts that weigh the same, the first; where that can move
    without losing a term, the words are in its middle.

    Args:
        text: of a document.
        matches: the query's terms in it.
        within: start and end of what the snippet is taken from; default: the whole text.
        length: its most characters, 1 or more.
    """
    low, high = within or (0, len(text))
    words = list(_words(text, low, high, length))
    if not words:
        return Snippet("", low, low, ())
    stops = list(_stops(words, length))
    inside = [each for each in matches if low <= each.start and each.end <= high]
    sums = list(_sums([(words[at][0], words[stop][1]) for at, stop in enumerate(stops)], inside))
    first = sums.index(max(sums))
    last = first
    while first and stops[last] + 1 < len(words) and sums[last + 1] == sums[first]:
        last += 1
    at = (first + last) // 2
    start, end = words[at][0], words[stops[at]][1]
    shown = [each for each in inside if start <= each.start and each.end <= end]
    return Snippet(text[start:end], start, end, tuple(marks_of(shown, start)))


def _words(text: str, low: int, high: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield the places between which a snippet may be cut, none longer than ``length``."""
    start = end = low
    for word in _WORD.finditer(text, low, high):
        if word.start() > end or not unicodedata.category(text[word.start()]).startswith("M"):
            if end > start:
                yield start, end
            start = word.start()
        end = word.end()
        while end - start > length:
            cut = start + length
            while cut > start + 1 and unicodedata.category(text[cut]).startswith("M"):
                cut -= 1
            yield start, cut
            start = cut
    if end > start:
        yield start, end


def _stops(words: Sequence[tuple[int, int]], length: int) -> Iterator[int]:
    """Yield for each word the last one of the snippet that begins with it."""
    stop = 0
    for start, _ in words:
        while stop + 1 < len(words) and words[stop + 1][1] - start <= length:
            stop += 1
        yield stop


def _sums(windows: Sequence[tuple[int, int]], matches: Sequence[Match]) -> Iterator[int]:
    """Yield the sum of the weights of the distinct terms in each window; both their ends ascend."""
    by_start = sorted(matches, key=lambda each: each.start)
    by_end = sorted(matches, key=lambda each: each.end)
    held: Counter[tuple[str, str]] = Counter()
    added = dropped = total = before = 0
    for start, end in windows:
        while dropped < len(by_start) and by_start[dropped].start < start:
            match = by_start[dropped]
            dropped += 1
            if match.end <= before:  # so it was added
                held[match.branch, match.term] -= 1
                total -= 0 if held[match.branch, match.term] else _steps(match)
        while added < len(by_end) and by_end[added].end <= end:
            match = by_end[added]
            added += 1
            if match.start >= start:
                total += 0 if held[match.branch, match.term] else _steps(match)
                held[match.branch, match.term] += 1
        before = end
        yield total


def _steps(match: Match) -> int:
    return round(match.weight * STEPS)
