"""The values of fields, read as a kind: numbers, texts, dates, times, and lists of them.

A date is a day; a time is an instant, to the microsecond: one without a zone is of UTC.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, timezone
from math import isfinite
from typing import TypeAlias

import numpy as np

from hybrid.corpus.fields.types import NUMBERS, Scalar, element_of, is_list, widened

Plain: TypeAlias = Scalar | date | list[Scalar | date] | None
"""A value as one of Python's own; times are of UTC, and no list is empty."""

INT = re.compile(r"[+-]?[0-9]{1,19}")
FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
DATETIME = re.compile(
    DATE.pattern
    + r"[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_DATE_SAID = "an ISO date such as 2020-01-31, or with a time, 2020-01-31T08:30:00Z"
_BOOLS = {"true": True, "false": False, "1": True, "0": False}
_TYPES = {
    "bool": bool, "int": int, "float": float, "datetime": datetime, "date": date, "str": str,
}  # fmt: skip
"""A bool is an int, and a datetime a date, so these come first."""
_SAID = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "date": "a date such as 2020-01-31",
    "datetime": "a date and time such as 2020-01-31T08:30:00Z",
    "str": "a text",
}


def said(kind: str) -> str:
    """Return a kind in words.

    >>> said("list[int]")
    'a list, each a whole number'
    """
    return ("a list, each " if is_list(kind) else "") + _SAID[element_of(kind)]


def kind_of(plain: Plain) -> str:
    """Return the kind of a value; of a list, the narrowest that holds all its elements.

    Raises:
        ValueError: no kind does.

    >>> kind_of(2), kind_of([1, 2.5])
    ('int', 'list[float]')
    """
    if not isinstance(plain, list):
        return next(kind for kind, each in _TYPES.items() if isinstance(plain, each))
    found: str | None = kind_of(plain[0])
    for each in plain[1:]:
        found = None if found is None else widened(found, kind_of(each))
    if found is None:
        raise ValueError("a list whose values are of one type")
    return f"list[{found}]"


def plain_value(value: object) -> Plain:
    """Return a value as one of Python's own; NaN is None, and so is a list without a value.

    Raises:
        ValueError: it is no value of a field; the message says what was expected.

    >>> plain_value(np.float32(0.5)), plain_value(float("nan")), plain_value(("a", None))
    (0.5, None, ['a'])
    """
    if isinstance(value, list | tuple | np.ndarray):
        if isinstance(value, np.ndarray) and value.ndim == 0:
            return plain_value(value[()])
        found = [plain_value(each) for each in value]
        if any(isinstance(each, list) for each in found):
            raise ValueError("a list without lists in it")
        return [each for each in found if each is not None and not isinstance(each, list)] or None
    if isinstance(value, np.datetime64):
        days = np.datetime_data(value.dtype)[0] in ("Y", "M", "W", "D")
        text = np.datetime_as_string(value, unit="D" if days else "us", casting="unsafe")
        return None if np.isnat(value) else read_date(str(text))
    if isinstance(value, np.integer | np.floating | np.bool_ | np.str_):
        value = value.item()
    if isinstance(value, float | date) and value != value:  # NaN, and the NaT of pandas
        return None
    if isinstance(value, date):
        return read_date(_in_utc(value).isoformat())
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("a finite number")
    if value is not None and not isinstance(value, str | int | float):
        raise ValueError("a text, a number, true, false, a date, a list of them, or null")
    return value


def scalar_value(value: object) -> Scalar | None:
    """Return one value as it is compared with: dates and times are ISO texts.

    Raises:
        ValueError: it is none; the message says what was expected.
    """
    plain = plain_value(value)
    if isinstance(plain, list):
        raise ValueError("one value")
    return plain.isoformat() if isinstance(plain, date) else plain


def shown_value(plain: Plain) -> Plain:
    """Return a value as it is stored and shown: dates and times are ISO texts.

    >>> shown_value(read_date("2020-01-02 08:30")), shown_value([date(2020, 1, 2)])
    ('2020-01-02T08:30:00+00:00', ['2020-01-02'])
    """
    if isinstance(plain, list):
        return [each.isoformat() if isinstance(each, date) else each for each in plain]
    return plain.isoformat() if isinstance(plain, date) else plain


def _in_utc(day: date) -> date:
    """Return a time with a zone in UTC, so that its offset has no seconds; others as they are."""
    if not isinstance(day, datetime) or day.utcoffset() is None:
        return day
    try:
        return day.astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:  # before the year 1, or after the year 9999
        raise ValueError(_DATE_SAID) from error


def read_date(text: str) -> date:
    """Return the date, or the time in UTC, that an ISO text says; beyond microseconds it is cut.

    Raises:
        ValueError: it says none; the message says what was expected.

    >>> read_date("2020-01-02"), read_date("2020-01-02T01:00+02:00").isoformat()
    (datetime.date(2020, 1, 2), '2020-01-01T23:00:00+00:00')
    """
    try:
        if DATE.fullmatch(text):
            return date.fromisoformat(text)
        if not DATETIME.fullmatch(text):
            raise ValueError(_DATE_SAID)
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=found.tzinfo or timezone.utc).astimezone(timezone.utc)
    except (ValueError, OverflowError) as error:  # the 31st of June, or after the year 9999
        raise ValueError(_DATE_SAID) from error


def field_value(value: Plain, kind: str) -> Plain:
    """Return a value as ``kind`` ("" leaves it as it is); an empty text and "nan" hold no number.

    A text that is read as a list is a JSON array, or its values with ``;`` between.

    Raises:
        ValueError: it is none; the message says what was expected.

    >>> field_value(" 2020 ", "int"), field_value("", "int"), field_value("a; b", "list[str]")
    (2020, None, ['a', 'b'])
    """
    if value is None or not kind:
        return value
    if is_list(kind):
        each = element_of(kind)
        return plain_value([field_value(part, each) for part in _parts(value)])
    if isinstance(value, list):
        raise ValueError(f"{said(kind)}, not a list")
    if isinstance(value, date):
        value = value.isoformat()
    if kind == "int" and isinstance(value, float) and value.is_integer():
        value = int(value)  # the text of 1e16 is no whole number
    if kind == "str":
        return value if isinstance(value, str) else str(value)
    text = (value if isinstance(value, str) else repr(value)).strip()
    if not text or (kind in NUMBERS and text.lower() == "nan"):
        return None
    return _READERS[kind](text)


def _parts(value: Scalar | date | list[Scalar | date]) -> Sequence[Scalar | date]:
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return [value]
    if not value.lstrip().startswith("["):
        return [part.strip() for part in value.split(";") if part.strip()]
    try:
        found = plain_value(json.loads(value))
    except (ValueError, RecursionError) as error:
        raise ValueError('a JSON array such as ["a", "b"], or values with ; between') from error
    return found if isinstance(found, list) else []


def fits(number: int) -> bool:
    return -(2**63) <= number < 2**63


def _int(text: str) -> int:
    whole = text.removesuffix(".0")
    if not INT.fullmatch(whole) or not fits(int(whole)):
        raise ValueError("a whole number of at most 64 bits")
    return int(whole)


def _float(text: str) -> float:
    if not FLOAT.fullmatch(text) or not isfinite(float(text)):
        raise ValueError("a number such as 1.5 or 2e-3")
    return float(text)


def _bool(text: str) -> bool:
    found = _BOOLS.get(text.lower())
    if found is None:
        raise ValueError("true, false, 1 or 0")
    return found


def _date(text: str) -> date:
    found = read_date(text)
    if not isinstance(found, datetime):
        return found
    if found != midnight(found):
        raise ValueError("a date such as 2020-01-31 without a time")
    return found.date()


def _datetime(text: str) -> datetime:
    return as_time(read_date(text))


def as_time(day: date) -> datetime:
    """Return a time as it is, and of a date its midnight in UTC."""
    return day if isinstance(day, datetime) else midnight(day)


def midnight(day: date) -> datetime:
    """Return the midnight in UTC with which a day begins."""
    return datetime(day.year, day.month, day.day, tzinfo=timezone.utc)


_READERS: dict[str, Callable[[str], Scalar | date]] = {
    "int": _int, "float": _float, "bool": _bool, "date": _date, "datetime": _datetime,
}  # fmt: skip
