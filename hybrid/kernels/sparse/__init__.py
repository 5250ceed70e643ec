"""Kernels that search postings."""
