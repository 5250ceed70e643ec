"""Executors on systems that run tasks on many machines: one module for each."""
