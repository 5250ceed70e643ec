"""Prefetching of memory that will be read soon.

Postings are read in short runs here and there, and the first lines of each wait for memory. Whoever
knows beforehand which lines will be read asks for all of them, and the waits overlap with each
other and with work. A request changes no result.
"""

# mypy: disable-error-code="no-any-return,no-untyped-call"
from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

LINE = 64  # bytes that one request brings


@intrinsic
def prefetch(typingctx: Any, array: Any, at: Any) -> Any:
    """Ask for the line of ``array[at]``; one-dimensional and contiguous. Never faults."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        data = context.make_array(kind)(context, builder, arguments[0]).data
        item = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        offset = builder.mul(arguments[1], ir.Constant(arguments[1].type, item))
        address = builder.inttoptr(
            builder.add(builder.ptrtoint(data, offset.type), offset), cgutils.voidptr_t
        )
        word = ir.IntType(32)
        kinds = [cgutils.voidptr_t, word, word, word]
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [cgutils.voidptr_t], ir.FunctionType(ir.VoidType(), kinds)
        )
        # To read, and into the second-level cache; of data, not of code.
        builder.call(function, [address, word(0), word(2), word(1)])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


@njit(cache=True, nogil=True)
def prefetch_run(array: NDArray[np.generic], start: int, end: int) -> None:
    """Ask for ``array[start:end]``."""
    step = LINE // array.itemsize
    for at in range(start, end, step):
        prefetch(array, at)
