"""Kernels that build and rearrange postings."""
