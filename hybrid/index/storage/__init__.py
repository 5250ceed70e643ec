"""Generations, manifest, checksums and the lock: bytes, not branches."""
