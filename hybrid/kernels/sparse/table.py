"""The postings of many segments as one compiled kernel takes them: by address.

One call serves any number of segments, and one compiled kernel all of them.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from hybrid.kernels.sparse.layout import TILE, Postings


class Table(NamedTuple):
    """Where the arrays of S segments lie; whoever holds it must hold the arrays, too."""

    addresses: NDArray[np.int64]  # (S, fields of Postings)
    shapes: NDArray[np.int64]  # (S, fields of Postings, 2)
    tiles: NDArray[np.int64]  # (S + 1,): number of the first tile of each segment
    same_scales: NDArray[np.bool_]  # (S,): whether a code weighs what it does in the first segment
    deleted: NDArray[np.bool_]  # (S,): whether any document is
    codes: NDArray[np.generic]  # (0,): of the type of all codes


def table_of(parts: Sequence[Postings]) -> Table:
    """Return the table of segments whose ``order`` holds numbers of the whole index.

    A number of -1 is that of a deleted document. The arrays must be contiguous and of the types
    that `Postings` says.
    """
    arrays: list[tuple[NDArray[Any], ...]] = [tuple(part) for part in parts]
    shapes = np.zeros((len(parts), len(Postings._fields), 2), dtype=np.int64)
    for row, fields in enumerate(arrays):
        for column, array in enumerate(fields):
            shapes[row, column, : array.ndim] = array.shape
    tiles = [-(-len(part.order) // TILE) for part in parts]
    return Table(
        np.array([[array.ctypes.data for array in fields] for fields in arrays], dtype=np.int64),
        shapes,
        np.concatenate([[0], np.cumsum(tiles)]).astype(np.int64),
        np.array([np.array_equal(part.scales, parts[0].scales) for part in parts]),
        np.array([bool((part.order < 0).any()) for part in parts]),
        np.empty(0, dtype=parts[0].tail_codes.dtype),
    )


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    """Return an address as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(address), generate


@njit(cache=True, nogil=True)
def postings_of(table: Table, segment: int) -> Postings:
    """Return the arrays of one segment."""
    at = table.addresses[segment]
    shape = table.shapes[segment]
    return Postings(
        carray(_pointer(at[0]), shape[0, 0], np.int32),
        carray(_pointer(at[1]), shape[1, 0], np.float32),
        carray(_pointer(at[2]), shape[2, 0], np.int32),
        carray(_pointer(at[3]), (shape[3, 0], shape[3, 1]), np.int64),
        carray(_pointer(at[4]), (shape[4, 0], shape[4, 1]), np.uint32),
        carray(_pointer(at[5]), shape[5, 0], np.uint16),
        carray(_pointer(at[6]), (shape[6, 0], shape[6, 1]), np.uint16),
        carray(_pointer(at[7]), (shape[7, 0], shape[7, 1]), np.uint8),
        carray(_pointer(at[8]), shape[8, 0], np.uint16),
        carray(_pointer(at[9]), shape[9, 0], table.codes.dtype),
    )
