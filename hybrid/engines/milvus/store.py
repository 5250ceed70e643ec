"""MilvusStore: one generation of an index in Milvus."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.corpus import Document
from hybrid.corpus.passages import starts
from hybrid.engines.addresses import generation_name
from hybrid.engines.milvus.client import AT_ONCE, FAR, FIELDS, READY, Milvus
from hybrid.engines.place import fields_of
from hybrid.engines.store import Candidates
from hybrid.errors import IndexFormatError
from hybrid.index.documents.filter_columns import matches
from hybrid.index.documents.filter_nodes import Filter
from hybrid.index.documents.subset import Subset
from hybrid.machine.arrays import Ints


class MilvusStore:
    """One generation; see `hybrid.engines.store.Store`.

    Filters are computed here over the columns of fields, which are read once.
    """

    def __init__(self, milvus: Milvus, name: str, content: Mapping[str, Any]) -> None:
        self._milvus, self.name, self.content, self.most = milvus, name, content, FAR

    def is_there(self) -> bool:
        """Return whether later pushes have left it."""
        with self._milvus.reached():
            return bool(self._milvus.client.has_collection(f"{self.name}_documents"))

    def file(self, name: str) -> bytes:
        """Return a file that was pushed with the index."""
        rows = self._milvus.rows(f"{self.name}_files", f"name == {json.dumps(name)}")
        parts = sorted(rows, key=lambda row: int(row["part"]))
        return base64.b64decode("".join(row["data"] for row in parts))

    def documents(self, doc_nums: Sequence[int]) -> dict[int, Document]:
        """Return documents by number."""
        held: dict[int, dict[int, str]] = {}
        ids = {}
        for row in self._of("documents", "doc_num", doc_nums):
            held.setdefault(row["doc_num"], {})[row["part"]] = row["data"]
            ids[row["doc_num"]] = row["doc_id"]
        found = {}
        for number, parts in held.items():
            each = json.loads("".join(parts[part] for part in sorted(parts)))
            fields = fields_of(each["fields"], self.content["fields"])
            found[number] = Document(ids[number], each["text"], each["title"], fields)
        return found

    def ids(self, doc_nums: Sequence[int]) -> dict[int, str]:
        """Return ids by number."""
        rows = self._of("documents", "doc_num", doc_nums, ("doc_num", "doc_id"))
        return {row["doc_num"]: row["doc_id"] for row in rows}

    def numbers(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Return the number of each of these documents that is there."""
        rows = self._of("documents", "doc_id", doc_ids, ("doc_num", "doc_id"))
        return {row["doc_id"]: row["doc_num"] for row in rows}

    @cached_property
    def _columns(self) -> dict[str, Any]:
        table = pa.ipc.open_file(self.file(FIELDS)).read_all()
        return dict(zip(table.column_names, table.columns, strict=True))

    def select(self, parsed: Filter) -> Subset:
        """Return the documents that a filter lets through."""
        found = matches(parsed, self._columns).fill_null(False).to_numpy(zero_copy_only=False)
        return Subset.of(np.array(found, dtype=np.bool_), int(self.content["document_count"]))

    def nearest(self, branch: str, query: Any, count: int, subset: Subset | None) -> Candidates:
        """Return the rows of the greatest inner products, which Milvus computes."""
        if self._is_sparse(branch):
            asked = dict(zip(query.indices.tolist(), query.data.tolist(), strict=True))
        else:
            asked = query[0].tolist()
        among = {} if subset is None else {"filter": f"row in {subset.doc_nums.tolist()}"}
        hits: Sequence[Any] = []
        if asked and (subset is None or len(subset)):
            (hits,) = self._milvus.asked(
                "search",
                f"{self.name}_{branch}",
                data=[asked],
                anns_field="v",
                limit=count,
                search_params={"metric_type": "IP"},
                output_fields=["v"],
                **among,
            )
        near = np.array([hit["distance"] for hit in hits], dtype=np.float64)
        rows = np.array([hit["row"] for hit in hits], dtype=np.int32)
        return Candidates(rows, near, self._decoded(branch, [hit["entity"]["v"] for hit in hits]))

    def vectors(self, branch: str, rows: Ints) -> Any:
        """Return stored vectors in the order of the rows."""
        wanted = rows.tolist()
        found = {row["row"]: row["v"] for row in self._of(branch, "row", sorted(set(wanted)))}
        return self._decoded(branch, [found.get(row, {}) for row in wanted])

    def close(self) -> None:
        """Close the connection."""
        self._milvus.client.close()

    def _is_sparse(self, branch: str) -> bool:
        return bool(self.content["branches"][branch]["kind"] == "sparse")

    def _decoded(self, branch: str, values: Sequence[Any]) -> Any:
        width = self.content["vectors"][branch]["width"]
        if self._is_sparse(branch):
            return _sparse_rows(values, width)
        vectors: NDArray[np.float32] = np.array(values, dtype=np.float32).reshape(-1, width)
        vectors.flags.writeable = False  # kernels are compiled for one type of array
        return vectors

    def _of(
        self, part: str, column: str, values: Sequence[Any], fields: Sequence[str] = ("*",)
    ) -> list[dict[str, Any]]:
        """Return the rows of a collection with one of these values."""
        found = []
        for start in range(0, len(values), AT_ONCE):
            among = json.dumps(list(values[start : start + AT_ONCE]), ensure_ascii=False)
            found += self._milvus.rows(f"{self.name}_{part}", f"{column} in {among}", fields)
        return found


def _sparse_rows(values: Sequence[dict[int, float]], width: int) -> csr_matrix:
    """Return rows of term to weight as CSR float32, terms ascending."""
    ordered = [sorted(value.items()) for value in values]
    flat = [pair for row in ordered for pair in row]
    indices = np.array([term for term, _ in flat], dtype=np.int32)
    data = np.array([weight for _, weight in flat], dtype=np.float32)
    bounds = starts(np.array([len(row) for row in ordered], dtype=np.int64))
    return csr_matrix((data, indices, bounds), shape=(len(values), width))


def open_store(address: str, name: str | None = None, partial: bool = False) -> MilvusStore:
    """Return a generation of the index at an address, the current one for no name.

    Args:
        address: of the server; Milvus knows its shards by itself.
        name: of the generation.
        partial: has no effect.

    Raises:
        IndexFormatError: there is none.
        TransferError: the server does not answer, or refuses.
    """
    milvus = Milvus(address)
    for each in milvus.generations():
        generation = generation_name(milvus.name, each["number"])
        if each["state"] == READY and name in (None, generation):
            return MilvusStore(milvus, generation, json.loads(each["content"]))
    milvus.client.close()
    raise IndexFormatError(
        f"{milvus.shown} holds no {f'generation {name}' if name else 'index'}"
        f"{'' if name else f' called {milvus.name!r}'}; push one: hybrid push INDEX ADDRESS"
    )
