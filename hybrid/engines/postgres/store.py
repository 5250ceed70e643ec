"""PostgresStore: one generation of an index in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hybrid.corpus import Document
from hybrid.engines.place import fields_of
from hybrid.engines.postgres.connections import Connections, shown, split_address
from hybrid.engines.postgres.filters import condition_of
from hybrid.engines.postgres.values import dense_vectors, literal, sparse_vectors
from hybrid.engines.store import Candidates, Selected
from hybrid.errors import IndexFormatError
from hybrid.index.documents.filter_nodes import Filter
from hybrid.index.documents.subset import Subset
from hybrid.machine.arrays import Ints

READY = "ready"
_TYPES = {"sparse": "sparsevec", "dense": "vector"}


class PostgresStore:
    """One generation; see `hybrid.engines.store.Store`."""

    def __init__(
        self, connections: Connections, schema: str, name: str, content: Mapping[str, Any]
    ) -> None:
        self._connections, self._schema = connections, schema
        self.name, self.content = name, content

    def is_there(self) -> bool:
        """Return whether later pushes have left it."""
        sql = "select 1 from pg_namespace where nspname = %s"
        return bool(self._connections.read(sql, [self._schema]))

    def file(self, name: str) -> bytes:
        """Return a file that was pushed with the index."""
        ((data,),) = self._read("select data from {}.files where name = %s", [name])
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
            rows = self._read(f"{inside} order by doc_num", given)
            return np.array([number for (number,) in rows], dtype=np.int32)

        return Selected(int(self.content["document_count"]), (inside, given), read)

    def nearest(self, branch: str, query: Any, count: int, subset: Subset | None) -> Candidates:
        """Return the rows of the least negative inner products, which PostgreSQL computes."""
        where, given = "", []
        if isinstance(subset, Selected):
            inside, given = subset.condition
            where = f"where row in ({inside})"
        elif subset is not None:
            where, given = "where row = any(%s::int4[])", [subset.doc_nums.tolist()]
        sql = (
            f"select row, v <#> %s::{_TYPES[self._kind(branch)]} as near, v "
            f'from {{}}."{branch}" {where} order by near, row limit %s'
        )
        rows = self._read(sql, [literal(query), *given, count])
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
        self._connections.close()

    def _kind(self, branch: str) -> str:
        return str(self.content["branches"][branch]["kind"])

    def _decoded(self, branch: str, values: list[bytes]) -> Any:
        width = self.content["vectors"][branch]["width"]
        return (dense_vectors if self._kind(branch) == "dense" else sparse_vectors)(values, width)

    def _read(self, sql: str, given: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connections.read(sql.replace("{}", f'"{self._schema}"'), given)


_AMONG = "doc_num = any(%s::int4[])"


def generation_schema(index: str, number: int) -> str:
    """Return the name of the schema of a generation.

    >>> generation_schema("papers", 3)
    'papers_000003'
    """
    return f"{index}_{number:06d}"


def open_store(address: str, name: str | None = None) -> PostgresStore:
    """Return a generation of the index at an address, the current one for no name.

    Raises:
        IndexFormatError: there is none.
        TransferError: the server does not answer, or refuses.
    """
    database, index = split_address(address)
    connections = Connections(database)
    sql = f'select number, content from "{index}".generations where state = %s order by number desc'
    there = connections.read("select 1 from pg_tables where schemaname = %s", [index])
    found = {
        generation_schema(index, number): content
        for number, content in (connections.read(sql, [READY]) if there else ())
    }
    schema = name or next(iter(found), "")
    if schema not in found:
        connections.close()
        raise IndexFormatError(
            f"{shown(address)} holds no {f'generation {name}' if name else 'index'}"
            f"{'' if name else f' called {index!r}'}; push one: hybrid push INDEX ADDRESS"
        )
    return PostgresStore(connections, schema, schema, found[schema])
