"""Filters computed over the columns of fields by pyarrow: true, false or unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import floor
from typing import Any

import numpy as np

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

DAY = 86_400_000_000
"""Microseconds of a day."""
COMPARISONS = {
    "==": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}


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
        raise absent_field(parsed.field, columns)
    column = columns[parsed.field]
    if isinstance(parsed, Missing):
        return pc.is_null(column, nan_is_null=True)
    if isinstance(parsed, Comparison):
        return _held(parsed.field, parsed.sign, parsed.value, column)
    if isinstance(parsed, Contains):
        _expect_lists(parsed, column.type)
        return _held(parsed.field, "==", parsed.value, column)
    result = None
    for value in parsed.values:
        one = _held(parsed.field, "==", value, column)
        result = one if result is None else pc.or_kleene(result, one)
    return result


def absent_field(name: str, present: Iterable[str]) -> UsageError:
    """Return the error for a field that the documents do not have."""
    known = ", ".join(sorted(present)) or "none"
    return UsageError(
        f"the documents have no field {name!r}; their fields: {known}. Build with the "
        "columns to filter by: --fields (SourceOptions(fields=...))"
    )


def _expect_lists(parsed: Contains, kind: Any) -> None:
    import pyarrow as pa

    if not pa.types.is_large_list(kind):
        raise UsageError(
            f"field {parsed.field!r} holds one value a document, no list; compare it by "
            f"`{Comparison(parsed.field, '==', parsed.value)}`"
        )


def _held(field: str, sign: str, value: Value, column: Any) -> Any:
    """Return a column compared with a value, a list by its values; see `_compared`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_large_list(column.type):
        return _compared(field, sign, value, column)
    if sign == "!=":
        return pc.invert(_held(field, "==", value, column))
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    found = pc.fill_null(_compared(field, sign, value, pc.list_flatten(lists)), False)
    holds = np.zeros(len(lists), dtype=np.bool_)
    holds[pc.list_parent_indices(lists).filter(found).to_numpy(zero_copy_only=False)] = True
    return pc.if_else(lists.is_null(), None, pa.array(holds))


def _compared(field: str, sign: str, value: Value, column: Any) -> Any:
    """Return a column compared with a value; null where the column holds nothing, or NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    scalar = _scalar(field, value, column.type)
    if is_dated(column.type):
        column = microseconds(column)
    if pa.types.is_integer(column.type) and isinstance(value, float):
        sign, scalar = _whole_comparison(sign, value)
    found = getattr(pc, COMPARISONS[sign])(column, scalar)
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


def is_dated(kind: Any) -> bool:
    """Return whether a column holds dates or times."""
    import pyarrow as pa

    return bool(pa.types.is_date32(kind) or pa.types.is_timestamp(kind))


def microseconds(column: Any) -> Any:
    """Return a column of dates or times as int64 microseconds since 1970 in UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_date32(column.type):
        return column.cast(pa.int64())
    return pc.multiply(column.cast(pa.int32()).cast(pa.int64()), DAY)


def _scalar(field: str, value: Value, kind: Any) -> Any:
    """Return the value as a pyarrow scalar that a column of type ``kind`` can be compared with."""
    import pyarrow as pa

    types = pa.types
    number = isinstance(value, int | float) and not isinstance(value, bool)
    text = isinstance(value, str)
    known = (
        (types.is_boolean, "true or false", isinstance(value, bool)),
        (types.is_integer, "whole numbers", number),
        (types.is_floating, "numbers", number),
        (is_dated, "dates or times", text),
        (types.is_large_string, "text", text),
    )
    found = ((held, fits) for is_of, held, fits in known if is_of(kind))
    held, fits = next(found, (str(kind), False))
    try:
        if not fits:
            raise TypeError(f"it holds {held}")
        if isinstance(value, str) and is_dated(kind):
            return pa.scalar(as_time(read_date(value)), pa.timestamp("us", "UTC")).cast(pa.int64())
        if isinstance(value, str):
            return pa.scalar(value, pa.large_string())
        return pa.scalar(float(value) if types.is_floating(kind) else value)
    except (pa.ArrowException, TypeError, OverflowError, ValueError) as error:
        raise UsageError(f"field {field!r} cannot be compared with {value!r}: {error}") from error
