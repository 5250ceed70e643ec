"""What a caller hands in, checked once at the door: numbers that count, lists of texts."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral

from hybrid.errors import UsageError


def given(value: object) -> str:
    """Return a value as a message shows it, with its type.

    >>> given("3"), given(True)
    ("'3' (str)", 'True (bool)')
    """
    return f"{value!r:.60} ({type(value).__name__})"


def whole_number(name: str, value: object) -> int:
    """Return ``value`` as an int of 1 or more; true and 2.0 are no whole numbers.

    Raises:
        UsageError: it is none.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UsageError(f"{name} is {given(value)}; give a whole number, 1 or more")
    if value < 1:
        raise UsageError(f"{name} is {value}; give 1 or more")
    return int(value)


def several_texts(name: str, values: Iterable[str]) -> list[str]:
    """Return ``values`` as a list of texts; one text alone is not taken for its characters.

    Raises:
        UsageError: it is one text, nothing to go through, or holds something else than texts.
    """
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UsageError(f"for {name}, {given(values)} was given; give a list of texts")
    found = list(values)
    for place, value in enumerate(found):
        if not isinstance(value, str):
            raise UsageError(f"for {name}, {given(value)} was given at place {place}; give texts")
    return found
