"""Vectors with ids, read from and written to the files in which other systems keep them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import CorpusError, UsageError, path_of, require
from hybrid.machine.outputs import new_output

if TYPE_CHECKING:
    import pyarrow as pa

    from hybrid.search.view import View

BATCH = 1024
ID_COLUMNS = ("doc_id", "_id", "id", "docid", "docno")


@dataclass(frozen=True, slots=True)
class Vectors:
    """Dense vectors, float32 (n, dimension), and the id of each."""

    ids: Sequence[str]
    rows: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or len(self.ids) != len(self.rows):
            raise CorpusError(
                f"{len(self.ids)} ids for vectors of shape {self.rows.shape}; expected one a row"
            )
        refuse_not_finite(self.ids, self.rows)


def refuse_not_finite(ids: Sequence[str], rows: Any) -> None:
    """Do nothing if all numbers of the rows, an array or CSR, are finite.

    Raises:
        CorpusError: they are not; names the first id.
    """
    odd = np.flatnonzero(~np.isfinite(rows.sum(axis=1, dtype=np.float64)))
    if len(odd):
        raise CorpusError(
            f"the numbers of {ids[odd[0]]!r} are not all finite; write its row without NaN and "
            "infinity"
        )


def read_vectors(path: str | Path, ids: Sequence[str] | str | Path | None = None) -> Vectors:
    """Return the vectors of a file, with their ids.

    Args:
        path: ``.npy`` (n, dimension); ``.npz`` of ids and vectors; ``.parquet``, ``.arrow`` or
            ``.feather`` with a column of ids and one of lists of numbers; ``.safetensors`` as
            `export_index` writes it; ``.faiss`` or ``.index``, a flat index of FAISS.
        ids: of the rows, or a text file with one a line; for files that hold none.

    Raises:
        UsageError: another kind of file, or no ids.
        CorpusError: the file does not hold one vector an id.
    """
    path = path_of("the vectors", path)
    if path.suffix not in _READERS:
        raise UsageError(f"{path} is not read; give one of {', '.join(_READERS)}")
    if isinstance(ids, str | Path):
        ids = path_of("the ids", ids).read_text(encoding="utf-8").splitlines()
    try:
        held, rows = _READERS[path.suffix](path)
    except (ValueError, OSError, KeyError, RuntimeError) as error:
        raise CorpusError(f"{path} holds no vectors that can be read: {error}") from error
    chosen = held if ids is None else ids
    if chosen is None:
        raise UsageError(f"{path} holds no ids; give them, or a text file with one a line")
    return Vectors([str(each) for each in chosen], np.asarray(rows, dtype=np.float32))


Read = tuple[Any, NDArray[Any]]


def _npy(path: Path) -> Read:
    return None, np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: Path) -> Read:
    with np.load(path, allow_pickle=False) as arrays:
        by_rank = {arrays[name].ndim: arrays[name] for name in arrays.files}
        if len(by_rank) < len(arrays.files):
            raise ValueError(f"expected one array of ids and one of vectors, got {arrays.files}")
    return (by_rank[1].tolist() if 1 in by_rank else None), by_rank[2]


def _arrow(path: Path) -> Read:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import feather, parquet

    table = parquet.read_table(path) if path.suffix == ".parquet" else feather.read_table(path)
    lists = [
        field.name
        for field in table.schema
        if hasattr(field.type, "value_type") and pa.types.is_floating(field.type.value_type)
    ]
    named = [name for name in ID_COLUMNS if name in table.column_names]
    if len(lists) != 1 or not named:
        raise ValueError(f"expected one column of lists of numbers and one of {ID_COLUMNS}")
    column = table.column(lists[0]).combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    odd = np.flatnonzero((lengths != lengths[:1]) | (lengths == 0))
    if len(odd):
        raise ValueError(f"row {odd[0]} has {lengths[odd[0]]} numbers, row 0 has {lengths[0]}")
    numbers = column.flatten()
    if numbers.null_count:
        row = int(pc.index(numbers.is_null(), True).as_py() // lengths[0])
        raise ValueError(f"row {row} holds a null; expected numbers")
    numbers = numbers.to_numpy(zero_copy_only=False)
    return table.column(named[0]).to_pylist(), numbers.reshape(len(table), -1)


def _safetensors(path: Path) -> Read:
    from safetensors.numpy import load_file

    held = load_file(path)
    return json.loads(held["ids"].tobytes()), held["vectors"]


def _faiss(path: Path) -> Read:
    faiss = require("faiss", extra="cpu", purpose="an index of FAISS")
    owner, ids = faiss.read_index(str(path)), None  # which must outlive what is inside
    mapped = isinstance(owner, faiss.IndexIDMap | faiss.IndexIDMap2)
    if mapped:
        ids = faiss.vector_to_array(owner.id_map).tolist()
    flat = faiss.downcast_index(owner.index if mapped else owner)
    if not isinstance(flat, faiss.IndexFlat):
        raise ValueError(f"{type(flat).__name__} holds no plain vectors; a flat index does")
    return ids, flat.reconstruct_n(0, flat.ntotal)


_READERS = {
    ".npy": _npy,
    ".npz": _npz,
    ".parquet": _arrow,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".safetensors": _safetensors,
    ".faiss": _faiss,
    ".index": _faiss,
}


def row_batches(view: View) -> Iterator[NDArray[np.int32]]:
    """Yield the numbers of all rows of an index, 1,024 at a time."""
    count = view.local.row_count
    for start in range(0, count, BATCH):
        yield np.arange(start, min(start + BATCH, count), dtype=np.int32)


def write_table(view: View, path: Path, branch: str, file_type: str) -> int:
    """Write ids, texts and rows of a branch as Parquet or Arrow; return how many.

    A dense row is the list ``vector``, a sparse one the lists ``terms`` and ``weights``.
    """
    import pyarrow as pa
    from pyarrow import parquet

    batches = _batches(view, branch)
    first = next(batches)
    with new_output(path) as temporary:
        opened = parquet.ParquetWriter if file_type == "parquet" else pa.ipc.new_file
        with opened(str(temporary), first.schema) as writer:
            writer.write_batch(first)
            for batch in batches:
                writer.write_batch(batch)
    return int(view.local.row_count)


def _batches(view: View, branch: str) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    contents = view.local
    dense = contents.record(branch).kind == "dense"
    terms = None if dense else np.array(view.sparse_encoder(branch).vocabulary, dtype=object)
    for rows in row_batches(view):
        columns = {
            "doc_id": pa.array(contents.row_ids(rows), pa.string()),
            "text": pa.array(list(contents.row_texts(rows)), pa.string()),
        }
        if terms is None:
            vectors = contents.dense(branch).vectors(rows)
            flat = pa.array(vectors.ravel(), pa.float32())
            columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        else:
            found = contents.sparse(branch).vectors(rows)
            listed = partial(pa.ListArray.from_arrays, pa.array(found.indptr, pa.int32()))
            columns["terms"] = listed(pa.array(terms[found.indices], pa.string()))
            columns["weights"] = listed(pa.array(found.data, pa.float32()))
        yield pa.RecordBatch.from_pydict(columns)


def write_safetensors(view: View, path: Path, branch: str) -> int:
    """Write the rows of a branch as tensors; return how many.

    ``vectors`` of a dense branch; ``indptr``, ``indices``, ``data`` (CSR) and the JSON list
    ``vocabulary`` of a sparse one; ``ids`` is a JSON list, too.
    """
    from safetensors.numpy import save_file

    contents, rows = view.local, np.arange(view.local.row_count, dtype=np.int32)
    if contents.record(branch).kind == "dense":
        tensors: dict[str, Any] = {
            "vectors": np.ascontiguousarray(contents.dense(branch).vectors(rows))
        }
    else:
        found = contents.sparse(branch).vectors(rows)
        tensors = {name: getattr(found, name) for name in ("indptr", "indices", "data")}
        tensors["vocabulary"] = _json(list(view.sparse_encoder(branch).vocabulary))
    with new_output(path) as temporary:
        save_file({**tensors, "ids": _json(contents.row_ids(rows))}, temporary)
    return len(rows)


def _json(values: list[str]) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(values).encode(), dtype=np.uint8)
