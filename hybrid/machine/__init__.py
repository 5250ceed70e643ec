"""Everything that touches the machine and knows no retrieval: files, memory, threads."""
