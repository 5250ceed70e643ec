"""A field of a document read as the type that was asked for: what a table holds are texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import isfinite

from hybrid.corpus.records import FieldValue

_INT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_BOOLS = {"true": True, "false": False, "1": True, "0": False}


def field_value(value: str | int | float | bool | None, kind: str) -> FieldValue:
    """Return a value as ``kind`` ("" leaves it as it is); an empty text holds no number.

    Raises:
        ValueError: it is none; the message says what was expected.

    >>> field_value(" 2020 ", "int"), field_value("", "int"), field_value(2020, "str")
    (2020, None, '2020')
    """
    if value is None or not kind:
        return value
    if kind == "str":
        return value if isinstance(value, str) else str(value)
    text = (value if isinstance(value, str) else repr(value)).strip()
    return _READERS[kind](text) if text else None


def _int(text: str) -> int:
    whole = text.removesuffix(".0")
    if not _INT.fullmatch(whole) or not -(2**63) <= int(whole) < 2**63:
        raise ValueError("a whole number of at most 64 bits")
    return int(whole)


def _float(text: str) -> float:
    if not _FLOAT.fullmatch(text) or not isfinite(float(text)):
        raise ValueError("a number such as 1.5 or 2e-3")
    return float(text)


def _bool(text: str) -> bool:
    found = _BOOLS.get(text.lower())
    if found is None:
        raise ValueError("true, false, 1 or 0")
    return found


_READERS: dict[str, Callable[[str], FieldValue]] = {"int": _int, "float": _float, "bool": _bool}
