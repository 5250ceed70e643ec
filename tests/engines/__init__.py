"""Clusters and outside engines as real processes on loopback; run by `make test-engines`."""
