"""Addresses of Milvus, and calls to it that say what refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from hybrid.engines.addresses import generation_name, index_name
from hybrid.errors import IndexFormatError, TransferError, UsageError, require

READY = -1
"""Instead of the number of shards that are there: all are."""
FIELDS = "fields.arrow"
PART = 16_000
"""Characters of a text that Milvus holds in one value."""
AT_ONCE = 1000
START = 60
"""Seconds in which milvus-lite opens a file: it starts a server, on a busy machine slowly."""
NO_COLLECTION, NOT_LOADED = 100, 101
"""The codes of Milvus for a collection that is not there, and for one that is not in memory."""
FAR = 16_384
"""Rows that Milvus returns at most."""


class Milvus:
    """A connection, and the name of the index there.

    Args:
        address: ``milvus://host:19530#name``, or ``milvus:///folder/file.db`` for milvus-lite;
            ``milvus://user:password@host:19530?secure=true#name`` over TLS.

    Raises:
        UsageError: the name of the index is none.
        TransferError: the server does not answer, or refuses.
    """

    def __init__(self, address: str) -> None:
        self._pymilvus = require("pymilvus", extra="milvus", purpose="an index in Milvus")
        parts = urlsplit(address)
        self.name = index_name(address)
        if parts.query not in ("", "secure=true"):
            raise UsageError(
                f"the address ends in ?{parts.query}; ?secure=true is what may be given"
            )
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        token = {"token": f"{user}:{password}"} if user else {}
        where = f"{parts.hostname}:{parts.port or 19530}"
        self.shown = where if parts.hostname else parts.path
        with self.reached():
            scheme = "https" if parts.query else "http"
            uri = f"{scheme}://{where}" if parts.hostname else parts.path
            wait = {} if parts.hostname else {"timeout": START}
            self.client = self._pymilvus.MilvusClient(uri, **token, **wait)

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Say which server refused.

        Raises:
            IndexFormatError: a collection is gone.
            TransferError: anything else.
        """
        try:
            yield
        except self._pymilvus.MilvusException as error:
            said = " ".join(str(error.message).split())
            if error.code == NO_COLLECTION:
                raise IndexFormatError(
                    "the generation that was read is gone since the index was pushed again; open "
                    "it again"
                ) from error
            raise TransferError(
                f"{self.shown} cannot be read or written: {said}. Check the address, the server "
                "and your access rights"
            ) from error

    @property
    def generations_name(self) -> str:
        """The collection of generations."""
        return f"{self.name}_generations"

    def generations(self) -> list[dict[str, Any]]:
        """Return number, pushed, content and state of each generation, the newest first."""
        with self.reached():
            if not self.client.has_collection(self.generations_name):
                return []
        found = self.rows(self.generations_name, "number >= 0")
        return sorted(found, key=lambda each: -each["number"])

    def rows(
        self, collection: str, condition: str, fields: Sequence[str] = ("*",)
    ) -> list[dict[str, Any]]:
        """Return the rows of a collection that fit a condition, in any order."""
        found = self.asked("query", collection, filter=condition, output_fields=list(fields))
        return [dict(each) for each in found]

    def asked(self, method: str, collection: str, **arguments: Any) -> Any:
        """Return the answer of a collection, which is loaded first where its server forgot to."""
        with self.reached():
            try:
                return getattr(self.client, method)(collection, **arguments)
            except self._pymilvus.MilvusException as error:
                if error.code != NOT_LOADED:  # milvus-lite loads nothing when it starts
                    raise
                self.client.load_collection(collection)
                return getattr(self.client, method)(collection, **arguments)

    def make(self, collection: str, columns: dict[str, tuple[Any, ...]]) -> None:
        """Make a collection; the first column is its key."""
        kinds = self._pymilvus.DataType
        schema = self._pymilvus.MilvusClient.create_schema(auto_id=False)
        index = self.client.prepare_index_params()
        for at, (name, (kind, *given)) in enumerate(columns.items()):
            more = {"max_length": 65_535} if kind == "VARCHAR" else {}
            if kind == "FLOAT_VECTOR":
                more = {"dim": given[0]}
                index.add_index(name, index_type="FLAT", metric_type="IP")
            if kind == "SPARSE_FLOAT_VECTOR":
                params = {"inverted_index_algo": "DAAT_MAXSCORE"}
                kind_of = "SPARSE_INVERTED_INDEX"
                index.add_index(name, index_type=kind_of, metric_type="IP", params=params)
            schema.add_field(name, getattr(kinds, kind), is_primary=at == 0, **more)
        with self.reached():
            self.client.create_collection(
                collection, schema=schema, index_params=index, consistency_level="Strong"
            )

    def put(self, collection: str, rows: Sequence[dict[str, Any]], *, again: bool = False) -> None:
        """Add rows; ``again``, which takes longer, in place of those with the same keys."""
        write = self.client.upsert if again else self.client.insert
        with self.reached():
            for start in range(0, len(rows), AT_ONCE):
                write(collection, list(rows[start : start + AT_ONCE]))

    def remove(self, number: int) -> None:
        """Remove a generation."""
        with self.reached():
            self.client.delete(self.generations_name, ids=[number])
            for each in self.client.list_collections():
                if each.startswith(f"{generation_name(self.name, number)}_"):
                    self.client.drop_collection(each)
