"""The kinds of fields: of one value, ``int`` or ``date``, or of a list of them, ``list[int]``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool
FieldValue: TypeAlias = Scalar | date | Sequence[Scalar | date] | None
"""A value as a program gives it; stored and shown, a date or time is its ISO text."""

SCALARS = ("int", "float", "bool", "date", "datetime", "str")
FIELD_TYPES = (*SCALARS, *(f"list[{kind}]" for kind in SCALARS))
TYPES_SAID = f"{', '.join(SCALARS)}, or a list of one, such as list[str]"
DATES = {"date", "datetime"}
NUMBERS = {"int", "float"}
WIDER = {"int": "float", "date": "datetime"}
_LIST = re.compile(r"list\[(\w+)\]")


def is_list(kind: str) -> bool:
    return kind.startswith("list[")


def element_of(kind: str) -> str:
    """Return the kind of a list's elements, or of one value.

    >>> element_of("list[int]"), element_of("int")
    ('int', 'int')
    """
    found = _LIST.fullmatch(kind)
    return found[1] if found else kind


def widened(known: str, found: str) -> str | None:
    """Return the kind of a field that held ``known`` and gets ``found``; None if none holds both.

    >>> widened("int", "float"), widened("list[date]", "datetime"), widened("str", "list[str]")
    ('float', 'list[datetime]', None)
    """
    if is_list(found) and not is_list(known):
        return None
    inner = {element_of(known), element_of(found)}
    if len(inner) == 2:
        inner = {wide for narrow, wide in WIDER.items() if inner == {narrow, wide}}
    if not inner:
        return None
    (kind,) = inner
    return f"list[{kind}]" if is_list(known) else kind
