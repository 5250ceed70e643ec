"""Writing an index: encoding a corpus, creating, changing and mending."""
