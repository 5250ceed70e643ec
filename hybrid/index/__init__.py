"""An index on disk: one id space over documents and branches."""
