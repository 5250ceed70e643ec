"""The bundled collection: the docstrings of Python's standard library."""
