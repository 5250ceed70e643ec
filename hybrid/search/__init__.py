"""Reading an index: text in, ranked documents out."""
