"""The fields of documents: one rule for the values that they hold, whoever writes them.

A field is of one kind: as it was declared, as it is in the index, or as its first value is. NaN is
no value, like null. A whole number fits a field of fractions; else another kind is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from math import isfinite

import numpy as np

from hybrid.corpus.records import FieldValue

_INT = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_CODE = re.compile(r"\+|-?0[0-9]")
_BOOLS = {"true": True, "false": False, "1": True, "0": False}
_SAID = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}
_TYPES = {"bool": bool, "int": int, "float": float, "str": str}  # bool first: it is an int
_NUMBERS = {"int", "float"}
MAX_FIELDS = 1000


class FieldKinds:
    """The kind of each field that was met or declared: `value` holds every value to it.

    Args:
        known: kinds by name, of an earlier pass or of an index.
        read: kinds by name that every value is read as, if it can be.
        cells: every value is a text, as in a CSV file: it is read as the kind that is known, and
            what a field of no known kind is, all its values tell.
        index: the names of fields whose known kind is that of an index.
    """

    def __init__(
        self,
        known: Mapping[str, str] | None = None,
        *,
        read: Mapping[str, str] | None = None,
        cells: bool = False,
        index: Collection[str] = (),
    ) -> None:
        declared = {name: kind for name, kind in (read or {}).items() if kind}
        self._kinds = {name: kind for name, kind in (known or {}).items() if kind} | declared
        self._declared = declared
        self._read = dict(self._kinds) if cells else declared
        self._cells = cells
        self._index = index
        self._open: dict[str, set[str]] = {}
        self._asked = list(known or {})
        self.seen: set[str] = set()

    @property
    def unknown(self) -> list[str]:
        """The fields that were asked for and of which no kind is known, so far."""
        return [name for name in self._asked if name not in self.kinds]

    @property
    def kinds(self) -> dict[str, str]:
        """The kinds by name, so far."""
        inferred = {name: next(k for k in _SAID if k in left) for name, left in self._open.items()}
        return self._kinds | inferred

    def value(self, name: str, value: object) -> FieldValue:
        """Return the value of a field as it is stored.

        Raises:
            ValueError: it is none; the message says what was expected.
        """
        plain = self._plain(name, value)
        if plain is None:
            return None
        self.seen.add(name)
        if self._cells and name not in self._kinds:
            left = self._open.setdefault(name, set(_SAID))
            left.intersection_update(_possible_kinds(str(plain)))
            return plain
        found = next(kind for kind, each in _TYPES.items() if isinstance(plain, each))
        known = self._kinds.setdefault(name, found)
        if len(self._kinds) > MAX_FIELDS:
            raise ValueError(f"at most {MAX_FIELDS} different fields over all documents")
        if found == known == "int" and not _fits(int(plain)):
            raise ValueError("a whole number of at most 64 bits")
        if found == known:
            return plain
        if {found, known} != _NUMBERS:
            origin = "in the index" if name in self._index else "in the documents before"
            raise ValueError(
                f"{_SAID[known]} as {origin}; a field holds values of one type, which may be named "
                f"({name}:str)"
            )
        self._kinds[name] = "float"
        return field_value(plain, "float")

    def _plain(self, name: str, value: object) -> FieldValue:
        plain, kind = plain_value(value), self._read.get(name, "")
        if self._cells and not kind and plain == "":
            return None
        try:
            return field_value(plain, kind)
        except ValueError:
            if kind != "int" or name in self._declared:
                raise
            return field_value(plain, "float")  # which whole numbers widen to


def _possible_kinds(text: str) -> set[str]:
    """Return the kinds that a cell may hold: a number with leading zeros is a text."""
    text, kinds = text.strip(), {"str"}
    if text.lower() in ("true", "false"):
        kinds.add("bool")
    if text.lower() == "nan":
        kinds |= _NUMBERS
    if not _CODE.match(text) and _FLOAT.fullmatch(text) and isfinite(float(text)):
        kinds.add("float")
        if _INT.fullmatch(text) and _fits(int(text)):
            kinds.add("int")
    return kinds


def _fits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def plain_value(value: object) -> FieldValue:
    """Return a value as one of Python's own; NaN is None, dates and times are ISO texts.

    Raises:
        ValueError: it is no value of a field; the message says what was expected.

    >>> plain_value(np.float32(0.5)), plain_value(float("nan")), plain_value(date(2020, 1, 2))
    (0.5, None, '2020-01-02')
    """
    if isinstance(value, np.integer | np.floating | np.bool_ | np.str_):
        value = value.item()
    if isinstance(value, float | date) and value != value:  # NaN, and the NaT of pandas
        return None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("a finite number")
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError("a text, a number, true, false or null")
    return value


def field_value(value: FieldValue, kind: str) -> FieldValue:
    """Return a value as ``kind`` ("" leaves it as it is); an empty text and "nan" hold no number.

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
    if not text or (kind in _NUMBERS and text.lower() == "nan"):
        return None
    return _READERS[kind](text)


def _int(text: str) -> int:
    whole = text.removesuffix(".0")
    if not _INT.fullmatch(whole) or not _fits(int(whole)):
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
