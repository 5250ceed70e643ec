"""The inverted index of a sparse branch."""
