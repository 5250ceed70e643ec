"""What runs a model other than sentence-transformers."""
