"""A limit on memory, and how much of it is left.

What counts is memory that the system cannot take back: anonymous resident pages. Files that are
mapped, as finished shards are, can be dropped at any time and do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from hybrid.errors import MemoryLimitError, UsageError, whole_number

_Start: TypeAlias = Callable[[str, int | None], Callable[[int], None]]
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)[iI]?[bB]?")
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
LEAST = 64 << 20
PIECES = 8
COPIES = 4
"""How often a row may be held while it is read: as stored, gathered, in order, as an object."""


def parse_size(text: str) -> int:
    """Return a size in bytes; a unit is 1024 of the one before.

    >>> parse_size("1.5GB"), parse_size("512m"), parse_size("100")
    (1610612736, 536870912, 100)

    Raises:
        UsageError: it is no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no size; give one such as 2GB or 512MB")
    return int(float(match[1]) * 1024 ** _UNITS[match[2].lower()])


def held() -> int | None:
    """Return the anonymous resident bytes of this process; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    match = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    return None if match is None else int(match[1]) << 10


@dataclass(frozen=True)
class MemoryLimit:
    """A memory limit of the process in bytes, interpreter and models included.

    Raises:
        UsageError: it is no number, or so little is left that nothing could be done.
    """

    limit: int

    def __post_init__(self) -> None:
        whole_number("the memory limit in bytes", self.limit)
        used = held() or 0
        if self.limit - used < LEAST:
            raise UsageError(
                f"the memory limit is {self.limit >> 20} MB, but {used >> 20} MB are held already "
                f"by Python and the models; give {(used + LEAST >> 20) + 1} MB or more"
            )

    @property
    def left(self) -> int:
        """Bytes that are still free."""
        return max(LEAST, self.limit - (held() or 0))

    def check(self) -> None:
        """Do nothing while the process is within its limit.

        Raises:
            MemoryLimitError: it is not.
        """
        used = held()
        if used is not None and used > self.limit:
            raise MemoryLimitError(
                f"{used >> 20} MB of memory are held, over the limit of {self.limit >> 20} MB; "
                "raise the limit and run it again: what was finished is kept"
            )

    def watching(self, progress: Callable[[int], None]) -> Callable[[int], None]:
        """Return the callback, with a check of the limit before each call."""

        def advance(count: int) -> None:
            self.check()
            progress(count)

        return advance


@dataclass(frozen=True)
class Allowance:
    """The share of a memory limit that one piece of a longer work may use.

    Attributes:
        limit: of the process; None for none.
        piece: bytes that one piece may hold; None for any.
    """

    limit: MemoryLimit | None = None
    piece: int | None = None

    @classmethod
    def of(cls, memory: int | None) -> Allowance:
        """Return the room that a limit in bytes leaves, models loaded already; None for no limit.

        Raises:
            UsageError: so little is left that nothing could be done.
        """
        if memory is None:
            return cls()
        limit = MemoryLimit(memory)
        return cls(limit, limit.left // PIECES)

    def characters(self, most: int) -> int:
        """Return how many characters of text to hold at once, ``most`` or a power of two below it.

        A power of two, because what is left differs a little from run to run, and shards of another
        size would be encoded again.
        """
        if self.piece is None or self.piece // COPIES >= most:
            return most
        return 1 << max(0, (self.piece // COPIES).bit_length() - 1)

    def rows(self, row_bytes: float, most: int) -> int:
        """Return how many rows of so many bytes to hold at once, at most ``most``."""
        if self.piece is None:
            return most
        return int(min(most, max(1, self.piece // (COPIES * max(1.0, row_bytes)))))

    def watching(self, progress: _Start) -> _Start:
        """Return the progress, with a check of the limit at each of its calls."""
        limit = self.limit
        if limit is None:
            return progress

        def start(label: str, total: int | None) -> Callable[[int], None]:
            return limit.watching(progress(label, total))

        return start
