"""The fields of documents: their kinds, and one rule for the values that they hold."""
