"""Models found, checked and loaded by their names."""
