"""Collections that ship with the library."""
