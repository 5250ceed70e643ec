"""The parts of a filter over document fields; each prints as the text that parses to it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TypeAlias

from hybrid.index.documents.filter_hints import WORDS

Value: TypeAlias = "str | int | float | bool"
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True)
class Comparison:
    """A field compared with a value."""

    field: str
    sign: str
    value: Value

    def __str__(self) -> str:
        return f"{_name(self.field)} {self.sign} {json.dumps(self.value, ensure_ascii=False)}"


@dataclass(frozen=True)
class Membership:
    """A field that equals one of some values."""

    field: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        inside = ", ".join(json.dumps(value, ensure_ascii=False) for value in self.values)
        return f"{_name(self.field)} in [{inside}]"


@dataclass(frozen=True)
class Contains:
    """A list that holds a value."""

    field: str
    value: Value

    def __str__(self) -> str:
        return f"{json.dumps(self.value, ensure_ascii=False)} in {_name(self.field)}"


@dataclass(frozen=True)
class Missing:
    """A field without a value."""

    field: str

    def __str__(self) -> str:
        return f"{_name(self.field)} is null"


@dataclass(frozen=True)
class Negation:
    """The negation of its part."""

    part: Filter

    def __str__(self) -> str:
        return f"not ({self.part})"


@dataclass(frozen=True)
class Combination:
    """All (``and``) or any (``or``) of its parts."""

    word: str
    parts: tuple[Filter, ...]

    def __str__(self) -> str:
        shown = [f"({part})" if isinstance(part, Combination) else str(part) for part in self.parts]
        return f" {self.word} ".join(shown)


Filter: TypeAlias = Comparison | Membership | Contains | Missing | Negation | Combination


def fields_of(parsed: Filter) -> set[str]:
    """Return the names of the fields that a filter reads.

    >>> sorted(fields_of(Combination("and", (Comparison("a", "==", 1), Negation(Missing("b"))))))
    ['a', 'b']
    """
    if isinstance(parsed, Negation):
        return fields_of(parsed.part)
    if isinstance(parsed, Combination):
        return set().union(*(fields_of(part) for part in parsed.parts))
    return {parsed.field}


def _name(field: str) -> str:
    plain = _PLAIN.fullmatch(field) and field not in WORDS
    return field if plain else f"`{field}`"
