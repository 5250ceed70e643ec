"""PostgresStore: one generation of an index in a PostgreSQL database, or in several."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np

from hybrid.corpus import Document
from hybrid.engines.addresses import generation_name
from hybrid.engines.place import fields_of
from hybrid.engines.postgres.connections import Connections, split_address
from hybrid.engines.postgres.filters import condition_of
from hybrid.engines.postgres.values import dense_vectors, literal, sparse_vectors
from hybrid.engines.store import Candidates, Selected
from hybrid.errors import IndexFormatError, TransferError
from hybrid.index.documents.filter_nodes import Filter
from hybrid.index.documents.subset import Subset
from hybrid.machine.arrays import Ints
from hybrid.machine.passwords import shown

READY = "ready"
AT_ONCE = 4
"""Statements that several servers are asked at once."""
_Part = tuple[str, str, Mapping[str, Any]]
"""Of a push on one server: the schema, which part it is, and the description of the whole."""
_TYPES = {"sparse": "sparsevec", "dense": "vector"}


class PostgresStore:
    """One generation; see `hybrid.engines.store.Store`.

    Args:
        servers: the databases that hold a part of the documents each, and the schemas there.
        content: the description of the whole.
        name: the schema of each server with ; between, none for one that is left out.
    """

    most = sys.maxsize

    def __init__(
        self, servers: Sequence[tuple[Connections, str]], content: Mapping[str, Any], name: str
    ) -> None:
        self._servers, self.content, self.name = servers, content, name
        self._threads = ThreadPoolExecutor(AT_ONCE * len(servers))
        for connections, _ in servers if content.get("hnsw") else ():
            connections.search_hnsw()

    def is_there(self) -> bool:
        """Return whether later pushes have left it."""
        sql = "select 1 from pg_namespace where nspname = %s"
        return all(connections.read(sql, [schema]) for connections, schema in self._servers)

    def file(self, name: str) -> bytes:
        """Return a file that was pushed with the index."""
        (data,) = self._read("select data from {}.files where name = %s", [name])[0]
        return bytes(data)

    def documents(self, doc_nums: Sequence[int]) -> dict[int, Document]:
        """Return documents by number."""
        columns = "doc_num, doc_id, title, text, fields"
        rows = self._read(f"select {columns} from {{}}.documents where {_AMONG}", [doc_nums])
        kinds = self.content["fields"]
        return {
            number: Document(doc_id, text, title, fields_of(fields, kinds))
            for number, doc_id, title, text, fields in rows
        }

    def ids(self, doc_nums: Sequence[int]) -> dict[int, str]:
        """Return ids by number."""
        sql = f"select doc_num, doc_id from {{}}.documents where {_AMONG}"
        return dict(self._read(sql, [doc_nums]))

    def numbers(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Return the number of each of these documents that is there."""
        storable = [each for each in doc_ids if "\0" not in each]
        sql = "select doc_id, doc_num from {}.documents where doc_id = any(%s::text[])"
        return dict(self._read(sql, [storable]))

    def select(self, parsed: Filter) -> Selected:
        """Return the documents that a filter lets through."""
        sql, given = condition_of(parsed, self.content["fields"])
        inside = f"select doc_num from {{}}.documents where {sql}"

        def read() -> Ints:
            return np.array(sorted(row[0] for row in self._read(inside, given)), dtype=np.int32)

        return Selected(int(self.content["document_count"]), (inside, given), read)

    def nearest(self, branch: str, query: Any, count: int, subset: Subset | None) -> Candidates:
        """Return the rows of the least negative inner products, which PostgreSQL computes.

        An HNSW ends early. So filtered lists are read without it, and those that it leaves short.
        """
        where, given = "", []
        if isinstance(subset, Selected):
            inside, given = subset.condition
            where = f"where row in ({inside})"
        elif subset is not None:
            where, given = "where row = any(%s::int4[])", [subset.doc_nums.tolist()]
        product = f"v <#> %s::{_TYPES[self._kind(branch)]}"

        def ordered(near: str, order: str) -> list[tuple[Any, ...]]:
            sql = f'select row, {near} as near, v from {{}}."{branch}" {where} order by {order}'
            return self._read(f"{sql} limit %s", [literal(query), *given, count])

        rows: list[tuple[Any, ...]] = []
        enough = min(count * len(self._servers), int(self.content["row_count"]))
        by_graph = subset is None and branch in self.content.get("hnsw", ())
        if by_graph:
            rows = ordered(product, "near")
        if not by_graph or len(rows) < enough:
            rows = ordered(f"({product}) + 0", "near, row")  # no HNSW has the order of a sum
        rows = sorted(rows, key=lambda row: (row[1], row[0]))[:count]
        near = np.array([-row[1] for row in rows], dtype=np.float64)
        numbers = np.array([row[0] for row in rows], dtype=np.int32)
        return Candidates(numbers, near, self._decoded(branch, [row[2] for row in rows]))

    def vectors(self, branch: str, rows: Ints) -> Any:
        """Return stored vectors in the order of the rows."""
        wanted, inverse = np.unique(rows, return_inverse=True)
        sql = f'select row, v from {{}}."{branch}" where row = any(%s::int4[])'
        found = dict(self._read(sql, [wanted.tolist()]))
        decoded = self._decoded(branch, [found[row] for row in wanted.tolist()])
        if len(wanted) == len(rows) and (inverse[:-1] < inverse[1:]).all():
            return decoded
        return self._decoded(branch, [found[row] for row in rows.tolist()])

    def close(self) -> None:
        """Close the connections."""
        self._threads.shutdown()
        for connections, _ in self._servers:
            connections.close()

    def _kind(self, branch: str) -> str:
        return str(self.content["branches"][branch]["kind"])

    def _decoded(self, branch: str, values: list[bytes]) -> Any:
        width = self.content["vectors"][branch]["width"]
        return (dense_vectors if self._kind(branch) == "dense" else sparse_vectors)(values, width)

    def _read(self, sql: str, given: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a statement from all servers, one after the other."""

        def read(server: tuple[Connections, str]) -> list[tuple[Any, ...]]:
            return server[0].read(sql.replace("{}", f'"{server[1]}"'), given)

        if len(self._servers) == 1:
            return read(self._servers[0])
        return [row for rows in self._threads.map(read, self._servers) for row in rows]


_AMONG = "doc_num = any(%s::int4[])"


def open_store(address: str, name: str | None = None, partial: bool = False) -> PostgresStore:
    """Return a generation of the index at an address, the newest of all its servers for no name.

    Args:
        address: of one database, or of several with ; between.
        name: of the generation.
        partial: leave out servers that do not answer, with a warning that names them.

    Raises:
        IndexFormatError: there is none.
        TransferError: a server does not answer, or refuses.
    """
    databases, index = split_address(address)
    names = name.split(";") if name else [""] * len(databases)
    servers: list[tuple[Connections, str, dict[str, _Part]]] = []
    with ExitStack() as stack:
        for database, each in zip(databases, names, strict=False):
            connections = Connections(database)
            stack.callback(connections.close)
            try:
                servers.append((connections, each, _generations(connections, index)))
            except TransferError as error:
                if not partial:
                    raise
                warnings.warn(f"documents are missing: {error}", RuntimeWarning, stacklevel=2)
        for pushed in servers[0][2] if len(names) == len(databases) and servers else ():
            parts = [found[pushed] for _, _, found in servers if pushed in found]
            asked = [(each, part) for (_, each, _), part in zip(servers, parts, strict=False)]
            if len(parts) == len(servers) and all(each in ("", part[0]) for each, part in asked):
                _check_parts([part for _, part, _ in parts], parts[0][2], len(databases))
                stack.pop_all()
                opened = [
                    (each, part[0]) for (each, _, _), part in zip(servers, parts, strict=True)
                ]
                schemas = {connections.database: schema for connections, schema in opened}
                whole = ";".join(schemas.get(database, "") for database in databases)
                return PostgresStore(opened, parts[0][2], whole)
    raise IndexFormatError(
        f"{shown(address)} holds no {f'generation {name}' if name else 'index'}"
        f"{'' if name else f' called {index!r}'}; push one: hybrid push INDEX ADDRESS"
    )


def _check_parts(parts: Sequence[str], content: Mapping[str, Any], count: int) -> None:
    """Refuse servers that are not all of those of a push, each once."""
    if content["parts"] != count:
        raise IndexFormatError(
            f"the index was pushed to {content['parts']} servers, and the address names {count}; "
            "give all of them, with ; between"
        )
    if len(set(parts)) < len(parts):
        raise IndexFormatError(
            f"the address names servers that hold the same part of the documents: "
            f"{', '.join(sorted(parts))}; give each server once, and a standby as a second host "
            "of its server: postgresql://one,one-standby/db"
        )


def _generations(connections: Connections, index: str) -> dict[str, _Part]:
    """Return the name of each push, the newest first, to what is here of it."""
    if not connections.read("select 1 from pg_tables where schemaname = %s", [index]):
        return {}
    sql = f'select number, pushed, content from "{index}".generations where state = %s'
    return {
        f"{content['pushed']} {content['parts']}": (generation_name(index, number), part, content)
        for number, part, content in connections.read(f"{sql} order by number desc", [READY])
    }
