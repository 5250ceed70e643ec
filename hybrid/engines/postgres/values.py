"""Vectors in the binary forms of pgvector, and rows in that of COPY."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.corpus.passages import expand, starts
from hybrid.machine.arrays import Floats, Ints

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
_ROW = struct.Struct(">hiii")
_SPARSE = struct.Struct(">iii")


def dense_copy(rows: Ints, vectors: Floats) -> Iterator[bytes]:
    """Yield (row, vector) for COPY in binary form."""
    yield HEADER
    width = vectors.shape[1]
    form = [("head", ">i2"), ("four", ">i4"), ("row", ">i4"), ("size", ">i4")]
    form += [("width", ">i2"), ("none", ">i2")]
    table = np.zeros(len(rows), dtype=np.dtype([*form, ("vector", ">f4", (width,))]))
    table["head"], table["four"], table["row"] = 2, 4, rows
    table["size"], table["width"], table["vector"] = 4 + 4 * width, width, vectors
    yield table.tobytes()
    yield TRAILER


def sparse_copy(rows: Ints, vectors: csr_matrix) -> Iterator[bytes]:
    """Yield (row, sparsevec) for COPY in binary form."""
    yield HEADER
    width = vectors.shape[1]
    indices, data = vectors.indices.astype(">i4"), vectors.data.astype(">f4")
    bounds = vectors.indptr.tolist()
    for at, row in enumerate(rows.tolist()):
        held = slice(bounds[at], bounds[at + 1])
        count = held.stop - held.start
        head = _ROW.pack(2, 4, row, 12 + 8 * count) + _SPARSE.pack(width, count, 0)
        yield head + indices[held].tobytes() + data[held].tobytes()
    yield TRAILER


def dense_vectors(values: Sequence[bytes], width: int) -> Floats:
    """Return the vectors of pgvector's binary form, float32 (n, width)."""
    form = np.dtype([("head", ">i4"), ("vector", ">f4", (width,))])
    vectors = np.frombuffer(b"".join(values), form)["vector"].astype(np.float32)
    vectors.flags.writeable = False  # kernels are compiled for one type of array
    return vectors


def sparse_vectors(values: Sequence[bytes], width: int) -> csr_matrix:
    """Return the vectors of pgvector's binary form, CSR float32 (n, width)."""
    words = np.frombuffer(b"".join(values), ">i4")
    lengths = np.array([len(value) // 4 for value in values], dtype=np.int64)
    first, counts = starts(lengths)[:-1] + 3, (lengths - 3) // 2
    indices = words[expand(first, first + counts)].astype(np.int32)
    data = words.view(">f4")[expand(first + counts, first + 2 * counts)].astype(np.float32)
    return csr_matrix((data, indices, starts(counts)), shape=(len(values), width))


def literal(query: Any) -> str:
    """Return a query of one row in the text form, in which the terms of pgvector start at 1.

    >>> literal(csr_matrix(np.array([[0, 1.5, 0, 2]], dtype=np.float32)))
    '{2:1.5,4:2}/4'
    >>> literal(np.array([[0.5, -1]], dtype=np.float32))
    '[0.5,-1]'
    """
    if isinstance(query, np.ndarray):
        return f"[{','.join(_decimal(query[0]))}]"
    weights = zip((query.indices + 1).tolist(), _decimal(query.data), strict=True)
    held = ",".join(f"{term}:{weight}" for term, weight in weights)
    return f"{{{held}}}/{query.shape[1]}"


def _decimal(values: NDArray[np.float32]) -> list[str]:
    return [f"{value:.9g}" for value in values.tolist()]
