"""Indexes inside other retrieval frameworks: one module for each, imported when it is used."""
