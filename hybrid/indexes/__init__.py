"""Indexes over encoded documents: inverted (sparse), vector (dense), and both joined."""
