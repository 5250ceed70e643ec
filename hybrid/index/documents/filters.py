"""Filters over document fields: a small language, parsed by hand and computed by pyarrow.

    year >= 2020 and lang == "en"
    not (source in ["blog", "forum"]) or meta.score is null

A value that is missing makes every comparison with it unknown, as in SQL: neither it nor its
``not`` selects the document; ``is null`` does. NaN is a missing value. Nothing is ever evaluated as
Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import floor, isfinite
from typing import Any, TypeAlias

from hybrid.corpus.checks import check_text
from hybrid.errors import UsageError, given
from hybrid.index.documents.filter_dicts import filter_of
from hybrid.index.documents.filter_hints import FOREIGN_SIGNS, WORDS, accepted_form, is_foreign
from hybrid.index.documents.filter_nodes import (
    Combination,
    Comparison,
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
_COMPARISONS = {
    "==": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
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


def matches(parsed: Filter, columns: Mapping[str, Any]) -> Any:
    """Return a pyarrow boolean array: true, false, or null where a value is missing.

    Args:
        parsed: the filter.
        columns: pyarrow arrays by field name, all of one length.

    Raises:
        UsageError: a field that is not there, or a value of another type than its field.
    """
    import pyarrow.compute as pc

    if isinstance(parsed, Negation):
        return pc.invert(matches(parsed.part, columns))
    if isinstance(parsed, Combination):
        join = pc.and_kleene if parsed.word == "and" else pc.or_kleene
        result = matches(parsed.parts[0], columns)
        for part in parsed.parts[1:]:
            result = join(result, matches(part, columns))
        return result
    if parsed.field not in columns:
        known = ", ".join(sorted(columns)) or "none"
        raise UsageError(
            f"the documents have no field {parsed.field!r}; their fields: {known}. Build with the "
            "columns to filter by: --fields (SourceOptions(fields=...))"
        )
    column = columns[parsed.field]
    if isinstance(parsed, Missing):
        return pc.is_null(column, nan_is_null=True)
    if isinstance(parsed, Comparison):
        return _compared(parsed.field, parsed.sign, parsed.value, column)
    result = None
    for value in parsed.values:
        one = _compared(parsed.field, "==", value, column)
        result = one if result is None else pc.or_kleene(result, one)
    return result


def _compared(field: str, sign: str, value: Value, column: Any) -> Any:
    """Return a column compared with a value; null where the column holds nothing, or NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    scalar = _scalar(field, value, column.type)
    if pa.types.is_integer(column.type) and isinstance(value, float):
        sign, scalar = _whole_comparison(sign, value)
    found = getattr(pc, _COMPARISONS[sign])(column, scalar)
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, found)
    return found


def _whole_comparison(sign: str, value: float) -> tuple[str, int]:
    """Return a comparison of whole numbers of 64 bits that says what one with a float does.

    >>> _whole_comparison("<", 2.5), _whole_comparison("==", 2.5), _whole_comparison(">", 2.0)
    (('<=', 2), ('<', -9223372036854775808), ('>', 2))
    """
    least, most = -(2**63), 2**63 - 1
    whole = floor(value)
    if whole != value and sign in ("==", "!="):  # never, or always
        return ("<", least) if sign == "==" else (">=", least)
    if whole != value:
        sign = "<=" if sign in ("<", "<=") else ">"
    if least <= whole <= most:
        return sign, whole
    holds = sign == "!=" or (sign[0] == "<") == (whole > most)
    return (">=", least) if holds and sign != "==" else ("<", least)


def _scalar(field: str, value: Value, kind: Any) -> Any:
    """Return the value as a pyarrow scalar that a column of type ``kind`` can be compared with."""
    import pyarrow as pa

    types = pa.types
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = (
        (types.is_boolean(kind) and isinstance(value, bool))
        or ((types.is_integer(kind) or types.is_floating(kind)) and number)
        or (
            (types.is_large_string(kind) or types.is_date(kind) or types.is_timestamp(kind))
            and isinstance(value, str)
        )
    )
    try:
        if not fits:
            raise TypeError(f"it holds {kind}")
        if isinstance(value, str):
            return pa.scalar(value, pa.large_string()).cast(kind)
        return pa.scalar(float(value) if types.is_floating(kind) else value)
    except (pa.ArrowException, TypeError, OverflowError, ValueError) as error:
        raise UsageError(f"field {field!r} cannot be compared with {value!r}: {error}") from error


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
        if sign not in _COMPARISONS or kind != "sign":
            raise self._error(f"one of {' '.join(_COMPARISONS)}, in, is")
        return Comparison(field, sign, self._literal())

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
