"""A ``.npy`` file written piece by piece, so that no array need be held whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

HEADER = 128


class NpyWriter:
    """Appends rows to one C-ordered array; the header is completed on close."""

    def __init__(self, path: Path, dtype: DTypeLike, row: tuple[int, ...] = ()) -> None:
        self._file = path.open("wb")
        self._dtype = np.dtype(dtype)
        self._row = row
        self.rows = 0
        self._file.write(b" " * HEADER)

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows of the file's dtype and row shape after those already written."""
        if rows.dtype != self._dtype or rows.shape[1:] != self._row:
            raise TypeError(
                f"rows are {rows.dtype} {rows.shape[1:]}, not {self._dtype} {self._row}"
            )
        self._file.write(np.ascontiguousarray(rows).data)
        self.rows += len(rows)

    def close(self) -> None:
        """Complete the header (numpy.lib.format 1.0) and close the file."""
        shape = (self.rows, *self._row)
        text = f"{{'descr': {self._dtype.str!r}, 'fortran_order': False, 'shape': {shape!r}, }}"
        body = text.encode("latin1").ljust(HEADER - 11) + b"\n"
        self._file.seek(0)
        self._file.write(b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body)
        self._file.close()
