"""Compiled inner loops over raw arrays; each has a NumPy twin in ``reference``.

A kernel checks nothing: shapes, dtypes and order are its caller's promise. Importing a kernel
module loads numba, so it is done where a kernel runs.
"""

import sys


def loaded(module: str) -> bool:
    """Return whether a kernel module, such as ``sparse.search``, is loaded in this process."""
    return f"{__name__}.{module}" in sys.modules
