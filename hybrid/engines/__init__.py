"""Engines: databases that hold a copy of an index and are searched like its folder."""
