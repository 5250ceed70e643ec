"""A part: what one step made of one shard, a folder that is either whole and recorded or absent.

``record.json`` in it names the inputs (``key``) and every file with its size and checksum, and
nothing that changes from run to run, so equal inputs give equal bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xxhash
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from hybrid.machine.arrays import open_npy
from hybrid.machine.outputs import write_folder

RECORD = "record.json"
VERSION = 1
CSR_FILES = ("indptr", "indices", "data")


def write_part(directory: Path, key: str, rows: int, write: Callable[[Path], None]) -> None:
    """Write the part ``directory``, in place of what is there.

    Args:
        key: digest of everything that decides the contents.
        rows: documents in the shard.
        write: puts the files into the folder that it is given.
    """
    if directory.exists():
        shutil.rmtree(directory)
    write_folder(directory, lambda target: _write_recorded(target, key, rows, write))


def _write_recorded(target: Path, key: str, rows: int, write: Callable[[Path], None]) -> None:
    write(target)
    files = {
        path.name: {"size": path.stat().st_size, "xxh3_128": file_xxh3(path)}
        for path in sorted(target.iterdir())
    }
    record = {"version": VERSION, "key": key, "rows": rows, "files": files}
    (target / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")


def is_whole(directory: Path, key: str) -> bool:
    """Return whether the part is there, made from ``key``, and every byte is as recorded."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        return (
            record["version"] == VERSION
            and record["key"] == key
            and all(
                (directory / name).stat().st_size == file["size"]
                and file_xxh3(directory / name) == file["xxh3_128"]
                for name, file in record["files"].items()
            )
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def file_xxh3(path: Path) -> str:
    """Return the hexadecimal xxh3_128 of a file, read in pieces."""
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def save_csr(directory: Path, matrix: csr_matrix) -> None:
    """Write a CSR matrix as three .npy files (int64 indptr, int32 indices, float32 data)."""
    np.save(directory / "indptr.npy", matrix.indptr.astype(np.int64), allow_pickle=False)
    np.save(directory / "indices.npy", matrix.indices.astype(np.int32), allow_pickle=False)
    np.save(directory / "data.npy", matrix.data.astype(np.float32), allow_pickle=False)


def open_csr(directory: Path, columns: int) -> csr_matrix:
    """Return the CSR matrix of :func:`save_csr`, memory-mapped and read-only."""
    indptr, indices, data = (open_npy(directory / f"{name}.npy") for name in CSR_FILES)
    matrix = csr_matrix((len(indptr) - 1, columns), dtype=np.float32)
    matrix.indptr, matrix.indices, matrix.data = indptr, indices, data
    return matrix


def save_vectors(directory: Path, vectors: NDArray[np.float32]) -> None:
    """Write float32 vectors as one .npy file."""
    np.save(directory / "vectors.npy", vectors.astype(np.float32, copy=False), allow_pickle=False)


def open_vectors(directory: Path) -> NDArray[np.float32]:
    """Return the vectors of :func:`save_vectors`, memory-mapped and read-only."""
    return open_npy(directory / "vectors.npy")
