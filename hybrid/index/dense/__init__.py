"""The vector index of a dense branch."""
