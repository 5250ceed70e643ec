"""A part: the output of one step for one shard, a folder that is whole and recorded, or absent.

``record.json`` in it names the inputs (``key``) and every file with its size and checksum, and
nothing that changes from run to run, so equal inputs give equal bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.encoders.bm25 import TermCounts
from hybrid.machine.arrays import open_npy
from hybrid.machine.outputs import is_recorded, write_recorded

VERSION = 1
TERMS_FILE = "terms.json"
CSR_FILES = ("indptr", "indices", "data")


def write_part(directory: Path, key: str, rows: int, write: Callable[[Path], None]) -> None:
    """Write the part ``directory``, in place of an earlier one.

    Args:
        key: digest of everything that decides the contents.
        rows: documents in the shard.
        write: puts the files into the folder that it is given.
    """
    if directory.exists():
        shutil.rmtree(directory)
    write_recorded(directory, write, version=VERSION, key=key, rows=rows)


def is_whole(directory: Path, key: str) -> bool:
    """Return whether the part is there, made from ``key``, and every byte is as recorded."""
    return is_recorded(directory, version=VERSION, key=key)


def save_csr(directory: Path, rows: csr_matrix) -> None:
    """Write a CSR matrix as three .npy files (int64 indptr, int32 indices, float32 data)."""
    np.save(directory / "indptr.npy", rows.indptr.astype(np.int64), allow_pickle=False)
    np.save(directory / "indices.npy", rows.indices.astype(np.int32), allow_pickle=False)
    np.save(directory / "data.npy", rows.data.astype(np.float32), allow_pickle=False)


def open_csr(directory: Path, columns: int) -> csr_matrix:
    """Return the CSR matrix of :func:`save_csr`, memory-mapped and read-only."""
    indptr, indices, data = (open_npy(directory / f"{name}.npy") for name in CSR_FILES)
    matrix = csr_matrix((len(indptr) - 1, columns), dtype=np.float32)
    matrix.indptr, matrix.indices, matrix.data = indptr, indices, data
    return matrix


def save_vectors(directory: Path, rows: NDArray[np.float32]) -> None:
    """Write float32 vectors as one .npy file."""
    np.save(directory / "vectors.npy", rows.astype(np.float32, copy=False), allow_pickle=False)


def open_vectors(directory: Path) -> NDArray[np.float32]:
    """Return the vectors of :func:`save_vectors`, memory-mapped and read-only."""
    return open_npy(directory / "vectors.npy")


def save_rows(directory: Path, rows: csr_matrix | NDArray[np.float32] | TermCounts) -> None:
    """Write weights, vectors, or the term counts of BM25."""
    if isinstance(rows, TermCounts):
        _save_counts(directory, rows)
    elif isinstance(rows, np.ndarray):
        save_vectors(directory, rows)
    else:
        save_csr(directory, rows)


def _save_counts(directory: Path, counted: TermCounts) -> None:
    save_csr(directory, counted.counts)
    text = json.dumps(counted.terms, ensure_ascii=True)
    (directory / TERMS_FILE).write_text(text, encoding="utf-8")


def read_counts(path: Path) -> TermCounts:
    """Return the term counts of a part of BM25."""
    terms = tuple(json.loads((path / TERMS_FILE).read_text(encoding="utf-8")))
    return TermCounts(terms, open_csr(path, len(terms)))
