"""Filters over document fields: a small language, parsed by hand; `filter_columns` computes them.

    year >= 2020 and lang == "en"
    not (source in ["blog", "forum"]) or meta.score is null
    "red" in tags and published >= "2020-01-31"

Of a field that holds lists, a comparison is of each value, and one that holds is enough; ``!=`` is
what ``not ... ==`` is. Dates and times are compared with ISO texts; a date is its midnight in UTC.
A value that is missing makes every comparison with it unknown, as in SQL: neither it nor its
``not`` selects the document; ``is null`` does. NaN is a missing value. Nothing is ever evaluated as
Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, TypeAlias

from hybrid.corpus.checks import check_text
from hybrid.errors import UsageError, given
from hybrid.index.documents.filter_columns import COMPARISONS
from hybrid.index.documents.filter_dicts import filter_of
from hybrid.index.documents.filter_hints import FOREIGN_SIGNS, WORDS, accepted_form, is_foreign
from hybrid.index.documents.filter_nodes import (
    Combination,
    Comparison,
    Contains,
    Filter,
    Membership,
    Missing,
    Negation,
    Value,
)

FilterLike: TypeAlias = str | Mapping[str, Any] | Filter

MAX_LENGTH = 20_000
MAX_DEPTH = 50
MAX_DIGITS = 100
_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?(?![A-Za-z_0-9.]))"
    r'|(?P<string>"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')'
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*|`[^`]+`)"
    r"|(?P<sign>==|!=|<=|>=|<|>|\(|\)|\[|\]|,))",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)


def filter_text(given: FilterLike | None) -> str | None:
    """Return a filter as text, as it was given or as it prints; None for none.

    Raises:
        UsageError: it is no text, and no dictionary that can be read as a filter.

    >>> filter_text({"year": {"$gte": 2020}, "lang": "en"})
    'year >= 2020 and lang == "en"'
    """
    return given if given is None or isinstance(given, str) else str(parse_filter(given))


def parse_filter(text: FilterLike) -> Filter:
    """Return the filter that ``text`` states; its printed form parses back to an equal one.

    In place of a text there may be a dictionary: see `hybrid.index.documents.filter_dicts`.

    Raises:
        UsageError: it cannot be parsed; tells where and what was expected.

    >>> print(parse_filter("year>=2020 and (lang == 'en' or not lang in ['de', 'fr'])"))
    year >= 2020 and (lang == "en" or not (lang in ["de", "fr"]))
    """
    if isinstance(text, Filter):
        return text
    if isinstance(text, Mapping):
        parsed = filter_of(text)
        return parse_filter(str(parsed))  # which holds it to the limits of a text
    if not isinstance(text, str):
        raise UsageError(f"the filter is {given(text)}; give a text such as 'year >= 2020'")
    check_text("the filter", text, nul=True)
    if len(text) > MAX_LENGTH:
        raise UsageError(f"the filter has {len(text)} characters; {MAX_LENGTH} is the limit")
    parser = _Parser(text)
    parsed = parser.either(0)
    parser.expect_end()
    return parsed


class _Parser:
    """Recursive descent: or, and, not, then a comparison or parentheses."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0

    def either(self, depth: int) -> Filter:
        return self._joined("or", depth)

    def _joined(self, word: str, depth: int) -> Filter:
        parts = [self._joined("and", depth) if word == "or" else self._negated(depth)]
        while self._take("name", word):
            parts.append(self._joined("and", depth) if word == "or" else self._negated(depth))
        return parts[0] if len(parts) == 1 else Combination(word, tuple(parts))

    def _negated(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise UsageError(f"the filter nests deeper than {MAX_DEPTH} levels")
        if self._take("name", "not"):
            return Negation(self._negated(depth + 1))
        if self._take("sign", "("):
            inside = self.either(depth + 1)
            self._need("sign", ")")
            return inside
        return self._comparison()

    def _comparison(self) -> Filter:
        kind, text = self._next()
        value = kind in ("number", "string") or text in ("true", "false")
        if value and self._tokens[self._at : self._at + 1] and self._tokens[self._at][1] == "in":
            self._at -= 1
            return self._contained()
        if kind != "name" or text in WORDS:
            raise self._error("a field name")
        field, (kind, word, _) = text.strip("`"), (*self._tokens, ("", "", 0))[self._at]
        if is_foreign(text) and kind == "name" and word not in ("in", "is"):  # NOT year == 1
            raise self._error("a field name")
        if self._take("name", "is"):
            negated = self._take("name", "not")
            self._need("name", "null")
            return Negation(Missing(field)) if negated else Missing(field)
        if self._take("name", "in"):
            self._need("sign", "[")
            values = [self._literal()]
            while self._take("sign", ","):
                values.append(self._literal())
            self._need("sign", "]")
            return Membership(field, tuple(values))
        kind, sign = self._next()
        if sign not in COMPARISONS or kind != "sign":
            raise self._error(f"one of {' '.join(COMPARISONS)}, in, is")
        return Comparison(field, sign, self._literal())

    def _contained(self) -> Filter:
        value = self._literal()
        self._need("name", "in")
        kind, text = self._next()
        if kind != "name" or text in WORDS:
            raise self._error("the name of a field that holds lists")
        return Contains(text.strip("`"), value)

    def _literal(self) -> Value:
        kind, text = self._next()
        if kind == "number":
            return self._number(text)
        if kind == "string":
            halves = _ESCAPE.sub(_unescape, text[1:-1]).encode("utf-16", "surrogatepass")
            found = halves.decode("utf-16", "surrogatepass")
            return check_text("a text in the filter", found, nul=True)
        if kind == "name" and text in ("true", "false"):
            return text == "true"
        raise self._error("a number, a text in quotes, true or false")

    def _number(self, text: str) -> int | float:
        number = float(text)
        if not isfinite(number) or len(text) > MAX_DIGITS:
            raise self._error(f"a number of at most {MAX_DIGITS} characters")
        return number if set(text) & set(".eE") else int(text)

    def _take(self, kind: str, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at][:2] == (kind, text):
            self._at += 1
            return True
        return False

    def _need(self, kind: str, text: str) -> None:
        if not self._take(kind, text):
            self._next()
            raise self._error(repr(text))

    def _next(self) -> tuple[str, str]:
        self._at += 1
        return self._tokens[self._at - 1][:2] if self._at <= len(self._tokens) else ("end", "")

    def expect_end(self) -> None:
        if self._at < len(self._tokens):
            self._at += 1
            raise self._error("'and', 'or' or the end")

    def _error(self, expected: str) -> UsageError:
        ended = self._at > len(self._tokens)
        place = len(self._text) if ended else self._tokens[self._at - 1][2]
        found = "its end" if ended else repr(self._tokens[self._at - 1][1][:40])
        tokens = [(kind, text) for kind, text, _ in self._tokens[: self._at]]
        return UsageError(
            f"the filter {self._text[:200]!r} has {found} at character {place + 1}, where "
            f"{expected} was expected{'' if ended else accepted_form(tokens)}"
        )


def _unescape(match: re.Match[str]) -> str:
    if len(match[1]) > 1:
        return chr(int(match[1][1:], 16))
    return {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}.get(match[1], match[1])


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            start = at + len(text[at:]) - len(text[at:].lstrip())
            why = FOREIGN_SIGNS.get(text[start], "which no filter holds; a text needs quotes")
            raise UsageError(
                f"the filter {text[:200]!r} has {text[start : start + 10]!r} at character "
                f"{start + 1}, {why}"
            )
        yield match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)
        at = match.end()
