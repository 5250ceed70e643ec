"""Runtimes other than sentence-transformers."""
