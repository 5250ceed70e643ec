"""Kernels over dense vectors."""
