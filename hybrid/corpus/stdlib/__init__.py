"""The bundled collections: the docstrings of Python's standard library."""
