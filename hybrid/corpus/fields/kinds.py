"""The kind of each field that was met or declared: one rule, whoever writes the values.

A field is of one kind: as it was declared, as it is in the index, or as its first value is. NaN is
no value, like null, and so is an empty list. A whole number fits a field of fractions, a date one
of times, and one value a field of lists; else another kind is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from math import isfinite

from hybrid.corpus.fields.types import DATES, NUMBERS, SCALARS, WIDER, FieldValue, widened
from hybrid.corpus.fields.types import element_of as element
from hybrid.corpus.fields.values import (
    DATE,
    FLOAT,
    INT,
    Plain,
    field_value,
    fits,
    kind_of,
    plain_value,
    read_date,
    said,
    shown_value,
)

_CODE = re.compile(r"\+|-?0[0-9]")
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
        inferred = {
            name: next(kind for kind in SCALARS if kind in left)
            for name, left in self._open.items()
        }
        return self._kinds | inferred

    def value(self, name: str, value: object) -> FieldValue:
        """Return the value of a field as it is stored: dates and times are ISO texts.

        Raises:
            ValueError: it is none; the message says what was expected.
        """
        plain = self._plain(name, value)
        if plain is None:
            return None
        self.seen.add(name)
        if self._cells and name not in self._kinds:
            left = self._open.setdefault(name, set(SCALARS))
            left.intersection_update(_possible_kinds(str(plain)))
            return str(plain)
        plain = self._dated(name, plain)
        found = kind_of(plain)
        known = self._kinds.setdefault(name, found)
        if len(self._kinds) > MAX_FIELDS:
            raise ValueError(f"at most {MAX_FIELDS} different fields over all documents")
        kind = widened(known, found)
        if kind is None:
            origin = "in the index" if name in self._index else "in the documents before"
            raise ValueError(
                f"{said(known)} as {origin}; a field holds values of one type, which may be named "
                f"({name}:{'list[str]' if found.startswith('list[') else 'str'})"
            )
        if element(kind) == "int":
            _refuse_large(plain)
        self._kinds[name] = kind
        return shown_value(plain if kind == found else field_value(_listed(plain, kind), kind))

    def _plain(self, name: str, value: object) -> Plain:
        plain, kind = plain_value(value), self._read.get(name, "")
        if self._cells and not kind and plain == "":
            return None
        try:
            found = field_value(plain, kind)
        except ValueError:
            if kind not in WIDER or name in self._declared:
                raise
            return field_value(plain, WIDER[kind])
        if element(kind) == "float":
            _refuse_rounded(plain)
        return found

    def _dated(self, name: str, plain: Plain) -> Plain:
        """Return dates in place of texts where the field holds dates, and texts where texts."""
        kind = element(self._kinds.get(name, ""))
        values = plain if isinstance(plain, list) else [plain]
        if kind in DATES and all(isinstance(each, str) for each in values):
            dates = [read_date(str(each)) for each in values]
            return list(dates) if isinstance(plain, list) else dates[0]
        return shown_value(plain) if kind == "str" and name in self._index else plain


def _listed(plain: Plain, kind: str) -> Plain:
    """Return a value as a list where the kind is of lists: no text is taken apart here."""
    return plain if plain is None or isinstance(plain, list) or kind[:5] != "list[" else [plain]


def _refuse_large(plain: Plain) -> None:
    values = plain if isinstance(plain, list) else [plain]
    if not all(fits(each) for each in values if isinstance(each, int)):
        raise ValueError("a whole number of at most 64 bits")


def _refuse_rounded(plain: Plain) -> None:
    values = plain if isinstance(plain, list) else [plain]
    if any(float(each) != each for each in values if isinstance(each, int)):
        raise ValueError("a whole number that a float holds exactly, as it does all up to 2**53")


def _possible_kinds(text: str) -> set[str]:
    """Return the kinds that a cell may hold: a number with leading zeros is a text."""
    text, kinds = text.strip(), {"str"}
    if text.lower() in ("true", "false"):
        kinds.add("bool")
    if text.lower() == "nan":
        kinds |= NUMBERS
    if not _CODE.match(text) and FLOAT.fullmatch(text) and isfinite(float(text)):
        kinds.add("float")
        if INT.fullmatch(text) and fits(int(text)):
            kinds.add("int")
    if DATE.match(text):
        with suppress(ValueError):
            kinds |= {kind_of(read_date(text)), "datetime"}
    return kinds
