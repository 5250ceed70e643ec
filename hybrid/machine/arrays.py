"""Arrays on disk: .npy files written in parts, and memory-mapped back after checks."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import CorruptIndexError

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]

_HEADER = 128
_LONGEST_HEADER = 512
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype>[<|][iuf][1248])', 'fortran_order': False, "
    rb"'shape': \((?P<shape>(?:[0-9]{1,18},?(?: [0-9]{1,18},?)*)?)\),? ?\} *\n",
    re.DOTALL,
)


class ArrayWriter:
    """A .npy file written in parts along the first axis; its header is completed on `close`.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "pairs.npy"
    >>> with ArrayWriter(path, np.float32, (2,)) as writer:
    ...     writer.append(np.ones((3, 2), dtype=np.float32))
    >>> open_array(path, np.float32, (None, 2)).shape
    (3, 2)
    """

    def __init__(self, path: Path, dtype: Any, row_shape: tuple[int, ...] = ()) -> None:
        self._file = path.open("xb")
        self._dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self.count = 0
        self._file.write(self._header())

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows of shape (n, *row_shape); the type must fit, values are not converted."""
        if rows.dtype != self._dtype or rows.shape[1:] != self._row_shape:
            raise ValueError(f"{rows.dtype} {rows.shape} for {self._dtype} {self._row_shape}")
        self._file.write(np.ascontiguousarray(rows).data)
        self.count += len(rows)

    def close(self) -> None:
        """Complete the header and close the file."""
        if not self._file.closed:
            self._file.seek(0)
            self._file.write(self._header())
            self._file.close()

    def _header(self) -> bytes:
        shape = (self.count, *self._row_shape)
        text = repr({"descr": self._dtype.str, "fortran_order": False, "shape": shape}).encode()
        body = text.ljust(_HEADER - 11) + b"\n"
        return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body

    def __enter__(self) -> ArrayWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_array(
    path: Path, dtype: Any = None, shape: tuple[int | None, ...] | None = None
) -> NDArray[Any]:
    """Return a read-only memory map of a .npy file of this type and shape (None: any).

    The header is read by a strict rule of its own. NumPy compiles it as Python text, which fails
    on a bad one in any number of ways, and in CPython 3.11 now and then on a good one, when two
    threads do it at once ("AST constructor recursion depth mismatch").

    Raises:
        CorruptIndexError: not such an array, or a file longer or shorter than its header says.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_LONGEST_HEADER)
        size = path.stat().st_size
    except OSError as error:
        raise CorruptIndexError(f"{path} cannot be read: {error}") from error
    match = _NPY.match(start)
    if match is None or 10 + int.from_bytes(start[8:10], "little") != match.end():
        raise CorruptIndexError(f"{path} is no array in C order of NumPy's format 1.0")
    found = tuple(int(each) for each in match["shape"].replace(b" ", b"").split(b",") if each)
    stored = np.dtype(match["dtype"].decode())
    fits = shape is None or (
        len(found) == len(shape)
        and all(wish in (None, length) for wish, length in zip(shape, found, strict=True))
    )
    if not fits or (dtype is not None and stored != np.dtype(dtype)):
        wanted = f"{'any type' if dtype is None else np.dtype(dtype)} {shape or 'of any shape'}"
        raise CorruptIndexError(f"{path} holds {stored} {found}; {wanted} was expected")
    if size != match.end() + prod(found) * stored.itemsize:
        raise CorruptIndexError(f"{path} has {size} bytes, not those of an array {found}")
    if size == match.end():
        empty = np.empty(found, dtype=stored)
        empty.flags.writeable = False  # as the others are: kernels are compiled for the one type
        return empty
    # A plain array over the map: NumPy's memmap subclass costs time at every slice.
    return np.memmap(path, stored, "r", match.end(), found).view(np.ndarray)


NPY_HEADER = 128
"""Bytes of a .npy file without elements."""


def open_npy(path: Path) -> NDArray[Any]:
    """Return a .npy file as a read-only memory map; an empty array cannot be mapped and is read.

    A map cannot be longer than its file, so a header that lies about the shape reserves nothing.
    """
    mapped = path.stat().st_size > NPY_HEADER
    array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    return array
