"""Text to index terms: words, stop words, stems.

Close to Lucene's EnglishAnalyzer, which Anserini uses: words by the rules of UAX #29 as far as a
regular expression follows them (``o'neill``, ``3.14`` and ``u.s.a`` stay whole, hyphens split, each
Han or Hiragana character is a word), the possessive ``'s`` off, lower case, Lucene's 33 English
stop words, Porter's stemmer. On top of Lucene, the text is brought to Unicode form NFKC, so that
full-width letters and ligatures match plain ones.
"""

from __future__ import annotations

import importlib
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain

from hybrid.errors import UsageError

_BETWEEN = re.compile(r"[._]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Between the parts of a name: dots, underscores, a capital after a small letter."""
_ENGLISH = """
a an and are as at be but by for if in into is it no not of on or such that the
their then there these they this to was will with
"""
STOP_WORDS = frozenset(_ENGLISH.split())
"""The English stop set of Lucene."""

MEMORY = 1 << 18
"""Words whose term is remembered; the memory starts anew when it is full."""


LANGUAGES = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "es": "spanish",
    "fi": "finnish",
    "fr": "french",
    "hu": "hungarian",
    "it": "italian",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sv": "swedish",
    "tr": "turkish",
}
"""Languages by their code, with the stemmer of Snowball; English has Porter's."""


def of_language(code: str) -> tuple[str, str]:
    """Return the stemmer and the stop words of a language; only English has stop words.

    >>> of_language("de")
    ('german', 'none')

    Raises:
        UsageError: an unknown language.
    """
    if code == "en":
        return "porter", "english"
    if code != "none" and code not in LANGUAGES:
        known = ", ".join(sorted({"en", "none", *LANGUAGES}))
        raise UsageError(f"the language of BM25 is {code!r}; give one of {known}")
    return LANGUAGES.get(code, "none"), "none"


class Analyser:
    """The terms of a text, in order, repeated as often as they occur.

    Args:
        stemmer: "porter", any other algorithm of Snowball by name ("german", "french", ...), or
            "none".
        stop_words: "english" or "none".
        split_names: give the parts of a name of code, too: ``os.path`` and ``readLine`` are also
            ``os``, ``path``, ``read`` and ``line``.

    >>> Analyser("none", "english").terms("The cat's 3.14 pi-charts")
    ['cat', '3.14', 'pi', 'charts']
    >>> Analyser("none", "english", split_names=True).terms("os.path readLine 3.14")
    ['os.path', 'os', 'path', 'readline', 'read', 'line', '3.14']

    Raises:
        UsageError: an unknown stemmer or stop-word list; the message lists the known ones.
    """

    def __init__(
        self, stemmer: str = "porter", stop_words: str = "english", *, split_names: bool = False
    ) -> None:
        if stop_words not in ("english", "none"):
            raise UsageError(f"stop_words is {stop_words!r}; expected 'english' or 'none'")
        self._stemmer = None
        if stemmer != "none":
            snowball = importlib.import_module("Stemmer")
            known = sorted({*snowball.algorithms(), "porter"})
            if stemmer not in known:
                raise UsageError(
                    f"stemmer is {stemmer!r}; expected 'none' or one of {', '.join(known)}"
                )
            self._stemmer = snowball.Stemmer(stemmer)
        self._stop_words = STOP_WORDS if stop_words == "english" else frozenset()
        self._split_names = split_names
        self._word = _word_pattern()
        self._known: dict[str, str | None] = {}

    def terms(self, text: str) -> list[str]:
        """Return the terms of ``text``."""
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text)
        if self._split_names:
            return self._stemmed(chain.from_iterable(map(_parts, self._word.findall(text))))
        return self._stemmed(self._word.findall(text.lower()))

    def placed(self, text: str) -> Iterator[tuple[int, int, list[str]]]:
        """Yield each word of ``text`` that is no stop word: start, end, and its terms.

        Places are characters of the text itself, whatever its normal form is.

        >>> list(Analyser("none", "english").placed("of ﬁles and 3.14"))
        [(3, 7, ['files']), (12, 16, ['3.14'])]
        """
        lower = not self._split_names
        plain, starts, ends = (text, None, None) if text.isascii() else _normalised(text, lower)
        for word in self._word.finditer(plain.lower() if lower else plain):
            found = self._stemmed(_parts(word[0]) if self._split_names else [word[0]])
            if not found:
                continue
            start, end = word.span()
            if starts is not None and ends is not None:
                start, end = starts[start], ends[end - 1]
            yield start, end, found

    def _stemmed(self, words: Iterable[str]) -> list[str]:
        """Return the terms of words in lower case, without those of stop words."""
        known = self._known
        found = []
        for word in words:
            try:
                term = known[word]
            except KeyError:
                term = self._learn(word)
            if term is not None:
                found.append(term)
        return found

    def _learn(self, word: str) -> str | None:
        """Return the term of a word that is not remembered, None for a stop word."""
        if len(self._known) >= MEMORY:
            self._known.clear()
        term: str | None = word
        if word.endswith(("'s", "’s")):
            term = word[:-2]
        if term in self._stop_words:
            term = None
        elif self._stemmer is not None:
            term = self._stemmer.stemWord(term)
        self._known[word] = term
        return term


def _parts(word: str) -> list[str]:
    """Return a word in lower case and, where it is a name of code, its parts."""
    parts = [part.lower() for part in _BETWEEN.split(word) if part]
    is_name = len(parts) > 1 and not word[0].isdecimal() and "'" not in word
    return [word.lower(), *(parts if is_name else [])]


def _normalised(text: str, lower: bool) -> tuple[str, list[int], list[int]]:
    """Return a text in form NFKC, and where each of its characters starts and ends in ``text``.

    With ``lower`` the one letter that lower case makes longer is in lower case.
    """
    found: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    done = 0
    for piece in chain(_changing_pattern().finditer(text), [None]):
        start, end = (len(text), len(text)) if piece is None else piece.span()
        found.append(text[done:start])
        starts += range(done, start)
        ends += range(done + 1, start + 1)
        plain = unicodedata.normalize("NFKC", text[start:end])
        plain = plain.replace("İ", "İ".lower()) if lower else plain
        found.append(plain)
        starts += [start] * len(plain)
        ends += [end] * len(plain)
        done = end
    return "".join(found), starts, ends


@cache
def _changing_pattern() -> re.Pattern[str]:
    """Return the pattern of a character that NFKC may change, with those that combine with it."""
    return re.compile(rf"(?s:.)[{_marks()}\u1160-\u11ff]+|[^\x00-\x7f]")


@cache
def _word_pattern() -> re.Pattern[str]:
    """Return the pattern of one word of a lower-case text."""
    alone = r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u3041-\u309f]"
    mark = _marks()
    letter = rf"(?:(?!{alone})[\w{mark}])"
    inside = r"(?:(?<=[^\W\d_])['’.·:](?=[^\W\d_])|(?<=\d)[.,'’](?=\d))"
    return re.compile(rf"{alone}|(?!_+(?!\w)){letter}+(?:{inside}{letter}+)*")


@cache
def _marks() -> str:
    """Return the combining marks, which ``\\w`` leaves out, as the inside of a character class."""
    ranges: list[list[int]] = []
    for code in range(0x300, min(sys.maxunicode, 0x1FFFF)):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{re.escape(chr(low))}-{re.escape(chr(high))}" for low, high in ranges)
