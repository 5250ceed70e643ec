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
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from typing import Any

from hybrid.errors import UsageError

_BETWEEN = re.compile(r"[._]+|(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""Between the parts of a name: dots, underscores, a capital after a small letter."""
_ENGLISH = """
a an and are as at be but by for if in into is it no not of on or such that the
their then there these they this to was will with
"""
STOP_WORDS = frozenset(_ENGLISH.split())
"""The English stop set of Lucene."""

ALONE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u3041-\u309f"
"""Characters that are a word each, as the inside of a character class."""
MEMORY = 1 << 17
"""Words and pieces whose terms are remembered; each memory starts anew when it is full."""
LONGEST = 32
"""A longer piece, such as a line of Chinese, hardly occurs twice and is not remembered."""
MOST_TERMS = 8
"""A piece of more terms, such as pairs of Chinese characters, is not remembered either."""


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
UNSPACED = ("cjk", "zh", "ja", "ko")
"""Languages whose words are not found by spaces: pairs of characters stand for them."""
CJK = (
    "\u3005\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Han, Hiragana, Katakana and Hangul, as the inside of a character class."""
_IS_CJK = re.compile(f"[{CJK}]")


def of_language(code: str) -> dict[str, Any]:
    """Return the arguments of the `Analyser` of a language.

    Its stop words stand in them, and so in the index, that queries leave out the same ones with
    another version of the package which has them.

    >>> of_language("zh")
    {'stemmer': 'none', 'stop_words': 'english', 'bigrams': True}
    >>> of_language("de")["stop_words"][:22]
    'german: aber alle alle'

    Raises:
        UsageError: an unknown language.
    """
    if code in UNSPACED:
        return {"stemmer": "none", "stop_words": "english", "bigrams": True}
    if code in ("en", "none"):
        stemmer, words = ("porter", "english") if code == "en" else ("none", "none")
        return {"stemmer": stemmer, "stop_words": words}
    if code not in LANGUAGES:
        known = ", ".join(sorted({"en", "none", *UNSPACED, *LANGUAGES}))
        raise UsageError(f"the language of BM25 is {code!r}; give one of {known}")
    name = LANGUAGES[code]
    words = importlib.import_module("stop_words").get_stop_words(name)
    return {"stemmer": name, "stop_words": f"{name}: {' '.join(sorted(set(words)))}"}


class Analyser:
    """The terms of a text, in order, repeated as often as they occur.

    Args:
        stemmer: "porter", any other algorithm of Snowball by name ("german", "french", ...), or
            "none".
        stop_words: "english", "none", or a name and the words: "german: aber alle".
        split_names: give the parts of a name of code, too: ``os.path`` and ``readLine`` are also
            ``os``, ``path``, ``read`` and ``line``.
        bigrams: of a run of Chinese, Japanese and Korean characters each pair of neighbours is a
            word, as in Lucene's CJKAnalyzer; a character that stands alone is one, too.

    >>> Analyser("none", "english").terms("The cat's 3.14 pi-charts")
    ['cat', '3.14', 'pi', 'charts']
    >>> Analyser("none", "english", split_names=True).terms("os.path readLine 3.14")
    ['os.path', 'os', 'path', 'readline', 'read', 'line', '3.14']
    >>> Analyser("none", "none", bigrams=True).terms("東京都 in 2020")
    ['東京', '京都', 'in', '2020']

    Raises:
        UsageError: an unknown stemmer or stop-word list; the message lists the known ones.
    """

    def __init__(
        self,
        stemmer: str = "porter",
        stop_words: str = "english",
        *,
        split_names: bool = False,
        bigrams: bool = False,
    ) -> None:
        _, listed, words = stop_words.partition(": ")
        if not listed and stop_words not in ("english", "none"):
            raise UsageError(
                f"stop_words is {stop_words!r}; expected 'english', 'none', or a name and the "
                "words, as 'german: aber alle'"
            )
        self._stemmer = None
        if stemmer != "none":
            snowball = importlib.import_module("Stemmer")
            known = sorted({*snowball.algorithms(), "porter"})
            if stemmer not in known:
                raise UsageError(
                    f"stemmer is {stemmer!r}; expected 'none' or one of {', '.join(known)}"
                )
            self._stemmer = snowball.Stemmer(stemmer)
        self._stop_words = STOP_WORDS if stop_words == "english" else frozenset(words.split())
        self._split_names, self._bigrams = split_names, bigrams
        self._word = _word_pattern(f"[{CJK}]+" if bigrams else f"[{ALONE}]")
        self._known: dict[str, str | None] = {}
        self._pieces = _Remembered(self._terms_of)

    def terms(self, text: str) -> list[str]:
        """Return the terms of ``text``."""
        return list(self.each_term(text))

    def each_term(self, text: str) -> Iterator[str]:
        """Return an iterator over the terms of ``text``."""
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text)
        pieces = (text if self._split_names else text.lower()).split()  # no word goes on there
        return chain.from_iterable(map(self._pieces.__getitem__, pieces))

    def _terms_of(self, piece: str) -> tuple[str, ...]:
        """Return the terms of a piece of a text in its normal form."""
        words: Iterable[str] = self._word.findall(piece)
        if self._bigrams:
            words = chain.from_iterable(map(_pairs, words))
        if self._split_names:
            words = chain.from_iterable(map(_parts, words))
        return tuple(self._stemmed(words))

    def placed(self, text: str) -> Iterator[tuple[int, int, list[str]]]:
        """Yield each word of ``text`` that is no stop word: start, end, and its terms.

        Places are characters of the text itself, whatever its normal form is.

        >>> list(Analyser("none", "english").placed("of ﬁles and 3.14"))
        [(3, 7, ['files']), (12, 16, ['3.14'])]
        """
        lower = not self._split_names
        plain, starts, ends = (text, None, None) if text.isascii() else _normalised(text, lower)
        for word in self._word.finditer(plain.lower() if lower else plain):
            for at, piece in enumerate(_pairs(word[0]) if self._bigrams else [word[0]]):
                found = self._stemmed(_parts(piece) if self._split_names else [piece])
                if not found:
                    continue
                start = word.start() + at
                end = start + len(piece)
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


class _Remembered(dict[str, tuple[str, ...]]):
    """The terms of pieces of texts, each found when it is first asked for."""

    def __init__(self, terms_of: Callable[[str], tuple[str, ...]]) -> None:
        self._terms_of = terms_of

    def __missing__(self, piece: str) -> tuple[str, ...]:
        found = self._terms_of(piece)
        if len(piece) <= LONGEST and len(found) <= MOST_TERMS:
            if len(self) >= MEMORY:
                self.clear()
            self[piece] = found
        return found


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
    """Return the pattern of a character that NFKC may change, with those that combine with it.

    Half-width sounds and letters combine as the full-width ones do that they stand for.
    """
    joins = "\u1160-\u11ff\u3131-\u318e\uff9e-\uffdc"
    return re.compile(rf"(?s:.)[{_marks()}{joins}]+|[^\x00-\x7f]")


def _pairs(word: str) -> Sequence[str]:
    """Return the pairs of neighbours of a run of CJK characters; any other word as it is."""
    if len(word) < 2 or not _IS_CJK.match(word):
        return (word,)
    return [word[at : at + 2] for at in range(len(word) - 1)]


@cache
def _word_pattern(alone: str) -> re.Pattern[str]:
    """Return the pattern of one word of a lower-case text; ``alone`` is one by itself."""
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
