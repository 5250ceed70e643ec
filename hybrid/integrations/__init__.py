"""Outside systems, one a file. They take plain iterables and know no index of this library."""
