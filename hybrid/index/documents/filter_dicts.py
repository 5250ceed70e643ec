"""Filters as dictionaries, in the styles of Mongo, Chroma and Qdrant.

    {"year": {"$gte": 2020}, "lang": {"$in": ["en", "de"]}}
    {"$or": [{"lang": "en"}, {"year": {"$exists": False}}]}
    {"must": [{"key": "year", "range": {"gte": 2020}}], "must_not": [{"key": "lang", "match":
        {"value": "en"}}]}

What they say of a missing value is what a text says: it makes a comparison unknown, and neither
that nor its opposite selects the document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hybrid.corpus.fields.values import scalar_value
from hybrid.errors import UsageError, given
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

MAX_LEVELS = 50
_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_GROUPS = ("must", "should", "must_not")
_OPERATORS = ", ".join(
    f"${name}"
    for name in (*_SIGNS, "in", "nin", "contains", "not_contains", "all", "exists", "not")
)


def filter_of(record: Mapping[str, Any], level: int = 0) -> Filter:
    """Return the filter that a dictionary says.

    Raises:
        UsageError: a key, operator or value that is none; names it.

    >>> print(filter_of({"year": {"$gte": 2020, "$lt": 2023}, "lang": {"$ne": None}}))
    year >= 2020 and year < 2023 and not (lang is null)
    """
    if not isinstance(record, Mapping) or not record:
        raise UsageError(
            f"a part of the filter is {given(record)}; give a dictionary that is not empty"
        )
    if level > MAX_LEVELS:
        raise UsageError(f"the filter nests deeper than {MAX_LEVELS} levels")
    if record.keys() <= set(_GROUPS):
        return _all(_group(name, record[name], level) for name in _GROUPS if name in record)
    if "key" in record or record.keys() & {"is_null", "is_empty", "has_id", "nested", "filter"}:
        return _condition(record)
    return _all(_pair(key, value, level) for key, value in record.items())


def _pair(key: object, value: Any, level: int) -> Filter:
    """Return the filter of one key of a dictionary in the style of Mongo."""
    if not isinstance(key, str) or not key:
        raise UsageError(f"a key of the filter is {given(key)}; give the name of a field")
    if key in ("$and", "$or", "$nor"):
        parts = [filter_of(each, level + 1) for each in _list(key, value)]
        joined = _joined("and" if key == "$and" else "or", parts)
        return Negation(joined) if key == "$nor" else joined
    if key == "$not":
        return Negation(filter_of(value, level + 1))
    if key.startswith("$"):
        raise UsageError(f"the filter has no {key!r} around fields; use $and, $or, $nor or $not")
    return _field(key, value, level)


def _field(name: str, value: Any, level: int) -> Filter:
    """Return the filter of a field: a value, or operators with theirs."""
    if not isinstance(value, Mapping):
        return _compared(name, "==", value)
    if not value or level > MAX_LEVELS:
        raise UsageError(f"the condition on {name!r} is {given(value)}; use {_OPERATORS}")
    return _all(_operated(name, sign, operand, level) for sign, operand in value.items())


def _operated(name: str, operator: object, operand: Any, level: int) -> Filter:
    word = operator.removeprefix("$") if isinstance(operator, str) else ""
    if word in _SIGNS and operator != word:
        return _compared(name, _SIGNS[word], operand)
    if operator in ("$in", "$nin"):
        found = _member(name, _list(f"{name}: {operator}", operand))
        return Negation(found) if operator == "$nin" else found
    if operator in ("$contains", "$not_contains"):
        contained: Filter = _contains(name, operand)
        return contained if operator == "$contains" else Negation(contained)
    if operator == "$all":
        return _all(_contains(name, each) for each in _list(f"{name}: $all", operand))
    if operator == "$exists":
        if not isinstance(operand, bool):
            raise UsageError(f"$exists of {name!r} is {given(operand)}; give True or False")
        return Negation(Missing(name)) if operand else Missing(name)
    if operator == "$not":
        return Negation(_field(name, operand, level + 1))
    raise UsageError(f"the filter has no operator {operator!r} for {name!r}; use {_OPERATORS}")


def _group(name: str, value: Any, level: int) -> Filter:
    """Return the filter of ``must``, ``should`` or ``must_not``."""
    parts = [filter_of(each, level + 1) for each in _list(name, value)]
    joined = _joined("and" if name == "must" else "or", parts)
    return Negation(joined) if name == "must_not" else joined


def _condition(record: Mapping[str, Any]) -> Filter:
    """Return the filter of one condition in the style of Qdrant."""
    for test in ("is_null", "is_empty"):
        if record.keys() == {test} and isinstance(record[test], Mapping):
            return Missing(str(record[test].get("key")))
    name, kinds = record.get("key"), record.keys() - {"key"}
    readers: dict[str, Callable[[str, Any], Filter]] = {"match": _match, "range": _range}
    if not isinstance(name, str) or len(kinds) != 1 or not kinds <= readers.keys():
        raise UsageError(
            f"the filter has the condition {given(dict(record))}; give a key with match or range, "
            "or is_null"
        )
    (kind,) = kinds
    if not isinstance(record[kind], Mapping):
        raise UsageError(f"{kind} of {name!r} is {given(record[kind])}; give a dictionary")
    return readers[kind](name, record[kind])


def _match(name: str, asked: Mapping[str, Any]) -> Filter:
    if asked.keys() == {"value"}:
        return _compared(name, "==", asked["value"])
    if asked.keys() in ({"any"}, {"except"}):
        found = _member(name, _list(f"match of {name!r}", next(iter(asked.values()))))
        return Negation(found) if "except" in asked else found
    raise UsageError(f"match of {name!r} is {given(dict(asked))}; use value, any or except")


def _range(name: str, asked: Mapping[str, Any]) -> Filter:
    if not asked or not asked.keys() <= {"lt", "lte", "gt", "gte"}:
        raise UsageError(f"range of {name!r} is {given(dict(asked))}; use gt, gte, lt, lte")
    bounds = {sign: bound for sign, bound in asked.items() if bound is not None}
    return _all(_compared(name, _SIGNS[sign], bound) for sign, bound in bounds.items())


def _compared(name: str, sign: str, value: Any) -> Filter:
    plain = _value(name, value)
    if plain is not None:
        return Comparison(name, sign, plain)
    if sign not in ("==", "!="):
        raise UsageError(f"{name!r} cannot be compared with null by {sign}; null is == or != alone")
    return Missing(name) if sign == "==" else Negation(Missing(name))


def _contains(name: str, value: Any) -> Filter:
    plain = _value(name, value)
    if plain is None:
        raise UsageError(f"{name!r} is to contain {given(value)}; no list holds null")
    return Contains(name, plain)


def _member(name: str, values: Sequence[Any]) -> Filter:
    plain = [_value(name, value) for value in values]
    parts: list[Filter] = [Missing(name)] if None in plain else []
    known = tuple(value for value in plain if value is not None)
    return _joined("or", [*([Membership(name, known)] if known else []), *parts])


def _value(name: str, value: Any) -> Value | None:
    try:
        return scalar_value(value)
    except ValueError as error:
        raise UsageError(f"{name!r} is compared with {given(value)}; give {error}") from error


def _list(name: str, value: Any) -> list[Any]:
    if isinstance(value, Mapping) and name in _GROUPS:
        return [value]
    if (
        isinstance(value, str | Mapping)
        or not isinstance(value, Iterable)
        or not (found := list(value))
    ):
        raise UsageError(f"{name} is {given(value)}; give a list that is not empty")
    return found


def _all(parts: Iterable[Filter]) -> Filter:
    return _joined("and", list(parts))


def _joined(word: str, parts: list[Filter]) -> Filter:
    """Return the parts joined; those that are joined by the same word are taken apart."""
    if not parts:
        raise UsageError("a part of the filter says nothing; give conditions")
    flat: list[Filter] = []
    for part in parts:
        same = isinstance(part, Combination) and part.word == word
        flat += part.parts if isinstance(part, Combination) and same else [part]
    return flat[0] if len(flat) == 1 else Combination(word, tuple(flat))
