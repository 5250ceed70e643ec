"""Arrays on disk: .npy files written in parts, and memory-mapped back after checks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import CorruptIndexError

_HEADER = 128


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

    Raises:
        CorruptIndexError: not such an array, or a file longer or shorter than its header says.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError) as error:
        raise CorruptIndexError(f"{path} is not a readable array: {error}") from error
    fits = len(array.shape) == len(shape) and all(
        wanted is None or wanted == found for wanted, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype != np.dtype(dtype) or not fits or not array.flags.c_contiguous:
        raise CorruptIndexError(
            f"{path} holds {array.dtype} {array.shape}; {np.dtype(dtype)} {shape} was expected"
        )
    if array.size and array.offset + array.nbytes != os.path.getsize(path):
        raise CorruptIndexError(f"{path} has bytes after its array")
    # A plain array over the same map: NumPy's memmap subclass costs time at every slice.
    return np.asarray(array).view(np.ndarray)
