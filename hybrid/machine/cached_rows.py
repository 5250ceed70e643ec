"""Values by text in one SQLite file: the part of the cache for many small values.

A row is a value that something made of a text: its vector, its term weights, its score. Of one
text in one space there may be several, from different origins, such as places in a corpus: equal
but for rounding, which depends on the texts that were encoded with it.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import xxhash

Row: TypeAlias = tuple[bytes, int, bytes]
"""(text digest, origin, value)."""

PATIENCE = 60.0
"""Seconds to wait for another process that writes."""
TOUCHED = 86400
"""Seconds after which a use is noted again."""
DROPPED = 4096
"""Rows that go at once where room is made."""
ANY = (1 << 63) - 1
CHECK = 8
"""Bytes of the checksum behind a value."""

_SCHEMA = """
PRAGMA page_size = 16384;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS spaces (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (kind, name));
CREATE TABLE IF NOT EXISTS rows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, text BLOB NOT NULL, space INTEGER NOT NULL,
    origin INTEGER NOT NULL, used INTEGER NOT NULL, size INTEGER NOT NULL, value BLOB NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS by_text ON rows (text, space, origin);
CREATE INDEX IF NOT EXISTS by_use ON rows (used, space, size);
"""


@dataclass(frozen=True, order=True)
class Holding:
    """The holdings of one kind: entries, bytes, first and last use."""

    kind: str
    entries: int
    bytes: int
    oldest: float
    newest: float


class Rows:
    """The rows of an open file; see `open_rows`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._file = connection  # as a context it is one transaction
        self._run = connection.execute
        self.damaged = 0

    def find(
        self, kind: str, space: str, wanted: Sequence[tuple[bytes, int]], before: int = ANY
    ) -> list[bytes | None]:
        """Return a value for each (text digest, origin), None where there is none.

        The row of that origin, or else the first of that text with a number up to ``before``. A
        damaged one counts in ``damaged`` and is none.
        """
        found: list[bytes | None] = []
        now = int(time.time())
        touched, damaged = [], []
        number = self._space(kind, space)
        for text, origin in wanted:
            row = self._run(
                "SELECT id, used < ?, CAST(value AS BLOB) FROM rows WHERE text = ? AND space = ? "
                "AND (origin = ? OR id <= ?) ORDER BY origin = ? DESC, id LIMIT 1",
                (now - TOUCHED, text, number, origin, before, origin),
            ).fetchone()
            value = None if row is None else _checked(text, row[2])
            found.append(value)
            if row is not None and value is None:
                damaged.append((row[0],))
            elif row is not None and row[1]:
                touched.append((now, row[0]))
        if touched or damaged:
            with self._file:
                self._file.executemany("UPDATE rows SET used = ? WHERE id = ?", touched)
                self._file.executemany("DELETE FROM rows WHERE id = ?", damaged)
        self.damaged += len(damaged)
        return found

    def put(self, kind: str, space: str, rows: Iterable[Row]) -> None:
        """Keep rows, each in place of one with its text and origin."""
        now = int(time.time())
        with self._file:
            self._run("INSERT OR IGNORE INTO spaces (kind, name) VALUES (?, ?)", (kind, space))
            number = self._space(kind, space)
            self._file.executemany(
                "INSERT OR REPLACE INTO rows (text, space, origin, used, size, value) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (text, number, origin, now, len(value), value + _check(text, value))
                    for text, origin, value in rows
                ),
            )

    def last(self) -> int:
        """Return the number of the last row that was put, 0 where there was none."""
        row = self._run("SELECT seq FROM sqlite_sequence WHERE name = 'rows'").fetchone()
        return 0 if row is None else int(row[0])

    def forget(self, texts: Iterable[bytes]) -> int:
        """Remove the rows of these texts, their bytes overwritten, and return how many."""
        with self._file:
            count = self._file.executemany(
                "DELETE FROM rows WHERE text = ?", ((each,) for each in texts)
            )
        self._shrink()
        return count.rowcount

    def clear(self, kind: str | None) -> None:
        """Remove the rows of a kind, or all."""
        of_kind = "SELECT id FROM spaces WHERE ? IN (kind, '')"
        with self._file:
            self._run(f"DELETE FROM rows WHERE space IN ({of_kind})", (kind or "",))
            self._run(f"DELETE FROM spaces WHERE id IN ({of_kind})", (kind or "",))
        self._shrink()

    def holdings(self) -> list[Holding]:
        """Return the holdings of each kind."""
        return [
            Holding(*row)
            for row in self._run(
                "SELECT kind, count(*), sum(size), min(used), max(used) "
                "FROM rows INDEXED BY by_use JOIN spaces ON spaces.id = space GROUP BY kind"
            )
        ]

    def oldest(self) -> int | None:
        """Return when the row was used that was not used for the longest time."""
        used: int | None = self._run("SELECT min(used) FROM rows").fetchone()[0]
        return used

    def drop_oldest(self) -> int:
        """Remove some thousand rows that were not used for the longest time; return the bytes."""
        before = self._bytes()
        with self._file:
            self._run(
                "DELETE FROM rows WHERE id IN (SELECT id FROM rows ORDER BY used, id LIMIT ?)",
                (DROPPED,),
            )
        self._shrink()
        return before - self._bytes()

    def _space(self, kind: str, name: str) -> int | None:
        query = "SELECT id FROM spaces WHERE kind = ? AND name = ?"
        row = self._run(query, (kind, name)).fetchone()
        return None if row is None else int(row[0])

    def _bytes(self) -> int:
        query = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        return int(self._run(query).fetchone()[0])

    def _shrink(self) -> None:
        """Give the room of removed rows back to the disk."""
        # As a script, because `execute` does only the first step of it.
        self._file.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")


@contextlib.contextmanager
def open_rows(path: Path) -> Iterator[Rows]:
    """Give the rows of a file, which is made if it is absent.

    Raises:
        sqlite3.OperationalError: it cannot be used; the disk is full, or may not be written.
        sqlite3.DatabaseError: it is damaged.
    """
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level="IMMEDIATE")
    try:
        connection.executescript(_SCHEMA)
        yield Rows(connection)
    finally:
        connection.close()


def _check(text: bytes, value: bytes) -> bytes:
    return xxhash.xxh3_64_digest(text + value)


def _checked(text: bytes, stored: bytes) -> bytes | None:
    """Return the value without its checksum, None where they do not fit."""
    value = stored[:-CHECK]
    return value if stored[-CHECK:] == _check(text, value) else None
