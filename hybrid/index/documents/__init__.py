"""Stored documents: ids, texts, fields, filters, passages."""
