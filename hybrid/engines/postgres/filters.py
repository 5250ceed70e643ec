"""Filters as SQL over the column ``fields``: true, false or null, as `filter_columns` computes."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hybrid.corpus.fields.types import element_of, is_list
from hybrid.corpus.fields.values import as_time, read_date
from hybrid.errors import UsageError
from hybrid.index.documents.filter_nodes import (
    Combination,
    Comparison,
    Contains,
    Filter,
    Missing,
    Negation,
    Value,
)

Condition = tuple[str, list[Any]]
_CASTS = {
    "bool": "({})::boolean",
    "int": "({})::numeric",
    "float": "({})::float8",
    "str": '({}) collate "C"',
    "date": "({})::timestamptz",
    "datetime": "({})::timestamptz",
}
_SIGNS = {"==": "=", "!=": "<>"}


def condition_of(parsed: Filter, kinds: Mapping[str, str]) -> Condition:
    """Return the SQL of a filter with its parameters.

    Args:
        parsed: of which each field is there and each value fits.
        kinds: of the fields.

    >>> condition_of(Comparison("lang", "!=", "en"), {"lang": "str"})
    ('((fields ->> %s) collate "C" <> %s)', ['lang', 'en'])
    """
    if isinstance(parsed, Negation):
        inside, given = condition_of(parsed.part, kinds)
        return f"(not {inside})", given
    if isinstance(parsed, Combination):
        return _joined(parsed.word, [condition_of(part, kinds) for part in parsed.parts])
    name, kind = parsed.field, kinds[parsed.field]
    if isinstance(parsed, Missing):
        held = "fields -> %s" if is_list(kind) else _CASTS[kind].format("fields ->> %s")
        return f"({held} is null)", [name]
    if isinstance(parsed, Comparison):
        return _held(name, parsed.sign, parsed.value, kind)
    values = (parsed.value,) if isinstance(parsed, Contains) else parsed.values
    return _joined("or", [_held(name, "==", value, kind) for value in values])


def _joined(word: str, parts: list[Condition]) -> Condition:
    given = [value for _, values in parts for value in values]
    return f"({f' {word} '.join(sql for sql, _ in parts)})", given


def _held(name: str, sign: str, value: Value, kind: str) -> Condition:
    """Return a field compared with a value, a list by its values."""
    if not is_list(kind):
        held = _CASTS[kind].format("fields ->> %s")
        return f"({held} {_SIGNS.get(sign, sign)} %s)", [name, _parameter(value, kind)]
    if sign == "!=":
        inside, given = _held(name, "==", value, kind)
        return f"(not {inside})", given
    held = f"{_CASTS[element_of(kind)].format('held')} {_SIGNS.get(sign, sign)} %s"
    each = "jsonb_array_elements_text(fields -> %s) as each(held)"
    found = f"(case when fields ? %s then exists (select from {each} where {held}) end)"
    return found, [name, name, _parameter(value, element_of(kind))]


def _parameter(value: Value, kind: str) -> Any:
    """Return a value as PostgreSQL compares it with a field of a kind."""
    if isinstance(value, str) and "\0" in value:
        raise UsageError(f"the filter compares with {value!r}; PostgreSQL holds no NUL bytes")
    if kind == "int":
        return Decimal(value)
    if kind == "float":
        return float(value)
    return as_time(read_date(str(value))) if kind in ("date", "datetime") else value
