"""Addresses of PostgreSQL, and connections that are kept for the next statement."""

from __future__ import annotations

import time
from collections.abc import Sequence
from queue import Empty, LifoQueue
from typing import Any

from hybrid.engines.addresses import index_name
from hybrid.errors import IndexFormatError, TransferError, UsageError, require
from hybrid.machine.passwords import shown

PATIENCE = 10.0
"""Seconds for which a statement is tried again where a server does not answer."""
PAUSE = 0.2
HNSW = {"hnsw.ef_search": "400", "hnsw.iterative_scan": "strict_order"}
"""How an HNSW is searched: on and on, up to ``hnsw.max_scan_tuples`` rows, 20,000 by default."""
SILENCE = 3.0
"""Seconds without an answer after which a new connection tells whether the server hangs."""


def split_address(address: str) -> tuple[list[str], str]:
    """Return the addresses of the databases, and the name of the index there, or ``hybrid``.

    Raises:
        UsageError: a name that is none.

    >>> split_address("postgresql://me@one/db;postgresql://me@two/db#papers")
    (['postgresql://me@one/db', 'postgresql://me@two/db'], 'papers')
    """
    return address.partition("#")[0].split(";"), index_name(address)


def driver() -> Any:
    """Return psycopg.

    Raises:
        MissingPackageError: it is not installed.
    """
    return require("psycopg", extra="postgres", purpose="an index in PostgreSQL")


class Connections:
    """Connections to one database, as many as threads ask at once."""

    def __init__(self, database: str) -> None:
        self.database = database
        self._psycopg = driver()
        self.error: type[Exception] = self._psycopg.Error
        self._idle: LifoQueue[Any] = LifoQueue()
        self._settings = {"timezone": "UTC"}

    def connect(self) -> Any:
        """Return a new connection, each of its statements a transaction, times in UTC."""
        waits = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2}
        waits |= {"keepalives_count": 3, "tcp_user_timeout": int(1000 * PATIENCE)}
        try:
            found = _watched(self._psycopg).connect(self.database, autocommit=True, **waits)
        except self._psycopg.ProgrammingError:  # its text may hold the password
            raise UsageError(
                f"{shown(self.database)} is no address; write it as "
                "postgresql://user:password@host:port/database?option=value"
            ) from None
        for name, value in self._settings.items():
            found.execute(f"set {name} to '{value}'")
        return found

    def search_hnsw(self) -> None:
        """Set up new connections for HNSW; pgvector 0.7 refuses a setting of it."""
        self._settings |= HNSW
        self.close()

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a statement that changes nothing, values as PostgreSQL sends them.

        Where the connection breaks, the statement is sent again over a new one.

        Raises:
            IndexFormatError: the generation is gone.
            TransferError: no server answers for ten seconds, or it refuses.
        """
        end = time.monotonic() + PATIENCE
        while True:
            try:
                connection = self._taken()
                rows = connection.execute(sql, parameters, binary=True).fetchall()
            except self._psycopg.errors.UndefinedTable as error:
                raise IndexFormatError(
                    "the generation that was read is gone since the index was pushed again; open "
                    "it again"
                ) from error
            except self._psycopg.OperationalError as error:
                self.close()  # the others are to the same server
                if time.monotonic() > end:
                    raise self.refused(error) from error
                time.sleep(PAUSE)
            except self._psycopg.Error as error:
                raise self.refused(error) from error
            else:
                self._idle.put(connection)
                return list(rows)

    def refused(self, error: Exception) -> TransferError:
        """Return the error for a server that does not do what was asked."""
        said = " ".join(str(error).split())
        return TransferError(
            f"{shown(self.database)} cannot be read or written: {said}. Check the address, the "
            "server and your access rights"
        )

    def _taken(self) -> Any:
        try:
            return self._idle.get_nowait()
        except Empty:
            return self.connect()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while not self._idle.empty():
            try:
                self._idle.get_nowait().close()
            except Empty:
                return


def _watched(psycopg: Any) -> Any:
    """Return the class of connections that do not wait for a server that hangs.

    A statement may take its time: what counts is that the server still takes connections.
    """

    class Watched(psycopg.Connection):  # type: ignore[misc]
        def wait(self, steps: Any, *given: Any, **named: Any) -> Any:
            return super().wait(self._checked(steps), *given, **named)

        def _checked(self, steps: Any) -> Any:
            end = time.monotonic() + SILENCE
            try:
                step = next(steps)
                while True:
                    ready = yield step  # 0 each time that a tenth of a second went by
                    if not ready and time.monotonic() > end:
                        self._check()
                        end = time.monotonic() + SILENCE
                    step = steps.send(ready)
            except StopIteration as ended:
                return ended.value

        def _check(self) -> None:
            where, password = self.info.dsn, self.info.password or None
            try:
                psycopg.connect(where, password=password, connect_timeout=2).close()
            except psycopg.errors.ConnectionTimeout:
                self.pgconn.finish()
                raise
            except psycopg.Error:
                return  # it answers, if only that it is full

    return Watched
