"""Term weights with ids, read from what other systems exchange: JsonVectorCollection and CIFF."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.errors import CorpusError, UsageError, path_of
from hybrid.integrations.formats.vectors import refuse_not_finite

BYTES, FIXED64, VARINT = 2, 1, 0


@dataclass(frozen=True, slots=True)
class TermWeights:
    """Weights of terms, CSR float32 (n, vocabulary), the term of each column, each row's id."""

    ids: Sequence[str]
    vocabulary: Sequence[str]
    rows: csr_matrix

    def __post_init__(self) -> None:
        refuse_not_finite(self.ids, self.rows)


def read_weights(path: str | Path, scale: float = 100.0) -> TermWeights:
    """Return the term weights of a CIFF file, or of a JsonVectorCollection as Anserini reads it.

    Args:
        path: ``.ciff`` or ``.ciff.gz``; else a JSON lines file, or a folder of ``.jsonl``,
            ``.json`` and ``.gz`` files, with ``id`` and ``vector`` ({term: number}) a line.
        scale: by which the weights were multiplied to become integers; they are divided by it.

    Raises:
        UsageError: a scale that is not over 0.
        CorpusError: a file that is not of this form; names it.
    """
    path = path_of("the weights", path)
    if not scale > 0:
        raise UsageError(f"scale is {scale}; expected a number over 0, 100 for impacts of Anserini")
    ciff = path.name.endswith((".ciff", ".ciff.gz"))
    files = [path] if path.is_file() else [each for each in sorted(path.rglob("*.*")) if _is(each)]
    try:
        found = _read_ciff(_bytes(path)) if ciff else _read_json(files)
    except (ValueError, LookupError, TypeError, AttributeError, OSError, struct.error) as error:
        kind = "CIFF file" if ciff else "JSON lines with id and vector"
        raise CorpusError(f"{path} cannot be read as {kind}: {error!r}") from error
    found.rows.data = (found.rows.data / scale).astype(np.float32)
    return found


def _is(path: Path) -> bool:
    return path.is_file() and path.suffix in (".jsonl", ".json", ".gz")


def _bytes(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _read_json(files: Sequence[Path]) -> TermWeights:
    ids: list[str] = []
    columns: dict[str, int] = {}
    offsets, indices, data = [0], [], []
    for file in files:
        for line in _bytes(file).splitlines():
            record = json.loads(line)
            ids.append(str(record["id"]))
            for term, weight in record["vector"].items():
                indices.append(columns.setdefault(term, len(columns)))
                data.append(float(weight))
            offsets.append(len(indices))
    if not ids:
        raise ValueError("no line of JSON")
    rows = csr_matrix((data, indices, offsets), (len(ids), len(columns)), dtype=np.float64)
    rows.sort_indices()
    return TermWeights(ids, list(columns), rows)


def _read_ciff(data: bytes) -> TermWeights:
    """Return the postings of a CIFF file by document: its messages stand one after the other."""
    size, at = _varint(data, 0)
    header = dict(_fields(data[at : at + size]))
    at += size
    lists, count = header.get(2, 0), header.get(3, 0)
    if lists + count > len(data):
        raise ValueError(f"{lists} lists and {count} documents in {len(data)} bytes")
    none = np.zeros(0, dtype=np.int64)
    vocabulary, columns, docs, weights = [], [none], [none], [none]
    for column in range(lists):
        size, at = _varint(data, at)
        term, numbers, impacts = _postings(data[at : at + size])
        at += size
        vocabulary.append(term)
        columns.append(np.full(len(numbers), column))
        docs.append(numbers)
        weights.append(impacts)
    ids = [""] * count
    for _ in range(count):
        size, at = _varint(data, at)
        record = dict(_fields(data[at : at + size]))
        at += size
        ids[record.get(1, 0)] = record[2].decode("utf-8")
    places = (np.concatenate(docs), np.concatenate(columns))
    values = np.concatenate(weights).astype(np.float64)
    return TermWeights(ids, vocabulary, csr_matrix((values, places), (count, lists)))


def _postings(data: bytes) -> tuple[str, NDArray[np.int64], NDArray[np.int64]]:
    """Return a term, its documents and their weights; a field of value 0 may be left out."""
    term, gaps, impacts = "", [], []
    for field, value in _fields(data):
        if field == 1:
            term = value.decode("utf-8")
        elif field == 4:
            posting = dict(_fields(value))
            gaps.append(posting.get(1, 0))
            impacts.append(posting.get(2, 0))
    return term, np.cumsum(gaps, dtype=np.int64), np.array(impacts, dtype=np.int64)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and value of each field of a Protocol Buffers message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: Any
        if key & 7 == VARINT:
            value, at = _varint(data, at)
        elif key & 7 == FIXED64:
            (value,), at = struct.unpack_from("<d", data, at), at + 8
        elif key & 7 == BYTES:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("it is cut off")
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"field {key >> 3} is of an unknown kind")
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
