"""Ranked lists of numbers fused and measured without a string: peers of the pool in benchmarks."""
