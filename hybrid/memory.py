"""A limit on memory, and how much of it is left.

What counts is memory that the system cannot take back: anonymous resident pages. Files that are
mapped, as finished shards are, can be dropped at any time and do not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hybrid.errors import MemoryLimitError, UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKmMgGtT]?)[iI]?[bB]?")
_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
LEAST = 64 << 20


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
    """What a process may hold, in bytes, all told: interpreter and models too.

    Raises:
        UsageError: so little is left that nothing could be done.
    """

    limit: int

    def __post_init__(self) -> None:
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
