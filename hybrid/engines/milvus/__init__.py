"""Milvus as an engine: a collection a branch with an inverted index for sparse ones."""
