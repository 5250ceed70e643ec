"""The filter's own words and signs for those of other languages, for messages."""

from __future__ import annotations

from collections.abc import Sequence

WORDS = {"and", "or", "not", "in", "is", "null", "true", "false"}
FOREIGN_SIGNS = {
    "=": "but equality is written ==",
    ":": "but equality is written ==",
    "&": "but it is written and",
    "|": "but it is written or",
    "!": "but it is written not (or !=)",
    "“": 'but a text stands in plain quotes, "..."',
    "‘": "but a text stands in plain quotes, '...'",
}
"""Signs of other languages, by their first character, and what a filter has in their place."""
_SPELLINGS = {
    "none": "null",
    "nil": "null",
    "nan": "null",
    "is": "`FIELD is null`",
    "in": "`FIELD in [...]`",
    "exists": "`FIELD is not null`",
    "isnull": "`FIELD is null`",
    "notin": "`not FIELD in [...]`",
    "nin": "`not FIELD in [...]`",
    "any": "`FIELD in [...]`",
    "between": "`FIELD >= 1 and FIELD <= 9`",
    "xor": "and, or and not",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
}
"""Words of other languages in lower case, and what a filter has in their place."""
_NO_SUCH = {"like", "ilike", "matches", "startswith", "endswith", "regexp", "match"}


def is_foreign(text: str) -> bool:
    """Return whether a word, in some spelling, is one of this or another language.

    >>> is_foreign("NOT"), is_foreign("between"), is_foreign("year")
    (True, True, False)
    """
    return text.lower() in WORDS or text.lower() in _SPELLINGS


def accepted_form(tokens: Sequence[tuple[str, str]]) -> str:
    """Return the filter's own form of the last token; "" where none is known.

    Args:
        tokens: kind and text of each, the last where the filter goes wrong.

    >>> accepted_form([("name", "year"), ("sign", "=="), ("number", "1"), ("name", "AND")])
    '; it is written and'
    """
    kind, text = tokens[-1]
    before = tokens[-2][1] if len(tokens) > 1 else ""
    word = text.lower()
    spelling = _SPELLINGS.get(word, word if word in WORDS else "")
    form = "" if word == text and word in WORDS else spelling
    if kind == "sign":
        is_list = text == "(" and before.lower() in ("in", "not")
        form = "!=" if before + text == "<>" else "`FIELD in [...]`" if is_list else ""
    elif kind == "number":
        form = "`FIELD > 1`, its field first"
    elif word == "contains":
        form = "`VALUE in FIELD`, of a field that holds lists"
    elif word in _NO_SUCH:
        return f"; there is no {word}: a filter compares whole values, by == or `in [...]`"
    elif spelling == "null":
        form = f"`FIELD is {'not ' if before == '!=' else ''}null`"
    elif word == "not" and before:
        form = "with not in front: `not FIELD in [...]`"
    elif not form and kind == "name" and before in ("==", "!=", "<", "<=", ">", ">="):
        form = f'"{text}", in quotes, if it is a text'
    return f"; it is written {form}" if form else ""
