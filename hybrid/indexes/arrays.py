"""Arrays on disk: .npy files written in parts, and memory-mapped back after checks."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import CorruptIndexError

_HEADER = 128
_LONGEST_HEADER = 512
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype>[<|][a-z][0-9]+)', 'fortran_order': False, "
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


def open_array(path: Path, dtype: Any, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Return a read-only memory map of a .npy file of this type and shape (None: any length).

    The header is read by its own strict rule: NumPy's evaluates it as Python text, and fails on a
    bad one with whatever that gives.

    Raises:
        CorruptIndexError: not such an array, or a file longer or shorter than its header says.
    """
    wanted = np.dtype(dtype)
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
    fits = len(found) == len(shape) and all(
        each is None or each == length for each, length in zip(shape, found, strict=True)
    )
    if match["dtype"].decode() != wanted.str or not fits:
        raise CorruptIndexError(
            f"{path} holds {match['dtype'].decode()} {found}; {wanted.str} {shape} was expected"
        )
    if size != match.end() + prod(found) * wanted.itemsize:
        raise CorruptIndexError(f"{path} has {size} bytes, not those of an array {found}")
    if size == match.end():
        return np.empty(found, dtype=wanted)
    # A plain array over the map: NumPy's memmap subclass costs time at every slice.
    return np.memmap(path, wanted, "r", match.end(), found).view(np.ndarray)
