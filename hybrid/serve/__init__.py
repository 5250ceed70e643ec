"""An index served: a JSON API, a search page, and tools for assistants."""
