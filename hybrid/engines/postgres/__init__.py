"""PostgreSQL with pgvector as an engine: a schema a generation, a table a branch."""
