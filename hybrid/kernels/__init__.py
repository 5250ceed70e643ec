"""Compiled inner loops over raw arrays; each has a NumPy twin in ``reference``.

A kernel checks nothing: shapes, dtypes and order are its caller's promise. Importing a kernel
module loads numba, so only the modules that run kernels do it.
"""
