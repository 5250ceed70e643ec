"""Kernels that measure ranked lists."""
